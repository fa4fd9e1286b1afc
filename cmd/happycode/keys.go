package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/xingfuma/happycode/app/audit"
	"github.com/xingfuma/happycode/app/keyring"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/qrcode"
)

// china is how dates are told to people: UTC+8, which has had no other time
// since 1991.
var china = time.FixedZone("UTC+8", 8*60*60)

func (p *program) keys() *cobra.Command {
	c := &cobra.Command{
		Use:   "keys",
		Short: "签名密钥：查看、新建、停用 / the keys that sign codes: list, make, retire",
		Long: `幸福码由签名密钥签发。换钥：提前几天 new --from 建立新密钥，它到日子接手签发；
之后 retire 停用旧密钥，旧卡仍有效至各自的到期日。密钥泄露时用 retire --compromised。

Codes are signed by these keys. To change keys, make the new one some days ahead
(new --from), so that scanners know it when it takes over; then retire the old
one: its cards stand until their date. For a key that leaked: retire --compromised.`,
		Example: `  happycode keys list
  happycode keys new --from 2026-12-01
  happycode keys retire 1 --at 2026-12-02
  happycode keys retire 1 --compromised --yes`,
	}
	c.AddCommand(p.keysList(), p.keysNew(), p.keysRetire())
	return c
}

func stateWords(s keyring.State) string {
	switch s {
	case keyring.Upcoming:
		return "未启用 / upcoming"
	case keyring.Signing:
		return "可签发 / may sign"
	case keyring.Retired:
		return "已停用，旧卡有效 / retired"
	case keyring.Over:
		return "已到期 / over"
	case keyring.Revoked:
		return "已作废 / revoked"
	}
	return string(s)
}

// moment tells a time in China's; 0 is told as the given words.
func moment(ms int64, none string) string {
	if ms == 0 {
		return none
	}
	return time.UnixMilli(ms).In(china).Format("2006-01-02 15:04")
}

func (p *program) keysList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "列出签名密钥（北京时间） / list the signing keys, times of China",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := p.beside(cmd.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			keys := s.keys.Keys()
			ids := make([]int, 0, len(keys))
			for id := range keys {
				ids = append(ids, int(id))
			}
			slices.Sort(ids)
			current := -1
			if signer, err := s.keys.Signer(); err == nil {
				current = int(signer.ID())
			}
			rows := [][]string{{"编号 id", "算法 algorithm", "状态 state", "启用 from", "签发至 signs until", "卡片有效至 cards valid until", "在用卡 cards"}}
			for _, id := range ids {
				k := keys[byte(id)]
				codes, err := s.residents.CountCodes(cmd.Context(), k.ID)
				if err != nil {
					return err
				}
				state := keyring.StateOf(k, p.now())
				words := stateWords(state)
				if id == current {
					words = "签发中 / signing"
				}
				cards := fmt.Sprintf("各 %d 天 / %d days each", k.CardDays, k.CardDays)
				switch {
				case state == keyring.Revoked:
					cards = "无效 / none, since " + moment(k.RevokedMs, "")
				case k.SignUntilMs != 0 && k.SignUntilMs <= k.FromMs:
					cards = "-"
				case k.SignUntilMs != 0:
					cards = moment(keyring.CardsUntil(k), "")
				}
				rows = append(rows, []string{strconv.Itoa(id), string(k.Algorithm), words,
					moment(k.FromMs, "起初 / the beginning"), moment(k.SignUntilMs, "-"), cards, strconv.FormatInt(codes, 10)})
			}
			if _, err := io.WriteString(p.out, inColumns(rows)); err != nil {
				return err
			}
			if faults := s.keys.Faults(); len(faults) > 0 {
				return say(fmt.Sprintf("密钥 %v 打不开，不予使用：档案可能被改动，或它出自另一个密钥文件", faults),
					"these keys do not open and are not used: the record was changed, or they are of another key file", nil)
			}
			return nil
		},
	}
}

// inColumns lays rows of equal length out in columns.
func inColumns(rows [][]string) string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], columns(cell))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		for i, cell := range row[:len(row)-1] {
			b.WriteString(pad(cell, widths[i]+2))
		}
		b.WriteString(row[len(row)-1] + "\n")
	}
	return b.String()
}

func (p *program) keysNew() *cobra.Command {
	var alg, from string
	var days int64
	c := &cobra.Command{
		Use:   "new",
		Short: "新建签名密钥，自启用日起接手签发 / make a key that takes over from its first day",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := p.beside(cmd.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			begin, err := p.date("from", from)
			if err != nil {
				return err
			}
			if cmd.Flags().Changed("card-days") && days == 0 {
				days = -1 // 0 stands for the setting
			}
			k, err := s.keys.New(cmd.Context(), keyring.NewKey{Algorithm: qrcode.Algorithm(alg), From: begin, CardDays: days})
			if err != nil {
				return err
			}
			if err := s.auditKey(cmd, "create_signing_key", k.ID); err != nil {
				return err
			}
			fmt.Fprintf(p.out, "新密钥 / new key: %d（%s），启用 / signs from %s，卡片有效 / cards valid %d 天 / days\n",
				k.ID, k.Algorithm, moment(k.FromMs, ""), k.CardDays)
			if keyring.StateOf(k, p.now()) == keyring.Signing {
				fmt.Fprintln(p.out, "它已接手签发；离线的扫码设备下次联网后才认得新卡 / it signs from now on; scanners that are offline know its cards after their next sync")
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&alg, "alg", "", "算法：Ed25519 或 SM2；默认见 HAPPYCODE_CODE_ALGORITHM / algorithm; by default the setting's")
	f.StringVar(&from, "from", "", "启用日期，如 2026-12-01；默认立即 / first day; by default at once")
	f.Int64Var(&days, "card-days", 0, "卡片有效天数；默认见 HAPPYCODE_CARD_DAYS / days that its cards are valid; by default the setting's")
	return c
}

func (p *program) keysRetire() *cobra.Command {
	var at string
	var compromised, yes bool
	c := &cobra.Command{
		Use:   "retire 编号-ID",
		Short: "停用密钥，旧卡有效至到期日；或作废已泄露的密钥 / retire a key, its cards stand; or revoke one that leaked",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := strconv.ParseUint(args[0], 10, 8)
			if err != nil {
				return say("编号应为 0 至 255 的整数，见 happycode keys list", "an id is a number from 0 to 255, see happycode keys list", nil)
			}
			id := byte(n)
			if compromised && at != "" {
				return say("--compromised 立即生效，不能与 --at 同用", "--compromised takes effect at once and goes without --at", nil)
			}
			end, err := p.date("at", at)
			if err != nil {
				return err
			}
			s, err := p.beside(cmd.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			if _, ok := s.keys.Keys()[id]; !ok {
				return say("没有编号为 "+args[0]+" 的密钥，见 happycode keys list", "there is no such key, see happycode keys list", store.ErrNotFound)
			}
			if compromised {
				return p.revokeKey(cmd, s, id, yes)
			}
			k, err := s.keys.Retire(cmd.Context(), id, end)
			if err != nil {
				return err
			}
			if err := s.auditKey(cmd, "retire_signing_key", id); err != nil {
				return err
			}
			_, err = fmt.Fprintf(p.out, "密钥 / key %d：签发至 / signs until %s，已发的卡最晚有效至 / its last card is valid until %s\n",
				id, moment(k.SignUntilMs, ""), moment(keyring.CardsUntil(k), ""))
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&at, "at", "", "停用日期，如 2026-12-01；默认立即 / day from which it signs no more; by default at once")
	f.BoolVar(&compromised, "compromised", false, "密钥已泄露：它签发的一切立即作废 / it leaked: nothing signed by it counts any more")
	f.BoolVar(&yes, "yes", false, "确认作废 / confirm --compromised")
	return c
}

// revokeKey says how many cards it costs and, when that was confirmed, does it.
func (p *program) revokeKey(cmd *cobra.Command, s *system, id byte, yes bool) error {
	codes, err := s.residents.CountCodes(cmd.Context(), id)
	if err != nil {
		return err
	}
	if !yes {
		return say(fmt.Sprintf("密钥 %d 签发的一切将立即作废，%d 张在用的卡须重新打印发放，且无法撤销；确认请加 --yes", id, codes),
			fmt.Sprintf("nothing signed by key %d would count any more, %d cards in use would have to be printed and handed out again, and it cannot be undone; to confirm add --yes", id, codes), nil)
	}
	next, err := s.keys.Revoke(cmd.Context(), id)
	if err != nil {
		return err
	}
	if err := s.auditKey(cmd, "revoke_signing_key", id); err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.out, "密钥 / key %d 已作废 / is revoked。%d 张卡须重新打印发放 / cards must be printed and handed out again。现由密钥 / now signs key %d（%s）\n",
		id, codes, next.ID, next.Algorithm)
	return err
}

// date reads a day, the moment it begins in China; today and "" are now, the
// zero time.
func (p *program) date(flag, text string) (time.Time, error) {
	if text == "" || text == p.now().In(china).Format(time.DateOnly) {
		return time.Time{}, nil
	}
	t, err := time.ParseInLocation(time.DateOnly, text, china)
	if err != nil {
		return t, say("--"+flag+" 应为日期，如 2026-12-01", "--"+flag+" is a date like 2026-12-01", nil)
	}
	return t, nil
}

// auditKey writes down who changed a signing key.
func (s *system) auditKey(cmd *cobra.Command, act string, id byte) error {
	err := s.audit.Write(cmd.Context(), audit.Entry{
		Actor: byCommand, Role: byCommand, Act: act, Object: strconv.Itoa(int(id)),
		Division: s.city(), Purpose: "manage signing keys", Outcome: "ok",
	})
	if err != nil {
		return errors.Join(err, say("密钥已更改，但未能记入审计", "the key was changed, but the audit log could not be written", nil))
	}
	return nil
}
