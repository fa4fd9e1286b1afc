package hsds

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/app/store/sqlite"
	"github.com/xingfuma/happycode/providers"
)

const (
	county = "330502000000"
	town   = "330502001000"
)

var now = time.Date(2026, 11, 24, 2, 0, 0, 0, time.UTC)

func tree(t *testing.T) *regions.Tree {
	t.Helper()
	var all []regions.Division
	for _, d := range []struct {
		code, name, parent string
		level              regions.Level
	}{
		{"330000000000", "浙江省", "", regions.Province}, {"330500000000", "湖州市", "330000000000", regions.City},
		{county, "吴兴区", "330500000000", regions.CountyLevel}, {town, "月河街道", county, regions.Town},
	} {
		all = append(all, regions.Division{Meta: store.Meta{ID: d.code}, Name: d.name, Level: d.level, Parent: d.parent})
	}
	made, err := regions.NewTree(all)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func newProviders(t *testing.T) *providers.Service {
	t.Helper()
	record, err := sqlite.Open(filepath.Join(t.TempDir(), "record.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { record.Close() })
	if err := record.Ensure(t.Context(), providers.Schemas()...); err != nil {
		t.Fatal(err)
	}
	known := tree(t)
	return providers.New(providers.Config{
		Record: record, Now: func() time.Time { return now }, Known: func(code string) bool { _, ok := known.Get(code); return ok },
		Counties: func() []string { return []string{county} },
	})
}

// market is an organisation with everything that is exchanged.
func market(t *testing.T, s *providers.Service) (*providers.Organisation, *providers.Offer) {
	t.Helper()
	org, err := s.Join(t.Context(), "a1", providers.NewOrganisation{
		Name: "浙北大厦", NameEN: "Zhebei Plaza", Kind: providers.Enterprise, CreditCode: "91350100M000100Y43", Division: county,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Decide(t.Context(), "admin", org.ID, providers.Approved, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SetProfile(t.Context(), org.ID, providers.Profile{
		DescriptionZH: "本地超市", DescriptionEN: "A local supermarket", Contact: "0572-2000000", Email: "office@example.cn", Website: "https://example.cn/", Serves: []string{county},
	}); err != nil {
		t.Fatal(err)
	}
	org, err = s.SetPlace(t.Context(), org.ID, providers.Place{
		ID: "p00", NameZH: "月河门店", NameEN: "Yuehe store", Division: town, Address: "月河路 8 号", AddressEN: "8 Yuehe Road", Phone: "0572-2000001", Located: true, At: providers.Point{LatMicro: 30869330, LngMicro: 120102450},
		Hours: providers.Hours{
			Week:   []providers.WeekdayHours{{Weekday: 1, Spans: []providers.Span{{FromMin: 510, UntilMin: 690}, {FromMin: 780, UntilMin: 1020}}}, {Weekday: 6, Spans: []providers.Span{{FromMin: 510, UntilMin: 690}}}},
			Except: []providers.DateHours{{Date: "2027-02-06", Note: "春节"}, {Date: "2027-02-14", Spans: []providers.Span{{FromMin: 540, UntilMin: 1440}}}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	offer, err := s.Post(t.Context(), "a1", org, providers.NewOffer{
		TitleZH: "爱心粮油", TitleEN: "Groceries", Category: "grocery", Divisions: []string{county}, Key: "not a UUID",
		Handover: providers.Handover{How: providers.Pickup, Place: "月河门店"}, Lots: []providers.NewLot{{QtyUnits: 10, FromMs: now.UnixMilli(), UntilMs: now.Add(time.Hour).UnixMilli()}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return org, offer
}

// valid holds a thing against our schema and, where HSDS_SCHEMA_DIR names a
// directory with the published files of HSDS 3.1, against those.
func valid(t *testing.T, kind string, x any) {
	t.Helper()
	text, err := json.Marshal(x)
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	schemas := []string{"testdata/schema.json#/$defs/" + kind}
	if dir := os.Getenv("HSDS_SCHEMA_DIR"); dir != "" {
		schemas = append(schemas, filepath.Join(dir, kind+".json"))
	}
	for _, at := range schemas {
		c := jsonschema.NewCompiler()
		c.AssertFormat()
		schema, err := c.Compile(at)
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(value); err != nil {
			t.Errorf("%s by %s: %v\n%s", kind, at, err, text)
		}
	}
}

func TestDocumentsAreValid(t *testing.T) {
	t.Parallel()
	s := newProviders(t)
	org, offer := market(t, s)
	w := Writer{tree(t)}
	org.Services = []providers.ListedService{{ID: "0190b0c0-0000-7000-8000-000000000001", NameZH: "法律咨询", Status: "active", URL: "https://example.cn/law", Places: []string{"p00"}}}
	full := w.Offer(offer, []string{"老年人"}, now, true)
	full.Capacities = []Capacity{Left(offer, 7, 10, now)}
	for _, all := range []bool{false, true} {
		valid(t, "organization", w.Organization(org, all))
		valid(t, "service", w.Offer(offer, nil, now, all))
		valid(t, "service", w.Listed(org, org.Services[0], all))
	}
	valid(t, "service", full)
	valid(t, "location", w.Location(org, org.Places[0]))
	valid(t, "organization", w.Organization(&providers.Organisation{Meta: store.Meta{ID: store.NewID()}, Name: "仅有名称", Division: county}, true))
	if full.Status != "active" || w.Offer(offer, nil, now.Add(2*time.Hour), true).Status != "inactive" {
		t.Error("an offer is active until its last lot ends")
	}
}

// What one instance writes another takes, with everything, and again nothing;
// nobody is approved by it.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	from, to := newProviders(t), newProviders(t)
	org, offer := market(t, from)
	w := Writer{tree(t)}
	doc := Document{
		Organizations: []Organization{w.Organization(org, true)}, Locations: []Location{w.Location(org, org.Places[0])},
		Services: []Service{w.Offer(offer, nil, now, true), {ID: "0190b0c0-0000-7000-8000-000000000001", OrganizationID: org.ID, Name: "法律咨询", Status: "active"}},
	}
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	take := func(text []byte) Outcome {
		t.Helper()
		d, err := Read(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		out, err := Taker{Providers: to}.Take(t.Context(), "a2", d)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if out := take(text); out.New != 1 || len(out.Bad) != 0 {
		t.Fatalf("%+v", out)
	}
	got, err := to.Get(t.Context(), org.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got.Status != providers.Pending || got.Kind != org.Kind || got.CreditCode != org.CreditCode || got.Division != county || got.NameEN != org.NameEN {
		t.Errorf("%+v", got)
	}
	if diff := cmp.Diff(org.Profile(), got.Profile()); diff != "" {
		t.Error(diff)
	}
	want := slices.Clone(org.Places)
	want[0].ID, want[0].ChangedMs = ID("p00"), 0
	if diff := cmp.Diff(want, got.Places); diff != "" {
		t.Error(diff)
	}
	if len(got.Services) != 1 || got.Services[0].NameZH != "法律咨询" {
		t.Errorf("an offer is taken as a service without stock: %+v", got.Services)
	}
	if out := take(text); out.Same != 1 || out.New+out.Changed+len(out.Bad) != 0 {
		t.Errorf("again: %+v", out)
	}
	if _, err := to.Decide(t.Context(), "admin", org.ID, providers.Suspended, "核实中"); err != nil {
		t.Fatal(err)
	}
	if out := take(bytes.Replace(text, []byte("月河路 8 号"), []byte("月河路 9 号"), 1)); out.Changed != 1 {
		t.Errorf("a change: %+v", out)
	}
	if got, err = to.Get(t.Context(), org.ID); err != nil || got.Places[0].Address != "月河路 9 号" || got.Status != providers.Suspended {
		t.Errorf("%+v, %v", got, err)
	}
}

// Bad rows are named, the rest is taken; files that are none are refused.
func TestBadRows(t *testing.T) {
	t.Parallel()
	s := newProviders(t)
	good := `{"id":"d9d5e0f5-d3ce-4f73-9a2f-4dd0ecc6c610","name":"湖州市慈善总会","description":"x","unknown":1,"organization_identifiers":[{"id":"x","identifier_type":"USCC","identifier":"91350100M000100Y43"}],"attributes":[{"id":"x","label":"happycode_seat","value":"330502000000"}]}`
	file := "[" + strings.Join([]string{
		good,
		`{"id":"7","name":"编号不对"}`,
		`{"id":"d9d5e0f5-d3ce-4f73-9a2f-4dd0ecc6c611","name":"没有代码"}`,
		strings.Replace(good, "c610", "c612", 1), // the credit code again
		strings.Replace(strings.Replace(good, "c610", "c613", 1), `"value":"330502000000"`, `"value":"1"`, 1),
		`{"id":5}`,
	}, ",") + "]"
	d, err := Read(strings.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	out, err := Taker{Providers: s}.Take(t.Context(), "a1", d)
	if err != nil || out.New != 1 {
		t.Fatalf("%+v, %v", out, err)
	}
	var got []string
	for _, b := range out.Bad {
		got = append(got, b.Path+" "+b.Field)
		if b.ZH == "" || b.EN == "" {
			t.Errorf("%+v says nothing", b)
		}
	}
	want := []string{"organizations[1] id", "organizations[2] organization_identifiers", "organizations[3] organization_identifiers", "organizations[4] division", "organizations[5] id"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	outside, err := Taker{Providers: newProviders(t), May: func(string) bool { return false }}.Take(t.Context(), "a1", d)
	if err != nil || outside.New != 0 || len(outside.Bad) != 6 {
		t.Errorf("beyond one's responsibility: %+v, %v", outside, err)
	}
	for _, none := range []string{"", "{}", "[]", "null", "<xml/>", `{"organizations":{}}`} {
		if _, err := Read(strings.NewReader(none)); err == nil {
			t.Errorf("%q is a document", none)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"organizations":[{"id":"d9d5e0f5-d3ce-4f73-9a2f-4dd0ecc6c610","name":"x"}]}`))
	f.Add([]byte(`{"contents":[{"locations":[{"schedules":[{"byday":"MO","opens_at":"08:30","closes_at":"25:99"}]}]}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := Read(bytes.NewReader(text))
		if err != nil {
			return
		}
		for _, o := range d.Organizations {
			for _, l := range o.Locations {
				_, _ = place(l, county) // must not panic
			}
		}
	})
}
