package care

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/store"
)

// Another counter hands over while this one reads what was promised and what
// was received. Whenever it does, this one says that the person has it: a
// person of whom no counter knows is one without a meal.
func TestQueueWhileAnotherCounterGives(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	g := &gate{Record: c.record}
	c = c.twin(g, c.clock)
	o := c.offer("clothing", 50, 0, county)
	for look := range int64(4) { // at the person's allocations
		r, _ := c.resident(village, "clothing", 1, 3)
		promised := c.scan(r).Offered
		if len(promised) != 1 {
			t.Fatalf("promised: %+v", promised)
		}
		var looks atomic.Int64
		g.afterFind(func(collection string, q store.Query) {
			if collection != allocationSchema.Name || q.Index != "resident_state" || looks.Add(1) != look+1 {
				return
			}
			if _, err := c.care.HandOver(context.Background(), judge(), promised[0].ID, Evidence{}); err != nil {
				t.Error(err)
			}
		})
		got, err := c.care.ServeQueue(context.Background(), c.worker, r.CardNo, Queue{Offers: []string{o.ID}})
		g.afterFind(func(string, store.Query) {})
		if err != nil {
			t.Fatal(err)
		}
		given := looks.Load() <= look // the other counter had no turn
		if given && (got.Outcome != QueueGiven || len(got.Given) != 1) || !given && (got.Outcome != QueueAlready || len(got.Already) != 1) {
			t.Errorf("handed over at look %d of %d: %s, given %d, already %d", look+1, looks.Load(), got.Outcome, len(got.Given), len(got.Already))
		}
	}
	c.clean(false)
}

// Whoever got it in this sitting does not get it again, also when much else was
// handed over to them since.
func TestQueueRemembersTheWholeSitting(t *testing.T) {
	t.Parallel()
	c := newCity(t, nil, nil)
	meals := c.offer("meal", 50, 0, county)
	c.offer("discount", 50, 0, county)
	r, _ := c.resident(village, "meal", 1, 3)
	queue := Queue{Offers: []string{meals.ID}, SinceMs: c.clock.now().UnixMilli()}
	serve := func() *QueueResult {
		got, err := c.care.ServeQueue(context.Background(), c.worker, r.CardNo, queue)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := serve(); got.Outcome != QueueGiven {
		t.Fatalf("first: %s", got.Outcome)
	}
	c.clock.advance(time.Second)
	for range 24 {
		c.need(r, "discount", 1, 3)
	}
	for _, a := range c.scan(r).Offered {
		if _, err := c.care.HandOver(context.Background(), c.worker, a.ID, Evidence{}); err != nil {
			t.Fatal(err)
		}
	}
	if rest := c.scan(r); len(rest.Received) != 20 || len(rest.Offered) != 0 {
		t.Fatalf("the scan shows %d received, %d offered", len(rest.Received), len(rest.Offered))
	}
	c.need(r, "meal", 1, 3)
	if got := serve(); got.Outcome != QueueAlready || len(got.Given) != 0 || len(got.Already) != 1 {
		t.Errorf("after 24 others: %s, given %d, already %d", got.Outcome, len(got.Given), len(got.Already))
	}
}
