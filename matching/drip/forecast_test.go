package drip_test

import (
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/xingfuma/happycode/matching/drip"
)

// plain is a forecast of one day with two categories in two places: 10 units
// of each are expected in each hour, half of them weighing 1, half 3. The
// third category has no history.
func plain(t *testing.T) *drip.Forecast {
	t.Helper()
	c := drip.Config{
		Hours: 24, Categories: 3, Places: 2, Assumed: 1.5, LastsMs: []int64{hour, hour, hour},
		Fits: func(int, int) []int32 { return []int32{0} },
	}
	for category := range 2 {
		for place := range 2 {
			for _, weight := range []float64{1, 3} {
				k := drip.Kind{Category: category, Place: place, Weight: weight, LastsMs: hour, Fits: []int32{int32(category)}}
				for range 24 {
					k.Units = append(k.Units, 5)
				}
				c.Kinds = append(c.Kinds, k)
			}
		}
	}
	f, err := drip.NewForecast(c)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// come tells a forecast of whole hours in which times as many units came as
// expected, in one cell or, with category -1, in all.
func come(f *drip.Forecast, hours int, category, place int, times float64) {
	for h := range hours {
		for c := range 2 {
			for p := range 2 {
				units := 5.0
				if category < 0 || c == category && p == place {
					units *= times
				}
				for _, weight := range []float64{1, 3} {
					f.Seen(drip.Arrival{AtMs: int64(h)*hour + hour/2, Category: c, Place: p, Units: units, Weight: weight})
				}
			}
		}
	}
}

// rest is how many units are expected, of all, of one category and place, and
// of one weight.
func rest(f *drip.Forecast, now int64, reserve float64, keep func(drip.Demand) bool) (units float64) {
	for _, d := range f.Rest(now, times(reserve), []float64{0, 0, 0}, nil) {
		if keep == nil || keep(d) {
			units += d.Units
		}
	}
	return units
}

// times is the same reserve for everybody.
func times(reserve float64) func([]int32) float64 { return func([]int32) float64 { return reserve } }

func about(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-6*max(1, math.Abs(want)) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestWhatIsExpectedComes(t *testing.T) {
	t.Parallel()
	f := plain(t)
	about(t, "the whole day", rest(f, 0, 1, nil), 24*40)
	come(f, 6, -1, 0, 1)
	about(t, "after six hours as expected", rest(f, 6*hour, 1, nil), 18*40)
	about(t, "in the middle of the seventh", rest(f, 6*hour+hour/2, 1.4, nil), 1.4*rest(f, 6*hour+hour/2, 1, nil))
	about(t, "at the end", rest(f, 24*hour, 1, nil), 0)
}

func TestDemandIsExpectedWhereItsHourLies(t *testing.T) {
	t.Parallel()
	f := plain(t)
	now := int64(9*hour + hour/4)
	for _, d := range f.Rest(now, times(1), []float64{0, 0, 0}, nil) {
		if d.FromMs < now || d.FromMs > 24*hour || d.UntilMs-d.FromMs != hour || len(d.Fits) != 1 {
			t.Fatalf("at %d: %+v", now, d)
		}
	}
}

func TestMoreThanExpectedRaisesTheRest(t *testing.T) {
	t.Parallel()
	f := plain(t)
	usual := rest(f, 8*hour, 1, nil)
	come(f, 8, -1, 0, 2)
	if got := rest(f, 8*hour, 1, nil) / (16 * 40); got < 1.5 || got > 2 {
		t.Errorf("after eight hours with twice the demand the rest is reckoned with %.2f times, want between 1.5 and 2", got)
	}
	if usual >= 16*40 {
		t.Errorf("after eight hours in which nobody came %.0f units are expected, want fewer than %d", usual, 16*40)
	}
}

// A surge in one place says most about that place, less about its category
// elsewhere, and least about another category.
func TestASurgeIsShrunkTowardsTheCity(t *testing.T) {
	t.Parallel()
	f := plain(t)
	come(f, 8, 0, 1, 4)
	rates := f.Rates(8 * hour)
	here, elsewhere, other := rates[0*2+1], rates[0*2+0], rates[1*2+0]
	if !(here > elsewhere && elsewhere > other && other > 1) {
		t.Errorf("rates %.3f here, %.3f in the other place, %.3f of the other category: want them falling and above 1", here, elsewhere, other)
	}
}

// What came lately says more than what came long ago.
func TestTheLastHoursCountMore(t *testing.T) {
	t.Parallel()
	early, late := plain(t), plain(t)
	for h := range 12 {
		units := map[bool]float64{true: 20, false: 0}
		early.Seen(drip.Arrival{AtMs: int64(h) * hour, Units: units[h < 6], Weight: 1})
		late.Seen(drip.Arrival{AtMs: int64(h) * hour, Units: units[h >= 6], Weight: 1})
	}
	if e, l := early.Rates(12 * hour)[0], late.Rates(12 * hour)[0]; l <= e {
		t.Errorf("a late surge gives the rate %.3f, an early one %.3f", l, e)
	}
}

// On a day on which the neediest have not come yet, they are still reckoned
// with; that the others came in numbers takes nothing from the rest.
func TestTheNeediestMayComeLate(t *testing.T) {
	t.Parallel()
	f := plain(t)
	heavy := func(d drip.Demand) bool { return d.Weight == 3 }
	light := func(d drip.Demand) bool { return d.Weight == 1 }
	for h := range 8 {
		for c := range 2 {
			for p := range 2 {
				f.Seen(drip.Arrival{AtMs: int64(h) * hour, Category: c, Place: p, Units: 10, Weight: 1})
			}
		}
	}
	usual := 16.0 * 20
	if got := rest(f, 8*hour, 1, heavy); got < 1.3*usual {
		t.Errorf("%.0f units of the neediest are expected, want clearly more than the usual %.0f", got, usual)
	}
	if got := rest(f, 8*hour, 1, light); math.Abs(got-usual) > 0.1*usual {
		t.Errorf("%.0f units of the others are expected, want about the usual %.0f", got, usual)
	}
}

// A category without history is learned: first from the stock, then more and
// more from who came.
func TestWithoutHistory(t *testing.T) {
	t.Parallel()
	f := plain(t)
	stock := []float64{0, 0, 60}
	expected := func(now int64) (units, heavy float64) {
		for _, d := range f.Rest(now, times(1), stock, nil) {
			if d.Fits[0] == 0 && d.UntilMs > 0 && d.Weight != 1 && d.Weight != 3 {
				units += d.Units
			}
			if d.Weight == 7 {
				heavy += d.Units
			}
		}
		return units, heavy
	}
	if units, _ := expected(0); units <= 0 || units > 1.5*60 {
		t.Errorf("before anybody came %.1f units are expected, want up to 1.5 for each of 60 in stock", units)
	}
	for i := range 200 {
		f.Seen(drip.Arrival{AtMs: 9*hour + int64(i), Category: 2, Units: 1, Weight: 7})
	}
	if _, heavy := expected(12 * hour); heavy < 100 {
		t.Errorf("after 200 people of weight 7 until noon %.1f units of that weight are expected, want at least 100", heavy)
	}
	if units, heavy := expected(24 * hour); units+heavy != 0 {
		t.Errorf("at the end of the day %.1f units are expected", units+heavy)
	}
}

func TestNotAForecast(t *testing.T) {
	t.Parallel()
	good := drip.Config{Hours: 1, Categories: 1, Places: 1, LastsMs: []int64{1}, Fits: func(int, int) []int32 { return nil }}
	if _, err := drip.NewForecast(good); err != nil {
		t.Fatal(err)
	}
	for what, spoil := range map[string]func(*drip.Config){
		"no hours":     func(c *drip.Config) { c.Hours = 0 },
		"a long one":   func(c *drip.Config) { c.Hours = 24*31 + 1 },
		"no places":    func(c *drip.Config) { c.Places = 0 },
		"no patience":  func(c *drip.Config) { c.LastsMs = nil },
		"far category": func(c *drip.Config) { c.Kinds = []drip.Kind{{Category: 1}} },
		"far place":    func(c *drip.Config) { c.Kinds = []drip.Kind{{Place: 1}} },
		"far hour":     func(c *drip.Config) { c.Kinds = []drip.Kind{{Units: []float64{1, 1}}} },
	} {
		bad := good
		spoil(&bad)
		if _, err := drip.NewForecast(bad); !errors.Is(err, drip.ErrForecast) {
			t.Errorf("%s: got %v, want ErrForecast", what, err)
		}
	}
}

// Where nothing is assumed, nobody is expected before somebody has come.
func TestNothingIsAssumed(t *testing.T) {
	t.Parallel()
	f, err := drip.NewForecast(drip.Config{
		Hours: 24, Categories: 1, Places: 1, LastsMs: []int64{hour}, Fits: func(int, int) []int32 { return []int32{0} },
	})
	if err != nil {
		t.Fatal(err)
	}
	if demands := f.Rest(0, times(1.4), []float64{1000}, nil); len(demands) != 0 {
		t.Errorf("before anybody came: %d demands", len(demands))
	}
	f.Seen(drip.Arrival{AtMs: 9*hour + hour/2, Units: 2, Weight: 2})
	if demands := f.Rest(10*hour, times(1.4), []float64{1000}, nil); len(demands) == 0 {
		t.Error("after somebody came nobody is expected")
	}
}

// A kind is reckoned with by the reserve of the lots that it fits.
func TestTheReserveIsThatOfTheLots(t *testing.T) {
	t.Parallel()
	f := plain(t)
	of := func(fits []int32) float64 { return float64(1 + 2*fits[0]) }
	got := map[int32]float64{}
	for _, d := range f.Rest(0, of, []float64{0, 0, 0}, nil) {
		got[d.Fits[0]] += d.Units
	}
	about(t, "three times as many of the second lot's", got[1], 3*got[0])
}

func TestRaised(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ weight, waited, patience, want int64 }{
		{1000, 0, hour, 1000},
		{1000, -hour, hour, 1000},
		{1000, hour / 2, hour, 1050},
		{1000, hour, hour, 1100},
		{1000, 50 * hour, hour, 1100},
		{1000, hour, 0, 1000},
		{1600, hour / 4, hour, 1640},
	} {
		if got := drip.Raised(c.weight, c.waited, c.patience); got != c.want {
			t.Errorf("%d after %d of %d ms: got %d, want %d", c.weight, c.waited, c.patience, got, c.want)
		}
	}
}

// long is a forecast of two days in which 10 units are expected in each hour,
// half of them weighing 1, half 3.
func long(t *testing.T, firstHour int) *drip.Forecast {
	t.Helper()
	c := drip.Config{
		Hours: 48 - firstHour, FirstHour: firstHour, Categories: 1, Places: 1, LastsMs: []int64{hour},
		Fits: func(int, int) []int32 { return []int32{0} },
	}
	for _, weight := range []float64{1, 3} {
		k := drip.Kind{Weight: weight, LastsMs: hour, Fits: []int32{0}}
		for range c.Hours {
			k.Units = append(k.Units, 5)
		}
		c.Kinds = append(c.Kinds, k)
	}
	f, err := drip.NewForecast(c)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// Later days bring units of their own: what they will ask for counts half.
func TestLaterDaysCountHalf(t *testing.T) {
	t.Parallel()
	for _, firstHour := range []int{0, 6} {
		f := long(t, firstHour)
		today := float64(24 - firstHour)
		about(t, "two days ahead", rest(f, 0, 1, nil), 10*today+5*24)
	}
}

// Who was missing yesterday is not waited for today.
func TestYesterdayIsOver(t *testing.T) {
	t.Parallel()
	f := long(t, 0)
	for h := range 24 {
		f.Seen(drip.Arrival{AtMs: int64(h) * hour, Units: 10, Weight: 1})
	}
	heavy := func(d drip.Demand) bool { return d.Weight == 3 }
	tonight := func(d drip.Demand) bool { return d.Weight == 3 && d.FromMs < 24*hour }
	if late := rest(f, 23*hour, 1, tonight); late < 5*1.5 {
		t.Errorf("in the last hour %.1f units of those who are missing are expected, want more than the usual 5 and half", late)
	}
	about(t, "the next morning", rest(f, 24*hour, 1, heavy), rest(f, 24*hour, 1, func(d drip.Demand) bool { return d.Weight == 1 }))
}

// Where lots last longer than the period, demand goes on until they end, by
// the day at first and by the week later, and a plan of it gives no more than
// there is.
func TestDemandGoesOnWhileLotsLast(t *testing.T) {
	t.Parallel()
	const day = 24 * hour
	ends := []int64{20 * day, 45*day + day/2, 2000 * day}
	config := drip.Config{
		Hours: 48, Categories: 2, Places: 1, LastsMs: []int64{hour, hour}, Assumed: 1,
		Fits: func(int, int) []int32 { return []int32{1} },
		Span: func(fits []int32) (int64, int64) {
			end := ends[fits[len(fits)-1]]
			return []int64{7 * day, end, end}[fits[0]], end
		},
	}
	for lot := range ends {
		k := drip.Kind{Weight: 1 + float64(lot), LastsMs: hour, Fits: []int32{int32(lot)}}
		for h := range 48 {
			k.Units = append(k.Units, []float64{1, 3}[h/24])
		}
		config.Kinds = append(config.Kinds, k)
	}
	for _, goesOn := range []bool{true, false} {
		if !goesOn {
			config.Span = nil
		}
		f, err := drip.NewForecast(config)
		if err != nil {
			t.Fatal(err)
		}
		f.Seen(drip.Arrival{Category: 1, Units: 5, Weight: 9})
		after, learned, tomorrow, count, reserve := map[float64]float64{}, 0.0, 0.0, 0, 2.0
		demands := f.Rest(0, times(reserve), []float64{0, 100}, nil)
		for _, d := range demands {
			switch {
			case d.FromMs < 2*day:
				if d.FromMs > day && d.Weight == 3 {
					tomorrow += d.Units
				}
			case slices.Contains([]float64{1, 2, 3}, d.Weight) && d.Fits[0] == int32(d.Weight)-1:
				after[d.Weight] += d.Units
				count++
				if d.UntilMs > ends[d.Fits[0]]+hour || d.UntilMs-d.FromMs > 7*day+hour {
					t.Errorf("demand from %d to %d for a lot that ends at %d", d.FromMs/hour, d.UntilMs/hour, ends[d.Fits[0]]/hour)
				}
			case d.Weight == 9:
				learned += d.Units
			}
		}
		if !goesOn {
			if len(after) > 0 || learned > 0 {
				t.Errorf("after the period %v and %v learned, want nobody", after, learned)
			}
			continue
		}
		const daysLater, weeksLater = 0.5, 0.85
		about(t, "18 days more", after[1], 18*72*reserve*daysLater)
		about(t, "43½ days more", after[2], 43.5*72*reserve*weeksLater)
		about(t, "a year more", after[3], 366*72*reserve*weeksLater)
		about(t, "tomorrow, for a lot of weeks", tomorrow, 72*reserve*weeksLater)
		if learned <= 0 {
			t.Error("of what was learned nothing goes on")
		}
		if want := 18 + 21 + 4 + 21 + 50; count != want {
			t.Errorf("%d demands after the period, want %d: days for three weeks, then weeks", count, want)
		}
		lots := []drip.Lot{{Units: 100, UntilMs: ends[0]}, {Units: 500, UntilMs: ends[1]}, {Units: 1e9, UntilMs: ends[2]}}
		plan := drip.Make(lots, demands)
		for i, used := range plan.Used {
			if used > lots[i].Units+1e-6 {
				t.Errorf("lot %d: %v planned of %v", i, used, lots[i].Units)
			}
		}
		if plan.Line[0] < 1 || plan.Line[1] < 2 || plan.Line[2] != 0 {
			t.Errorf("lines %v, want one for each lot that is too small for its time, and none for the other", plan.Line)
		}
	}
}
