// Package simulate plays a scenario, one or more days of a city, through the
// real matcher on a simulated clock, so that a rule can be judged before
// anybody depends on it.
package simulate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/xingfuma/happycode/matching"
)

// ErrScenario says that a file is not a scenario; the error names the place.
var ErrScenario = errors.New("not a scenario")

// Scenario is what happens. Times are minutes from the start.
type Scenario struct {
	Version    int                  `json:"version"`
	Start      string               `json:"start,omitempty"` // date of the first day, 2026-01-31; empty: a day like any other
	Seed       int64                `json:"seed"`
	Horizon    float64              `json:"horizon"` // the end, in minutes
	Delta      float64              `json:"delta"`   // part of the value that is lost at the end of somebody's patience
	Categories []Category           `json:"categories"`
	Regions    []string             `json:"regions"`
	Groups     []string             `json:"groups"`
	Resources  []Resource           `json:"resources"`
	Needs      []Need               `json:"needs"`    // by arrival
	Forecast   map[string][]float64 `json:"forecast"` // "category|region": units expected in each hour
	History    []Need               `json:"history"`  // of other days
}

// Category is a kind of aid and its rules.
type Category struct {
	Name string `json:"name"`
	Cap  int64  `json:"cap"` // units per resident and period of arrival
	// Period is the span over which the cap counts; empty: a day of the scenario.
	Period      matching.Period `json:"period,omitempty"`
	ClaimWindow float64         `json:"claim_window"` // minutes in which a further need of the same resident is a duplicate
}

// Resource is an offer.
type Resource struct {
	ID           string   `json:"id"`
	Provider     string   `json:"provider"`
	ProviderKind string   `json:"provider_kind"`
	Category     string   `json:"category"`
	Regions      []string `json:"regions"` // or "*"
	Groups       []string `json:"groups"`  // the resident is in at least one; empty: any
	MinMPI       float64  `json:"min_mpi"`
	// Cap is the offer's own, in units per resident and CapPeriod; 0: none.
	Cap       int64           `json:"cap,omitempty"`
	CapPeriod matching.Period `json:"cap_period,omitempty"`
	Lots      []Lot           `json:"lots"`
}

// Lot is a quantity of a resource. Nothing of it may be used or planned on
// before it is announced.
type Lot struct {
	Qty       int64   `json:"qty"`
	From      float64 `json:"from"`
	Until     float64 `json:"until"`
	Announced float64 `json:"announced"`
	Kept      *Kept   `json:"kept,omitempty"`
}

// Kept says for whom a lot is kept, until none of them is expected any more or
// its last moment has come.
type Kept struct {
	Group   string   `json:"group,omitempty"`   // empty: any
	Regions []string `json:"regions,omitempty"` // of one division; empty: anywhere
}

// Need is what somebody asks for.
type Need struct {
	ID       string   `json:"id"`
	Resident string   `json:"resident"` // whose caps count: a household's
	T        float64  `json:"t"`
	Deadline float64  `json:"deadline"`
	Category string   `json:"category"`
	Qty      int64    `json:"qty"`
	Urgency  int      `json:"urgency"`
	MPI      float64  `json:"mpi"` // multidimensional score, 0..1
	Region   string   `json:"region"`
	Groups   []string `json:"groups"`
	Weight   float64  `json:"weight"`
}

// Load reads a scenario and checks it. Errors: [ErrScenario].
func Load(r io.Reader) (*Scenario, error) {
	var s Scenario
	if err := json.NewDecoder(r).Decode(&s); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrScenario, err)
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrScenario, err)
	}
	return &s, nil
}

// maxHorizon is a month, in minutes.
const maxHorizon = 31 * dayMinutes

const dayMinutes = 24 * 60

func (s *Scenario) check() error {
	if s.Version != 1 {
		return fmt.Errorf("version %d: this program reads version 1", s.Version)
	}
	if !(s.Horizon > 0 && s.Horizon <= maxHorizon) {
		return fmt.Errorf("horizon %v: a period lasts up to %d minutes", s.Horizon, maxHorizon)
	}
	if _, err := s.midnight(); err != nil {
		return fmt.Errorf("start %q: a date such as 2026-01-31", s.Start)
	}
	if len(s.Categories) == 0 || len(s.Regions) == 0 || len(s.Needs) == 0 {
		return errors.New("categories, regions and needs may not be empty")
	}
	categories := map[string]bool{}
	for i, c := range s.Categories {
		if c.Name == "" || categories[c.Name] || c.Cap < 1 || c.ClaimWindow < 0 {
			return fmt.Errorf("categories[%d] %q: a name of its own, a cap of at least 1 and a claim window of at least 0", i, c.Name)
		}
		if c.Period != "" && !c.Period.Valid() {
			return fmt.Errorf("categories[%d] %q: the period is day, week, month, year or ever", i, c.Name)
		}
		categories[c.Name] = true
	}
	seen := map[string]bool{}
	for i, r := range s.Resources {
		if r.ID == "" || seen[r.ID] {
			return fmt.Errorf("resources[%d] %q: an id of its own", i, r.ID)
		}
		seen[r.ID] = true
		if !categories[r.Category] {
			return fmt.Errorf("resource %s: no category %q", r.ID, r.Category)
		}
		for _, region := range r.Regions {
			if region != "*" && !slices.Contains(s.Regions, region) {
				return fmt.Errorf("resource %s: no region %q", r.ID, region)
			}
		}
		if r.Cap < 0 || r.Cap > 0 && !r.CapPeriod.Valid() {
			return fmt.Errorf("resource %s: a cap of at least 0, and its period: day, week, month, year or ever", r.ID)
		}
		for k, l := range r.Lots {
			if l.Qty < 1 || !(l.From <= l.Until) {
				return fmt.Errorf("resource %s, lots[%d]: at least one unit, and from before until", r.ID, k)
			}
			if l.Kept == nil {
				continue
			}
			if l.Kept.Group == "" && len(l.Kept.Regions) == 0 {
				return fmt.Errorf("resource %s, lots[%d]: kept for a group or for regions", r.ID, k)
			}
			for _, region := range l.Kept.Regions {
				if !slices.Contains(s.Regions, region) {
					return fmt.Errorf("resource %s, lots[%d]: no region %q", r.ID, k, region)
				}
			}
		}
	}
	needs := map[string]bool{}
	for i := range s.Needs {
		n := &s.Needs[i]
		if n.ID == "" || needs[n.ID] {
			return fmt.Errorf("needs[%d] %q: an id of its own", i, n.ID)
		}
		needs[n.ID] = true
		if i > 0 && n.T < s.Needs[i-1].T {
			return fmt.Errorf("need %s: needs stand in the order of their arrival", n.ID)
		}
		if err := s.checkNeed(n, categories); err != nil {
			return fmt.Errorf("need %s: %w", n.ID, err)
		}
		if n.Deadline < n.T {
			return fmt.Errorf("need %s: at least its own arrival as deadline", n.ID)
		}
	}
	for i := range s.History {
		if err := s.checkNeed(&s.History[i], categories); err != nil {
			return fmt.Errorf("history[%d]: %w", i, err)
		}
	}
	return nil
}

// dayLike is when a scenario without a date begins.
var dayLike = time.Date(2026, 1, 1, 0, 0, 0, 0, cst)

// cst is China Standard Time.
var cst = time.FixedZone("CST", 8*60*60)

// midnight is when the first day begins.
func (s *Scenario) midnight() (time.Time, error) {
	if s.Start == "" {
		return dayLike, nil
	}
	return time.ParseInLocation(time.DateOnly, s.Start, cst)
}

func (s *Scenario) checkNeed(n *Need, categories map[string]bool) error {
	switch {
	case !categories[n.Category]:
		return fmt.Errorf("no category %q", n.Category)
	case !slices.Contains(s.Regions, n.Region):
		return fmt.Errorf("no region %q", n.Region)
	case n.Qty < 1:
		return errors.New("at least one unit")
	case !(n.Weight > 0) || math.IsInf(n.Weight, 0):
		return errors.New("a weight above 0")
	}
	return nil
}
