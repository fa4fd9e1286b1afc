package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/providers"
)

// From these sizes on a real Redis is wanted: the embedded one runs a script
// in 270–440 µs where Redis 7 takes 20–35 µs, walks long waiting lists slowly,
// and is rebuilt from the record at every start.
const (
	embeddedResidents = 50_000
	embeddedWaiting   = 5_000
	leastFreeBytes    = 1 << 30
)

// countLimit is where counting stops; beyond it "more than" is enough to know.
const countLimit = 200_000

func (p *program) doctor() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "检查档案、Redis、密钥与规模 / check the record, Redis, the keys and the size",
		Long: `检查档案与 Redis 是否应答、有多快、匹配是否就绪，密钥文件的权限，磁盘余量，以及规模是否该用独立的 Redis。有问题时退出码为 1。

Checks whether record and Redis answer, how fast, whether the matcher is ready,
the permissions of the key file, the room on the disk, and whether the size
wants a Redis of its own. Exit status 1 when something is wrong.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			x := &examination{p: p}
			set, err := p.load()
			if err != nil {
				return err
			}
			x.ok("设置 settings", "可用 / can be used")
			x.keyFile(set.KeyFile)
			x.disk(set.Data)
			s, err := open(ctx, set, p.quiet(set), p.now, false)
			if err != nil {
				return err
			}
			defer s.Close()
			x.s = s
			x.stores(ctx)
			x.signing()
			if err := x.sizes(ctx); err != nil {
				return err
			}
			if x.faults > 0 {
				return say(fmt.Sprintf("发现 %d 个问题", x.faults), "see the lines marked ✗", nil)
			}
			return nil
		},
	}
}

// examination prints one line per finding and counts what is wrong.
type examination struct {
	p      *program
	s      *system
	faults int
}

func (x *examination) ok(what, text string)   { x.line("✓", what, text) }
func (x *examination) hint(what, text string) { x.line("!", what, text) }
func (x *examination) bad(what, text string)  { x.faults++; x.line("✗", what, text) }
func (x *examination) line(mark, what, text string) {
	fmt.Fprintf(x.p.out, "%s %s %s\n", mark, pad(what, 22), text)
}

func (x *examination) keyFile(path string) {
	const what = "密钥 keys"
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		x.hint(what, path+" 尚不存在，首次启动时生成；生成后请立即备份 / is made at the first start; back it up then")
	case err != nil:
		x.bad(what, err.Error())
	case info.Mode().Perm()&0o077 != 0:
		x.bad(what, fmt.Sprintf("%s 的权限为 %04o，他人可读；请执行 chmod 600 / others may read it; run: chmod 600 %s", path, info.Mode().Perm(), path))
	default:
		x.ok(what, path+" 只有本人可读；请确认已有备份 / readable by its owner only; make sure that a backup exists")
	}
}

// signing says which key signs codes, and names those that do not open.
func (x *examination) signing() {
	const what = "签名 signing"
	keys := x.s.keys
	if faults := keys.Faults(); len(faults) > 0 {
		x.bad(what, fmt.Sprintf("密钥 %v 打不开，见 happycode keys list / do not open, see happycode keys list", faults))
	}
	signer, err := keys.Signer()
	if err != nil {
		x.bad(what, "没有密钥可以签发；请执行 happycode keys new / no key signs; run happycode keys new")
		return
	}
	k := keys.Keys()[signer.ID()]
	x.ok(what, fmt.Sprintf("密钥 key %d（%s）", k.ID, k.Algorithm))
}

func (x *examination) disk(dir string) {
	const what = "磁盘 disk"
	free, err := freeBytes(dir)
	switch {
	case err != nil:
		x.bad(what, err.Error())
	case free < leastFreeBytes:
		x.bad(what, fmt.Sprintf("%s 仅余 %d MB / too little room is left", dir, free>>20))
	default:
		x.ok(what, fmt.Sprintf("%s 余 %.1f GB / free", dir, float64(free)/(1<<30)))
	}
}

// diskFree is the room that is left to us on the file system of path, bytes.
func diskFree(path string) (uint64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(path, &s); err != nil {
		return 0, err
	}
	return s.Bavail * uint64(s.Bsize), nil
}

func (x *examination) stores(ctx context.Context) {
	s := x.s
	record := "SQLite（内置 / embedded）"
	if s.settings.MongoURI != "" {
		record = "MongoDB"
	}
	began := s.now()
	if err := s.raise(ctx, "doctor", ""); err != nil {
		x.bad("档案 record", record+"："+err.Error())
	} else {
		x.ok("档案 record", fmt.Sprintf("%s，一次落盘写入 / one durable write %s", record, s.now().Sub(began).Round(100*time.Microsecond)))
	}
	redis := "内置 / embedded"
	switch {
	case strings.HasPrefix(s.settings.RedisURL, "redis+cluster"), strings.HasPrefix(s.settings.RedisURL, "rediss+cluster"):
		redis = "集群 / cluster"
	case s.settings.RedisURL != "":
		redis = "独立 / standalone"
	}
	began = s.now()
	if err := s.engine.Ping(ctx); err != nil {
		x.bad("Redis", redis+"："+err.Error())
		return
	}
	x.ok("Redis", fmt.Sprintf("%s，往返 / round trip %s", redis, s.now().Sub(began).Round(10*time.Microsecond)))
	var waiting []string
	for _, county := range s.tree.Load().Counties() {
		ready, err := s.engine.Ready(ctx, county)
		if err != nil {
			x.bad("匹配 matcher", err.Error())
			return
		}
		if !ready {
			waiting = append(waiting, county)
		}
	}
	switch {
	case len(waiting) == 0:
		x.ok("匹配 matcher", "所有区县就绪 / every county is ready")
	case s.ownMatcher():
		x.ok("匹配 matcher", "服务未运行；启动时重建 / no server is running; it is rebuilt at the start")
	default:
		x.bad("匹配 matcher", "未重建；请启动服务或执行 happycode rebuild / not rebuilt; start the server or run happycode rebuild: "+strings.Join(waiting, " "))
	}
}

var errEnough = errors.New("counted enough")

// count walks a collection up to countLimit documents.
func count[T any, P store.Pointer[T]](ctx context.Context, c store.Collection[T, P], counts func(P) bool) (int, error) {
	n, walked := 0, 0
	err := c.Each(ctx, store.Query{}, func(doc P) error {
		if walked++; walked > countLimit {
			return errEnough
		}
		if counts(doc) {
			n++
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return n, err
}

func (x *examination) sizes(ctx context.Context) error {
	s := x.s
	people, next := 0, ""
	for {
		page, following, err := s.residents.List(ctx, s.city(), next, store.MaxPage)
		if err != nil {
			return err
		}
		people += len(page)
		if next = following; next == "" || people >= countLimit {
			break
		}
	}
	live, err := count(ctx, s.residents.NeedCollection(), func(n *residents.Need) bool { return n.State.Live() })
	if err != nil {
		return err
	}
	waiting, err := count(ctx, s.residents.NeedCollection(), func(n *residents.Need) bool { return n.State == residents.NeedWaiting })
	if err != nil {
		return err
	}
	open, err := count(ctx, s.providers.ShareCollection(), func(sh *providers.Share) bool { return !sh.Closed })
	if err != nil {
		return err
	}
	x.ok("规模 size", fmt.Sprintf("居民 residents %d，在办需求 live needs %d（等待 waiting %d），在用批次 open lots %d", people, live, waiting, open))
	if s.settings.RedisURL == "" && (people > embeddedResidents || waiting > embeddedWaiting) {
		x.hint("Redis", fmt.Sprintf("居民超过 %d 或等待中的需求超过 %d 时，请设置 HAPPYCODE_REDIS_URL 使用独立的 Redis 7 / beyond these sizes set HAPPYCODE_REDIS_URL to a Redis 7 of its own", embeddedResidents, embeddedWaiting))
	}
	return nil
}
