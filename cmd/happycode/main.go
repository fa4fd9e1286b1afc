// Command happycode is the one binary of Happiness Code: the server, and the
// commands that an office needs beside it.
//
// This package only wires: settings, the record, the matcher, the services and
// the web application, one file per command. What they do is written in the
// packages themselves.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ()))
}

// program is what every command gets from the outside.
type program struct {
	stdin       io.Reader
	out, errOut io.Writer
	environ     []string // NAME=value
	now         func() time.Time
}

// run carries out one command line and returns the exit status: 0, 1 for
// trouble, 2 for a command line that cannot be understood.
func run(args []string, stdin io.Reader, out, errOut io.Writer, environ []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the program at once.
	context.AfterFunc(ctx, stop)

	p := &program{stdin: stdin, out: out, errOut: errOut, environ: environ, now: time.Now}
	root := p.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(out)
	root.SetErr(errOut)
	began := false
	root.PersistentPreRun = func(*cobra.Command, []string) { began = true }
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(errOut, "happycode: "+words(err))
		if !began {
			return 2
		}
		return 1
	}
	return 0
}

func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "happycode",
		Short:         "幸福码：扫一次码，把该得的帮助送到该得的人 / Happiness Code matches aid to people in need",
		SilenceUsage:  true,
		SilenceErrors: true,
		CompletionOptions: cobra.CompletionOptions{
			HiddenDefaultCmd: true,
		},
	}
	root.SetUsageTemplate(usage)
	root.SetHelpCommand(&cobra.Command{Use: "help [命令 command]", Short: "命令的帮助 / help about a command",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, _, err := root.Find(args)
			if err != nil {
				return err
			}
			return about.Help()
		}})
	root.PersistentFlags().BoolP("help", "h", false, "帮助 / help")
	root.AddCommand(
		p.serve(), p.config(), p.importing(), p.cards(), p.account(), p.token(), p.keys(), p.hsds(),
		p.verify(), p.explain(), p.rebuild(), p.simulate(), p.bench(), p.doctor(), p.version(),
	)
	return root
}

const usage = `用法 / Usage:
  {{if .Runnable}}{{.UseLine}}{{end}}{{if and .Runnable .HasAvailableSubCommands}}
  {{end}}{{if .HasAvailableSubCommands}}{{.CommandPath}} [命令 command]{{end}}
{{- if .HasExample}}

例 / Examples:
{{.Example}}
{{- end}}
{{- if .HasAvailableSubCommands}}

命令 / Commands:{{range .Commands}}{{if or .IsAvailableCommand (eq .Name "help")}}
  {{rpad .Name .NamePadding}}  {{.Short}}{{end}}{{end}}
{{- end}}
{{- if .HasAvailableLocalFlags}}

选项 / Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}
{{- end}}
{{- if not .HasParent}}

设置见 / for the settings see: {{.CommandPath}} config
{{- end}}
`
