package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/xingfuma/happycode/app/press"
	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/qrcode/cards"
)

func (p *program) cards() *cobra.Command {
	var division, path, font string
	var single bool
	c := &cobra.Command{
		Use:   "cards",
		Short: "打印一个地区所有居民的卡片（PDF） / print the cards of all residents of a division as PDF",
		Example: `  happycode cards --division 330502001 -o cards.pdf
  happycode cards --division 330502001006 --single -o 制卡机.pdf`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			code, ok := wholeCode(division)
			if !ok {
				return say("--division 应为 6、9 或 12 位区划代码，例如 330502001",
					"--division is a division code of 6, 9 or 12 digits, for example 330502001", nil)
			}
			s, err := p.beside(cmd.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			if !s.known(code) {
				return unknownDivision(code)
			}
			if font != "" {
				s.settings.Font = font
			}
			layout := cards.A4
			if single {
				layout = cards.Single
			}
			return p.printCards(cmd.Context(), s, code, layout, path)
		},
	}
	f := c.Flags()
	f.StringVar(&division, "division", "", "区划代码，6、9 或 12 位；打印该区划及下级（必填） / division code of 6, 9 or 12 digits, it and all below; required")
	f.StringVarP(&path, "output", "o", "cards.pdf", "PDF 文件 / file to write")
	f.BoolVar(&single, "single", false, "每页一张卡（85.6 × 54 毫米），供制卡机；默认 A4 每张十张卡 / one card to a page of its own size, for card printers; by default ten to an A4 sheet")
	f.StringVar(&font, "font", "", "中文字体文件（TTF、OTF、TTC）；默认用 HAPPYCODE_FONT 或系统字体 / Chinese font file; by default HAPPYCODE_FONT or the system's")
	must(c.MarkFlagRequired("division"))
	return c
}

// wholeCode is a division code with the zeros that people leave out.
func wholeCode(code string) (string, bool) {
	switch code = strings.TrimSpace(code); len(code) {
	case 6, 9, 12:
		code += strings.Repeat("0", 12-len(code))
	default:
		return "", false
	}
	return code, regions.Valid(code)
}

func (p *program) printCards(ctx context.Context, s *system, division string, layout cards.Layout, path string) error {
	from := p.now()
	bar := p.progress("打印卡片 / cards")
	t, err := s.press().File(ctx, press.Order{
		Division: division, Layout: layout, Actor: byCommand, Role: byCommand, Purpose: "happycode cards",
	}, path, bar.set)
	bar.end()
	if err != nil {
		return cardsFailed(err, path)
	}
	fmt.Fprintf(p.out, "卡片 cards %d，纸张 sheets %d：%s\n", t.Cards, t.Sheets, path)
	if layout == cards.Single {
		fmt.Fprintf(p.out, "每页一张卡 / one card to a page\n")
	}
	if t.Reused > 0 {
		fmt.Fprintf(p.out, "接着上次 going on from a print that was stopped：%d 张纸已画好 sheets were there\n", t.Reused)
	}
	fmt.Fprintf(p.out, "未打印 left out %d：迁出或去世 moved or died %d，没有有效的码 no valid code %d\n", t.Gone+t.NoCode, t.Gone, t.NoCode)
	fmt.Fprintf(p.out, "用时 time %s\n", p.now().Sub(from).Round(10*time.Millisecond))
	return nil
}

// cardsFailed says what to do when cards cannot be printed.
func cardsFailed(err error, path string) error {
	switch {
	case errors.Is(err, cards.ErrFont):
		return say("没有可用的中文字体；请安装（Debian、Ubuntu：apt-get install fonts-noto-cjk），或用 --font 文件 或设置 HAPPYCODE_FONT 指定一个",
			"there is no usable Chinese font; install one (Debian, Ubuntu: apt-get install fonts-noto-cjk) or name a file with --font FILE or HAPPYCODE_FONT", err)
	case errors.Is(err, press.ErrEmpty):
		return say("这里没有可打印的卡片：没有在册且有有效码的居民", "there is no card to print: nobody here is served and has a valid code", nil)
	case errors.Is(err, press.ErrInUse):
		return say("另一个命令正在打印到 "+path+"；请等它结束，或换一个文件", "another command is printing to that file; wait for it or name another file", nil)
	case errors.Is(err, context.Canceled):
		return say("已停止。再次运行同一命令会接着打印", "stopped; run the same command again and it goes on", nil)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return say("无法写入 "+path+"；请检查目录 "+filepath.Dir(path)+" 是否存在、可写", "that file cannot be written; check that its folder exists and may be written", err)
	}
	return err
}

func (s *system) press() *press.Press {
	return press.New(press.Config{
		Residents: s.residents, Audit: s.audit, Tree: s.tree.Load, Keys: s.keys, Host: s.settings.PublicHost, FontFile: s.settings.Font,
	})
}
