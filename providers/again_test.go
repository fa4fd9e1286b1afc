package providers_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xingfuma/happycode/providers"
)

func day(s string) time.Time {
	t, err := time.ParseInLocation("2006-01-02 15:04", s, beijing)
	if err != nil {
		panic(err)
	}
	return t
}

func lot(qty int64, from, until string) providers.NewLot {
	return providers.NewLot{QtyUnits: qty, FromMs: day(from).UnixMilli(), UntilMs: day(until).UnixMilli()}
}

func TestAgain(t *testing.T) {
	t.Parallel()
	s, _ := newService(t)
	org := approved(t, s)
	weekdays := []int{1, 2, 3, 4, 5}
	for _, tt := range []struct {
		name   string
		series []providers.Series
		lots   []providers.NewLot
		now    string
		want   []string // all lots; of a series the first and the last
	}{
		{
			"weekday lunches of November are those of December",
			[]providers.Series{{QtyUnits: 60, Every: providers.Weekly, Weekdays: weekdays, From: "2027-11-01", To: "2027-11-30", Start: "11:00", End: "13:00", Skip: []string{"2027-11-11"}}}, nil,
			"2027-11-25 09:00",
			[]string{"12-01 Wed 11:00 – 12-01 Wed 13:00", "12-31 Fri 11:00 – 12-31 Fri 13:00"},
		},
		{
			"a month of 31 days into February, and its end stays the end",
			[]providers.Series{{QtyUnits: 60, Every: providers.Weekly, From: "2028-01-31", To: "2028-01-31"}, {QtyUnits: 1, Every: providers.Weekly, From: "2028-01-01", To: "2028-01-31"}}, nil,
			"2028-01-31 09:00",
			[]string{"02-29 Tue 00:00 – 03-01 Wed 00:00", "02-29 Tue 00:00 – 03-01 Wed 00:00", "02-01 Tue 00:00 – 02-02 Wed 00:00", "02-29 Tue 00:00 – 03-01 Wed 00:00"},
		},
		{
			"a subsidy of a quarter is for the next quarter, on the 31st where there is one",
			[]providers.Series{{QtyUnits: 100, Every: providers.Monthly, Day: 31, From: "2027-10-01", To: "2027-12-31"}}, nil,
			"2027-12-01 09:00",
			[]string{"01-31 Mon 00:00 – 02-29 Tue 00:00", "03-31 Fri 00:00 – 04-30 Sun 00:00"},
		},
		{
			"by hand, twice a Tuesday: Tuesdays of the next month",
			nil, []providers.NewLot{lot(5, "2027-11-02 11:00", "2027-11-02 13:00"), lot(5, "2027-11-09 11:00", "2027-11-09 13:00"), lot(7, "2027-11-11 11:00", "2027-11-11 13:00")},
			"2027-11-25 09:00",
			[]string{"12-07 Tue 11:00 – 12-07 Tue 13:00", "12-14 Tue 11:00 – 12-14 Tue 13:00", "12-16 Thu 11:00 – 12-16 Thu 13:00"},
		},
		{
			"by hand, a whole month and its last day",
			nil, []providers.NewLot{lot(5, "2028-01-01 00:00", "2028-01-31 23:59"), lot(5, "2028-01-31 09:00", "2028-01-31 17:00")},
			"2028-01-20 09:00",
			[]string{"02-01 Tue 00:00 – 02-29 Tue 23:59", "02-29 Tue 09:00 – 02-29 Tue 17:00"},
		},
		{
			"long over: on to where something lies ahead",
			nil, []providers.NewLot{lot(5, "2027-07-15 09:00", "2027-07-15 17:00")},
			"2028-02-01 09:00",
			[]string{"02-15 Tue 09:00 – 02-15 Tue 17:00"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := newOffer()
			n.Category, n.Lots, n.Series = "grocery", tt.lots, tt.series
			n.Kept = []providers.Kept{{Group: "elderly", PerMille: 300}}
			o, err := s.Post(t.Context(), "p1", org, n)
			if err != nil {
				t.Fatal(err)
			}
			again := o.Again(day(tt.now))
			got := saidLots(again.Lots)
			for _, x := range again.Series {
				all := said(t, x)
				got = append(got, all[0], all[len(all)-1])
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
			var was, is int64
			for _, l := range tt.lots {
				was += l.QtyUnits
			}
			for _, l := range again.Lots {
				is += l.QtyUnits
			}
			if was != is {
				t.Errorf("%d units by hand became %d: what is kept is not put back", was, is)
			}
			if _, err := s.Check(again); err != nil {
				t.Errorf("the copy cannot be posted: %v", err)
			}
		})
	}
}
