package main

import (
	"context"
	"errors"
	"time"

	"github.com/xingfuma/happycode/app/care"
)

const (
	// readyWait is how long the first start waits for the matcher.
	readyWait  = 2 * time.Minute
	readyEvery = 50 * time.Millisecond
)

// awaitReady waits until every county's matcher is rebuilt.
func (s *system) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	tick := time.NewTicker(readyEvery)
	defer tick.Stop()
	for {
		err := s.care.Ready(ctx)
		if err == nil {
			return nil
		}
		if !errors.Is(err, care.ErrNotReady) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}
