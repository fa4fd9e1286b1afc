package funds

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/app/store/sqlite"
	"github.com/xingfuma/happycode/app/vault"
	"github.com/xingfuma/happycode/providers"
)

// happened is a ledger of events and of what was handed over.
type happened struct {
	mu     sync.Mutex
	events []*care.Event
	given  map[string][]*care.Allocation // by share
}

func (h *happened) Told(_ context.Context, fromMs, toMs int64, _ string, _ int) (out []*care.Event, next string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.events {
		if e.TellMs >= fromMs && e.TellMs < toMs {
			out = append(out, e)
		}
	}
	return out, "", nil
}

func (h *happened) HandedOver(_ context.Context, share string, visit func(*care.Allocation) error) error {
	h.mu.Lock()
	given := slices.Clone(h.given[share])
	h.mu.Unlock()
	for _, a := range given {
		if err := visit(a); err != nil {
			return err
		}
	}
	return nil
}

func (h *happened) Promise(_ context.Context, id string) (*care.Allocation, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, given := range h.given {
		for _, a := range given {
			if a.ID == id {
				return a, nil
			}
		}
	}
	return nil, store.ErrNotFound
}

// office is an organisation with a fund, and the services of one process.
type office struct {
	t      *testing.T
	record store.Record
	vault  *vault.Vault
	clock  *atomic.Int64 // Unix ms
	ledger *happened
	serial *atomic.Int64
	books  *Service
	keeper *Keeper
	giving *providers.Service
	org    *providers.Organisation
	fund   string
}

func (o *office) now() time.Time { return time.UnixMilli(o.clock.Load()) }

func newOffice(t *testing.T, record store.Record) *office {
	t.Helper()
	keys, err := vault.Open(filepath.Join(t.TempDir(), "keys.json"))
	must(t, err)
	must(t, record.Ensure(t.Context(), slices.Concat(providers.Schemas(), Schemas())...))
	o := &office{
		t: t, vault: keys, clock: &atomic.Int64{}, serial: &atomic.Int64{}, ledger: &happened{given: map[string][]*care.Allocation{}},
	}
	o.clock.Store(nov)
	o = o.beside(record)
	o.org, err = o.giving.Join(t.Context(), "p", providers.NewOrganisation{
		Name: "湖州市慈善总会", Kind: providers.Charity, CreditCode: "91350100m000100y43", Division: huzhou,
	})
	must(t, err)
	o.org, err = o.giving.Decide(t.Context(), "admin", o.org.ID, providers.Approved, "")
	must(t, err)
	f, err := o.books.Create(t.Context(), "p", o.org, NewFund{Kind: Named, Name: "暖冬基金"})
	must(t, err)
	o.fund = f.ID
	must(t, o.keeper.follow(t.Context())) // from now on
	return o
}

// beside is another process on the same record, or on one in front of it.
func (o *office) beside(record store.Record) *office {
	out := *o
	out.record = record
	out.books = New(Config{Record: record, Vault: o.vault, Now: out.now})
	out.giving = providers.New(providers.Config{
		Record: record, Now: out.now, Counties: func() []string { return []string{wuxing, nanxun} }, Funds: out.books,
	})
	out.keeper = NewKeeper(KeeperConfig{Record: record, Books: out.books, Ledger: o.ledger, Offers: out.giving, Now: out.now})
	return &out
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newSQLite(t *testing.T) store.Record {
	t.Helper()
	record, err := sqlite.Open(filepath.Join(t.TempDir(), "record.db"))
	must(t, err)
	t.Cleanup(func() { must(t, record.Close()) })
	return record
}

func (o *office) donate(fen int64) *Donation {
	o.t.Helper()
	d, err := o.books.Donate(o.t.Context(), "p", o.fund, NewDonation{Donor: "沈女士", Fen: fen, AtMs: o.clock.Load()})
	must(o.t, err)
	return d
}

// post posts an offer of meals at a value that draws on the fund.
func (o *office) post(ctx context.Context, fen, units int64, key string) (*providers.Offer, error) {
	return o.giving.Post(ctx, "p", o.org, providers.NewOffer{
		TitleZH: "爱心午餐", Category: "meal", ValueFen: fen, Divisions: []string{wuxing}, Fund: o.fund, Key: key,
		Handover: providers.Handover{How: providers.Pickup, Place: "月河街道食堂"},
		Lots:     []providers.NewLot{{QtyUnits: units, FromMs: o.clock.Load(), UntilMs: o.clock.Load() + day}},
	})
}

// give hands units of an offer over, as app/care does; told says that its event
// was written.
func (o *office) give(offer string, units int64, told bool) *care.Allocation {
	o.t.Helper()
	id := fmt.Sprintf("need-%d", o.serial.Add(1))
	share := o.share(offer, func(sh *providers.Share) error {
		if err := sh.Reserve(id, units); err != nil {
			return err
		}
		sh.Settle(id, units, providers.HandedOver)
		sh.Settled(id)
		return nil
	})
	a := &care.Allocation{
		Meta: store.Meta{ID: id}, Offer: offer, Share: share.ID, QtyUnits: units, State: care.HandedOver, EndedMs: o.clock.Load(),
		Division: "330502001001", Resident: "person-" + id,
	}
	o.ledger.mu.Lock()
	defer o.ledger.mu.Unlock()
	o.ledger.given[share.ID] = append(o.ledger.given[share.ID], a)
	if told {
		o.ledger.events = append(o.ledger.events, &care.Event{
			Meta: store.Meta{ID: id + ":handed_over"}, AtMs: a.EndedMs, TellMs: a.EndedMs, Kind: kindGiven, Offer: offer, Allocation: id,
			QtyUnits: units, Division: a.Division, Resident: a.Resident,
		})
	}
	return a
}

func (o *office) share(offer string, change func(*providers.Share) error) *providers.Share {
	o.t.Helper()
	shares, err := o.giving.Shares(o.t.Context(), offer)
	must(o.t, err)
	sh, err := o.giving.ShareCollection().Change(o.t.Context(), shares[0].ID, change)
	must(o.t, err)
	return sh
}

func (o *office) figures() *Fund {
	o.t.Helper()
	f, err := o.books.Get(o.t.Context(), o.fund)
	must(o.t, err)
	return f
}

// sound says that the books are right, without or with repair.
func (o *office) sound(repair bool) *Report {
	o.t.Helper()
	r, err := o.keeper.Verify(o.t.Context(), repair)
	must(o.t, err)
	for _, f := range r.Faults {
		o.t.Error(f)
	}
	return r
}

// A donation pays for an offer, the offer for handovers, and what is not given
// returns; a lost event is found by the recount.
func TestFromDonationToHandover(t *testing.T) {
	t.Parallel()
	o := newOffice(t, newSQLite(t))
	d := o.donate(10_000)
	if d.Receipt != "2025-000001" {
		t.Errorf("receipt %s", d.Receipt)
	}
	offer, err := o.post(t.Context(), 1500, 6, "")
	must(t, err)
	if f := o.figures(); f.AvailableFen != 1000 || f.ReservedFen != 9000 {
		t.Fatalf("available %d, reserved %d", f.AvailableFen, f.ReservedFen)
	}
	var refused FieldError
	if _, err := o.post(t.Context(), 1500, 1, ""); !errors.As(err, &refused) || refused.Field != "fund" {
		t.Errorf("an offer beyond the fund: %v", err)
	}
	o.give(offer.ID, 2, true)
	lost := o.give(offer.ID, 1, false)
	o.clock.Add(10_000)
	must(t, o.keeper.follow(t.Context()))
	must(t, o.keeper.follow(t.Context())) // again changes nothing
	if f := o.figures(); f.SpentFen != 3000 || f.ReservedFen != 6000 {
		t.Errorf("spent %d, reserved %d", f.SpentFen, f.ReservedFen)
	}
	if r := o.sound(false); r.BehindMs > 6000 {
		t.Errorf("the keeper has just read and is %d ms behind", r.BehindMs)
	}
	o.clock.Add(2 * lateness)
	o.sound(false) // it was not read since
	must(t, o.keeper.follow(t.Context()))
	if r, err := o.keeper.Verify(t.Context(), false); err != nil || len(r.Faults) != 1 {
		t.Errorf("verify does not name the handover %s whose event was lost: %v %v", lost.ID, r.Faults, err)
	}
	if r := o.sound(true); r.Spent != 4500 || r.Handovers != 2 {
		t.Errorf("repaired to %+v", r)
	}
	o.share(offer.ID, func(sh *providers.Share) error { sh.Close(providers.Over); return nil })
	must(t, o.keeper.Sweep(t.Context(), false))
	f := o.figures()
	if f.AvailableFen != 5500 || f.ReservedFen != 0 || f.SpentFen != 4500 || len(f.Draws) != 0 {
		t.Errorf("at the end %+v", f)
	}
	o.sound(false)
}

// However many offers are posted at once from two processes, the fund pays for
// those that it can and never goes below zero.
func TestOffersAtOnce(t *testing.T) {
	t.Parallel()
	offersAtOnce(t, newOffice(t, newSQLite(t)), 30, 10)
}

func offersAtOnce(t *testing.T, o *office, tries, covered int) {
	t.Helper()
	o.donate(int64(covered)*1000 + 999)
	both := []*office{o, o.beside(o.record)}
	var posted, refused atomic.Int64
	var wg sync.WaitGroup
	for i := range tries {
		wg.Go(func() {
			offer, err := both[i%2].post(t.Context(), 100, 10, "")
			var full FieldError
			switch {
			case err == nil:
				posted.Add(1)
				both[i%2].give(offer.ID, 4, true)
			case errors.As(err, &full) && full.Field == "fund":
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if posted.Load() != int64(covered) || refused.Load() != int64(tries-covered) {
		t.Errorf("%d posted and %d refused, want %d and %d", posted.Load(), refused.Load(), covered, tries-covered)
	}
	o.clock.Add(10_000)
	for i := range 2 { // both keepers read the same events
		wg.Go(func() {
			if err := both[i].keeper.follow(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if f := o.figures(); f.AvailableFen != 999 || f.SpentFen != int64(covered)*400 || f.ReservedFen != int64(covered)*600 {
		t.Errorf("available %d, reserved %d, spent %d", f.AvailableFen, f.ReservedFen, f.SpentFen)
	}
	o.sound(false)
}

var errDead = errors.New("the process is dead")

// mortal is a record whose process dies at a write: the write is carried out or
// not, and nothing comes after it.
type mortal struct {
	store.Record
	left   atomic.Int64 // writes until then
	before bool         // it dies before the write
	dead   atomic.Bool
}

func (m *mortal) die(write func() error) error {
	switch n := m.left.Add(-1); {
	case n > 0:
		return write()
	case n == 0 && !m.before:
		if err := write(); err != nil {
			return err
		}
	}
	m.dead.Store(true)
	return errDead
}

func (m *mortal) Insert(ctx context.Context, collection string, docs []store.Document) (dups []store.Duplicate, err error) {
	err = m.die(func() error { dups, err = m.Record.Insert(ctx, collection, docs); return err })
	return dups, err
}

func (m *mortal) Replace(ctx context.Context, collection string, docs []store.Document) (errs []error, err error) {
	err = m.die(func() error { errs, err = m.Record.Replace(ctx, collection, docs); return err })
	return errs, err
}

// A process that dies at any step of a donation, an offer or a handover leaves
// books that the others finish, and a repeat does what was asked once.
func TestDeathAtAnyStep(t *testing.T) {
	t.Parallel()
	o := newOffice(t, newSQLite(t))
	o.donate(1_000_000)
	steps := 0
	for _, before := range []bool{true, false} {
		for at := int64(1); ; at++ {
			m := &mortal{Record: o.record, before: before}
			m.left.Store(at)
			dying := o.beside(m)
			key := fmt.Sprint(before, at)
			was := o.figures()
			donate := func(x *office) error {
				_, err := x.books.Donate(t.Context(), "p", o.fund, NewDonation{Fen: 7, AtMs: o.clock.Load(), Key: key})
				return err
			}
			errs := []error{donate(dying)}
			offer, err := dying.post(t.Context(), 100, 3, key)
			errs = append(errs, err)
			if err == nil {
				o.give(offer.ID, 1, true)
				o.clock.Add(10_000)
				errs = append(errs, dying.keeper.follow(t.Context()))
			}
			o.sound(true)
			if !m.dead.Load() {
				must(t, errors.Join(errs...))
				break
			}
			steps++
			// Whoever asked asks again.
			must(t, donate(o))
			again, err := o.post(t.Context(), 100, 3, key)
			must(t, err)
			if offer == nil {
				o.give(again.ID, 1, true)
			}
			o.clock.Add(10_000)
			must(t, o.keeper.follow(t.Context()))
			o.share(again.ID, func(sh *providers.Share) error { sh.Close(providers.OfferWithdrawn); return nil })
			o.sound(true)
			f := o.figures()
			if f.ReceivedFen != was.ReceivedFen+7 || f.SpentFen != was.SpentFen+100 || f.ReservedFen != was.ReservedFen {
				t.Fatalf("died at %d: received %d→%d, spent %d→%d, reserved %d→%d", at, was.ReceivedFen, f.ReceivedFen, was.SpentFen, f.SpentFen, was.ReservedFen, f.ReservedFen)
			}
		}
	}
	if steps < 12 {
		t.Errorf("the process died at %d steps only", steps)
	}
}

// Money that was set aside for an offer which was never written returns, and the
// offer cannot be written after that.
func TestOfferThatWasNeverPosted(t *testing.T) {
	t.Parallel()
	o := newOffice(t, newSQLite(t))
	o.donate(1000)
	slow := &stalled{Record: o.record, reached: make(chan struct{}), goOn: make(chan struct{})}
	answer := make(chan error, 1)
	go func() {
		_, err := o.beside(slow).post(t.Context(), 100, 10, "")
		answer <- err
	}()
	<-slow.reached
	o.clock.Add(orphanAfter.Milliseconds() - 1)
	must(t, o.keeper.Sweep(t.Context(), true))
	if f := o.figures(); f.ReservedFen != 1000 {
		t.Errorf("an offer that may still be written lost its money: %+v", f)
	}
	o.clock.Add(2)
	must(t, o.keeper.Sweep(t.Context(), true))
	if f := o.figures(); f.AvailableFen != 1000 || len(f.Draws) != 0 {
		t.Errorf("the money did not return: %+v", f)
	}
	close(slow.goOn)
	if err := <-answer; !errors.Is(err, store.ErrDuplicate) {
		t.Errorf("the offer was written without its money: %v", err)
	}
	o.sound(false)
}

// stalled is a record that stands still before an offer is written.
type stalled struct {
	store.Record
	reached, goOn chan struct{}
}

func (s *stalled) Insert(ctx context.Context, collection string, docs []store.Document) ([]store.Duplicate, error) {
	if collection == "offers" {
		close(s.reached)
		<-s.goOn
	}
	return s.Record.Insert(ctx, collection, docs)
}

// Two people close a month; figures stay, and nothing is dated into it.
func TestTwoPeopleCloseAMonth(t *testing.T) {
	t.Parallel()
	o := newOffice(t, newSQLite(t))
	ctx := t.Context()
	o.donate(500)
	if _, err := o.books.Propose(ctx, "ann", o.fund, "2025-11", false); !errors.Is(err, ErrMonth) {
		t.Errorf("the running month is closed: %v", err)
	}
	o.clock.Add(20 * day)
	_, err := o.books.Propose(ctx, "ann", o.fund, "2025-11", false)
	must(t, err)
	if _, err := o.books.Confirm(ctx, "ann", o.fund, "2025-11"); !errors.Is(err, ErrSamePerson) {
		t.Errorf("the same person confirms: %v", err)
	}
	_, err = o.books.Donate(ctx, "p", o.fund, NewDonation{Fen: 50, AtMs: nov}) // it is not closed yet
	must(t, err)
	f, err := o.books.Confirm(ctx, "bob", o.fund, "2025-11")
	must(t, err)
	if c := f.Closings[0]; c.Booked.DonatedFen != 550 || c.Booked.Donations != 2 || c.Alone || c.ProposedBy != "ann" || c.ConfirmedBy != "bob" {
		t.Errorf("closing %+v", c)
	}
	var refused FieldError
	if _, err := o.books.Donate(ctx, "p", o.fund, NewDonation{Fen: 1, AtMs: nov}); !errors.As(err, &refused) || refused.Field != "at_ms" {
		t.Errorf("a donation in a closed month: %v", err)
	}
	o.clock.Add(31 * day)
	f, err = o.books.Propose(ctx, "ann", o.fund, "2025-12", true)
	must(t, err)
	if f.ClosedThrough != "2025-12" || !f.Closings[1].Alone || f.Closings[1].Opening.AvailableFen != 550 {
		t.Errorf("closed alone: %+v", f.Closings)
	}
	o.sound(false)
}
