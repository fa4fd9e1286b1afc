package providers_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xingfuma/happycode/providers"
)

var beijing = time.FixedZone("", 8*60*60)

// said writes lots as "qty month-day weekday from–until".
func said(t *testing.T, s providers.Series) []string {
	t.Helper()
	lots, err := s.Lots()
	if err != nil {
		t.Fatal(err)
	}
	return saidLots(lots)
}

func saidLots(lots []providers.NewLot) []string {
	const layout = "01-02 Mon 15:04"
	out := make([]string, len(lots))
	for i, l := range lots {
		out[i] = time.UnixMilli(l.FromMs).In(beijing).Format(layout) + " – " + time.UnixMilli(l.UntilMs).In(beijing).Format(layout)
	}
	return out
}

func TestSeries(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		in   providers.Series
		want []string
	}{
		{
			"weekday lunches, holidays left out",
			providers.Series{QtyUnits: 60, Every: providers.Weekly, Weekdays: []int{1, 2, 3, 4, 5}, From: "2026-09-29", To: "2026-10-09", Start: "11:00", End: "13:00",
				Skip: []string{"2026-10-01", "2026-10-02", "2026-10-05", "2026-10-06", "2026-10-07", "2026-10-10"}},
			[]string{
				"09-29 Tue 11:00 – 09-29 Tue 13:00", "09-30 Wed 11:00 – 09-30 Wed 13:00",
				"10-08 Thu 11:00 – 10-08 Thu 13:00", "10-09 Fri 11:00 – 10-09 Fri 13:00",
			},
		},
		{
			// Summer time was kept in China from 1986 to 1991, and is elsewhere: an hour must not go missing.
			"where other places change their clocks",
			providers.Series{QtyUnits: 1, Every: providers.Weekly, From: "2026-03-28", To: "2026-03-30", Start: "00:30", End: "04:00"},
			[]string{"03-28 Sat 00:30 – 03-28 Sat 04:00", "03-29 Sun 00:30 – 03-29 Sun 04:00", "03-30 Mon 00:30 – 03-30 Mon 04:00"},
		},
		{
			"over midnight, and whole days",
			providers.Series{QtyUnits: 1, Every: providers.Weekly, Weekdays: []int{7}, From: "2026-12-27", To: "2027-01-03", Start: "22:00", End: "02:00"},
			[]string{"12-27 Sun 22:00 – 12-28 Mon 02:00", "01-03 Sun 22:00 – 01-04 Mon 02:00"},
		},
		{
			"a leap day",
			providers.Series{QtyUnits: 1, Every: providers.Weekly, From: "2028-02-28", To: "2028-03-01"},
			[]string{"02-28 Mon 00:00 – 02-29 Tue 00:00", "02-29 Tue 00:00 – 03-01 Wed 00:00", "03-01 Wed 00:00 – 03-02 Thu 00:00"},
		},
		{
			"several days each week",
			providers.Series{QtyUnits: 20, Every: providers.Weekly, Weekdays: []int{1}, From: "2026-11-01", To: "2026-11-10", Start: "09:00", End: "17:00", Days: 5},
			[]string{"11-02 Mon 09:00 – 11-06 Fri 17:00", "11-09 Mon 09:00 – 11-13 Fri 17:00"},
		},
		{
			"a subsidy on the 31st: the last day of shorter months, until the next one's",
			providers.Series{QtyUnits: 500_00, Every: providers.Monthly, Day: 31, From: "2026-12-01", To: "2027-04-30"},
			[]string{
				"12-31 Thu 00:00 – 01-31 Sun 00:00", "01-31 Sun 00:00 – 02-28 Sun 00:00", "02-28 Sun 00:00 – 03-31 Wed 00:00",
				"03-31 Wed 00:00 – 04-30 Fri 00:00", "04-30 Fri 00:00 – 05-31 Mon 00:00",
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := said(t, tt.in); !slices.Equal(got, tt.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}

func TestServiceSlots(t *testing.T) {
	t.Parallel()
	s := providers.Series{Workers: 3, UnitMinutes: 45, SlotMinutes: 120, Every: providers.Weekly, From: "2026-11-02", To: "2026-11-02", Start: "09:00", End: "14:00"}
	lots, err := s.Lots()
	if err != nil {
		t.Fatal(err)
	}
	// 14:00 cuts the third slot short: nobody is promised half of one.
	if got, want := saidLots(lots), []string{"11-02 Mon 09:00 – 11-02 Mon 11:00", "11-02 Mon 11:00 – 11-02 Mon 13:00"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, l := range lots {
		if got, want := l.QtyUnits, int64(6); got != want { // 2 whole units of 45 minutes for each of 3
			t.Errorf("a slot holds %d units, want %d", got, want)
		}
	}
}

func TestSeriesFaults(t *testing.T) {
	t.Parallel()
	good := providers.Series{QtyUnits: 5, Every: providers.Weekly, From: "2026-11-02", To: "2026-11-06", Start: "11:00", End: "13:00"}
	for field, spoil := range map[string]func(*providers.Series){
		"series.from":         func(s *providers.Series) { s.From, s.To, s.Weekdays = "2026-11-03", "2026-11-04", []int{1} },
		"series.to":           func(s *providers.Series) { s.To = "2026-11-01" },
		"series.every":        func(s *providers.Series) { s.Every = "" },
		"series.weekdays":     func(s *providers.Series) { s.Weekdays = []int{0} },
		"series.day":          func(s *providers.Series) { s.Every, s.Day = providers.Monthly, 32 },
		"series.start":        func(s *providers.Series) { s.Start = "24:00" },
		"series.end":          func(s *providers.Series) { s.End = "25:00" },
		"series.skip":         func(s *providers.Series) { s.Skip = []string{"国庆"} },
		"series.days":         func(s *providers.Series) { s.Days = -1 },
		"series.qty_units":    func(s *providers.Series) { s.QtyUnits = 0 },
		"series.workers":      func(s *providers.Series) { s.QtyUnits, s.Workers = 0, -1 },
		"series.unit_minutes": func(s *providers.Series) { s.QtyUnits, s.Workers, s.UnitMinutes = 0, 1, 121 },
		"series.slot_minutes": func(s *providers.Series) { s.SlotMinutes = 121 },
	} {
		s := good
		spoil(&s)
		_, err := s.Lots()
		var fault providers.FieldError
		if !errors.As(err, &fault) || fault.Field != field {
			t.Errorf("got %v, want a fault of %s", err, field)
		}
	}
	good.To = "2028-11-01"
	if _, err := good.Lots(); err == nil {
		t.Error("a series of two years of days is more than an offer holds, and passes")
	}
}
