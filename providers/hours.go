package providers

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Span is a part of a day, in minutes since midnight, China's time.
//
// Range: 0 <= FromMin < UntilMin <= 1440.
type Span struct {
	FromMin  int64 `json:"from_min"`
	UntilMin int64 `json:"until_min"`
}

// String writes "08:30-17:00".
func (s Span) String() string {
	return fmt.Sprintf("%02d:%02d-%02d:%02d", s.FromMin/60, s.FromMin%60, s.UntilMin/60, s.UntilMin%60)
}

// Hours is when a place is open.
type Hours struct {
	Week []WeekdayHours `json:"week,omitempty"` // a weekday that is not there is closed
	// Except is what differs on one date, the earliest first.
	Except []DateHours `json:"except,omitempty"`
}

// WeekdayHours is when a place is open on one day of each week.
type WeekdayHours struct {
	Weekday int64  `json:"weekday"` // 1 Monday .. 7 Sunday, as ISO 8601
	Spans   []Span `json:"spans"`   // the earliest first, apart from one another
}

// DateHours is when a place is open on one date, whatever its weekday.
type DateHours struct {
	Date  string `json:"date"`            // 2006-01-02, China's
	Spans []Span `json:"spans,omitempty"` // none: closed
	Note  string `json:"note"`            // why, up to 100 characters
}

// On is when the place is open on a date.
func (h Hours) On(day time.Time) []Span {
	date := day.Format(time.DateOnly)
	for _, e := range h.Except {
		if e.Date == date {
			return e.Spans
		}
	}
	weekday := int64(day.Weekday())
	if weekday == 0 {
		weekday = 7
	}
	for _, w := range h.Week {
		if w.Weekday == weekday {
			return w.Spans
		}
	}
	return nil
}

const (
	maxSpans  = 4
	maxExcept = 100
)

// ParseSpans reads "8:30-11:30, 13:00-17:00" as people write it, with Chinese
// punctuation too; empty is none. Errors: [FieldError] for the field.
func ParseSpans(field, s string) ([]Span, error) {
	bad := FieldError{field, "请写成 08:30-11:30，13:00-17:00；不营业请留空。", "Write it like 08:30-11:30, 13:00-17:00; leave it empty when closed.", nil}
	s = strings.NewReplacer("：", ":", "，", ",", "、", ",", "；", ",", ";", ",", "—", "-", "–", "-", "－", "-", "~", "-", "～", "-", "至", "-", "到", "-", " ", "").Replace(s)
	if s == "" {
		return nil, nil
	}
	var out []Span
	for _, part := range strings.Split(s, ",") {
		from, until, ok := strings.Cut(part, "-")
		a, okA := minutes(from)
		b, okB := minutes(until)
		if !ok || !okA || !okB {
			return nil, bad
		}
		out = append(out, Span{a, b})
	}
	if err := checkSpans(field, out); err != nil {
		return nil, err
	}
	return out, nil
}

func minutes(s string) (int64, bool) {
	hour, minute, ok := strings.Cut(s, ":")
	if !ok || len(hour) < 1 || len(hour) > 2 || len(minute) != 2 {
		return 0, false
	}
	h, errH := strconv.ParseUint(hour, 10, 8)
	m, errM := strconv.ParseUint(minute, 10, 8)
	return int64(60*h + m), errH == nil && errM == nil && m < 60 && h <= 24
}

// checkSpans puts the spans of a day in order.
func checkSpans(field string, spans []Span) error {
	slices.SortFunc(spans, func(a, b Span) int { return int(a.FromMin - b.FromMin) })
	if len(spans) > maxSpans {
		return FieldError{field, fmt.Sprintf("一天最多 %d 段时间，请合并。", maxSpans), fmt.Sprintf("A day has at most %d spans: put some together.", maxSpans), nil}
	}
	for i, s := range spans {
		switch {
		case s.FromMin < 0 || s.UntilMin > 24*60 || s.FromMin >= s.UntilMin:
			return FieldError{field, "结束时间须晚于开始时间，且在同一天内，请改正。", "A span ends after it begins, on the same day: correct it.", nil}
		case i > 0 && s.FromMin < spans[i-1].UntilMin:
			return FieldError{field, "时间段互相重叠，请改正。", "The spans overlap: correct them.", nil}
		}
	}
	return nil
}

// check puts hours in order; fields are named below "hours".
func (h *Hours) check() error {
	for i, w := range h.Week {
		field := fmt.Sprintf("hours.week[%d]", i)
		if w.Weekday < 1 || w.Weekday > 7 || slices.ContainsFunc(h.Week[:i], func(o WeekdayHours) bool { return o.Weekday == w.Weekday }) {
			return FieldError{field, "星期为 1(周一)至 7(周日)，每天一项，请改正。", "A weekday is 1 (Monday) to 7 (Sunday), each once: correct it.", nil}
		}
		if err := checkSpans(field, w.Spans); err != nil {
			return err
		}
	}
	h.Week = slices.DeleteFunc(h.Week, func(w WeekdayHours) bool { return len(w.Spans) == 0 })
	slices.SortFunc(h.Week, func(a, b WeekdayHours) int { return int(a.Weekday - b.Weekday) })
	if len(h.Except) > maxExcept {
		return FieldError{"hours.except", fmt.Sprintf("最多 %d 个例外日期，请删去过去的。", maxExcept), fmt.Sprintf("At most %d dates differ: remove those that are past.", maxExcept), nil}
	}
	for i, e := range h.Except {
		field := fmt.Sprintf("hours.except[%d]", i)
		if _, err := time.Parse(time.DateOnly, e.Date); err != nil || slices.ContainsFunc(h.Except[:i], func(o DateHours) bool { return o.Date == e.Date }) {
			return FieldError{field, "日期应如 2026-10-01，每个日期一项，请改正。", "A date is like 2026-10-01, each once: correct it.", nil}
		}
		if err := checkSpans(field, e.Spans); err != nil {
			return err
		}
		note, err := text(field, "说明", "The note", e.Note, 0, 100)
		if err != nil {
			return err
		}
		h.Except[i].Note = note
	}
	slices.SortFunc(h.Except, func(a, b DateHours) int { return strings.Compare(a.Date, b.Date) })
	return nil
}
