package providers_test

import (
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/providers"
)

// Known pairs of the two systems, and the way back to a millionth of a degree.
func TestCoordinatesOfChineseMaps(t *testing.T) {
	t.Parallel()
	for _, x := range []struct{ lat, lng, mapLat, mapLng float64 }{
		{31.1774276, 121.5272106, 31.17530398364597, 121.531541859215}, // Shanghai
		{22.543847, 113.912316, 22.540796131694766, 113.9171764808363}, // Shenzhen
		{39.911954, 116.377817, 39.91334545536069, 116.38404722455657}, // Beijing
		{48.8566, 2.3522, 48.8566, 2.3522},                             // Paris is not moved
	} {
		p, err := providers.NewPoint(x.lat, x.lng, providers.WGS84)
		if err != nil {
			t.Fatal(err)
		}
		lat, lng := p.GCJ02()
		if math.Abs(lat-x.mapLat) > 2e-6 || math.Abs(lng-x.mapLng) > 2e-6 {
			t.Errorf("(%v, %v) is shown at (%v, %v), want (%v, %v)", x.lat, x.lng, lat, lng, x.mapLat, x.mapLng)
		}
		back, err := providers.NewPoint(x.mapLat, x.mapLng, providers.GCJ02)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(float64(back.LatMicro-p.LatMicro)) > 2 || math.Abs(float64(back.LngMicro-p.LngMicro)) > 2 {
			t.Errorf("back from the map: %+v, want %+v", back, p)
		}
	}
	want := providers.Point{30894410, 120086820}
	for _, s := range []string{"30.894410, 120.086820", "30.894410，120.086820", "120.08682 30.89441"} {
		if p, err := providers.ParsePoint(s, providers.WGS84); err != nil || p != want {
			t.Errorf("%q: %+v, %v", s, p, err)
		}
	}
	for _, s := range []string{"", "30.9", "a,b", "91,181", "NaN,NaN", "30,120,5"} {
		if p, err := providers.ParsePoint(s, providers.WGS84); err == nil {
			t.Errorf("%q is %+v", s, p)
		}
	}
}

// Hours as people write them; a date that differs counts before its weekday.
func TestHours(t *testing.T) {
	t.Parallel()
	spans, err := providers.ParseSpans("x", " 13：00－17：00，8:30至11:30 ")
	if want := []providers.Span{{510, 690}, {780, 1020}}; err != nil || !slices.Equal(spans, want) {
		t.Fatalf("%v, %v", spans, err)
	}
	for _, s := range []string{"8-9", "9:00", "17:00-9:00", "8:00-12:00,11:00-13:00", "25:00-26:00", "8:60-9:00", "0:00-24:01", "1:00-2:00,3:00-4:00,5:00-6:00,7:00-8:00,9:00-10:00"} {
		if got, err := providers.ParseSpans("x", s); err == nil {
			t.Errorf("%q is %v", s, got)
		}
	}
	h := providers.Hours{Week: []providers.WeekdayHours{{7, spans}, {4, spans}}, Except: []providers.DateHours{{Date: "2026-10-01", Note: "国庆节"}}}
	f, _ := newService(t)
	org := approved(t, f)
	set := func(h providers.Hours) (providers.Hours, error) {
		o, err := f.SetPlace(t.Context(), org.ID, providers.Place{ID: "p", NameZH: "食堂", Division: yuehe, Address: "月河路", Hours: h})
		if err != nil {
			return h, err
		}
		return o.Places[0].Hours, nil
	}
	h, err = set(h)
	if err != nil || h.Week[0].Weekday != 4 {
		t.Fatalf("%+v, %v", h, err)
	}
	day := func(s string) time.Time {
		d, err := time.Parse(time.DateOnly, s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for date, open := range map[string]bool{"2026-10-01": false, "2026-10-08": true, "2026-10-11": true, "2026-10-09": false} { // Thu, Thu, Sun, Fri
		if got := h.On(day(date)); (len(got) > 0) != open {
			t.Errorf("%s: %v", date, got)
		}
	}
	for _, h := range []providers.Hours{{Week: []providers.WeekdayHours{{0, nil}}}, {Week: []providers.WeekdayHours{{1, spans}, {1, spans}}}, {Except: []providers.DateHours{{Date: "2026-02-30"}}}} {
		if _, err := set(h); err == nil {
			t.Errorf("%+v is taken", h)
		}
	}
}

// What an organisation serves bounds its offers, and those of before it said so
// stand.
func TestOffersLieWithinWhatIsServed(t *testing.T) {
	t.Parallel()
	f, _ := newService(t)
	org := approved(t, f)
	n := newOffer()
	n.Divisions = []string{wuxing, nanxun}
	if _, err := f.Post(t.Context(), "a", org, n); err != nil {
		t.Fatal(err)
	}
	if _, err := f.SetProfile(t.Context(), org.ID, providers.Profile{Serves: []string{yuehe, wuxing}}); err != nil {
		t.Fatal(err)
	}
	var wrong providers.FieldError
	if _, err := f.Post(t.Context(), "a", org, n); !errors.As(err, &wrong) || wrong.Field != "divisions[1]" {
		t.Fatalf("beyond what is served: %v", err)
	}
	n.Divisions = n.Divisions[:1]
	if _, err := f.Post(t.Context(), "a", org, n); err != nil {
		t.Fatal(err)
	}
}

func TestProfileAndPlaces(t *testing.T) {
	t.Parallel()
	f, _ := newService(t)
	org := approved(t, f)
	for field, p := range map[string]providers.Profile{
		"email": {Email: "nobody"}, "website": {Website: "javascript:alert(1)"}, "serves[0]": {Serves: []string{"1"}},
	} {
		var wrong providers.FieldError
		if _, err := f.SetProfile(t.Context(), org.ID, p); !errors.As(err, &wrong) || wrong.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	place := providers.Place{ID: "p1", NameZH: "敬老食堂", Division: yuehe, Address: "月河路 8 号", Located: true, At: providers.Point{30894410, 120086820}}
	for range 2 { // a repeat adds no second
		if _, err := f.SetPlace(t.Context(), org.ID, place); err != nil {
			t.Fatal(err)
		}
	}
	got, err := f.Get(t.Context(), org.ID)
	if err != nil || len(got.Places) != 1 || got.Places[0].At != place.At {
		t.Fatalf("%+v, %v", got, err)
	}
	for range 2 {
		if err := f.RemovePlace(t.Context(), org.ID, "p1"); err != nil {
			t.Fatal(err)
		}
	}
	if got, err = f.Get(t.Context(), org.ID); err != nil || len(got.Places) != 0 {
		t.Fatalf("%+v, %v", got, err)
	}
	if _, err := got.Place("p1"); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
}
