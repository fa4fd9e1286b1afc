package matching

import (
	"fmt"
	"time"
)

// Period is the span over which a cap counts: calendar days, ISO weeks, months
// and years in China Standard Time, so that a caseworker can say "from Monday".
type Period string

// The periods.
const (
	Day   Period = "day"
	Week  Period = "week"
	Month Period = "month"
	Year  Period = "year"
	Ever  Period = "ever"
)

// cst is UTC+8, the one civil time of China; it has had no daylight saving
// since 1991.
var cst = time.FixedZone("CST", 8*60*60)

// Valid says whether p is one of the periods.
func (p Period) Valid() bool {
	switch p {
	case Day, Week, Month, Year, Ever:
		return true
	}
	return false
}

// Label names the period that t falls in, e.g. "D20261124", "W202648",
// "M202611", "Y2026", "E".
func (p Period) Label(t time.Time) string {
	t = t.In(cst)
	switch p {
	case Day:
		return t.Format("D20060102")
	case Week:
		y, w := t.ISOWeek()
		return fmt.Sprintf("W%04d%02d", y, w)
	case Month:
		return t.Format("M200601")
	case Year:
		return t.Format("Y2006")
	}
	return "E"
}

// End is when the period of t ends and the next begins; the zero time for Ever.
func (p Period) End(t time.Time) time.Time {
	y, m, d := t.In(cst).Date()
	switch p {
	case Day:
		return time.Date(y, m, d+1, 0, 0, 0, 0, cst)
	case Week:
		wd := (int(t.In(cst).Weekday()) + 6) % 7 // Monday is 0
		return time.Date(y, m, d-wd+7, 0, 0, 0, 0, cst)
	case Month:
		return time.Date(y, m+1, 1, 0, 0, 0, 0, cst)
	case Year:
		return time.Date(y+1, 1, 1, 0, 0, 0, 0, cst)
	}
	return time.Time{}
}

// Start is when the period of t began; the zero time for Ever.
func (p Period) Start(t time.Time) time.Time {
	y, m, d := t.In(cst).Date()
	switch p {
	case Day:
		return time.Date(y, m, d, 0, 0, 0, 0, cst)
	case Week:
		wd := (int(t.In(cst).Weekday()) + 6) % 7 // Monday is 0
		return time.Date(y, m, d-wd, 0, 0, 0, 0, cst)
	case Month:
		return time.Date(y, m, 1, 0, 0, 0, 0, cst)
	case Year:
		return time.Date(y, 1, 1, 0, 0, 0, 0, cst)
	}
	return time.Time{}
}

// DayNumber counts the days in China Standard Time.
func DayNumber(t time.Time) int64 { return (t.UnixMilli() + 8*3_600_000) / (24 * 3_600_000) }

// PeriodOf says which period a label is of; Ever for what is no label.
func PeriodOf(label string) Period {
	if label != "" {
		switch label[0] {
		case 'D':
			return Day
		case 'W':
			return Week
		case 'M':
			return Month
		case 'Y':
			return Year
		}
	}
	return Ever
}
