//go:build real

package events_test

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/syncworker/syncworker/internal/redistest"
)

// realServer is redis-server as a server of scenarios.
type realServer struct{ *redistest.Server }

func (s *realServer) worker(t *testing.T) *redis.Client {
	t.Helper()
	s.acl(t, "on", "nopass", "~*", "&*", "+@all")
	return s.Client(func(o *redis.Options) { o.Username, o.Password = "worker", "any" })
}

func (s *realServer) restart(t *testing.T) {
	t.Helper()
	s.Restart(false)
	s.acl(t, "on", "nopass", "~*", "&*", "+@all")
}

// forbidConfig does what managed Redis does.
func (s *realServer) forbidConfig(t *testing.T) {
	t.Helper()
	s.acl(t, "-config")
}

func (s *realServer) acl(t *testing.T, rules ...string) {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: s.Addr()})
	defer client.Close()
	if err := client.ACLSetUser(t.Context(), "worker", rules...).Err(); err != nil {
		t.Fatal(err)
	}
}

func TestScenariosReal(t *testing.T) {
	for name, run := range scenarios {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // Most of the time they wait for safety polls.
			run(t, newRig(t, &realServer{redistest.Start(t)}))
		})
	}
}
