// Package residents knows who is in need: residents, their households, their
// happiness codes, their consent and their needs.
//
// Whatever names a person is sealed by app/vault before it reaches the record,
// and a person is found by keyed fingerprints, never by the number itself.
// Every write is safe to repeat; see DESIGN.md for the order of the writes.
package residents

import (
	"errors"
	"time"

	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/app/vault"
	"github.com/xingfuma/happycode/qrcode"
)

// Errors that callers tell apart; see also [FieldError] and store's errors.
var (
	// ErrIDNumber says that an ID number is not one: GB 11643 fails.
	ErrIDNumber = errors.New("not an ID number")
	// ErrPIN says that the PIN is wrong or none is set.
	ErrPIN = errors.New("wrong PIN")
	// ErrLocked says that too many wrong PINs came; see [LockedError].
	ErrLocked = errors.New("locked after too many wrong PINs")
	// ErrKeyReused says that a need with the same key is another one.
	ErrKeyReused = errors.New("the key belongs to a different need")
	// ErrTransition says that a need may not go from its state to the other.
	ErrTransition = errors.New("a need cannot change in this way")
)

// FieldError names the field of a request that cannot be taken, and why, in
// words for the person who filled it in. It never repeats the value.
type FieldError struct {
	Field  string // JSON name
	ZH, EN string
}

func (e *FieldError) Error() string { return e.Field + ": " + e.EN }

// Is makes every error about the field "id_number" an [ErrIDNumber].
func (e *FieldError) Is(target error) bool {
	return target == ErrIDNumber && e.Field == "id_number"
}

// LockedError is an [ErrLocked] with its end.
type LockedError struct{ UntilMs int64 } // Unix ms

func (e *LockedError) Error() string        { return ErrLocked.Error() }
func (e *LockedError) Is(target error) bool { return target == ErrLocked }

// Keys are the keys of the codes as they are now.
type Keys interface {
	Keys() qrcode.Keys
	// Signer is the key that signs new codes.
	Signer() (qrcode.Signer, error)
	// SignerOf is the key with this id; an error says that it signs no more.
	SignerOf(id byte) (qrcode.Signer, error)
}

// Config is what [New] needs.
type Config struct {
	Record store.Record // with [Schemas]
	Vault  *vault.Vault
	Keys   Keys // sign the codes
	Now    func() time.Time
	// DivisionExists says whether a 12-digit code is a division that is there;
	// nil takes every well-formed one.
	DivisionExists func(code string) bool
	// Hash and Check make and check the hashes of PINs; nil: Argon2id as in the
	// vault.
	Hash  func(pin string) string
	Check func(hash, pin string) bool
}

// Service keeps residents, codes and needs in the record. It is safe for
// concurrent use.
type Service struct {
	cfg        Config
	residents  store.Collection[Resident, *Resident]
	households store.Collection[Household, *Household]
	codes      store.Collection[Code, *Code]
	needs      store.Collection[Need, *Need]
	carers     store.Collection[Carer, *Carer]
}

// Schemas declares the collections of this package.
func Schemas() []store.Schema {
	return []store.Schema{residentSchema(), householdSchema(), codeSchema(), needSchema(), carerSchema()}
}

func residentSchema() store.Schema {
	return store.Schema{Name: "residents", Indexes: []store.Index{
		{Name: "division", Fields: []string{"division"}},
		{Name: "household", Fields: []string{"household"}},
		{Name: "id_index", Fields: []string{"id_index"}, Unique: true},
	}}
}

func householdSchema() store.Schema {
	return store.Schema{Name: "households", Indexes: []store.Index{{Name: "division", Fields: []string{"division"}}}}
}

func codeSchema() store.Schema {
	return store.Schema{Name: "codes", Indexes: []store.Index{
		{Name: "resident", Fields: []string{"resident"}},
		{Name: "card_no", Fields: []string{"card_no"}, Unique: true},
		{Name: "signing_key", Fields: []string{"signing_key", "status"}},
	}}
}

func needSchema() store.Schema {
	return store.Schema{Name: "needs", Indexes: []store.Index{
		{Name: "resident", Fields: []string{"resident", "created_ms"}},
		{Name: "state", Fields: []string{"county", "state", "created_ms"}},
		{Name: "until", Fields: []string{"state", "until_ms"}, Sparse: "until_ms"},
		{Name: "county", Fields: []string{"county", "created_ms"}},
	}}
}

func carerSchema() store.Schema {
	return store.Schema{Name: "carers", Indexes: []store.Index{{Name: "resident", Fields: []string{"resident", "created_ms"}}}}
}

// New returns the service.
func New(c Config) *Service {
	if c.Hash == nil {
		c.Hash = vault.HashSecret
	}
	if c.Check == nil {
		c.Check = vault.CheckSecret
	}
	return &Service{
		cfg:        c,
		residents:  store.Of[Resident](c.Record, residentSchema()),
		households: store.Of[Household](c.Record, householdSchema()),
		codes:      store.Of[Code](c.Record, codeSchema()),
		needs:      store.Of[Need](c.Record, needSchema()),
		carers:     store.Of[Carer](c.Record, carerSchema()),
	}
}

// NeedCollection is the needs as the record has them, for what walks over all
// of them (verify, rebuild). Needs change through [Service.ChangeNeed] only.
func (s *Service) NeedCollection() store.Collection[Need, *Need] { return s.needs }

// Collection is the residents as the record has them, for reading many at
// once. Residents change through the service only.
func (s *Service) Collection() store.Collection[Resident, *Resident] { return s.residents }
