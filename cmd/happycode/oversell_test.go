//go:build integration

package main

import (
	"sync"
	"testing"

	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/store/mongo/mongotest"
	"github.com/xingfuma/happycode/matching/redistest"
)

// 200 residents, one lot of 50, all scanned at once: exactly 50 get it.
func TestOversell(t *testing.T) {
	cluster := redistest.StartCluster(t)
	for _, record := range []string{"sqlite", "mongo"} {
		for _, redis := range []string{"standalone", "cluster"} {
			t.Run(record+" "+redis, func(t *testing.T) {
				s := embedded(t)
				if record == "mongo" {
					s["MONGO_URI"] = mongotest.URI(t)
				}
				if redis == "cluster" {
					cluster.FlushAll(t) // another record's matcher
					s["REDIS_URL"] = cluster.URL()
				} else {
					s["REDIS_URL"] = redistest.Server(t)
				}
				if record == "mongo" { // its stand-in is slow: fewer
					oversell(t, s, 80, 20)
				} else {
					oversell(t, s, 200, 50)
				}
			})
		}
	}
}

func oversell(t *testing.T, s settingsOf, clients, units int) {
	server := start(t, s)
	w := newTown(t, s, server.base)
	// The residents need it before it is there, so that only the scans decide.
	w.settle(t, clients, map[string]int64{"grocery": 1})
	offer := w.post(t, "米油包", "grocery", int64(units), map[string]any{"cap_units": 1, "cap_period": "week"})

	begin := make(chan struct{})
	got := make([]int64, clients)
	var all sync.WaitGroup
	for i, r := range w.residents {
		all.Go(func() {
			<-begin
			var result care.ScanResult
			if err := w.worker.insist(t.Context(), "scans", map[string]string{"code": r.CardNo}, &result); err != nil {
				t.Errorf("scan %d: %v", i, err)
				return
			}
			for _, a := range result.Offered {
				got[i] += a.QtyUnits
			}
		})
	}
	close(begin)
	all.Wait()
	if t.Failed() {
		return
	}
	var promised, served int64
	for _, r := range w.residents {
		for _, a := range w.list(t, r.ID) {
			if a.State != care.Promised || a.QtyUnits != 1 {
				t.Errorf("allocation %s: %d units, %s", a.ID, a.QtyUnits, a.State)
			}
			promised += a.QtyUnits
			served++
		}
	}
	var answered int64
	for _, n := range got {
		answered += n
	}
	if promised != int64(units) || served != int64(units) {
		t.Errorf("promised: got %d units to %d residents, want %d", promised, served, units)
	}
	if answered > promised {
		t.Errorf("answered: got %d units, more than the %d promised", answered, promised)
	}
	if st := w.stock(t, offer); st.PromisedUnits != int64(units) || st.FreeUnits != 0 || st.HeldUnits != 0 {
		t.Errorf("stock: got %+v, want %d promised and nothing left", st, units)
	}
	// On a slow record some scans ran into their time limit after their units
	// were promised; the repair tells what they did not get to tell.
	commandOK(t, s, "verify", "--repair")
	server.stop(t)
}
