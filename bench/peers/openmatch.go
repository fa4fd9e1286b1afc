package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// openMatch calls the frontend of a matcher that runs apart, by Open Match's
// API in the Connect protocol: it creates a ticket and watches for its
// assignment. What is matched with what is that server's affair, so nothing is
// raced for.
type openMatch struct {
	url    string
	conns  int
	client *http.Client
}

const openMatchService = "/openmatch.FrontendService/"

func (p *openMatch) name() string { return "openmatch" }
func (p *openMatch) what() string {
	return "a ticket created and its assignment watched over HTTP at " + p.url
}
func (p *openMatch) perCall() int { return 1 }
func (p *openMatch) raced() bool  { return false }

func (p *openMatch) open(context.Context, []lot) error {
	p.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2 * p.conns}}
	return nil
}

func (p *openMatch) serve(ctx context.Context, needs []need) ([]answer, error) {
	n := needs[0]
	var ticket struct {
		ID string `json:"id"`
	}
	if err := p.create(ctx, n, &ticket); err != nil {
		return nil, err
	}
	assigned, err := p.watch(ctx, ticket.ID)
	return []answer{answer(assigned)}, err
}

func (p *openMatch) create(ctx context.Context, n need, ticket any) error {
	body, err := json.Marshal(map[string]any{"ticket": map[string]any{"searchFields": map[string]any{"tags": []string{n.category}}}})
	if err != nil {
		return err
	}
	resp, err := p.post(ctx, "CreateTicket", "application/json", body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return json.NewDecoder(resp.Body).Decode(ticket)
}

// watch reads the stream until it names an assignment. Each message has five
// bytes in front: flags and its length.
func (p *openMatch) watch(ctx context.Context, ticket string) (string, error) {
	ctx, cancel := context.WithCancel(ctx) // ends the stream
	defer cancel()
	text, err := json.Marshal(map[string]string{"ticketId": ticket})
	if err != nil {
		return "", err
	}
	body := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(text))), text...)
	resp, err := p.post(ctx, "WatchAssignments", "application/connect+json", body)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	for {
		var head [5]byte
		if _, err := io.ReadFull(resp.Body, head[:]); err != nil {
			return "", err
		}
		message := make([]byte, binary.BigEndian.Uint32(head[1:]))
		if _, err := io.ReadFull(resp.Body, message); err != nil {
			return "", err
		}
		if head[0]&2 != 0 {
			return "", fmt.Errorf("the watch ended: %s", message)
		}
		var m struct {
			Assignment struct {
				Connection string `json:"connection"`
			} `json:"assignment"`
		}
		if err := json.Unmarshal(message, &m); err != nil {
			return "", err
		}
		if m.Assignment.Connection != "" {
			return m.Assignment.Connection, nil
		}
	}
}

func (p *openMatch) post(ctx context.Context, method, kind string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+openMatchService+method, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", kind)
	req.Header.Set("Connect-Protocol-Version", "1")
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 500))
		resp.Body.Close()
		return nil, fmt.Errorf("%s: %s: %s", method, resp.Status, text)
	}
	return resp, nil
}

func (p *openMatch) close() {
	if p.client != nil {
		p.client.CloseIdleConnections()
	}
}
