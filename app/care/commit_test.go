package care

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/xingfuma/happycode/matching"
)

// Who leaves while the record decides is still told, so that the need becomes
// what the record has; only a record that never answers is not waited for.
func TestWhoLeavesWhileTheRecordDecides(t *testing.T) {
	t.Parallel()
	for _, answers := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			c := newCommitter(&Service{stopped: make(chan struct{})})
			ctx, cancel := context.WithCancel(t.Context())
			outcome := make(chan error, 1)
			go func() { outcome <- c.submit(ctx, []*proposal{{hold: matching.Hold{ID: "n-0"}}}) }()
			b := <-c.queue
			cancel()
			<-time.After(decides - time.Millisecond) // by the bubble's clock
			synctest.Wait()
			if len(outcome) > 0 {
				t.Fatalf("nobody waits for the record: %v", <-outcome)
			}
			if answers {
				close(b.done)
				close(b.told)
			}
			if err := <-outcome; answers && err != nil || !answers && !errors.Is(err, context.Canceled) {
				t.Fatalf("the record answers: %v; got %v", answers, err)
			}
		})
	}
}
