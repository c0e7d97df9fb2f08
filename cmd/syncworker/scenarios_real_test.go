//go:build real

package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/syncworker/syncworker/internal/config"
	"github.com/syncworker/syncworker/internal/redistest"
)

// permissions are all that a worker needs of Redis, as ACL rules. Its events are
// those of one logical database, here any.
var permissions = []string{
	"resetchannels", "&__keyspace@*__:syncworker:*", "~syncworker:*", "-@all",
	"+eval", "+evalsha", "+get", "+set", "+del", "+getrange", "+strlen", "+pttl", "+pexpire", "+time",
	"+rpush", "+ltrim", "+sadd", "+srem", "+sscan", "+info", "+select", "+ping", "+subscribe", "+unsubscribe",
}

// mendPermissions let a worker switch keyspace notifications on by itself.
var mendPermissions = []string{"+config|get", "+config|set"}

const redisPassword = "secret"

// realServer is redis-server. Workers come as a user with the least permissions.
type realServer struct {
	*redistest.Server
	t        *testing.T
	own      *redis.Client
	password string
}

// newRealServer starts one; the worker's user gets more rules, and the server
// more arguments.
func newRealServer(t *testing.T, rules []string, args ...string) *realServer {
	t.Helper()
	user := slices.Concat([]string{"--user", "worker", "on", ">" + redisPassword}, permissions, rules)
	s := &realServer{Server: redistest.Start(t, append(args, user...)...), t: t}
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

func (s *realServer) login(c *config.Config) {
	c.Redis.Username, c.Redis.PasswordFile = "worker", s.password
}

func (s *realServer) cutEvents() {
	if err := s.own.ClientKillByFilter(context.Background(), "TYPE", "pubsub").Err(); err != nil {
		s.t.Errorf("cut the connections for events: %v", err)
	}
}

func TestScenariosReal(t *testing.T) {
	for _, scenario := range scenarios {
		t.Run(scenario.name, func(t *testing.T) {
			t.Parallel()
			scenario.play(t, newNetwork(t, newRealServer(t, mendPermissions).withoutDenials()))
		})
	}
}
