// Package audit keeps who did what to whom, and why, in a chain that shows
// when something was removed, changed or added afterwards. See DESIGN.md.
package audit

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/xingfuma/happycode/app/store"
)

// ErrClosed says that the log was closed.
var ErrClosed = errors.New("the audit log is closed")

const (
	// maxEntries is how many entries one block takes; a longer queue goes into
	// the next.
	maxEntries = 256
	// maxText is how many bytes of a field are kept.
	maxText = 1000
	// writeTimeout bounds one block, all its tries included.
	writeTimeout = 30 * time.Second
	// maxTries is how often a block is moved behind a new head.
	maxTries = 1000
	// healBlocks is how many of the latest blocks have their index rows
	// completed at the start: a process that stops between a block and its
	// rows leaves at most one block without.
	healBlocks = 64
	// noteEvery is after how many blocks the head goes to the ordinary log, so
	// that it is known outside of the record as well.
	noteEvery = 1000
)

// Entry is one thing somebody did. Texts are ids and words, never a name, an
// ID number or a phone; each is cut to 1,000 bytes of valid UTF-8.
type Entry struct {
	ID       string `json:"id"`       // made by [Log.Write] if empty
	AtMs     int64  `json:"at_ms"`    // set by [Log.Write] if 0
	Actor    string `json:"actor"`    // account, "resident:"+id, "token:"+id or a part of the system
	Role     string `json:"role"`     // of the actor
	Act      string `json:"act"`      // e.g. "scan", "view_resident", "handover", "create_offer", "denied"
	Object   string `json:"object"`   // id of what it was done to
	Subject  string `json:"subject"`  // id of the resident concerned, or ""
	Division string `json:"division"` // 12-digit code
	Purpose  string `json:"purpose"`
	Outcome  string `json:"outcome"` // e.g. "ok", "denied"
}

// block is one link of the chain. Blocks are only ever inserted. The id is the
// sequence number in 16 digits, so that one insert decides who is next.
type block struct {
	store.Meta `bson:",inline"`
	Nonce      string   `json:"nonce"` // tells the writer its own block
	AtMs       int64    `json:"at_ms"`
	Prev       string   `json:"prev"` // hash of the block before
	Hash       string   `json:"hash"` // over sequence, nonce, time, prev and Sums
	Sums       []string `json:"sums"` // one hash per entry
	Entries    []Entry  `json:"entries"`
}

// row finds an entry by its subject. Its id is the block's and the entry's
// place in it, in four digits, so that rows stand in the order of the chain.
type row struct {
	store.Meta `bson:",inline"`
	Entry      string `json:"entry"`
	Subject    string `json:"subject"`
	AtMs       int64  `json:"at_ms"`
	Sum        string `json:"sum"`
}

func blocksSchema() store.Schema { return store.Schema{Name: "audit_blocks"} }

func rowsSchema() store.Schema {
	return store.Schema{Name: "audit_index", Indexes: []store.Index{{Name: "subject", Fields: []string{"subject"}}}}
}

// Schemas declares the collections of this package.
func Schemas() []store.Schema { return []store.Schema{blocksSchema(), rowsSchema()} }

func blockID(sequence int64) string { return fmt.Sprintf("%016d", sequence) }

func rowID(block string, position int) string { return fmt.Sprintf("%s-%04d", block, position) }

// blockOfRow is the block and the place that a row's id names.
func blockOfRow(id string) (block string, position int, ok bool) {
	block, place, found := strings.Cut(id, "-")
	sequence, ok := parseSequence(block)
	if !found || !ok || len(place) != 4 {
		return "", 0, false
	}
	if _, err := fmt.Sscanf(place, "%04d", &position); err != nil || position < 0 {
		return "", 0, false
	}
	return block, position, rowID(blockID(sequence), position) == id
}

func parseSequence(id string) (int64, bool) {
	var n int64
	if _, err := fmt.Sscanf(id, "%d", &n); err != nil || n < 1 || blockID(n) != id {
		return 0, false
	}
	return n, true
}

// sum is the hash of one entry at its place in the chain. Every field goes in
// with its length, so that nothing can move from one to the next.
func (e Entry) sum(sequence int64, position int) string {
	h := newHash("xfm-audit-entry-v1", sequence, int64(position), e.AtMs)
	for _, s := range [...]string{e.ID, e.Actor, e.Role, e.Act, e.Object, e.Subject, e.Division, e.Purpose, e.Outcome} {
		hashText(h, s)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// sum is what the block's hash must be.
func (b *block) sum(sequence int64) string {
	h := newHash("xfm-audit-block-v1", sequence, b.AtMs, int64(len(b.Sums)))
	hashText(h, b.Nonce)
	hashText(h, b.Prev)
	for _, s := range b.Sums {
		hashText(h, s)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func newHash(purpose string, numbers ...int64) hash.Hash {
	h := sha256.New()
	hashText(h, purpose)
	for _, n := range numbers {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(n)))
	}
	return h
}

func hashText(h hash.Hash, s string) {
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(s))))
	h.Write([]byte(s))
}

// rows are the index rows that belong to the block.
func (b *block) rows() []*row {
	out := make([]*row, len(b.Entries))
	for i, e := range b.Entries {
		out[i] = &row{Meta: store.Meta{ID: rowID(b.ID, i)}, Entry: e.ID, Subject: e.Subject, AtMs: e.AtMs, Sum: b.Sums[i]}
	}
	return out
}

// Config is what a [Log] needs.
type Config struct {
	Record store.Record
	Now    func() time.Time
	Logger *slog.Logger // nil: nothing is logged
}

// Log appends to the chain and reads from it. It is safe for concurrent use,
// and several processes may append to one record.
type Log struct {
	now    func() time.Time
	log    *slog.Logger
	record store.Record
	blocks store.Collection[block, *block]
	rows   store.Collection[row, *row]

	mu      sync.Mutex
	queue   []*batch
	closed  bool
	wake    chan struct{} // of size 1: something is in queue, or closed
	stopped chan struct{} // the writer has ended

	// Of the writer alone.
	healed bool
	known  bool   // head is what this process believes it to be
	head   int64  // sequence of the latest block; 0: none
	prev   string // its hash
	late   []*row // rows that could not be written with their block
}

// batch is what one call of Write hands over.
type batch struct {
	entries []Entry
	done    chan error // of size 1
}

// New makes a log and starts its writer; [Log.Close] ends it. Record and Now
// are required.
func New(c Config) *Log {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	l := &Log{
		now: c.Now, log: c.Logger, record: c.Record,
		blocks:  store.Of[block](c.Record, blocksSchema()),
		rows:    store.Of[row](c.Record, rowsSchema()),
		wake:    make(chan struct{}, 1),
		stopped: make(chan struct{}),
	}
	go l.run()
	return l
}

// Close waits for what was handed over to be written and ends the writer.
// Writing after it fails with [ErrClosed]; reading does not.
func (l *Log) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.signal()
	<-l.stopped
}

func (l *Log) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Write appends entries, all in one block, and returns when they are durable.
// Calls that come in while a block is being written share the next one. On
// another error than [ErrClosed] the entries may have become durable all the
// same, so that writing again can double them; it cannot lose them.
func (l *Log) Write(ctx context.Context, entries ...Entry) error {
	if len(entries) == 0 {
		return nil
	}
	if len(entries) > maxEntries {
		return fmt.Errorf("write %d audit entries: at most %d at once", len(entries), maxEntries)
	}
	b := &batch{entries: make([]Entry, len(entries)), done: make(chan error, 1)}
	for i, e := range entries {
		b.entries[i] = l.clean(e)
	}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	l.queue = append(l.queue, b)
	l.mu.Unlock()
	l.signal()
	select {
	case err := <-b.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// clean fills in what is missing and keeps only what every record returns
// unaltered, since the hash is over what was written.
func (l *Log) clean(e Entry) Entry {
	if e.ID == "" {
		e.ID = store.NewID()
	}
	if e.AtMs == 0 {
		e.AtMs = store.Millis(l.now())
	}
	for _, s := range [...]*string{&e.ID, &e.Actor, &e.Role, &e.Act, &e.Object, &e.Subject, &e.Division, &e.Purpose, &e.Outcome} {
		if len(*s) > maxText {
			*s = (*s)[:maxText]
		}
		*s = strings.ReplaceAll(strings.ToValidUTF8(*s, ""), "\x00", "")
	}
	return e
}

func (l *Log) run() {
	defer close(l.stopped)
	for range l.wake {
		for {
			batches, closed := l.take()
			if len(batches) == 0 {
				if closed {
					if l.known && l.head > 0 {
						l.log.Info("audit chain head", "sequence", l.head, "hash", l.prev)
					}
					return
				}
				break
			}
			err := l.append(batches)
			for _, b := range batches {
				b.done <- err
			}
		}
	}
}

// take removes from the queue what fits into one block.
func (l *Log) take() (batches []*batch, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, entries := 0, 0
	for n < len(l.queue) && entries+len(l.queue[n].entries) <= maxEntries {
		entries += len(l.queue[n].entries)
		n++
	}
	batches = l.queue[:n:n]
	l.queue = l.queue[n:]
	return batches, l.closed
}

// append writes one block and its rows.
func (l *Log) append(batches []*batch) error {
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	if !l.healed {
		if err := l.heal(ctx); err != nil {
			return err
		}
		l.healed = true
	}
	b := &block{Nonce: store.NewID(), AtMs: store.Millis(l.now())}
	for _, x := range batches {
		b.Entries = append(b.Entries, x.entries...)
	}
	if err := l.link(ctx, b); err != nil {
		return err
	}
	if l.head%noteEvery == 0 {
		l.log.Info("audit chain head", "sequence", l.head, "hash", l.prev)
	}
	// The entries are durable. Rows only help to find them: should the record
	// fail just now, they are written with the next block's, or at the start.
	if len(l.late) == 0 {
		return nil
	}
	if _, err := l.rows.InsertAll(ctx, l.late); err != nil {
		l.log.Error("write audit index", "block", b.ID, "error", err)
		if len(l.late) > healBlocks*maxEntries {
			l.late = nil // [Log.Repair] finds them
		}
		return nil
	}
	l.late = nil
	return nil
}

// link inserts the block behind the head, whoever else inserts as well.
func (l *Log) link(ctx context.Context, b *block) error {
	for range maxTries {
		if !l.known {
			if err := l.findHead(ctx); err != nil {
				return err
			}
		}
		sequence := l.head + 1
		b.Meta = store.Meta{ID: blockID(sequence)}
		b.Prev = l.prev
		b.Sums = make([]string, len(b.Entries))
		for i, e := range b.Entries {
			b.Sums[i] = e.sum(sequence, i)
		}
		b.Hash = b.sum(sequence)
		rows := b.rows()
		step := &store.Step{Collection: l.blocks.Name, Doc: b, New: true}
		for _, r := range rows {
			step.Then = append(step.Then, store.Addition{Collection: l.rows.Name, Doc: r})
		}
		failed := store.Write(ctx, l.record, []*store.Step{step})
		if failed == nil && step.Err == nil {
			l.head, l.prev = sequence, b.Hash
			return nil
		}
		l.known = false
		// Somebody was faster; or the record carried out an insert whose answer
		// was lost, tried it again, and met this very block; or it took the block
		// and not the rows.
		there, err := l.blocks.Get(ctx, b.ID)
		if err == nil && there.Nonce == b.Nonce {
			l.known, l.head, l.prev = true, sequence, there.Hash
			l.late = append(l.late, rows...)
			return nil
		}
		if err = cmp.Or(failed, err); err != nil {
			return fmt.Errorf("write audit block: %w", err)
		}
	}
	return fmt.Errorf("write audit block %s: %w", b.ID, store.ErrConflict)
}

func (l *Log) findHead(ctx context.Context) error {
	page, _, err := l.blocks.Find(ctx, store.Query{Desc: true, Limit: 1})
	if err != nil {
		return fmt.Errorf("find the audit chain's head: %w", err)
	}
	l.head, l.prev = 0, ""
	if len(page) == 1 {
		sequence, ok := parseSequence(page[0].ID)
		if !ok {
			return fmt.Errorf("the audit chain's head %q is no sequence number: run verify", page[0].ID)
		}
		l.head, l.prev = sequence, page[0].Hash
	}
	l.known = true
	return nil
}

// heal completes the rows of the latest blocks.
func (l *Log) heal(ctx context.Context) error {
	page, _, err := l.blocks.Find(ctx, store.Query{Desc: true, Limit: healBlocks})
	if err != nil {
		return fmt.Errorf("read the latest audit blocks: %w", err)
	}
	for _, b := range page {
		if len(b.Sums) != len(b.Entries) {
			continue // tampered with: for verify to name
		}
		if _, err := l.rows.InsertAll(ctx, b.rows()); err != nil {
			return fmt.Errorf("complete the audit index: %w", err)
		}
	}
	return nil
}

// Of returns who did what concerning a resident, newest first.
// Errors: [store.ErrCursor].
func (l *Log) Of(ctx context.Context, subject string, after string, limit int) (page []Entry, next string, err error) {
	return l.read(ctx, store.Query{Index: "subject", Equal: []any{subject}, After: after, Limit: limit, Desc: true})
}

// Recent returns everything, newest first. Errors: [store.ErrCursor].
func (l *Log) Recent(ctx context.Context, after string, limit int) (page []Entry, next string, err error) {
	return l.read(ctx, store.Query{After: after, Limit: limit, Desc: true})
}

// read answers from the blocks what the index finds.
func (l *Log) read(ctx context.Context, q store.Query) (page []Entry, next string, err error) {
	rows, next, err := l.rows.Find(ctx, q)
	if err != nil {
		return nil, "", err
	}
	ids := make([]string, 0, len(rows))
	seen := make(map[string]bool, len(rows))
	for _, r := range rows {
		if id, _, ok := blockOfRow(r.ID); ok && !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	blocks, err := l.blocks.GetAll(ctx, ids)
	if err != nil {
		return nil, "", err
	}
	byID := make(map[string]*block, len(blocks))
	for _, b := range blocks {
		byID[b.ID] = b
	}
	page = make([]Entry, 0, len(rows))
	for _, r := range rows {
		id, position, ok := blockOfRow(r.ID)
		if b := byID[id]; ok && b != nil && position < len(b.Entries) {
			page = append(page, b.Entries[position])
		}
	}
	return page, next, nil
}
