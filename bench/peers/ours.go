package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/xingfuma/happycode/matching"
)

// ours is the matcher of Happiness Code, called in this process, without a
// record: the catalogue finds the candidates, one script holds.
type ours struct {
	url   string
	needs int

	client    redis.UniversalClient
	engine    *matching.Engine
	catalogue *matching.Catalogue
}

const oursCounty = "990099000000"

func (p *ours) name() string {
	if p.needs == 1 {
		return "ours"
	}
	return fmt.Sprintf("ours-%d", p.needs)
}

func (p *ours) what() string {
	return fmt.Sprintf("matching.Engine in-process, %d need(s) a call, caps and stock in one script", p.needs)
}

func (p *ours) perCall() int { return p.needs }
func (p *ours) raced() bool  { return p.needs == 1 }

func (p *ours) open(ctx context.Context, lots []lot) error {
	p.close()
	var err error
	if p.client, err = matching.Connect(ctx, p.url); err != nil {
		return err
	}
	if p.engine, err = matching.New(matching.Config{Redis: p.client, Logger: slog.New(slog.DiscardHandler)}); err != nil {
		return err
	}
	p.catalogue = matching.NewCatalogue()
	now := time.Now()
	var states []matching.LotState
	for _, l := range lots {
		p.catalogue.Put(matching.Offer{
			ID: "o-" + l.id, Version: 1, Category: l.category, Divisions: []string{oursCounty},
			Lots: []matching.Lot{{ID: l.id, County: oursCounty, FromMs: now.UnixMilli(), UntilMs: now.Add(24 * time.Hour).UnixMilli()}},
		})
		states = append(states, matching.LotState{ID: l.id, Category: l.category, FreeUnits: l.units})
	}
	return p.engine.Rebuild(ctx, oursCounty, func(context.Context) (matching.Snapshot, error) {
		return matching.Snapshot{Lots: states}, nil
	})
}

func (p *ours) serve(ctx context.Context, needs []need) ([]answer, error) {
	r := matching.Request{County: oursCounty, Household: needs[0].household, Asks: make([]matching.Ask, len(needs))}
	now := time.Now()
	person := matching.Person{Household: r.Household, Division: "990099001001", ScoreMilli: 500}
	for i, n := range needs {
		candidates, _ := p.catalogue.Candidates(oursCounty, n.category, person, now)
		open, _ := p.engine.Lines(oursCounty).Open(candidates, 1000)
		r.Asks[i] = matching.Ask{
			Need: n.id, Category: n.category, QtyUnits: 1, WeightMilli: 1000,
			Cap: matching.Cap{Field: "c:" + n.category, Period: "D20260101", Limit: 1}, Candidates: open,
		}
	}
	outcomes, err := p.engine.Match(ctx, r)
	if err != nil {
		return nil, err
	}
	answers := make([]answer, len(needs))
	for i, o := range outcomes {
		if len(o.Holds) > 0 {
			answers[i] = answer(o.Holds[0].Lot)
		}
	}
	return answers, nil
}

func (p *ours) close() {
	if p.client == nil {
		return
	}
	_ = p.engine.Forget(context.Background(), oursCounty) // best effort: the Redis is the run's own
	_ = p.client.Close()
	p.client = nil
}
