package app

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/valyala/fasthttp/fasthttpadaptor"

	"github.com/xingfuma/happycode/app/care"
	"github.com/xingfuma/happycode/app/residents"
)

// probeTime is how long a health check may take.
const probeTime = 3 * time.Second

// metrics is what /metrics tells Prometheus. Labels are routes, states and
// outcomes, never ids.
type metrics struct {
	requests    *prometheus.CounterVec
	seconds     *prometheus.HistogramVec
	scans       *prometheus.CounterVec
	allocations prometheus.Counter
	waits       prometheus.Counter
	handler     fiber.Handler
}

func newMetrics(a *App) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "happycode_requests_total", Help: "Requests answered, by route and status.",
		}, []string{"method", "route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "happycode_request_seconds", Help: "Time to answer, by route.",
			Buckets: []float64{.002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 30},
		}, []string{"method", "route"}),
		scans: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "happycode_scans_total", Help: "Scans, by outcome.",
		}, []string{"outcome"}),
		allocations: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "happycode_scan_allocations_total", Help: "Allocations that scans answered with; one shown again counts again.",
		}),
		waits: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "happycode_scan_waits_total", Help: "Needs that scans left waiting.",
		}),
	}
	registry := prometheus.NewRegistry()
	up := func(name, help string, check func(context.Context) error) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			ctx, cancel := context.WithTimeout(context.Background(), probeTime)
			defer cancel()
			if check(ctx) != nil {
				return 0
			}
			return 1
		})
	}
	registry.MustRegister(
		m.requests, m.seconds, m.scans, m.allocations, m.waits, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		up("happycode_record_up", "1 when the record answers.", a.Record.Ping),
		up("happycode_matcher_ready", "1 when record and Redis answer and every county is rebuilt.", a.ready),
	)
	serve := fasthttpadaptor.NewFastHTTPHandler(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	m.handler = func(c *fiber.Ctx) error {
		serve(c.Context())
		return nil
	}
	return m
}

func (m *metrics) scanned(r *care.ScanResult, err error) {
	if err != nil {
		m.scans.WithLabelValues(faultOf(err).code).Inc()
		return
	}
	m.scans.WithLabelValues("ok").Inc()
	m.allocations.Add(float64(len(r.Offered)))
	for _, n := range r.Needs {
		if n.State == residents.NeedWaiting {
			m.waits.Inc()
		}
	}
}

// observe counts a request that was answered and writes its access line.
// Neither holds more of the address than the route's pattern.
func (a *App) observe(c *fiber.Ctx, took time.Duration) {
	status, route, method := c.Response().StatusCode(), routeName(c), method(c)
	a.metrics.requests.WithLabelValues(method, route, strconv.Itoa(status)).Inc()
	a.metrics.seconds.WithLabelValues(method, route).Observe(took.Seconds())
	if !a.Settings.AccessLog {
		return
	}
	size := -1 // of a stream, which has not begun yet
	if !c.Response().IsBodyStream() {
		size = len(c.Response().Body())
	}
	attributes := []slog.Attr{
		slog.String("request", requestID(c)), slog.String("method", method), slog.String("route", route),
		slog.Int("status", status), slog.Float64("ms", float64(took.Microseconds())/1000),
		slog.Int("bytes", size),
	}
	if p := principalOf(c); p.Role != "" {
		// A resident's account names the resident.
		attributes = append(attributes, slog.String("role", string(p.Role)))
		if p.Resident == "" {
			attributes = append(attributes, slog.String("account", p.Account))
		}
	}
	a.Logger.LogAttrs(context.Background(), slog.LevelInfo, "request", attributes...)
}

// method is the request's method if it is a usual one: labels are not the
// client's to invent.
func method(c *fiber.Ctx) string {
	for _, m := range fiber.DefaultMethods {
		if m == c.Method() {
			return m
		}
	}
	return "other"
}

// ready says whether scans can be answered now.
func (a *App) ready(ctx context.Context) error {
	if a.PingRedis != nil {
		if err := a.PingRedis(ctx); err != nil {
			return err
		}
	}
	return a.Care.Ready(ctx)
}

// getMetrics answers those who may watch; for the others there is no such
// page. What a proxy has passed on comes from where the proxy says, if the
// proxy is trusted, and from nobody otherwise: a proxy on this machine would
// make everybody look like the machine itself.
func (a *App) getMetrics(c *fiber.Ctx) error {
	passed := slices.ContainsFunc([]string{fiber.HeaderXForwardedFor, fiber.HeaderForwarded, fiber.HeaderVia, "X-Real-Ip"}, func(name string) bool {
		return c.Get(name) != ""
	})
	if passed && (c.Get(fiber.HeaderXForwardedFor) == "" || !a.trusts(remote(c))) {
		return faultNotFound
	}
	from := a.address(c)
	if !slices.ContainsFunc(a.Settings.MetricsFrom, func(p netip.Prefix) bool { return p.Contains(from) }) {
		return faultNotFound
	}
	return a.metrics.handler(c)
}

type healthView struct {
	Status string `json:"status"`
}

// getHealth says that the process answers.
func (a *App) getHealth(c *fiber.Ctx) error { return c.JSON(healthView{"ok"}) }

// getReady says that scans can be answered: the record and Redis answer, and
// every county's matcher is rebuilt.
func (a *App) getReady(c *fiber.Ctx) error {
	ctx, cancel := context.WithTimeout(c.UserContext(), probeTime)
	defer cancel()
	if err := a.ready(ctx); err != nil {
		a.Logger.Info("not ready", "error", err)
		return faultNotReady
	}
	return c.JSON(healthView{"ready"})
}
