package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/redis/go-redis/v9"

	"github.com/syncworker/syncworker/internal/config"
	"github.com/syncworker/syncworker/internal/devredis"
	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/keyspace"
)

// patience bounds every wait of these tests. No test measures time; it only has
// to end when something is broken.
const patience = 60 * time.Second

// redisServer is what the network of a test meets in: devredis or the real one.
type redisServer interface {
	// Address is host:port; dial is nil for the network.
	address() string
	dial() func(ctx context.Context, network, address string) (net.Conn, error)
	// login gives a worker what it needs to log in.
	login(c *config.Config)
	// client talks to it behind the workers' backs.
	client() *redis.Client
	// restart ends the server and starts it again, with or without its data.
	restart(keepData bool)
	// cutEvents closes all pub/sub connections.
	cutEvents()
	// down ends the server for a while, up starts it again with the data it had.
	down()
	up()
	// freeze makes it silent, with all connections open, until thaw.
	freeze()
	thaw()
}

// devServer is the embedded Redis.
type devServer struct {
	t      *testing.T
	server *devredis.Server
	own    *redis.Client
}

func newDevServer(t *testing.T) *devServer {
	t.Helper()
	server, err := devredis.New(devredis.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := &devServer{t: t, server: server, own: server.Client()}
	t.Cleanup(func() {
		_ = s.own.Close()
		server.Close()
	})
	return s
}

func (s *devServer) address() string { return "embedded:6379" }
func (s *devServer) dial() func(context.Context, string, string) (net.Conn, error) {
	return s.server.Dialer()
}
func (s *devServer) login(*config.Config)  {}
func (s *devServer) client() *redis.Client { return s.own }
func (s *devServer) cutEvents()            { s.server.DropPubSub() }
func (s *devServer) restart(keepData bool) {
	if err := s.server.Restart(keepData); err != nil {
		s.t.Fatal(err)
	}
}

func (s *devServer) down() { s.server.Halt() }
func (s *devServer) up()   { s.restart(true) }

func (s *devServer) freeze() { s.server.Freeze() }
func (s *devServer) thaw()   { s.server.Thaw() }

// network is a cluster of workers in this process, over their real local API.
type network struct {
	t      *testing.T
	redis  redisServer
	folder string
	space  keyspace.Space
	// change alters every worker's configuration.
	change func(*config.Config)
	// cables are the connections to Redis of workers that are to lose them.
	cables map[string]*cable
}

func newNetwork(t *testing.T, server redisServer) *network {
	t.Helper()
	space, err := keyspace.New(keyspace.DefaultNamespace, "test")
	if err != nil {
		t.Fatal(err)
	}
	folder, err := os.MkdirTemp("", "sw") // t.TempDir is too long for a socket.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	return &network{t: t, redis: server, folder: folder, space: space, change: func(*config.Config) {}, cables: map[string]*cable{}}
}

// config is the default configuration with times as short as they may be.
func (n *network) config(id string) config.Config {
	c := config.Default()
	c.Server.ID, c.Server.ClusterID = id, "test"
	c.Redis.Addresses = []string{n.redis.address()}
	n.redis.login(&c)
	c.Sync.Settle = 1500 * time.Millisecond
	c.Sync.Lockstep.LeaseTTL = 3 * time.Second
	c.Sync.SafetyPoll = 29 * time.Second // Tests of events must not be saved by it.
	c.Database.DSN = filepath.Join(n.folder, "players.db")
	c.Spool.Dir = config.DefaultSpoolDir(c.Database.DSN, id)
	c.Database.ReadTimeout = 5 * time.Second
	c.API.Listen = "unix://" + filepath.Join(n.folder, id+".sock")
	c.Metrics.Listen = ""
	c.Shutdown.DrainTimeout = time.Second
	c.Log.Level = "debug"
	n.change(&c)
	return c
}

// start runs a worker, waits until it listens and settled, and attaches a game.
func (n *network) start(id string) *testServer {
	n.t.Helper()
	s := n.startWorker(id)
	s.attach("boot-" + id)
	s.settled()
	return s
}

// startWorker runs a worker and waits until it listens.
func (n *network) startWorker(id string) *testServer {
	n.t.Helper()
	settings := n.config(id)
	if err := settings.Validate(); err != nil {
		n.t.Fatal(err)
	}
	s := &testServer{
		t: n.t, id: id, socket: filepath.Join(n.folder, id+".sock"),
		signals: make(chan os.Signal, 2), restarts: make(chan os.Signal, 1), ended: make(chan error, 1), log: &lockedBuffer{},
	}
	listening := make(chan struct{})
	o := workerOptions{
		config: settings, signals: s.signals, restarts: s.restarts, dial: n.redis.dial(),
		logger:    hclog.New(&hclog.LoggerOptions{Level: hclog.Debug, Output: s.log}),
		listening: func() { close(listening) },
	}
	if cable := n.cables[id]; cable != nil {
		o.dial = cable.dial
	}
	go func() { s.ended <- runWorker(context.Background(), o) }()
	n.t.Cleanup(s.close)
	select {
	case <-listening:
	case err := <-s.ended:
		s.ended <- err
		n.t.Fatalf("worker %s ended: %v\n%s", id, err, s.log)
	case <-time.After(patience):
		n.t.Fatalf("worker %s does not listen\n%s", id, s.log)
	}
	s.connect()
	return s
}

// lockedBuffer is a log that many goroutines write and a test reads.
type lockedBuffer struct {
	mu   sync.Mutex
	data bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.String()
}

// playerNumber returns a UUID for tests.
func playerNumber(n int) handoff.PlayerID {
	return handoff.PlayerID{0: 1, 14: byte(n >> 8), 15: byte(n)}
}
