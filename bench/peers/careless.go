package main

import (
	"context"
	"strconv"

	"github.com/redis/go-redis/v9"
)

// careless reads the stock and the household's cap, decides, and writes: two
// round trips to the same Redis with nothing between them that keeps others
// out. It shows what goes wrong, and how fast it is at that.
type careless struct {
	url    string
	client *redis.Client
	lots   map[string][]string // by category
}

const (
	carelessStock = "careless:stock"
	carelessCaps  = "careless:caps"
	carelessGiven = "careless:given"
)

func (p *careless) name() string { return "careless" }
func (p *careless) what() string { return "reads, decides, writes on the same Redis; not atomic" }
func (p *careless) perCall() int { return 1 }
func (p *careless) raced() bool  { return true }

func (p *careless) open(ctx context.Context, lots []lot) error {
	p.close()
	var err error
	if p.client, err = connect(p.url, 64); err != nil {
		return err
	}
	p.lots = map[string][]string{}
	pipe := p.client.Pipeline()
	pipe.Del(ctx, carelessStock, carelessCaps, carelessGiven)
	for _, l := range lots {
		p.lots[l.category] = append(p.lots[l.category], l.id)
		pipe.HSet(ctx, carelessStock, l.id, l.units)
	}
	_, err = pipe.Exec(ctx)
	return err
}

func (p *careless) serve(ctx context.Context, needs []need) ([]answer, error) {
	n := needs[0]
	lots, capped := p.lots[n.category], n.household+"|"+n.category
	read := p.client.Pipeline()
	stock, cap := read.HMGet(ctx, carelessStock, lots...), read.HExists(ctx, carelessCaps, capped)
	if _, err := read.Exec(ctx); err != nil {
		return nil, err
	}
	if cap.Val() {
		return []answer{""}, nil
	}
	for i, v := range stock.Val() {
		text, _ := v.(string)
		free, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, err
		}
		if free <= 0 {
			continue
		}
		write := p.client.Pipeline()
		write.HSet(ctx, carelessStock, lots[i], free-1)
		write.HSet(ctx, carelessCaps, capped, 1)
		write.HSet(ctx, carelessGiven, n.id, lots[i])
		_, err = write.Exec(ctx)
		return []answer{answer(lots[i])}, err
	}
	return []answer{""}, nil
}

func (p *careless) close() {
	if p.client == nil {
		return
	}
	_ = p.client.Del(context.Background(), carelessStock, carelessCaps, carelessGiven).Err() // best effort
	_ = p.client.Close()
	p.client = nil
}
