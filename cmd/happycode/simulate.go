package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/matching/simulate"
)

type simulation struct {
	scenario, out, redis string
	policy               string
	every                time.Duration
	reserve              float64
}

func (p *program) simulate() *cobra.Command {
	var s simulation
	c := &cobra.Command{
		Use:   "simulate",
		Short: "用一份情景推演精准滴灌规则 / play a scenario through the matcher",
		Long: `把情景文件中的需求与资源按时间顺序交给真实的匹配引擎，在模拟时钟上推演一种发放规则，写出每一笔派发并给出数字。不读取、也不改动任何真实数据。

Plays the needs and resources of a scenario file, strictly in order, through the
real matcher on a simulated clock, writes what was promised and prints figures.
It reads and changes nothing of the record; on a Redis of your own (--redis) it
works beside the real counties and leaves nothing behind.`,
		Example: `  happycode simulate --scenario city.json --out drip.json
  happycode simulate --scenario city.json --out fcfs.json --policy fcfs`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.play(cmd.Context(), s) },
	}
	c.Flags().StringVar(&s.scenario, "scenario", "", "情景文件（JSON） / the scenario, JSON")
	c.Flags().StringVar(&s.out, "out", "", "派发结果写入此文件；默认不写 / write the allocations to this file; by default they are not written")
	c.Flags().StringVar(&s.policy, "policy", string(simulate.Drip), "发放规则：drip、even、priority、fcfs / rule of release")
	c.Flags().StringVar(&s.redis, "redis", "", "使用此 Redis；默认用内置的 / a Redis to use; by default the embedded one")
	c.Flags().DurationVar(&s.every, "every", 5*time.Minute, "多久重新规划一次 / how often the rule plans")
	c.Flags().Float64Var(&s.reserve, "reserve", simulate.DefaultReserve, "为预计的需求预留多少倍 / how many times the expected demand is reckoned with")
	_ = c.MarkFlagRequired("scenario") // the flag exists
	return c
}

func (p *program) play(ctx context.Context, s simulation) error {
	f, err := os.Open(s.scenario)
	if err != nil {
		return noFile(s.scenario, err)
	}
	defer f.Close()
	scenario, err := simulate.Load(f)
	if err != nil {
		return say("情景文件 "+s.scenario+" 有误，请按错误所指改正", "the scenario cannot be played; correct what is named", err)
	}
	if !slices.Contains(simulate.Policies(), simulate.Policy(s.policy)) {
		return say("没有名为 "+s.policy+" 的规则；请从 drip、even、priority、fcfs 中选择", "there is no such rule; choose one of drip, even, priority, fcfs", nil)
	}
	address := s.redis
	if address == "" {
		embedded, err := matching.StartEmbedded("")
		if err != nil {
			return err
		}
		defer embedded.Close()
		address = embedded.URL()
	}
	client, err := matching.Connect(ctx, address)
	if err != nil {
		return say("无法连接 Redis；请检查 --redis", "cannot reach that Redis; check --redis", err)
	}
	defer client.Close()
	bar := p.progress("推演 / simulating")
	allocations, err := simulate.Run(ctx, scenario, simulate.Config{
		Policy: simulate.Policy(s.policy), Redis: client, Every: s.every, Reserve: s.reserve,
		Progress: func(part float64) { bar.set(int(1000*part), 1000) },
	})
	bar.end()
	if err != nil {
		return err
	}
	if s.out != "" {
		if err := writeAllocations(s.out, allocations); err != nil {
			return say("无法写入 "+s.out, "the allocations cannot be written", err)
		}
	}
	return p.figures(simulate.Policy(s.policy), simulate.Judge(scenario, allocations))
}

// writeAllocations writes the file whole or not at all.
func writeAllocations(path string, allocations []simulate.Allocation) (err error) {
	f, err := os.CreateTemp(dirOf(path), ".simulate-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	err = json.NewEncoder(f).Encode(struct {
		Allocations []simulate.Allocation `json:"allocations"`
	}{allocations})
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func dirOf(path string) string {
	if i := strings.LastIndexByte(path, os.PathSeparator); i >= 0 {
		return path[:i+1]
	}
	return "."
}

func (p *program) figures(policy simulate.Policy, j simulate.Judgement) error {
	w := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	row := func(zh, en, format string, args ...any) {
		fmt.Fprintf(w, "%s\t%s\t"+format+"\n", append([]any{zh, en}, args...)...)
	}
	row("规则", "rule", "%s", policy)
	row("需求", "needs", "%d（重复 duplicates %d）", j.Needs, j.Duplicates)
	row("库存", "stock", "%d", j.StockUnits)
	row("已派发", "given", "%d（%.1f%%）", j.GivenUnits, 100*float64(j.GivenUnits)/float64(max(1, j.StockUnits)))
	row("满足程度", "asked units met", "%.1f%%", 100*j.Met)
	row("最困难五分之一", "neediest fifth met", "%.1f%%", 100*j.NeediestMet)
	row("一分钟内", "within a minute", "%.1f%%", 100*j.AtOnce)
	row("等待中位数", "median wait", "%.0f min", j.MedianWait)
	row("最困难者等待中位数", "median wait, neediest fifth", "%.0f min", j.NeediestMedianWait)
	return w.Flush()
}
