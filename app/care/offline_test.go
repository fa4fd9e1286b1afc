package care

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/app/store/sqlite"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/qrcode"
)

// phone is a device with its key, and what it hands over without a network.
type phone struct {
	c      *city
	who    accounts.Principal
	key    *ecdsa.PrivateKey
	id     string
	seq    int64
	bundle *Bundle
	queue  []Record
}

func (c *city) phone(name string, who accounts.Principal) *phone {
	c.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		c.t.Fatal(err)
	}
	b, err := key.PublicKey.Bytes()
	if err != nil {
		c.t.Fatal(err)
	}
	d, err := c.care.RegisterDevice(context.Background(), who, NewDevice{
		Name: name, X: base64.RawURLEncoding.EncodeToString(b[1:33]), Y: base64.RawURLEncoding.EncodeToString(b[33:]),
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return &phone{c: c, who: who, key: key, id: d.ID}
}

// take takes the village along.
func (f *phone) take(hours int64, spares ...SpareOrder) *Bundle {
	f.c.t.Helper()
	b, err := f.c.care.TakeLease(context.Background(), f.who, f.id, NewLease{Division: village, Hours: hours, Spares: spares}, nil)
	if err != nil {
		f.c.t.Fatal(err)
	}
	f.bundle = b
	return b
}

// person is somebody of the roster.
func (f *phone) person(r *residents.Resident) Person {
	f.c.t.Helper()
	for _, p := range f.bundle.People {
		if p.Resident == r.ID {
			return p
		}
	}
	f.c.t.Fatalf("resident %s is not in the roster", r.ID)
	return Person{}
}

// gives makes the record of a handover by scan, without a network.
func (f *phone) gives(r *residents.Resident, item BundleItem, need string) Record {
	f.c.t.Helper()
	digits := f.c.code(r)
	token, err := qrcode.Parse(digits)
	if err != nil {
		f.c.t.Fatal(err)
	}
	return f.record(Record{
		Lease: f.bundle.Lease.ID, Allocation: item.Allocation, Resident: r.ID, Need: need, Code: token.CodeID(), How: "scan",
		Token: digits, QtyUnits: item.QtyUnits, GivenMs: f.c.clock.now().UnixMilli(),
	})
}

// record numbers and signs a record.
func (f *phone) record(r Record) Record {
	f.c.t.Helper()
	f.seq++
	r.Seq = f.seq
	r.ID = fmt.Sprintf("%s-%06d", f.id[:8], f.seq) + rand.Text()[:8]
	f.sign(&r)
	f.queue = append(f.queue, r)
	return r
}

func (f *phone) sign(r *Record) {
	f.c.t.Helper()
	sum := sha256.Sum256([]byte(r.text()))
	a, b, err := ecdsa.Sign(rand.Reader, f.key, sum[:])
	if err != nil {
		f.c.t.Fatal(err)
	}
	var sig [64]byte
	a.FillBytes(sig[:32])
	b.FillBytes(sig[32:])
	r.Sig = base64.RawURLEncoding.EncodeToString(sig[:])
}

func (f *phone) sync(records ...Record) []SyncItem {
	f.c.t.Helper()
	if records == nil {
		records = f.queue
	}
	got, err := f.c.care.Sync(context.Background(), f.who, f.id, records)
	if err != nil {
		f.c.t.Fatal(err)
	}
	return got.Items
}

// wants fails unless the outcomes are these.
func wants(t *testing.T, got []SyncItem, want ...Outcome) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d answers, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i].Outcome != want[i] {
			t.Errorf("record %d is %s (%s: %s), want %s", i, got[i].Outcome, got[i].Reason.Code, got[i].Reason.EN, want[i])
		}
	}
}

func (c *city) allocation(id string) *Allocation {
	c.t.Helper()
	a, err := c.care.allocations.Get(context.Background(), id)
	if err != nil {
		c.t.Fatal(err)
	}
	return a
}

// A village is taken along, given without a network, and found right.
func TestOfflineRound(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	o := c.offer("meal", 10, 0, county)
	first, need := c.resident(village, "meal", 2, 3)
	second, later := c.resident(village, "meal", 1, 3)
	third := c.person(village, "")
	f := c.phone("电话一", c.worker)
	b := f.take(8, SpareOrder{Offer: o.ID, QtyUnits: 3})
	if len(b.People) != 3 || len(b.Spares) != 3 || b.Lease.Items != 5 {
		t.Fatalf("the bundle has %d people, %d spares, %d items", len(b.People), len(b.Spares), b.Lease.Items)
	}
	if p := f.person(first); p.Items[0].Reason.ZH == "" || p.Needs[0].Reason.EN == "" || b.Spares[0].Reason.Code != "" {
		t.Errorf("the reasons are %+v, %+v and %+v", p.Items[0].Reason, p.Needs[0].Reason, b.Spares[0].Reason)
	}
	if p := f.person(first); len(p.Items) != 1 || p.Items[0].QtyUnits != 2 || p.Needs[0].LeftUnits != 0 || p.Room["meal"] != 1 {
		t.Errorf("the first person has %+v", p)
	}
	fresh := c.need(third, "meal", 1, 3) // after the lease: a spare serves it
	c.clean(false)

	// Nobody else may touch what the device has.
	item := f.person(first).Items[0]
	var leased *LeasedError
	if _, err := c.care.HandOver(ctx, c.worker, item.Allocation, Evidence{}); !errors.As(err, &leased) || leased.Device != "电话一" {
		t.Errorf("handing over what is leased: %v", err)
	}
	if _, err := c.care.Decline(ctx, c.worker, item.Allocation, ""); !errors.As(err, &leased) {
		t.Errorf("declining what is leased: %v", err)
	}
	if _, err := c.care.WithdrawNeed(ctx, c.worker, need.ID, ""); !errors.As(err, &leased) {
		t.Errorf("withdrawing a need that is leased: %v", err)
	}
	if got := c.scan(first); len(got.Offered) != 1 || got.Offered[0].Leased == nil || got.Offered[0].Leased.Code != CodeLeased {
		t.Errorf("the scan says %+v", got.Offered)
	}

	c.clock.advance(time.Hour)
	f.gives(first, item, "")
	f.gives(second, f.person(second).Items[0], "")
	f.gives(third, b.Spares[0], fresh.ID)
	given := c.clock.now().UnixMilli()
	c.clock.advance(10 * time.Hour) // beyond the lease, within the grace
	wants(t, f.sync(), Accepted, Accepted, Accepted)
	wants(t, f.sync(), Known, Known, Known)
	for _, n := range []*residents.Need{need, later, fresh} {
		if got, err := c.residents.NeedByID(ctx, n.ID); err != nil || got.State != residents.NeedHandedOver {
			t.Errorf("need %s is %q, %v", n.ID, got.State, err)
		}
	}
	a := c.allocation(b.Spares[0].Allocation)
	if a.Resident != third.ID || a.State != HandedOver || a.GivenMs != given || a.Proof != "offline_scan" {
		t.Errorf("the spare is %+v", a)
	}
	if got := c.scan(third); len(got.Received) != 1 || got.Received[0].HandedOverMs != given {
		t.Errorf("the happiness list has %+v", got.Received)
	}
	c.clean(false)
	v, err := c.care.Return(ctx, f.who, f.id)
	if err != nil || v.Given != 3 || v.Returned != 2 || v.Items != 5 || v.Reported != 3 || v.Gaps != 0 {
		t.Errorf("returned: %+v, %v", v, err)
	}
	stock, err := c.care.Stock(ctx, o.ID)
	if err != nil || stock[0].FreeUnits != 6 || stock[0].HandedOverUnits != 4 || stock[0].PromisedUnits != 0 {
		t.Errorf("the stock is %+v, %v", stock, err)
	}
	c.untilClean()
}

// colleague is another caseworker of the county.
func colleague() accounts.Principal {
	return accounts.Principal{Account: "colleague", Role: accounts.Caseworker, Division: county}
}

func (c *city) conflicts() []ConflictView {
	c.t.Helper()
	open, _, err := c.care.Conflicts(context.Background(), county, false, "", 100)
	if err != nil {
		c.t.Fatal(err)
	}
	return open
}

// A card that was copied is used on two devices without a network: the resident
// got twice what was needed, both units are gone and recorded, one handover
// stands, the other is put before a person, and nobody is given more.
func TestCopiedCardOnTwoDevices(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	o := c.offer("meal", 10, 0, county)
	r := c.person(village, "")
	one, two := c.phone("甲机", c.worker), c.phone("乙机", colleague())
	one.take(8, SpareOrder{o.ID, 2})
	two.take(8, SpareOrder{o.ID, 2})
	n := c.need(r, "meal", 1, 3)
	c.clock.advance(time.Hour)
	one.gives(r, one.bundle.Spares[0], n.ID)
	two.gives(r, two.bundle.Spares[0], n.ID)
	wants(t, one.sync(), Accepted)
	got := two.sync()
	wants(t, got, Flagged)
	if got[0].Reason.Code != "offline_over" {
		t.Errorf("the reason is %+v", got[0].Reason)
	}
	open := c.conflicts()
	if len(open) != 1 || open[0].Kind != KindOver || open[0].Resident != r.ID || open[0].Other.Device != "甲机" || open[0].DeviceName != "乙机" {
		t.Fatalf("the conflicts are %+v", open)
	}
	for _, f := range []*phone{one, two} {
		if a := c.allocation(f.bundle.Spares[0].Allocation); a.State != HandedOver || a.Resident != r.ID {
			t.Errorf("what is gone is %+v", a)
		}
	}
	report := c.clean(false)
	if report.Conflicts != 1 || report.OverCaps != 1 || report.Spares != 2 {
		t.Errorf("verify counts %+v", report)
	}
	if _, err := c.care.SettleConflict(ctx, two.who, open[0].ID, DecideTrue, ""); !errors.Is(err, ErrOwnReport) || len(c.conflicts()) != 1 {
		t.Errorf("who handed it over judges it: %v", err)
	}
	v, err := c.care.SettleConflict(ctx, c.judge, open[0].ID, DecideTrue, "卡片被复制，已补发")
	if err != nil || v.Settled == nil || v.Settled.Note != "卡片被复制，已补发" {
		t.Errorf("settled: %+v, %v", v.Settled, err)
	}
	if _, err := c.care.SettleConflict(ctx, c.judge, open[0].ID, DecideTrue, ""); err != nil {
		t.Errorf("deciding the same again: %v", err)
	}
	if _, err := c.care.SettleConflict(ctx, c.judge, open[0].ID, DecideMistake, ""); !errors.Is(err, ErrEnded) {
		t.Errorf("deciding otherwise afterwards: %v", err)
	}
	if left := c.conflicts(); len(left) != 0 {
		t.Errorf("still open: %+v", left)
	}
	c.untilClean()
}

// The same allocation comes from two devices: the first lost its lease, another
// took the village along. One handover is accepted, the other is for a person.
func TestOneAllocationFromTwoDevices(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	o := c.offer("meal", 10, 0, county)
	r, _ := c.resident(village, "meal", 1, 3)
	one, two := c.phone("甲机", c.worker), c.phone("乙机", colleague())
	one.take(8)
	item := one.person(r).Items[0]
	if _, err := c.care.Return(ctx, one.who, one.id); err != nil {
		t.Fatal(err)
	}
	two.take(8)
	if got := two.person(r); len(got.Items) != 1 || got.Items[0].Allocation != item.Allocation {
		t.Fatalf("the second device has %+v", got)
	}
	two.gives(r, item, "")
	one.gives(r, item, "")
	wants(t, two.sync(), Accepted)
	got := one.sync()
	wants(t, got, Flagged)
	if open := c.conflicts(); len(open) != 1 || open[0].Kind != KindDouble || open[0].Other.Device != "乙机" {
		t.Errorf("the conflicts are %+v", open)
	}
	// The books have one: nothing is invented for the second.
	if stock, err := c.care.Stock(ctx, o.ID); err != nil || stock[0].HandedOverUnits != 1 || stock[0].FreeUnits != 9 {
		t.Errorf("the stock is %+v, %v", stock, err)
	}
	// A device that never had it cannot give it.
	strange := c.phone("丙机", c.worker)
	other, _ := c.resident(village, "meal", 1, 3)
	strange.take(2)
	third := strange.person(other).Items[0]
	if _, err := c.care.Return(ctx, strange.who, strange.id); err != nil {
		t.Fatal(err)
	}
	two.gives(other, third, "")
	wants(t, two.sync(two.queue[1]), Flagged)
	if a := c.allocation(third.Allocation); a.State != Promised || a.Disputed != "" {
		t.Errorf("what was never leased to the device is %+v", a)
	}
	c.untilClean()
}

// A synced device knows that a card was revoked: the bundle no longer lists the
// code. What was given with it all the same waits for a person.
func TestRevokedCardOffline(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	c.offer("meal", 10, 0, county)
	people := make([]*residents.Resident, 3)
	for i := range people {
		people[i], _ = c.resident(village, "meal", 1, 3)
	}
	f := c.phone("电话", c.worker)
	f.take(4)
	for _, r := range people {
		before := f.person(r)
		f.gives(r, before.Items[0], "") // what the device gives before it is told, see below
		old := before.Codes[0].ID
		c.clock.advance(time.Minute)
		if _, err := c.residents.Reissue(ctx, "worker", r.ID, residents.WhyLost); err != nil {
			t.Fatal(err)
		}
		fresh, err := c.care.Bundle(ctx, f.who, f.id)
		if err != nil {
			t.Fatal(err)
		}
		f.bundle = fresh
		after := f.person(r)
		if len(after.Codes) != 1 || after.Codes[0].ID == old || len(after.Revoked) != 1 || after.Revoked[0] != old {
			t.Errorf("a refreshed roster has %+v, revoked %v", after.Codes, after.Revoked)
		}
	}
	// Given before it was revoked: right. The same after: for a person.
	c.clock.advance(time.Minute)
	late := f.queue
	f.queue = nil
	wants(t, f.sync(late[0]), Accepted)
	for i, decision := range []string{DecideReturned, DecideGiven} {
		r := late[i+1]
		r.GivenMs, r.ID = c.clock.now().UnixMilli(), "later-"+r.ID
		f.sign(&r)
		got := f.sync(r)
		wants(t, got, Flagged)
		if got[0].Reason.Code != "offline_revoked" {
			t.Errorf("the reason is %+v", got[0].Reason)
		}
		a := c.allocation(r.Allocation)
		if a.State != Promised || a.Disputed == "" {
			t.Fatalf("in dispute it is %+v", a)
		}
		if _, err := c.care.HandOver(ctx, c.worker, a.ID, Evidence{}); !errors.Is(err, ErrDisputed) {
			t.Errorf("handing over what is in dispute: %v", err)
		}
		report := c.clean(false)
		if report.Conflicts != 1 {
			t.Errorf("verify counts %d conflicts", report.Conflicts)
		}
		if _, err := c.care.SettleConflict(ctx, c.judge, a.Disputed, decision, ""); err != nil {
			t.Fatal(err)
		}
		want := map[string]State{DecideReturned: Withdrawn, DecideGiven: HandedOver}[decision]
		if a := c.allocation(r.Allocation); a.State != want {
			t.Errorf("decided %q, it is %q", decision, a.State)
		}
	}
	c.untilClean()
}

// A carer shows the code for somebody who cannot come: the roster says who it
// is, the handover says so too, and what is over when it is given is in doubt.
func TestCarerOffline(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	c.offer("meal", 10, 0, county)
	people := make([]*residents.Resident, 3)
	carers := make([]*residents.Carer, 3)
	for i := range people {
		people[i], _ = c.resident(village, "meal", 1, 3)
		carers[i] = c.carer(people[i])
	}
	f := c.phone("电话", c.worker)
	f.take(30)
	p := f.person(people[0])
	if len(p.Codes) != 2 {
		t.Fatalf("the roster has the codes %+v", p.Codes)
	}
	for _, code := range p.Codes {
		if code.ID == carers[0].Code && (code.CarerName != "王芳" || code.Relation != "child" || code.UntilMs != carers[0].UntilMs) {
			t.Errorf("the carer's code is %+v", code)
		}
	}
	records := make([]Record, 3)
	for i, r := range people {
		records[i] = f.gives(r, f.person(r).Items[0], "")
		records[i].Code, records[i].Token = carers[i].Code, c.carerCode(carers[i])
	}
	f.sign(&records[0])
	c.clock.advance(10 * time.Minute)
	if _, err := c.residents.EndCarer(ctx, "worker", people[1].ID, carers[1].ID, residents.WhyLost); err != nil {
		t.Fatal(err)
	}
	records[1].GivenMs = c.clock.now().UnixMilli() // after it was ended
	f.sign(&records[1])
	c.clock.advance(24 * time.Hour) // the carers' time is over
	f.sign(&records[2])             // given in time
	wants(t, f.sync(records...), Accepted, Flagged, Accepted)
	a := c.allocation(records[0].Allocation)
	if a.Carer != carers[0].ID || a.Proof != "offline_carer" {
		t.Errorf("the handover rests on %q, carer %q", a.Proof, a.Carer)
	}
	c.untilClean()
}

// What speaks against a record is found as of the moment it was given.
func TestDoubtsAboutRecords(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	o := c.offer("meal", 60, 0, county)
	f := c.phone("电话", c.worker)
	worth := int64(1000)
	c.care.pinAbove = &worth
	type strange struct {
		name   string
		kind   string
		change func(*Record)
	}
	cases := []strange{
		{"no code", KindCode, func(r *Record) { r.Code = "00000000000000000000" }},
		{"a forged token", KindToken, func(r *Record) { r.Token = r.Token[:192] + string('0'+(r.Token[192]-'0'+1)%10) }},
		{"before the lease", KindTime, func(r *Record) { r.GivenMs -= time.Hour.Milliseconds() }},
		{"after the lease", KindTime, func(r *Record) { r.GivenMs += 5 * time.Hour.Milliseconds() }},
		{"another quantity", KindMismatch, func(r *Record) { r.QtyUnits = 2 }},
		{"a need where none belongs", KindMismatch, func(r *Record) { r.Need = "x" }},
		{"a little early by its clock", "", func(r *Record) { r.GivenMs -= 4 * time.Minute.Milliseconds() }},
		{"on the caseworker's word", "", func(r *Record) { r.How, r.Token, r.Code = "word", "", "" }},
	}
	people := make([]*residents.Resident, len(cases))
	for i := range cases {
		people[i], _ = c.resident(village, "meal", 1, 3)
	}
	f.take(4)
	for i, x := range cases {
		r := f.gives(people[i], f.person(people[i]).Items[0], "")
		x.change(&r)
		f.sign(&r)
		got := f.sync(r)
		if x.kind == "" {
			wants(t, got, Accepted)
			continue
		}
		if got[0].Outcome != Flagged || got[0].Reason.Code != "offline_"+x.kind {
			t.Errorf("%s: %+v", x.name, got[0])
		}
	}
	if open := c.conflicts(); len(open) != 6 {
		t.Errorf("%d conflicts, want 6", len(open))
	}
	for _, v := range c.conflicts() {
		if _, err := c.care.SettleConflict(ctx, c.judge, v.ID, v.Decisions[len(v.Decisions)-1], ""); err != nil { // lost
			t.Fatal(err)
		}
	}
	if stock, err := c.care.Stock(ctx, o.ID); err != nil || stock[0].ExpiredUnits != 6 || stock[0].HandedOverUnits != 2 {
		t.Errorf("the stock is %+v, %v", stock, err)
	}
	// Refused, without a trace in the stock.
	r := f.gives(people[0], f.person(people[0]).Items[0], "")
	for name, change := range map[string]func(*Record){
		"not signed":            func(r *Record) { r.QtyUnits++ },
		"no such allocation":    func(r *Record) { r.Allocation = "nothing-0"; f.sign(r) },
		"somebody's lease":      func(r *Record) { r.Lease = "nothing"; f.sign(r) },
		"no number":             func(r *Record) { r.Seq = 0; f.sign(r) },
		"a separator in its id": func(r *Record) { r.ID = "aaaa.bbbb"; f.sign(r) },
	} {
		x := r
		x.ID = rand.Text()[:20]
		f.sign(&x)
		change(&x)
		if got := f.sync(x); got[0].Outcome != Refused {
			t.Errorf("%s: %+v", name, got[0])
		}
	}
	// Another record under the same id is refused, the first stays.
	again := f.queue[7]
	again.PIN = true
	f.sign(&again)
	if got := f.sync(again); got[0].Outcome != Refused {
		t.Errorf("another record under the same id: %+v", got)
	}
	c.untilClean()
}

// What is worth more than the limit takes the PIN, offline as well.
func TestPINAboveALimitOffline(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	c.offer("meal", 10, 0, county)
	first, _ := c.resident(village, "meal", 1, 3)
	second, _ := c.resident(village, "meal", 1, 3)
	f := c.phone("电话", c.worker)
	always := int64(0)
	c.care.pinAbove = &always
	if b := f.take(4); b.PINAboveFen != 0 {
		t.Errorf("the bundle says %d", b.PINAboveFen)
	}
	f.gives(first, f.person(first).Items[0], "")
	r := f.gives(second, f.person(second).Items[0], "")
	r.PIN = true
	f.sign(&r)
	f.queue[1] = r
	wants(t, f.sync(), Flagged, Accepted)
	if a := c.allocation(r.Allocation); a.Proof != "offline_pin" {
		t.Errorf("it rests on %q", a.Proof)
	}
	c.untilClean()
}

// A lost device is cut off at once, and everything it had goes back: the spares
// to those who wait, the promises to their residents.
func TestLostDeviceReturnsEverything(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	o := c.offer("meal", 5, 0, county)
	r, _ := c.resident(village, "meal", 1, 3)
	f := c.phone("电话", c.worker)
	f.take(8, SpareOrder{o.ID, 8})
	if got := len(f.bundle.Spares); got != 4 {
		t.Fatalf("%d spares of four free units", got)
	}
	waits, _ := c.resident(village, "meal", 2, 4)
	if got := c.scan(waits); len(got.Offered) != 0 || got.Needs[0].State != residents.NeedWaiting {
		t.Fatalf("offered %+v", got.Offered)
	}
	f.gives(r, f.person(r).Items[0], "")
	d, err := c.care.LoseDevice(ctx, c.worker, f.id)
	if err != nil || d.State != DeviceLost || d.Lease != "" {
		t.Fatalf("the device is %+v, %v", d, err)
	}
	if _, err := c.care.Sync(ctx, f.who, f.id, f.queue); !errors.Is(err, ErrDeviceLost) {
		t.Errorf("a lost device syncs: %v", err)
	}
	if _, err := c.care.Bundle(ctx, f.who, f.id); !errors.Is(err, ErrDeviceLost) {
		t.Errorf("a lost device gets a roster: %v", err)
	}
	if _, err := c.care.TakeLease(ctx, f.who, f.id, NewLease{Division: village, Hours: 1}, nil); !errors.Is(err, ErrDeviceLost) {
		t.Errorf("a lost device takes a lease: %v", err)
	}
	c.until("the spares are given to who waits", func() bool { return c.household(waits) == 2 })
	a := c.allocation(f.queue[0].Allocation)
	if a.State != Promised || a.Lease != "" || a.ExpiresMs <= c.clock.now().UnixMilli() {
		t.Errorf("the promise is %+v", a)
	}
	if _, err := c.care.HandOver(ctx, c.worker, a.ID, Evidence{}); err != nil {
		t.Errorf("the promise can be handed over again: %v", err)
	}
	c.untilClean()
	if sh := c.share(o); !sh.Balanced() || sh.Promised != 2 || sh.HandedOver != 1 || sh.FreeUnits() != 2 {
		t.Errorf("the share is %+v", sh)
	}
	// Its place is free for another, five at most.
	for i := range MaxDevices {
		c.phone(fmt.Sprintf("新机%d", i), c.worker)
	}
	if _, err := c.care.RegisterDevice(ctx, c.worker, NewDevice{Name: "第六台", X: d.X, Y: d.Y}); !errors.Is(err, ErrDevices) {
		t.Errorf("a sixth device: %v", err)
	}
	var wrong *residents.FieldError
	for _, n := range []NewDevice{{"x", "", ""}, {"x", d.X, d.X}, {"", d.X, d.Y}} {
		if _, err := c.care.RegisterDevice(ctx, colleague(), n); !errors.As(err, &wrong) {
			t.Errorf("device %+v: %v", n, err)
		}
	}
}

// What a device gave but had returned is missing on the shelf: it is said, and
// nothing is invented.
func TestReturnedAndGivenAll(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	o := c.offer("meal", 1, 0, county)
	f := c.phone("电话", c.worker)
	f.take(8, SpareOrder{o.ID, 1})
	r, n := c.resident(village, "meal", 1, 3)
	f.gives(r, f.bundle.Spares[0], n.ID)
	if _, err := c.care.Return(ctx, f.who, f.id); err != nil {
		t.Fatal(err)
	}
	if _, err := c.care.Return(ctx, f.who, f.id); err != nil {
		t.Errorf("returning again: %v", err)
	}
	got := f.sync()
	wants(t, got, Flagged)
	if open := c.conflicts(); len(open) != 1 || open[0].Kind != KindEnded || open[0].Other.State != Withdrawn {
		t.Errorf("the conflicts are %+v", open)
	}
	c.untilClean()
	// A promise is not returned to others at once: what was given comes late and
	// is right.
	c.offer("meal", 5, 0, county)
	again, _ := c.resident(village, "meal", 1, 3)
	f.take(2)
	f.gives(again, f.person(again).Items[0], "")
	if _, err := c.care.Return(ctx, f.who, f.id); err != nil {
		t.Fatal(err)
	}
	wants(t, f.sync(f.queue[1]), Accepted)
	c.untilClean()
}

// A lease that nobody reports on ends by itself after the grace; lots that are
// over by then are spoiled, and until then a record is honoured.
func TestLeaseRunsOut(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	o := c.offer("meal", 4, 0, county) // for twelve hours
	first, _ := c.resident(village, "meal", 1, 3)
	second, _ := c.resident(village, "meal", 1, 3)
	f := c.phone("电话", c.worker)
	f.take(20, SpareOrder{o.ID, 1})
	c.clock.advance(time.Hour)
	f.gives(first, f.person(first).Items[0], "")
	c.clock.advance(20 * time.Hour) // the lot is over, the lease as well
	c.until("the lot is closed", func() bool { return c.share(o).Closed })
	c.clean(false)
	wants(t, f.sync(), Accepted)
	item := f.person(second).Items[0]
	f.gives(second, item, "") // given now, which is too late
	if sh := c.share(o); sh.HandedOver != 1 || sh.Promised != 2 || sh.Expired != 1 {
		t.Errorf("the share is %+v", sh)
	}
	c.clock.advance(12 * time.Hour) // and the grace
	c.later("the lease has ended", func() bool {
		l, err := c.care.leases.Get(ctx, f.bundle.Lease.ID)
		return err == nil && l.Ended && !l.Unfinished && l.EndedWhy == LeaseOver
	})
	c.later("what was left is spoiled", func() bool {
		sh := c.share(o)
		return sh.HandedOver == 1 && sh.Promised == 0 && sh.Expired == 3
	})
	wants(t, f.sync(f.queue[1]), Flagged)
	c.untilClean()
}

// Redis is emptied while devices have spares: they survive, and the caps are
// right afterwards, whoever was told of what.
func TestSparesSurviveARebuild(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	o := c.offer("meal", 10, 0, county)
	r, _ := c.resident(village, "meal", 3, 3)
	second := c.person(village, r.Household)
	other := c.person(village, "")
	f := c.phone("电话", c.worker)
	f.take(8, SpareOrder{o.ID, 3})
	if a := f.person(r).Items; len(a) != 1 {
		t.Fatalf("items %+v", a)
	}
	c.emptyRedis()
	c.clean(false)
	more := c.need(second, "meal", 1, 3)
	wanted := c.need(other, "meal", 2, 3)
	f.gives(other, f.bundle.Spares[0], wanted.ID)
	wants(t, f.sync(), Accepted)
	// Two of three are left of the day's cap.
	c.need(other, "meal", 3, 3)
	for range 2 {
		got := c.scan(other)
		var units int64
		for _, a := range got.Offered {
			units += a.QtyUnits
		}
		if units != 2 {
			t.Errorf("offered %d units, want the 2 that the cap leaves", units)
		}
		c.emptyRedis()
	}
	// The household has used its cap: the device gives a spare all the same.
	f.gives(second, f.bundle.Spares[1], more.ID)
	wants(t, f.sync(f.queue[1]), Flagged)
	c.emptyRedis()
	c.untilClean()
}

// A lot that ended days ago still matters while a device may have given of it.
func TestRebuildDuringALongLease(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	o := c.offer("meal", 4, 0, county) // for twelve hours
	r, _ := c.resident(village, "meal", 1, 3)
	f := c.phone("电话", c.worker)
	f.take(72, SpareOrder{o.ID, 1})
	f.gives(r, f.person(r).Items[0], "")
	c.clock.advance(70 * time.Hour)
	c.until("the lot is closed", func() bool { return c.share(o).Closed })
	c.emptyRedis()
	c.clean(false)
	wants(t, f.sync(), Accepted)
	c.untilClean()
	if sh := c.share(o); sh.HandedOver != 1 || sh.Promised != 1 || sh.Expired != 2 {
		t.Errorf("the share is %+v", sh)
	}
	if st := c.stock(c.share(o)); st.FreeUnits != 0 || st.TakenUnits != 2 {
		t.Errorf("the matcher has %+v", st)
	}
}

// What a device gives counts in the day on which it was given.
func TestOfflineCountsOnItsDay(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	c.clock.ms.Store(time.Date(2026, 11, 24, 14, 0, 0, 0, time.UTC).UnixMilli()) // ten in the evening
	o := c.offer("meal", 20, 0, county)
	r := c.person(village, "")
	f := c.phone("电话", c.worker)
	f.take(8, SpareOrder{o.ID, 4})
	n := c.need(r, "meal", 4, 3)
	for i := range 3 {
		f.gives(r, f.bundle.Spares[i], n.ID)
	}
	c.clock.advance(4 * time.Hour) // two in the morning
	f.gives(r, f.bundle.Spares[3], n.ID)
	wants(t, f.sync(), Accepted, Accepted, Accepted, Accepted)
	c.need(r, "meal", 5, 3)
	if got := promisedUnits(c.scan(r)); got != 2 {
		t.Errorf("promised %d meals, want the 2 that the new day leaves", got)
	}
	c.emptyRedis()
	c.untilClean()
}

// Verify names what nobody could have brought about rightly.
func TestVerifyFindsFaultsOfLeases(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(c *city, f *phone){
		"leased, and there is no such lease": func(c *city, f *phone) {
			c.alter(f.bundle.People[0].Items[0].Allocation, func(a *Allocation) { a.Lease = "nothing" })
		},
		"a spare that no device has": func(c *city, f *phone) {
			c.alter(f.bundle.Spares[0].Allocation, func(a *Allocation) { a.Lease = "" })
		},
		"is a spare that somebody has": func(c *city, f *phone) {
			c.alter(f.bundle.Spares[0].Allocation, func(a *Allocation) { a.Resident = "somebody" })
		},
		"does not say what lease": func(c *city, f *phone) {
			c.alter(f.bundle.Spares[0].Allocation, func(a *Allocation) { a.LeaseUntilMs-- })
		},
		"no conflict says why": func(c *city, f *phone) {
			if err := c.care.offline.Insert(context.Background(), &offlineRecord{Meta: store.Meta{ID: "r"}}); err != nil {
				c.t.Fatal(err)
			}
			c.alter(f.bundle.Spares[0].Allocation, func(a *Allocation) { a.Disputed = "r" })
		},
		"does not carry the handover": func(c *city, f *phone) {
			if err := c.care.offline.Insert(context.Background(), &offlineRecord{
				Meta: store.Meta{ID: "r"}, Allocation: f.bundle.Spares[0].Allocation, Outcome: Accepted,
			}); err != nil {
				c.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCity(t, nil, nil)
			o := c.offer("meal", 4, 0, county)
			c.resident(village, "meal", 1, 3)
			f := c.phone("电话", c.worker)
			f.take(4, SpareOrder{o.ID, 1})
			c.clean(false)
			spoil(c, f)
			report, err := c.care.Verify(context.Background(), false, nil)
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for _, fault := range report.Faults {
				found = found || strings.Contains(fault.What, name)
			}
			if !found {
				t.Errorf("the faults are %+v", report.Faults)
			}
		})
	}
}

// alter writes what the program never would.
func (c *city) alter(id string, change func(*Allocation)) {
	c.t.Helper()
	if _, err := c.care.allocations.Change(context.Background(), id, func(a *Allocation) error {
		change(a)
		return nil
	}); err != nil {
		c.t.Fatal(err)
	}
}

// The same batch comes twenty times at once: each record has one outcome, and
// each unit is given once.
func TestSyncTwentyTimesAtOnce(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	o := c.offer("meal", 40, 0, county)
	f := c.phone("电话", c.worker)
	var people []*residents.Resident
	for range 6 {
		r, _ := c.resident(village, "meal", 1, 3)
		people = append(people, r)
	}
	f.take(8, SpareOrder{o.ID, 6})
	for i, r := range people {
		f.gives(r, f.person(r).Items[0], "")
		n := c.need(r, "meal", 1, 2)
		f.gives(r, f.bundle.Spares[i], n.ID)
	}
	outcomes := make([][]SyncItem, 20)
	var all sync.WaitGroup
	for i := range outcomes {
		all.Go(func() {
			got, err := c.care.Sync(ctx, f.who, f.id, f.queue)
			if err != nil {
				t.Error(err)
				return
			}
			outcomes[i] = got.Items
		})
	}
	all.Wait()
	for k := range f.queue {
		first := 0
		for i := range outcomes {
			if len(outcomes[i]) == 0 {
				continue
			}
			if outcomes[i][k].Was != Accepted {
				t.Errorf("record %d: %+v", k, outcomes[i][k])
			}
			if outcomes[i][k].Outcome == Accepted {
				first++
			}
		}
		if first != 1 {
			t.Errorf("record %d was accepted %d times", k, first)
		}
	}
	if stock, err := c.care.Stock(ctx, o.ID); err != nil || stock[0].HandedOverUnits != 12 || stock[0].PromisedUnits != 0 {
		t.Errorf("the stock is %+v, %v", stock, err)
	}
	if open := c.conflicts(); len(open) != 0 {
		t.Errorf("conflicts %+v", open)
	}
	c.untilClean()
}

// A lease is taken again with its key: it is the same lease, nothing is held
// twice. A device has one lease at a time.
func TestTakingAgainIsTheSameLease(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	o := c.offer("meal", 10, 0, county)
	c.resident(village, "meal", 1, 3)
	f := c.phone("电话", c.worker)
	ask := NewLease{Division: village, Hours: 3, Spares: []SpareOrder{{o.ID, 2}}, Key: "key"}
	var all sync.WaitGroup
	ids := make([]string, 8)
	for i := range ids {
		all.Go(func() {
			b, err := c.care.TakeLease(ctx, f.who, f.id, ask, nil)
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = b.Lease.ID
			if b.Lease.Items != 3 || len(b.Spares) != 2 {
				t.Errorf("the bundle has %d items, %d spares", b.Lease.Items, len(b.Spares))
			}
		})
	}
	all.Wait()
	for _, id := range ids[1:] {
		if id != ids[0] {
			t.Errorf("leases %s and %s", ids[0], id)
		}
	}
	if sh := c.share(o); sh.Promised != 3 {
		t.Errorf("%d units are promised, want 3", sh.Promised)
	}
	changed := ask
	changed.Key = "another"
	if _, err := c.care.TakeLease(ctx, f.who, f.id, changed, nil); !errors.Is(err, ErrLeaseLive) {
		t.Errorf("a second lease: %v", err)
	}
	changed.Key, changed.Hours = "key", 4
	if _, err := c.care.TakeLease(ctx, f.who, f.id, changed, nil); !errors.Is(err, residents.ErrKeyReused) {
		t.Errorf("another lease under the same key: %v", err)
	}
	if _, err := c.care.Return(ctx, f.who, f.id); err != nil {
		t.Fatal(err)
	}
	if _, err := c.care.TakeLease(ctx, f.who, f.id, ask, nil); !errors.Is(err, ErrLeaseEnded) {
		t.Errorf("the key of a lease that has ended: %v", err)
	}
	var wrong *residents.FieldError
	for _, n := range []NewLease{
		{Division: village, Hours: 0}, {Division: village, Hours: 73}, {Division: village, Hours: 1, Spares: []SpareOrder{{"x", 1}}},
		{Division: village, Hours: 1, Spares: []SpareOrder{{o.ID, MaxSpares + 1}}}, {Division: village, Hours: 1, Spares: []SpareOrder{{o.ID, 1}, {o.ID, 1}}},
	} {
		if _, err := c.care.TakeLease(ctx, f.who, f.id, n, nil); !errors.As(err, &wrong) {
			t.Errorf("%+v: %v", n, err)
		}
	}
	if _, err := c.care.TakeLease(ctx, accounts.Principal{Account: f.who.Account, Role: accounts.Caseworker, Division: other}, f.id, ask, nil); !errors.Is(err, ErrNotYours) {
		t.Errorf("another division: %v", err)
	}
	if _, err := c.care.Choices(ctx, colleague(), f.id, village); !errors.Is(err, ErrNotYours) {
		t.Errorf("somebody else's device: %v", err)
	}
	choices, err := c.care.Choices(ctx, f.who, f.id, village)
	if err != nil || choices.People != 1 || len(choices.Spares) != 1 || choices.Spares[0].FreeUnits != 9 {
		t.Errorf("the choices are %+v, %v", choices, err)
	}
	c.untilClean()
}

// The record dies at every write in turn while a village is taken along, given,
// synced, judged and returned; another process takes over. Nothing is given
// twice, nothing stays behind.
func TestOfflineDeathAtEveryWrite(t *testing.T) {
	t.Parallel()
	for part := range 4 { // cities of their own, so that verify has less to read
		t.Run(fmt.Sprint(part), func(t *testing.T) {
			t.Parallel()
			offlineDeaths(t, 8*part, 8*part+8)
		})
	}
}

func offlineDeaths(t *testing.T, from, to int) {
	inner, err := sqlite.Open(filepath.Join(t.TempDir(), "record.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { inner.Close() })
	m := &mortal{Record: inner, writes: -1}
	c := newCity(t, m, nil)
	ctx := context.Background()
	for round := from; round < to; round++ {
		m.die(-1, false)
		o := c.offer("meal", 6, 0, county)
		first, _ := c.resident(village, "meal", 1, 3)
		second, _ := c.resident(village, "meal", 1, 3)
		f := c.phone("电话", accounts.Principal{Account: fmt.Sprintf("worker%d", round), Role: accounts.Caseworker, Division: county})
		early := round%2 == 0 // while it is taken along, too
		if early {
			m.die(round/2*3, round%4 == 0)
		}
		ask := NewLease{Division: village, Hours: 4, Spares: []SpareOrder{{o.ID, 2}}, Key: "k"}
		b, err := c.care.TakeLease(ctx, f.who, f.id, ask, nil)
		restart := func() {
			c.stop()
			m.die(-1, false)
			c.start()
		}
		if early {
			restart()
			c.clock.advance(5 * time.Second)
			c.clean(true)
			b, err = c.care.TakeLease(ctx, f.who, f.id, ask, nil)
		}
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		f.bundle = b
		n := c.need(second, "meal", 1, 2)
		for _, r := range []*residents.Resident{first, second} {
			if p := f.person(r); len(p.Items) > 0 {
				f.gives(r, p.Items[0], "")
			}
		}
		if len(b.Spares) > 0 {
			f.gives(second, b.Spares[0], n.ID)
		}
		m.die(round%16*2, round >= 16)
		told := map[string]Outcome{}
		if got, err := c.care.Sync(ctx, f.who, f.id, f.queue); err == nil {
			for _, item := range got.Items {
				told[item.ID] = item.Was
			}
		}
		if round%2 == 0 {
			_, _ = c.care.Return(ctx, f.who, f.id)
		} else {
			_, _ = c.care.LoseDevice(ctx, f.who, f.id)
		}
		restart()
		c.clock.advance(40 * time.Second)
		c.clean(true)
		if round%2 == 0 {
			items := f.sync()
			for _, item := range items {
				if was, ok := told[item.ID]; ok && was != item.Was {
					t.Errorf("round %d: record %s was %s and is %s", round, item.ID, was, item.Was)
				}
				if item.Was == Refused {
					t.Errorf("round %d: %+v", round, item)
				}
			}
			if _, err := c.care.Return(ctx, f.who, f.id); err != nil {
				t.Errorf("round %d: %v", round, err)
			}
		} else if _, err := c.care.LoseDevice(ctx, f.who, f.id); err != nil {
			t.Errorf("round %d: %v", round, err)
		}
		for _, v := range c.conflicts() {
			if _, err := c.care.SettleConflict(ctx, c.judge, v.ID, v.Decisions[0], ""); err != nil {
				t.Errorf("round %d: %v", round, err)
			}
		}
		c.untilClean()
		var left int
		if err := c.care.allocations.Each(ctx, store.Query{Index: "share", Equal: []any{c.share(o).ID, string(Promised)}}, func(a *Allocation) error {
			if a.Spare || a.Lease != "" || a.Disputed != "" {
				left++
			}
			return nil
		}); err != nil || left > 0 {
			t.Errorf("round %d: %d allocations stay behind, %v", round, left, err)
		}
		if sh := c.share(o); !sh.Balanced() || sh.HandedOver > 4 {
			t.Errorf("round %d: the share is %+v", round, sh)
		}
		if _, err := c.care.WithdrawOffer(ctx, accounts.Principal{Role: accounts.Admin}, o.ID); err != nil {
			t.Fatal(err)
		}
		for _, r := range []*residents.Resident{first, second} { // out of the next round's roster
			if _, err := c.residents.SetStatus(ctx, "worker", r.ID, residents.Moved); err != nil {
				t.Fatal(err)
			}
		}
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
	}
}

// Devices take, give, return and get lost, and people are served online, all at
// random and at once: of the shared stock nothing is given twice.
func TestOfflineAtRandom(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	ctx := context.Background()
	o := c.offer("meal", 30, 0, county)
	var people []*residents.Resident
	for range 8 {
		r, _ := c.resident(village, "meal", 2, 3)
		people = append(people, r)
	}
	var all sync.WaitGroup
	for k := range 4 {
		rng := mathrand.New(mathrand.NewPCG(uint64(k), 7))
		f := c.phone("电话", accounts.Principal{Account: fmt.Sprintf("worker%d", k), Role: accounts.Caseworker, Division: county})
		all.Go(func() {
			for range 8 {
				b, err := c.care.TakeLease(ctx, f.who, f.id, NewLease{Division: village, Hours: 4, Spares: []SpareOrder{{o.ID, 2}}}, nil)
				switch {
				case errors.Is(err, matching.ErrNotReady), errors.Is(err, ErrLeaseLive), errors.As(err, new(*residents.FieldError)):
				case err != nil:
					t.Error(err)
					return
				default:
					f.bundle = b
				}
				if f.bundle == nil {
					continue
				}
				for _, p := range f.bundle.People {
					r := people[rng.IntN(len(people))]
					switch {
					case len(p.Items) > 0 && rng.IntN(3) > 0:
						f.record(Record{
							Lease: f.bundle.Lease.ID, Allocation: p.Items[0].Allocation, Resident: p.Resident, How: "word",
							QtyUnits: p.Items[0].QtyUnits, GivenMs: c.clock.now().UnixMilli(),
						})
					case len(f.bundle.Spares) > 0 && len(p.Needs) > 0 && rng.IntN(3) == 0:
						f.record(Record{
							Lease: f.bundle.Lease.ID, Allocation: f.bundle.Spares[rng.IntN(len(f.bundle.Spares))].Allocation, Resident: p.Resident,
							Need: p.Needs[0].ID, How: "word", QtyUnits: 1, GivenMs: c.clock.now().UnixMilli(),
						})
					case rng.IntN(2) == 0:
						_, _ = c.care.AddNeed(ctx, c.worker, residents.NewNeed{Resident: r.ID, Category: "meal", QtyUnits: 1, Urgency: 2, Source: "scan"})
						if got, err := c.care.Scan(ctx, c.worker, c.code0(r)); err == nil && len(got.Offered) > 0 {
							_, _ = c.care.HandOver(ctx, c.worker, got.Offered[0].ID, Evidence{})
						}
					}
				}
				if rng.IntN(3) > 0 {
					for len(f.queue) > 0 {
						part := f.queue[:min(len(f.queue), 5)]
						if _, err := c.care.Sync(ctx, f.who, f.id, part); err != nil {
							t.Error(err)
							return
						}
						f.queue = f.queue[len(part):]
					}
				}
				if rng.IntN(3) > 0 {
					if _, err := c.care.Return(ctx, f.who, f.id); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
	for i, v := range c.conflicts() {
		if _, err := c.care.SettleConflict(ctx, c.judge, v.ID, v.Decisions[i%len(v.Decisions)], ""); err != nil {
			t.Error(err)
		}
	}
	c.untilClean()
	sh := c.share(o)
	if !sh.Balanced() || sh.Promised+sh.HandedOver > sh.QtyUnits {
		t.Errorf("the share is %+v", sh)
	}
	by := map[string]int64{} // what the allocations say
	if err := c.care.allocations.Each(ctx, store.Query{Index: "share", Equal: []any{sh.ID}}, func(a *Allocation) error {
		by[string(a.State)] += a.QtyUnits
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if by[string(HandedOver)] != sh.HandedOver || by[string(Promised)] != sh.Promised {
		t.Errorf("the share says %d handed over and %d promised, the allocations %v", sh.HandedOver, sh.Promised, by)
	}
}
