package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/matching"
	"github.com/xingfuma/happycode/providers/funds"
)

func (p *program) verify() *cobra.Command {
	var repair bool
	c := &cobra.Command{
		Use:   "verify",
		Short: "核对五项承诺与基金账目并给出数字 / check promises 1 to 5 and the funds' books, and print figures",
		Long: `核对：无一份重复发放；无人重复领取；答复即已入档；Redis 与档案一致；无资源滞留；基金账目平衡，每一分钱可追溯。可在服务运行时执行。有问题时退出码为 1。

Checks that nothing is given twice, nobody is aided twice, every answer is a
fact of the record, Redis agrees with the record, nothing rots quietly, and the
funds' books balance with every fen traced. Runs beside a running server. Exit
status 1 when something is wrong.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			s, err := p.beside(ctx)
			if err != nil {
				return err
			}
			defer s.Close()
			// With a matcher of this command's own there is nothing to compare
			// until it is rebuilt.
			if s.ownMatcher() {
				if err := s.startCare(ctx); err != nil {
					return err
				}
				if err := s.awaitReady(ctx); err != nil {
					return err
				}
			}
			bar := p.progress("核对 / verifying")
			report, err := s.care.Verify(ctx, repair, bar.set)
			bar.end()
			if err != nil {
				return err
			}
			books, err := s.keeper.Verify(ctx, repair)
			if err != nil {
				return err
			}
			return p.report(report, books)
		},
	}
	c.Flags().BoolVar(&repair, "repair", false, "修复崩溃遗留的计数（只会少发，不会多发） / mend what a crash left behind, always on the safe side")
	return c
}

func (p *program) rebuild() *cobra.Command {
	var county string
	c := &cobra.Command{
		Use:   "rebuild",
		Short: "用档案重建 Redis / restore Redis from the record",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := p.beside(cmd.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			if county != "" && !s.known(county) {
				return unknownDivision(county)
			}
			if s.ownMatcher() {
				return say("服务未运行，内置 Redis 在每次启动时自动重建，无需执行此命令",
					"no server is running, and the embedded Redis is rebuilt at every start: there is nothing to do", nil)
			}
			if err := s.startCare(cmd.Context()); err != nil {
				return err
			}
			bar := p.progress("重建 / rebuilding")
			err = s.rebuild(cmd.Context(), county, bar.set)
			bar.end()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(p.out, "已重建 / rebuilt")
			return err
		},
	}
	c.Flags().StringVar(&county, "county", "", "只重建一个区县，12 位代码 / only this county, 12 digits")
	return c
}

// rebuild restores the matcher; where a server is rebuilding a county at the
// same moment it waits and does it again.
func (s *system) rebuild(ctx context.Context, county string, progress func(done, total int)) error {
	ctx, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	tick := time.NewTicker(readyEvery)
	defer tick.Stop()
	for {
		err := s.care.Rebuild(ctx, county, progress)
		if !errors.Is(err, matching.ErrBusy) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

// report prints the figures and every fault.
func (p *program) report(r *care.Report, b *funds.Report) error {
	w := tabwriter.NewWriter(p.out, 0, 4, 2, ' ', 0)
	for _, line := range []struct {
		zh, en string
		n      int64
	}{
		{"区县", "counties", int64(r.Counties)},
		{"批次份额", "shares of lots", int64(r.Shares)},
		{"派发", "allocations", int64(r.Allocations)},
		{"需求", "needs", int64(r.Needs)},
		{"等待中", "waiting", int64(r.Waiting)},
		{"受限额的家庭", "households with caps", int64(r.Households)},
		{"审计区块", "audit blocks", int64(r.AuditBlocks)},
		{"总量", "units in all", r.QtyUnits},
		{"　可用", "  free", r.Free},
		{"　预占", "  held", r.Held},
		{"　已派发", "  promised", r.Promised},
		{"　已交付", "  handed over", r.HandedOver},
		{"　已过期", "  expired", r.Expired},
		{"　已撤回", "  withdrawn", r.Withdrawn},
		{"　调拨途中", "  on the way between counties", r.OnTheWay},
		{"区县间调拨", "moves between counties", int64(r.Moves)},
		{"正在入档", "in flight", int64(r.InFlight)},
		{"正在结清", "being settled", int64(r.Unsettled)},
		{"离线租约", "leases of devices", int64(r.Leases)},
		{"　领走的派发", "  allocations taken along", int64(r.Leased)},
		{"　其中备用", "  of them spares", int64(r.Spares)},
		{"待核实的离线冲突", "offline conflicts open", int64(r.Conflicts)},
		{"离线超限", "given offline beyond a cap", int64(r.OverCaps)},
		{"已修复", "repaired", int64(r.Repaired)},
		{"基金", "funds", int64(b.Funds)},
		{"　捐赠", "  donations", int64(b.Donations)},
		{"　分录", "  entries", int64(b.Entries)},
		{"　在用资源", "  offers that draw on them", int64(b.Draws)},
		{"　已付交付", "  handovers paid", b.Handovers},
		{"　收入（分）", "  received, fen", b.Received},
		{"　可用（分）", "  available, fen", b.Available},
		{"　预留（分）", "  reserved, fen", b.Reserved},
		{"　支出（分）", "  spent, fen", b.Spent},
	} {
		fmt.Fprintf(w, "%s\t%s\t%d\n", pad(line.zh, 14), line.en, line.n)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, f := range r.Faults {
		fmt.Fprintf(p.out, "✗ 承诺 promise %d: %s\n", f.Promise, f.What)
	}
	for _, f := range b.Faults {
		fmt.Fprintf(p.out, "✗ 基金 funds: %s\n", f)
	}
	if !r.OK() || !b.OK() {
		return say(fmt.Sprintf("发现 %d 处问题；可先执行 happycode verify --repair", len(r.Faults)+len(b.Faults)),
			"promises are broken, see the lines above; try happycode verify --repair", nil)
	}
	_, err := fmt.Fprintln(p.out, "✓ 全部承诺成立，基金账目无误 / every promise holds, and the funds' books are right")
	return err
}
