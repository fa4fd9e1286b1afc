package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// uncleanName is a file in HAPPYCODE_DATA that is there while a server runs:
// one that finds it at its start knows that the last one was killed.
const uncleanName = "running"

// mendMargin is how long after the last lease the promises of a killed server
// are certainly decided and their events overdue.
const mendMargin = 6 * time.Second

// begin notes that a server runs on the folder, and says whether the last one
// ended without saying so.
func begin(dir string) (killed bool, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return false, err
	}
	f, err := os.OpenFile(filepath.Join(dir, uncleanName), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return false, f.Close()
}

// ended notes that the server ended in order.
func ended(dir string) error { return os.Remove(filepath.Join(dir, uncleanName)) }

// mend finishes what a killed server left half done. The worker decides the
// holds that were in flight; this tells the events that are missing and brings
// needs in line with their allocations, as verify --repair does.
func (s *system) mend(ctx context.Context) {
	wait := time.NewTimer(s.settings.Lease + mendMargin)
	defer wait.Stop()
	select {
	case <-ctx.Done():
		return
	case <-wait.C:
	}
	report, err := s.care.Verify(ctx, true, nil)
	if err != nil {
		if ctx.Err() == nil {
			s.log.Error("repair after a crash; run happycode verify --repair", "error", err)
		}
		return
	}
	s.log.Info("repaired after a crash", "repaired", report.Repaired, "faults", len(report.Faults))
	for _, f := range report.Faults {
		s.log.Error("a promise is broken", "promise", f.Promise, "what", f.What)
	}
	books, err := s.keeper.Verify(ctx, true)
	if err != nil {
		if ctx.Err() == nil {
			s.log.Error("repair the funds' books after a crash; run happycode verify --repair", "error", err)
		}
		return
	}
	for _, f := range books.Faults {
		s.log.Error("the books of a fund are wrong", "what", f)
	}
}
