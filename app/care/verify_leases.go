package care

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/xingfuma/happycode/app/store"
)

// verifyLeases checks what devices have: every leased allocation belongs to a
// live lease of the device that names it, spares are nobody else's, no record
// stands for a handover that the allocation does not know, and no allocation
// was handed over by two.
func (s *Service) verifyLeases(ctx context.Context, r *Report) error {
	live := map[string]*Lease{}
	if err := s.leases.Each(ctx, store.Query{Index: "live", Equal: []any{false}}, func(l *Lease) error {
		r.Leases++
		live[l.ID] = l
		return nil
	}); err != nil {
		return err
	}
	for _, l := range live {
		what, err := s.settledDown(ctx, func() (string, error) { return s.leaseFault(ctx, l.ID) })
		if err != nil {
			return err
		}
		if what != "" {
			r.fault(5, "lease %s %s", l.ID, what)
		}
	}
	var odd []string
	if err := s.allocations.Each(ctx, store.Query{Index: "due", Equal: []any{string(Promised)}}, func(a *Allocation) error {
		if a.Lease != "" {
			r.Leased++
			if a.Spare {
				r.Spares++
			}
		}
		if a.Lease != "" || a.Spare || a.Disputed != "" {
			if l := live[a.Lease]; l == nil || a.Disputed != "" || leasedFault(a, l) != "" {
				odd = append(odd, a.ID)
			}
		}
		return nil
	}); err != nil {
		return err
	}
	for _, id := range odd { // read again: it may have changed meanwhile
		what, err := s.settledDown(ctx, func() (string, error) { return s.heldFault(ctx, id) })
		if err != nil {
			return err
		}
		if what != "" {
			r.fault(5, "allocation %s %s", id, what)
		}
	}
	if err := s.conflicts.Each(ctx, store.Query{Index: "division", Equal: []any{false}}, func(*Conflict) error {
		r.Conflicts++
		return nil
	}); err != nil {
		return err
	}
	return s.verifyRecords(ctx, r)
}

// settledDown asks again for a while what may only be in between.
func (s *Service) settledDown(ctx context.Context, ask func() (string, error)) (string, error) {
	for try := 0; ; try++ {
		what, err := ask()
		if what == "" || err != nil || try == 10 {
			return what, err
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return "", err
		}
	}
}

func (s *Service) leaseFault(ctx context.Context, id string) (string, error) {
	l, err := s.leases.Get(ctx, id)
	if err != nil || l.Ended {
		return "", err
	}
	d, err := s.devices.Get(ctx, l.Device)
	if err != nil {
		return "", err
	}
	now := s.now()
	switch {
	case d.State == DeviceLost:
		return fmt.Sprintf("is live though device %s was lost", d.ID), nil
	case d.Lease != l.ID && l.FromMs < now.Add(-2*s.lease).UnixMilli():
		return fmt.Sprintf("is live though device %s does not have it", d.ID), nil
	case l.SyncUntilMs < now.Add(-2*s.lease).UnixMilli():
		return "is past its time and nobody ended it", nil
	}
	return "", nil
}

// leasedFault says what is wrong between an allocation and its live lease.
func leasedFault(a *Allocation, l *Lease) string {
	switch {
	case a.LeaseDevice != l.Device || a.LeaseUntilMs != l.SyncUntilMs:
		return "does not say what lease " + l.ID + " says"
	case a.Spare && (a.Household != spareHousehold(l.Device) || a.Resident != ""):
		return "is a spare that somebody has"
	}
	return ""
}

func (s *Service) heldFault(ctx context.Context, id string) (string, error) {
	a, err := s.allocations.Get(ctx, id)
	if err != nil || a.State != Promised {
		return "", err
	}
	if a.Disputed != "" {
		c, err := s.conflicts.Get(ctx, a.Disputed)
		if errors.Is(err, store.ErrNotFound) {
			r, err := s.offline.Get(ctx, a.Disputed)
			if err == nil && r.Open {
				return "", nil // its record is being taken in
			}
			return "is in dispute, and no conflict says why", err
		}
		if err == nil && c.Settled && !c.Unapplied {
			return "is in dispute though the conflict is settled", nil
		}
		return "", err
	}
	switch {
	case a.Lease == "" && a.Spare:
		return "is a spare that no device has", nil
	case a.Lease == "":
		return "", nil
	}
	l, err := s.leases.Get(ctx, a.Lease)
	if errors.Is(err, store.ErrNotFound) {
		return "is leased, and there is no such lease", nil
	}
	if err != nil {
		return "", err
	}
	if l.Ended {
		return "is leased to lease " + l.ID + ", which has ended", nil
	}
	return leasedFault(a, l), nil
}

// verifyRecords checks that what was taken in from devices is what the
// allocations say.
func (s *Service) verifyRecords(ctx context.Context, r *Report) error {
	var last, record string // the allocation, and the record that handed it over
	return s.offline.Each(ctx, store.Query{Index: "allocation"}, func(x *offlineRecord) error {
		if x.Outcome != Accepted {
			return nil
		}
		if x.Allocation == last {
			r.fault(1, "allocation %s was taken as handed over by records %s and %s", x.Allocation, record, x.ID)
		}
		last, record = x.Allocation, x.ID
		a, err := s.allocations.Get(ctx, x.Allocation)
		if err != nil {
			return err
		}
		if a.State != HandedOver || a.OfflineRecord != x.ID || !strings.HasPrefix(a.Proof, "offline_") {
			r.fault(1, "allocation %s does not carry the handover of record %s", a.ID, x.ID)
		}
		return nil
	})
}
