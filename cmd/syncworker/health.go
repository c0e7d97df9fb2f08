package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// How long one probe may look, and one request may take to arrive.
const (
	probeTimeout  = 2 * time.Second
	headerTimeout = 5 * time.Second
)

// health serves metrics.listen: /metrics for Prometheus, /healthz (the process
// answers) and /readyz (players may be sent here). It listens before the worker
// has its lease, so that an orchestrator sees "not ready" rather than nothing.
type health struct {
	server   *http.Server
	listener net.Listener
	logger   hclog.Logger
}

// check is one condition of readiness; it returns what is wrong.
type check struct {
	name string
	look func(context.Context) error
}

// openHealth listens on address. An empty address serves nobody and is fine.
func openHealth(address string, registry *prometheus.Registry, checks func() []check, logger hclog.Logger) (*health, error) {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{Registry: registry}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { serveReady(w, r, checks()) })
	h := &health{server: &http.Server{Handler: mux, ReadHeaderTimeout: headerTimeout}, logger: logger}
	if address == "" {
		return h, nil
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("metrics.listen %s: %w (choose another port for this worker, or \"\" for none)", address, err)
	}
	h.listener = listener
	return h, nil
}

// serveReady answers 200 when every check passes, else 503 and why.
func serveReady(w http.ResponseWriter, r *http.Request, checks []check) {
	ctx, cancel := context.WithTimeout(r.Context(), probeTimeout)
	defer cancel()
	status, answer := http.StatusOK, make(map[string]string, len(checks))
	for _, c := range checks {
		answer[c.name] = "ok"
		if err := c.look(ctx); err != nil {
			status, answer[c.name] = http.StatusServiceUnavailable, err.Error()
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer) // the caller hung up
}

// Execute serves until Interrupt.
func (h *health) Execute() error {
	if h.listener == nil {
		return nil
	}
	h.logger.Info("serving metrics and health checks", "address", h.listener.Addr().String())
	if err := h.server.Serve(h.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics: %w", err)
	}
	return nil
}

// Interrupt ends Execute, also one that has not begun.
func (h *health) Interrupt(error) {
	_ = h.server.Close() // closing listeners that are gone already
	if h.listener != nil {
		_ = h.listener.Close()
	}
}
