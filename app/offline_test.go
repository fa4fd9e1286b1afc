package app

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/residents"
)

// handset is a device of somebody, with its key.
type handset struct {
	w     *world
	actor string
	key   *ecdsa.PrivateKey
	id    string
	seq   int64
}

// jwk is the public half of a fresh key, as a browser exports it.
func (w *world) deviceKey() (*ecdsa.PrivateKey, publicKeyRequest) {
	w.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(w.t, err)
	b, err := key.PublicKey.Bytes()
	must(w.t, err)
	return key, publicKeyRequest{
		Kty: "EC", Crv: "P-256", X: base64.RawURLEncoding.EncodeToString(b[1:33]), Y: base64.RawURLEncoding.EncodeToString(b[33:]),
		Ext: true, KeyOps: []string{"verify"},
	}
}

// handset registers a device of an actor who asks with a token: tests of what
// the routes let in need no session.
func (w *world) handset(actor string) *handset {
	w.t.Helper()
	p, err := w.app.Accounts.PrincipalOfToken(w.t.Context(), w.actors[actor].bearer)
	must(w.t, err)
	key, public := w.deviceKey()
	d, err := w.app.Care.RegisterDevice(w.t.Context(), p, care.NewDevice{Name: "试机", X: public.X, Y: public.Y})
	must(w.t, err)
	return &handset{w: w, actor: actor, key: key, id: d.ID}
}

func (h *handset) path(rest string) string { return "/api/v1/devices/" + h.id + rest }

// signed makes a record as docs/api.md says.
func (h *handset) signed(r recordRequest) recordRequest {
	h.w.t.Helper()
	h.seq++
	r.Seq, r.ID = h.seq, fmt.Sprintf("00000000-0000-4000-8000-%012d", h.w.next())
	pin := "0"
	if r.PIN {
		pin = "1"
	}
	text := strings.Join([]string{
		"XFM-OFF-v1", r.ID, fmt.Sprint(r.Seq), r.Lease, r.Allocation, r.Resident, r.Need, r.Code, r.How, r.Token, pin,
		fmt.Sprint(r.QtyUnits), fmt.Sprint(r.GivenMs),
	}, "\n")
	sum := sha256.Sum256([]byte(text))
	x, y, err := ecdsa.Sign(rand.Reader, h.key, sum[:])
	must(h.w.t, err)
	var sig [64]byte
	x.FillBytes(sig[:32])
	y.FillBytes(sig[32:])
	r.Sig = base64.RawURLEncoding.EncodeToString(sig[:])
	return r
}

// conflict has a device report something that a person must judge.
func (w *world) conflict() string {
	w.t.Helper()
	h := w.handset("caseworker")
	w.offer("transport", 10, county)
	w.need(w.person, "transport")
	var b bundleView
	w.do(h.actor, "POST", h.path("/leases"), leaseRequest{Division: village, Hours: 4}).into(w.t, &b)
	for _, p := range b.People {
		for _, item := range p.Items {
			if item.Category != "transport" {
				continue
			}
			var got care.SyncResult
			w.do(h.actor, "POST", h.path("/sync"), syncRequest{Records: []recordRequest{h.signed(recordRequest{
				Lease: b.Lease.ID, Allocation: item.Allocation, Resident: p.Resident, Code: strings.Repeat("0", 20), How: "card_no",
				QtyUnits: item.QtyUnits, GivenMs: b.ServerMs,
			})}}).into(w.t, &got)
			if got.Items[0].Outcome != care.Flagged {
				w.t.Fatalf("a strange code is %+v", got.Items[0])
			}
			w.do(h.actor, "POST", h.path("/return"), nil)
			return h.id + "." + got.Items[0].ID
		}
	}
	w.t.Fatal("nothing was taken along")
	return ""
}

// offlineRows are the rows of offlineRoutes.
func offlineRows(w *world) map[string]row {
	get := func(c cells, path string) row { return row{cells: c, path: path} }
	with := func(c cells, path string, body func(w *world) any) row { return row{cells: c, path: path, body: body} }
	form := func(c cells, path, values string) row {
		return row{cells: c, path: path, kind: "application/x-www-form-urlencoded", body: func(*world) any { return strings.NewReader(values) }}
	}
	const (
		deviceOwner cells = "s--+-rrrr--" // the account whose device it is
		deviceHere  cells = "s+-+-rrrr--" // and administrators of its division
	)
	const api = "/api/v1"
	mine, lost, left := w.handset("caseworker"), w.handset("caseworker"), w.handset("caseworker")
	conflict := w.conflict()
	return map[string]row{
		"createDevice": with(noTokens, api+"/devices", func(w *world) any {
			_, key := w.deviceKey()
			return deviceRequest{Name: "手机", PublicKey: key}
		}),
		"listDevices":         get(workers, api+"/devices"),
		"loseDevice":          with(deviceHere, lost.path("/lost"), nil),
		"listChoices":         get(deviceOwner, mine.path("/choices?division="+village)),
		"createLease":         with(deviceOwner, mine.path("/leases"), func(*world) any { return leaseRequest{Division: village, Hours: 2} }),
		"getLease":            get(deviceOwner, mine.path("/lease")),
		"returnLease":         with(deviceOwner, mine.path("/return"), nil),
		"syncDevice":          with(deviceOwner, mine.path("/sync"), func(*world) any { return syncRequest{Records: []recordRequest{}} }),
		"listConflicts":       get(workers, api+"/conflicts"),
		"settleConflict":      with(workersHere, api+"/conflicts/"+conflict+"/settle", func(*world) any { return settleRequest{Decision: "returned"} }),
		"showDevices":         get(workers, "/devices"),
		"saveDeviceLost":      form(deviceHere, "/devices/"+left.id+"/lost", ""),
		"saveDeviceReturned":  form(deviceOwner, "/devices/"+mine.id+"/return", ""),
		"showConflicts":       get(workers, "/conflicts"),
		"saveConflictSettled": form(workersHere, "/conflicts/"+conflict+"/settle", "decision=returned"),
	}
}

var _ = residents.Active
var _ = accounts.Admin
var _ = time.Now

func TestOfflineNothing(t *testing.T) {}
