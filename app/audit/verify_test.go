package audit

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/xingfuma/happycode/app/store"
)

// tampered writes five blocks of three entries each, lets tamper change the
// record behind the log's back, and verifies.
func tampered(t *testing.T, tamper func(ctx context.Context, x *intruder)) (*Log, Report) {
	t.Helper()
	ctx := t.Context()
	record := openRecord(t)
	writer := openLog(t, record, now)
	for b := range 5 {
		var entries []Entry
		for i := range 3 {
			entries = append(entries, entry(fmt.Sprintf("e%d.%d", b+1, i), fmt.Sprintf("r%d", i)))
		}
		if err := writer.Write(ctx, entries...); err != nil {
			t.Fatal(err)
		}
	}
	l := openLog(t, record, later)
	before := verify(t, l)
	if before.Blocks != 5 || before.Entries != 15 || len(before.Faults) != 0 || before.HeadSequence != 5 || before.HeadHash == "" {
		t.Fatalf("before: %+v", before)
	}
	tamper(ctx, &intruder{t, l})
	return l, verify(t, l)
}

// intruder has the database's password.
type intruder struct {
	t *testing.T
	l *Log
}

func (x *intruder) block(ctx context.Context, sequence int64, alter func(*block)) {
	x.t.Helper()
	if _, err := x.l.blocks.Change(ctx, blockID(sequence), func(b *block) error {
		alter(b)
		return nil
	}); err != nil {
		x.t.Fatal(err)
	}
}

func (x *intruder) row(ctx context.Context, id string, alter func(*row)) {
	x.t.Helper()
	if _, err := x.l.rows.Change(ctx, id, func(r *row) error {
		alter(r)
		return nil
	}); err != nil {
		x.t.Fatal(err)
	}
}

func (x *intruder) check(err error) {
	x.t.Helper()
	if err != nil {
		x.t.Fatal(err)
	}
}

// mend makes a block's own hashes right again.
func mend(sequence int64) func(*block) {
	return func(b *block) {
		b.Sums = make([]string, len(b.Entries))
		for i, e := range b.Entries {
			b.Sums[i] = e.sum(sequence, i)
		}
		b.Hash = b.sum(sequence)
	}
}

func TestVerifyNamesWhatWasTamperedWith(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		tamper func(context.Context, *intruder)
		want   []Fault
	}{
		{"a block removed, rows and all", func(ctx context.Context, x *intruder) {
			x.check(x.l.blocks.Delete(ctx, blockID(3)))
			x.check(x.l.rows.Delete(ctx, rowID(blockID(3), 0), rowID(blockID(3), 1), rowID(blockID(3), 2)))
		}, []Fault{{Sequence: 3, What: BlockRemoved}}},

		{"a block removed, rows forgotten", func(ctx context.Context, x *intruder) {
			x.check(x.l.blocks.Delete(ctx, blockID(3)))
		}, []Fault{
			{Sequence: 3, What: BlockRemoved},
			{Sequence: 3, EntryID: "e3.0", What: RowWithout + ": 0000000000000003-0000"},
			{Sequence: 3, EntryID: "e3.1", What: RowWithout + ": 0000000000000003-0001"},
			{Sequence: 3, EntryID: "e3.2", What: RowWithout + ": 0000000000000003-0002"},
		}},

		{"the first block removed", func(ctx context.Context, x *intruder) {
			x.check(x.l.blocks.Delete(ctx, blockID(1)))
			x.check(x.l.rows.Delete(ctx, rowID(blockID(1), 0), rowID(blockID(1), 1), rowID(blockID(1), 2)))
		}, []Fault{{Sequence: 1, What: BlockRemoved}}},

		{"the last block removed, its rows forgotten", func(ctx context.Context, x *intruder) {
			x.check(x.l.blocks.Delete(ctx, blockID(5)))
		}, []Fault{
			{Sequence: 5, EntryID: "e5.0", What: RowWithout + ": 0000000000000005-0000"},
			{Sequence: 5, EntryID: "e5.1", What: RowWithout + ": 0000000000000005-0001"},
			{Sequence: 5, EntryID: "e5.2", What: RowWithout + ": 0000000000000005-0002"},
		}},

		{"an entry changed", func(ctx context.Context, x *intruder) {
			x.block(ctx, 2, func(b *block) { b.Entries[1].Actor = "a2" })
		}, []Fault{{Sequence: 2, EntryID: "e2.1", What: EntryChanged}}},

		{"an entry and its sum changed", func(ctx context.Context, x *intruder) {
			x.block(ctx, 2, func(b *block) {
				b.Entries[1].AtMs++
				b.Sums[1] = b.Entries[1].sum(2, 1)
			})
		}, []Fault{{Sequence: 2, What: BlockChanged}, {Sequence: 2, EntryID: "e2.1", What: RowChanged}}},

		{"an entry changed and its block's hashes mended", func(ctx context.Context, x *intruder) {
			x.block(ctx, 2, func(b *block) {
				b.Entries[1].Subject = "somebody else"
				mend(2)(b)
			})
		}, []Fault{{Sequence: 2, EntryID: "e2.1", What: RowChanged}, {Sequence: 3, What: ChainBroken}}},

		{"the whole chain rewritten", func(ctx context.Context, x *intruder) {
			prev := ""
			for s := int64(1); s <= 5; s++ {
				x.block(ctx, s, func(b *block) {
					if s == 2 {
						b.Entries[1].Outcome = "denied"
					}
					if s > 1 {
						b.Prev = prev
					}
					mend(s)(b)
					prev = b.Hash
				})
			}
		}, []Fault{{Sequence: 2, EntryID: "e2.1", What: RowChanged}}},

		{"entries exchanged", func(ctx context.Context, x *intruder) {
			x.block(ctx, 4, func(b *block) { b.Entries[0], b.Entries[2] = b.Entries[2], b.Entries[0] })
		}, []Fault{{Sequence: 4, EntryID: "e4.2", What: EntryMoved}, {Sequence: 4, EntryID: "e4.0", What: EntryMoved}}},

		{"an entry added at the end", func(ctx context.Context, x *intruder) {
			x.block(ctx, 4, func(b *block) { b.Entries = append(b.Entries, entry("new", "r1")) })
		}, []Fault{{Sequence: 4, EntryID: "new", What: EntryAdded}}},

		{"an entry added before others", func(ctx context.Context, x *intruder) {
			x.block(ctx, 4, func(b *block) { b.Entries = append([]Entry{entry("new", "r1")}, b.Entries...) })
		}, []Fault{
			{Sequence: 4, EntryID: "e4.0", What: EntryMoved}, {Sequence: 4, EntryID: "e4.1", What: EntryMoved},
			{Sequence: 4, EntryID: "e4.2", What: EntryMoved}, {Sequence: 4, EntryID: "new", What: EntryAdded},
		}},

		{"the last entry of a block removed", func(ctx context.Context, x *intruder) {
			x.block(ctx, 4, func(b *block) { b.Entries = b.Entries[:2] })
		}, []Fault{{Sequence: 4, EntryID: "e4.2", What: EntryRemoved}}},

		{"the first entry of a block removed", func(ctx context.Context, x *intruder) {
			x.block(ctx, 4, func(b *block) { b.Entries = b.Entries[1:] })
		}, []Fault{
			{Sequence: 4, EntryID: "e4.1", What: EntryMoved}, {Sequence: 4, EntryID: "e4.2", What: EntryMoved},
			{Sequence: 4, EntryID: "e4.0", What: EntryRemoved},
		}},

		{"an entry removed and the block's hashes mended", func(ctx context.Context, x *intruder) {
			x.block(ctx, 4, func(b *block) {
				b.Entries = b.Entries[:2]
				mend(4)(b)
			})
		}, []Fault{
			{Sequence: 5, What: ChainBroken},
			{Sequence: 4, EntryID: "e4.2", What: RowWithout + ": 0000000000000004-0002"},
		}},

		{"blocks exchanged", func(ctx context.Context, x *intruder) {
			var second, third block
			x.block(ctx, 2, func(b *block) { second = *b })
			x.block(ctx, 3, func(b *block) {
				third = *b
				b.Entries, b.Sums, b.Hash, b.Prev, b.Nonce = second.Entries, second.Sums, second.Hash, second.Prev, second.Nonce
			})
			x.block(ctx, 2, func(b *block) {
				b.Entries, b.Sums, b.Hash, b.Prev, b.Nonce = third.Entries, third.Sums, third.Hash, third.Prev, third.Nonce
			})
		}, []Fault{
			{Sequence: 2, What: BlockChanged}, {Sequence: 2, What: ChainBroken},
			{Sequence: 2, EntryID: "e3.0", What: EntryChanged}, {Sequence: 2, EntryID: "e3.1", What: EntryChanged}, {Sequence: 2, EntryID: "e3.2", What: EntryChanged},
			{Sequence: 2, EntryID: "e2.0", What: RowChanged}, {Sequence: 2, EntryID: "e2.1", What: RowChanged}, {Sequence: 2, EntryID: "e2.2", What: RowChanged},
			{Sequence: 3, What: BlockChanged}, {Sequence: 3, What: ChainBroken},
			{Sequence: 3, EntryID: "e2.0", What: EntryChanged}, {Sequence: 3, EntryID: "e2.1", What: EntryChanged}, {Sequence: 3, EntryID: "e2.2", What: EntryChanged},
			{Sequence: 3, EntryID: "e3.0", What: RowChanged}, {Sequence: 3, EntryID: "e3.1", What: RowChanged}, {Sequence: 3, EntryID: "e3.2", What: RowChanged},
			{Sequence: 4, What: ChainBroken},
		}},

		{"a block added under no number", func(ctx context.Context, x *intruder) {
			x.check(x.l.blocks.Insert(ctx, &block{Meta: store.Meta{ID: "0000000000000002b"}, Entries: []Entry{entry("new", "r1")}}))
		}, []Fault{{What: BlockForeign + ": 0000000000000002b"}}},

		{"a block added far ahead", func(ctx context.Context, x *intruder) {
			b := &block{Meta: store.Meta{ID: blockID(5000)}}
			mend(5000)(b)
			x.check(x.l.blocks.Insert(ctx, b))
		}, []Fault{{Sequence: 6, What: BlockRemoved + ", and 4993 more behind it"}}},

		{"the nonce of a block", func(ctx context.Context, x *intruder) {
			x.block(ctx, 1, func(b *block) { b.Nonce = "" })
		}, []Fault{{Sequence: 1, What: BlockChanged}}},

		{"the time of a block", func(ctx context.Context, x *intruder) {
			x.block(ctx, 1, func(b *block) { b.AtMs-- })
		}, []Fault{{Sequence: 1, What: BlockChanged}}},

		{"a row removed", func(ctx context.Context, x *intruder) {
			x.check(x.l.rows.Delete(ctx, rowID(blockID(2), 2)))
		}, []Fault{{Sequence: 2, EntryID: "e2.2", What: RowMissing, Repairable: true}}},

		{"a row that hides an entry from its subject", func(ctx context.Context, x *intruder) {
			x.row(ctx, rowID(blockID(2), 2), func(r *row) { r.Subject = "somebody else" })
		}, []Fault{{Sequence: 2, EntryID: "e2.2", What: RowChanged, Repairable: true}}},

		{"a row with another sum", func(ctx context.Context, x *intruder) {
			x.row(ctx, rowID(blockID(2), 2), func(r *row) { r.Sum = "" })
		}, []Fault{{Sequence: 2, EntryID: "e2.2", What: RowChanged}}},

		{"rows added", func(ctx context.Context, x *intruder) {
			for _, id := range []string{rowID(blockID(2), 3), "0000000000000001", "nonsense", rowID(blockID(9), 0)} {
				x.check(x.l.rows.Insert(ctx, &row{Meta: store.Meta{ID: id}, Entry: "new", Subject: "r1"}))
			}
		}, []Fault{
			{EntryID: "new", What: RowWithout + ": 0000000000000001"},
			{Sequence: 2, EntryID: "new", What: RowWithout + ": 0000000000000002-0003"},
			{Sequence: 9, EntryID: "new", What: RowWithout + ": 0000000000000009-0000"},
			{EntryID: "new", What: RowWithout + ": nonsense"},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, report := tampered(t, c.tamper)
			if diff := cmp.Diff(c.want, report.Faults); diff != "" {
				t.Fatal(diff)
			}
			damaged := len(c.want) > 1 || c.want[0].What != RowMissing
			if got := report.Damaged(); got != damaged {
				t.Errorf("damaged: got %v", got)
			}
		})
	}
}

// Every field of an entry is under the hash.
func TestEveryFieldIsHashed(t *testing.T) {
	t.Parallel()
	whole := entry("e", "r")
	whole.AtMs = 1
	sums := map[string]bool{whole.sum(1, 0): true, whole.sum(2, 0): true, whole.sum(1, 1): true}
	alter := []func(*Entry){
		func(e *Entry) { e.ID = "x" }, func(e *Entry) { e.AtMs = 2 }, func(e *Entry) { e.Actor = "x" },
		func(e *Entry) { e.Role = "x" }, func(e *Entry) { e.Act = "x" }, func(e *Entry) { e.Object = "x" },
		func(e *Entry) { e.Subject = "x" }, func(e *Entry) { e.Division = "x" }, func(e *Entry) { e.Purpose = "x" },
		func(e *Entry) { e.Outcome = "x" },
		func(e *Entry) { e.Actor, e.Role = e.Actor+e.Role, "" }, // what moves from one field to the next
	}
	for _, f := range alter {
		e := whole
		f(&e)
		sums[e.sum(1, 0)] = true
	}
	if got, want := len(sums), 3+len(alter); got != want {
		t.Fatalf("%d different sums, want %d", got, want)
	}
}

func TestRepairMendsTheIndexAndKeepsWitnesses(t *testing.T) {
	t.Parallel()
	l, _ := tampered(t, func(ctx context.Context, x *intruder) {
		x.check(x.l.rows.Delete(ctx, rowID(blockID(1), 0), rowID(blockID(5), 2)))
		x.row(ctx, rowID(blockID(2), 0), func(r *row) { r.Subject, r.Entry = "somebody else", "x" })
		x.row(ctx, rowID(blockID(3), 0), func(r *row) { r.Sum = "witness" })
		x.check(x.l.blocks.Delete(ctx, blockID(4)))
	})
	written, err := l.Repair(t.Context(), nil)
	if err != nil || written != 3 {
		t.Fatalf("wrote %d, %v", written, err)
	}
	want := []Fault{
		{Sequence: 3, EntryID: "e3.0", What: RowChanged},
		{Sequence: 4, What: BlockRemoved},
		{Sequence: 4, EntryID: "e4.0", What: RowWithout + ": 0000000000000004-0000"},
		{Sequence: 4, EntryID: "e4.1", What: RowWithout + ": 0000000000000004-0001"},
		{Sequence: 4, EntryID: "e4.2", What: RowWithout + ": 0000000000000004-0002"},
	}
	if diff := cmp.Diff(want, verify(t, l).Faults); diff != "" {
		t.Fatal(diff)
	}
	page, _, err := l.Of(t.Context(), "r0", "", 10)
	if err != nil || len(page) != 4 { // e4.0 is gone for good
		t.Fatalf("got %v, %v", page, err)
	}
}

func TestVerifyOfAnEmptyLogAndProgress(t *testing.T) {
	t.Parallel()
	l := openLog(t, openRecord(t), now)
	if diff := cmp.Diff(Report{}, verify(t, l)); diff != "" {
		t.Fatal(diff)
	}
	for range 3 {
		if err := l.Write(t.Context(), entry("", "r1")); err != nil {
			t.Fatal(err)
		}
	}
	var seen [][2]int
	if _, err := l.Verify(t.Context(), func(done, total int) { seen = append(seen, [2]int{done, total}) }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][2]int{{1, 3}, {2, 3}, {3, 3}}, seen); diff != "" {
		t.Fatal(diff)
	}
}

func BenchmarkWrite(b *testing.B) {
	l := openLog(b, openRecord(b), now)
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := l.Write(context.Background(), entry("", "r1")); err != nil {
				b.Error(err)
			}
		}
	})
}
