package sqlite

import (
	"path/filepath"
	"testing"
)

// TestWriterSyncs holds the setting that no kill of a process can test: every
// commit reaches the disk before it is answered.
func TestWriterSyncs(t *testing.T) {
	t.Parallel()
	r, err := Open(filepath.Join(t.TempDir(), "record.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for pragma, want := range map[string]string{"synchronous": "2", "journal_mode": "wal"} {
		var got []string
		err := r.write(t.Context(), 0, func(w *writer) (err error) {
			got, err = w.strings("SELECT * FROM pragma_" + pragma)
			return err
		})
		if err != nil || len(got) != 1 || got[0] != want {
			t.Errorf("%s: got %v, %v, want %s", pragma, got, err, want)
		}
	}
}
