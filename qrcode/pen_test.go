package qrcode_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/xingfuma/happycode/qrcode"
)

// drawn is a symbol as text, to be compared.
func drawn(s qrcode.Symbol) string {
	path, _ := s.Path()
	return path
}

// A pen draws what skip2 draws, module for module, whatever the host is, with
// tokens of every kind: random, all zeros, all nines.
func TestPenDrawsWhatSkip2Draws(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		host  string
		level qrcode.Level
	}{
		{"h", qrcode.M}, {"http://127.0.0.1:8080", qrcode.M}, {host, qrcode.Q}, // versions 6, 7 and 9
		{strings.Repeat("h", 45), qrcode.Q}, {strings.Repeat("h", 150), qrcode.Q}, // too wide for a pen: drawn as ever
	} {
		t.Run(c.host, func(t *testing.T) {
			t.Parallel()
			pen := penOf(t, c.host, c.level)
			r := rand.New(rand.NewPCG(6, uint64(len(c.host))))
			for i := range 60 {
				token := qrcode.Token{Kind: qrcode.Kind(i % 2), Key: byte(r.Uint32()), Stamp: r.Uint32()}
				for j := range token.Code {
					token.Code[j] = byte(r.Uint32())
				}
				for j := range token.Signature {
					token.Signature[j] = byte(r.Uint32())
				}
				if i < 2 {
					token = qrcode.Token{Kind: qrcode.Kind(i)}
				}
				same(t, pen, qrcode.URL(c.host, token), c.level)
			}
			same(t, pen, "https://elsewhere.cn/c#"+strings.Repeat("7", qrcode.Digits), c.level)
			same(t, pen, qrcode.URL(c.host, qrcode.Token{})+"7", c.level)
			same(t, pen, strings.Replace(qrcode.URL(c.host, qrcode.Token{}), "#0", "#x", 1), c.level)
		})
	}
}

// A pen for hosts as they are draws by itself, not by asking skip2 each time:
// it needs a hundredth of the memory blocks.
func TestPenDrawsByItself(t *testing.T) {
	for _, c := range []struct {
		host  string
		level qrcode.Level
	}{{host, qrcode.Q}, {"h", qrcode.M}, {strings.Repeat("h", 45), qrcode.Q}} {
		pen := penOf(t, c.host, c.level)
		text := qrcode.URL(c.host, qrcode.Token{Stamp: 7})
		if blocks := testing.AllocsPerRun(10, func() { _, _ = pen.Encode(text) }); blocks > 100 {
			t.Errorf("%s, level %d: %.0f allocations for a code", c.host, c.level, blocks)
		}
	}
}

func TestPenRefuses(t *testing.T) {
	t.Parallel()
	if _, err := qrcode.NewPen(host, 7); !errors.Is(err, qrcode.ErrPicture) {
		t.Errorf("an unknown level: %v", err)
	}
	if _, err := qrcode.NewPen(strings.Repeat("h", 3000), qrcode.Q); !errors.Is(err, qrcode.ErrPicture) {
		t.Errorf("a host that fits into no code: %v", err)
	}
}

var pens sync.Map // of [penOf], by host and level

// penOf is the pen of a host, made once: that takes as long as 700 codes.
func penOf(t *testing.T, host string, level qrcode.Level) *qrcode.Pen {
	t.Helper()
	made, _ := pens.LoadOrStore(fmt.Sprint(host, level), sync.OnceValues(func() (*qrcode.Pen, error) { return qrcode.NewPen(host, level) }))
	pen, err := made.(func() (*qrcode.Pen, error))()
	if err != nil {
		t.Fatal(err)
	}
	return pen
}

func same(t *testing.T, pen *qrcode.Pen, text string, level qrcode.Level) {
	t.Helper()
	got, err := pen.Encode(text)
	if err != nil {
		t.Fatal(err)
	}
	want, err := qrcode.Encode(text, level)
	if err != nil {
		t.Fatal(err)
	}
	if drawn(got) != drawn(want) {
		t.Fatalf("level %d: the pen draws something else for %s", level, text)
	}
}
