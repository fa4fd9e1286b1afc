package mongo

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/xingfuma/happycode/app/store"
)

func needs() store.Schema {
	return store.Schema{Name: "needs", Indexes: []store.Index{
		{Name: "state", Fields: []string{"county", "state", "created_ms"}},
		{Name: "claim", Fields: []string{"household", "ordinal"}, Unique: true},
	}}
}

// TestSelection pins the filters, because the stand-in of the other tests has
// no index that a bad one would miss.
func TestSelection(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		query        store.Query
		filter, sort string
	}{
		"equal": {
			store.Query{Index: "state", Equal: []any{"330502000000", "open"}},
			`{"county":"330502000000","state":"open"}`,
			`{"created_ms":{"$numberInt":"1"},"_id":{"$numberInt":"1"}}`,
		},
		"range, resumed": {
			store.Query{Index: "state", Equal: []any{"c", "open"}, From: 5, After: store.EncodeCursor([]any{"+state", 7}, "n1")},
			`{"county":"c","state":"open","$and":[{"created_ms":{"$gte":{"$numberLong":"5"}}},{"created_ms":{"$gte":{"$numberLong":"7"}}},` +
				`{"$or":[{"created_ms":{"$gt":{"$numberLong":"7"}}},{"created_ms":{"$numberLong":"7"},"_id":{"$gt":"n1"}}]}]}`,
			`{"created_ms":{"$numberInt":"1"},"_id":{"$numberInt":"1"}}`,
		},
		"downwards, resumed": {
			store.Query{Index: "state", Equal: []any{"c"}, Desc: true, After: store.EncodeCursor([]any{"-state", "open", 7}, "n1")},
			`{"county":"c","$and":[{"state":{"$lte":"open"}},{"$or":[{"state":{"$lt":"open"}},{"state":"open","created_ms":{"$lt":{"$numberLong":"7"}}},` +
				`{"state":"open","created_ms":{"$numberLong":"7"},"_id":{"$lt":"n1"}}]}]}`,
			`{"state":{"$numberInt":"-1"},"created_ms":{"$numberInt":"-1"},"_id":{"$numberInt":"-1"}}`,
		},
		"unique": {
			store.Query{Index: "claim", Equal: []any{"h1"}},
			`{"household":"h1"}`,
			`{"ordinal":{"$numberInt":"1"}}`,
		},
		"ids": {
			store.Query{To: "m"},
			`{"$and":[{"_id":{"$lt":"m"}}]}`,
			`{"_id":{"$numberInt":"1"}}`,
		},
	} {
		p, err := needs().Plan(c.query)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		filter, sort := selection(p)
		if got := text(t, filter); got != c.filter {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.filter)
		}
		if got := text(t, sort); got != c.sort {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.sort)
		}
	}
}

func text(t *testing.T, d bson.D) string {
	t.Helper()
	b, err := bson.MarshalExtJSON(d, true, false)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestViolated reads the refusals of a real server, which name the index by
// its fields; the stand-in's do not.
func TestViolated(t *testing.T) {
	t.Parallel()
	for want, pattern := range map[string]bson.D{
		"":      {{Key: "_id", Value: 1}},
		"claim": {{Key: "household", Value: 1}, {Key: "ordinal", Value: 1}},
	} {
		refusal, err := bson.Marshal(bson.D{{Key: "index", Value: 0}, {Key: "code", Value: duplicateKey}, {Key: "keyPattern", Value: pattern}})
		if err != nil {
			t.Fatal(err)
		}
		got, err := new(Record).violated(t.Context(), &collection{Schema: needs()}, nil, refusal)
		if err != nil || got != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
}

// TestSilentServer meets a server that takes connections and says nothing.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, "mongodb://"+l.Addr().String()+"/happycode"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want context.DeadlineExceeded", err)
	}
	if _, err := Open(t.Context(), "postgres://localhost/x"); err == nil {
		t.Error("a URI of another database was taken")
	}
}
