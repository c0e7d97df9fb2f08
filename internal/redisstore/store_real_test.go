//go:build real

package redisstore_test

import (
	"testing"

	"github.com/syncworker/syncworker/internal/redisstore"
	"github.com/syncworker/syncworker/internal/redistest"
)

type realServer struct{ *redistest.Server }

func (s realServer) config() redisstore.ClientConfig {
	return redisstore.ClientConfig{Addresses: []string{s.Addr()}}
}

func (s realServer) restart(keepData bool) { s.Restart(keepData) }

func TestOnRedis(t *testing.T) {
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			s.run(t, newRig(t, realServer{redistest.Start(t)}))
		})
	}
}
