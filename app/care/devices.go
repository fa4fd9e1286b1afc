package care

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/audit"
	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
)

// MaxDevices is how many active devices one account may have.
const MaxDevices = 5

// Errors about devices that callers tell apart.
var (
	// ErrDeviceLost says that the device was reported lost: nothing is given to
	// it and nothing taken from it any more.
	ErrDeviceLost = errors.New("the device was reported lost")
	// ErrDevices says that the account has as many devices as it may.
	ErrDevices = errors.New("the account has as many devices as it may")
)

// DeviceState says whether a device is still trusted.
type DeviceState string

// The states of a device; lost is final.
const (
	DeviceActive DeviceState = "active"
	DeviceLost   DeviceState = "lost"
)

// Device is a phone or tablet that an account works with where there is no
// network. Its private key never leaves it; what it reports is signed.
type Device struct {
	store.Meta `bson:",inline"`
	Account    string      `json:"account"`
	Division   string      `json:"division"` // of the account when it was registered
	Name       string      `json:"name"`     // what its owner calls it
	X          string      `json:"x"`        // ECDSA P-256 public key, base64url
	Y          string      `json:"y"`
	State      DeviceState `json:"state"`
	// Slot is unique: one of the account's places while the device is active.
	Slot       string `json:"slot"`
	Lease      string `json:"lease"` // its live lease, "" without
	CreatedMs  int64  `json:"created_ms"`
	LastSeenMs int64  `json:"last_seen_ms"`
	LostMs     int64  `json:"lost_ms"`
	LostBy     string `json:"lost_by"`
}

var deviceSchema = store.Schema{Name: "devices", Indexes: []store.Index{
	{Name: "account", Fields: []string{"account", "created_ms"}},
	{Name: "division", Fields: []string{"division", "created_ms"}},
	{Name: "slot", Fields: []string{"slot"}, Unique: true},
}}

// NewDevice is what a device registers with.
type NewDevice struct {
	Name string // 1 to 40 characters
	X, Y string // public key on P-256, base64url as in a JWK
}

// Device reads a device. Errors: [store.ErrNotFound].
func (s *Service) Device(ctx context.Context, id string) (*Device, error) {
	return s.devices.Get(ctx, id)
}

// Devices lists the devices whose account is the principal's or, for an
// administrator, lies in the division: active ones first, then the newest.
func (s *Service) Devices(ctx context.Context, p accounts.Principal) ([]*Device, error) {
	var out []*Device
	add := func(d *Device) error {
		out = append(out, d)
		return nil
	}
	q := store.Query{Index: "account", Equal: []any{p.Account}}
	if p.Role == accounts.Admin {
		from, to, err := regions.Range(p.Division)
		if err != nil {
			return nil, fmt.Errorf("list devices: %w", err)
		}
		q = store.Query{Index: "division", From: from, To: to}
	}
	if err := s.devices.Each(ctx, q, add); err != nil {
		return nil, err
	}
	slices.SortFunc(out, func(a, b *Device) int {
		if a.State != b.State {
			return cmp.Compare(a.State, b.State) // "active" before "lost"
		}
		return cmp.Or(cmp.Compare(b.CreatedMs, a.CreatedMs), cmp.Compare(b.ID, a.ID))
	})
	return out, nil
}

// RegisterDevice makes a device of the principal's account known.
// Errors: [residents.FieldError], [ErrDevices].
func (s *Service) RegisterDevice(ctx context.Context, p accounts.Principal, n NewDevice) (*Device, error) {
	name := strings.TrimSpace(n.Name)
	if c := utf8.RuneCountInString(name); c < 1 || c > 40 || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' }) {
		return nil, &residents.FieldError{Field: "name", ZH: "设备名称应为 1 至 40 个字", EN: "a device's name has 1 to 40 characters"}
	}
	if _, err := publicKey(n.X, n.Y); err != nil {
		return nil, &residents.FieldError{Field: "public_key", ZH: "设备公钥应为 P-256 曲线上的点", EN: "the device's key is a point on the curve P-256"}
	}
	now := s.now().UnixMilli()
	d := &Device{
		Account: p.Account, Division: p.Division, Name: name, X: n.X, Y: n.Y, State: DeviceActive,
		CreatedMs: now, LastSeenMs: now,
	}
	for slot := range MaxDevices {
		d.Meta, d.Slot = store.Meta{ID: store.NewID()}, p.Account+"|"+strconv.Itoa(slot)
		err := s.devices.Insert(ctx, d)
		if errors.Is(err, store.ErrDuplicate) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return d, s.audit.Write(ctx, audit.Entry{
			AtMs: now, Actor: p.Account, Role: string(p.Role), Act: "register_device", Object: d.ID, Division: p.Division, Outcome: "ok",
		})
	}
	return nil, fmt.Errorf("register a device of %s: %w", p.Account, ErrDevices)
}

// LoseDevice cuts a device off at once: nothing is taken from it any more, and
// what its lease has goes back. Saying it again changes nothing.
// Errors: [store.ErrNotFound].
func (s *Service) LoseDevice(ctx context.Context, p accounts.Principal, id string) (*Device, error) {
	now := s.now().UnixMilli()
	d, err := s.devices.Change(ctx, id, func(d *Device) error {
		if d.State == DeviceLost {
			return errSame
		}
		d.State, d.Slot, d.LostMs, d.LostBy = DeviceLost, "lost|"+d.ID, now, p.Account
		return nil
	})
	if errors.Is(err, errSame) {
		d, err = s.devices.Get(ctx, id)
	}
	if err != nil {
		return nil, fmt.Errorf("lose device %s: %w", id, err)
	}
	if err := s.audit.Write(ctx, audit.Entry{
		AtMs: now, Actor: p.Account, Role: string(p.Role), Act: "lose_device", Object: id, Division: d.Division, Outcome: "ok",
	}); err != nil {
		return nil, err
	}
	if d.Lease != "" {
		if err := s.endLease(ctx, d.Lease, LeaseLost, p.Account); err != nil {
			return nil, fmt.Errorf("lose device %s: %w", id, err)
		}
		return s.devices.Get(ctx, id)
	}
	return d, nil
}

// trusted reads a device of the principal's account that may still act.
// Errors: [store.ErrNotFound], [ErrNotYours], [ErrDeviceLost].
func (s *Service) trusted(ctx context.Context, p accounts.Principal, id string) (*Device, error) {
	d, err := s.devices.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	switch {
	case d.Account != p.Account:
		return nil, ErrNotYours
	case d.State != DeviceActive:
		return nil, fmt.Errorf("device %s: %w", id, ErrDeviceLost)
	}
	return d, nil
}

// seen notes that a device has called.
func (s *Service) seen(ctx context.Context, d *Device) error {
	now := s.now().UnixMilli()
	changed, err := s.devices.Change(ctx, d.ID, func(d *Device) error {
		if now-d.LastSeenMs < seenEvery {
			return errSame
		}
		d.LastSeenMs = now
		return nil
	})
	if err == nil {
		*d = *changed
	}
	if errors.Is(err, errSame) {
		return nil
	}
	return err
}

// seenEvery is how exact, in ms, the time is at which a device called last.
const seenEvery = 10_000

// publicKey reads the key of a JWK.
func publicKey(x, y string) (*ecdsa.PublicKey, error) {
	var point [65]byte
	point[0] = 4 // uncompressed
	for i, part := range []string{x, y} {
		b, err := base64.RawURLEncoding.Strict().DecodeString(part)
		if err != nil || len(b) != 32 {
			return nil, errors.New("a coordinate is 32 bytes in base64url")
		}
		copy(point[1+32*i:], b)
	}
	return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point[:])
}

// signed says whether the device has signed the text: IEEE P1363, 64 bytes.
func (d *Device) signed(text, sig string) bool {
	key, err := publicKey(d.X, d.Y)
	if err != nil {
		return false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(sig)
	if err != nil || len(b) != 64 {
		return false
	}
	sum := sha256.Sum256([]byte(text))
	return ecdsa.Verify(key, sum[:], new(big.Int).SetBytes(b[:32]), new(big.Int).SetBytes(b[32:]))
}
