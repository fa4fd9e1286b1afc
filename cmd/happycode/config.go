package main

import "github.com/spf13/cobra"

func (p *program) config() *cobra.Command {
	return &cobra.Command{
		Use:   "config",
		Short: "列出每项设置、当前值、来源和含义 / print every setting, its value, source and meaning",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			s, err := p.load()
			if err != nil {
				return err
			}
			return s.Print(p.out)
		},
	}
}
