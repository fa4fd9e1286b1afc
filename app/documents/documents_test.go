package documents

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/app/store/sqlite"
	"github.com/xingfuma/happycode/app/vault"
)

// cut is a record that fails after some inserts, as a crash in between does.
type cut struct {
	store.Record
	left int
}

var errCut = errors.New("cut off")

func (c *cut) Insert(ctx context.Context, collection string, docs []store.Document) ([]store.Duplicate, error) {
	if c.left--; c.left < 0 {
		return nil, errCut
	}
	return c.Record.Insert(ctx, collection, docs)
}

type fixture struct {
	*Service
	record *cut
	now    time.Time
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	r, err := sqlite.Open(filepath.Join(t.TempDir(), "record.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	if err := r.Ensure(t.Context(), Schemas()...); err != nil {
		t.Fatal(err)
	}
	v, err := vault.Open(filepath.Join(t.TempDir(), "keys.json"))
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{record: &cut{r, 1000}, now: time.Date(2026, 11, 24, 2, 0, 0, 0, time.UTC)}
	f.Service = New(Config{Record: f.record, Vault: v, Now: func() time.Time { return f.now }})
	return f
}

func pdf(size int) []byte {
	return append(append([]byte("%PDF-1.7\n"), bytes.Repeat([]byte("x"), size)...), "\n%%EOF\n"...)
}

func licence(file []byte) NewDocument {
	return NewDocument{Organisation: "o1", Kind: "licence", Type: "application/pdf", File: file}
}

// A crash after any write is mended by sending the file again, or swept; what
// is kept comes back to the bit and stands sealed.
func TestCrashWhileAdding(t *testing.T) {
	t.Parallel()
	file := pdf(3*partBytes - 100)
	for writes := range 5 {
		f := newFixture(t)
		f.record.left = writes
		_, err := f.Add(t.Context(), "a1", licence(file))
		if writes < 4 && !errors.Is(err, errCut) {
			t.Fatalf("after %d writes: %v", writes, err)
		}
		if all, err := f.Of(t.Context(), "o1"); err != nil || writes < 4 && len(all) != 0 {
			t.Fatalf("half a document is shown: %v, %v", all, err)
		}
		f.record.left = 1000
		d, err := f.Add(t.Context(), "a1", licence(file))
		if err != nil || d.State != Kept || d.Parts != 3 {
			t.Fatalf("again: %+v, %v", d, err)
		}
		back, err := f.File(t.Context(), d)
		if err != nil || !bytes.Equal(back, file) {
			t.Fatalf("%d bytes come back: %v", len(back), err)
		}
		p, err := f.parts.Get(t.Context(), partID(d.ID, 0))
		if err != nil || strings.Contains(p.Sealed, "xxxxxxxxxx") {
			t.Fatalf("a part is not sealed: %v", err)
		}
	}
}

// Parts of one document cannot stand in for another's.
func TestPartsAreBound(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	one, err := f.Add(t.Context(), "a1", licence(pdf(10)))
	if err != nil {
		t.Fatal(err)
	}
	two, err := f.Add(t.Context(), "a1", licence(pdf(20)))
	if err != nil {
		t.Fatal(err)
	}
	other, err := f.parts.Get(t.Context(), partID(two.ID, 0))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.parts.Change(t.Context(), partID(one.ID, 0), func(p *part) error { p.Sealed = other.Sealed; return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := f.File(t.Context(), one); !errors.Is(err, vault.ErrSealed) {
		t.Errorf("a part of another document: %v", err)
	}
}

func TestWithdrawnDocumentsGo(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	d, err := f.Add(t.Context(), "a1", licence(pdf(10)))
	if err != nil {
		t.Fatal(err)
	}
	f.record.left = 1
	if _, err := f.Add(t.Context(), "a1", licence(pdf(30))); !errors.Is(err, errCut) {
		t.Fatal(err)
	}
	f.record.left = 1000
	for range 2 {
		if d, err = f.Withdraw(t.Context(), "a1", d.ID); err != nil || d.State != Withdrawn {
			t.Fatalf("%+v, %v", d, err)
		}
	}
	for _, step := range []struct {
		pass  time.Duration
		state State
	}{{withdrawnKept - time.Hour, Withdrawn}, {2 * time.Hour, Gone}} {
		f.now = f.now.Add(step.pass)
		if err := f.Forget(t.Context()); err != nil {
			t.Fatal(err)
		}
		if d, err = f.Get(t.Context(), d.ID); err != nil || d.State != step.state {
			t.Fatalf("%+v, %v", d, err)
		}
	}
	if _, err := f.File(t.Context(), d); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the file of what is gone: %v", err)
	}
	if left, _, err := f.parts.Find(t.Context(), store.Query{}); err != nil || len(left) != 0 {
		t.Errorf("%d parts are left, %v", len(left), err)
	}
	// The same licence again is a document again.
	if d, err = f.Add(t.Context(), "a1", licence(pdf(10))); err != nil || d.State != Kept {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestWhatIsNoDocument(t *testing.T) {
	t.Parallel()
	for name, file := range map[string][]byte{
		"a program":           []byte("MZ\x90\x00 licence.pdf"),
		"a page":              []byte("<html>%PDF-1.7\n%%EOF"),
		"half a PDF":          pdf(10)[:12],
		"a locked PDF":        []byte("%PDF-1.7\ntrailer << /Encrypt 5 0 R >>\n%%EOF"),
		"a PDF with a script": []byte("%PDF-1.7\n<< /S /JavaScript /JS (x) >>\n%%EOF"),
		"a PDF with a file":   []byte("%PDF-1.7\n<< /Type /EmbeddedFile >>\n%%EOF"),
		"too large":           pdf(MaxBytes),
	} {
		var wrong *FieldError
		if err := CheckPDF(file); !errors.As(err, &wrong) || wrong.Field != "file" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := CheckPDF(pdf(100)); err != nil {
		t.Error(err)
	}
}
