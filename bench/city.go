package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// City says how a prepared city is scanned. Its files lie in one folder:
//
//	city.json  this, with the tokens; only its owner reads it
//	codes      the digits of one card a line
//	next       how many of the codes earlier runs have scanned
type City struct {
	Residents int      `json:"residents"`
	Offers    int      `json:"offers"`
	Needs     int      `json:"needs"`  // of each resident
	Tokens    []string `json:"tokens"` // of the caseworkers who scan
	ExpiresMs int64    `json:"expires_ms"`

	dir   string
	codes []byte
	from  int // first code that was not scanned yet
}

const (
	cityName  = "city.json"
	codesName = "codes"
	nextName  = "next"
	codeLine  = 194 // 193 digits and the end of the line
)

// ErrCity says that a folder has no prepared city, or one that is not whole.
var ErrCity = errors.New("no prepared city")

// WriteCity writes the files of a city. Codes that runs of an earlier state of
// the city have scanned stay in front, so that no run scans them again; left is
// how many are still to be scanned. city.json comes last: with it, the city is
// whole.
func WriteCity(dir string, c City, codes []string) (left int, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, err
	}
	scanned, err := scannedIn(dir)
	if err != nil {
		return 0, err
	}
	front, rest := make([]string, 0, len(codes)), make([]string, 0, len(codes))
	for _, code := range codes {
		if scanned[code] {
			front = append(front, code)
		} else {
			rest = append(rest, code)
		}
	}
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return 0, err
	}
	if err := os.Remove(filepath.Join(dir, cityName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, err
	}
	for _, f := range []struct {
		name string
		text []byte
	}{
		{codesName, []byte(strings.Join(append(front, rest...), "\n") + "\n")},
		{nextName, []byte(strconv.Itoa(len(front)) + "\n")},
		{cityName, append(text, '\n')},
	} {
		if err := os.WriteFile(filepath.Join(dir, f.name), f.text, 0o600); err != nil {
			return 0, err
		}
	}
	return len(rest), nil
}

// scannedIn are the codes in a folder that runs have scanned; none where there
// is no whole city.
func scannedIn(dir string) (map[string]bool, error) {
	old, err := ReadCity(dir)
	if errors.Is(err, ErrCity) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	scanned := make(map[string]bool, old.from)
	for i := range min(old.from, old.Codes()) {
		scanned[string(old.code(i))] = true
	}
	return scanned, nil
}

// ReadCity reads what [WriteCity] wrote. Errors: [ErrCity], the system's.
func ReadCity(dir string) (*City, error) {
	c := &City{dir: dir}
	text, err := os.ReadFile(filepath.Join(dir, cityName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrCity
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, c); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrCity, cityName, err)
	}
	if c.codes, err = os.ReadFile(filepath.Join(dir, codesName)); err != nil {
		return nil, err
	}
	if len(c.Tokens) == 0 || len(c.codes) == 0 || len(c.codes)%codeLine != 0 {
		return nil, fmt.Errorf("%w: %s is not whole", ErrCity, codesName)
	}
	next, err := os.ReadFile(filepath.Join(dir, nextName))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if n, err := strconv.Atoi(string(bytes.TrimSpace(next))); err == nil {
		c.from = max(0, n)
	}
	return c, nil
}

// Codes is how many cards there are.
func (c *City) Codes() int { return len(c.codes) / codeLine }

// Left is how many cards no run has scanned yet.
func (c *City) Left() int { return max(0, c.Codes()-c.from) }

// code is the digits of card i.
func (c *City) code(i int) []byte { return c.codes[i*codeLine : i*codeLine+codeLine-1] }

// scanned notes that n more were scanned.
func (c *City) scanned(n int) error {
	c.from = min(c.Codes(), c.from+n)
	return os.WriteFile(filepath.Join(c.dir, nextName), []byte(strconv.Itoa(c.from)+"\n"), 0o600)
}
