package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// ticks is the design of game matchmakers such as Open Match and
// castaneai/minimatch, written anew for this comparison and used here at its
// kindest: tickets wait in Redis, one matcher at a time takes the lock, fetches
// all that wait, decides in its own memory, and writes the assignments. It
// ticks without a pause, and callers learn of their assignment at once, where
// those poll. Stock and caps live in the matcher: whoever takes over after a
// crash knows neither.
type ticks struct {
	url    string
	client *redis.Client
	stop   context.CancelFunc
	done   chan struct{}

	stock map[string]int64 // by lot
	lots  map[string][]string
	caps  map[string]bool

	mu      sync.Mutex
	waiting map[string]chan answer
	fault   error
	woken   chan struct{}
}

const (
	ticksTicket, ticksIndex, ticksPending = "ticks:ticket:", "ticks:index", "ticks:pending"
	ticksAssigned, ticksLock              = "ticks:assignment:", "ticks:lock"
	ticksTTL                              = time.Minute
)

type ticket struct{ ID, Household, Category string }

func (p *ticks) name() string { return "ticks" }
func (p *ticks) what() string {
	return "tickets in Redis, one matcher per tick under a lock (Open Match's design, own code)"
}
func (p *ticks) perCall() int { return 1 }
func (p *ticks) raced() bool  { return true }

func (p *ticks) open(ctx context.Context, lots []lot) error {
	p.close()
	var err error
	if p.client, err = connect(p.url, 64); err != nil {
		return err
	}
	p.stock, p.lots, p.caps = map[string]int64{}, map[string][]string{}, map[string]bool{}
	p.waiting, p.fault, p.woken = map[string]chan answer{}, nil, make(chan struct{}, 1)
	for _, l := range lots {
		p.stock[l.id] = l.units
		p.lots[l.category] = append(p.lots[l.category], l.id)
	}
	if err := p.client.Del(ctx, ticksIndex, ticksPending, ticksLock).Err(); err != nil {
		return err
	}
	ctx, p.stop = context.WithCancel(ctx)
	p.done = make(chan struct{})
	go p.run(ctx)
	return nil
}

func (p *ticks) run(ctx context.Context) {
	defer close(p.done)
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.woken:
		}
		if err := p.tick(ctx); err != nil && ctx.Err() == nil {
			p.mu.Lock()
			p.fault = err
			for id, c := range p.waiting {
				close(c)
				delete(p.waiting, id)
			}
			p.mu.Unlock()
			return
		}
	}
}

func (p *ticks) serve(ctx context.Context, needs []need) ([]answer, error) {
	n := needs[0]
	text, err := json.Marshal(ticket{n.id, n.household, n.category})
	if err != nil {
		return nil, err
	}
	told := make(chan answer, 1)
	p.mu.Lock()
	p.waiting[n.id] = told
	p.mu.Unlock()
	create := p.client.Pipeline()
	create.Set(ctx, ticksTicket+n.id, text, ticksTTL)
	create.SAdd(ctx, ticksIndex, n.id)
	if _, err := create.Exec(ctx); err != nil {
		return nil, err
	}
	select {
	case p.woken <- struct{}{}:
	default:
	}
	select {
	case a, ok := <-told:
		if !ok {
			return nil, errors.Join(errors.New("the matcher ended"), p.fault)
		}
		return []answer{a}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// tick matches everything that waits.
func (p *ticks) tick(ctx context.Context) error {
	mine, err := p.client.SetNX(ctx, ticksLock, 1, 10*time.Second).Result()
	if err != nil || !mine {
		return errors.Join(err, errUnless(mine, "the lock is somebody else's"))
	}
	fetch := p.client.Pipeline()
	index, pending := fetch.SMembers(ctx, ticksIndex), fetch.ZRange(ctx, ticksPending, 0, -1)
	if _, err := fetch.Exec(ctx); err != nil {
		return err
	}
	taken := map[string]bool{}
	for _, id := range pending.Val() {
		taken[id] = true
	}
	var keys []string
	var ids []redis.Z
	for _, id := range index.Val() {
		if !taken[id] {
			keys = append(keys, ticksTicket+id)
			ids = append(ids, redis.Z{Score: float64(time.Now().Unix()), Member: id})
		}
	}
	if len(ids) == 0 {
		return p.client.Del(ctx, ticksLock).Err()
	}
	mark := p.client.Pipeline()
	mark.ZAdd(ctx, ticksPending, ids...)
	mark.Del(ctx, ticksLock)
	read := mark.MGet(ctx, keys...)
	if _, err := mark.Exec(ctx); err != nil {
		return err
	}
	answers := map[string]answer{}
	write := p.client.Pipeline()
	for _, v := range read.Val() {
		text, ok := v.(string)
		if !ok {
			continue // its time was over
		}
		var t ticket
		if err := json.Unmarshal([]byte(text), &t); err != nil {
			return err
		}
		a := p.match(t)
		answers[t.ID] = a
		write.Set(ctx, ticksAssigned+t.ID, string(a), ticksTTL)
		write.Del(ctx, ticksTicket+t.ID)
		write.SRem(ctx, ticksIndex, t.ID)
		write.ZRem(ctx, ticksPending, t.ID)
	}
	if _, err := write.Exec(ctx); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, a := range answers {
		p.waiting[id] <- a
		delete(p.waiting, id)
	}
	return nil
}

func (p *ticks) match(t ticket) answer {
	if capped := t.Household + "|" + t.Category; !p.caps[capped] {
		for _, lot := range p.lots[t.Category] {
			if p.stock[lot] > 0 {
				p.stock[lot]--
				p.caps[capped] = true
				return answer(lot)
			}
		}
	}
	return ""
}

func errUnless(ok bool, what string) error {
	if ok {
		return nil
	}
	return fmt.Errorf("ticks: %s", what)
}

func (p *ticks) close() {
	if p.client == nil {
		return
	}
	p.stop()
	<-p.done
	_ = p.client.Close()
	p.client = nil
}
