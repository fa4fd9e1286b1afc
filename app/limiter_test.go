package app

import (
	"fmt"
	"testing"
	"time"
)

func TestLimiter(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000_020, 0) // the beginning of a minute
	l := newLimiter(func() time.Time { return now })
	a := allowanceOf(LimitScan)
	for range int(a.failed) {
		if wait := l.wait(LimitScan, "net:a", "who:b"); wait != 0 {
			t.Fatalf("told to wait %v too early", wait)
		}
		l.failed(LimitScan, "net:a", "who:b")
	}
	if l.wait(LimitScan, "net:a") == 0 || l.wait(LimitScan, "net:other", "who:b") == 0 {
		t.Error("the network or the account goes on guessing")
	}
	if l.wait(LimitScan, "net:other") != 0 || l.wait(LimitPIN, "net:a") != 0 {
		t.Error("another network or another limit is held up")
	}
	now = now.Add(61 * time.Second) // the window before still counts almost whole
	l.failed(LimitScan, "net:a")
	if l.wait(LimitScan, "net:a") == 0 {
		t.Error("a new window forgets the one before")
	}
	now = now.Add(30 * time.Second)
	if l.wait(LimitScan, "net:a") != 0 {
		t.Error("half a window later half of it still counts")
	}
	now = now.Add(5 * time.Minute)
	if l.wait(LimitScan, "net:a") != 0 {
		t.Error("windows long past still count")
	}
}

// One who guesses does not stop the others at the same network; all of them
// together are stopped all the same.
func TestLimiterLetsACrowdOn(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000_000, 0)
	l := newLimiter(func() time.Time { return now })
	one := int(allowanceOf(LimitScan).failed)
	for who := range crowd {
		for range one {
			if wait := l.wait(LimitScan, crowdKey+"hall", fmt.Sprint("who:", who)); wait != 0 {
				t.Fatalf("account %d is told to wait %v for the others", who, wait)
			}
			l.failed(LimitScan, crowdKey+"hall", fmt.Sprint("who:", who))
		}
	}
	if l.wait(LimitScan, crowdKey+"hall", "who:new") == 0 {
		t.Error("a network full of guessers goes on")
	}
}

func TestLimiterCountsTries(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000_000, 0)
	l := newLimiter(func() time.Time { return now })
	n := 0
	for l.wait(LimitJoin, "net:a") == 0 {
		if n++; n > 1000 {
			t.Fatal("tries are not limited")
		}
	}
	if float64(n) != allowanceOf(LimitJoin).tries {
		t.Errorf("%d tries were let through", n)
	}
}

func TestLimiterForgets(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000_000, 0)
	l := newLimiter(func() time.Time { return now })
	for i := range limiterKeys + 10 {
		l.wait(LimitScan, fmt.Sprint(i))
	}
	if len(l.counts) > limiterKeys {
		t.Errorf("%d networks are remembered", len(l.counts))
	}
	now = now.Add(time.Hour)
	for i := range limiterKeys + 10 {
		l.wait(LimitScan, fmt.Sprint("later", i))
	}
	if len(l.counts) > limiterKeys {
		t.Errorf("%d networks are remembered", len(l.counts))
	}
}
