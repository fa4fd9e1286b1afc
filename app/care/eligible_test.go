package care

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
	"github.com/xingfuma/happycode/providers/eligibility"
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

// promises are the live allocations of a household.
func (c *city) promises(members ...*residents.Resident) (out []*Allocation) {
	c.t.Helper()
	for _, r := range members {
		list, err := c.care.promisedTo(context.Background(), r.ID)
		if err != nil {
			c.t.Fatal(err)
		}
		out = append(out, list...)
	}
	return out
}

// offersIn are the offers of allocations, each once.
func offersIn(as []*Allocation) map[string]bool {
	out := map[string]bool{}
	for _, a := range as {
		out[a.Offer] = true
	}
	return out
}

// scanTogether scans all at the same moment, at counters of one or more processes.
func scanTogether(t *testing.T, people []*residents.Resident, at ...*city) {
	t.Helper()
	var all sync.WaitGroup
	for i, r := range people {
		c := at[i%len(at)]
		code := c.code(r)
		all.Go(func() {
			if _, err := c.care.Scan(context.Background(), c.worker, code); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// Rules between offers hold for a household whose members stand at several
// counters at the same moment, over categories and providers, after Redis was
// lost, and until their days are over.
func TestRulesBetweenOffersUnderRaces(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		rule   string // of each offer
		sets   []string
		most   int // offers that a household has
		claims int // claims, where that is bounded; 0: it is not
	}{
		"not together":        {`received.others(["#冬季救助"], 30) < 1`, []string{"冬季救助"}, 1, 0},
		"two of three":        {`received.others(["#冬季救助"], 30) < 2`, []string{"冬季救助"}, 2, 0},
		"once in thirty days": {`!(received.within("clothing", 30) || received.within("grocery", 30) || received.within("repair", 30))`, nil, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCity(t, nil, nil)
			categories := []string{"clothing", "grocery", "repair"}
			for _, category := range categories {
				c.ruled(category, x.rule, func(n *providers.NewOffer) { n.Sets = x.sets })
			}
			var family []*residents.Resident
			for i := range 6 {
				r := c.person(village, "户")
				c.need(r, categories[i%3], 1, 3)
				family = append(family, r)
			}
			holds := func(when string, atLeast int) {
				t.Helper()
				got := c.promises(family...)
				if n := len(offersIn(got)); n > x.most || n < atLeast || x.claims > 0 && len(got) > x.claims {
					t.Fatalf("%s the household has %d promises of %d offers", when, len(got), n)
				}
			}
			scanTogether(t, family, c)
			holds("after the counters", 1)
			scanTogether(t, family, c)
			c.later("all that the rule allows is given", func() bool { return len(offersIn(c.promises(family...))) == x.most })
			c.emptyRedis()
			scanTogether(t, family, c)
			holds("after Redis was lost", x.most)
			c.untilClean()
			for _, a := range c.promises(family...) {
				if _, err := c.care.HandOver(context.Background(), c.worker, a.ID, Evidence{}); err != nil {
					t.Fatal(err)
				}
			}
			c.clock.advance(31 * 24 * time.Hour)
			c.until("the days are over", func() bool {
				scanTogether(t, family, c)
				return len(c.promises(family...)) > 0
			})
			holds("a month later", 1)
			c.untilClean()
		})
	}
}

// Two processes whose matchers know nothing of each other, as after a failover that
// lost all: the record alone keeps a rule between offers.
func TestTheRecordKeepsRulesBetweenOffers(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	embedded, err := matching.StartEmbedded("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { embedded.Close() })
	d := *c
	if d.redis, err = matching.Connect(context.Background(), embedded.URL()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.redis.Close() })
	for _, category := range []string{"clothing", "grocery"} {
		c.ruled(category, `received.others(["#冬季救助"], 30) < 1`, func(n *providers.NewOffer) { n.Sets = []string{"冬季救助"} })
	}
	d.start()
	for range 6 {
		a, b := c.person(village, ""), (*residents.Resident)(nil)
		b = c.person(village, a.Household)
		c.need(a, "clothing", 1, 3)
		c.need(b, "grocery", 1, 3)
		scanTogether(t, []*residents.Resident{a, b}, c, &d)
		if got := c.promises(a, b); len(offersIn(got)) > 1 {
			t.Fatalf("the household has %d offers of a set that allows one", len(offersIn(got)))
		}
	}
}

// A rule may ask for something to have been had; it is met also by what the same need
// was given before.
func TestARuleRestsOnWhatTheNeedWasGiven(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	first := c.ruled("meal", "", func(n *providers.NewOffer) { n.Lots[0].QtyUnits = 1 })
	r := c.person(village, "")
	c.need(r, "meal", 2, 3)
	if got := c.scan(r); len(got.Offered) != 1 || got.Offered[0].Offer != first.ID {
		t.Fatalf("offered %+v", got.Offered)
	}
	more := c.ruled("meal", fmt.Sprintf(`received.within(%q, 30)`, first.ID), nil)
	if got := c.scan(r); len(got.Offered) != 2 {
		t.Fatalf("offered %+v; %+v", got.Offered, got.Needs)
	}
	if got := c.share(more); got.Promised != 1 {
		t.Errorf("promised are %d units, want 1", got.Promised)
	}
	c.untilClean()
}

// A set may have offers of a category that there was not when the rule was said.
func TestASetIsLookedForInEveryCategory(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]int{
		`received.others(["#冬季救助"], 30) < 1`: len(providers.Categories()), `!received.within("meal", 30)`: 1,
	} {
		rule, err := eligibility.Parse(expr)
		if err != nil {
			t.Fatal(err)
		}
		var l lookup
		l.add(openOffer{Offer: &providers.Offer{Rule: providers.Rule{Expr: expr, Categories: []string{"meal"}}}, rule: rule})
		if len(l.categories) != want {
			t.Errorf("%s: looked for in %v", expr, l.categories)
		}
	}
}

// The matcher counts a claim as long as something of it is with the household, and
// then no more: when a part came back, when the rest of it ended, when all came back.
func TestTheMatcherCountsWhatIsHeldInPart(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	c.ruled("clothing", `!received.within("meal", 30)`, nil)
	o := c.ruled("meal", "", nil)
	more := c.ruled("grocery", "", nil)
	// free says whether the matcher gives more of a household that has had nothing.
	free := func(r *residents.Resident) bool {
		t.Helper()
		ask := matching.Ask{Need: "probe" + r.ID, Category: "grocery", QtyUnits: 1, Candidates: []matching.Candidate{{
			Offer: more.ID, Lot: c.share(more).ID, Day: matching.DayNumber(c.clock.now()), Guards: []matching.Guard{{Key: "meal"}},
		}}}
		got, err := c.care.engine.Match(ctx, matching.Request{County: county, Household: r.Household, Asks: []matching.Ask{ask}})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.care.engine.Release(ctx, county, got[0].Holds, true); err != nil {
			t.Fatal(err)
		}
		if err := c.care.engine.Unwait(ctx, county, "grocery", ask.Need); err != nil {
			t.Fatal(err)
		}
		return len(got[0].Holds) == 1
	}
	given := func() (*residents.Resident, string) {
		t.Helper()
		r := c.person(village, "")
		c.need(r, "meal", 2, 3)
		got := c.scan(r)
		if len(got.Offered) != 1 || got.Offered[0].QtyUnits != 2 || free(r) {
			t.Fatalf("offered %+v", got.Offered)
		}
		return r, got.Offered[0].ID
	}
	r, id := given()
	if _, err := c.care.HandOver(ctx, c.worker, id, Evidence{}); err != nil {
		t.Fatal(err)
	}
	for units := int64(2); units > 0; units-- {
		if free(r) {
			t.Errorf("a claim of which %d units are given does not count", units)
		}
		if _, err := c.care.TakeBack(ctx, c.worker, id, TakingBack{Units: 1, GivenUnits: units, Why: BackUnused}); err != nil {
			t.Fatal(err)
		}
	}
	if !free(r) {
		t.Error("what came back counts")
	}
	r, id = given()
	canteen := counterOf(o)
	look := c.look(canteen, r)
	if _, err := c.care.GiveAtCounter(ctx, canteen, CounterGiving{Scan: look.Scan, Item: look.Items[0].Item, Units: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.care.NoShow(ctx, c.worker, id); err != nil {
		t.Fatal(err)
	}
	if free(r) {
		t.Error("a claim of which the rest has ended does not count")
	}
	c.untilClean()
}
