package localapi

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"
	"github.com/hashicorp/go-hclog"

	"github.com/syncworker/syncworker/api/syncworker/v1/syncworkerv1connect"
)

const (
	// headerTimeout bounds how long the headers of a request may take.
	headerTimeout = 10 * time.Second
	// idleTimeout ends connections that carry no call. It is long, because a
	// client that uses one in the same moment sees its call fail.
	idleTimeout = 10 * time.Minute
	// maxHeader bounds the headers of one request, in bytes.
	maxHeader = 32 << 10
	// cutTimeout bounds the wait for calls that were cut off to return.
	cutTimeout = 2 * time.Second
)

// ErrStopped is returned by Listen after Interrupt or Close.
var ErrStopped = errors.New("localapi: stopped")

// Server is the listener with everything behind it: an actor for an oklog/run
// group.
type Server struct {
	config  Config
	address address
	log     hclog.Logger
	life    *life
	http    *http.Server

	// mu guards what follows.
	mu       sync.Mutex
	listener net.Listener
}

// New checks the configuration, reads the token and prepares the services; it
// does not listen yet. It returns ErrBadConfig, ErrBadListen or ErrBadToken, or
// an error of the registerer.
func New(ports Ports, config Config) (*Server, error) {
	config = config.withDefaults()
	if err := errors.Join(config.validate(), ports.validate()); err != nil {
		return nil, err
	}
	address, err := parseListen(config.Listen)
	if err != nil {
		return nil, err
	}
	if err := address.check(config); err != nil {
		return nil, err
	}
	s := &Server{config: config, address: address, log: ports.Logger, life: newLife()}
	handler, err := s.handler(ports)
	if err != nil {
		return nil, err
	}
	s.http = s.server(handler)
	return s, nil
}

// handler puts the parts together, innermost first.
func (s *Server) handler(ports Ports) (http.Handler, error) {
	metrics, err := newMetrics(ports.Registerer)
	if err != nil {
		return nil, err
	}
	options := []connect.HandlerOption{
		connect.WithInterceptors(&calls{
			log: s.log, metrics: metrics, maxSnapshot: s.config.MaxSnapshot, sendTimeout: s.config.SendTimeout,
			stopTimeout: s.config.StopTimeout, life: s.life,
		}),
		// On one host compression only costs, and a small message that unpacks
		// to a huge one cannot exist.
		connect.WithCompression("gzip", nil, nil),
		connect.WithCodec(strictJSON{"json"}),
		connect.WithCodec(strictJSON{"json; charset=utf-8"}),
	}
	mux := http.NewServeMux()
	mux.Handle(syncworkerv1connect.NewPlayerServiceHandler(newPlayers(ports, s.config, s.life), options...))
	mux.Handle(syncworkerv1connect.NewAdminServiceHandler(newAdmin(ports, s.config), options...))
	guard := &guard{
		next: mux, metrics: metrics, life: s.life, arrive: s.config.ArriveTimeout, send: s.config.SendTimeout,
		errors: connect.NewErrorWriter(), rules: rulesFor(s.config),
	}
	if s.config.TokenFile != "" {
		token, err := readToken(s.config.TokenFile)
		if err != nil {
			return nil, err
		}
		guard.token, guard.secured = sha256.Sum256([]byte(token)), true
	}
	return guard, nil
}

// server has no ReadTimeout and no WriteTimeout: they would end joins that wait
// and streams that are quiet. The guard bounds both per request.
func (s *Server) server(handler http.Handler) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           handler,
		Protocols:         protocols,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		BaseContext:       func(net.Listener) context.Context { return s.life.over },
		ErrorLog:          s.log.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}),
		HTTP2: &http.HTTP2Config{
			// One connection may carry every call there is room for: a client
			// that uses one connection must not queue its saves behind its
			// waiting joins.
			MaxConcurrentStreams: s.config.MaxJoins + s.config.MaxCalls + maxAdminCalls + maxAttaches,
		},
	}
}

// Listen takes the address; from then on clients can connect, and are answered
// once Execute runs. It returns ErrInUse, ErrNotSocket, ErrBadListen, ErrStopped
// or another error of the system.
func (s *Server) Listen() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life.stopping.Err() != nil {
		return ErrStopped
	}
	if s.listener != nil {
		return nil
	}
	listener, err := s.address.listen(s.life.stopping)
	if err != nil {
		return err
	}
	s.listener = listener
	s.log.Info("api listens", "address", s.address.network+"://"+listener.Addr().String())
	if !s.address.loopback() {
		s.log.Warn("the api can be reached from other hosts, unencrypted", "address", s.address.target)
	}
	return nil
}

// Addr returns the address that Listen took, nil before.
func (s *Server) Addr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return nil
	}
	return s.listener.Addr()
}

// Execute serves until Interrupt, and listens first if Listen was not called. It
// returns nil after Interrupt.
func (s *Server) Execute() error {
	err := s.Listen()
	if errors.Is(err, ErrStopped) {
		return s.Close()
	}
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(s.listener) }()
	select {
	case err := <-served:
		s.life.stop()
		return errors.Join(fmt.Errorf("serve %s: %w", s.config.Listen, err), s.cut(), s.Close())
	case <-s.life.stopping.Done():
		s.finish()
		_ = <-served // http.ErrServerClosed, which says nothing
		return errors.Join(s.cut(), s.Close())
	}
}

// finish lets what is under way end by itself for a while. Joins that wait and
// Attach streams have ended when the stop was called.
func (s *Server) finish() {
	ctx, cancel := context.WithTimeout(context.Background(), s.config.StopTimeout)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		s.log.Warn("calls are cut off", "calls", s.life.count(), "after", s.config.StopTimeout, "error", err)
	}
}

// cut ends what is left and waits for its goroutines.
func (s *Server) cut() error {
	s.life.cut()
	err := s.http.Close()
	select {
	case <-s.life.close():
	case <-time.After(cutTimeout):
		err = errors.Join(err, fmt.Errorf("stop the api: %d calls did not return", s.life.count()))
	}
	return err
}

// Interrupt ends Execute: waiting joins and Attach streams end at once, other
// calls may finish for Config.StopTimeout. It does not wait, and may be called
// before Execute and more than once.
func (s *Server) Interrupt(error) { s.life.stop() }

// Close gives the address back. Execute does it itself; Close is for a Server
// that listens and never runs. It may be called more than once.
func (s *Server) Close() error {
	s.life.stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return nil
	}
	if err := s.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close %s: %w", s.config.Listen, err)
	}
	return nil
}
