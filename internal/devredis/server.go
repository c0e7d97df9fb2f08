package devredis

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
	"github.com/redis/go-redis/v9"
)

// activeCycle is how often keys that have run out are looked for, as with Redis
// at its default hz.
const activeCycle = 100 * time.Millisecond

// ErrClosed is returned when a server is used after Close.
var ErrClosed = errors.New("devredis: server is closed")

// Options configure a Server. The zero value is a server without a socket and
// with notifications off.
type Options struct {
	// Listen is the TCP address to listen on, for instance 127.0.0.1:0. Empty:
	// no socket, only Dialer.
	Listen string
	// NotifyKeyspaceEvents are the flags at start and after each restart.
	// Default: none, as with Redis.
	NotifyKeyspaceEvents string
	// ConfigForbidden makes CONFIG an unknown command, as managed Redis does.
	ConfigForbidden bool
}

// Server is one Redis server. Its methods may be called from anywhere, also from
// an Intercept function, except for Close.
type Server struct {
	opts   Options
	engine *miniredis.Miniredis
	cmds   *server.Server // the engine's commands, without its network
	stop   chan struct{}  // ends the expiry cycle
	wg     sync.WaitGroup // cycle, listener and connections

	// mu makes the server single-threaded, as Redis is.
	mu        sync.Mutex
	thawed    *sync.Cond
	listener  net.Listener
	addr      string // stays the same over restarts
	up        bool
	closed    bool
	frozen    bool
	forbidden bool
	loading   bool
	intercept func(Command) Verdict
	started   time.Time
	runID     string
	replID    string
	flags     flags
	conns     map[*conn]struct{}
	lastConn  int64
	channels  subscribers
	patterns  subscribers
	deadlines deadlines
	own       *server.Peer // for the expiry cycle
	ownDB     int
	script    *frame       // the script that runs, if any
	pass      *server.Peer // the peer whose dispatch the hook lets through
}

// New starts a server. It returns an error when the address cannot be listened
// on or the flags are none.
func New(opts Options) (*Server, error) {
	parsed, err := parseFlags(opts.NotifyKeyspaceEvents)
	if err != nil {
		return nil, fmt.Errorf("devredis: notify-keyspace-events: %w", err)
	}
	s := &Server{
		opts:      opts,
		engine:    miniredis.NewMiniRedis(),
		stop:      make(chan struct{}),
		addr:      opts.Listen,
		forbidden: opts.ConfigForbidden,
		conns:     map[*conn]struct{}{},
		own:       server.NewPeer(nil),
	}
	s.thawed = sync.NewCond(&s.mu)
	// The engine's commands exist once it is started, and Dial starts it
	// without a listener.
	first, err := s.engine.Dial()
	if err != nil {
		return nil, fmt.Errorf("devredis: %w", err)
	}
	if err := first.Close(); err != nil {
		return nil, fmt.Errorf("devredis: %w", err)
	}
	// Before every expiry time, so that the engine itself never expires a key.
	s.engine.SetTime(time.Unix(0, 0))
	s.cmds = s.engine.Server()
	s.cmds.SetPreHook(s.hook)
	if err := s.open(parsed); err != nil {
		s.engine.Close()
		return nil, err
	}
	s.wg.Go(s.cycle)
	return s, nil
}

// open begins a life of the server process: new ids, flags as configured.
func (s *Server) open(initial flags) error {
	if s.opts.Listen != "" {
		listener, err := net.Listen("tcp", s.addr)
		if err != nil {
			return fmt.Errorf("devredis: %w", err)
		}
		s.listener, s.addr = listener, listener.Addr().String()
		s.wg.Go(func() { s.accept(listener) })
	}
	s.up, s.frozen = true, false
	s.flags, s.started = initial, time.Now()
	s.runID, s.replID = randomID(), randomID()
	s.channels, s.patterns = subscribers{}, subscribers{}
	return nil
}

// Addr returns the TCP address, the same for life; "" without a listener.
func (s *Server) Addr() string {
	if s.opts.Listen == "" {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr
}

// Dialer returns what redis.Options and redis.UniversalOptions take as Dialer.
// It connects inside the process and ignores the address. While the server is
// down it is refused, as a port without a listener refuses.
func (s *Server) Dialer() func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		if err := ctx.Err(); err != nil {
			return nil, &net.OpError{Op: "dial", Net: "devredis", Err: err}
		}
		near, far := net.Pipe()
		if !s.serve(far) {
			return nil, &net.OpError{Op: "dial", Net: "devredis", Err: syscall.ECONNREFUSED}
		}
		return &clientEnd{Conn: near}, nil
	}
}

// Client returns a client of database 0 that connects inside the process. Each
// change may alter its options before it is made. The caller closes it.
func (s *Server) Client(changes ...func(*redis.Options)) *redis.Client {
	opts := &redis.Options{Addr: "127.0.0.1:6379", Dialer: s.Dialer()}
	for _, change := range changes {
		change(opts)
	}
	return redis.NewClient(opts)
}

// Halt ends the server process: every connection is closed and new ones are
// refused until Restart. The data stays for it.
func (s *Server) Halt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.halt()
}

func (s *Server) halt() {
	s.up = false
	if s.listener != nil {
		// The listener is open; closing it cannot fail in a way that matters.
		_ = s.listener.Close()
		s.listener = nil
	}
	for c := range s.conns {
		s.drop(c)
	}
	s.thawed.Broadcast()
}

// Restart ends the server process, if it is up, and starts another one with new
// ids, the flags that Options name and no cached scripts. Without keepData it is
// empty. It returns an error when the address cannot be listened on any more,
// and ErrClosed after Close.
func (s *Server) Restart(keepData bool) error {
	initial, err := parseFlags(s.opts.NotifyKeyspaceEvents)
	if err != nil {
		return fmt.Errorf("devredis: notify-keyspace-events: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	s.halt()
	if !keepData {
		s.engine.FlushAll()
		s.deadlines.clear()
	}
	s.dispatch(s.own, []string{"SCRIPT", "FLUSH"})
	return s.open(initial)
}

// Close ends the server for good and waits for its goroutines. It may be called
// more than once, but not from an Intercept function.
func (s *Server) Close() {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.stop)
		s.halt()
	}
	s.mu.Unlock()
	s.wg.Wait()
	s.engine.Close()
}

func (s *Server) accept(listener net.Listener) {
	for {
		raw, err := listener.Accept()
		if err != nil {
			return // Halt closed the listener.
		}
		if !s.serve(raw) {
			_ = raw.Close() // Nobody has used it yet.
		}
	}
}

// cycle removes keys that have run out without being touched.
func (s *Server) cycle() {
	ticker := time.NewTicker(activeCycle)
	defer ticker.Stop()
	for {
		select {
		case <-s.stop:
			return
		case now := <-ticker.C:
			s.mu.Lock()
			if s.up && !s.frozen {
				s.expireEverywhere(now)
			}
			s.mu.Unlock()
		}
	}
}

func randomID() string {
	return fmt.Sprintf("%016x%016x%08x", rand.Uint64(), rand.Uint64(), rand.Uint32())
}
