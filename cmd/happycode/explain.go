package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/xingfuma/happycode/app/audit"
	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
)

func (p *program) explain() *cobra.Command {
	var lang string
	var asJSON, names bool
	c := &cobra.Command{
		Use:   "explain NEED",
		Short: "讲清一项需求的全部经过 / tell the whole story of a need",
		Long: `讲清一项需求的全部经过：谁在何时登记、每次匹配时的需求分与今日线、派发与交付、为何等待、接下来会怎样。
只显示居民编号；加 --names 才显示姓名、地址与说明。每次查看都记入审计。

Tells who recorded a need and when, the score and the line at each decision, what
was given and handed over, why it waits, and what comes next. Of the resident the
id only, unless --names asks for name, place and note. Every look is audited.`,
		Example: `  happycode explain 019ab3f2-77aa-7c10-9e50-0a6b5f0e1d22
  happycode explain 019ab3f2-77aa-7c10-9e50-0a6b5f0e1d22 --lang en --names`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if lang != "zh" && lang != "en" {
				return say("--lang 应为 zh 或 en", "--lang is zh or en", nil)
			}
			s, err := p.beside(cmd.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			// A matcher of this command's own is empty until it is rebuilt.
			if s.ownMatcher() {
				if err := s.startCare(cmd.Context()); err != nil {
					return err
				}
				if err := s.awaitReady(cmd.Context()); err != nil {
					return err
				}
			}
			t := teller{s: s, en: lang == "en", names: names}
			if err := t.read(cmd.Context(), args[0], store.Millis(p.now())); err != nil {
				return err
			}
			if asJSON {
				e := json.NewEncoder(p.out)
				e.SetIndent("", "  ")
				return e.Encode(t.told())
			}
			return t.print(p.out)
		},
	}
	c.Flags().StringVar(&lang, "lang", "zh", "语言：zh 或 en / language: zh or en")
	c.Flags().BoolVar(&asJSON, "json", false, "输出 JSON / print JSON")
	c.Flags().BoolVar(&names, "names", false, "显示居民姓名、地址与说明 / also name, place and note of the resident")
	return c
}

// teller tells one need's story at the terminal.
type teller struct {
	s     *system
	en    bool
	names bool
	story *care.Story
	who   map[string]string // user names by account
	// Asked for with --names:
	name, place, note string
}

func (t *teller) read(ctx context.Context, need string, nowMs int64) error {
	n, err := t.s.residents.NeedByID(ctx, need)
	if errors.Is(err, store.ErrNotFound) {
		return say("没有编号为 "+need+" 的需求；编号见居民页面的“需求经过”", "there is no such need; its id stands on the need's own page", nil)
	}
	if err != nil {
		return err
	}
	purpose := "happycode explain"
	if t.names {
		purpose += " --names"
	}
	if err := t.s.audit.Write(ctx, audit.Entry{
		AtMs: nowMs, Actor: byCommand, Role: byCommand, Act: "view_need_story", Object: n.ID,
		Subject: n.Resident, Division: n.Division, Purpose: purpose, Outcome: "ok",
	}); err != nil {
		return err
	}
	if t.story, err = t.s.care.Story(ctx, need); err != nil || !t.names {
		return err
	}
	r, err := t.s.residents.Get(ctx, n.Resident)
	if err != nil {
		return err
	}
	person, err := t.s.residents.Open(ctx, r)
	if err != nil {
		return err
	}
	t.name, t.place = person.Name, t.s.tree.Load().Name(r.Division)
	if t.note, err = t.s.residents.NeedNote(n); err != nil {
		return err
	}
	t.who = map[string]string{}
	for _, step := range t.story.Steps {
		a, err := t.s.accounts.Get(ctx, step.By)
		if err == nil {
			t.who[step.By] = a.Username
		} else if !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	return nil
}

// told is the story as JSON, with what --names asked for.
func (t *teller) told() any {
	return struct {
		*care.Story
		Name  string `json:"name,omitempty"`
		Place string `json:"place,omitempty"`
		Note  string `json:"note,omitempty"`
	}{t.story, t.name, t.place, t.note}
}

func (t *teller) say(zh, en string) string {
	if t.en && en != "" {
		return en
	}
	return zh
}

func (t *teller) reason(r matching.Reason) string { return t.say(r.ZH, r.EN) }

func (t *teller) time(ms int64) string {
	return time.UnixMilli(ms).In(time.FixedZone("CST", 8*3600)).Format("2006-01-02 15:04:05")
}

func milli(n int64) string { return fmt.Sprintf("%d.%03d", n/1000, n%1000) }

func (t *teller) amount(units int64) string {
	c, ok := providers.CategoryByID(t.story.Need.Category)
	switch {
	case !ok:
		return strconv.FormatInt(units, 10)
	case c.ID == providers.Cash:
		return fmt.Sprintf("¥%d.%02d", units/100, units%100)
	}
	return strconv.FormatInt(units, 10) + " " + t.say(c.UnitZH, c.UnitEN)
}

func (t *teller) by(account string) string {
	switch {
	case t.who[account] != "":
		return t.who[account]
	case account == "system":
		return t.say("系统", "the system")
	case strings.HasPrefix(account, "resident:"):
		return t.say("居民本人", "the resident")
	}
	return account
}

func (t *teller) print(w io.Writer) error {
	st, n := t.story, t.story.Need
	category, _ := providers.CategoryByID(n.Category)
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	source := map[string][2]string{
		"scan": {"社工登记", "a caseworker"}, "resident": {"居民申请", "the resident"}, "red_key": {"红色按键", "the red key"},
		"green_key": {"绿色按键", "the green key"}, "warning": {"预警", "a warning"}, "import": {"导入", "an import"}, "report": {"他人报告", "somebody's report"},
	}[st.Source]
	line(t.say("需求 %s", "Need %s"), n.ID)
	line(t.say("  %s，%s，紧急程度 %d 级；来源：%s", "  %s, %s, urgency %d; it came from %s"), t.say(category.ZH, category.EN), t.amount(n.QtyUnits), n.Urgency, t.say(source[0], source[1]))
	line(t.say("  居民 %s", "  resident %s"), st.Resident)
	if t.names {
		line("  %s · %s", t.name, t.place)
		if t.note != "" {
			line(t.say("  说明：%s", "  note: %s"), t.note)
		}
	}
	state := care.KindText("need." + string(n.State))
	line(t.say("  现状：%s；已安排 %s，已交付 %s，还缺 %s", "  now: %s; promised %s, handed over %s, still wanted %s"),
		t.say(state.ZH, state.EN), t.amount(n.PromisedUnits), t.amount(n.GivenUnits), t.amount(n.LeftUnits))
	if n.Position > 0 {
		line(t.say("  候补第 %d 位", "  number %d on the waiting list"), n.Position)
	}
	line(t.say("  困难得分 %s，需求分 %s（未计等待时为 %s）", "  score %s, weight %s (%s without the time waited)"), milli(st.ScoreMilli), milli(st.WeightMilli), milli(st.BaseMilli))

	line(t.say("\n经过", "\nWhat happened"))
	for _, x := range st.Steps {
		kind := care.KindText(x.Kind)
		what := t.say(kind.ZH, kind.EN)
		if x.Allocation != "" || x.Kind == care.KindOpened {
			what += " " + t.amount(x.QtyUnits)
		}
		if x.TitleZH != "" {
			what += t.say("“"+x.TitleZH+"”", " “"+cmp.Or(x.TitleEN, x.TitleZH)+"”")
		}
		line("  %s  %s · %s", t.time(x.AtMs), what, t.by(x.By))
		for _, r := range []*matching.Reason{&x.Reason, x.Rest} {
			if r == nil || r.Code == "" {
				continue
			}
			line("    %s", t.reason(*r))
			if f := t.figures(*r); f != "" {
				line("    [%s]", f)
			}
		}
	}
	if st.Forgotten > 0 {
		line(t.say("  （其间另有 %d 次未成的匹配，未保留）", "  (%d more tries in between came to nothing and are not kept)"), st.Forgotten)
	}
	if n.State.Live() {
		switch {
		case !st.Ready:
			line(t.say("\n匹配数据正在恢复，暂不能对照资源", "\nThe matcher is being restored: offers cannot be compared now"))
		case st.LinesMs > 0:
			line(t.say("\n此刻对照的资源（今日线计算于 %s）", "\nOffers compared now (lines drawn at %s)"), t.time(st.LinesMs))
		default:
			line(t.say("\n此刻对照的资源（尚无今日线）", "\nOffers compared now (no lines yet)"))
		}
		for _, o := range st.Offers {
			line("  %s：%s", t.say("“"+o.TitleZH+"”", "“"+cmp.Or(o.TitleEN, o.TitleZH)+"”"), t.reason(o.Reason))
		}
		if st.Ready && len(st.Offers) == 0 {
			line(t.say("  本区县没有此类资源", "  The county has no offer of this kind"))
		}
		line(t.say("\n接下来", "\nWhat comes next"))
		for _, r := range st.Next {
			line("  - %s", t.reason(r))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// figures are those of the moment of a decision.
func (t *teller) figures(r matching.Reason) string {
	var out []string
	for _, f := range []struct {
		key, zh, en string
		thousandth  bool
	}{
		{"score_milli", "困难得分", "score", true}, {"weight_milli", "需求分", "weight", true}, {"line_milli", "今日线", "line", true},
		{"was_milli", "此前的线", "line before", true}, {"position", "位次", "position", false},
	} {
		v, err := strconv.ParseInt(r.Facts[f.key], 10, 64)
		if err != nil || v == 0 {
			continue
		}
		text := strconv.FormatInt(v, 10)
		if f.thousandth {
			text = milli(v)
		}
		out = append(out, t.say(f.zh, f.en)+" "+text)
	}
	return strings.Join(out, t.say("，", ", "))
}
