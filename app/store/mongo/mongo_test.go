//go:build integration

package mongo_test

import (
	"testing"

	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/app/store/mongo"
	"github.com/xingfuma/happycode/app/store/mongo/mongotest"
	"github.com/xingfuma/happycode/app/store/storetest"
)

func open(t testing.TB, uri string) *mongo.Record {
	t.Helper()
	r, err := mongo.Open(t.Context(), uri)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func TestRecord(t *testing.T) {
	t.Parallel()
	stand := mongotest.StandIn(t)
	storetest.RunAllowing(t, storetest.Allowance{Unnamed: stand, Small: stand}, func(t *testing.T) store.Record {
		return open(t, mongotest.URI(t))
	})
}
