package simulate_test

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/matching/simulate"
)

func TestProto(t *testing.T) {
	f, _ := os.Open(os.Getenv("SC"))
	s, err := simulate.Load(f)
	if err != nil {
		t.Fatal(err)
	}
	e, err := matching.StartEmbedded("")
	if err != nil {
		t.Fatal(err)
	}
	c, err := matching.Connect(t.Context(), e.URL())
	if err != nil {
		t.Fatal(err)
	}
	res := 1.4
	fmt.Sscan(os.Getenv("RES"), &res)
	rows, err := simulate.Run(t.Context(), s, simulate.Config{Policy: simulate.Policy(os.Getenv("POLICY")), Redis: c, Reserve: res})
	if err != nil {
		t.Fatal(err)
	}
	out, _ := json.Marshal(map[string]any{"allocations": rows})
	os.WriteFile(os.Getenv("OUT"), out, 0o644)
}
