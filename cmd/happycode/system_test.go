package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/app/settings"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/app/store/sqlite"
)

func openRecord(t *testing.T) store.Record {
	t.Helper()
	r, err := sqlite.Open(filepath.Join(t.TempDir(), recordFile))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := r.Ensure(t.Context(), regions.Schemas()...); err != nil {
		t.Fatal(err)
	}
	return r
}

func huzhouCSV() io.Reader { return bytes.NewReader(regions.Huzhou()) }

func environ(t *testing.T, more ...string) []string {
	return append([]string{
		"HAPPYCODE_DATA=" + filepath.Join(t.TempDir(), "data"), "HAPPYCODE_LISTEN=127.0.0.1:0",
	}, more...)
}

// runs carries out one command in this process.
func runs(t *testing.T, env []string, args ...string) (out, errOut string, status int) {
	t.Helper()
	var o, e bytes.Buffer
	status = run(args, strings.NewReader(""), &o, &e, env)
	return o.String(), e.String(), status
}

func TestEveryCommandSpeaksBothLanguages(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{}, {"serve"}, {"config"}, {"import"}, {"import", "divisions"}, {"import", "residents"}, {"cards"}, {"account"},
		{"token"}, {"token", "list"}, {"token", "revoke"}, {"keys"}, {"keys", "list"}, {"keys", "new"}, {"keys", "retire"}, {"verify"}, {"explain"}, {"rebuild"}, {"doctor"}, {"simulate"}, {"version"},
		{"bench"}, {"bench", "all"}, {"bench", "prepare"}, {"bench", "run"}, {"bench", "yardstick"},
	} {
		out, errOut, status := runs(t, environ(t), append(args, "--help")...)
		if status != 0 || !strings.Contains(out, "用法 / Usage") || !strings.ContainsAny(out, "abcdefgh") {
			t.Errorf("happycode %v --help: status %d\n%s%s", args, status, out, errOut)
		}
		if strings.Contains(out, "Global Flags") || strings.Contains(out, "help for") {
			t.Errorf("happycode %v --help: words of the library:\n%s", args, out)
		}
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	if out, _, status := runs(t, nil, "version"); status != 0 || !strings.HasPrefix(out, "happycode ") {
		t.Errorf("version: status %d, %q", status, out)
	}
}

func TestBadSettingIsASentence(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"serve", "config", "verify", "doctor", "rebuild"} {
		_, errOut, status := runs(t, environ(t, "HAPPYCODE_LISEN=x"), command)
		if status != 1 || !strings.Contains(errOut, "HAPPYCODE_LISEN") || !strings.Contains(errOut, "HAPPYCODE_LISTEN") {
			t.Errorf("%s: status %d, %q; want a sentence that suggests the right name", command, status, errOut)
		}
	}
}

func TestCommandsAlone(t *testing.T) {
	t.Parallel()
	env := environ(t)
	for _, step := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"account", "--username", "admin"}, 0, "admin"},
		{[]string{"account", "--username", "admin"}, 1, "已存在"},
		{[]string{"account", "--username", "x", "--division", "990000000000"}, 1, "990000000000"},
		{[]string{"account", "--username", "bad name!"}, 1, "username：用户名"},
		{[]string{"account", "--username", "quiet", "--password-stdin"}, 1, "标准输入"},
		{[]string{"token", "--label", "x", "--role", "admin"}, 0, "hct_"},
		{[]string{"token", "--label", "x", "--role", "king"}, 1, "role：角色"},
		{[]string{"token", "list"}, 0, "有效 / valid"},
		{[]string{"token", "revoke", "nothing"}, 1, "not found"},
		{[]string{"import", "residents", "/nowhere.csv"}, 1, "无法打开文件"},
		{[]string{"verify"}, 0, "✓ 全部承诺成立"},
		{[]string{"verify", "--repair"}, 0, "✓ 全部承诺成立"},
		{[]string{"rebuild"}, 1, "每次启动时自动重建"},
		{[]string{"rebuild", "--county", "1"}, 1, "12 位代码"},
		{[]string{"doctor"}, 0, "✓ 匹配 matcher"},
	} {
		out, errOut, status := runs(t, env, step.args...)
		if status != step.status || !strings.Contains(out+errOut, step.want) {
			t.Errorf("happycode %v: status %d, want %d and %q\n%s%s", step.args, status, step.status, step.want, out, errOut)
		}
	}
}

func TestFolderBelongsToOneProcess(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	first, err := claim(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.announce(server{PID: os.Getpid(), Address: "http://127.0.0.1:1", Redis: "redis://:secret@127.0.0.1:2"}); err != nil {
		t.Fatal(err)
	}
	if _, err := claim(dir); !errors.Is(err, errInUse) {
		t.Errorf("a second claim: got %v, want errInUse", err)
	}
	s, err := running(dir)
	if err != nil || s.PID != os.Getpid() || s.Redis != "redis://:secret@127.0.0.1:2" {
		t.Errorf("running: got %+v, %v", s, err)
	}
	info, err := os.Stat(filepath.Join(dir, serverName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%s: mode %v, %v; want 0600", serverName, info.Mode(), err)
	}
	if err := first.release(); err != nil {
		t.Fatal(err)
	}
	if _, err := running(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("running after the end: got %v, want that there is none", err)
	}
	// What a killed server leaves behind is not taken for a running one.
	if err := writePrivate(filepath.Join(dir, serverName), server{PID: 1 << 30}); err != nil {
		t.Fatal(err)
	}
	if _, err := running(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("running after a kill: got %v, want that there is none", err)
	}
	second, err := claim(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.release(); err != nil {
		t.Fatal(err)
	}
}

func TestUncleanEndIsNoticed(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	for _, want := range []bool{false, true} {
		if killed, err := begin(dir); err != nil || killed != want {
			t.Fatalf("begin: got %v, %v, want %v", killed, err, want)
		}
	}
	if err := ended(dir); err != nil {
		t.Fatal(err)
	}
	if killed, err := begin(dir); err != nil || killed {
		t.Errorf("begin after an orderly end: got %v, %v", killed, err)
	}
}

func TestPortTaken(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	env := append(environ(t), "HAPPYCODE_LISTEN="+l.Addr().String())
	_, errOut, status := runs(t, env, "serve")
	if status != 1 || !strings.Contains(errOut, "已被占用") || !strings.Contains(errOut, "HAPPYCODE_LISTEN") {
		t.Errorf("serve on a taken port: status %d, %q", status, errOut)
	}
}

func TestFreePortIsWrittenIntoTheCodes(t *testing.T) {
	t.Parallel()
	set, err := settings.Load(environ(t))
	if err != nil {
		t.Fatal(err)
	}
	l, err := listen(&set)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if want := "http://" + l.Addr().String(); set.PublicHost != want || address(l) != want {
		t.Errorf("got %s and %s, want %s", set.PublicHost, address(l), want)
	}
}

// Divisions that another process imports are noticed, and a lot is split by
// the villages of each county that an offer serves.
func TestDivisions(t *testing.T) {
	t.Parallel()
	set, err := settings.Load(environ(t))
	if err != nil {
		t.Fatal(err)
	}
	p := &program{out: io.Discard, errOut: io.Discard, environ: environ(t), now: time.Now}
	s, err := open(t.Context(), set, p.quiet(set), p.now, true)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got, want := s.city(), "330500000000"; got != want {
		t.Errorf("city: got %s, want %s", got, want)
	}
	all, one := s.villages("330502000000", []string{"330500000000"}), s.villages("330502000000", []string{"330502001000"})
	if none := s.villages("330503000000", []string{"330502001000"}); all <= one || one <= 0 || none != 0 {
		t.Errorf("villages: got %d in all, %d of one town, %d of another county", all, one, none)
	}

	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		s.watchDivisions(ctx, time.Millisecond)
		close(done)
	}()
	old := s.tree.Load()
	if _, err := s.regions.Import(ctx, strings.NewReader("code,name,level,parent\n330502001999,新建社区,village,330502001000\n"), func(int, int) {}); err != nil {
		t.Fatal(err)
	}
	if err := s.raise(ctx, divisionsNote, ""); err != nil {
		t.Fatal(err)
	}
	deadline := time.After(5 * time.Minute)
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for s.tree.Load() == old || !s.known("330502001999") {
		select {
		case <-deadline:
			t.Fatal("the new division was not noticed")
		case <-look.C:
		}
	}
	stop()
	<-done
}

func TestWordsAreInBothLanguages(t *testing.T) {
	t.Parallel()
	err := accounts.FieldError{Field: "username", ZH: "中文", EN: "English", Err: accounts.ErrUsername}
	if got, want := words(err), "username：中文 / English"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := words(say("中文", "English", errors.New("why"))), "中文 / English (why)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPad(t *testing.T) {
	t.Parallel()
	if got, want := pad("社工", 6)+"|"+pad("admin", 3), "社工  |admin"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
