package care

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/audit"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers"
	"github.com/xingfuma/happycode/qrcode"
)

// MaxRecords is how many records one sync takes.
const MaxRecords = 200

// clockSkew is how far a device's clock may be off.
const clockSkew = 5 * time.Minute

// Record is one handover as a device reports it.
type Record struct {
	ID         string // made on the device
	Seq        int64  // 1, 2, 3… per device
	Lease      string
	Allocation string // an item of the lease
	Resident   string
	Need       string // of a spare
	Code       string // code id read, or ""
	How        string // "scan", "card_no" or "word"
	Token      string // 193 digits where How is "scan"
	PIN        bool   // the device has checked the PIN
	QtyUnits   int64
	GivenMs    int64 // by the device's clock
	Sig        string
}

// text is what the device signs.
func (r Record) text() string {
	pin := "0"
	if r.PIN {
		pin = "1"
	}
	return strings.Join([]string{
		"XFM-OFF-v1", r.ID, strconv.FormatInt(r.Seq, 10), r.Lease, r.Allocation, r.Resident, r.Need, r.Code, r.How,
		r.Token, pin, strconv.FormatInt(r.QtyUnits, 10), strconv.FormatInt(r.GivenMs, 10),
	}, "\n")
}

// Outcome is what became of a record.
type Outcome string

// The outcomes: refused records change nothing and need nobody; flagged ones
// have a conflict that a person settles.
const (
	Accepted Outcome = "accepted"
	Known    Outcome = "known" // it had come before
	Flagged  Outcome = "flagged"
	Refused  Outcome = "refused"
)

// offlineRecord is a record as it is kept, with what became of it. The token is
// not: it was checked when it came.
type offlineRecord struct {
	store.Meta `bson:",inline"` // device.id
	Device     string           `json:"device"`
	Record     string           `json:"record"`
	Seq        int64            `json:"seq"`
	Lease      string           `json:"lease"`
	Allocation string           `json:"allocation"`
	Resident   string           `json:"resident"`
	Need       string           `json:"need"`
	Code       string           `json:"code"`
	Carer      string           `json:"carer"` // whose code it is; "": the resident's own
	How        string           `json:"how"`
	PIN        bool             `json:"pin"`
	QtyUnits   int64            `json:"qty_units"`
	GivenMs    int64            `json:"given_ms"`
	Sig        string           `json:"sig"`
	Digest     string           `json:"digest"` // SHA-256 of what was signed
	Account    string           `json:"account"`
	Role       string           `json:"role"`
	AtMs       int64            `json:"at_ms"` // first came
	// Doubt is what speaks against it, found when it came; one of the kinds of
	// conflicts, or "".
	Doubt   string          `json:"doubt"`
	Open    bool            `json:"open"` // no outcome yet
	Outcome Outcome         `json:"outcome"`
	Reason  matching.Reason `json:"reason"`
}

var offlineSchema = store.Schema{Name: "offline_records", Indexes: []store.Index{
	{Name: "lease", Fields: []string{"lease", "seq"}},
	{Name: "allocation", Fields: []string{"allocation", "at_ms"}},
	{Name: "open", Fields: []string{"open", "at_ms"}},
	{Name: "device", Fields: []string{"device", "seq"}},
}}

// SyncItem is the answer to one record.
type SyncItem struct {
	ID      string          `json:"id"`
	Outcome Outcome         `json:"outcome"`
	Was     Outcome         `json:"was"` // of a known one: what it became; else as Outcome
	Reason  matching.Reason `json:"reason"`
}

// SyncResult answers a sync.
type SyncResult struct {
	Items    []SyncItem `json:"items"` // in the order of the records
	ServerMs int64      `json:"server_ms"`
	Lease    *LeaseView `json:"lease,omitempty"`
}

// Sync takes in what a device has handed over without a network, in the order
// of its numbers. Every record may come any number of times, also at once; it
// has one outcome. A gap in the numbers is shown with the lease and refuses
// nothing: what is missing may be lost, what is here has happened.
//
// Errors: [ErrNotYours], [ErrDeviceLost], [store.ErrNotFound],
// [residents.FieldError].
func (s *Service) Sync(ctx context.Context, p accounts.Principal, device string, records []Record) (*SyncResult, error) {
	d, err := s.trusted(ctx, p, device)
	if err != nil {
		return nil, err
	}
	if len(records) > MaxRecords {
		return nil, &residents.FieldError{Field: "records", ZH: "每次最多提交 200 条记录", EN: "at most 200 records at a time"}
	}
	if err := s.seen(ctx, d); err != nil {
		return nil, err
	}
	order := make([]int, len(records))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(records[a].Seq, records[b].Seq) })
	out := &SyncResult{Items: make([]SyncItem, len(records))}
	for _, i := range order {
		// Asked anew each time: it may be reported lost in the middle.
		if d, err = s.trusted(ctx, p, device); err != nil {
			return nil, err
		}
		if out.Items[i], err = s.take(ctx, p, d, records[i]); err != nil {
			return nil, fmt.Errorf("take in record %s of device %s: %w", records[i].ID, device, err)
		}
	}
	out.ServerMs = s.now().UnixMilli()
	l, err := s.LeaseOf(ctx, d)
	if errors.Is(err, store.ErrNotFound) {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	v, err := s.LeaseView(ctx, l)
	out.Lease = &v
	return out, err
}

func refuse(id, code, zh, en string) SyncItem {
	return SyncItem{ID: id, Outcome: Refused, Was: Refused, Reason: matching.Reason{Code: code, ZH: zh, EN: en}}
}

// take takes in one record. What is not signed by the device is refused without
// a trace, so that the real record of that id can still come.
func (s *Service) take(ctx context.Context, p accounts.Principal, d *Device, r Record) (SyncItem, error) {
	if problem := r.check(); problem != "" {
		return refuse(r.ID, "bad_record", "记录不完整，无法采纳："+problem, "the record is incomplete and cannot be taken: "+problem), nil
	}
	if !d.signed(r.text(), r.Sig) {
		return refuse(r.ID, "bad_signature", "记录不是由该设备签名的，未采纳。", "The record is not signed by this device; it was not taken."), nil
	}
	sum := sha256.Sum256([]byte(r.text()))
	digest, id := hex.EncodeToString(sum[:]), d.ID+"."+r.ID
	kept, err := s.offline.Get(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		kept, err = s.receive(ctx, p, d, r, id, digest)
	}
	if err != nil {
		return SyncItem{}, err
	}
	if kept.Digest != digest {
		return refuse(r.ID, "record_changed", "同一编号的记录内容不同，未采纳后来的一条。", "Another record with this id came before; the later one was not taken."), nil
	}
	if !kept.Open {
		return SyncItem{ID: r.ID, Outcome: Known, Was: kept.Outcome, Reason: kept.Reason}, nil
	}
	kept, fresh, err := s.resolve(ctx, kept)
	if err != nil {
		return SyncItem{}, err
	}
	item := SyncItem{ID: r.ID, Outcome: kept.Outcome, Was: kept.Outcome, Reason: kept.Reason}
	if !fresh {
		item.Outcome = Known
	}
	return item, nil
}

// check says which field of a record cannot be, in its JSON name.
func (r Record) check() string {
	for _, f := range []struct {
		name string
		bad  bool
	}{
		{"id", len(r.ID) < 8 || len(r.ID) > 64 || strings.ContainsFunc(r.ID, notInID)},
		{"seq", r.Seq < 1},
		{"lease", r.Lease == "" || len(r.Lease) > 64},
		{"allocation", r.Allocation == "" || len(r.Allocation) > 200},
		{"resident", r.Resident == "" || len(r.Resident) > 64},
		{"need", len(r.Need) > 64},
		{"code", len(r.Code) > 20},
		{"how", r.How != "scan" && r.How != "card_no" && r.How != "word"},
		{"token", len(r.Token) > 200},
		{"qty_units", r.QtyUnits < 1 || r.QtyUnits > matching.MaxUnits},
		{"given_ms", r.GivenMs < 1},
	} {
		if f.bad {
			return f.name
		}
	}
	return ""
}

// notInID says what does not belong into a record's id, which stands in URLs.
func notInID(r rune) bool {
	return r != '-' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
}

// receive keeps a record that comes for the first time, with what speaks
// against it; from then on it is finished whatever happens to the device.
func (s *Service) receive(ctx context.Context, p accounts.Principal, d *Device, r Record, id, digest string) (*offlineRecord, error) {
	doubt, carer, err := s.doubt(ctx, p, d, r)
	if err != nil {
		return nil, err
	}
	kept := &offlineRecord{
		Meta: store.Meta{ID: id}, Device: d.ID, Record: r.ID, Seq: r.Seq, Lease: r.Lease, Allocation: r.Allocation,
		Resident: r.Resident, Need: r.Need, Code: r.Code, Carer: carer, How: r.How, PIN: r.PIN, QtyUnits: r.QtyUnits, GivenMs: r.GivenMs,
		Sig: r.Sig, Digest: digest, Account: p.Account, Role: string(p.Role), AtMs: s.now().UnixMilli(), Doubt: doubt, Open: true,
	}
	if err := s.offline.Insert(ctx, kept); errors.Is(err, store.ErrDuplicate) {
		return s.offline.Get(ctx, id)
	} else if err != nil {
		return nil, err
	}
	return kept, nil
}

// doubt says what speaks against a record, as of the moment it was given, and
// which carer showed the code, if any.
func (s *Service) doubt(ctx context.Context, p accounts.Principal, d *Device, r Record) (doubt, carer string, err error) {
	l, err := s.leases.Get(ctx, r.Lease)
	if errors.Is(err, store.ErrNotFound) || err == nil && l.Device != d.ID {
		return KindUnknown, "", nil
	}
	if err != nil {
		return "", "", err
	}
	person, err := s.residents.Get(ctx, r.Resident)
	if errors.Is(err, store.ErrNotFound) {
		return KindUnknown, "", nil
	}
	if err != nil {
		return "", "", err
	}
	a, err := s.allocations.Get(ctx, r.Allocation)
	if errors.Is(err, store.ErrNotFound) {
		return KindUnknown, "", nil
	}
	if err != nil {
		return "", "", err
	}
	until := l.UntilMs
	if l.Ended {
		until = min(until, l.EndedMs)
	}
	skew := clockSkew.Milliseconds()
	switch {
	case !p.Sees(person.Division) || !p.Sees(l.Division), a.Spare && person.Status != residents.Active:
		return KindOutside, "", nil
	case a.Spare && !slices.Contains(l.People, person.ID):
		return KindMismatch, "", nil
	case r.GivenMs < l.FromMs-skew || r.GivenMs > until+skew || r.GivenMs > s.now().UnixMilli()+skew:
		return KindTime, "", nil
	case r.GivenMs > a.UntilMs+skew:
		return KindLate, "", nil
	}
	doubt, carer, err = s.doubtCode(ctx, r)
	if doubt == "" && !r.PIN && s.wantsProof(a) && !s.pictured(a) {
		doubt = KindNoPIN
	}
	return doubt, carer, err
}

// doubtCode says what speaks against the code that the device read, and which
// carer's it is, if any.
func (s *Service) doubtCode(ctx context.Context, r Record) (doubt, carer string, err error) {
	if r.How == "word" {
		return "", "", nil
	}
	person, code, err := s.residents.ByCode(ctx, r.Code)
	if errors.Is(err, store.ErrNotFound) || err == nil && person.ID != r.Resident {
		return KindCode, "", nil
	}
	if err != nil {
		return "", "", err
	}
	if r.How == "scan" && !s.tokenOf(ctx, r) {
		return KindToken, code.Carer, nil
	}
	since, until, err := s.codeCounts(ctx, code)
	if err != nil {
		return "", "", err
	}
	if r.GivenMs < since-clockSkew.Milliseconds() || r.GivenMs >= until {
		doubt = KindRevoked
	}
	return doubt, code.Carer, nil
}

// codeCounts says from when until when (Unix ms) a code counted, by what is
// known now. What counts no more and nobody wrote down since when, never did.
func (s *Service) codeCounts(ctx context.Context, code *residents.Code) (since, until int64, err error) {
	until = math.MaxInt64
	if code.Status != residents.CodeActive {
		until = code.RevokedMs
	}
	if code.Carer == "" {
		return 0, until, nil
	}
	carer, err := s.residents.Carer(ctx, code.Resident, code.Carer)
	if err != nil {
		return 0, 0, err
	}
	if until == 0 {
		until = math.MaxInt64 // the carer's own time says it
	}
	if carer.EndedMs > 0 {
		until = min(until, carer.EndedMs)
	}
	return carer.FromMs, min(until, carer.UntilMs), nil
}

// tokenOf says whether the token that was scanned was good when it was, and of
// the code that the record names.
func (s *Service) tokenOf(ctx context.Context, r Record) bool {
	token, err := qrcode.Parse(r.Token)
	return err == nil && token.CodeID() == r.Code && s.keys.Verify(ctx, token, time.UnixMilli(r.GivenMs)) == nil
}

// turns lets one handover of a resident be taken in at a time, in this process.
type turns [64]sync.Mutex

func (t *turns) of(resident string) *sync.Mutex {
	h := fnv.New32a()
	h.Write([]byte(resident))
	return &t[h.Sum32()%uint32(len(t))]
}

// resolve decides what becomes of a record, once. fresh says that this call
// did; every step before may be repeated.
func (s *Service) resolve(ctx context.Context, r *offlineRecord) (_ *offlineRecord, fresh bool, err error) {
	turn := s.turns.of(r.Resident)
	turn.Lock()
	defer turn.Unlock()
	outcome, reason, err := s.apply(ctx, r)
	if err != nil {
		return nil, false, err
	}
	done, err := s.offline.Change(ctx, r.ID, func(r *offlineRecord) error {
		if !r.Open {
			return errSame
		}
		r.Open, r.Outcome, r.Reason = false, outcome, reason
		return nil
	})
	if errors.Is(err, errSame) {
		done, err = s.offline.Get(ctx, r.ID)
		return done, false, err
	}
	return done, err == nil, err
}

// apply does what a record asks for. The allocation decides, by one
// compare-and-set: it is handed over, or it waits for a person (the record is
// in doubt), or it is not this record's any more.
func (s *Service) apply(ctx context.Context, r *offlineRecord) (Outcome, matching.Reason, error) {
	var none matching.Reason
	if r.Doubt == KindUnknown {
		return Refused, matching.Reason{
			Code: CodeOfflineRefuse, ZH: "没有这份租约、居民或派发，未采纳。", EN: "There is no such lease, resident or allocation; it was not taken.",
		}, nil
	}
	need, err := s.spareNeedOf(ctx, r)
	if err != nil {
		return "", none, err
	}
	l, err := s.leases.Get(ctx, r.Lease)
	if err != nil {
		return "", none, err
	}
	kind := ""
	a, err := s.allocations.Change(ctx, r.Allocation, func(a *Allocation) error {
		kind = ""
		switch {
		case a.State == HandedOver && a.OfflineRecord == r.ID:
			return errSame
		case a.Disputed == r.ID:
			kind = r.doubtOf(a, need)
			return errSame
		case a.State == HandedOver, a.State == Promised && (a.Disputed != "" || a.GivenUnits > 0):
			kind = KindDouble
			return errSame
		case a.State != Promised:
			kind = KindEnded
			return errSame
		case !slices.Contains(a.Leases, r.Lease):
			kind = KindNotLeased
			return errSame
		}
		if kind = r.doubtOf(a, need); kind != "" {
			a.Disputed, a.ExpiresMs = r.ID, s.now().Add(undecided).UnixMilli()
			return nil
		}
		if a.Spare {
			a.giveSpare(need, r.given(l, s.now()))
		}
		a.State, a.Unsettled, a.EndedMs, a.EndedBy = HandedOver, true, s.now().UnixMilli(), r.Account
		a.EndReason, a.Proof, a.Carer = matching.ReasonHandedOver(), r.proof(), r.Carer
		a.GivenMs, a.OfflineRecord = r.given(l, s.now()), r.ID
		a.giveRest()
		return nil
	})
	mine := err == nil
	if errors.Is(err, errSame) {
		a, err = s.allocations.Get(ctx, r.Allocation)
	}
	if err != nil {
		return "", none, err
	}
	if kind != "" {
		reason, err := s.dispute(ctx, r, a, kind)
		return Flagged, reason, err
	}
	if mine {
		s.settleLate(ctx, a)
	}
	if mine || s.now().UnixMilli()-r.AtMs > resumeAfter.Milliseconds() {
		if err := s.audit.Write(ctx, audit.Entry{
			AtMs: s.now().UnixMilli(), Actor: r.Account, Role: r.Role, Act: "handover_offline", Object: a.ID, Subject: a.Resident,
			Division: a.Division, Purpose: "reported by device " + r.Device, Outcome: "ok",
		}); err != nil {
			return "", none, err
		}
	}
	over, err := s.weigh(ctx, a, r.Account)
	if err != nil {
		return "", none, err
	}
	if over {
		reason, err := s.dispute(ctx, r, a, KindOver)
		return Flagged, reason, err
	}
	return Accepted, matching.Reason{Code: CodeOfflineTaken, ZH: "已入档：交付成立。", EN: "Recorded: the handover stands."}, nil
}

// undecided is how long what is in dispute may wait for a person.
const undecided = 10 * 366 * 24 * time.Hour

// resumeAfter is when a record without an outcome is taken up by somebody else:
// whoever began it is gone.
const resumeAfter = 30 * time.Second

// given is when it was given, not after now and not when it cannot have been.
func (r *offlineRecord) given(l *Lease, now time.Time) int64 {
	return max(l.FromMs, min(r.GivenMs, l.UntilMs, now.UnixMilli()))
}

func (r *offlineRecord) proof() string {
	switch {
	case r.PIN:
		return "offline_pin"
	case r.Carer != "":
		return "offline_carer"
	}
	return "offline_" + r.How
}

// spareNeedOf reads the need that a record names, nil where there is none.
func (s *Service) spareNeedOf(ctx context.Context, r *offlineRecord) (*residents.Need, error) {
	if r.Need == "" {
		return nil, nil
	}
	n, err := s.needs.Get(ctx, r.Need)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return n, err
}

// after says whether the need had ended, unserved, before the record was given.
// One that was served is given too much, which is another conflict.
func (r *offlineRecord) after(n *residents.Need) bool {
	return !n.State.Live() && n.State != residents.NeedHandedOver && n.UpdatedMs < r.GivenMs-clockSkew.Milliseconds()
}

// serves says whether a spare is what the resident's need asks for.
func (r *offlineRecord) serves(a *Allocation, need *residents.Need) bool {
	return need != nil && need.Resident == r.Resident && need.Category == a.Category && need.County == a.County
}

// doubtOf is what speaks against the record where this allocation is meant.
func (r *offlineRecord) doubtOf(a *Allocation, need *residents.Need) string {
	fits := a.Resident == r.Resident && r.Need == ""
	if a.Spare {
		fits = r.serves(a, need) && !r.after(need)
	}
	switch {
	case r.Doubt != "":
		return r.Doubt
	case !fits || r.QtyUnits != a.QtyUnits:
		return KindMismatch
	}
	return ""
}

// giveSpare makes a device's spare the resident's: promised and given at once.
// Its claim carries its own id, so that no ordinal is taken that the matcher
// may be giving out at this moment.
func (a *Allocation) giveSpare(n *residents.Need, givenMs int64) {
	at := time.UnixMilli(givenMs)
	a.Need, a.Resident, a.Household, a.Division = n.ID, n.Resident, n.Household, n.Division
	a.CategoryCap = categoryCap(a.Category, at)
	a.OfferCap = a.spareCap(at)
	a.Seq, a.PromisedMs = 0, givenMs
	a.Reason = matching.ReasonGiven(matching.Given{
		Offer: matching.Text{ZH: a.TitleZH, EN: a.TitleEN}, Unit: unitText(a.Unit, a.Category), Category: categoryText(a.Category), Units: a.QtyUnits, Money: a.Category == providers.Cash,
	})
	a.Claim = strings.Join([]string{a.Household, a.CategoryCap.Field, a.CategoryCap.Period, a.ID}, "|")
}

// weigh looks, after a handover without a network, at what it was too much of:
// what is promised beyond the need goes back, and the allocation is marked if
// it is over all the same. It may be repeated.
func (s *Service) weigh(ctx context.Context, a *Allocation, by string) (over bool, err error) {
	if err := s.trimNeed(ctx, a.Need, by); err != nil {
		return false, err
	}
	if over, err = s.tooMuch(ctx, a); err != nil || !over {
		return false, err
	}
	_, err = s.allocations.Change(ctx, a.ID, func(a *Allocation) error {
		if a.OverCap {
			return errSame
		}
		a.OverCap = true
		return nil
	})
	if errors.Is(err, errSame) {
		err = nil
	}
	return true, err
}

// tooMuch says whether, with this handover, the household has more than a cap
// allows or the resident more than was needed. Of two that together are too
// much, the later to look sees both.
func (s *Service) tooMuch(ctx context.Context, a *Allocation) (bool, error) {
	if a.Spare { // the others were checked when they were promised
		if over, err := s.overCap(ctx, a, (*Allocation).counts); over || err != nil {
			return over, err
		}
	}
	n, err := s.needs.Get(ctx, a.Need)
	if err != nil {
		return false, err
	}
	past, err := s.pastOf(ctx, a.Need)
	if err != nil {
		return false, err
	}
	return needView(n, past).GivenUnits > n.QtyUnits, nil
}

// trimNeed takes back what is promised for a need beyond what it still wants;
// what a device has, or a dispute, stays.
func (s *Service) trimNeed(ctx context.Context, need, by string) error {
	n, err := s.needs.Get(ctx, need)
	if err != nil {
		return err
	}
	return s.trim(ctx, n, by, matching.Reason{
		Code: CodeGivenOffline, ZH: "同一需求已由离线设备交付，份额退回继续派发。", EN: "The same need was served offline; the units went back to be given to others.",
	})
}

// finishOffline finishes what was left half done of what devices have reported:
// records without an outcome, and decisions that were not carried out.
func (s *Service) finishOffline(ctx context.Context) error {
	var open []*offlineRecord
	if err := s.offline.Each(ctx, store.Query{
		Index: "open", Equal: []any{true}, To: s.now().Add(-resumeAfter).UnixMilli(),
	}, func(r *offlineRecord) error {
		open = append(open, r)
		return nil
	}); err != nil {
		return err
	}
	for _, r := range open {
		if _, _, err := s.resolve(ctx, r); err != nil {
			return fmt.Errorf("finish record %s: %w", r.ID, err)
		}
	}
	return s.finishDecisions(ctx)
}
