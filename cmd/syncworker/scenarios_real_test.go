//go:build real

package main

import (
	"cmp"
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/syncworker/syncworker/internal/config"
	"github.com/syncworker/syncworker/internal/redistest"
)

const redisPassword = "secret"

// realServer is redis-server. Workers come as a user with the least permissions.
type realServer struct {
	*redistest.Server
	t        *testing.T
	own      *redis.Client
	password string
}

// realOptions say how a redis-server differs from what the documentation wants.
type realOptions struct {
	// db is the database that workers use; "" for the first.
	db string
	// mending lets workers switch keyspace notifications on.
	mending bool
	// args are further arguments of redis-server.
	args []string
}

// usual is a redis-server that nobody has configured yet.
var usual = realOptions{mending: true}

func newRealServer(t *testing.T, o realOptions) *realServer {
	t.Helper()
	rules, mending := permissions(t, cmp.Or(o.db, "0"))
	if o.mending {
		rules = append(rules, mending...)
	}
	user := append([]string{"--user", "worker", "on", ">" + redisPassword}, rules...)
	s := &realServer{Server: redistest.Start(t, append(o.args, user...)...), t: t}
	s.own = s.Client()
	s.password = filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(s.password, []byte(redisPassword+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// withoutDenials fails the test at its end when Redis denied a worker anything.
func (s *realServer) withoutDenials() *realServer {
	s.t.Cleanup(func() {
		denied, err := s.own.ACLLog(context.Background(), 100).Result()
		if err != nil {
			s.t.Errorf("read the log of denials: %v", err)
		}
		for _, entry := range denied {
			s.t.Errorf("redis denied %s the %s %q, in %s", entry.Username, entry.Reason, entry.Object, entry.Context)
		}
	})
	return s
}

func (s *realServer) address() string { return s.Addr() }
func (s *realServer) dial() func(context.Context, string, string) (net.Conn, error) {
	return nil
}
func (s *realServer) client() *redis.Client { return s.own }
func (s *realServer) restart(keepData bool) { s.Restart(keepData) }

func (s *realServer) down() {
	_ = s.own.ShutdownSave(context.Background()).Err() // the connection ends with the server
	s.Kill()
}

func (s *realServer) up() { s.Restart(true) }

func (s *realServer) freeze() { s.Stop() }
func (s *realServer) thaw()   { s.Cont() }

func (s *realServer) login(c *config.Config) {
	c.Redis.Username, c.Redis.PasswordFile = "worker", s.password
}

func (s *realServer) cutEvents() {
	if err := s.own.ClientKillByFilter(context.Background(), "TYPE", "pubsub").Err(); err != nil {
		s.t.Errorf("cut the connections for events: %v", err)
	}
}

func TestScenariosReal(t *testing.T) {
	t.Parallel()
	for _, scenario := range scenarios {
		t.Run(scenario.name, func(t *testing.T) {
			t.Parallel()
			scenario.play(t, newNetwork(t, newRealServer(t, usual).withoutDenials()))
		})
	}
}
