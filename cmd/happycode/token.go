package main

import (
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/xingfuma/happycode/app/accounts"
)

func (p *program) token() *cobra.Command {
	var t accounts.NewToken
	var role, duty string
	c := &cobra.Command{
		Use:   "token",
		Short: "签发服务令牌，供其他系统调用接口 / make a service token for another system",
		Example: `  happycode token --label 统计平台 --role caseworker --division 330502000000 --ttl 720h
  happycode token list`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := p.beside(cmd.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			t.Role, t.Duty = accounts.Role(role), accounts.Duty(duty)
			if t.Division == "" && t.Role != accounts.Provider {
				t.Division = s.city()
			}
			if t.Division != "" && !s.known(t.Division) {
				return unknownDivision(t.Division)
			}
			token, made, err := s.accounts.MintToken(cmd.Context(), byCommand, t)
			if err != nil {
				return err
			}
			fmt.Fprintf(p.errOut, "令牌只显示这一次，有效至 / shown this once, valid until %s:\n", time.UnixMilli(made.ExpiresMs).Format(time.RFC3339))
			_, err = fmt.Fprintln(p.out, token)
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&t.Label, "label", "", "用途说明（必填） / what it is for, required")
	f.StringVar(&role, "role", "", "角色：admin、caseworker、provider（必填） / role, required")
	f.StringVar(&t.Division, "division", "", "所辖区划，12 位代码；默认全市 / division, 12 digits; by default the whole city")
	f.StringVar(&t.Organisation, "organisation", "", "所属机构编号（资源方令牌） / organisation id, for a provider")
	f.StringVar(&duty, "duty", "", "资源方令牌的职责：editor、handover；默认 editor / duty of a provider's token")
	f.DurationVar(&t.TTL, "ttl", 90*24*time.Hour, "有效期 / how long it is valid")
	must(c.MarkFlagRequired("label"))
	must(c.MarkFlagRequired("role"))
	c.AddCommand(p.tokenList(), p.tokenRevoke())
	return c
}

func (p *program) tokenList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "列出令牌 / list the tokens",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := p.beside(cmd.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			w := tabwriter.NewWriter(p.out, 0, 4, 2, ' ', 0)
			for after := ""; ; {
				page, next, err := s.accounts.Tokens(cmd.Context(), after, 100)
				if err != nil {
					return err
				}
				for _, t := range page {
					state := "有效 / valid"
					switch {
					case t.Revoked:
						state = "已撤销 / revoked"
					case t.ExpiresMs <= p.now().UnixMilli():
						state = "已过期 / expired"
					}
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", t.ID, t.Label, t.Role, t.Division,
						time.UnixMilli(t.ExpiresMs).Format(time.RFC3339), state)
				}
				if after = next; after == "" {
					return w.Flush()
				}
			}
		},
	}
}

func (p *program) tokenRevoke() *cobra.Command {
	return &cobra.Command{
		Use:   "revoke 编号-ID",
		Short: "撤销令牌 / revoke a token",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := p.beside(cmd.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			return s.accounts.RevokeToken(cmd.Context(), byCommand, args[0])
		},
	}
}
