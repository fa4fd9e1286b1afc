//go:build integration

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// villagers is a spreadsheet of people in one village and the one beside it.
func villagers(t *testing.T, n int) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("name,id_number,division,household\n")
	for i := range n {
		digits := fmt.Sprintf("330502%s%03d", time.Date(1940, 1, 1+i/900, 0, 0, 0, 0, time.UTC).Format("20060102"), i%900)
		sum := 0
		for j, w := range []int{7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2} {
			sum += w * int(digits[j]-'0')
		}
		fmt.Fprintf(&b, "张三,%s%c,%s,h%d\n", digits, "10X98765432"[sum%11], []string{"330502001006", "330502001016"}[i%2], i/6)
	}
	path := filepath.Join(t.TempDir(), "villagers.csv")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// printing is a command that prints cards, under way.
func printing(t *testing.T, s settingsOf, args ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.Command(binary, append([]string{"cards"}, args...)...)
	cmd.Env, cmd.Stdout, cmd.Stderr = s.environ(), &out, &out
	endWithParent(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, &out
}

// Printing is killed and interrupted, and goes on each time; the file is the
// same as of a print in one go.
func TestCardsGoOnAfterKill(t *testing.T) {
	t.Parallel()
	const people = 1600
	s := embedded(t).with("PUBLIC_HOST", "xf.huzhou.gov.cn")
	commandOK(t, s, "import", "residents", villagers(t, people))
	dir := t.TempDir()
	whole, parts := filepath.Join(dir, "whole.pdf"), filepath.Join(dir, "parts.pdf")
	out := commandOK(t, s, "cards", "--division", "330502001", "-o", whole)
	for _, want := range []string{"卡片 cards 1600", "纸张 sheets 160", whole, "left out 0", "用时 time"} {
		if !strings.Contains(out, want) {
			t.Errorf("the print does not say %q:\n%s", want, out)
		}
	}

	drawn := int64(0)
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGINT} {
		cmd, said := printing(t, s, "--division", "330502001000", "-o", parts)
		eventually(t, startTime, "some sheets are drawn", func() error {
			info, err := os.Stat(parts + ".part")
			if err == nil && info.Size() <= drawn {
				err = fmt.Errorf("%s has %d bytes still", info.Name(), info.Size())
			}
			return err
		})
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		err := cmd.Wait()
		if _, err := os.Stat(parts); !os.IsNotExist(err) {
			t.Fatalf("after %v there is a file under the final name: %v", signal, err)
		}
		var exit *exec.ExitError
		if signal == syscall.SIGINT && (!errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(said.String(), "再次运行同一命令会接着打印")) {
			t.Errorf("interrupted: %v\n%s", err, said)
		}
		info, err := os.Stat(parts + ".part")
		if err != nil {
			t.Fatal(err)
		}
		drawn = info.Size()
	}
	out = commandOK(t, s, "cards", "--division", "330502001", "-o", parts)
	if !strings.Contains(out, "接着上次") || !strings.Contains(out, "卡片 cards 1600") {
		t.Errorf("going on:\n%s", out)
	}
	a, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(parts)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Errorf("a print that was stopped twice has %d bytes, one in one go %d", len(b), len(a))
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 2 {
		t.Errorf("left over: %v, %v", left, err)
	}
	if info, err := os.Stat(parts); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("cards can be read by others: %v, %v", info.Mode(), err)
	}
	if text, err := exec.Command("pdfinfo", whole).CombinedOutput(); err != nil || !strings.Contains(string(text), "Pages:           160") {
		t.Errorf("pdfinfo: %v\n%s", err, text)
	}

	single := filepath.Join(dir, "single.pdf")
	commandOK(t, s, "cards", "--division", "330502001006", "--single", "-o", single)
	if text, err := exec.Command("pdfinfo", single).CombinedOutput(); err != nil || !strings.Contains(string(text), "Pages:           800") || !strings.Contains(string(text), "242.646 x 153.071 pts") {
		t.Errorf("pdfinfo: %v\n%s", err, text)
	}
	commandOK(t, s, "verify")
}

func TestCardsSayWhatToDo(t *testing.T) {
	t.Parallel()
	s := embedded(t)
	commandOK(t, s, "import", "residents", villagers(t, 2))
	file := filepath.Join(t.TempDir(), "cards.pdf")
	for _, c := range []struct {
		s    settingsOf
		args []string
		want string
	}{
		{s, []string{"--division", "3305020"}, "6、9 或 12 位"},
		{s, []string{"--division", "990000"}, "没有代码为 990000000000 的区划"},
		{s, []string{"--division", "330503"}, "没有可打印的卡片"},
		{s, []string{"--division", "330502", "--font", "/nowhere.ttf"}, "fonts-noto-cjk"},
		{s.with("FONT", "/nowhere.ttf"), []string{"--division", "330502"}, "HAPPYCODE_FONT"},
		{s, []string{"--division", "330502", "-o", "/nowhere/cards.pdf"}, "无法写入"},
	} {
		args := append([]string{"cards", "-o", file}, c.args...)
		_, errOut, status := command(t, c.s, args...)
		if status != 1 || !strings.Contains(errOut, c.want) || !strings.Contains(errOut, " / ") {
			t.Errorf("%v: status %d, want %q\n%s", c.args, status, c.want, errOut)
		}
		if _, err := os.Stat(file); !os.IsNotExist(err) {
			t.Errorf("%v left a file", c.args)
		}
	}
}
