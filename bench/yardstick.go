package bench

import (
	"context"
	"errors"
	"net"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

// ServeYardstick answers every POST with an empty JSON object, by a Fiber of
// default settings, until ctx ends. It is meant for a process of its own.
func ServeYardstick(ctx context.Context, l net.Listener) error {
	web := fiber.New(fiber.Config{DisableStartupMessage: true})
	web.Post("/", func(c *fiber.Ctx) error { return c.JSON(struct{}{}) })
	stop := context.AfterFunc(ctx, func() { _ = web.Shutdown() })
	defer stop()
	if err := web.Listener(l); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// Yardstick sends empty JSON objects to what [ServeYardstick] serves.
// Errors: [ErrURL], [ErrNothing].
func Yardstick(ctx context.Context, base string, l Load) (*Result, error) {
	r, err := l.run(ctx, base, exchange{fill: func(_ int64, r *fasthttp.Request) bool {
		r.Header.SetMethod(fasthttp.MethodPost)
		r.Header.SetContentType("application/json")
		r.SetBodyString("{}")
		return true
	}})
	if err == nil && r.Answers == 0 && !r.Interrupted {
		err = ErrNothing
	}
	return r, err
}
