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
	"sync"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/residents"
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
	if _, err := c.care.WithdrawNeed(ctx, c.worker, need.ID); !errors.As(err, &leased) {
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
	_ = sync.Mutex{}
	_ = matching.Day
}
