package redisstore_test

import (
	"testing"

	"github.com/syncworker/syncworker/internal/devredis"
	"github.com/syncworker/syncworker/internal/redisstore"
)

type devServer struct {
	t testing.TB
	*devredis.Server
}

func newDev(t testing.TB) devServer {
	t.Helper()
	srv, err := devredis.New(devredis.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	return devServer{t: t, Server: srv}
}

func (d devServer) config() redisstore.ClientConfig {
	return redisstore.ClientConfig{Addresses: []string{"devredis:6379"}, Dialer: d.Dialer()}
}

func (d devServer) restart(keepData bool) {
	d.t.Helper()
	if err := d.Restart(keepData); err != nil {
		d.t.Fatal(err)
	}
}

func TestOnDevredis(t *testing.T) {
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.run(t, newRig(t, newDev(t)))
		})
	}
}
