package app

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/qrcode"
)

// guesser makes codes that nobody has: digits at random, tokens that are
// signed but nobody's, card numbers with the right check digit.
type guesser struct {
	t   *testing.T
	w   *world
	own *residents.Code // of somebody, for its key and date
}

func (w *world) guesser() guesser {
	code, err := w.app.Residents.CodeByID(w.t.Context(), w.person.Code)
	must(w.t, err)
	return guesser{w.t, w, code}
}

func (g guesser) digits(n int) string {
	v, err := rand.Int(rand.Reader, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil))
	must(g.t, err)
	return fmt.Sprintf("%0*d", n, v)
}

func (g guesser) signed() string {
	var id [10]byte
	_, _ = rand.Read(id[:])
	code := &residents.Code{IssuedMinute: g.own.IssuedMinute, SigningKey: g.own.SigningKey}
	code.ID = hex.EncodeToString(id[:])
	token, err := g.w.app.Residents.Token(g.t.Context(), code)
	must(g.t, err)
	return token.Digits()
}

// cardNumber is nobody's: eleven digits and their check digit.
func (g guesser) cardNumber() string {
	for {
		head := g.digits(11)
		for last := range 10 {
			if n := head + fmt.Sprint(last); qrcode.ValidCardNumber(n) && n != g.w.person.CardNo && n != g.w.other.CardNo {
				return n
			}
		}
	}
}

// code is the i-th guess, of each kind in turn.
func (g guesser) code(i int) string {
	switch i % 4 {
	case 0:
		return g.digits(qrcode.Digits)
	case 1:
		return g.cardNumber()
	}
	return g.signed()
}

// Enumeration of codes: whatever takes a code answers every wrong one in the
// same way, and after thirty of them not at all for a while, whatever the
// request says about where it comes from.
func TestEnumerationOfCodes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.stopClock()
	g := w.guesser()
	for _, name := range []string{"form", "find", "hand", "queue", "photo"} {
		w.account(name, accounts.Caseworker, county, "")
	}
	allocation := w.promised("grocery")
	photo := func(code string) (io.Reader, header) {
		picture, err := qrcode.PNG("https://xfm.example/c#"+code, qrcode.M, 300)
		must(t, err)
		body, kind := photoForm(t, picture)
		return body, header{"Content-Type", kind}
	}
	for _, door := range []struct {
		name   string
		code   func(i int) string
		try    func(code, from string) answer
		status int
		limit  Limit
		looked int    // how many are looked at: the clock moves on when they are refused
		more   int    // how many come after these, without waiting
		right  string // a code that is known
	}{
		{"POST /api/v1/allocations/:id/handover", g.code, func(code, from string) answer {
			return w.do("page hand", "POST", "/api/v1/allocations/"+allocation+"/handover", handoverRequest{Code: code}, header{"X-Forwarded-For", from})
		}, 422, LimitScan, 60, 20, w.digits(w.person)},
		{"POST /api/v1/scans", g.code, func(code, from string) answer {
			return w.do("caseworker", "POST", "/api/v1/scans", scanRequest{code}, header{"X-Forwarded-For", from})
		}, 404, LimitScan, 2_000, 8_000, w.digits(w.person)},
		{"POST /scan", g.code, func(code, from string) answer {
			return w.form("page form", "/scan", url.Values{"code": {code}}, from)
		}, 404, LimitScan, 60, 20, w.digits(w.person)},
		{"POST /api/v1/scans/handover", g.code, func(code, from string) answer {
			return w.do("page queue", "POST", "/api/v1/scans/handover", queueRequest{Code: code, Categories: []string{"legal"}}, header{"X-Forwarded-For", from})
		}, 404, LimitScan, 60, 20, w.digits(w.person)},
		{"POST /scan/photo", func(int) string { return g.signed() }, func(code, from string) answer {
			body, kind := photo(code)
			return w.do("page photo", "POST", "/scan/photo", body, kind, header{"X-Forwarded-For", from})
		}, 404, LimitScan, 60, 20, w.digits(w.person)},
		{"POST /residents/find", func(int) string { return g.cardNumber() }, func(code, from string) answer {
			return w.form("page find", "/residents/find", url.Values{"card": {code}}, from)
		}, 404, LimitScan, 60, 20, w.person.CardNo},
		{"POST /api/v1/residents/find", func(int) string { return g.cardNumber() }, func(code, from string) answer {
			return w.do("village caseworker", "POST", "/api/v1/residents/find", findRequest{CardNo: code}, header{"X-Forwarded-For", from})
		}, 404, LimitScan, 60, 20, w.person.CardNo},
		{"POST /api/v1/resident-sessions", g.code, func(code, from string) answer {
			return w.do("visitor", "POST", "/api/v1/resident-sessions", residentSigninRequest{code, "246813"}, header{"X-Forwarded-For", from})
		}, 401, LimitPIN, 60, 20, w.digits(w.person)},
		{"POST /api/v1/resident-sessions, a carer", func(int) string { return g.cardNumber() }, func(code, from string) answer {
			return w.do("visitor", "POST", "/api/v1/resident-sessions", residentSigninRequest{code, carerPIN}, header{"X-Forwarded-For", from})
		}, 401, LimitPIN, 60, 20, w.carer.CardNo},
		{"POST /signin", func(int) string { return g.cardNumber() }, func(code, from string) answer {
			return w.form("visitor", "/signin", url.Values{"username": {code}, "password": {"246813"}}, from)
		}, 401, LimitSignin, 60, 20, w.person.CardNo},
	} {
		t.Run(door.name, func(t *testing.T) {
			looked, run, n := 0, 0, 0
			var first, refusal []byte
			guess := func() answer {
				n++
				code := door.code(n)
				got := door.try(code, "203.0.113."+g.digits(2))
				got.body = bytes.ReplaceAll(got.body, []byte(code), []byte("CODE")) // a form keeps what was typed
				return got
			}
			for looked < door.looked {
				got := guess()
				switch got.status {
				case door.status:
					looked++
					if run++; run > int(allowanceOf(door.limit).failed) {
						t.Fatal("guessing is not slowed down")
					}
					if first == nil {
						first = got.body
					}
					if !bytes.Equal(got.body, first) {
						t.Fatalf("guess %d reads differently:\n%s\nthe first:\n%s", looked, got.body, first)
					}
				case 429:
					if run != int(allowanceOf(door.limit).failed) {
						t.Fatalf("%d guesses in a row were looked at", run)
					}
					if right := door.try(door.right, "198.51.100.7"); right.status != 429 {
						t.Fatalf("a guesser who happens on a code is let in: %d", right.status)
					}
					w.shift.Add(int64(2 * allowanceOf(door.limit).window))
					run = 0
				default:
					t.Fatalf("guess %d: %d %s", looked, got.status, got.body)
				}
			}
			w.shift.Add(int64(2 * allowanceOf(door.limit).window))
			for range int(allowanceOf(door.limit).failed) {
				guess()
			}
			for range door.more { // and it stays so, in the same words
				got := guess()
				if refusal == nil {
					refusal = got.body
				}
				if got.status != 429 || got.header.Get("Retry-After") == "" || !bytes.Equal(got.body, refusal) {
					t.Fatalf("after the limit: %d %s", got.status, got.body)
				}
			}
			w.shift.Add(int64(2 * allowanceOf(door.limit).window))
			if got := door.try(door.right, ""); got.status >= 400 {
				t.Errorf("a right code, after waiting: %d %s", got.status, got.body)
			}
		})
	}
}

// Reading a photo tells nothing of whose code it is, or whether it is
// anybody's: what is read is looked up elsewhere.
func TestPhotoOfNobodysCode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.guesser()
	for _, digits := range []string{w.digits(w.person), g.signed()} {
		body, kind := photoForm(t, photoOf(t, digits))
		var got photoView
		w.do("caseworker", "POST", "/api/v1/scans/photo", body, header{"Content-Type", kind}).into(t, &got)
		if got.Code != digits {
			t.Errorf("read %q", got.Code)
		}
	}
}

// Whoever tries PINs at handovers, of one person or of many, is stopped.
func TestPINGuessesAtHandover(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.stopClock()
	for _, name := range []string{"api", "form"} {
		w.account(name, accounts.Caseworker, county, "")
	}
	id := w.grant()
	for door, try := range map[string]func(pin string) answer{
		"API": func(pin string) answer {
			return w.do("page api", "POST", "/api/v1/allocations/"+id+"/handover", handoverRequest{PIN: pin})
		},
		"form": func(pin string) answer {
			return w.submit("page form", "/allocations/"+id+"/handover", url.Values{"pin": {pin}})
		},
	} {
		most := int(allowanceOf(LimitScan).failed)
		for i := range most {
			if got := try(fmt.Sprintf("%06d", i)); got.status != 422 {
				t.Fatalf("%s, guess %d: %d %.200s", door, i, got.status, got.body)
			}
		}
		if got := try("000999"); got.status != 429 {
			t.Errorf("%s, guess %d: %d", door, most, got.status)
		}
	}
}

// form sends a page's form with a header that says where it comes from.
func (w *world) form(actor, path string, values url.Values, from string) answer {
	w.t.Helper()
	if who := w.actors[actor]; who.csrf != "" {
		values.Set("csrf", who.csrf)
	}
	return w.do(actor, "POST", path, strings.NewReader(values.Encode()), header{"Content-Type", formType}, header{"X-CSRF-Token", ""}, header{"X-Forwarded-For", from})
}

// A stranger scans: the page is the same for every code, names nobody, sets no
// cookie and is kept nowhere; the log holds no digits, not even of somebody
// whose reader puts the code where it does not belong.
func TestStrangerScans(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	digits := w.digits(w.person)
	want := w.do("visitor", "GET", "/c", nil)
	for _, path := range []string{"/c", "/c?x=" + digits, "/c?" + w.person.CardNo} {
		for _, lang := range []string{"zh", "en"} {
			got := w.do("visitor", "GET", path, nil, header{"Accept-Language", lang}, header{"Cookie", "other=1"})
			if got.status != 200 || !bytes.Equal(got.body, want.body) {
				t.Errorf("%.12s… in %s: %d, another page", path, lang, got.status)
			}
			if len(got.header.Values("Set-Cookie")) != 0 || got.header.Get("Cache-Control") != "no-store" || got.header.Get("Referrer-Policy") != "same-origin" {
				t.Errorf("%.12s…: headers %v", path, got.header)
			}
		}
	}
	for _, name := range []string{canaryName, canaryID, canaryPhone, w.person.CardNo, w.person.ID} {
		if bytes.Contains(want.body, []byte(name)) {
			t.Errorf("the page says %q", name)
		}
	}
	if !bytes.Contains(want.body, []byte(`href="/report"`)) || !bytes.Contains(want.body, []byte(`lang="en"`)) {
		t.Error("the page does not offer to report a person in need, in both languages")
	}
	for _, path := range []string{"/c/" + digits, "/" + digits, "/report?" + digits, "/nothing?" + digits, "/api/v1/" + digits, "/api/v1/residents/" + digits, "/signin?next=/c/" + digits} {
		w.do("visitor", "GET", path, nil, header{"Referer", "https://example.com/c?" + digits})
	}
	w.do("caseworker", "GET", "/residents/"+digits, nil)
	w.do("visitor", "POST", "/api/v1/resident-sessions", residentSigninRequest{digits, "000000"})
	w.do("caseworker", "POST", "/api/v1/scans", scanRequest{digits})
	w.do("caseworker", "POST", "/api/v1/scans", scanRequest{"x" + digits})
	noDigitsOf(t, "the log", w.logs.String(), digits)
	if !strings.Contains(w.logs.String(), `"route":"/c"`) {
		t.Error("there is no access log")
	}
}

// noDigitsOf wants no part of a token of twelve digits or more in a text.
func noDigitsOf(t *testing.T, what, text, digits string) {
	t.Helper()
	for i := 0; i+12 <= len(digits); i++ {
		if strings.Contains(text, digits[i:i+12]) {
			t.Errorf("%s holds digits %d to %d of a code", what, i, i+12)
			return
		}
	}
}

var testName = regexp.MustCompile("`(Test\\w+)`")

// docs/threats.md names only tests that there are.
func TestThreatsNameTheirTests(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../docs/threats.md")
	must(t, err)
	there := map[string]bool{}
	must(t, filepath.WalkDir("..", func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllSubmatch(text, -1) {
			there[string(m[1])] = true
		}
		return nil
	}))
	named := testName.FindAllSubmatch(doc, -1)
	if len(named) < 20 {
		t.Errorf("only %d tests are named", len(named))
	}
	for _, m := range named {
		if !there[string(m[1])] {
			t.Errorf("docs/threats.md names %s, which is no test", m[1])
		}
	}
}
