package matching

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

//go:embed lua/*.lua
var sources embed.FS

// scripts are the verbs, by the name of their file.
type scripts map[string]*redis.Script

func loadScripts() (scripts, error) {
	files, err := sources.ReadDir("lua")
	if err != nil {
		return nil, fmt.Errorf("read scripts: %w", err)
	}
	out := scripts{}
	for _, f := range files {
		src, err := sources.ReadFile("lua/" + f.Name())
		if err != nil {
			return nil, fmt.Errorf("read script %s: %w", f.Name(), err)
		}
		out[strings.TrimSuffix(f.Name(), ".lua")] = redis.NewScript(string(src))
	}
	return out, nil
}

// layout begins the name of every generation. It changes with the form in which
// Redis keeps things: what another version of the program has written is none
// of ours, and the county is rebuilt.
const layout = "3-"

// ours is the generation, or "" where another version wrote it.
func ours(gen string) string {
	if !strings.HasPrefix(gen, layout) {
		return ""
	}
	return gen
}

// Gen returns the county's generation, from memory when it is known there.
func (e *Engine) generation(ctx context.Context, county string) (string, error) {
	if gen, ok := e.gens.Load(county); ok {
		return gen.(string), nil
	}
	var gen string
	err := e.ask(ctx, county, func() (err error) {
		gen, err = e.redis.Get(ctx, shardKey(county, "gen")).Result()
		return err
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return "", fmt.Errorf("county %s: %w", county, err)
	}
	if ours(gen) == "" {
		return "", fmt.Errorf("county %s: %w", county, ErrNotReady)
	}
	e.gens.Store(county, gen)
	return gen, nil
}

// learn takes the generation that a reply named; "", or one that is not ours,
// means none.
func (e *Engine) learn(county, gen string) error {
	if ours(gen) == "" {
		e.gens.Delete(county)
		return fmt.Errorf("county %s: %w", county, ErrNotReady)
	}
	e.gens.Store(county, gen)
	return nil
}

// tries is how often a call follows a change of generation before it gives up.
const tries = 3

// run calls a script on the county's current generation and returns what
// follows "ok" in its reply. args come after the generation.
//
// Errors: [ErrNotReady], [ErrUnavailable]; anything else is Redis, and safe to
// retry.
func (e *Engine) run(ctx context.Context, county, name string, keys func(shard) []string, args []any) ([]any, error) {
	if err := checkCounty(county); err != nil {
		return nil, err
	}
	for range tries {
		gen, err := e.generation(ctx, county)
		if err != nil {
			return nil, err
		}
		argv := append([]any{gen}, args...)
		var reply []any
		if err := e.ask(ctx, county, func() (err error) {
			reply, err = e.eval(ctx, county, name, keys(shard{county, gen}), argv)
			return err
		}); err != nil {
			return nil, fmt.Errorf("%s in county %s: %w", name, county, err)
		}
		if text(reply[0]) == "ok" {
			return reply[1:], nil
		}
		if err := e.learn(county, text(reply[1])); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("county %s: %w", county, ErrNotReady)
}

// read runs commands in one transaction on the county's current generation.
// ask is called again when the generation has changed.
//
// Errors: [ErrNotReady], [ErrUnavailable]; anything else is Redis, and safe to
// retry.
func (e *Engine) read(ctx context.Context, county string, ask func(redis.Pipeliner, shard)) error {
	if err := checkCounty(county); err != nil {
		return err
	}
	for range tries {
		gen, err := e.generation(ctx, county)
		if err != nil {
			return err
		}
		var current *redis.StringCmd
		err = e.ask(ctx, county, func() error {
			_, err := e.redis.TxPipelined(ctx, func(p redis.Pipeliner) error {
				current = p.Get(ctx, shardKey(county, "gen"))
				ask(p, shard{county, gen})
				return nil
			})
			return err
		})
		if err != nil && !errors.Is(err, redis.Nil) {
			return fmt.Errorf("read county %s: %w", county, err)
		}
		if current.Val() == gen {
			return nil
		}
		if err := e.learn(county, current.Val()); err != nil {
			return err
		}
	}
	return fmt.Errorf("county %s: %w", county, ErrNotReady)
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

func number(v any) int64 {
	n, _ := v.(int64)
	return n
}
