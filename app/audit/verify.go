package audit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/xingfuma/happycode/app/store"
)

// What a [Fault] says.
const (
	BlockRemoved   = "block removed" // the chain goes on behind a gap
	BlockForeign   = "block added under no sequence number"
	BlockChanged   = "block changed"                        // its hash does not fit its content
	ChainBroken    = "block does not follow the one before" // one of the two was replaced
	EntryChanged   = "entry changed"
	EntryMoved     = "entry moved"
	EntryAdded     = "entry added"
	EntryRemoved   = "entry removed"
	RowMissing     = "index row missing"
	RowChanged     = "index row changed"
	RowWithout     = "index row without an entry" // of a removed entry or block, or added
	maxGapFaults   = 1000
	verifyPage     = 200
	rowsInProgress = 10 * time.Second
)

// Fault is one thing that is not as it was written.
type Fault struct {
	Sequence int64  `json:"sequence"` // of the block; 0: none
	EntryID  string `json:"entry_id"` // of the entry, or of the index row; "" for a block
	What     string `json:"what"`     // one of the constants, perhaps with detail
	// Repairable faults concern the index alone: [Log.Repair] mends them from
	// the chain.
	Repairable bool `json:"repairable"`
}

// Report is what [Log.Verify] found.
type Report struct {
	Blocks  int     `json:"blocks"`
	Entries int     `json:"entries"`
	Faults  []Fault `json:"faults"`
	// HeadSequence and HeadHash name the end of the chain. Kept elsewhere they
	// show later whether the end was cut off or the whole chain rewritten.
	HeadSequence int64  `json:"head_sequence"`
	HeadHash     string `json:"head_hash"`
}

// Damaged says whether something was tampered with: whether there is more than
// the missing rows that a crash may leave.
func (r Report) Damaged() bool {
	for _, f := range r.Faults {
		if f.What != RowMissing {
			return true
		}
	}
	return false
}

// Verify walks the chain and its index from the beginning to the head as it is
// when it starts, and names what was removed, changed or added. It may run
// while others write. progress, which may be nil, is told how many blocks are
// done; total is the head's sequence number.
func (l *Log) Verify(ctx context.Context, progress func(done, total int)) (Report, error) {
	report, _, err := l.walk(ctx, progress)
	return report, err
}

// Repair writes the index rows that are missing, and mends those whose sum still
// is their entry's. It leaves others alone: they testify to what was changed or
// removed.
// It returns how many rows it wrote.
func (l *Log) Repair(ctx context.Context, progress func(done, total int)) (written int, err error) {
	_, wrong, err := l.walk(ctx, progress)
	if err != nil {
		return 0, err
	}
	for start := 0; start < len(wrong); start += verifyPage {
		part := wrong[start:min(start+verifyPage, len(wrong))]
		dups, err := l.rows.InsertAll(ctx, part)
		if err != nil {
			return written, fmt.Errorf("repair the audit index: %w", err)
		}
		written += len(part) - len(dups)
		for _, d := range dups {
			want := part[d.Position]
			changed := false
			_, err := l.rows.Change(ctx, want.ID, func(r *row) error {
				if sameRow(r, want) {
					return errUnchanged
				}
				changed = true
				r.Entry, r.Subject, r.AtMs, r.Sum = want.Entry, want.Subject, want.AtMs, want.Sum
				return nil
			})
			switch {
			case err == nil && changed:
				written++
			case err != nil && !errors.Is(err, errUnchanged):
				return written, fmt.Errorf("repair the audit index: %w", err)
			}
		}
	}
	return written, nil
}

var errUnchanged = errors.New("unchanged")

func sameRow(a, b *row) bool {
	return a.Entry == b.Entry && a.Subject == b.Subject && a.AtMs == b.AtMs && a.Sum == b.Sum
}

// walk is Verify; it also returns the rows that Repair must write.
func (l *Log) walk(ctx context.Context, progress func(done, total int)) (Report, []*row, error) {
	head, _, err := l.blocks.Find(ctx, store.Query{Desc: true, Limit: 1})
	if err != nil {
		return Report{}, nil, err
	}
	v := &verifier{log: l, rows: newRowReader(l)}
	if len(head) == 1 {
		v.last = head[0].ID
		if total, ok := parseSequence(v.last); ok {
			v.total = total
		}
	}
	errEnd := errors.New("end")
	err = l.blocks.Each(ctx, store.Query{Limit: verifyPage}, func(b *block) error {
		if b.ID > v.last {
			return errEnd
		}
		if err := v.block(ctx, b); err != nil {
			return err
		}
		if progress != nil {
			progress(v.report.Blocks, int(v.total))
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnd) {
		return Report{}, nil, fmt.Errorf("verify the audit chain: %w", err)
	}
	if err := v.rest(ctx); err != nil {
		return Report{}, nil, fmt.Errorf("verify the audit index: %w", err)
	}
	return v.report, v.wrong, nil
}

// verifier walks blocks and rows side by side: both stand in the order of the
// chain.
type verifier struct {
	log      *Log
	rows     *rowReader
	report   Report
	last     string // id of the head when the walk began
	total    int64
	sequence int64  // of the block before
	hash     string // of the block before
	wrong    []*row // as they should be
	missing  []missing
}

type missing struct {
	row   *row
	fault Fault
	atMs  int64
}

func (v *verifier) fault(f Fault) { v.report.Faults = append(v.report.Faults, f) }

func (v *verifier) block(ctx context.Context, b *block) error {
	sequence, ok := parseSequence(b.ID)
	if !ok {
		v.fault(Fault{What: BlockForeign + ": " + b.ID})
		return nil
	}
	v.report.Blocks++
	v.report.Entries += len(b.Entries)
	if gap := sequence - v.sequence - 1; gap > maxGapFaults {
		v.fault(Fault{Sequence: v.sequence + 1, What: fmt.Sprintf("%s, and %d more behind it", BlockRemoved, gap-1)})
	} else {
		for s := v.sequence + 1; s < sequence; s++ {
			v.fault(Fault{Sequence: s, What: BlockRemoved})
		}
	}
	if b.Hash != b.sum(sequence) {
		v.fault(Fault{Sequence: sequence, What: BlockChanged})
	}
	// Behind a gap the hash before is unknown, and the gap is named already.
	if sequence == v.sequence+1 && b.Prev != v.hash {
		v.fault(Fault{Sequence: sequence, What: ChainBroken})
	}
	v.sequence, v.hash = sequence, b.Hash
	v.report.HeadSequence, v.report.HeadHash = sequence, b.Hash

	return v.entries(ctx, b, sequence)
}

// entries compares the entries of a block with the sums that were stored with
// them, and with the rows.
func (v *verifier) entries(ctx context.Context, b *block, sequence int64) error {
	intact := make([]bool, len(b.Sums))    // the entry here is the one written here
	accounted := make([]bool, len(b.Sums)) // some entry is the one written here
	for i, e := range b.Entries {
		if i < len(b.Sums) && e.sum(sequence, i) == b.Sums[i] {
			intact[i], accounted[i] = true, true
		}
	}
	var strange []int
	for i, e := range b.Entries {
		if i < len(b.Sums) && intact[i] {
			continue
		}
		from := -1
		for j, sum := range b.Sums {
			if !accounted[j] && e.sum(sequence, j) == sum {
				from = j
				break
			}
		}
		if from < 0 {
			strange = append(strange, i)
			continue
		}
		accounted[from] = true
		v.fault(Fault{Sequence: sequence, EntryID: e.ID, What: EntryMoved})
	}
	for _, i := range strange {
		what := EntryAdded
		if i < len(b.Sums) && !accounted[i] {
			what, accounted[i] = EntryChanged, true
		}
		v.fault(Fault{Sequence: sequence, EntryID: b.Entries[i].ID, What: what})
	}
	for i, sum := range b.Sums {
		var want *row // known only while the entry is
		if intact[i] {
			e := b.Entries[i]
			want = &row{Meta: store.Meta{ID: rowID(b.ID, i)}, Entry: e.ID, Subject: e.Subject, AtMs: e.AtMs, Sum: sum}
		}
		got, err := v.next(ctx, rowID(b.ID, i))
		if err != nil {
			return err
		}
		if !accounted[i] {
			name := rowID(b.ID, i)
			if got != nil {
				name = got.Entry
			}
			v.fault(Fault{Sequence: sequence, EntryID: name, What: EntryRemoved})
		}
		switch {
		case got == nil && want != nil:
			v.missing = append(v.missing, missing{want, Fault{sequence, want.Entry, RowMissing, true}, b.AtMs})
		case got == nil:
		case got.Sum != sum:
			// The row, or the entry together with the block's hashes: the row
			// stays as it is, as a witness.
			v.fault(Fault{Sequence: sequence, EntryID: got.Entry, What: RowChanged})
		case want != nil && !sameRow(got, want):
			v.fault(Fault{Sequence: sequence, EntryID: want.Entry, What: RowChanged, Repairable: true})
			v.wrong = append(v.wrong, want)
		}
	}
	return nil
}

// next takes the row with this id, or nil; rows before it have no entry.
func (v *verifier) next(ctx context.Context, id string) (*row, error) {
	for {
		got, err := v.rows.peek(ctx)
		switch {
		case err != nil:
			return nil, err
		case got == nil || got.ID > id:
			return nil, nil
		}
		v.rows.skip()
		if got.ID == id {
			return got, nil
		}
		v.extra(got)
	}
}

func (v *verifier) extra(r *row) {
	f := Fault{EntryID: r.Entry, What: RowWithout + ": " + r.ID}
	if id, _, ok := blockOfRow(r.ID); ok {
		f.Sequence, _ = parseSequence(id)
	}
	v.fault(f)
}

// rest looks at the rows behind the last block, and once more for those that
// were missing: their writer may have been between the block and its rows.
func (v *verifier) rest(ctx context.Context) error {
	for {
		got, err := v.rows.peek(ctx)
		if err != nil {
			return err
		}
		if got == nil {
			break
		}
		v.rows.skip()
		id, _, ok := blockOfRow(got.ID)
		if ok && id > v.last {
			// Written since the walk began, or left by a block that was cut off.
			_, err := v.log.blocks.Get(ctx, id)
			if err == nil {
				continue
			}
			if !errors.Is(err, store.ErrNotFound) {
				return err
			}
		}
		v.extra(got)
	}
	now := store.Millis(v.log.now())
	for start := 0; start < len(v.missing); start += verifyPage {
		part := v.missing[start:min(start+verifyPage, len(v.missing))]
		ids := make([]string, len(part))
		for i, m := range part {
			ids[i] = m.row.ID
		}
		found, err := v.log.rows.GetAll(ctx, ids)
		if err != nil {
			return err
		}
		there := make(map[string]bool, len(found))
		for _, r := range found {
			there[r.ID] = true
		}
		for _, m := range part {
			if there[m.row.ID] {
				continue
			}
			v.wrong = append(v.wrong, m.row)
			if age := now - m.atMs; age >= 0 && age < rowsInProgress.Milliseconds() {
				continue // not a fault yet: its writer has this long
			}
			v.fault(m.fault)
		}
	}
	return nil
}

// rowReader reads all rows in order, one page at a time.
type rowReader struct {
	log   *Log
	page  []*row
	after string
	begun bool
}

func newRowReader(l *Log) *rowReader { return &rowReader{log: l} }

// peek returns the next row, or nil at the end.
func (r *rowReader) peek(ctx context.Context) (*row, error) {
	for len(r.page) == 0 {
		if r.begun && r.after == "" {
			return nil, nil
		}
		page, next, err := r.log.rows.Find(ctx, store.Query{After: r.after, Limit: store.MaxPage})
		if err != nil {
			return nil, err
		}
		r.page, r.after, r.begun = page, next, true
	}
	return r.page[0], nil
}

func (r *rowReader) skip() { r.page = r.page[1:] }
