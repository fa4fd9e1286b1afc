package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/app/store/sqlite"
	"github.com/xingfuma/happycode/app/store/storetest"
)

func open(t testing.TB, path string) *sqlite.Record {
	t.Helper()
	r, err := sqlite.Open(path)
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
	storetest.Run(t, func(t *testing.T) store.Record {
		return open(t, filepath.Join(t.TempDir(), "record.db"))
	})
}
