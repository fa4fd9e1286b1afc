package app

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/xingfuma/happycode/app/accounts"
	"github.com/xingfuma/happycode/app/store"
)

const (
	replayKept = 24 * time.Hour // how long an answer is repeated
	// replayStale is after how long a request without an answer is taken for
	// one whose process died; longer than any request may run.
	replayStale = requestTime + 30*time.Second
	// replaySoon is the same where it does no harm to run a request again while
	// the first may still be at work: its client has lost the answer and waits.
	replaySoon = 3 * time.Second
	replayKey  = 128 // characters of an Idempotency-Key
)

var replaySchema = store.Schema{Name: "idempotency", Indexes: []store.Index{{Name: "at", Fields: []string{"at_ms"}}}}

// replay is the answer to a request with an Idempotency-Key, kept in the
// record so that a repeat gets it again. The id is made from account, route
// and key: nobody gets another's answer. The answer may name people, so it is
// sealed, and to repeat it is to look at the person again: it is checked and
// audited as the first time. Scans are no such requests: they are run again.
type replay struct {
	store.Meta  `bson:",inline"`
	AtMs        int64  `json:"at_ms"`
	RequestHash string `json:"request_hash"` // see [App.requestHash]
	Status      int    `json:"status"`       // 0: being worked on
	ContentType string `json:"content_type"`
	Body        string `json:"body"` // sealed
	// What the request was about, for the audit log.
	Object   string `json:"object"`
	Subject  string `json:"subject"`
	Division string `json:"division"`
}

// once runs a request that carries an Idempotency-Key once, and answers its
// repeats with the first answer. Answers that promise nothing (401, 429, 5xx,
// a proof that is missing) are not kept. Errors: faultReused, faultInFlight.
func (a *App) once(c *fiber.Ctx, r *Route, p accounts.Principal, handle func() error) error {
	key := c.Get("Idempotency-Key")
	if key == "" {
		return handle()
	}
	if len(key) > replayKey || p.Role == "" || strings.ContainsFunc(key, func(r rune) bool { return r < 0x21 || r > 0x7e }) {
		return faultField.with(fieldFault{"Idempotency-Key", words{"应为 1 至 128 个可见 ASCII 字符，并须登录", "is 1 to 128 visible ASCII characters, and needs a sign-in"}})
	}
	ctx := c.UserContext()
	mine := &replay{
		Meta: store.Meta{ID: hash(p.Account, r.Name, key)}, AtMs: store.Millis(a.Now()),
		RequestHash: a.requestHash(c.Path(), string(c.Body())),
	}
	err := a.replays.Insert(ctx, mine)
	switch {
	case errors.Is(err, store.ErrDuplicate):
		kept, err := a.replays.Get(ctx, mine.ID)
		if errors.Is(err, store.ErrNotFound) {
			return faultInFlight // it was dropped a moment ago
		}
		if err != nil {
			return err
		}
		age := time.Duration(mine.AtMs-kept.AtMs) * time.Millisecond
		switch {
		case age > replayKept || kept.Status == 0 && (age > replayStale || r.Repeatable && age > replaySoon || a.outlived(kept)):
			mine.V = kept.V // take it over, if nobody else does
			if err := a.replays.Replace(ctx, mine); errors.Is(err, store.ErrConflict) {
				return faultInFlight
			} else if err != nil {
				return err
			}
		case kept.RequestHash != mine.RequestHash:
			return faultReused
		case kept.Status == 0:
			return faultInFlight
		default:
			return a.again(c, r, p, kept)
		}
	case err != nil:
		return err
	default:
		a.forgetReplays(c)
	}
	return a.first(c, r, mine, handle)
}

// outlived says whether a request without an answer was another process's, which
// has died: the embedded record is one process's, so what is older than this
// one has nobody who works on it.
func (a *App) outlived(kept *replay) bool {
	return a.Settings.MongoURI == "" && kept.AtMs < a.startedMs
}

// first runs the request and keeps its answer.
func (a *App) first(c *fiber.Ctx, r *Route, mine *replay, handle func() error) (err error) {
	ctx := c.UserContext()
	kept := false
	defer func() { // also when the handler panics
		if !kept {
			if drop := a.replays.Delete(ctx, mine.ID); drop != nil {
				a.Logger.Error("drop idempotency key", "request", requestID(c), "error", drop)
			}
		}
	}()
	failed := handle()
	if failed != nil {
		if f := faultOf(failed); f.status >= 500 || f.status == http.StatusUnauthorized || f.status == http.StatusTooManyRequests || f.again {
			return failed
		}
		if err := a.refuse(c, failed); err != nil {
			return err
		}
	}
	b, _ := c.Locals(localAbout).(about)
	mine.Object, mine.Subject, mine.Division = b.object, b.subject, b.division
	mine.Status = c.Response().StatusCode()
	mine.ContentType = string(c.Response().Header.ContentType())
	if mine.Body, err = a.Vault.Seal("idempotency", mine.ID, string(c.Response().Body())); err != nil {
		return fmt.Errorf("keep answer %s: %w", mine.ID, err)
	}
	err = a.replays.Replace(ctx, mine)
	if r.Repeatable && errors.Is(err, store.ErrConflict) {
		err = nil // a repeat has taken over and keeps its answer, which is as good
	}
	if err != nil {
		return fmt.Errorf("keep answer %s: %w", mine.ID, err)
	}
	kept = true
	return failed
}

// again sends a kept answer to one who may still see what it is about.
// Errors: errOutside, audited.
func (a *App) again(c *fiber.Ctx, r *Route, p accounts.Principal, kept *replay) error {
	b := about{kept.Object, kept.Subject, kept.Division}
	if b.subject != "" && !p.Sees(b.division) && p.Resident != b.subject {
		if err := a.denied(c, p, r, b.object, b.subject, b.division); err != nil {
			return err
		}
		return errOutside
	}
	if r.Purpose != "" && kept.Status < http.StatusBadRequest {
		if err := a.did(c, p, r, b); err != nil {
			return err
		}
	}
	body, err := a.Vault.OpenField("idempotency", kept.ID, kept.Body)
	if err != nil {
		return fmt.Errorf("open answer %s: %w", kept.ID, err)
	}
	c.Set("Idempotent-Replayed", "true")
	c.Set(fiber.HeaderContentType, kept.ContentType)
	return c.Status(kept.Status).SendString(body)
}

// forgetReplays deletes some of the answers whose day has passed.
func (a *App) forgetReplays(c *fiber.Ctx) {
	old, _, err := a.replays.Find(c.UserContext(), store.Query{
		Index: "at", To: store.Millis(a.Now().Add(-replayKept)), Limit: 20,
	})
	if err == nil {
		ids := make([]string, len(old))
		for i, r := range old {
			ids[i] = r.ID
		}
		err = a.replays.Delete(c.UserContext(), ids...)
	}
	if err != nil {
		a.Logger.Warn("forget old idempotency keys", "error", err)
	}
}

// requestHash tells whether a repeat asks the same. It is keyed, because a body
// may hold a PIN, which could be guessed from a plain hash.
func (a *App) requestHash(path, body string) string {
	return a.Vault.BlindIndex("request", hash(path, body))
}

// hash is the hex SHA-256 of parts, each with its length before it.
func hash(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil))
}
