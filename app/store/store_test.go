package store_test

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/xingfuma/happycode/app/store"
)

func FuzzDecodeCursor(f *testing.F) {
	f.Add("")
	f.Add("???")
	f.Add(store.EncodeCursor(nil, "id"))
	f.Add(store.EncodeCursor([]any{"+county", "330502000000", int64(math.MinInt64), true, "幸福"}, "p1"))
	f.Add("eyJrIjpbMS41XSwiaSI6IngifQ")
	f.Add("eyJrIjpbeyIkbmUiOm51bGx9XSwiaSI6IngifQ")
	f.Add("eyJrIjpbOTIyMzM3MjAzNjg1NDc3NTgwOF0sImkiOiJ4In0")
	f.Fuzz(func(t *testing.T, s string) {
		values, id, err := store.DecodeCursor(s)
		if err != nil {
			if !errors.Is(err, store.ErrCursor) {
				t.Fatalf("got %v, want ErrCursor", err)
			}
			return
		}
		if id == "" {
			t.Fatal("no id")
		}
		for _, v := range values {
			switch v.(type) {
			case string, int64, bool:
			default:
				t.Fatalf("a %T", v)
			}
		}
		again, same, err := store.DecodeCursor(store.EncodeCursor(values, id))
		if err != nil || same != id || len(values) != len(again) || !slices.Equal(again, values) {
			t.Fatalf("%v, %q became %v, %q, %v", values, id, again, same, err)
		}
	})
}

type good struct {
	store.Meta `bson:",inline"`

	County string `json:"county"`
	AtMs   int64  `json:"at_ms"`
	Done   bool   `json:"done"`
}

type omits struct {
	store.Meta `bson:",inline"`

	County string `json:"county,omitempty"`
}

type points struct {
	store.Meta `bson:",inline"`

	County *string `json:"county"`
}

type other struct {
	store.Meta `bson:",inline"`

	County float64 `json:"county"`
}

type lacks struct {
	store.Meta `bson:",inline"`

	County string
}

type nested struct {
	store.Meta

	County string `json:"county"`
}

func TestFits(t *testing.T) {
	t.Parallel()
	s := store.Schema{Name: "needs", Indexes: []store.Index{{Name: "county", Fields: []string{"county"}}}}
	if err := s.Fits(reflect.TypeFor[*good]()); err != nil {
		t.Error(err)
	}
	for _, kind := range []reflect.Type{reflect.TypeFor[*omits](), reflect.TypeFor[*points](), reflect.TypeFor[*other](), reflect.TypeFor[*lacks](), reflect.TypeFor[*nested]()} {
		if err := s.Fits(kind); !errors.Is(err, store.ErrDocument) {
			t.Errorf("%s: got %v, want ErrDocument", kind, err)
		}
	}
}

func TestNewIDSortsByTime(t *testing.T) {
	t.Parallel()
	last := ""
	for range 10000 {
		id := store.NewID()
		if strings.Compare(id, last) <= 0 {
			t.Fatalf("%s after %s", id, last)
		}
		last = id
	}
}
