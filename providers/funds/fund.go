package funds

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/providers"
)

// Limits of one fund; all keep its document far below what the record takes.
const (
	maxDraws   = 2000 // offers that draw on it at the same time
	maxStreams = 500  // different directions of donations
)

// Fund is money for a purpose. Its figures and everything that is still to be
// given of it stand in one document, which changes only through its methods
// followed by a compare-and-set, so that at every moment
//
//	ReceivedFen = AvailableFen + ReservedFen + SpentFen
//
// and none of them is negative.
type Fund struct {
	store.Meta   `bson:",inline"`
	Organisation string   `json:"organisation"`
	Kind         Kind     `json:"kind"`
	Name         string   `json:"name"`
	NameEN       string   `json:"name_en"`
	Purpose      string   `json:"purpose"`
	Categories   []string `json:"categories,omitempty"` // of aid; none: any
	Divisions    []string `json:"divisions,omitempty"`  // 12-digit codes; none: anywhere
	// DonorsNamed says that statements name the donors who are not anonymous.
	DonorsNamed bool   `json:"donors_named"`
	Status      Status `json:"status"`
	CreatedMs   int64  `json:"created_ms"`
	CreatedBy   string `json:"created_by"`

	ReceivedFen  int64 `json:"received_fen"` // donations less corrections
	AvailableFen int64 `json:"available_fen"`
	ReservedFen  int64 `json:"reserved_fen"`
	SpentFen     int64 `json:"spent_fen"`

	Seq      int64    `json:"seq"`      // of the last entry
	Receipts int64    `json:"receipts"` // numbered so far
	Streams  []Stream `json:"streams,omitempty"`
	Draws    []Draw   `json:"draws,omitempty"`  // offers with units that are neither given nor returned
	Months   []Month  `json:"months,omitempty"` // with entries, in order

	ClosedThrough string    `json:"closed_through"` // the last closed month, "2026-10"
	Proposed      *Closing  `json:"proposed,omitempty"`
	Closings      []Closing `json:"closings,omitempty"`

	// Pending are entries, and donations, that this document decided and that may
	// not stand in their collections yet.
	Pending          []Entry    `json:"pending,omitempty"`
	PendingDonations []Donation `json:"pending_donations,omitempty"`
}

// Stream is the donations of one direction, laid end to end: the first is fen 0
// up to its amount, the next begins there. So every fen of a fund has a place of
// its own for good.
type Stream struct {
	Category string `json:"category"` // the direction; empty: any
	Division string `json:"division"` // empty: anywhere
	TotalFen int64  `json:"total_fen"`
	Free     []Span `json:"free,omitempty"` // neither reserved, spent nor corrected, in order
	// LongestFen is the longest run that an entry spent, recovered or corrected:
	// whoever looks for the entries of a fen looks so far back.
	LongestFen int64 `json:"longest_fen,omitempty"`
}

// Draw is an offer that draws on the fund.
type Draw struct {
	Offer         string  `json:"offer"`
	Category      string  `json:"category"`
	ValueFen      int64   `json:"value_fen"` // of a unit
	QtyUnits      int64   `json:"qty_units"`
	SpentUnits    int64   `json:"spent_units"`
	ReturnedUnits int64   `json:"returned_units"`
	Pieces        []Piece `json:"pieces"` // set aside and neither spent nor returned
	AtMs          int64   `json:"at_ms"`
	UntilMs       int64   `json:"until_ms"` // end of the last lot
}

// LeftUnits are neither given nor returned.
func (d *Draw) LeftUnits() int64 { return d.QtyUnits - d.SpentUnits - d.ReturnedUnits }

// Month is what was booked in one month.
type Month struct {
	Month        string `json:"month"` // "2026-11"
	DonatedFen   int64  `json:"donated_fen"`
	CorrectedFen int64  `json:"corrected_fen"`
	ReservedFen  int64  `json:"reserved_fen"`
	ReturnedFen  int64  `json:"returned_fen"`
	SpentFen     int64  `json:"spent_fen"`
	RecoveredFen int64  `json:"recovered_fen"` // of handovers, also of earlier months, that were taken back
	Donations    int64  `json:"donations"`
	Handovers    int64  `json:"handovers"`
	Entries      int64  `json:"entries"`
}

// Balance is what a fund has at one moment.
type Balance struct {
	AvailableFen int64 `json:"available_fen"`
	ReservedFen  int64 `json:"reserved_fen"`
}

// Fen is all that it has.
func (b Balance) Fen() int64 { return b.AvailableFen + b.ReservedFen }

func (b Balance) after(m Month) Balance {
	set := m.ReservedFen - m.ReturnedFen
	return Balance{b.AvailableFen + m.DonatedFen - m.CorrectedFen - set, b.ReservedFen + set - m.SpentFen + m.RecoveredFen}
}

// Closing is a month that is closed: no entry bears a date in it any more.
type Closing struct {
	Month       string  `json:"month"`
	ProposedBy  string  `json:"proposed_by"`
	ProposedMs  int64   `json:"proposed_ms"`
	ConfirmedBy string  `json:"confirmed_by"`
	ConfirmedMs int64   `json:"confirmed_ms"`
	Alone       bool    `json:"alone"` // the organisation had no second account
	Opening     Balance `json:"opening"`
	Booked      Month   `json:"booked"`
	Balance     Balance `json:"balance"`
}

// cst is UTC+8, the one civil time of China.
var cst = time.FixedZone("CST", 8*60*60) // read only

const monthLayout = "2006-01"

// MonthOf is the month of a time (Unix ms) in China.
func MonthOf(ms int64) string { return time.UnixMilli(ms).In(cst).Format(monthLayout) }

// monthStart is when a month begins, Unix ms.
func monthStart(month string) (int64, error) {
	t, err := time.ParseInLocation(monthLayout, month, cst)
	return t.UnixMilli(), err
}

// nextMonth is the one after a month that is well formed.
func nextMonth(month string) string {
	t, err := time.ParseInLocation(monthLayout, month, cst)
	if err != nil {
		return ""
	}
	return t.AddDate(0, 1, 0).Format(monthLayout)
}

// NextClosing is the month that can be closed at a time (Unix ms), "" for none:
// months are closed in order, once they are over.
func (f *Fund) NextClosing(nowMs int64) string {
	next := MonthOf(f.CreatedMs)
	if len(f.Months) > 0 && f.ClosedThrough == "" {
		next = min(next, f.Months[0].Month)
	}
	if f.ClosedThrough != "" {
		next = nextMonth(f.ClosedThrough)
	}
	if next >= MonthOf(nowMs) {
		return ""
	}
	return next
}

// Before is the balance when a month began.
func (f *Fund) Before(month string) (b Balance) {
	for _, m := range f.Months {
		if m.Month < month {
			b = b.after(m)
		}
	}
	return b
}

// In is what was booked in a month.
func (f *Fund) In(month string) Month {
	for _, m := range f.Months {
		if m.Month == month {
			return m
		}
	}
	return Month{Month: month}
}

func (f *Fund) month(month string) *Month {
	at, found := slices.BinarySearchFunc(f.Months, month, func(m Month, x string) int { return strings.Compare(m.Month, x) })
	if !found {
		f.Months = slices.Insert(f.Months, at, Month{Month: month})
	}
	return &f.Months[at]
}

// StreamID names a stream of the fund in entries and donations.
func (f *Fund) StreamID(n int64) string { return f.ID + "/" + strconv.FormatInt(n, 10) }

// Draw finds an offer that draws on the fund and is not settled.
func (f *Fund) Draw(offer string) (*Draw, bool) {
	for i := range f.Draws {
		if f.Draws[i].Offer == offer {
			return &f.Draws[i], true
		}
	}
	return nil, false
}

// pends says whether the document still holds an entry.
func (f *Fund) pends(id string) bool {
	return slices.ContainsFunc(f.Pending, func(e Entry) bool { return e.ID == id })
}

// dated is the date of something that happened at atMs and is booked at nowMs:
// what comes after its month was closed bears the date of the booking.
func (f *Fund) dated(atMs, nowMs int64) int64 {
	if atMs > 0 && MonthOf(atMs) > f.ClosedThrough {
		return atMs
	}
	if MonthOf(nowMs) > f.ClosedThrough {
		return nowMs
	}
	start, err := monthStart(nextMonth(f.ClosedThrough)) // this server's clock is behind
	if err != nil {
		return nowMs
	}
	return start
}

// book writes an entry and changes the figures by it.
func (f *Fund) book(e Entry, p Piece, atMs, nowMs int64) *Entry {
	f.Seq++
	e.Fund, e.Seq, e.Fen = f.ID, f.Seq, p.Fen()
	e.Stream, e.FromFen, e.ToFen = f.StreamID(p.Stream), p.From, p.To
	e.Credit, e.Debit = e.What.accounts()
	e.AtMs, e.BookedMs = f.dated(atMs, nowMs), nowMs
	e.Month = MonthOf(e.AtMs)
	if s := &f.Streams[p.Stream]; e.What == Paid || e.What == Recovered || e.What == Corrected {
		s.LongestFen = max(s.LongestFen, e.Fen)
	}
	f.apply(e)
	f.Pending = append(f.Pending, e)
	return &f.Pending[len(f.Pending)-1]
}

// apply changes the figures by an entry.
func (f *Fund) apply(e Entry) {
	balances := map[Account]*int64{Available: &f.AvailableFen, Reserved: &f.ReservedFen, Spent: &f.SpentFen}
	if b := balances[e.Credit]; b != nil {
		*b -= e.Fen
	} else {
		f.ReceivedFen += e.Fen
	}
	if b := balances[e.Debit]; b != nil {
		*b += e.Fen
	} else {
		f.ReceivedFen -= e.Fen
	}
	f.month(e.Month).count(e)
}

func (m *Month) count(e Entry) {
	m.Entries++
	switch e.What {
	case Donated:
		m.DonatedFen += e.Fen
		m.Donations++
	case Corrected:
		m.CorrectedFen += e.Fen
	case SetAside:
		m.ReservedFen += e.Fen
	case Returned:
		m.ReturnedFen += e.Fen
	case Paid:
		m.SpentFen += e.Fen
		if e.QtyUnits > 0 {
			m.Handovers++
		}
	case Recovered:
		m.RecoveredFen += e.Fen
	}
}

// Sound says whether no figure is negative and they add up.
func (f *Fund) Sound() bool {
	return f.AvailableFen >= 0 && f.ReservedFen >= 0 && f.SpentFen >= 0 && f.ReceivedFen == f.AvailableFen+f.ReservedFen+f.SpentFen
}

// donate lays a donation at the end of its stream, numbers its receipt and books
// it.
func (f *Fund) donate(d Donation, nowMs int64) (*Donation, error) {
	n := slices.IndexFunc(f.Streams, func(s Stream) bool { return s.Category == d.Category && s.Division == d.Division })
	if n < 0 {
		if len(f.Streams) >= maxStreams {
			return nil, FieldError{Field: "division", ZH: fmt.Sprintf("一个基金最多 %d 种定向，请合并用途或另设基金。", maxStreams),
				EN: fmt.Sprintf("A fund has at most %d directions: put some together, or make another fund.", maxStreams)}
		}
		n = len(f.Streams)
		f.Streams = append(f.Streams, Stream{Category: d.Category, Division: d.Division})
	}
	s := &f.Streams[n]
	span := Span{s.TotalFen, s.TotalFen + d.Fen}
	s.TotalFen = span.To
	s.Free = add(s.Free, span)
	f.Receipts++
	e := f.book(Entry{Meta: store.Meta{ID: f.ID + ".d." + d.ID}, What: Donated, Donation: d.ID, By: d.EnteredBy}, Piece{int64(n), span}, d.AtMs, nowMs)
	d.Fund, d.Seq, d.Stream, d.FromFen, d.ToFen, d.EnteredMs = f.ID, e.Seq, e.Stream, span.From, span.To, nowMs
	d.Receipt = fmt.Sprintf("%s-%06d", e.Month[:4], f.Receipts)
	f.PendingDonations = append(f.PendingDonations, d)
	return &f.PendingDonations[len(f.PendingDonations)-1], nil
}

// streamOf is the number of the stream that an entry or donation names, or -1.
func (f *Fund) streamOf(id string) int64 {
	rest, ok := strings.CutPrefix(id, f.ID+"/")
	n, err := strconv.ParseInt(rest, 10, 64)
	if !ok || err != nil || n < 0 || n >= int64(len(f.Streams)) {
		return -1
	}
	return n
}

// FreeOf is what of a donation is neither reserved, spent nor corrected, in fen.
func (f *Fund) FreeOf(d *Donation) int64 {
	n := f.streamOf(d.Stream)
	if n < 0 {
		return 0
	}
	return sum(within(f.Streams[n].Free, Span{d.FromFen, d.ToFen}))
}

// correct takes back what of a donation is still free, the last fen first.
func (f *Fund) correct(d *Donation, fen int64, id, by, reason string, nowMs int64) error {
	n := f.streamOf(d.Stream)
	if n < 0 {
		return ErrBooks
	}
	var free []Piece
	for _, s := range within(f.Streams[n].Free, Span{d.FromFen, d.ToFen}) {
		free = append(free, Piece{n, s})
	}
	if have := f.FreeOf(d); fen > have {
		return FieldError{Field: "fen", ZH: fmt.Sprintf("这笔捐赠只有 %s 元尚未使用，最多冲回这么多；已用于资源的部分须先撤回资源。", yuan(have)),
			EN: fmt.Sprintf("Only ¥%s of this donation is unused: take back that much at most, or withdraw the offers it pays for first.", yuan(have))}
	}
	taken, _ := takeLast(free, fen)
	for i, p := range taken {
		f.Streams[n].Free = without(f.Streams[n].Free, p.Span)
		f.book(Entry{Meta: store.Meta{ID: fmt.Sprintf("%s.c.%s.%d", f.ID, id, i)}, What: Corrected, Donation: d.ID, By: by, Reason: reason}, p, nowMs, nowMs)
	}
	return nil
}

// yuan writes fen as yuan with two decimals.
func yuan(fen int64) string { return fmt.Sprintf("%d.%02d", fen/100, fen%100) }

// Terms are what an offer wants of a fund.
type Terms struct {
	Offer        string
	Organisation string
	Category     string
	Divisions    []string
	ValueFen     int64 // of a unit
	QtyUnits     int64
	UntilMs      int64 // end of the last lot
}

// TermsOf is what an offer wants. Money counts its units in fen.
// Errors: [FieldError].
func TermsOf(o *providers.Offer) (Terms, error) {
	t := Terms{Offer: o.ID, Organisation: o.Organisation, Category: o.Category, Divisions: o.Divisions, ValueFen: o.ValueFen}
	if o.Category == providers.Cash {
		t.ValueFen = 1
	}
	if t.ValueFen < 1 {
		return t, FieldError{Field: "value_fen", ZH: "从基金支出的资源须填写单价，请填写。", EN: "An offer that draws on a fund says what a unit is worth: fill it in."}
	}
	for _, lot := range o.Lots {
		t.QtyUnits += lot.QtyUnits
		t.UntilMs = max(t.UntilMs, lot.UntilMs)
	}
	if t.QtyUnits < 1 || t.QtyUnits > maxFen/t.ValueFen {
		return t, FieldError{Field: "fund", ZH: "资源总值超过基金可记的金额，请减少数量。", EN: "The offer is worth more than a fund can hold: lower the quantity."}
	}
	return t, nil
}

// maxFen is the most that a donation or an offer is worth: 100 billion yuan.
const maxFen = 10_000_000_000_000

// allows says whether money of a direction may pay for an offer: wherever a
// unit of it goes.
func allows(category, division string, t Terms) bool {
	return (category == "" || category == t.Category) &&
		(division == "" || !slices.ContainsFunc(t.Divisions, func(d string) bool { return !regions.Within(d, division) }))
}

// narrowness orders directions: money that can pay for little is used first, so
// that what can pay for anything is left for what nothing else pays for.
func (s Stream) narrowness() int {
	n := len(strings.TrimRight(s.Division, "0")) * 2
	if s.Category != "" {
		n++
	}
	return n
}

// payers are the numbers of the streams that may pay for an offer, in the order
// in which they do, and what they have.
func (f *Fund) payers(t Terms) (order []int64, fen int64) {
	for i, s := range f.Streams {
		if allows(s.Category, s.Division, t) {
			order = append(order, int64(i))
			fen += sum(s.Free)
		}
	}
	slices.SortStableFunc(order, func(a, b int64) int {
		return cmp.Compare(f.Streams[b].narrowness(), f.Streams[a].narrowness())
	})
	return order, fen
}

// fits checks an offer against the fund's purpose. Errors: [FieldError].
func (f *Fund) fits(t Terms) error {
	switch {
	case f.Organisation != t.Organisation:
		return FieldError{Field: "fund", ZH: "没有这一基金，请从列表中选择。", EN: "There is no such fund: choose one from the list.", Err: store.ErrNotFound}
	case f.Status != Open:
		return FieldError{Field: "fund", ZH: "该基金已关闭，请选择其他基金。", EN: "This fund is closed: choose another.", Err: ErrClosed}
	case len(f.Categories) > 0 && !slices.Contains(f.Categories, t.Category):
		return FieldError{Field: "fund", ZH: "该基金的用途不含这一类资源，请选择其他基金或类别。", EN: "This fund is not for this kind of aid: choose another fund or another kind."}
	case len(f.Divisions) > 0 && slices.ContainsFunc(t.Divisions, func(d string) bool {
		return !slices.ContainsFunc(f.Divisions, func(in string) bool { return regions.Within(d, in) })
	}):
		return FieldError{Field: "fund", ZH: "该基金只用于指定的区划，请缩小资源的服务区划或选择其他基金。", EN: "This fund gives in certain divisions only: serve those, or choose another fund."}
	}
	return nil
}

// reserve sets money aside for an offer. Errors: [FieldError].
func (f *Fund) reserve(t Terms, by string, nowMs int64) error {
	if err := f.fits(t); err != nil {
		return err
	}
	if len(f.Draws) >= maxDraws {
		return FieldError{Field: "fund", ZH: fmt.Sprintf("一个基金同时最多支持 %d 个资源，请等其中一些结束。", maxDraws),
			EN: fmt.Sprintf("A fund carries at most %d offers at a time: wait until some have ended.", maxDraws)}
	}
	order, have := f.payers(t)
	need := t.QtyUnits * t.ValueFen
	if need > have {
		zh := fmt.Sprintf("该基金可用于本资源的有 %s 元，本资源需要 %s 元；请减少数量或单价，或先登记捐赠。", yuan(have), yuan(need))
		en := fmt.Sprintf("The fund has ¥%s for this offer, which needs ¥%s: lower the quantity or the value, or enter donations first.", yuan(have), yuan(need))
		if have < f.AvailableFen {
			zh += fmt.Sprintf("（基金另有 %s 元，捐赠人指定了其他用途。）", yuan(f.AvailableFen-have))
			en += fmt.Sprintf(" (Donors directed another ¥%s to something else.)", yuan(f.AvailableFen-have))
		}
		return FieldError{Field: "fund", ZH: zh, EN: en}
	}
	var free []Piece
	for _, n := range order {
		for _, s := range f.Streams[n].Free {
			free = append(free, Piece{n, s})
		}
	}
	taken, _ := takeFirst(free, need)
	units := t.QtyUnits
	for i, p := range taken {
		f.Streams[p.Stream].Free = without(f.Streams[p.Stream].Free, p.Span)
		f.book(Entry{Meta: store.Meta{ID: entryOfOffer(f.ID, t.Offer, i)}, What: SetAside, Offer: t.Offer, QtyUnits: units, By: by}, p, nowMs, nowMs)
		units = 0
	}
	f.Draws = append(f.Draws, Draw{
		Offer: t.Offer, Category: t.Category, ValueFen: t.ValueFen, QtyUnits: t.QtyUnits, Pieces: taken, AtMs: nowMs, UntilMs: t.UntilMs,
	})
	return nil
}

func entryOfOffer(fund, offer string, n int) string {
	return fmt.Sprintf("%s.r.%s.%d", fund, offer, n)
}

func entryOfHandover(fund, allocation string, n int) string {
	return fmt.Sprintf("%s.s.%s.%d", fund, allocation, n)
}

// Given is units of an offer that were handed over.
type Given struct {
	Allocation string
	Offer      string
	QtyUnits   int64
	AtMs       int64  // when the record learned of it
	Town       string // 12-digit code
	Person     string // id of the resident
}

// spend pays for a handover with the offer's oldest money. Errors: [ErrBooks].
func (f *Fund) spend(g Given, nowMs int64) error {
	d, ok := f.Draw(g.Offer)
	if !ok || g.QtyUnits < 1 || g.QtyUnits > d.LeftUnits() {
		return ErrBooks
	}
	var taken []Piece
	taken, d.Pieces = takeFirst(d.Pieces, g.QtyUnits*d.ValueFen)
	units := g.QtyUnits
	for i, p := range taken {
		f.book(Entry{
			Meta: store.Meta{ID: entryOfHandover(f.ID, g.Allocation, i)}, What: Paid, Offer: g.Offer, Allocation: g.Allocation, QtyUnits: units,
			Category: d.Category, Town: g.Town, Person: g.Person, By: bySystem,
		}, p, g.AtMs, nowMs)
		units = 0
	}
	d.SpentUnits += g.QtyUnits
	f.settled(g.Offer)
	return nil
}

// giveBack returns money for units that will not be given; total is how many
// they are by now, so that a repeat changes nothing. Money that was donated last
// goes back first. Errors: [ErrBooks].
func (f *Fund) giveBack(offer string, total, nowMs int64) (changed bool, err error) {
	d, ok := f.Draw(offer)
	if !ok || total <= d.ReturnedUnits {
		return false, nil
	}
	units := total - d.ReturnedUnits
	if units > d.LeftUnits() {
		return false, ErrBooks
	}
	var taken []Piece
	taken, d.Pieces = takeLast(d.Pieces, units*d.ValueFen)
	d.ReturnedUnits = total
	for i, p := range taken {
		s := &f.Streams[p.Stream]
		s.Free = add(s.Free, p.Span)
		f.book(Entry{
			Meta: store.Meta{ID: fmt.Sprintf("%s.b.%s.%d.%d", f.ID, offer, total, i)}, What: Returned, Offer: offer, QtyUnits: units, By: bySystem,
		}, p, nowMs, nowMs)
		units = 0
	}
	f.settled(offer)
	return true, nil
}

// Kept is a handover of which some, or all, was taken back since.
type Kept struct {
	Allocation string
	QtyUnits   int64 // that the person has still, 0 or more
	AtMs       int64 // when the last of it came back
}

// recover takes back from a handover what was paid for units that came back: it
// is set aside for the offer again, and returns from there where the units do not
// go to anybody else. booked are the handover's entries so far, in order; what
// they have recovered already is not recovered again. What was paid last comes
// back first. Errors: [ErrBooks].
func (f *Fund) recover(t Terms, k Kept, booked []*Entry, nowMs int64) (changed bool, err error) {
	units, paid := stillPaid(f, booked)
	if units -= k.QtyUnits; units < 1 {
		return false, nil // not paid yet, or recovered before
	}
	d, ok := f.Draw(t.Offer)
	if !ok || k.QtyUnits < 0 || units > d.SpentUnits {
		return false, ErrBooks
	}
	first := booked[0] // the payment
	taken, _ := takeLast(paid, units*d.ValueFen)
	n := units
	for i, p := range taken {
		f.book(Entry{
			Meta: store.Meta{ID: fmt.Sprintf("%s.t.%s.%d.%d", f.ID, k.Allocation, k.QtyUnits, i)}, What: Recovered, Offer: t.Offer, Allocation: k.Allocation,
			QtyUnits: n, Category: first.Category, Town: first.Town, Person: first.Person, By: bySystem,
		}, p, k.AtMs, nowMs)
		n = 0
	}
	slices.Reverse(taken)
	d.Pieces = joined(append(taken, d.Pieces...))
	d.SpentUnits -= units
	return true, nil
}

// stillPaid is what a handover's entries, in order, have paid and not recovered.
func stillPaid(f *Fund, booked []*Entry) (units int64, paid []Piece) {
	for _, e := range booked {
		p := Piece{f.streamOf(e.Stream), Span{e.FromFen, e.ToFen}}
		switch e.What {
		case Paid:
			units += e.QtyUnits
			paid = append(paid, p)
		case Recovered:
			units -= e.QtyUnits
			paid = piecesWithout(paid, p)
		}
	}
	return units, paid
}

// redraw takes up an offer again that was settled, as its entries say.
func (f *Fund) redraw(t Terms, booked []*Entry) {
	d := Draw{Offer: t.Offer, Category: t.Category, ValueFen: t.ValueFen, UntilMs: t.UntilMs}
	for _, e := range booked {
		switch e.What {
		case SetAside:
			d.QtyUnits += e.QtyUnits
			d.AtMs = e.BookedMs
		case Paid:
			d.SpentUnits += e.QtyUnits
		case Recovered:
			d.SpentUnits -= e.QtyUnits
		case Returned:
			d.ReturnedUnits += e.QtyUnits
		}
	}
	f.Draws = append(f.Draws, d)
}

// settled forgets a draw of which nothing is left.
func (f *Fund) settled(offer string) {
	f.Draws = slices.DeleteFunc(f.Draws, func(d Draw) bool { return d.Offer == offer && d.LeftUnits() == 0 })
}

// bySystem is who books what follows from handovers and ends.
const bySystem = "system"
