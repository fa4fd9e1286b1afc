package webhooks

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/regions"
	"github.com/xingfuma/happycode/app/store"
)

const (
	secretPrefix = "whsec_"
	// sendTime is how long a receiver may take to answer.
	sendTime = 10 * time.Second
	// claimTime is how long one process has a delivery for itself.
	claimTime = time.Minute
	// giveUpAfter is how long nothing may be taken before a hook is disabled.
	giveUpAfter = 72 * time.Hour
	// keepFor is how long deliveries are kept.
	keepFor = 30 * 24 * time.Hour
	// atOnce is how many are sent to a hook side by side, and perTick how many in
	// a tick. Each hook has its own, so that none waits for another.
	atOnce, perTick = 4, 100
	// restFor is how long a hook that did not answer in time is left alone.
	restFor = time.Minute
)

// backoff is how long after each try the next one comes: some 29 hours in all,
// as the Standard Webhooks specification suggests.
func backoff() []time.Duration {
	return []time.Duration{
		5 * time.Second, time.Minute, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 12 * time.Hour,
	}
}

// message is what is sent: ids and quantities, never a name.
type message struct {
	Type      string `json:"type"`
	Timestamp string `json:"timestamp"` // RFC 3339, when it happened
	Data      data   `json:"data"`
}

type data struct {
	County       string `json:"county"`
	Division     string `json:"division"`
	Resident     string `json:"resident"`
	Need         string `json:"need"`
	Allocation   string `json:"allocation"`
	Offer        string `json:"offer"`
	Organisation string `json:"organisation"`
	QtyUnits     int64  `json:"qty_units"`
	Reason       string `json:"reason"` // the code
}

// gather makes a delivery of each event for each hook that asks for it. Its id
// follows from both, so that reading again, here or elsewhere, makes no second.
func (s *Service) gather(ctx context.Context) error {
	now := s.cfg.Now() // before the hooks are read: one that comes meanwhile has missed nothing
	hooks, err := s.active(ctx)
	if err != nil {
		return err
	}
	if len(hooks) == 0 {
		return nil
	}
	at, err := s.outbox.Get(ctx, "outbox")
	if errors.Is(err, store.ErrNotFound) {
		at, err = &outbox{Meta: store.Meta{ID: "outbox"}}, nil
		if failed := s.outbox.Insert(ctx, at); failed != nil && !errors.Is(failed, store.ErrDuplicate) {
			return failed
		}
	}
	if err != nil {
		return err
	}
	from, to := hooks[0].ActiveMs, now.Add(-care.ToldMargin).UnixMilli()
	for _, h := range hooks {
		from = min(from, h.ActiveMs)
	}
	if from = max(from, at.AtMs); from >= to {
		return nil
	}
	for after := ""; ; {
		events, next, err := s.cfg.Ledger.Told(ctx, from, to, after, store.MaxPage)
		if err != nil {
			return err
		}
		var fresh []*Delivery
		for _, e := range events {
			for _, h := range hooks {
				if h.wants(e) {
					d, err := delivery(h, e, now.UnixMilli())
					if err != nil {
						return err
					}
					fresh = append(fresh, d)
				}
			}
		}
		if _, err := s.deliveries.InsertAll(ctx, fresh); err != nil {
			return err
		}
		if after = next; next == "" {
			break
		}
	}
	_, err = s.outbox.Change(ctx, "outbox", func(o *outbox) error {
		o.AtMs = max(o.AtMs, to)
		return nil
	})
	return err
}

func (h *Hook) wants(e *care.Event) bool { return e.TellMs >= h.ActiveMs && h.told(e) }

// told says whether an event is one that the hook is told of, whenever it was.
func (h *Hook) told(e *care.Event) bool {
	if len(h.Kinds) > 0 && !slices.Contains(h.Kinds, e.Kind) {
		return false
	}
	if h.Organisation != "" {
		return e.Organisation == h.Organisation
	}
	place := e.Division
	if place == "" {
		place = e.County
	}
	return regions.Within(place, h.Division)
}

func delivery(h *Hook, e *care.Event, nowMs int64) (*Delivery, error) {
	sum := sha256.Sum256([]byte(h.ID + "|" + e.ID))
	if h.Organisation != "" { // nothing of whom it is about
		cut := e.ForProvider()
		e = &cut
	}
	body, err := json.Marshal(message{
		Type: e.Kind, Timestamp: time.UnixMilli(e.AtMs).UTC().Format(time.RFC3339Nano),
		Data: data{e.County, e.Division, e.Resident, e.Need, e.Allocation, e.Offer, e.Organisation, e.QtyUnits, e.Reason.Code},
	})
	if err != nil {
		return nil, err
	}
	return &Delivery{
		Meta: store.Meta{ID: "msg_" + hex.EncodeToString(sum[:16])}, Hook: h.ID, Kind: e.Kind, Body: string(body), State: Pending, AtMs: nowMs, NextMs: nowMs,
	}, nil
}

// send begins to try what is due, for each hook by itself; a hook that is still
// being sent to, or rests, is passed over.
func (s *Service) send(ctx context.Context) (wait func() error, err error) {
	var g errgroup.Group
	hooks, err := s.active(ctx)
	if err != nil {
		return g.Wait, err
	}
	now := s.cfg.Now().UnixMilli()
	for _, h := range hooks {
		if h.RestMs > now || !s.take(h.ID) {
			continue
		}
		g.Go(func() error {
			defer s.leave(h.ID)
			return s.sendTo(ctx, h.ID)
		})
	}
	return g.Wait, nil
}

// take has a hook for this process's one sender to it.
func (s *Service) take(hook string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	free := !s.busy[hook]
	s.busy[hook] = true
	return free
}

func (s *Service) leave(hook string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.busy, hook)
}

// sendTo tries what is due for a hook, until it does not answer in time.
func (s *Service) sendTo(ctx context.Context, hook string) error {
	due, _, err := s.deliveries.Find(ctx, store.Query{
		Index: "hook_due", Equal: []any{hook, string(Pending)}, To: s.cfg.Now().UnixMilli() + 1, Limit: perTick,
	})
	if err != nil {
		return err
	}
	var hangs atomic.Bool
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for _, d := range due {
		g.Go(func() error {
			if hangs.Load() {
				return nil
			}
			err := s.try(gctx, d)
			if d.Fault == timedOut {
				hangs.Store(true)
			}
			return err
		})
	}
	return g.Wait()
}

// try sends one delivery, if no other process does, and writes down what came
// of it. A process that dies in between leaves it to be sent again.
func (s *Service) try(ctx context.Context, d *Delivery) error {
	h, err := s.hooks.Get(ctx, d.Hook)
	if err != nil {
		return err
	}
	now := s.cfg.Now()
	if !h.Active {
		return nil
	}
	if now.UnixMilli()-d.AtMs > giveUpAfter.Milliseconds() { // it was off meanwhile
		d.State = Failed
		return lost(s.deliveries.Replace(ctx, d))
	}
	d.NextMs = now.Add(claimTime).UnixMilli()
	if err := s.deliveries.Replace(ctx, d); err != nil {
		return lost(err)
	}
	d.Status, d.Fault = s.post(ctx, h, d)
	if ctx.Err() != nil {
		return ctx.Err() // the claim runs out
	}
	now = s.cfg.Now()
	d.Tries++
	d.LastMs = now.UnixMilli()
	waits := backoff()
	switch {
	case d.Status >= 200 && d.Status < 300:
		d.State = Taken
	case d.Tries > len(waits):
		d.State = Failed
	default:
		d.NextMs = now.Add(waits[d.Tries-1]).UnixMilli()
	}
	if err := s.deliveries.Replace(ctx, d); err != nil {
		return lost(err)
	}
	return s.judge(ctx, h.ID, d, now)
}

// lost passes over a document that another process has: it does the work.
func lost(err error) error {
	if errors.Is(err, store.ErrConflict) {
		return nil
	}
	return err
}

// judge notes on the hook whether it takes what is sent, and disables one that
// has taken nothing for long, or says that it is gone.
func (s *Service) judge(ctx context.Context, hook string, d *Delivery, now time.Time) error {
	_, err := s.hooks.Change(ctx, hook, func(h *Hook) error {
		if d.State == Taken {
			if h.FailingMs == 0 && now.UnixMilli()-h.LastMs < time.Minute.Milliseconds() {
				return errSame // it is known to be well
			}
			h.FailingMs, h.LastMs = 0, now.UnixMilli()
			return nil
		}
		if h.FailingMs == 0 {
			h.FailingMs = now.UnixMilli()
		}
		if d.Fault == timedOut {
			h.RestMs = now.Add(restFor).UnixMilli()
		}
		switch {
		case d.Status == http.StatusGone:
			h.Active, h.Why = false, "gone"
		case now.UnixMilli()-h.FailingMs >= giveUpAfter.Milliseconds():
			h.Active, h.Why = false, "failing"
		}
		return nil
	})
	if errors.Is(err, errSame) {
		return nil
	}
	return err
}

// Sign makes the signature of a message by the Standard Webhooks specification:
// HMAC-SHA256 over id, Unix seconds and body. secret is "whsec_" and base64.
func Sign(secret, id string, unixSeconds int64, body []byte) (string, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, secretPrefix))
	if err != nil {
		return "", fmt.Errorf("a webhook's secret: %w", err)
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%d.%s", id, unixSeconds, body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)), nil
}

// post sends a delivery once. fault says why there was no answer.
func (s *Service) post(ctx context.Context, h *Hook, d *Delivery) (status int, fault string) {
	secret, err := s.cfg.Vault.OpenField(secretField, h.ID, h.SecretSealed)
	if err != nil {
		s.cfg.Logger.Error("open the secret of a webhook", "hook", h.ID, "error", err)
		return 0, "secret"
	}
	at := s.cfg.Now().Unix()
	signature, err := Sign(secret, d.ID, at, []byte(d.Body))
	if err != nil {
		s.cfg.Logger.Error("sign a delivery", "hook", h.ID, "error", err)
		return 0, "secret"
	}
	ctx, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader([]byte(d.Body)))
	if err != nil {
		return 0, "unreachable"
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "happycode-webhooks")
	req.Header.Set("Webhook-Id", d.ID)
	req.Header.Set("Webhook-Timestamp", strconv.FormatInt(at, 10))
	req.Header.Set("Webhook-Signature", signature)
	res, err := s.client.Do(req)
	var late net.Error
	switch {
	case errors.Is(err, errAddress):
		return 0, "refused_address"
	case errors.As(err, &late) && late.Timeout():
		return 0, timedOut
	case err != nil:
		return 0, "unreachable"
	}
	defer res.Body.Close()
	_, _ = io.CopyN(io.Discard, res.Body, 4096) // what it says does not matter
	return res.StatusCode, ""
}

// timedOut is the fault of a hook that did not answer in time.
const timedOut = "timeout"

var errAddress = errors.New("not a public address")

// newClient sends to public addresses and to networks: the address is judged
// after the name was looked up, when the connection is made, so that a name
// cannot lead inside. It follows no redirect and uses no proxy.
func newClient(networks []netip.Prefix) *http.Client {
	dialer := &net.Dialer{Timeout: sendTime, Control: func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil || !reachable(to.Addr(), networks) {
			return errAddress
		}
		return nil
	}}
	return &http.Client{
		Timeout: sendTime,
		Transport: &http.Transport{
			DialContext: dialer.DialContext, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute,
			TLSHandshakeTimeout: sendTime, MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// inside are networks that are not public, besides those that netip knows.
// Source: the IANA special-purpose address registries.
func inside() []netip.Prefix {
	var out []netip.Prefix
	for _, s := range []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
	} {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// reachable says whether an address may be sent to: a public one, or one of the
// networks that the operator has allowed.
func reachable(ip netip.Addr, networks []netip.Prefix) bool {
	ip = ip.Unmap().WithZone("")
	in := func(p netip.Prefix) bool { return p.Contains(ip) }
	if slices.ContainsFunc(networks, in) {
		return true
	}
	if ip.Is6() && !netip.MustParsePrefix("2000::/3").Contains(ip) {
		return false
	}
	return ip.IsGlobalUnicast() && !ip.IsPrivate() && !slices.ContainsFunc(inside(), in)
}

// forget drops deliveries of long ago.
func (s *Service) forget(ctx context.Context) error {
	old, _, err := s.deliveries.Find(ctx, store.Query{Index: "at", To: s.cfg.Now().Add(-keepFor).UnixMilli(), Limit: 200})
	if err != nil {
		return err
	}
	ids := make([]string, len(old))
	for i, d := range old {
		ids[i] = d.ID
	}
	return s.deliveries.Delete(ctx, ids...)
}
