package sqlite_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
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

// TestFile is what only this record has: its file.
func TestFile(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new 目录?x=1#%41&mode=memory")
	path := filepath.Join(dir, "记录 1.db")
	r := open(t, path)
	if err := r.Ensure(t.Context(), storetest.Parcels()); err != nil {
		t.Fatal(err)
	}
	c := store.Of[storetest.Parcel](r, storetest.Parcels())
	if err := c.Insert(t.Context(), parcel(1)); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{dir: 0o700, path: 0o600, path + "-wal": 0o600, path + "-shm": 0o600} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s: mode %o, want %o", filepath.Base(name), got, want)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, path)
	if err := again.Ensure(t.Context(), storetest.Parcels()); err != nil {
		t.Fatal(err)
	}
	got, _, err := store.Of[storetest.Parcel](again, storetest.Parcels()).Find(t.Context(), store.Query{})
	if err != nil || len(got) != 1 {
		t.Errorf("opened again: got %d documents, %v", len(got), err)
	}
}

// TestForeignFile leaves other programs' files alone.
func TestForeignFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "other.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("CREATE TABLE recipes (name TEXT)"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(path); err == nil {
		t.Error("another program's database was opened")
	}
	text := filepath.Join(t.TempDir(), "notes.txt")
	if err := os.WriteFile(text, []byte(strings.Repeat("not a database\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(text); err == nil {
		t.Error("a text file was opened")
	}
}

// TestPlans keeps every shape of query on its index: SQLite seeks in it, and
// neither scans nor sorts.
func TestPlans(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "record.db")
	r := open(t, path)
	s := storetest.Parcels()
	s.Indexes = append(s.Indexes, storetest.Late())
	if err := r.Ensure(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	mark := func(index string, rest ...any) string { return store.EncodeCursor(append([]any{index}, rest...), "x") }
	for _, q := range []struct {
		query store.Query
		want  string
	}{
		{store.Query{Index: "county", Equal: []any{"a"}}, "(f_county=?)"},
		{store.Query{Index: "county", Equal: []any{"a"}, From: 1, To: 2}, "(f_county=? AND f_at_ms>? AND f_at_ms<?)"},
		{store.Query{Index: "county", Equal: []any{"a"}, After: mark("+county", 1)}, "(f_county=? AND (f_at_ms,id)>(?,?))"},
		{store.Query{Index: "county", Equal: []any{"a"}, From: 0, To: 9, After: mark("+county", 1)}, "(f_county=? AND (f_at_ms,id)>(?,?)"},
		{store.Query{Index: "county", Equal: []any{"a"}, From: 0, Desc: true, After: mark("-county", 1)}, "(f_county=? AND f_at_ms>? AND (f_at_ms,id)<(?,?))"},
		{store.Query{Index: "county", Equal: []any{"a", 1}, After: mark("+county")}, "(f_county=? AND f_at_ms=? AND id>?)"},
		{store.Query{Index: "serial", Equal: []any{"a"}, Desc: true}, "(f_county=?)"},
		{store.Query{Index: "badge", Equal: []any{"a"}}, "(f_badge=?)"},
		{store.Query{From: "a", Desc: true}, "(id>?)"},
		{store.Query{Index: "late", Equal: []any{"a"}, From: 1}, "late__some (f_state=? AND f_rank>?)"},
	} {
		text, args, err := sqlite.Select(s, q.query)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := db.Query("EXPLAIN QUERY PLAN "+text, args...)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		var plan []string
		for rows.Next() {
			var id, parent, unused int
			var detail string
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				t.Fatal(err)
			}
			plan = append(plan, detail)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		if len(plan) != 1 || !strings.HasPrefix(plan[0], "SEARCH") || !strings.Contains(plan[0], q.want) {
			t.Errorf("%+v:\n got %q\nwant %s", q.query, plan, q.want)
		}
	}
}
