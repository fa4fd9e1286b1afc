package webhooks

import (
	"context"
	"errors"
	"time"

	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/store"
)

const (
	// replayEvents is how many events of the ledger one replay reads.
	replayEvents = 20_000
	// replayEnds is how long before now a replay ends: what is younger is on its
	// way by itself.
	replayEnds = 2 * care.ToldMargin
)

// Again sends one delivery again, whatever became of it, under its own id: the
// receiver tells by it whether it has it already.
// Errors: [FieldError] where the hook is off; [store.ErrNotFound].
func (s *Service) Again(ctx context.Context, hook, delivery string) (*Delivery, error) {
	if _, err := s.sends(ctx, hook); err != nil {
		return nil, err
	}
	d, err := s.deliveries.Get(ctx, delivery)
	if err == nil && d.Hook != hook {
		err = store.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	changed, err := s.deliveries.Change(ctx, delivery, s.renew)
	if errors.Is(err, errSame) {
		return d, nil
	}
	return changed, err
}

// renew has a delivery begin anew.
func (s *Service) renew(d *Delivery) error {
	now := s.cfg.Now().UnixMilli()
	if d.State == Pending && d.NextMs <= now {
		return errSame
	}
	d.State, d.AtMs, d.NextMs, d.Tries, d.Status, d.Fault = Pending, now, now, 0, 0, ""
	return nil
}

// sends reads a hook that is on.
func (s *Service) sends(ctx context.Context, hook string) (*Hook, error) {
	h, err := s.hooks.Get(ctx, hook)
	if err == nil && !h.Active {
		err = &FieldError{"active", "推送已停用，请先启用", "the webhook is off: turn it on first"}
	}
	return h, err
}

// Replay sends again what the event list has from fromMs (Unix ms) on, also what
// happened while the hook was off or was not there yet. n is how many are sent.
// moreMs is where the next replay goes on, 0 at the end: one reads 20,000
// events at most. Doing it again sends the same under the same ids.
//
// Errors: [FieldError] where the hook is off or fromMs is more than 30 days ago;
// [store.ErrNotFound].
func (s *Service) Replay(ctx context.Context, hook string, fromMs int64) (n int, moreMs int64, err error) {
	h, err := s.sends(ctx, hook)
	if err != nil {
		return 0, 0, err
	}
	now := s.cfg.Now()
	if fromMs > now.UnixMilli() || now.UnixMilli()-fromMs > keepFor.Milliseconds() {
		return 0, 0, &FieldError{"from_ms", "请选择 30 天之内的时间", "choose a time within the last 30 days"}
	}
	until := now.Add(-replayEnds)
	for after, read := "", 0; fromMs < until.UnixMilli(); {
		events, next, err := s.cfg.Ledger.Told(ctx, fromMs, until.UnixMilli(), after, store.MaxPage)
		if err != nil {
			return n, 0, err
		}
		for _, e := range events {
			if !h.told(e) {
				continue
			}
			if err := s.send1(ctx, h, e, now); err != nil {
				return n, 0, err
			}
			n++
		}
		if read += len(events); next != "" && read >= replayEvents {
			return n, events[len(events)-1].TellMs, nil
		}
		if after = next; next == "" {
			break
		}
	}
	return n, 0, nil
}

// send1 has an event sent, whether it was before or not.
func (s *Service) send1(ctx context.Context, h *Hook, e *care.Event, now time.Time) error {
	d, err := delivery(h, e, now.UnixMilli())
	if err != nil {
		return err
	}
	dups, err := s.deliveries.InsertAll(ctx, []*Delivery{d})
	if err != nil || len(dups) == 0 {
		return err
	}
	if _, err := s.deliveries.Change(ctx, d.ID, s.renew); err != nil && !errors.Is(err, errSame) {
		return err
	}
	return nil
}
