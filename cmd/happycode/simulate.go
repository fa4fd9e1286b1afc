package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/matching/simulate"
	"github.com/xingfuma/happycode/matching/simulate/report"
	"github.com/xingfuma/happycode/providers"
)

// simulation is the command line of simulate.
type simulation struct {
	scenario, out, redis, policy string
	report, scenarioOut          string
	fromRecord                   bool
	county                       string
	days                         int
	every                        time.Duration
	reserve                      float64
}

func (p *program) simulate() *cobra.Command {
	var s simulation
	c := &cobra.Command{
		Use:   "simulate",
		Short: "推演精准滴灌规则：用一份情景，或用本地上月的数据 / play a scenario, or last month's own data, through the matcher",
		Long: `把需求与资源按时间顺序交给真实的匹配引擎，在模拟时钟上推演发放规则，写出每一笔派发并给出数字。情景来自文件（--scenario），或来自本地档案最近若干天（--from-record）：居民、家庭、村社与资源一律换成编号。给出 --report 或 --from-record 时，四种规则各推演一遍，便于比较。不改动任何真实数据，可在服务运行时执行。

Plays needs and resources, strictly in order, through the real matcher on a
simulated clock, writes what was promised and prints figures. They come from a
file (--scenario) or from the last days of the record (--from-record), with
people, households, places and offers replaced by numbers. With --report or
--from-record all four policies are played and compared. It changes nothing of
the record and runs beside a running server; on a Redis of your own (--redis) it
leaves nothing behind.`,
		Example: `  happycode simulate --scenario city.json --out drip.json
  happycode simulate --scenario city.json --report city.html
  happycode simulate --from-record --county 330502 --days 28 --report october.html`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.play(cmd.Context(), s) },
	}
	c.Flags().StringVar(&s.scenario, "scenario", "", "情景文件（JSON） / the scenario, JSON")
	c.Flags().BoolVar(&s.fromRecord, "from-record", false, "用档案最近若干天的数据 / play the record's own last days")
	c.Flags().StringVar(&s.county, "county", "", "与 --from-record 同用：区县代码，6 或 12 位 / with --from-record: the county, 6 or 12 digits")
	c.Flags().IntVar(&s.days, "days", 28, "与 --from-record 同用：最近多少天，1 至 31 / with --from-record: how many days, 1 to 31")
	c.Flags().StringVar(&s.scenarioOut, "scenario-out", "", "把情景写入此文件 / write the scenario to this file")
	c.Flags().StringVar(&s.out, "out", "", "派发结果写入此文件；默认不写 / write the allocations of --policy to this file; by default they are not written")
	c.Flags().StringVar(&s.report, "report", "", "比较四种规则的网页报告写入此文件 / compare all policies on a page written to this file")
	c.Flags().StringVar(&s.policy, "policy", string(simulate.Drip), "发放规则：drip、even、priority、fcfs / rule of release")
	c.Flags().StringVar(&s.redis, "redis", "", "使用此 Redis；默认用内置的 / a Redis to use; by default the embedded one")
	c.Flags().DurationVar(&s.every, "every", 5*time.Minute, "多久重新规划一次 / how often the rule plans")
	c.Flags().Float64Var(&s.reserve, "reserve", simulate.DefaultReserve, "为预计的需求预留多少倍 / how many times the expected demand is reckoned with")
	return c
}

func (p *program) play(ctx context.Context, s simulation) error {
	if (s.scenario == "") == !s.fromRecord {
		return say("请用 --scenario 指定情景文件，或用 --from-record 推演档案里的数据，二者取一",
			"give either --scenario with a file or --from-record", nil)
	}
	policy := simulate.Policy(s.policy)
	if !slices.Contains(simulate.Policies(), policy) {
		return say("没有名为 "+s.policy+" 的规则；请从 drip、even、priority、fcfs 中选择", "there is no such rule; choose one of drip, even, priority, fcfs", nil)
	}
	scenario, title, err := p.scene(ctx, s)
	if err != nil {
		return err
	}
	if s.scenarioOut != "" {
		if err := writeWhole(s.scenarioOut, func(w io.Writer) error { return json.NewEncoder(w).Encode(scenario) }); err != nil {
			return err
		}
	}
	policies := []simulate.Policy{policy}
	if s.report != "" || s.fromRecord {
		policies = simulate.Policies()
	}
	runs, err := p.playAll(ctx, s, scenario, policies)
	if err != nil {
		return err
	}
	if s.out != "" {
		kept := runs[slices.Index(policies, policy)].Allocations
		if err := writeWhole(s.out, func(w io.Writer) error {
			return json.NewEncoder(w).Encode(map[string][]simulate.Allocation{"allocations": kept})
		}); err != nil {
			return err
		}
	}
	if s.report != "" {
		categories := map[string]report.Name{}
		for _, c := range providers.Categories() {
			categories[c.ID] = report.Name{ZH: c.ZH, EN: c.EN}
		}
		if err := writeWhole(s.report, func(w io.Writer) error {
			return report.Write(w, report.Report{
				Title: title, Scenario: scenario, Runs: runs, Categories: categories, Every: s.every, Reserve: s.reserve, At: p.now(),
			})
		}); err != nil {
			return err
		}
	}
	return p.figures(scenario, runs)
}

// scene is what is played, and what it is called.
func (p *program) scene(ctx context.Context, s simulation) (*simulate.Scenario, report.Name, error) {
	if s.fromRecord {
		return p.lastDays(ctx, s)
	}
	f, err := os.Open(s.scenario)
	if err != nil {
		return nil, report.Name{}, noFile(s.scenario, err)
	}
	defer f.Close()
	scenario, err := simulate.Load(f)
	if err != nil {
		return nil, report.Name{}, say("情景文件 "+s.scenario+" 有误，请按错误所指改正", "the scenario cannot be played; correct what is named", err)
	}
	name := filepath.Base(s.scenario)
	return scenario, report.Name{ZH: "情景推演：" + name, EN: "Scenario " + name}, nil
}

// lastDays reads the record, and lets go of it before the play begins.
func (p *program) lastDays(ctx context.Context, s simulation) (scenario *simulate.Scenario, title report.Name, err error) {
	if s.days < 1 || s.days > care.MaxScenarioDays {
		return nil, title, say("--days 应在 1 到 31 之间", "--days is 1 to 31", nil)
	}
	county := s.county
	if len(county) == 6 {
		county += "000000"
	}
	system, err := p.beside(ctx)
	if err != nil {
		return nil, title, err
	}
	defer func() { err = errors.Join(err, system.Close()) }()
	if !slices.Contains(system.tree.Load().Counties(), county) {
		return nil, title, unknownDivision(s.county)
	}
	scenario, err = system.care.Scenario(ctx, county, s.days)
	if errors.Is(err, care.ErrTooLittle) {
		return nil, title, say("档案里该区县这些天的需求或资源太少，推演说明不了什么；请增大 --days，或改用 --scenario",
			"the record has too few needs or lots of these days to say anything; raise --days, or use --scenario", err)
	}
	division, _ := system.tree.Load().Get(county)
	return scenario, report.Name{
		ZH: fmt.Sprintf("%s最近 %d 天", division.Name, s.days), EN: fmt.Sprintf("County %s, the last %d days", county[:6], s.days),
	}, err
}

// playAll plays the scenario under each policy.
func (p *program) playAll(ctx context.Context, s simulation, scenario *simulate.Scenario, policies []simulate.Policy) ([]report.Run, error) {
	address := s.redis
	if address == "" {
		embedded, err := matching.StartEmbedded("")
		if err != nil {
			return nil, err
		}
		defer embedded.Close()
		address = embedded.URL()
	}
	client, err := matching.Connect(ctx, address)
	if err != nil {
		return nil, say("无法连接 Redis；请检查 --redis", "cannot reach that Redis; check --redis", err)
	}
	defer client.Close()
	bar := p.progress("推演 / simulating")
	defer bar.end()
	var runs []report.Run
	for i, policy := range policies {
		run := report.Run{Policy: policy, Track: report.NewTrack(scenario)}
		run.Allocations, err = simulate.Run(ctx, scenario, simulate.Config{
			Policy: policy, Redis: client, Every: s.every, Reserve: s.reserve, Watch: run.Track.Add,
			Progress: func(part float64) { bar.set(int(1000*(float64(i)+part)), 1000*len(policies)) },
		})
		if err != nil {
			return nil, err
		}
		runs = append(runs, run)
	}
	return runs, nil
}

// writeWhole writes a file whole or not at all.
func writeWhole(path string, write func(io.Writer) error) error {
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".simulate-*")
	if err == nil {
		defer os.Remove(f.Name())
		_, err = f.Write(b.Bytes())
		err = errors.Join(err, f.Chmod(0o644), f.Close())
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return say("无法写入 "+path+"；请检查目录是否存在、是否可写", "the file cannot be written; check that its folder exists and can be written", pathless(err))
	}
	return nil
}

// pathless is the cause without the name of the file that stood in for it.
func pathless(err error) error {
	var in *fs.PathError
	if errors.As(err, &in) {
		return in.Err
	}
	return err
}

// figures prints what each policy reached.
func (p *program) figures(scenario *simulate.Scenario, runs []report.Run) error {
	// The table counts letters, a Chinese one of which is two columns wide: the
	// Chinese column is put before it.
	var table bytes.Buffer
	var zhs []string
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	row := func(zh, en string, value func(simulate.Policy, simulate.Judgement) string) {
		zhs = append(zhs, pad(zh, 20))
		cells := []string{en}
		for _, r := range runs {
			cells = append(cells, value(r.Policy, simulate.Judge(scenario, r.Allocations)))
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	type judged = simulate.Judgement
	part := func(v float64) string { return fmt.Sprintf("%.1f%%", 100*v) }
	row("规则", "rule", func(p simulate.Policy, _ judged) string { return string(p) })
	row("需求", "needs", func(_ simulate.Policy, j judged) string { return fmt.Sprint(j.Needs) })
	row("　其中重复", "  of these duplicates", func(_ simulate.Policy, j judged) string { return fmt.Sprint(j.Duplicates) })
	row("库存", "stock", func(_ simulate.Policy, j judged) string { return fmt.Sprint(j.StockUnits) })
	row("已派发", "given", func(_ simulate.Policy, j judged) string { return fmt.Sprint(j.GivenUnits) })
	row("满足程度", "asked units met", func(_ simulate.Policy, j judged) string { return part(j.Met) })
	row("最困难五分之一", "neediest fifth met", func(_ simulate.Policy, j judged) string { return part(j.NeediestMet) })
	row("一分钟内", "within a minute", func(_ simulate.Policy, j judged) string { return part(j.AtOnce) })
	row("等待中位数", "median wait", func(_ simulate.Policy, j judged) string { return fmt.Sprintf("%.0f min", j.MedianWait) })
	row("最困难者等待中位数", "median wait, neediest", func(_ simulate.Policy, j judged) string { return fmt.Sprintf("%.0f min", j.NeediestMedianWait) })
	if err := w.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(table.String()) {
		if _, err := fmt.Fprint(p.out, zhs[0], line); err != nil {
			return err
		}
		zhs = zhs[1:]
	}
	return nil
}
