package sheets

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"
)

func readCSV(ctx context.Context, content []byte, l Limits) ([]Row, error) {
	text, err := decode(content)
	if err != nil {
		return nil, err
	}
	r := csv.NewReader(strings.NewReader(text))
	r.Comma = delimiter(text)
	r.FieldsPerRecord = -1
	r.LazyQuotes = true
	r.ReuseRecord = true
	t := table{limits: l}
	breaks := 0 // line breaks inside cells so far: lines that are no rows
	for n := 0; ; n++ {
		if n%checkEvery == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		cells, err := r.Read()
		if errors.Is(err, io.EOF) {
			return t.rows, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read CSV: %w", ErrFile)
		}
		line, _ := r.FieldPos(0)
		if err := t.add(line-breaks, cells); err != nil {
			return nil, err
		}
		for _, c := range cells {
			breaks += strings.Count(c, "\n")
		}
	}
}

// decode returns the text of a file: UTF-16 and UTF-8 by their marks, UTF-8
// where it is valid, and otherwise GB18030, which Chinese Excel writes.
func decode(content []byte) (string, error) {
	var from encoding.Encoding
	switch {
	case bytes.HasPrefix(content, []byte{0xEF, 0xBB, 0xBF}):
		content = content[3:]
	case bytes.HasPrefix(content, []byte{0xFF, 0xFE}), bytes.HasPrefix(content, []byte{0xFE, 0xFF}):
		from = unicode.UTF16(unicode.LittleEndian, unicode.ExpectBOM)
	case !utf8.Valid(content):
		from = simplifiedchinese.GB18030
	}
	if from != nil {
		var err error
		if content, err = from.NewDecoder().Bytes(content); err != nil {
			return "", fmt.Errorf("decode text: %w", ErrFile)
		}
	}
	if !utf8.Valid(content) || bytes.ContainsRune(content, utf8.RuneError) || bytes.IndexByte(content, 0) >= 0 {
		return "", fmt.Errorf("neither UTF-8 nor GB18030 text: %w", ErrFile)
	}
	return string(content), nil
}

// delimiter is what stands most often in the first line; the comma when none does.
func delimiter(text string) rune {
	line, _, _ := strings.Cut(strings.TrimLeft(text, "\r\n"), "\n")
	best, most := ',', strings.Count(line, ",")
	for _, d := range []rune{'\t', ';'} {
		if n := strings.Count(line, string(d)); n > most {
			best, most = d, n
		}
	}
	return best
}
