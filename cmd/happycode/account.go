package main

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/store"
)

// byCommand is the actor of what is done at the terminal.
const byCommand = "command"

func (p *program) account() *cobra.Command {
	var a accounts.NewAccount
	var role, duty string
	var fromStdin bool
	c := &cobra.Command{
		Use:   "account",
		Short: "建立登录账号（首次使用时建立管理员） / create an account; the way in on the first day",
		Example: `  happycode account --username admin
  happycode account --username li --role caseworker --division 330502000000 --password-stdin`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := p.beside(cmd.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			a.Role, a.Duty = accounts.Role(role), accounts.Duty(duty)
			if a.Division == "" && a.Role != accounts.Provider {
				a.Division = s.city()
			}
			if a.Division != "" && !s.known(a.Division) {
				return unknownDivision(a.Division)
			}
			a.Password = secret()
			if fromStdin {
				line, err := bufio.NewReader(p.stdin).ReadString('\n')
				if line = strings.TrimRight(line, "\r\n"); line == "" {
					return say("标准输入中没有密码", "there is no password on the standard input", err)
				}
				a.Password = line
			}
			account, err := s.accounts.Create(cmd.Context(), byCommand, a)
			if errors.Is(err, store.ErrDuplicate) {
				return say("用户名 "+a.Username+" 已存在；请换一个", "that user name exists; choose another", nil)
			}
			if err == nil && account.Duty == accounts.Owner {
				err = s.providers.AddOwner(cmd.Context(), account.Organisation, account.ID)
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(p.out, "账号 / account: %s\n用户名 / user name: %s\n", account.ID, account.Username)
			if !fromStdin {
				fmt.Fprintf(p.out, "密码（只显示这一次） / password (shown this once): %s\n", a.Password)
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&a.Username, "username", "", "用户名（必填） / user name, required")
	f.StringVar(&role, "role", string(accounts.Admin), "角色：admin、caseworker、provider / role")
	f.StringVar(&a.Division, "division", "", "所辖区划，12 位代码；默认全市 / division, 12 digits; by default the whole city")
	f.StringVar(&a.Organisation, "organisation", "", "所属机构编号（资源方账号） / organisation id, for a provider")
	f.StringVar(&duty, "duty", "", "资源方账号的职责：owner、editor、handover；默认 owner / duty of a provider's account")
	f.StringVar(&a.DisplayName, "name", "", "显示名称 / name shown")
	f.StringVar(&a.Lang, "lang", "zh", "界面语言 zh 或 en / language, zh or en")
	f.BoolVar(&fromStdin, "password-stdin", false, "从标准输入读取密码；不加则随机生成 / read the password from the standard input; otherwise one is made")
	must(c.MarkFlagRequired("username"))
	return c
}

// must ends the program on a mistake in the program itself.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// secret makes a password that can be copied by hand: 20 of 32 characters,
// 100 random bits, in groups of five.
func secret() string {
	const alphabet = "abcdefghjkmnpqrstuvwxyz023456789"
	raw := make([]byte, 20)
	_, _ = rand.Read(raw) // never fails: crypto/rand ends the program first
	var b strings.Builder
	for i, c := range raw {
		if i > 0 && i%5 == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(alphabet[c%32])
	}
	return b.String()
}

func unknownDivision(code string) error {
	return say("没有代码为 "+code+" 的区划；请用 12 位代码，或先导入区划",
		"there is no such division; give its 12 digits, or import divisions first", nil)
}

// city is the division above all counties.
func (s *system) city() string {
	tree := s.tree.Load()
	for _, county := range tree.Counties() {
		if d, ok := tree.Get(county); ok {
			return d.Parent
		}
	}
	return ""
}
