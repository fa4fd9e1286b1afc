// Package sms tells residents by text message what became of what they waited
// for: through the operator's own gateway, to those who have agreed to it. The
// phone number is opened when a message goes out, and kept nowhere. See
// DESIGN.md.
package sms

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/xingfuma/happycode/app/audit"
	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/residents"
	"github.com/xingfuma/happycode/app/store"
	"github.com/xingfuma/happycode/matching"
)

const (
	// perMinute is how many messages a server sends in a minute at most.
	perMinute = 60
	// sendTime is how long the gateway may take to answer.
	sendTime = 10 * time.Second
	// claimTime is how long one process has a message for itself.
	claimTime = time.Minute
	// putOff is how long a message waits that could not be written.
	putOff = 10 * time.Minute
	// lastsFor is how long a message is worth sending.
	lastsFor = 24 * time.Hour
	// keepFor is how long it is remembered what was sent.
	keepFor = 90 * 24 * time.Hour
	// remindBefore is how long before its end a promise is called to mind.
	remindBefore = 3 * time.Hour
	// remindAgain is how soon an end that was drawn nearer is noticed, as when a
	// device brings back what it had.
	remindAgain = 15 * time.Minute
	// night is when nothing is sent but what is urgent, in hours of China.
	nightFrom, nightUntil = 22, 7
	// urgent is the urgency from which on the night does not count.
	urgent = 4
)

// The templates, as the gateway knows them.
const (
	Given    = "given"         // promised from the waiting list: where and until when to fetch it
	Expiring = "expiring"      // what was promised is about to go back
	Over     = "need_expired"  // the need's time is over and nothing was found
	OverRest = "rest_expired"  // the same for what was left of it
	system   = "system"        // who promises from the waiting list
	actSent  = "send_sms"      // in the audit log
	outboxID = "outbox"        // of the one document that says how far the ledger was read
	agent    = "happycode-sms" // in the header
)

// Message is a text on its way. It holds ids only.
type Message struct {
	store.Meta `bson:",inline"`
	Template   string `json:"template"`
	Resident   string `json:"resident"`
	Need       string `json:"need"`
	Allocation string `json:"allocation"`
	State      string `json:"state"` // "pending", "sent", "skipped" or "failed"
	Why        string `json:"why"`   // of a skipped one: "consent", "phone", "over"
	AtMs       int64  `json:"at_ms"`
	NextMs     int64  `json:"next_ms"`
	Tries      int    `json:"tries"`
	Status     int    `json:"status"` // of the last answer; 0: there was none
}

type outbox struct {
	store.Meta `bson:",inline"`
	AtMs       int64 `json:"at_ms"`
}

var (
	messageSchema = store.Schema{Name: "sms", Indexes: []store.Index{
		{Name: "due", Fields: []string{"state", "next_ms"}},
		{Name: "at", Fields: []string{"at_ms"}},
	}}
	outboxSchema = store.Schema{Name: "sms_outbox"}
)

// Schemas are the collections of this package.
func Schemas() []store.Schema { return []store.Schema{messageSchema, outboxSchema} }

// Config is what [New] needs.
type Config struct {
	Record    store.Record // with [Schemas]
	Care      *care.Service
	Residents *residents.Service
	Audit     *audit.Log
	Now       func() time.Time
	Logger    *slog.Logger // slog.Default() when nil
	URL       string       // of the operator's gateway; "": nothing is sent
	Secret    string       // sent to it as a bearer token; "": none
}

// Service sends text messages.
type Service struct {
	cfg      Config
	messages store.Collection[Message, *Message]
	outbox   store.Collection[outbox, *outbox]
	client   *http.Client
	minute   int64 // of sent
	sent     int   // in that minute
	warned   time.Time
	reminded int64     // what ends before that (Unix ms) is written down
	again    time.Time // when all of it is looked at again
}

// New makes the service; [Service.Run] sends.
func New(c Config) *Service {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return &Service{
		cfg: c, messages: store.Of[Message](c.Record, messageSchema), outbox: store.Of[outbox](c.Record, outboxSchema),
		client: &http.Client{Timeout: sendTime, Transport: &http.Transport{ // no proxy: the phone numbers go to the gateway only
			ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: sendTime, MaxResponseHeaderBytes: 64 << 10,
		}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
}

// Run sends until the context ends; without a gateway it does nothing.
func (s *Service) Run(ctx context.Context, every time.Duration) {
	if s.cfg.URL == "" {
		return
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if err := s.Tick(ctx); err != nil && ctx.Err() == nil {
			s.cfg.Logger.Error("text messages", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Tick writes down what is to be said, and sends what is due. One caller at a
// time.
func (s *Service) Tick(ctx context.Context) error {
	if err := s.gather(ctx); err != nil {
		return fmt.Errorf("gather text messages: %w", err)
	}
	if err := s.remind(ctx); err != nil {
		return fmt.Errorf("remind of promises: %w", err)
	}
	if err := s.send(ctx); err != nil {
		return fmt.Errorf("send text messages: %w", err)
	}
	return s.forget(ctx)
}

// gather reads the ledger since it was last read. The id of a message is made
// of what it tells, so that reading again makes no second.
func (s *Service) gather(ctx context.Context) error {
	now := s.cfg.Now()
	to := now.Add(-care.ToldMargin).UnixMilli()
	at, err := s.outbox.Get(ctx, outboxID)
	if errors.Is(err, store.ErrNotFound) { // what was before there was a gateway is not told
		err = s.outbox.Insert(ctx, &outbox{Meta: store.Meta{ID: outboxID}, AtMs: to})
		if errors.Is(err, store.ErrDuplicate) {
			err = nil
		}
		return err
	}
	if err != nil || at.AtMs >= to {
		return err
	}
	for after := ""; ; {
		events, next, err := s.cfg.Care.Told(ctx, at.AtMs, to, after, store.MaxPage)
		if err != nil {
			return err
		}
		var fresh []*Message
		for _, e := range events {
			template := map[string]string{"need.expired": Over, "need.rest_expired": OverRest}[e.Kind]
			if e.Kind == "allocation.promised" && e.By == system {
				template = Given
			}
			if template != "" && e.Resident != "" {
				fresh = append(fresh, s.message("sms:"+e.ID, template, e.Resident, e.Need, e.Allocation, e.AtMs))
			}
		}
		if _, err := s.messages.InsertAll(ctx, fresh); err != nil {
			return err
		}
		if after = next; next == "" {
			break
		}
	}
	_, err = s.outbox.Change(ctx, outboxID, func(o *outbox) error {
		o.AtMs = max(o.AtMs, to)
		return nil
	})
	return err
}

// message is on its way for what happened at a time (Unix ms).
func (s *Service) message(id, template, resident, need, allocation string, atMs int64) *Message {
	now := s.cfg.Now().UnixMilli()
	return &Message{
		Meta: store.Meta{ID: id}, Template: template, Resident: resident, Need: need, Allocation: allocation, State: "pending", AtMs: atMs, NextMs: now,
	}
}

// remind writes down what is about to go back. What was promised for a shorter
// time than that, at a scan, was said to the person then.
func (s *Service) remind(ctx context.Context) error {
	now := s.cfg.Now()
	from, to := max(s.reminded, now.UnixMilli()), now.Add(remindBefore).UnixMilli()
	if !now.Before(s.again) {
		from, s.again = now.UnixMilli(), now.Add(remindAgain)
	}
	for after := ""; from < to; {
		soon, next, err := s.cfg.Care.Expiring(ctx, from, to, after)
		if err != nil {
			s.again = now
			return err
		}
		var fresh []*Message
		for _, a := range soon {
			if a.ExpiresMs-a.PromisedMs > remindBefore.Milliseconds() {
				fresh = append(fresh, s.message("sms:"+a.ID+":"+Expiring, Expiring, a.Resident, a.Need, a.ID, now.UnixMilli()))
			}
		}
		if _, err := s.messages.InsertAll(ctx, fresh); err != nil {
			s.again = now
			return err
		}
		if after = next; next == "" {
			break
		}
	}
	s.reminded = to
	return nil
}

// send sends what is due, as many in a minute as there may be.
func (s *Service) send(ctx context.Context) error {
	due, _, err := s.messages.Find(ctx, store.Query{
		Index: "due", Equal: []any{"pending"}, To: s.cfg.Now().UnixMilli() + 1, Limit: perMinute,
	})
	if err != nil {
		return err
	}
	for _, m := range due {
		if minute := s.cfg.Now().Unix() / 60; minute != s.minute {
			s.minute, s.sent = minute, 0
		}
		if s.sent >= perMinute {
			return nil
		}
		if err := s.try(ctx, m); err != nil {
			if ctx.Err() != nil {
				return err
			}
			// One message does not stop the others.
			s.cfg.Logger.Error("send a text message later", "message", m.ID, "error", err)
			if _, err := s.messages.Change(ctx, m.ID, func(m *Message) error {
				m.NextMs = s.cfg.Now().Add(putOff).UnixMilli()
				return nil
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

// morning is when the night that a time lies in ends; the time itself by day.
func morning(t time.Time) time.Time {
	local := t.In(time.FixedZone("CST", 8*3600))
	at := time.Date(local.Year(), local.Month(), local.Day(), nightUntil, 0, 0, 0, local.Location())
	switch {
	case local.Hour() >= nightFrom:
		return at.AddDate(0, 0, 1)
	case local.Hour() < nightUntil:
		return at
	}
	return t
}

// try sends one message, if no other process does. A process that dies before
// it has written down the answer leaves it to be sent again under its id.
func (s *Service) try(ctx context.Context, m *Message) error {
	text, why, err := s.compose(ctx, m)
	if errors.Is(err, store.ErrNotFound) {
		why, err = "over", nil
	}
	if err != nil {
		return err
	}
	now := s.cfg.Now()
	if why == "" && now.UnixMilli()-m.AtMs > lastsFor.Milliseconds() {
		why = "over"
	}
	if why != "" {
		m.State, m.Why = "skipped", why
		return lost(s.messages.Replace(ctx, m))
	}
	if day := morning(now); day.After(now) && text.urgency < urgent {
		m.NextMs = day.UnixMilli()
		return lost(s.messages.Replace(ctx, m))
	}
	m.NextMs = now.Add(claimTime).UnixMilli()
	if err := s.messages.Replace(ctx, m); err != nil {
		return lost(err)
	}
	if err := s.cfg.Audit.Write(ctx, audit.Entry{
		AtMs: now.UnixMilli(), Actor: system, Role: system, Act: actSent, Object: m.ID, Subject: m.Resident, Division: text.division,
		Purpose: m.Template, Outcome: "ok",
	}); err != nil {
		return err
	}
	s.sent++
	m.Status = s.post(ctx, m, text)
	if refuses(m.Status) { // the setting is wrong, not the message: it costs no try
		if now.Sub(s.warned) >= time.Minute {
			s.warned = now
			s.cfg.Logger.Error("the text message gateway refuses this server; look at HAPPYCODE_SMS_URL and HAPPYCODE_SMS_SECRET", "status", m.Status)
		}
		m.NextMs = now.Add(putOff).UnixMilli()
		return lost(s.messages.Replace(ctx, m))
	}
	m.Tries++
	if ctx.Err() != nil {
		return ctx.Err() // the claim runs out
	}
	switch {
	case m.Status >= 200 && m.Status < 300:
		m.State = "sent"
	case m.Tries >= 8 || m.Status >= 400 && m.Status < 500 && m.Status != http.StatusTooManyRequests && m.Status != http.StatusRequestTimeout:
		m.State = "failed"
	default:
		m.NextMs = s.cfg.Now().Add(30 * time.Second << m.Tries).UnixMilli()
	}
	return lost(s.messages.Replace(ctx, m))
}

// refuses says that the gateway does not know this server or the address: the
// fault is in the settings.
func refuses(status int) bool {
	return status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusNotFound
}

func lost(err error) error {
	if errors.Is(err, store.ErrConflict) {
		return nil
	}
	return err
}

// composed is a message as the gateway gets it; it is never kept.
type composed struct {
	ID       string            `json:"id"`
	To       string            `json:"to"`
	Template string            `json:"template"`
	Params   map[string]string `json:"params"`
	TextZH   string            `json:"text_zh"`
	TextEN   string            `json:"text_en"`

	urgency  int
	division string
}

// compose makes the words of a message by what is so now. why says why it is
// not sent any more.
func (s *Service) compose(ctx context.Context, m *Message) (_ *composed, why string, err error) {
	r, err := s.cfg.Residents.Get(ctx, m.Resident)
	if err != nil {
		return nil, "", err
	}
	if r.Status != residents.Active || !r.Consent.Allows(residents.ConsentSMS) {
		return nil, "consent", nil
	}
	n, err := s.cfg.Residents.NeedByID(ctx, m.Need)
	if err != nil {
		return nil, "", err
	}
	category := care.CategoryText(n.Category)
	c := &composed{ID: m.ID, Template: m.Template, Params: map[string]string{"category_zh": category.ZH, "category_en": category.EN}, urgency: n.Urgency, division: r.Division}
	switch m.Template {
	case Over, OverRest:
		reason := n.Reason
		if m.Template == OverRest {
			reason = n.Rest
		}
		if reason.Code != matching.CodeExpired {
			return nil, "over", nil
		}
		c.TextZH = "【幸福码】您申请的“" + category.ZH + "”：" + reason.ZH + "如仍需要，请联系社工。"
		c.TextEN = "Happiness Code: " + category.EN + ". " + reason.EN + " If you still need it, call your caseworker."
	default:
		a, err := s.cfg.Care.Promise(ctx, m.Allocation)
		if err != nil {
			return nil, "", err
		}
		if a.State != care.Promised || a.ExpiresMs <= s.cfg.Now().UnixMilli() {
			return nil, "over", nil
		}
		until := time.UnixMilli(a.ExpiresMs).In(time.FixedZone("CST", 8*3600)).Format("2006-01-02 15:04")
		title := matching.Text{ZH: a.TitleZH, EN: a.TitleEN}
		if title.EN == "" {
			title.EN = title.ZH
		}
		place := matching.Text{ZH: a.Handover.Place, EN: a.Handover.PlaceEN}
		if place.EN == "" {
			place.EN = place.ZH
		}
		c.Params["title_zh"], c.Params["title_en"], c.Params["place_zh"], c.Params["place_en"] = title.ZH, title.EN, place.ZH, place.EN
		c.Params["until"], c.Params["qty_units"] = until, strconv.FormatInt(a.QtyUnits, 10)
		begin := matching.Text{ZH: "已为您安排“" + title.ZH + "”", EN: "“" + title.EN + "” is kept for you"}
		if m.Template == Expiring {
			begin = matching.Text{ZH: "为您安排的“" + title.ZH + "”快到期了", EN: "“" + title.EN + "” is kept for you a little longer"}
		}
		c.TextZH, c.TextEN = "【幸福码】"+begin.ZH+"，请在 "+until+" 前", "Happiness Code: "+begin.EN+"; fetch it by "+until
		if place.ZH != "" {
			c.TextZH, c.TextEN = c.TextZH+"到"+place.ZH, c.TextEN+" at "+place.EN
		}
		c.TextZH, c.TextEN = c.TextZH+"凭幸福码领取。", c.TextEN+" with your code."
	}
	person, err := s.cfg.Residents.Open(ctx, r)
	if err != nil {
		return nil, "", err
	}
	if c.To = person.Phone; c.To == "" {
		return nil, "phone", nil
	}
	return c, "", nil
}

// post hands a message to the gateway; 0: it did not answer.
func (s *Service) post(ctx context.Context, m *Message, c *composed) (status int) {
	body, err := json.Marshal(c)
	if err != nil {
		s.cfg.Logger.Error("write a text message", "message", m.ID, "error", err)
		return 0
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.cfg.URL, bytes.NewReader(body))
	if err != nil {
		return 0
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", agent)
	req.Header.Set("Idempotency-Key", m.ID)
	if s.cfg.Secret != "" {
		req.Header.Set("Authorization", "Bearer "+s.cfg.Secret)
	}
	res, err := s.client.Do(req)
	if err != nil {
		s.cfg.Logger.Warn("the text message gateway does not answer", "message", m.ID) // the error may hold the address with a secret
		return 0
	}
	defer res.Body.Close()
	_, _ = io.CopyN(io.Discard, res.Body, 4096) // what it says does not matter
	return res.StatusCode
}

// forget drops messages of long ago.
func (s *Service) forget(ctx context.Context) error {
	old, _, err := s.messages.Find(ctx, store.Query{Index: "at", To: s.cfg.Now().Add(-keepFor).UnixMilli(), Limit: 200})
	if err != nil {
		return err
	}
	ids := make([]string, len(old))
	for i, m := range old {
		ids[i] = m.ID
	}
	return s.messages.Delete(ctx, ids...)
}
