package providers_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/app/store/sqlite"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
)

const (
	huzhou = "330500000000"
	wuxing = "330502000000"
	nanxun = "330503000000"
	deqing = "330521000000"
	yuehe  = "330502001000"
)

var noon = time.Date(2026, 11, 24, 4, 0, 0, 0, time.UTC)

func known(code string) bool {
	switch code {
	case "330000000000", huzhou, wuxing, nanxun, deqing, yuehe:
		return true
	}
	return false
}

func newService(t *testing.T) (*providers.Service, store.Record) {
	t.Helper()
	record, err := sqlite.Open(filepath.Join(t.TempDir(), "record.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := record.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := record.Ensure(t.Context(), providers.Schemas()...); err != nil {
		t.Fatal(err)
	}
	return providers.New(providers.Config{
		Record: record, Now: func() time.Time { return noon }, Known: known,
		Counties: func() []string { return []string{wuxing, nanxun, deqing} },
		Group:    func(id string) bool { return id == "elderly" || id == "disabled" },
		Weight: func(county string, divisions []string) int64 {
			return map[string]int64{wuxing: 5, nanxun: 3, deqing: 2}[county]
		},
	}), record
}

func newOrganisation() providers.NewOrganisation {
	return providers.NewOrganisation{
		Name: "湖州市慈善总会", NameEN: "Huzhou Charity Federation", Kind: providers.Charity,
		CreditCode: "91350100m000100y43", Division: huzhou, Contact: "0572-2000000",
	}
}

func newOffer() providers.NewOffer {
	from := noon.UnixMilli()
	return providers.NewOffer{
		TitleZH: "爱心午餐", TitleEN: "Lunch", Category: "meal", Divisions: []string{nanxun, wuxing, yuehe},
		Groups: []string{"elderly"}, MinScoreMilli: 200, CapUnits: 1,
		Handover: providers.Handover{How: providers.Pickup, Place: "月河街道食堂"},
		Lots: []providers.NewLot{
			{QtyUnits: 16, FromMs: from + 3_600_000, UntilMs: from + 7_200_000},
			{QtyUnits: 8, FromMs: from, UntilMs: from + 3_600_000},
		},
	}
}

func approved(t *testing.T, s *providers.Service) *providers.Organisation {
	t.Helper()
	org, err := s.Join(t.Context(), "p1", newOrganisation())
	if err != nil {
		t.Fatal(err)
	}
	if org, err = s.Decide(t.Context(), "admin", org.ID, providers.Approved, "证照齐全"); err != nil {
		t.Fatal(err)
	}
	return org
}

func TestOrganisationsJoinAndAreDecidedOn(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s, _ := newService(t)
	org, err := s.Join(ctx, "p1", newOrganisation())
	if err != nil {
		t.Fatal(err)
	}
	if org.Status != providers.Pending || org.CreditCode != "91350100M000100Y43" || org.CreatedBy != "p1" {
		t.Fatalf("got %+v", org)
	}
	if _, err := s.Join(ctx, "p2", newOrganisation()); !errors.Is(err, store.ErrDuplicate) {
		t.Fatalf("the same credit code again: %v", err)
	}
	if _, err := s.Post(ctx, "p1", org, newOffer()); !errors.Is(err, providers.ErrNotApproved) {
		t.Fatalf("an offer before approval: %v", err)
	}
	for _, d := range []struct {
		status providers.Status
		note   string
	}{
		{providers.Approved, "齐全"}, {providers.Approved, "again"}, {providers.Suspended, "投诉"}, {providers.Approved, ""},
	} {
		got, err := s.Decide(ctx, "admin", org.ID, d.status, d.note)
		if err != nil || got.Status != d.status {
			t.Fatalf("%v: %+v, %v", d, got, err)
		}
	}
	got, err := s.Get(ctx, org.ID)
	if err != nil {
		t.Fatal(err)
	}
	at := noon.UnixMilli()
	want := []providers.Decision{
		{AtMs: at, By: "admin", Status: providers.Approved, Note: "齐全"},
		{AtMs: at, By: "admin", Status: providers.Suspended, Note: "投诉"},
		{AtMs: at, By: "admin", Status: providers.Approved},
	}
	if diff := cmp.Diff(want, got.Decisions); diff != "" {
		t.Fatal(diff)
	}
	if _, err := s.Decide(ctx, "admin", org.ID, providers.Pending, ""); !asField(err, "status") {
		t.Fatalf("back to pending: %v", err)
	}
	if _, err := s.Decide(ctx, "admin", "nobody", providers.Approved, ""); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("unknown organisation: %v", err)
	}
	if got, err := s.ByCreditCode(ctx, "91350100M000100Y43"); err != nil || got.ID != org.ID {
		t.Fatalf("by credit code: %v", err)
	}
	if _, err := s.ByCreditCode(ctx, "914403001922038216"); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("by unknown credit code: %v", err)
	}
	for status, want := range map[providers.Status]int{"": 1, providers.Approved: 1, providers.Pending: 0} {
		page, _, err := s.List(ctx, status, "", 10)
		if err != nil || len(page) != want {
			t.Errorf("list %q: %d, %v", status, len(page), err)
		}
	}
	// A stale copy of an organisation that was suspended since is no approval.
	stale := *got
	if _, err := s.Decide(ctx, "admin", org.ID, providers.Suspended, "投诉"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Post(ctx, "p1", &stale, newOffer()); !errors.Is(err, providers.ErrNotApproved) {
		t.Fatalf("an offer of a suspended organisation: %v", err)
	}
}

func asField(err error, field string) bool {
	var f providers.FieldError
	return errors.As(err, &f) && f.Field == field && f.ZH != "" && f.EN != ""
}

func TestOrganisationFieldsAreNamed(t *testing.T) {
	t.Parallel()
	s, _ := newService(t)
	for field, spoil := range map[string]func(*providers.NewOrganisation){
		"name":        func(n *providers.NewOrganisation) { n.Name = " 会 " },
		"name_en":     func(n *providers.NewOrganisation) { n.NameEN = strings.Repeat("x", 201) },
		"kind":        func(n *providers.NewOrganisation) { n.Kind = "club" },
		"credit_code": func(n *providers.NewOrganisation) { n.CreditCode = "91350100M000100Y44" },
		"division":    func(n *providers.NewOrganisation) { n.Division = "330599000000" },
		"contact":     func(n *providers.NewOrganisation) { n.Contact = "\x07" },
	} {
		n := newOrganisation()
		spoil(&n)
		if _, err := s.Join(t.Context(), "p1", n); !asField(err, field) {
			t.Errorf("%s: got %v", field, err)
		}
	}
}

func TestPostSplitsLotsAndWritesShares(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s, record := newService(t)
	org := approved(t, s)
	o, err := s.Post(ctx, "p1", org, newOffer())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{wuxing, nanxun}, o.Divisions); diff != "" {
		t.Errorf("a town beside its county is left out: %s", diff)
	}
	if o.Unit != "份" || o.CapPeriod != matching.Day || o.Kind != providers.Charity || o.Revision != 1 || o.Status != providers.OfferOpen {
		t.Errorf("got %+v", o)
	}
	from := noon.UnixMilli()
	wantLots := []providers.OfferLot{
		{ID: o.ID + "-1", QtyUnits: 8, FromMs: from, UntilMs: from + 3_600_000, Shares: map[string]int64{wuxing: 5, nanxun: 3}},
		{ID: o.ID + "-2", QtyUnits: 16, FromMs: from + 3_600_000, UntilMs: from + 7_200_000, Shares: map[string]int64{wuxing: 10, nanxun: 6}},
	}
	if diff := cmp.Diff(wantLots, o.Lots); diff != "" {
		t.Error(diff)
	}
	read, err := s.Offer(ctx, o.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(o, read); diff != "" {
		t.Errorf("the offer is stored as it is returned: %s", diff)
	}
	shares := func() map[string]int64 {
		t.Helper()
		all, err := s.Shares(ctx, o.ID)
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]int64{}
		for _, x := range all {
			if x.Offer != o.ID || x.Organisation != org.ID || x.Category != "meal" || x.UpdatedMs != from || x.UntilMs == 0 {
				t.Errorf("share %+v", x)
			}
			out[x.ID] = x.FreeUnits()
		}
		return out
	}
	want := map[string]int64{
		o.ID + "-1@330502": 5, o.ID + "-1@330503": 3, o.ID + "-2@330502": 10, o.ID + "-2@330503": 6,
	}
	if diff := cmp.Diff(want, shares()); diff != "" {
		t.Fatal(diff)
	}

	// A crash before some shares were written is mended; the others, which may
	// have moved on, stay as they are.
	collection := s.ShareCollection()
	if _, err := collection.Change(ctx, o.ID+"-2@330502", func(x *providers.Share) error { return x.Reserve("a", 4) }); err != nil {
		t.Fatal(err)
	}
	if err := record.Delete(ctx, "shares", []string{o.ID + "-1@330503"}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.EnsureShares(ctx, read); err != nil {
			t.Fatal(err)
		}
	}
	want[o.ID+"-2@330502"] = 6
	if diff := cmp.Diff(want, shares()); diff != "" {
		t.Fatal(diff)
	}
}

// What is kept of a lot is a lot of its own, split over the counties that it is
// for; all parts are the whole, and many small lots keep what they should.
func TestWhatIsKeptIsSetAside(t *testing.T) {
	t.Parallel()
	s, _ := newService(t)
	org := approved(t, s)
	n := newOffer()
	n.Kept = []providers.Kept{{Group: "elderly", PerMille: 250}, {Division: yuehe, PerMille: 125}, {Group: "disabled", Division: nanxun, PerMille: 125}}
	n.Lots = n.Lots[:1]
	o, err := s.Post(t.Context(), "p1", org, n)
	if err != nil {
		t.Fatal(err)
	}
	from, until := n.Lots[0].FromMs, n.Lots[0].UntilMs
	want := []providers.OfferLot{
		{ID: o.ID + "-1", QtyUnits: 8, FromMs: from, UntilMs: until, Shares: map[string]int64{wuxing: 5, nanxun: 3}},
		{ID: o.ID + "-1k1", Kept: 1, QtyUnits: 4, FromMs: from, UntilMs: until, Shares: map[string]int64{wuxing: 3, nanxun: 1}},
		{ID: o.ID + "-1k2", Kept: 2, QtyUnits: 2, FromMs: from, UntilMs: until, Shares: map[string]int64{wuxing: 2}},
		{ID: o.ID + "-1k3", Kept: 3, QtyUnits: 2, FromMs: from, UntilMs: until, Shares: map[string]int64{nanxun: 2}},
	}
	if diff := cmp.Diff(want, o.Lots); diff != "" {
		t.Error(diff)
	}
	read, err := s.Offer(t.Context(), o.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(o, read); diff != "" {
		t.Errorf("the offer is stored as it is returned: %s", diff)
	}
	if k := read.KeptFor(read.Lots[3]); k == nil || *k != n.Kept[2] || read.KeptFor(read.Lots[0]) != nil {
		t.Errorf("kept for %+v, want %+v", k, n.Kept[2])
	}
	shares, err := s.Shares(t.Context(), o.ID)
	if err != nil {
		t.Fatal(err)
	}
	free := map[string]int64{}
	for _, x := range shares {
		free[x.Lot] += x.FreeUnits()
	}
	for _, lot := range o.Lots {
		if free[lot.ID] != lot.QtyUnits {
			t.Errorf("lot %s: %d free of %d", lot.ID, free[lot.ID], lot.QtyUnits)
		}
	}

	// Thirty lots of three: a quarter of all, though never of one.
	n.Kept, n.Divisions = n.Kept[:1], []string{wuxing}
	n.Lots = nil
	for range 30 {
		n.Lots = append(n.Lots, providers.NewLot{QtyUnits: 3, FromMs: from, UntilMs: until})
	}
	if o, err = s.Post(t.Context(), "p1", org, n); err != nil {
		t.Fatal(err)
	}
	parts := map[int64]int64{}
	for _, lot := range o.Lots {
		parts[lot.Kept] += lot.QtyUnits
	}
	if parts[0]+parts[1] != 90 || parts[1] < 22 || parts[1] > 23 {
		t.Errorf("of 90 units %d are kept and %d are not, want a quarter", parts[1], parts[0])
	}
	// All of it may be kept.
	n.Kept[0].PerMille = 1000
	if o, err = s.Post(t.Context(), "p1", org, n); err != nil || len(o.Lots) != 30 || o.Lots[0].Kept != 1 || o.Lots[0].QtyUnits != 3 {
		t.Errorf("all kept: %+v, %v", o, err)
	}
}

func TestOffersOfACityAndOfOneCounty(t *testing.T) {
	t.Parallel()
	s, _ := newService(t)
	org := approved(t, s)
	n := newOffer()
	n.Lots = n.Lots[:1]
	for _, c := range []struct {
		divisions []string
		want      map[string]int64
	}{
		{[]string{huzhou}, map[string]int64{wuxing: 8, nanxun: 5, deqing: 3}},
		{[]string{"330000000000", deqing}, map[string]int64{wuxing: 8, nanxun: 5, deqing: 3}},
		{[]string{deqing}, map[string]int64{deqing: 16}},
		{[]string{yuehe}, map[string]int64{wuxing: 16}},
	} {
		n.Divisions = c.divisions
		o, err := s.Post(t.Context(), "p1", org, n)
		if err != nil {
			t.Fatal(err)
		}
		if got := o.Lots[0].Shares; !maps.Equal(got, c.want) {
			t.Errorf("%v: got %v, want %v", c.divisions, got, c.want)
		}
	}
}

func TestOfferFieldsAreNamed(t *testing.T) {
	t.Parallel()
	s, record := newService(t)
	org := approved(t, s)
	past := noon.Add(-time.Hour).UnixMilli()
	manyLots := func(n *providers.NewOffer, count int) {
		lot := n.Lots[0]
		n.Lots = nil
		for range count {
			n.Lots = append(n.Lots, lot)
		}
	}
	for _, c := range []struct {
		field string
		spoil func(*providers.NewOffer)
	}{
		{"title_zh", func(n *providers.NewOffer) { n.TitleZH = "" }},
		{"title_zh", func(n *providers.NewOffer) { n.TitleZH = strings.Repeat("餐", 101) }},
		{"title_en", func(n *providers.NewOffer) { n.TitleEN = "\xff" }},
		{"category", func(n *providers.NewOffer) { n.Category = "weapon" }},
		{"unit", func(n *providers.NewOffer) { n.Unit = strings.Repeat("份", 21) }},
		{"unit", func(n *providers.NewOffer) { n.Category, n.Unit = providers.Cash, "元" }},
		{"value_fen", func(n *providers.NewOffer) { n.ValueFen = -1 }},
		{"divisions", func(n *providers.NewOffer) { n.Divisions = nil }},
		{"divisions[1]", func(n *providers.NewOffer) { n.Divisions = []string{wuxing, "330599000000"} }},
		{"divisions[0]", func(n *providers.NewOffer) { n.Divisions = []string{"$ne"} }},
		{"groups[0]", func(n *providers.NewOffer) { n.Groups = []string{"rich"} }},
		{"groups", func(n *providers.NewOffer) { n.Groups = make([]string, 51) }},
		{"min_score_milli", func(n *providers.NewOffer) { n.MinScoreMilli = 1001 }},
		{"min_score_milli", func(n *providers.NewOffer) { n.MinScoreMilli = -1 }},
		{"cap_units", func(n *providers.NewOffer) { n.CapUnits = -1 }},
		{"cap_period", func(n *providers.NewOffer) { n.CapPeriod = "fortnight" }},
		{"pace", func(n *providers.NewOffer) { n.Pace = "slow" }},
		{"reserve_milli", func(n *providers.NewOffer) { n.ReserveMilli = 499 }},
		{"reserve_milli", func(n *providers.NewOffer) { n.ReserveMilli = 3001 }},
		{"reserve_milli", func(n *providers.NewOffer) { n.ReserveMilli = -1 }},
		{"kept", func(n *providers.NewOffer) { n.Kept = make([]providers.Kept, 21) }},
		{"kept[0].group", func(n *providers.NewOffer) { n.Kept = []providers.Kept{{PerMille: 300}} }},
		{"kept[0].group", func(n *providers.NewOffer) { n.Kept = []providers.Kept{{Group: "rich", PerMille: 300}} }},
		{"kept[1].division", func(n *providers.NewOffer) {
			n.Kept = []providers.Kept{{Group: "elderly", PerMille: 300}, {Division: "330599000000", PerMille: 1}}
		}},
		{"kept[0].division", func(n *providers.NewOffer) { n.Kept = []providers.Kept{{Division: deqing, PerMille: 300}} }},
		{"kept[0].division", func(n *providers.NewOffer) { n.Kept = []providers.Kept{{Division: huzhou, PerMille: 300}} }},
		{"kept[0].permille", func(n *providers.NewOffer) { n.Kept = []providers.Kept{{Group: "elderly"}} }},
		{"kept[0].permille", func(n *providers.NewOffer) { n.Kept = []providers.Kept{{Group: "elderly", PerMille: 1001}} }},
		{"kept[1].permille", func(n *providers.NewOffer) {
			n.Kept = []providers.Kept{{Group: "elderly", PerMille: 600}, {Division: wuxing, PerMille: 401}}
		}},
		{"kept[1].group", func(n *providers.NewOffer) {
			n.Kept = []providers.Kept{{Division: wuxing, PerMille: 1}, {Division: wuxing, PerMille: 1}}
		}},
		{"handover.how", func(n *providers.NewOffer) { n.Handover.How = "" }},
		{"handover.place", func(n *providers.NewOffer) { n.Handover.Place = " " }},
		{"handover.place_en", func(n *providers.NewOffer) { n.Handover.PlaceEN = strings.Repeat("x", 201) }},
		{"handover.note", func(n *providers.NewOffer) { n.Handover.Note = strings.Repeat("x", 501) }},
		{"lots", func(n *providers.NewOffer) { n.Lots = nil }},
		{"lots", func(n *providers.NewOffer) { manyLots(n, 401) }},
		{"lots[1].qty_units", func(n *providers.NewOffer) { n.Lots[1].QtyUnits = 0 }},
		{"lots[0].qty_units", func(n *providers.NewOffer) { n.Lots[0].QtyUnits = 10_000_001 }},
		{"lots[0].from_ms", func(n *providers.NewOffer) { n.Lots[0].FromMs = -1 }},
		{"lots[0].until_ms", func(n *providers.NewOffer) { n.Lots[0].UntilMs = n.Lots[0].FromMs }},
		{"lots[0].until_ms", func(n *providers.NewOffer) { n.Lots[0].UntilMs = 1 << 62 }},
		{"lots", func(n *providers.NewOffer) { n.Lots = []providers.NewLot{{QtyUnits: 1, FromMs: 0, UntilMs: past}} }},
	} {
		n := newOffer()
		c.spoil(&n)
		if _, err := s.Post(t.Context(), "p1", org, n); !asField(err, c.field) {
			t.Errorf("%s: got %v", c.field, err)
		}
	}
	// At the limits all is well, also with one lot that is over among others.
	n := newOffer()
	manyLots(&n, 400)
	n.Lots[0].QtyUnits = 10_000_000
	n.Lots[7] = providers.NewLot{QtyUnits: 1, FromMs: 0, UntilMs: past}
	n.MinScoreMilli, n.CapUnits, n.CapPeriod = 1000, 0, matching.Ever
	if _, err := s.Post(t.Context(), "p1", org, n); err != nil {
		t.Error(err)
	}
	// So many shares do not fit into one offer.
	wide := providers.New(providers.Config{Record: record, Now: func() time.Time { return noon }, Counties: func() []string {
		var all []string
		for i := range 100 {
			all = append(all, fmt.Sprintf("33%02d%02d000000", 1+i/50, 1+i%50))
		}
		return all
	}})
	n.Divisions, n.Groups = []string{"330000000000"}, nil
	if _, err := wide.Post(t.Context(), "p1", org, n); !asField(err, "lots") {
		t.Errorf("400 lots in 100 counties: %v", err)
	}
	narrow := providers.New(providers.Config{Record: record, Now: func() time.Time { return noon }})
	if _, err := narrow.Post(t.Context(), "p1", org, n); !asField(err, "divisions") {
		t.Errorf("a province without counties: %v", err)
	}
}

func TestListsAndWithdrawal(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s, _ := newService(t)
	org := approved(t, s)
	var ids []string
	for range 3 {
		o, err := s.Post(ctx, "p1", org, newOffer())
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, o.ID)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if o, err := s.MarkWithdrawn(ctx, "p1", ids[1]); err != nil || o.Status != providers.OfferIsWithdrawn {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	o, err := s.Offer(ctx, ids[1])
	if err != nil || o.WithdrawnMs != noon.UnixMilli() || o.WithdrawnBy != "p1" || o.V != 2 {
		t.Fatalf("got %+v, %v", o, err)
	}
	if _, err := s.MarkWithdrawn(ctx, "p1", "none"); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("unknown offer: %v", err)
	}
	var open []string
	if err := s.OpenOffers(ctx, func(o *providers.Offer) error {
		open = append(open, o.ID)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{ids[0], ids[2]}, open); diff != "" {
		t.Error(diff)
	}
	for _, organisation := range []string{org.ID, ""} {
		var got []string
		for after := ""; ; {
			page, next, err := s.Offers(ctx, organisation, after, 2)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range page {
				got = append(got, o.ID)
			}
			if after = next; after == "" {
				break
			}
		}
		if diff := cmp.Diff([]string{ids[2], ids[1], ids[0]}, got); diff != "" {
			t.Errorf("newest first: %s", diff)
		}
	}
	if page, _, err := s.Offers(ctx, "another", "", 10); err != nil || len(page) != 0 {
		t.Errorf("offers of another organisation: %d, %v", len(page), err)
	}
}

func TestCategories(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, c := range providers.Categories() {
		if seen[c.ID] || c.ZH == "" || c.EN == "" || c.UnitZH == "" || c.UnitEN == "" || c.CapUnits < 1 || !c.CapPeriod.Valid() {
			t.Errorf("%+v", c)
		}
		seen[c.ID] = true
		if got, ok := providers.CategoryByID(c.ID); !ok || got != c {
			t.Errorf("%s: got %+v", c.ID, got)
		}
	}
	if len(seen) < 14 {
		t.Errorf("only %d kinds", len(seen))
	}
	if _, ok := providers.CategoryByID("weapon"); ok {
		t.Error("found a kind that is none")
	}
}

func TestPostingUnderTheSameKeyIsTheFirstOffer(t *testing.T) {
	t.Parallel()
	f, _ := newService(t)
	org := approved(t, f)
	n := newOffer()
	n.Key = "k1"
	first, err := f.Post(t.Context(), "p1", org, n)
	if err != nil {
		t.Fatal(err)
	}
	again, err := f.Post(t.Context(), "p1", org, n)
	if err != nil || again.ID != first.ID {
		t.Fatalf("got %v, %v; want offer %s again", again, err, first.ID)
	}
	shares, err := f.Shares(t.Context(), first.ID)
	if err != nil || len(shares) != len(first.Lots[0].Shares)+len(first.Lots[1].Shares) {
		t.Errorf("%d shares, %v", len(shares), err)
	}
	n.Key = "k2"
	if other, err := f.Post(t.Context(), "p1", org, n); err != nil || other.ID == first.ID {
		t.Errorf("another key: %v, %v", other, err)
	}
}

// crash is a record whose changes of offers fail, as if the process died there.
type crash struct {
	store.Record
	on bool
}

func (c *crash) Replace(ctx context.Context, collection string, docs []store.Document) ([]error, error) {
	if c.on && collection == "offers" {
		return nil, errCrash
	}
	return c.Record.Replace(ctx, collection, docs)
}

var errCrash = errors.New("the process died")

// A suspension whose process dies before the offers bear the mark is finished
// by whoever looks next; a reason is asked for.
func TestSuspensionSurvivesACrash(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, record := newService(t)
	broken := &crash{Record: record}
	at := noon
	s := providers.New(providers.Config{
		Record: broken, Now: func() time.Time { return at }, Known: known, Group: func(string) bool { return true },
		Counties: func() []string { return []string{wuxing, nanxun, deqing} },
	})
	org := approved(t, s)
	if _, err := s.Post(ctx, "p1", org, newOffer()); err != nil {
		t.Fatal(err)
	}
	var wrong providers.FieldError
	if _, err := s.Decide(ctx, "admin", org.ID, providers.Suspended, " "); !errors.As(err, &wrong) || wrong.Field != "note" {
		t.Fatalf("without a reason: %v", err)
	}
	at, broken.on = noon.Add(time.Hour), true
	if _, err := s.Decide(ctx, "admin", org.ID, providers.Suspended, "证照过期"); !errors.Is(err, errCrash) {
		t.Fatal(err)
	}
	broken.on = false
	changed := func() (n int) {
		if err := s.ChangedOffers(ctx, at.UnixMilli(), func(*providers.Offer) error { n++; return nil }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if changed() != 0 {
		t.Fatal("the crash came too late")
	}
	for range 2 {
		if err := s.FinishDecisions(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if changed() != 1 {
		t.Error("the open offer does not bear the mark of the suspension")
	}
	got, err := s.Get(ctx, org.ID)
	if err != nil || got.Untold || got.Status != providers.Suspended || len(got.Decisions) != 2 {
		t.Errorf("%+v, %v", got, err)
	}
}
