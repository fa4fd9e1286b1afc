package app

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/xingfuma/happycode/app/accounts"
)

const (
	// uploadsAtOnce is how many files may be in memory at once, and
	// uploadsOfOne how many of them one account's.
	uploadsAtOnce = 8
	uploadsOfOne  = 2
	// uploadLease is after how long a file is taken for gone whose end nobody
	// saw: longer than it may take to read it and to work on it.
	uploadLease = 2 * uploadTime
)

var faultBusy = &fault{status: 503, code: "busy", title: words{"上传过多", "Too many files at once"},
	detail: words{"正在处理其他文件，请稍后再上传。", "Other files are being worked on; send yours again in a while."}} // read only

// gate lets a request's body be as large as a file, and be read as slowly, only
// for somebody who may send one: it asks when the header has come and nothing
// of the body. Everybody else is held to the limit of other bodies.
//
// A request is known by its header, which the server keeps from the first byte
// to the end of the answer.
type gate struct {
	now func() time.Time

	mu   sync.Mutex
	open map[*fasthttp.RequestHeader]upload
}

// upload is a request that may send a file, or why it may not.
type upload struct {
	who   string
	until time.Time
	why   *fault
}

func newGate(now func() time.Time) *gate {
	return &gate{now: now, open: map[*fasthttp.RequestHeader]upload{}}
}

// enter takes a place for a file, or remembers why there is none: why itself,
// or faultBusy.
func (g *gate) enter(h *fasthttp.RequestHeader, who string, why *fault) (ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	delete(g.open, h) // of a request before on the same connection
	all, own := 0, 0
	for k, u := range g.open {
		switch {
		case !u.until.After(now):
			delete(g.open, k)
		case u.why == nil:
			all++
			if u.who == who {
				own++
			}
		}
	}
	if why == nil && (all >= uploadsAtOnce || own >= uploadsOfOne) {
		why = faultBusy
	}
	g.open[h] = upload{who: who, until: now.Add(uploadLease), why: why}
	return why == nil
}

// leave gives the place back, and says why there was none; nil also for
// requests that wanted none.
func (g *gate) leave(h *fasthttp.RequestHeader) *fault {
	g.mu.Lock()
	defer g.mu.Unlock()
	u := g.open[h]
	delete(g.open, h)
	return u.why
}

// uploads are the routes that take files.
func (a *App) uploads() []*Route {
	var out []*Route
	for i := range a.routes {
		if r := &a.routes[i]; r.Upload {
			out = append(out, r)
		}
	}
	return out
}

// at says whether a path is one of the route's.
func (r *Route) at(path string) bool {
	want, got := strings.Split(r.Path, "/"), strings.Split(strings.TrimSuffix(path, "/"), "/")
	return slices.EqualFunc(want, got, func(w, g string) bool { return w == g || strings.HasPrefix(w, ":") && g != "" })
}

// headerReceived says how large a request's body may be, once its header is
// there. Only what is announced as a form with files may be as large as one.
func (a *App) headerReceived(uploads []*Route) func(*fasthttp.RequestHeader) fasthttp.RequestConfig {
	return func(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
		path, _, _ := strings.Cut(string(h.RequestURI()), "?")
		i := slices.IndexFunc(uploads, func(r *Route) bool { return r.Method == string(h.Method()) && r.at(path) })
		if i < 0 || !strings.HasPrefix(strings.ToLower(string(h.ContentType())), "multipart/") {
			return fasthttp.RequestConfig{}
		}
		r := uploads[i]
		p, why := a.uploader(h, r)
		if !a.gate.enter(h, actor(p), why) {
			return fasthttp.RequestConfig{}
		}
		return fasthttp.RequestConfig{MaxRequestBodySize: int(a.Settings.UploadLimit), ReadTimeout: uploadTime}
	}
}

// uploader says who sends a file and, if they may not, why. The guard decides
// again when the body is there.
func (a *App) uploader(h *fasthttp.RequestHeader, r *Route) (accounts.Principal, *fault) {
	ctx, cancel := context.WithTimeout(context.Background(), requestTime)
	defer cancel()
	session := string(h.Cookie(cookieSecure))
	if session == "" {
		session = string(h.Cookie(cookiePlain))
	}
	p, _, err := a.recognise(ctx, string(h.Peek(fiber.HeaderAuthorization)), session)
	switch {
	case err != nil:
		return accounts.Principal{}, faultOf(err)
	case p.Role == "":
		return p, faultSignedOut
	case !slices.Contains(r.Roles, p.Role) || !p.May(r.Right):
		return p, faultRole
	}
	return p, nil
}

// brokeOff answers a request that failed before it came to the front: while
// its header or body was read.
func (a *App) brokeOff(c *fiber.Ctx, err error) error {
	why := a.gate.leave(&c.Request().Header)
	if why != nil && errors.Is(err, fiber.ErrRequestEntityTooLarge) {
		err = why
	}
	return a.refuse(c, err)
}

// letGo gives an upload's place back when the request is over.
func (a *App) letGo(c *fiber.Ctx) error {
	defer func() { _ = a.gate.leave(&c.Request().Header) }() // why it broke off is for brokeOff
	return c.Next()
}
