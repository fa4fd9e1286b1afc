package keyring

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"

	"github.com/xingfuma/happycode/qrcode"
)

// seenMost is how many signatures of each of two generations are remembered: a
// county's cards take some 10 MB.
const seenMost = 100_000

// seen remembers which signatures were found good, because checking one costs
// more than all the rest of reading a code. Only what was signed by a key of
// ours gets in, so nobody can fill it. Whether the key still counts, and the
// code's time, are asked each time.
type seen struct {
	mu         sync.Mutex
	now, older map[[sha256.Size]byte]struct{}
}

// verify is [qrcode.Keys.Verify].
func (s *seen) verify(keys qrcode.Keys, t qrcode.Token, at time.Time) error {
	b := make([]byte, 0, qrcode.Size+72)
	b = append(b, byte(t.Kind), t.Key)
	b = append(b, t.Code[:]...)
	b = binary.BigEndian.AppendUint32(b, t.Stamp)
	b = append(b, t.Signature[:]...)
	b = append(b, keys[t.Key].Public...) // a key id is no proof of which key it was
	mark := sha256.Sum256(b)
	if s.has(mark) {
		return keys.Stands(t, at)
	}
	err := keys.Verify(t, at)
	if err == nil {
		s.put(mark)
	}
	return err
}

func (s *seen) has(mark [sha256.Size]byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.now[mark]
	if !ok {
		_, ok = s.older[mark]
	}
	return ok
}

func (s *seen) put(mark [sha256.Size]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now == nil || len(s.now) >= seenMost {
		s.now, s.older = map[[sha256.Size]byte]struct{}{}, s.now
	}
	s.now[mark] = struct{}{}
}
