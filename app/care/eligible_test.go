package care

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
)

// ruled posts an offer with a rule, given to whoever comes.
func (c *city) ruled(category, rule string, change func(*providers.NewOffer)) *providers.Offer {
	c.t.Helper()
	org, now := c.organisation(), c.clock.now()
	n := providers.NewOffer{
		TitleZH: "独居午餐", TitleEN: "Lunch", Category: category, Divisions: []string{county}, Rule: rule, Pace: matching.PaceNow,
		Handover: providers.Handover{How: providers.Pickup, Place: "社区食堂"},
		Lots:     []providers.NewLot{{QtyUnits: 20, FromMs: now.UnixMilli(), UntilMs: now.Add(90 * 24 * time.Hour).UnixMilli()}},
	}
	if change != nil {
		change(&n)
	}
	o, err := c.care.PostOffer(context.Background(), accounts.Principal{Account: "giver", Role: accounts.Provider, Organisation: org.ID}, org.ID, n)
	if err != nil {
		c.t.Fatal(err)
	}
	return o
}

// born registers somebody who turns so many years old this year.
func (c *city) born(age int, household string) *residents.Resident {
	c.t.Helper()
	n := idNumbers.Add(1)
	number := fmt.Sprintf("330502%04d0101%03d", c.clock.now().Year()-age, n%1000)
	weights := []int{7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2}
	sum := 0
	for i, w := range weights {
		sum += w * int(number[i]-'0')
	}
	if number += string("10X98765432"[sum%11]); age < 0 {
		number = ""
	}
	r, err := c.residents.Register(context.Background(), "test", residents.Registration{
		Name: "测试", IDNumber: number, Division: village, Household: household, ScoreMilli: 500,
		Consent: []string{residents.ConsentMatching, residents.ConsentHandover},
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

// Whom a rule admits is given, whom it does not admit is told which condition
// is not met, and waits; once it is met the waiting list serves without a scan.
func TestARuleDecidesAtTheScanAndOnTheWaitingList(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	o := c.ruled("meal", `age > 70 && household_size == 1 && !received.within("meal", 7)`, nil)
	told := func(r *residents.Resident, offered int, want string) *ScanResult {
		t.Helper()
		got := c.scan(r)
		if len(got.Offered) != offered {
			t.Fatalf("offered %d, want %d: %+v", len(got.Offered), offered, got.Needs)
		}
		n := got.Needs[len(got.Needs)-1]
		if want != "" && (len(n.NotServed) != 1 || !strings.Contains(n.NotServed[0].Reason.ZH, want) || !strings.Contains(n.Reason.ZH, want) ||
			n.Reason.Code != matching.CodeWaitingRule) {
			t.Errorf("told %+v, not served %+v; want %q", n.Reason, n.NotServed, want)
		}
		return got
	}
	alone := c.born(76, "")
	c.need(alone, "meal", 1, 3)
	first := told(alone, 1, "").Offered[0]
	c.need(alone, "meal", 1, 3)
	told(alone, 1, "本户最近 7 天内没有领过助餐")

	young := c.born(70, "")
	c.need(young, "meal", 1, 3)
	told(young, 0, "年龄大于 70 岁")
	couple := []*residents.Resident{c.born(80, "户1"), c.born(81, "户1")}
	n := c.need(couple[0], "meal", 1, 3)
	told(couple[0], 0, "独自一户")
	nobody := c.born(-1, "")
	c.need(nobody, "meal", 1, 3)
	told(nobody, 0, "请补登记：年龄大于 70 岁")

	st, err := c.care.Story(context.Background(), n.ID)
	if err != nil || len(st.Offers) != 1 || st.Offers[0].Reason.Code != matching.CodeNotRule {
		t.Errorf("the story says %+v, %v", st, err)
	}
	if spares := c.care.spareOffers(village, county); len(spares) != 0 {
		t.Errorf("a device without a network may take %d offers with a rule", len(spares))
	}

	// The one dies, the other now lives alone.
	if _, err := c.residents.SetStatus(context.Background(), "test", couple[1].ID, residents.Deceased); err != nil {
		t.Fatal(err)
	}
	c.clock.advance(matching.PlanEvery + time.Second)
	c.until("the waiting list serves whom the rule admits by now", func() bool { return c.promised(couple[0]) == 1 })

	// Declined is not received; a week is over after seven days.
	if _, err := c.care.Decline(context.Background(), c.worker, first.ID, ""); err != nil {
		t.Fatal(err)
	}
	c.clock.advance(matching.PlanEvery + time.Second)
	c.until("what was given back does not count", func() bool { return c.promised(alone) == 1 })
	if got := c.share(o); got.Promised != 2 {
		t.Errorf("promised are %d units, want 2", got.Promised)
	}
	c.untilClean()
}

// Counts are what going through everybody finds, but for what is fewer than
// five; and two counts tell together no more than each alone.
func TestReachAgainstEverybody(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	const younger, older = `age > 70 && household_size == 1 && !received.within("meal", 7)`, `age > 71 && household_size == 1 && !received.within("meal", 7)`
	c.ruled("meal", "age > 0", nil)
	type one struct {
		r     *residents.Resident
		age   int
		alone bool
		meal  bool
	}
	var all []one
	for i := range 24 {
		p := one{age: 60 + i, alone: i%7 != 0, meal: i%5 == 0}
		home := ""
		if !p.alone {
			home = fmt.Sprintf("户%d", i)
		}
		if p.r = c.born(p.age, home); !p.alone {
			all = append(all, one{r: c.born(30, home), age: 30})
		}
		if p.meal {
			c.need(p.r, "meal", 1, 1)
			c.scan(p.r)
		}
		all = append(all, p)
	}
	count := func(least int) (n int64) {
		for _, p := range all {
			if p.age > least && p.alone && !p.meal {
				n++
			}
		}
		return n
	}
	ask := func(account, rule string, before *string) *Reach {
		t.Helper()
		got, err := c.care.Reach(ctx, account, Reached{Divisions: []string{county}, Rule: rule, Before: before}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	got := ask("a", younger, nil)
	if got.People != count(70) || len(got.Towns) != 1 || got.Towns[0].People != count(70) || got.Towns[0].Division != "330502001000" || !got.Whole {
		t.Errorf("%+v, want %d", got, count(70))
	}
	if got := ask("b", older, nil); got.People != count(71) || count(71) == count(70) {
		t.Errorf("%+v, want %d", got, count(71))
	}
	// To who has seen the one figure, the other is not shown: it is one person away.
	if got := ask("a", older, new(string)); got.People != count(70) || !got.Towns[0].Near || got.Before != int64(len(all)) {
		t.Errorf("a rule that is one person narrower gives %+v", got)
	}
	if got := ask("c", "age > 79", nil); got.People != 0 || len(got.Towns) != 0 || got.FewTowns != 1 {
		t.Errorf("fewer than five are counted out: %+v", got)
	}
	few, err := c.care.Reach(ctx, "d", Reached{Divisions: []string{county}, MinScoreMilli: 501}, nil)
	if err != nil || few.People != 0 {
		t.Errorf("whose score does not reach are counted: %+v, %v", few, err)
	}
}
