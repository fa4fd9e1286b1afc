package providers

import (
	"slices"
	"time"
)

// Again is what an offer says, for the months that come after it: what was for
// November is for December, what was for a quarter is for the next. A series
// keeps its weekdays, or its day of the month, and its dates go on by whole
// months; days that were left out, being holidays of their time, are dropped.
// Lots by hand of at most a day, of which two fall on one weekday, keep their weekdays;
// any others keep their days of the month, which are the last of a shorter one.
// It goes on by as many months more as it takes for something to lie ahead.
func (o *Offer) Again(now time.Time) NewOffer {
	n := NewOffer{
		TitleZH: o.TitleZH, TitleEN: o.TitleEN, Category: o.Category, Unit: o.Unit, ValueFen: o.ValueFen,
		Divisions: slices.Clone(o.Divisions), Groups: slices.Clone(o.Groups), MinScoreMilli: o.MinScoreMilli, Rule: o.Rule.Expr, Sets: slices.Clone(o.Sets),
		CapUnits: o.CapUnits, CapPeriod: o.CapPeriod, Pace: o.Pace, ReserveMilli: o.ReserveMilli, Kept: slices.Clone(o.Kept), Fund: o.Fund,
		Handover: o.Handover, Form: o.Form, Unlimited: o.Unlimited, Images: slices.Clone(o.Images),
	}
	if n.Form == "" {
		n.Form = FormOf(o.Category, o.Handover.How)
	}
	lots := o.byHand()
	first, last := o.begins()
	step := 1 // the least that leads past the last that begins
	for step < 12*100 && !shift(first, step).After(last) {
		step++
	}
	for months := step; months < 12*100; months += step {
		n.Series, n.Lots = nil, nil
		for _, s := range o.Plan {
			n.Series = append(n.Series, s.later(months))
		}
		n.Lots = later(lots, months)
		if ahead(n, now) {
			break
		}
	}
	return n
}

// byHand are the lots that no series made, with what was kept of each put back.
func (o *Offer) byHand() []NewLot {
	var whole []NewLot
	at := map[string]int{} // by the lot's id without its part
	for _, l := range o.Lots {
		id := l.ID
		if l.Kept > 0 {
			id = id[:lastIndex(id, 'k')]
		}
		i, ok := at[id]
		if !ok {
			i = len(whole)
			at[id] = i
			whole = append(whole, NewLot{FromMs: l.FromMs, UntilMs: l.UntilMs})
		}
		whole[i].QtyUnits += l.QtyUnits
	}
	for _, s := range o.Plan {
		if o.Unlimited {
			s.QtyUnits, s.Workers = UnlimitedUnits, 0
		}
		made, err := s.Lots()
		if err != nil {
			continue // what was posted was in order
		}
		for _, l := range made {
			if i := slices.Index(whole, l); i >= 0 {
				whole = slices.Delete(whole, i, i+1)
			}
		}
	}
	return whole
}

func lastIndex(s string, c byte) int {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == c {
			return i
		}
	}
	return len(s)
}

// begins are the first and the last time at which something of the offer
// begins.
func (o *Offer) begins() (first, last time.Time) {
	for i, l := range o.Lots {
		from := time.UnixMilli(l.FromMs).In(cst)
		if i == 0 || from.Before(first) {
			first = from
		}
		if i == 0 || from.After(last) {
			last = from
		}
	}
	return first, last
}

// ahead says whether something of the offer can still be used.
func ahead(n NewOffer, now time.Time) bool {
	over := func(l NewLot) bool { return l.UntilMs <= now.UnixMilli() }
	for _, s := range n.Series {
		if to, ok := date(s.To); ok && !to.AddDate(0, 0, 1).Before(now) {
			return true
		}
	}
	return len(n.Lots) > 0 && slices.ContainsFunc(n.Lots, func(l NewLot) bool { return !over(l) })
}

// later is the series, months on.
func (s Series) later(months int) Series {
	from, okFrom := date(s.From)
	to, okTo := date(s.To)
	if !okFrom || !okTo {
		return s
	}
	s.From = shift(from, months).Format(dateLayout)
	end := shift(to, months)
	if to.Day() == monthDays(to) && !to.Equal(from) { // until the end of a month, however long
		end = onDay(end, lastDayOfMonth)
	}
	s.To, s.Skip = end.Format(dateLayout), nil
	s.Weekdays = slices.Clone(s.Weekdays)
	return s
}

// shift is the same day and time months on, or the last day of a shorter month.
func shift(t time.Time, months int) time.Time {
	midnight := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, cst)
	first := time.Date(t.Year(), t.Month()+time.Month(months), 1, 0, 0, 0, 0, cst)
	return onDay(first, t.Day()).Add(t.Sub(midnight))
}

// later are lots by hand, months on.
func later(lots []NewLot, months int) []NewLot {
	if len(lots) == 0 {
		return nil
	}
	out := make([]NewLot, len(lots))
	first := time.UnixMilli(lots[0].FromMs).In(cst)
	weeks := 0
	if byWeekday(lots) {
		month := time.Date(first.Year(), first.Month()+time.Month(months), 1, 0, 0, 0, 0, cst)
		for weeks = 4 * months; first.AddDate(0, 0, 7*weeks).Before(month); {
			weeks++
		}
	}
	for i, l := range lots {
		from, until := time.UnixMilli(l.FromMs).In(cst), time.UnixMilli(l.UntilMs).In(cst)
		moved := shift(from, months)
		end := moved.Add(until.Sub(from)) // of a day or so: as long as it was
		switch {
		case weeks > 0:
			moved, end = from.AddDate(0, 0, 7*weeks), until.AddDate(0, 0, 7*weeks)
		case until.Sub(from) > 27*24*time.Hour:
			end = endLater(until, months)
		}
		out[i] = NewLot{l.QtyUnits, moved.UnixMilli(), end.UnixMilli()}
	}
	return out
}

// endLater is the end of a lot of a month or more: until the end of a month stays that.
func endLater(until time.Time, months int) time.Time {
	end := shift(until, months)
	if until.Day() == monthDays(until) {
		end = end.AddDate(0, 0, monthDays(end)-end.Day())
	}
	return end
}

// byWeekday says whether lots by hand are those of some weekdays: none is longer
// than a day, and two are on the same one in different weeks.
func byWeekday(lots []NewLot) bool {
	seen := map[int]int64{}
	repeats := false
	for _, l := range lots {
		if l.UntilMs-l.FromMs > longestSittingMs {
			return false
		}
		day := weekday(time.UnixMilli(l.FromMs).In(cst))
		at, ok := seen[day]
		if repeats = repeats || ok && l.FromMs-at >= 6*longestSittingMs; !ok {
			seen[day] = l.FromMs
		}
	}
	return repeats
}
