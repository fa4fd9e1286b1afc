package app

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
)

// How long a request may take.
const (
	requestTime = 30 * time.Second
	slowTime    = 110 * time.Second // of routes that may take minutes; less than the answer's WriteTimeout
	uploadTime  = 5 * time.Minute
)

// policy is what pages may load: only what we serve ourselves, no inline
// script or style. zxing-wasm needs 'wasm-unsafe-eval'.
const policy = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data: blob:; " +
	"font-src 'self'; connect-src 'self'; media-src 'self' blob:; worker-src 'self'; manifest-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// secure sets the headers that every answer carries.
func (a *App) secure(c *fiber.Ctx) {
	c.Set("Content-Security-Policy", policy)
	c.Set("X-Content-Type-Options", "nosniff")
	c.Set("X-Frame-Options", "DENY")
	// "no-referrer" would make browsers send "Origin: null" with our own
	// forms; "same-origin" tells other sites nothing either.
	c.Set("Referrer-Policy", "same-origin")
	c.Set("Permissions-Policy", "camera=(self), microphone=(), geolocation=(), payment=(), usb=()")
	c.Set("Cross-Origin-Opener-Policy", "same-origin")
	c.Set("Cross-Origin-Resource-Policy", "same-origin")
	c.Set("Cache-Control", "no-store") // serveAsset says otherwise
	if a.https(c) {
		c.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

// front is what every request passes before the routes.
func (a *App) front(c *fiber.Ctx) error {
	began := a.Now()
	c.Locals(localRequestID, newRequestID())
	c.Locals(localLang, a.visitorLang(c))
	c.Set("X-Request-Id", requestID(c))
	a.secure(c)
	if err := a.next(c); err != nil {
		if err := a.refuse(c, err); err != nil {
			return err
		}
	}
	a.observe(c, a.Now().Sub(began))
	return nil
}

// next serves the request; a panic becomes an error.
func (a *App) next(c *fiber.Ctx) (err error) {
	defer func() {
		if what := recover(); what != nil {
			a.Logger.Error("panic", "request", requestID(c), "route", routeName(c), "panic", fmt.Sprintf("%T", what), "stack", string(debug.Stack()))
			err = errPanic
		}
	}()
	// fasthttp would inflate such a body past every limit.
	if e := strings.TrimSpace(c.Get(fiber.HeaderContentEncoding)); e != "" && !strings.EqualFold(e, "identity") {
		return faultMedia
	}
	ctx, cancel := context.WithTimeout(context.Background(), uploadTime)
	defer cancel()
	c.SetUserContext(ctx)
	return c.Next()
}

var errPanic = errors.New("the handler panicked")

// noRoute answers what the table does not have.
func (a *App) noRoute(c *fiber.Ctx) error {
	path := c.Path()
	var allowed []string
	for _, r := range a.routes {
		if fiber.RoutePatternMatch(path, r.Path, fiber.Config{CaseSensitive: true}) {
			allowed = append(allowed, r.Method)
		}
	}
	if len(allowed) == 0 {
		return faultNotFound
	}
	c.Set(fiber.HeaderAllow, strings.Join(allowed, ", "))
	return faultMethod
}

func newRequestID() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program first
	return hex.EncodeToString(b[:])
}

func requestID(c *fiber.Ctx) string {
	id, _ := c.Locals(localRequestID).(string)
	return id
}

// routeName is the route's pattern, which holds no id of anybody.
func routeName(c *fiber.Ctx) string {
	if r := routeOf(c); r != nil {
		return r.Path
	}
	return "-"
}

// https says whether the request came by HTTPS, as far as this program can
// know: by the public address, or by a trusted proxy's word.
func (a *App) https(c *fiber.Ctx) bool {
	return a.Settings.HTTPS() || c.Protocol() == "https"
}

// address is the network address a request came from. X-Forwarded-For counts
// only from trusted proxies, and of it the last address that is not itself a
// trusted proxy: what stands before that was written by the client.
func (a *App) address(c *fiber.Ctx) netip.Addr {
	remote := remote(c)
	if !a.trusts(remote) {
		return remote
	}
	hops := strings.Split(c.Get(fiber.HeaderXForwardedFor), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		remote = hop.Unmap()
		if !a.trusts(remote) {
			break
		}
	}
	return remote
}

// remote is the other end of the connection: the client, or a proxy.
func remote(c *fiber.Ctx) netip.Addr {
	addr, _ := netip.AddrFromSlice(c.Context().RemoteIP())
	return addr.Unmap()
}

func (a *App) trusts(addr netip.Addr) bool {
	for _, p := range a.trusted {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// network is what limits count by: an IPv4 address or an IPv6 /64.
func (a *App) network(c *fiber.Ctx) string {
	addr := a.address(c)
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			return p.String()
		}
	}
	return addr.String()
}
