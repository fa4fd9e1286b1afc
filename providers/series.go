package providers

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// cst is UTC+8, the one civil time of China, which knows no summer time.
var cst = time.FixedZone("CST", 8*60*60)

// Every is how a series repeats.
type Every string

// The ways of repeating.
const (
	Weekly  Every = "week"  // on some weekdays of each week
	Monthly Every = "month" // on one day of each month
)

// Bounds on a series.
const (
	maxSeries      = 10 // of an offer
	maxSeriesDays  = 731
	maxSkipped     = 100
	maxLotDays     = 366
	maxWorkers     = 10_000
	dayMinutes     = 24 * 60
	dateLayout     = "2006-01-02"
	lastDayOfMonth = 31
)

// Series is lots by the calendar: "60 lunches each weekday until June". All its
// dates and times are China's.
type Series struct {
	QtyUnits int64 `json:"qty_units"` // of each lot; 0 where Workers says it
	// Workers, of a service, is how many people work in each slot: a lot then
	// holds Workers × slot ÷ UnitMinutes.
	Workers     int64 `json:"workers"`
	UnitMinutes int64 `json:"unit_minutes"` // how long a unit takes one of them, 5..1440; 0: 60
	SlotMinutes int64 `json:"slot_minutes"` // cuts Start–End into lots, 5..1440; 0: one lot. What is left over is no slot
	Every       Every `json:"every"`
	Weekdays    []int `json:"weekdays"` // 1 Monday .. 7 Sunday; empty: every day
	Day         int   `json:"day"`      // monthly: 1..31; a shorter month's last day
	// From and To are the first and the last date on which a lot may begin,
	// such as 2026-11-30.
	From string `json:"from"`
	To   string `json:"to"`
	// Start and End are the time of day, such as 11:00; an End that is not after
	// Start is on the next day. Both empty: the whole day.
	Start string   `json:"start"`
	End   string   `json:"end"`
	Days  int      `json:"days"` // how many days a lot lasts, 1..366; 0: one, or monthly until the next month's
	Skip  []string `json:"skip"` // dates on which nothing is given, such as holidays
}

// Lots makes the lots of a series, oldest first.
// Errors: [FieldError], of "series" and the field at fault.
func (s Series) Lots() ([]NewLot, error) { return s.lots("series") }

func (s Series) lots(at string) ([]NewLot, error) {
	c, err := s.check(at)
	if err != nil {
		return nil, err
	}
	var out []NewLot
	for day := c.from; !day.After(c.to); day = day.AddDate(0, 0, 1) {
		if !c.on(day) {
			continue
		}
		for _, lot := range c.of(day) {
			if out = append(out, lot); len(out) > maxLots {
				return nil, ErrOffer{at + ".to", fmt.Sprintf("一次最多 %d 个批次，请缩短日期范围，其余另行发布。", maxLots),
					fmt.Sprintf("That makes more than %d lots: end it earlier, and post the rest as another offer.", maxLots), nil}
			}
		}
	}
	if len(out) == 0 {
		return nil, ErrOffer{at + ".from", "这段日期内没有符合的日子，请检查星期、日期和跳过的日子。",
			"No day of these dates fits: check weekdays, dates and the days left out.", nil}
	}
	return out, nil
}

// calendar is a series whose dates are read.
type calendar struct {
	Series
	from, to   time.Time
	start, end int // minutes of the day; end may lie beyond it
	skip       map[string]bool
}

func (s Series) check(at string) (calendar, error) {
	c := calendar{Series: s, end: dayMinutes, skip: map[string]bool{}}
	fault := func(field, zh, en string) (calendar, error) {
		return calendar{}, ErrOffer{at + "." + field, zh, en, nil}
	}
	var ok bool
	if c.from, ok = date(s.From); !ok {
		return fault("from", "请选择开始日期。", "Choose the first day.")
	}
	if c.to, ok = date(s.To); !ok {
		return fault("to", "请选择结束日期。", "Choose the last day.")
	}
	if c.to.Before(c.from) {
		return fault("to", "结束日期应不早于开始日期，请改正。", "The last day is before the first: correct it.")
	}
	if c.to.Sub(c.from) > maxSeriesDays*24*time.Hour {
		return fault("to", "一次最多排两年，请缩短日期范围。", "A series lasts two years at most: end it earlier.")
	}
	switch s.Every {
	case Weekly:
		if slices.ContainsFunc(s.Weekdays, func(d int) bool { return d < 1 || d > 7 }) || len(s.Weekdays) > 7 {
			return fault("weekdays", "星期应为 1（周一）至 7（周日），请改正。", "Weekdays are 1 (Monday) to 7 (Sunday): correct them.")
		}
	case Monthly:
		if s.Day < 1 || s.Day > lastDayOfMonth {
			return fault("day", "每月的日子应为 1 至 31，请改正。", "The day of the month is 1 to 31: correct it.")
		}
	default:
		return fault("every", "请选择每周或每月。", "Choose weekly or monthly.")
	}
	if s.Days < 0 || s.Days > maxLotDays {
		return fault("days", "每批持续 1 至 366 天，请改正。", "A lot lasts 1 to 366 days: correct it.")
	}
	if s.Start != "" || s.End != "" {
		if c.start, ok = clock(s.Start); !ok || c.start == dayMinutes {
			return fault("start", "请填写开始时间，例如 11:00。", "Give the time at which it begins, such as 11:00.")
		}
		if c.end, ok = clock(s.End); !ok {
			return fault("end", "请填写结束时间，例如 13:00。", "Give the time at which it ends, such as 13:00.")
		}
		if c.end <= c.start {
			c.end += dayMinutes
		}
	}
	if len(s.Skip) > maxSkipped {
		return fault("skip", fmt.Sprintf("最多跳过 %d 天，请改为分段发布。", maxSkipped), fmt.Sprintf("Leave out at most %d days: post it in parts.", maxSkipped))
	}
	for _, d := range s.Skip {
		t, ok := date(d)
		if !ok {
			return fault("skip", "跳过的日子应写成 2026-10-01 这样的日期，请改正。", "A day that is left out is written like 2026-10-01: correct it.")
		}
		c.skip[t.Format(dateLayout)] = true
	}
	return c.checkUnits(fault)
}

// checkUnits works out what a lot holds.
func (c calendar) checkUnits(fault func(field, zh, en string) (calendar, error)) (calendar, error) {
	if c.UnitMinutes == 0 {
		c.UnitMinutes = 60
	}
	if c.UnitMinutes < 5 || c.UnitMinutes > dayMinutes {
		return fault("unit_minutes", "每单位服务应为 5 分钟至 24 小时，请改正。", "A unit takes 5 minutes to 24 hours: correct it.")
	}
	if c.SlotMinutes != 0 && (c.SlotMinutes < 5 || c.SlotMinutes > dayMinutes) {
		return fault("slot_minutes", "每个时段应为 5 分钟至 24 小时，请改正。", "A slot lasts 5 minutes to 24 hours: correct it.")
	}
	if c.SlotMinutes != 0 && (c.Days > 1 || c.Every == Monthly && c.Days == 0) {
		return fault("slot_minutes", "分时段时每批只能持续一天，请改正。", "With slots a lot lasts one day: correct it.")
	}
	length := c.SlotMinutes
	if length == 0 {
		length = int64(c.end - c.start)
	} else if length > int64(c.end-c.start) {
		return fault("slot_minutes", "时段比开放时间还长，请改正。", "The slot is longer than the time that is open: correct it.")
	}
	switch {
	case c.Workers == 0:
	case c.Workers < 0 || c.Workers > maxWorkers:
		return fault("workers", "服务人数应为 1 至 10,000，请改正。", "1 to 10,000 people work in a slot: correct it.")
	case c.QtyUnits != 0:
		return fault("qty_units", "已按人数和时长计算数量，请把数量留空。", "The quantity follows from the people and the time: leave it empty.")
	default:
		if c.QtyUnits = c.Workers * (length / c.UnitMinutes); c.QtyUnits == 0 {
			return fault("unit_minutes", "一个时段内完不成一个单位的服务，请延长时段。", "A slot is too short for one unit: make it longer.")
		}
	}
	if c.QtyUnits < 1 || c.QtyUnits > maxQtyUnits {
		return fault("qty_units", "每批数量应为 1 至 1000 万，请改正。", "The quantity of a lot is 1 to 10,000,000 units: correct it.")
	}
	return c, nil
}

// on says whether something is given from this day on.
func (c calendar) on(day time.Time) bool {
	if c.skip[day.Format(dateLayout)] {
		return false
	}
	if c.Every == Monthly {
		return day.Day() == min(c.Day, monthDays(day))
	}
	return len(c.Weekdays) == 0 || slices.Contains(c.Weekdays, weekday(day))
}

// of are the lots that begin on a day.
func (c calendar) of(day time.Time) []NewLot {
	at := func(minutes int64) int64 { return day.Add(time.Duration(minutes) * time.Minute).UnixMilli() }
	start, end := int64(c.start), int64(c.end)
	if c.SlotMinutes > 0 {
		var out []NewLot
		for ; start+c.SlotMinutes <= end; start += c.SlotMinutes {
			out = append(out, NewLot{c.QtyUnits, at(start), at(start + c.SlotMinutes)})
		}
		return out
	}
	lot := NewLot{c.QtyUnits, at(start), at(end + int64(max(c.Days-1, 0))*dayMinutes)}
	if c.Every == Monthly && c.Days == 0 {
		lot.UntilMs = onDay(nextMonth(day), c.Day).Add(time.Duration(c.start) * time.Minute).UnixMilli()
	}
	return []NewLot{lot}
}

// date reads a date in China.
func date(s string) (time.Time, bool) {
	t, err := time.ParseInLocation(dateLayout, strings.TrimSpace(s), cst)
	return t, err == nil && t.Year() >= 2000 && t.Year() < 2100
}

// clock reads a time of day in minutes; 24:00 is its end.
func clock(s string) (int, bool) {
	s = strings.TrimSpace(s)
	if s == "24:00" {
		return dayMinutes, true
	}
	t, err := time.Parse("15:04", s)
	return t.Hour()*60 + t.Minute(), err == nil
}

// weekday is 1 for Monday to 7 for Sunday.
func weekday(day time.Time) int { return (int(day.Weekday())+6)%7 + 1 }

func monthDays(day time.Time) int {
	return time.Date(day.Year(), day.Month()+1, 0, 0, 0, 0, 0, cst).Day()
}

// nextMonth is the first of the month after.
func nextMonth(day time.Time) time.Time {
	return time.Date(day.Year(), day.Month()+1, 1, 0, 0, 0, 0, cst)
}

// onDay is a day of a month, or its last where it is shorter.
func onDay(month time.Time, day int) time.Time {
	return time.Date(month.Year(), month.Month(), min(day, monthDays(month)), 0, 0, 0, 0, cst)
}
