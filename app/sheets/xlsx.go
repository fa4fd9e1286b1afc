package sheets

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/xuri/excelize/v2"
)

// Bounds on the parts of an XLSX. A sheet is read as a stream; the shared
// strings and the other parts become structures many times their size.
const (
	maxParts       = 2000
	maxSharedBytes = 24 << 20
	maxOtherBytes  = 4 << 20
)

func readXLSX(ctx context.Context, content []byte, l Limits) ([]Row, error) {
	if err := checkParts(content, l); err != nil {
		return nil, err
	}
	// Everything stays in memory: no temporary files with people's data.
	book, err := excelize.OpenReader(bytes.NewReader(content), excelize.Options{
		UnzipSizeLimit: l.UnpackedBytes, UnzipXMLSizeLimit: l.UnpackedBytes, RawCellValue: true,
	})
	if err != nil {
		return nil, fmt.Errorf("open XLSX: %w", ErrFile)
	}
	defer book.Close()
	names := book.GetSheetList()
	if len(names) == 0 {
		return nil, fmt.Errorf("XLSX without a sheet: %w", ErrFile)
	}
	rows, err := book.Rows(names[0])
	if err != nil {
		return nil, fmt.Errorf("read XLSX: %w", ErrFile)
	}
	defer rows.Close()
	t := table{limits: l}
	for number := 1; rows.Next(); number++ {
		if number%checkEvery == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		cells, err := rows.Columns()
		if err != nil {
			return nil, fmt.Errorf("read XLSX row %d: %w", number, ErrFile)
		}
		if err := t.add(number, cells); err != nil {
			return nil, err
		}
	}
	if rows.Error() != nil {
		return nil, fmt.Errorf("read XLSX: %w", ErrFile)
	}
	return t.rows, nil
}

// checkParts refuses by what the parts say of their size before one is
// unpacked; a part that turns out larger than it says is an error of the zip.
func checkParts(content []byte, l Limits) error {
	archive, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return fmt.Errorf("open XLSX: %w", ErrFile)
	}
	if len(archive.File) > maxParts {
		return fmt.Errorf("XLSX of more than %d parts: %w", maxParts, ErrTooLarge)
	}
	var total uint64
	for _, part := range archive.File {
		size := part.UncompressedSize64
		most := uint64(maxOtherBytes)
		switch name := strings.ToLower(strings.ReplaceAll(part.Name, "\\", "/")); {
		case name == "xl/sharedstrings.xml":
			most = maxSharedBytes
		case strings.HasPrefix(name, "xl/worksheets/"), strings.HasPrefix(name, "xl/media/"):
			most = uint64(l.UnpackedBytes)
		}
		if total += size; size > most || total > uint64(l.UnpackedBytes) {
			return fmt.Errorf("XLSX unpacks to too much: %w", ErrTooLarge)
		}
	}
	return nil
}
