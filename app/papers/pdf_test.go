//go:build integration

package papers

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/xingfuma/happycode/qrcode/cards"
)

// A long statement goes over pages, each with the heads of its columns and its
// number, and its text can be read out of the file.
func TestPDF(t *testing.T) {
	t.Parallel()
	font, err := cards.OpenFont("")
	if err != nil {
		t.Fatal(err)
	}
	defer font.Close()
	var file bytes.Buffer
	if err := statement(100).PDF(&file, font); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "statement.pdf")
	if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("pdftotext", "-layout", path, "-").CombinedOutput()
	if err != nil {
		t.Fatalf("pdftotext (of poppler-utils): %v %s", err, out)
	}
	pages := strings.Split(strings.TrimRight(string(out), "\f\n"), "\f")
	if len(pages) != 3 {
		t.Errorf("%d pages, want 3", len(pages))
	}
	for i, page := range pages {
		if !strings.Contains(page, "收据号") || !strings.Contains(page, whole(int64(i+1))+"/3") {
			t.Errorf("page %d lacks its head or number:\n%s", i+1, page)
		}
	}
	if text := string(out); !strings.Contains(text, "1,234,567.89") || strings.Count(text, "-1.50") != 100 || !strings.Contains(text, "本月没有。") {
		t.Errorf("the text is\n%s", text)
	}
}
