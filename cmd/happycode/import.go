package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func (p *program) importing() *cobra.Command {
	c := &cobra.Command{
		Use:   "import",
		Short: "导入区划或居民 / import divisions or residents",
	}
	c.AddCommand(p.importDivisions(), p.importResidents())
	return c
}

func (p *program) importDivisions() *cobra.Command {
	return &cobra.Command{
		Use:   "divisions 文件-FILE.csv",
		Short: "导入区划表（code,name,level,parent） / import divisions from a CSV",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := os.Open(args[0])
			if err != nil {
				return noFile(args[0], err)
			}
			defer f.Close()
			s, err := p.beside(cmd.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			bar := p.progress("导入区划 / divisions")
			r, err := s.importDivisions(cmd.Context(), f, bar.set)
			bar.end()
			if err != nil {
				return err
			}
			for _, b := range r.Bad {
				p.badRow(b.Row, b.Column, b.ReasonZH, b.ReasonEN)
			}
			fmt.Fprintf(p.out, "新增 taken %d，更名 renamed %d，已有 known %d，有误 bad %d\n", r.Taken, r.Changed, r.Known, len(r.Bad))
			return leftOut(len(r.Bad))
		},
	}
}

func (p *program) importResidents() *cobra.Command {
	var division string
	c := &cobra.Command{
		Use:   "residents 文件-FILE",
		Short: "导入居民表（XLSX 或 CSV） / import residents from XLSX or CSV",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := os.Open(args[0])
			if err != nil {
				return noFile(args[0], err)
			}
			defer f.Close()
			s, err := p.beside(cmd.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			if division == "" {
				division = s.city()
			}
			if !s.known(division) {
				return unknownDivision(division)
			}
			bar := p.progress("导入居民 / residents")
			r, err := s.residents.Import(cmd.Context(), byCommand, division, f, filepath.Base(args[0]), bar.set)
			bar.end()
			if err != nil {
				return err
			}
			for _, b := range r.Bad {
				p.badRow(b.Row, b.Column, b.ReasonZH, b.ReasonEN)
			}
			fmt.Fprintf(p.out, "新增 taken %d，已有 known %d，有误 bad %d\n", r.Taken, r.Known, len(r.Bad))
			return leftOut(len(r.Bad))
		},
	}
	c.Flags().StringVar(&division, "division", "", "只接受此区划及下级的居民；默认全市 / take only residents of this division and below; by default the whole city")
	return c
}

func noFile(path string, err error) error {
	return say("无法打开文件 "+path, "that file cannot be opened", err)
}

func leftOut(bad int) error {
	if bad == 0 {
		return nil
	}
	return say(fmt.Sprintf("%d 行有误未导入，其余已导入；改正后可再次导入同一文件", bad),
		"those rows were left out, the rest is taken; correct them and import the same file again", nil)
}

func (p *program) badRow(row int, column, zh, en string) {
	fmt.Fprintf(p.out, "第 %d 行 row %d %s：%s / %s\n", row, row, column, zh, en)
}

// progress is a bar on the standard error, where that is a terminal.
type progress struct {
	bar *progressbar.ProgressBar
}

func (p *program) progress(what string) *progress {
	f, ok := p.errOut.(*os.File)
	return &progress{progressbar.NewOptions(-1,
		progressbar.OptionSetVisibility(ok && term.IsTerminal(int(f.Fd()))),
		progressbar.OptionSetWriter(p.errOut), progressbar.OptionSetDescription(what),
		progressbar.OptionShowCount(), progressbar.OptionClearOnFinish())}
}

// set shows done of total; total 0 says that it is not known yet. A bar that
// cannot be drawn stops nothing.
func (g *progress) set(done, total int) {
	if total > 0 && g.bar.GetMax() != total {
		g.bar.ChangeMax(total)
	}
	_ = g.bar.Set(done)
}

func (g *progress) end() { _ = g.bar.Finish() }
