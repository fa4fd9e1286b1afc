package simulate_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/matching/redistest"
	"github.com/xingfuma/happycode/matching/simulate"
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }

func connect(t *testing.T, url string) redis.UniversalClient {
	t.Helper()
	client, err := matching.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func play(t *testing.T, client redis.UniversalClient, s *simulate.Scenario, p simulate.Policy) []simulate.Allocation {
	t.Helper()
	out, err := simulate.Run(t.Context(), s, simulate.Config{Policy: p, Redis: client})
	if err != nil {
		t.Fatalf("%s: %v", p, err)
	}
	return out
}

func keys(t *testing.T, client redis.UniversalClient) []string {
	t.Helper()
	all, err := client.Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestNoPolicyBreaksARule(t *testing.T) {
	t.Parallel()
	client := connect(t, redistest.Embedded(t))
	for _, days := range []int{1, 3} {
		s := town(uint64(days), days)
		for _, p := range simulate.Policies() {
			out := play(t, client, s, p)
			if len(out) < 100*days {
				t.Errorf("%s, %d days: %d allocations; the town is too small to say anything", p, days, len(out))
			}
			for _, b := range breaches(s, out) {
				t.Errorf("%s, %d days: %s", p, days, b)
			}
		}
	}
	if left := keys(t, client); len(left) > 0 {
		t.Errorf("%d keys are left behind, such as %s", len(left), left[0])
	}
}

func TestDripServesTheNeediest(t *testing.T) {
	t.Parallel()
	client := connect(t, redistest.Embedded(t))
	var drip, fcfs float64
	for seed := range uint64(3) {
		s := town(10+seed, 1)
		drip += simulate.Judge(s, play(t, client, s, simulate.Drip)).NeediestMet / 3
		fcfs += simulate.Judge(s, play(t, client, s, simulate.FCFS)).NeediestMet / 3
	}
	if drip < fcfs+0.1 {
		t.Errorf("the neediest fifth got %.2f of what they asked for by need lines, %.2f first come, first served", drip, fcfs)
	}
}

// A lot of four weeks for half of what is asked for in that time, which is more
// than any one week asks for, serves the neediest until its last day.
func TestALotOfWeeksServesTheNeediestOnEachDay(t *testing.T) {
	t.Parallel()
	const days = 28
	s := &simulate.Scenario{
		Version: 1, Horizon: days * 1440, Delta: 0.3, Categories: []simulate.Category{{Name: "grocery", Cap: 1, ClaimWindow: 60}},
		Regions: []string{"east"},
	}
	r := rand.New(rand.NewPCG(28, 1))
	need := func(id string, t float64) simulate.Need {
		mpi := math.Round(10_000*r.Float64()) / 10_000
		return simulate.Need{
			ID: id, Resident: "p" + id, T: t, Deadline: t + 480, Category: "grocery", Qty: 1, Urgency: 1, MPI: mpi, Region: "east", Weight: 0.25 + mpi,
		}
	}
	for i := range 40 * days {
		s.Needs = append(s.Needs, need(fmt.Sprintf("n%04d", i), float64(i)*36+0.5))
	}
	for i := range 80 {
		s.History = append(s.History, need(fmt.Sprintf("h%04d", i), float64(i)*36))
	}
	s.Resources = []simulate.Resource{{ID: "stock", Category: "grocery", Regions: []string{"*"}, Lots: []simulate.Lot{{Qty: 20 * days, Until: days * 1440}}}}
	out, err := simulate.Run(t.Context(), s, simulate.Config{Policy: simulate.Drip, Redis: connect(t, redistest.Embedded(t)), Every: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range breaches(s, out) {
		t.Error(b)
	}
	var given, needy, met [days]int
	for _, o := range simulate.Outcomes(s, out) {
		day := int(o.T) / 1440
		given[day] += int(o.Given)
		if o.Band == simulate.Bands-1 {
			needy[day]++
			met[day] += int(o.Given)
		}
	}
	for day := range days {
		if met[day] < needy[day]-1 { // one may be a matter of chance
			t.Errorf("day %d: of the neediest fifth there came and were served\n%v\n%v\nof all were served\n%v", day+1, needy, met, given)
			break
		}
	}
}

func TestTheSameScenarioPlaysTheSame(t *testing.T) {
	t.Parallel()
	client := connect(t, redistest.Embedded(t))
	s := town(4, 1)
	if diff := cmp.Diff(play(t, client, s, simulate.Drip), play(t, client, s, simulate.Drip)); diff != "" {
		t.Errorf("played twice:\n%s", diff)
	}
}

// What is drawn for later may not change what was decided before.
func TestTheFutureIsUnknown(t *testing.T) {
	t.Parallel()
	client := connect(t, redistest.Embedded(t))
	whole, cut := town(5, 1), town(5, 1)
	const noon = 720
	for i := range cut.Needs {
		if cut.Needs[i].T > noon {
			cut.Needs[i].Weight, cut.Needs[i].Qty = 4, 3
		}
	}
	for i := range cut.Resources {
		for k := range cut.Resources[i].Lots {
			if l := &cut.Resources[i].Lots[k]; l.Announced > noon {
				l.Qty *= 5
			}
		}
	}
	morning := func(s *simulate.Scenario) (out []simulate.Allocation) {
		for _, a := range play(t, client, s, simulate.Drip) {
			if a.T <= noon {
				out = append(out, a)
			}
		}
		return out
	}
	if diff := cmp.Diff(morning(whole), morning(cut)); diff != "" {
		t.Errorf("the morning knows the afternoon:\n%s", diff)
	}
}

func TestRunStops(t *testing.T) {
	t.Parallel()
	client := connect(t, redistest.Embedded(t))
	ctx, stop := context.WithCancel(t.Context())
	_, err := simulate.Run(ctx, town(6, 1), simulate.Config{Policy: simulate.Drip, Redis: client, Progress: func(part float64) {
		if part > 0.5 {
			stop()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("stopped half way: got %v, want context.Canceled", err)
	}
	if left := keys(t, client); len(left) > 0 {
		t.Errorf("%d keys are left behind, such as %s", len(left), left[0])
	}
}

func TestProgressAndStates(t *testing.T) {
	t.Parallel()
	client := connect(t, redistest.Embedded(t))
	last, states := 0.0, 0
	_, err := simulate.Run(t.Context(), town(7, 1), simulate.Config{
		Policy: simulate.Drip, Redis: client, Every: time.Hour,
		Progress: func(part float64) {
			if part < last || part > 1 {
				t.Errorf("progress %v after %v", part, last)
			}
			last = part
		},
		Watch: func(s simulate.State) {
			states++
			for _, l := range s.Lines {
				if l.Free < 0 || l.Weight < 0 || l.Category == "" {
					t.Errorf("minute %v: %+v", s.T, l)
				}
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if last < 0.9 || states < 24 {
		t.Errorf("progress ended at %v, %d states; want the whole day, and a state an hour at least", last, states)
	}
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	client := connect(t, redistest.Embedded(t))
	s := town(8, 1)
	if _, err := simulate.Run(t.Context(), s, simulate.Config{Policy: "luck", Redis: client}); !errors.Is(err, simulate.ErrPolicy) {
		t.Errorf("an unknown policy: got %v, want ErrPolicy", err)
	}
	for _, c := range []simulate.Config{{Every: time.Second}, {Every: 7 * time.Hour}, {Reserve: 0.01}, {Reserve: 11}} {
		c.Policy, c.Redis = simulate.Drip, client
		if _, err := simulate.Run(t.Context(), s, c); err == nil {
			t.Errorf("every %s, reserve %v: no error", c.Every, c.Reserve)
		}
	}
}
