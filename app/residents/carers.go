package residents

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/xingfuma/happycode/app/store"
)

// Bounds on carers.
const (
	MaxCarers = 5 // of one resident at a time
	// CarerLife is the longest that one may be appointed for: a year, a leap
	// day, and the rest of the last day.
	CarerLife = 367 * 24 * time.Hour
)

// The names of a carer's sealed fields.
const (
	fieldCarerName  = "carer_name"
	fieldCarerPhone = "carer_phone"
)

// Relations are what a carer may be to a resident, in the order of the forms.
func Relations() []string {
	return []string{"spouse", "child", "parent", "neighbour", "carer", "other"}
}

// Carer is somebody (family, neighbour, carer) who may show a code on a
// resident's behalf until a certain time: a code of their own, with a PIN of
// their own, that opens nothing but the code.
type Carer struct {
	store.Meta       `bson:",inline"`
	Resident         string `json:"resident"`
	NameSealed       string `json:"name_sealed"`
	PhoneSealed      string `json:"phone_sealed"`
	Relation         string `json:"relation"` // of [Relations]
	Code             string `json:"code"`     // id of the code
	CardNo           string `json:"card_no"`  // of the code
	PINHash          string `json:"pin_hash"`
	PINFailures      int    `json:"pin_failures"`
	PINLockedUntilMs int64  `json:"pin_locked_until_ms"`
	FromMs           int64  `json:"from_ms"`
	UntilMs          int64  `json:"until_ms"` // from this moment on no longer
	CreatedMs        int64  `json:"created_ms"`
	CreatedBy        string `json:"created_by"`
	EndedMs          int64  `json:"ended_ms"` // 0: not ended before its time
	EndedBy          string `json:"ended_by"`
	EndedWhy         Why    `json:"ended_why"`
}

// CarerPlace is one of the [MaxCarers] places that a resident has for carers.
type CarerPlace struct {
	Carer   string `json:"carer"` // id
	UntilMs int64  `json:"until_ms"`
}

// NewCarer is what is written down about a carer.
type NewCarer struct {
	Resident string // id
	Name     string // 1..50 characters
	Relation string // of [Relations]
	Phone    string // optional
	UntilMs  int64  // Unix ms, in the future, at most [CarerLife] from now
	PIN      string // 6..12 digits
	// Key makes repeating safe: a second carer of the same resident with the
	// same key is the first one, and has to be the same person. Empty: every
	// call is a new carer.
	Key string
}

// check refuses what cannot be written down, and cleans the rest.
func (n *NewCarer) check(now time.Time) (err error) {
	if n.Name, err = cleanName(n.Name); err != nil {
		return err
	}
	if n.Phone, err = cleanPhone(n.Phone); err != nil {
		return err
	}
	switch {
	case !slices.Contains(Relations(), n.Relation):
		return &FieldError{"relation", "请选择与居民的关系", "choose what the carer is to the resident"}
	case n.UntilMs <= store.Millis(now) || n.UntilMs > store.Millis(now.Add(CarerLife)):
		return &FieldError{"until_ms", "截止日期应在今天之后、一年之内", "the last day is after today and within a year"}
	case !validPIN(n.PIN):
		return pinError()
	case len(n.Key) > maxNeedKey:
		return &FieldError{"key", "标识过长", "the key is too long"}
	}
	return nil
}

// Lives says whether a carer may show a code for the resident at this moment.
func (s *Service) Lives(r *Resident, c *Carer) bool {
	return r.Status == Active && c.Resident == r.ID && c.EndedMs == 0 && store.Millis(s.cfg.Now()) < c.UntilMs &&
		slices.ContainsFunc(r.Carers, func(p CarerPlace) bool { return p.Carer == c.ID })
}

// AddCarer lets somebody show a code on a resident's behalf. The order is
// code, carer, and last the resident, who names the carer: until then the
// code does not count, and whatever a crash leaves, doing it again with the
// same key completes it. by is the id of who does it.
//
// Errors: [FieldError], [store.ErrNotFound] for the resident, [ErrKeyReused].
func (s *Service) AddCarer(ctx context.Context, by string, n NewCarer) (*Carer, error) {
	now := s.cfg.Now()
	if err := n.check(now); err != nil {
		return nil, err
	}
	r, err := s.residents.Get(ctx, n.Resident)
	if err != nil {
		return nil, err
	}
	id := store.NewID()
	if n.Key != "" {
		id = s.derivedID("c", "carer", r.ID, n.Key)
		there, err := s.sameCarer(ctx, id, n)
		if err == nil {
			return there, s.name(ctx, there)
		}
		if !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
	}
	if err := s.room(ctx, r); err != nil { // before anything is written
		return nil, err
	}
	codes, err := s.issue(ctx, by, []order{{resident: r.ID, carer: id}})
	if err != nil {
		return nil, fmt.Errorf("add carer of %s: %w", r.ID, err)
	}
	c := &Carer{
		Meta: store.Meta{ID: id}, Resident: r.ID, Relation: n.Relation, Code: codes[0].ID, CardNo: codes[0].CardNo,
		PINHash: s.cfg.Hash(n.PIN), FromMs: store.Millis(now), UntilMs: n.UntilMs,
		CreatedMs: store.Millis(now), CreatedBy: by,
	}
	if c.NameSealed, err = s.cfg.Vault.Seal(fieldCarerName, id, n.Name); err != nil {
		return nil, err
	}
	if c.PhoneSealed, err = s.cfg.Vault.Seal(fieldCarerPhone, id, n.Phone); err != nil {
		return nil, err
	}
	err = s.carers.Insert(ctx, c)
	if n.Key != "" && errors.Is(err, store.ErrDuplicate) {
		if c, err = s.sameCarer(ctx, id, n); err != nil {
			return nil, err
		}
	}
	if err != nil {
		return nil, err
	}
	if err := s.name(ctx, c); err != nil {
		if full := new(FieldError); errors.As(err, &full) { // others took the last place meanwhile
			err = errors.Join(err, s.end(ctx, by, c, WhyOther))
		}
		return nil, err
	}
	return c, nil
}

// sameCarer reads the carer that a key stands for already; it has to be the
// same in everything. Errors: [store.ErrNotFound], [ErrKeyReused].
func (s *Service) sameCarer(ctx context.Context, id string, n NewCarer) (*Carer, error) {
	there, err := s.carers.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	name, phone, err := s.OpenCarer(there)
	if err != nil {
		return nil, err
	}
	if name != n.Name || phone != n.Phone || there.Relation != n.Relation || there.UntilMs != n.UntilMs || !s.cfg.Check(there.PINHash, n.PIN) {
		return nil, fmt.Errorf("add carer %s: %w", id, ErrKeyReused)
	}
	return there, nil
}

// name has the resident name a carer, if there is a place; one whose time was
// ended stays out.
func (s *Service) name(ctx context.Context, c *Carer) error {
	if c.EndedMs != 0 {
		return nil
	}
	_, err := s.residents.Change(ctx, c.Resident, func(r *Resident) error {
		if slices.ContainsFunc(r.Carers, func(p CarerPlace) bool { return p.Carer == c.ID }) {
			return errUnchanged
		}
		if err := s.room(ctx, r); err != nil {
			return err
		}
		r.Carers = append(r.Carers, CarerPlace{Carer: c.ID, UntilMs: c.UntilMs})
		return nil
	})
	if err != nil && !errors.Is(err, errUnchanged) {
		return fmt.Errorf("name carer %s: %w", c.ID, err)
	}
	return nil
}

// room frees the places of those whose time is over, and says whether there is
// one. Errors: [FieldError].
func (s *Service) room(ctx context.Context, r *Resident) error {
	if r.Status != Active {
		return &FieldError{"status", "该居民已迁出或去世，不能再设代持人", "the resident has moved away or died; nobody can show a code for them"}
	}
	ids := make([]string, len(r.Carers))
	for i, p := range r.Carers {
		ids[i] = p.Carer
	}
	there, err := s.carers.GetAll(ctx, ids)
	if err != nil {
		return err
	}
	r.Carers = slices.DeleteFunc(r.Carers, func(p CarerPlace) bool {
		return !slices.ContainsFunc(there, func(c *Carer) bool { return c.ID == p.Carer && s.Lives(r, c) })
	})
	if len(r.Carers) >= MaxCarers {
		return &FieldError{"carers", "每位居民最多有 5 位代持人，请先停用一位", "a resident has at most 5 carers; end the time of one first"}
	}
	return nil
}

// EndCarer ends a carer's time at once. Ending it again changes nothing,
// neither who nor why. why is of [CarerReasons].
//
// Errors: [FieldError], [store.ErrNotFound], also for another resident's.
func (s *Service) EndCarer(ctx context.Context, by, residentID, carerID string, why Why) (*Carer, error) {
	if err := why.of(CarerReasons()); err != nil {
		return nil, err
	}
	c, err := s.Carer(ctx, residentID, carerID)
	if err != nil {
		return nil, err
	}
	return c, s.end(ctx, by, c, why)
}

// end writes into the carer that its time is over, which decides, and then
// frees the place and revokes the code. Every step may be repeated.
func (s *Service) end(ctx context.Context, by string, c *Carer, why Why) error {
	changed, err := s.carers.Change(ctx, c.ID, func(c *Carer) error {
		if c.EndedMs != 0 {
			return errUnchanged
		}
		c.EndedMs, c.EndedBy, c.EndedWhy = store.Millis(s.cfg.Now()), by, why
		return nil
	})
	switch {
	case err == nil:
		*c = *changed
	case !errors.Is(err, errUnchanged):
		return fmt.Errorf("end carer %s: %w", c.ID, err)
	}
	_, err = s.residents.Change(ctx, c.Resident, func(r *Resident) error {
		before := len(r.Carers)
		r.Carers = slices.DeleteFunc(r.Carers, func(p CarerPlace) bool { return p.Carer == c.ID })
		if len(r.Carers) == before {
			return errUnchanged
		}
		return nil
	})
	if err != nil && !errors.Is(err, errUnchanged) {
		return fmt.Errorf("end carer %s: %w", c.ID, err)
	}
	return s.Revoke(ctx, by, c.Code, WhyEnded)
}

// Carers are all who may or might show a code for the resident, newest first.
func (s *Service) Carers(ctx context.Context, r *Resident) ([]*Carer, error) {
	var out []*Carer
	err := s.carers.Each(ctx, store.Query{Index: "resident", Equal: []any{r.ID}, Desc: true}, func(c *Carer) error {
		out = append(out, c)
		return nil
	})
	return out, err
}

// Carer reads a carer of the resident. Errors: [store.ErrNotFound], also for
// another resident's.
func (s *Service) Carer(ctx context.Context, residentID, carerID string) (*Carer, error) {
	c, err := s.carers.Get(ctx, carerID)
	if err != nil {
		return nil, err
	}
	if c.Resident != residentID {
		return nil, fmt.Errorf("read carer %s: %w", carerID, store.ErrNotFound)
	}
	return c, nil
}

// OpenCarer opens what names a carer; whoever calls it has decided that the
// result may be seen, and audits it. Errors: [vault.ErrSealed].
func (s *Service) OpenCarer(c *Carer) (name, phone string, err error) {
	name, first := s.cfg.Vault.OpenField(fieldCarerName, c.ID, c.NameSealed)
	phone, second := s.cfg.Vault.OpenField(fieldCarerPhone, c.ID, c.PhoneSealed)
	return name, phone, errors.Join(first, second)
}
