package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// turns stands before the server and lets one request at a time through, over
// all connections: its back end loses updates when several write at once, and
// clients of several processes cannot know of each other.
type turns struct {
	server string // host:port
	mu     sync.Mutex
}

// serve accepts clients until the listener is closed.
func (q *turns) serve(l net.Listener) error {
	for {
		client, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer client.Close()
			server, err := net.Dial("tcp", q.server)
			if err != nil {
				return
			}
			defer server.Close()
			for q.turn(client, server) == nil {
			}
		}()
	}
}

// turn carries one request to the server and its answer back. Once it is on its
// way it is carried out whether or not the client stays.
func (q *turns) turn(client, server net.Conn) error {
	request, err := message(client)
	if err != nil {
		return err
	}
	answer, err := q.asked(request, server)
	if err != nil || answer == nil {
		return err
	}
	_, err = client.Write(answer)
	return err
}

func (q *turns) asked(request []byte, server net.Conn) ([]byte, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, err := server.Write(request); err != nil {
		return nil, err
	}
	if binary.LittleEndian.Uint32(request[12:]) == opMsg && request[16]&moreToCome != 0 {
		return nil, nil // nobody answers it
	}
	return message(server)
}

// What of the wire protocol matters here.
const (
	opMsg      = 2013
	moreToCome = 2
	headBytes  = 16
	maxBytes   = 64 << 20
)

// message reads one message with its head: length, request, response, code.
func message(r io.Reader) ([]byte, error) {
	head := make([]byte, headBytes)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint32(head)
	if n <= headBytes+3 || n > maxBytes {
		return nil, fmt.Errorf("a message of %d bytes: %w", n, errors.ErrUnsupported)
	}
	m := append(head, make([]byte, n-headBytes)...)
	_, err := io.ReadFull(r, m[headBytes:])
	return m, err
}
