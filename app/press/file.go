package press

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/xingfuma/happycode/qrcode/cards"
)

// ErrInUse says that another process is printing to the same file.
var ErrInUse = errors.New("another process is printing to this file")

// File prints the cards of a division to a file. The sheets drawn so far stand
// in path + ".part", so that a print that was stopped, however, goes on where
// it was when it is started again; path itself only ever holds a whole print,
// the same as of a run that was not stopped. What changed in between is drawn
// anew: a sheet is taken over only if everything on it is still so.
//
// progress hears how many cards of how many are done.
//
// Errors: [ErrEmpty], [ErrInUse], [cards.ErrFont], [regions.ErrDivision].
func (p *Press) File(ctx context.Context, o Order, path string, progress func(done, total int)) (Tally, error) {
	fonts, closeFonts, err := p.fonts(processors())
	if err != nil {
		return Tally{}, err
	}
	defer closeFonts()
	total, err := p.Count(ctx, o, 0)
	if err != nil {
		return total, err
	}
	if total.Cards == 0 {
		return total, ErrEmpty
	}
	shelf, err := openShelf(path + ".part")
	if err != nil {
		return total, err
	}
	defer shelf.close()
	drawn, err := p.leaves(ctx, o, fonts, shelf,
		func(done int) { progress(done, total.Cards) }, func(cards.Leaf) error { return nil })
	if err != nil {
		return drawn, err
	}
	// Whoever got a new code meanwhile is drawn anew by this second walk, which
	// otherwise finds everything on the shelf.
	bound, err := p.bindFile(ctx, o, path, fonts, shelf)
	if err != nil {
		return bound, err
	}
	bound.Reused, bound.Printed = drawn.Reused, drawn.Printed+bound.Printed
	return bound, shelf.remove()
}

// bindFile writes path whole or not at all.
func (p *Press) bindFile(ctx context.Context, o Order, path string, fonts []*cards.Font, shelf *shelf) (Tally, error) {
	f, err := os.OpenFile(path+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return Tally{}, err
	}
	t, err := p.bind(ctx, o, f, fonts, shelf, func(int) {})
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return t, errors.Join(err, os.Remove(f.Name()))
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return t, err
	}
	return t, errors.Join(dir.Sync(), dir.Close())
}

type key string // 32 bytes

const (
	keySize  = 32
	headSize = keySize + 4 // and the length of what follows
	tailSize = 4           // CRC-32 of all before
	// maxLeaf is more than any sheet takes, in bytes.
	maxLeaf = 16 << 20
)

// shelf is a file of drawn sheets by key. Records are only appended; one that
// was cut off by the end of its process is dropped at the next start. The nil
// shelf is empty and keeps nothing.
type shelf struct {
	file *os.File
	end  int64
	at   map[key]int64 // where the record begins
}

// openShelf opens or makes the file, for this process alone.
func openShelf(path string) (*shelf, error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			if errors.Is(err, syscall.EWOULDBLOCK) {
				err = ErrInUse
			}
			return nil, errors.Join(err, f.Close())
		}
		// The process before may have removed it between opening and locking.
		own, err := f.Stat()
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		if there, err := os.Stat(path); err != nil || !os.SameFile(own, there) {
			if err := f.Close(); err != nil {
				return nil, err
			}
			continue
		}
		s := &shelf{file: f, at: map[key]int64{}}
		if err := s.load(); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		return s, nil
	}
}

// load finds the records and cuts off what is not one.
func (s *shelf) load() error {
	for {
		k, content, err := s.read(s.end)
		if errors.Is(err, io.EOF) || errors.Is(err, errRecord) {
			return s.file.Truncate(s.end)
		}
		if err != nil {
			return err
		}
		s.at[k] = s.end
		s.end += int64(headSize + len(content) + tailSize)
	}
}

// errRecord says that a record is not whole.
var errRecord = errors.New("the record is not whole")

func (s *shelf) read(at int64) (key, []byte, error) {
	head := make([]byte, headSize)
	if _, err := s.file.ReadAt(head, at); err != nil {
		return "", nil, err
	}
	n := binary.BigEndian.Uint32(head[keySize:])
	if n > maxLeaf {
		return "", nil, errRecord
	}
	rest := make([]byte, int(n)+tailSize)
	if _, err := s.file.ReadAt(rest, at+headSize); err != nil {
		return "", nil, err
	}
	content := rest[:n]
	if crc32.Update(crc32.ChecksumIEEE(head), crc32.IEEETable, content) != binary.BigEndian.Uint32(rest[n:]) {
		return "", nil, errRecord
	}
	return key(head[:keySize]), content, nil
}

func (s *shelf) get(k key, leaf *cards.Leaf) (bool, error) {
	if s == nil {
		return false, nil
	}
	at, ok := s.at[k]
	if !ok {
		return false, nil
	}
	_, content, err := s.read(at)
	if err != nil {
		return false, fmt.Errorf("read %s: %w", s.file.Name(), err)
	}
	if err := gob.NewDecoder(bytes.NewReader(content)).Decode(leaf); err != nil {
		return false, fmt.Errorf("read %s: %w", s.file.Name(), err)
	}
	return true, nil
}

func (s *shelf) put(k key, leaf cards.Leaf) error {
	if s == nil {
		return nil
	}
	var content bytes.Buffer
	if err := gob.NewEncoder(&content).Encode(leaf); err != nil {
		return err
	}
	b := binary.BigEndian.AppendUint32([]byte(k), uint32(content.Len()))
	b = append(b, content.Bytes()...)
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	if _, err := s.file.WriteAt(b, s.end); err != nil {
		return err
	}
	s.at[k] = s.end
	s.end += int64(len(b))
	return nil
}

func (s *shelf) close() { _ = s.file.Close() } // what matters was synced, or is drawn again

// remove ends the shelf with its file.
func (s *shelf) remove() error {
	if err := os.Remove(s.file.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
