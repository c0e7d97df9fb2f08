//go:build real && unix

package lifecycle_test

import (
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/syncworker/syncworker/internal/redistest"
)

func newRealBackend(t *testing.T) *backend {
	server := redistest.Start(t)
	monitor := server.Monitor(t.Context())
	b := &backend{
		times: times{
			ttl:    1500 * time.Millisecond,
			settle: 300 * time.Millisecond,
			grace:  300 * time.Millisecond,
			drain:  2 * time.Second,
			window: 5 * time.Second,
		},
		space:   newSpace(t),
		options: func() *redis.Options { return &redis.Options{Addr: server.Addr()} },
	}
	b.commands = func() (names []string) {
		for _, command := range monitor.Take() {
			names = append(names, strings.ToUpper(command.Args[0]))
		}
		return names
	}
	return b
}

func TestScenariosReal(t *testing.T) {
	for name, scenario := range scenarios {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scenario(t, newRealBackend(t))
		})
	}
}
