// Package documents keeps what organisations show of themselves: licences,
// permits, certificates. A file is known by what is in it and not by its name,
// checked, sealed, and kept in the record in parts, so that every process has
// it. See DESIGN.md.
package documents

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/app/vault"
)

// FieldError names the field that cannot be taken, and what to do about it.
type FieldError struct {
	Field  string // JSON name
	ZH, EN string
}

func (e *FieldError) Error() string { return e.Field + ": " + e.EN }

// Kinds are what a document can be.
func Kinds() []string { return []string{"licence", "permit", "fundraising", "authorisation", "other"} }

// State is where a document stands.
type State string

// The states of a document.
const (
	Coming    State = "coming"    // its parts are being written
	Kept      State = "kept"      // it is whole
	Withdrawn State = "withdrawn" // taken back; kept for administrators a while
	Gone      State = "gone"      // only that it was there is known
)

// Document is one file of an organisation.
type Document struct {
	store.Meta   `bson:",inline"`
	Organisation string `json:"organisation"`
	Kind         string `json:"kind"`
	Label        string `json:"label"` // up to 100 characters
	Type         string `json:"type"`  // "application/pdf" or "image/jpeg"
	Bytes        int64  `json:"bytes"`
	Parts        int64  `json:"parts"`
	SHA256       string `json:"sha256"`    // of the file as it is kept
	UntilMs      int64  `json:"until_ms"`  // valid until; 0: not stated
	AddedMs      int64  `json:"added_ms"`  //
	AddedBy      string `json:"added_by"`  // account id
	State        State  `json:"state"`     //
	StateMs      int64  `json:"state_ms"`  // since when
	StateBy      string `json:"state_by"`  // account id
	Whole        bool   `json:"was_whole"` // it was kept once
}

// part is a piece of a file, sealed under its own id: parts of one document
// cannot stand in for those of another, nor for one another.
type part struct {
	store.Meta `bson:",inline"`
	Sealed     string `json:"sealed"`
}

var (
	documentSchema = store.Schema{Name: "documents", Indexes: []store.Index{
		{Name: "organisation", Fields: []string{"organisation", "added_ms"}},
		{Name: "state", Fields: []string{"state", "state_ms"}},
	}}
	partSchema = store.Schema{Name: "document_parts"}
)

// Schemas are the collections of this package.
func Schemas() []store.Schema { return []store.Schema{documentSchema, partSchema} }

const (
	partField = "organisation_document"
	// partBytes keeps a sealed part well below what a record takes in one
	// document (16 MB at MongoDB) and a page of the write-ahead log small.
	partBytes = 256 << 10
	// MaxBytes is the largest file that is kept, after pictures were made
	// smaller: a licence scanned at 300 dpi has one or two.
	MaxBytes = 5 << 20
	// maxOf is how many an organisation has at once, maxEver counts those that
	// were withdrawn too.
	maxOf, maxEver = 20, 100
	// comingTime is after how long a document is taken for one that never came.
	comingTime = time.Hour
	// withdrawnKept is how long a document stands after it was withdrawn: until
	// complaints about what it was shown for are over.
	withdrawnKept = 180 * 24 * time.Hour
)

// Config is what [New] needs.
type Config struct {
	Record store.Record // with [Schemas]
	Vault  *vault.Vault
	Now    func() time.Time
}

// Service keeps documents. It is safe for concurrent use.
type Service struct {
	cfg       Config
	documents store.Collection[Document, *Document]
	parts     store.Collection[part, *part]
}

// New makes the service.
func New(c Config) *Service {
	return &Service{cfg: c, documents: store.Of[Document](c.Record, documentSchema), parts: store.Of[part](c.Record, partSchema)}
}

// NewDocument is a file as somebody adds it. File has passed [CheckPDF], or is a
// JPEG that was made here.
type NewDocument struct {
	Organisation, Kind, Label string
	Type                      string
	UntilMs                   int64
	File                      []byte
}

// Add keeps a document. The document comes first and says that its parts are
// coming, then the parts, whose ids follow from it, then it is whole: what a
// crash leaves is mended by adding the same file again, or swept.
// Errors: [FieldError].
func (s *Service) Add(ctx context.Context, by string, n NewDocument) (*Document, error) {
	if err := s.check(ctx, &n); err != nil {
		return nil, err
	}
	now := store.Millis(s.cfg.Now())
	sum := sha256.Sum256(n.File)
	id := sha256.Sum256([]byte(n.Organisation + "\x00" + n.Kind + "\x00" + string(sum[:])))
	d := &Document{
		Meta: store.Meta{ID: "doc" + hex.EncodeToString(id[:16])}, Organisation: n.Organisation, Kind: n.Kind, Label: n.Label, Type: n.Type,
		Bytes: int64(len(n.File)), Parts: int64((len(n.File) + partBytes - 1) / partBytes), SHA256: hex.EncodeToString(sum[:]), UntilMs: n.UntilMs,
		AddedMs: now, AddedBy: by, State: Coming, StateMs: now, StateBy: by,
	}
	if err := s.documents.Insert(ctx, d); errors.Is(err, store.ErrDuplicate) {
		known, err := s.documents.Change(ctx, d.ID, func(old *Document) error { // the same file again
			if old.State == Kept {
				return errSame
			}
			m := old.Meta
			*old = *d
			old.Meta = m
			return nil
		})
		if errors.Is(err, errSame) {
			return s.documents.Get(ctx, d.ID)
		}
		if err != nil {
			return nil, err
		}
		d = known
	} else if err != nil {
		return nil, err
	}
	for i, piece := range slices.Collect(slices.Chunk(n.File, partBytes)) {
		p := &part{Meta: store.Meta{ID: partID(d.ID, i)}}
		var err error
		if p.Sealed, err = s.cfg.Vault.Seal(partField, p.ID, string(piece)); err != nil {
			return nil, fmt.Errorf("seal document %s: %w", d.ID, err)
		}
		if _, err := s.parts.InsertAll(ctx, []*part{p}); err != nil { // what is there is the same
			return nil, err
		}
	}
	d, err := s.move(ctx, by, d.ID, Coming, Kept)
	if err == nil && d.State != Kept { // swept meanwhile
		err = fmt.Errorf("add document %s: %w", d.ID, store.ErrConflict)
	}
	return d, err
}

var errSame = errors.New("nothing to change")

func partID(document string, i int) string { return fmt.Sprintf("%s-%d", document, i) }

// move changes a document's state; where it has another than from, nothing.
func (s *Service) move(ctx context.Context, by, id string, from, to State) (*Document, error) {
	var seen *Document
	d, err := s.documents.Change(ctx, id, func(d *Document) error {
		if seen = d; d.State != from {
			return errSame
		}
		d.State, d.StateMs, d.StateBy = to, store.Millis(s.cfg.Now()), by
		d.Whole = d.Whole || to == Kept
		return nil
	})
	if errors.Is(err, errSame) {
		return seen, nil
	}
	return d, err
}

func (s *Service) check(ctx context.Context, n *NewDocument) error {
	n.Label = strings.TrimSpace(n.Label)
	switch {
	case !slices.Contains(Kinds(), n.Kind):
		return &FieldError{"kind", "请选择证照种类。", "Choose what kind of document it is."}
	case utf8.RuneCountInString(n.Label) > 100 || !utf8.ValidString(n.Label):
		return &FieldError{"label", "说明最多 100 个字，请缩短。", "The note has at most 100 characters: shorten it."}
	case n.UntilMs < 0 || n.UntilMs > 4_102_444_800_000:
		return &FieldError{"until_ms", "有效期应在 2100 年之前，请改正。", "It is valid until 2100 at most: correct it."}
	case len(n.File) > MaxBytes:
		return tooLarge()
	}
	all, err := s.Of(ctx, n.Organisation)
	if err != nil {
		return err
	}
	kept := 0
	for _, d := range all {
		if d.State == Kept {
			kept++
		}
	}
	if kept >= maxOf || len(all) >= maxEver {
		return &FieldError{"file", fmt.Sprintf("最多保存 %d 份证照，请先撤下不用的，或联系管理员。", maxOf), fmt.Sprintf("At most %d documents are kept: withdraw one first, or ask the administrator.", maxOf)}
	}
	return nil
}

// Of reads the documents of an organisation, the newest first: those that are
// whole or were.
func (s *Service) Of(ctx context.Context, organisation string) ([]*Document, error) {
	page, _, err := s.documents.Find(ctx, store.Query{Index: "organisation", Equal: []any{organisation}, Desc: true, Limit: 2 * maxEver})
	return slices.DeleteFunc(page, func(d *Document) bool { return !d.Whole }), err
}

// Get reads a document without its file. Errors: [store.ErrNotFound].
func (s *Service) Get(ctx context.Context, id string) (*Document, error) {
	return s.documents.Get(ctx, id)
}

// File reads the file of a document, which is as it was kept, to the bit.
// Errors: [store.ErrNotFound] where it is not whole or gone.
func (s *Service) File(ctx context.Context, d *Document) ([]byte, error) {
	if d.State != Kept && d.State != Withdrawn {
		return nil, fmt.Errorf("file of document %s: %w", d.ID, store.ErrNotFound)
	}
	ids := make([]string, d.Parts)
	for i := range ids {
		ids[i] = partID(d.ID, i)
	}
	parts, err := s.parts.GetAll(ctx, ids)
	if err != nil {
		return nil, err
	}
	var file []byte
	for _, p := range parts {
		piece, err := s.cfg.Vault.OpenField(partField, p.ID, p.Sealed)
		if err != nil {
			return nil, fmt.Errorf("file of document %s: %w", d.ID, err)
		}
		file = append(file, piece...)
	}
	if sum := sha256.Sum256(file); hex.EncodeToString(sum[:]) != d.SHA256 {
		return nil, fmt.Errorf("file of document %s: parts are missing: %w", d.ID, vault.ErrSealed)
	}
	return file, nil
}

// Withdraw takes a document back: administrators see it for half a year more.
// Again changes nothing. Errors: [store.ErrNotFound].
func (s *Service) Withdraw(ctx context.Context, by, id string) (*Document, error) {
	return s.move(ctx, by, id, Kept, Withdrawn)
}

// Forget deletes the files of documents that were withdrawn long ago or never
// came whole.
func (s *Service) Forget(ctx context.Context) error {
	for state, after := range map[State]time.Duration{Coming: comingTime, Withdrawn: withdrawnKept} {
		old, _, err := s.documents.Find(ctx, store.Query{
			Index: "state", Equal: []any{string(state)}, To: s.cfg.Now().Add(-after).UnixMilli(), Limit: 100,
		})
		if err != nil {
			return err
		}
		for _, d := range old {
			if d, err = s.move(ctx, "", d.ID, state, Gone); err != nil {
				return err
			}
			if d.State != Gone {
				continue // somebody adds it again
			}
			if err := s.dropParts(ctx, d); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Service) dropParts(ctx context.Context, d *Document) error {
	ids := make([]string, d.Parts)
	for i := range ids {
		ids[i] = partID(d.ID, i)
	}
	return s.parts.Delete(ctx, ids...)
}

// AddedDay is the day on which it was added, China's, as 2006-01-02.
func (d *Document) AddedDay() string {
	return time.UnixMilli(d.AddedMs).In(time.FixedZone("CST", 8*60*60)).Format(time.DateOnly)
}
