package main

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/settings"
)

// A need is explained at the terminal, in either language, without the
// person's name unless it is asked for; each look is in the audit log.
func TestExplain(t *testing.T) {
	t.Parallel()
	env := environ(t)
	const village = "330502001006"
	need, resident := func() (string, string) {
		set, err := settings.Load(env)
		if err != nil {
			t.Fatal(err)
		}
		s, err := open(t.Context(), set, slog.New(slog.DiscardHandler), time.Now, true)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		r, err := s.residents.Register(t.Context(), "test", residents.Registration{
			Name: "李秀英", IDNumber: "330502195001010016", Division: village, ScoreMilli: 640, Consent: []string{residents.ConsentMatching},
		})
		if err != nil {
			t.Fatal(err)
		}
		n, err := s.care.AddNeed(t.Context(), accounts.Principal{Account: "test", Role: accounts.Admin, Division: village}, residents.NewNeed{
			Resident: r.ID, Category: "meal", QtyUnits: 2, Urgency: 3, Source: "scan", Note: "不吃辣",
		})
		if err != nil {
			t.Fatal(err)
		}
		return n.ID, r.ID
	}()
	for _, c := range []struct {
		args       []string
		want, keep []string
	}{
		{[]string{need}, []string{resident, "登记需求 2 份", "困难得分 0.640", "下次扫码时即刻匹配", "本区县没有此类资源"}, []string{"李秀英", "不吃辣"}},
		{[]string{need, "--lang", "en"}, []string{"Recorded 2", "score 0.640", "the next scan matches it"}, []string{"李秀英", "登记"}},
		{[]string{need, "--names"}, []string{"李秀英", "不吃辣"}, nil},
		{[]string{need, "--json"}, []string{`"score_milli": 640`}, []string{"李秀英", "不吃辣"}},
	} {
		out, errOut, status := runs(t, env, append([]string{"explain"}, c.args...)...)
		if status != 0 {
			t.Fatalf("explain %v: %d %s", c.args, status, errOut)
		}
		for _, want := range c.want {
			if !strings.Contains(out, want) {
				t.Errorf("explain %v does not say %q:\n%s", c.args, want, out)
			}
		}
		for _, never := range c.keep {
			if strings.Contains(out, never) {
				t.Errorf("explain %v says %q", c.args, never)
			}
		}
	}
	out, _, _ := runs(t, env, "explain", need, "--json")
	var story care.Story
	if err := json.Unmarshal([]byte(out), &story); err != nil || story.Need.ID != need || len(story.Steps) != 1 {
		t.Errorf("%v: %s", err, out)
	}
	if _, errOut, status := runs(t, env, "explain", "nothing"); status != 1 || !strings.Contains(errOut, "没有编号为") {
		t.Errorf("a need that is not there: %d %s", status, errOut)
	}
	set, err := settings.Load(env)
	if err != nil {
		t.Fatal(err)
	}
	s, err := open(t.Context(), set, slog.New(slog.DiscardHandler), time.Now, true)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	looks, _, err := s.audit.Of(t.Context(), resident, "", 10)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, e := range looks {
		if e.Act == "view_need_story" && e.Actor == byCommand && e.Object == need {
			seen++
		}
	}
	if seen != 5 {
		t.Errorf("%d looks are in the audit log, want 5", seen)
	}
}

// An offer without an English name keeps its Chinese one.
func TestExplainNamesOffers(t *testing.T) {
	t.Parallel()
	zh, en := &teller{}, &teller{en: true}
	for want, got := range map[string]string{
		"“爱心餐”": zh.title("爱心餐", "Lunch"), "“Lunch”": en.title("爱心餐", "Lunch"), "“理发”": en.title("理发", ""),
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
