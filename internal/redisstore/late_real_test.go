//go:build real

package redisstore_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/redisstore"
	"github.com/syncworker/syncworker/internal/redistest"
)

func TestLateOnRedis(t *testing.T) {
	for name, test := range lateScripts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := &slowNet{server: realServer{Server: redistest.Start(t)}}
			test(t, newRig(t, n), n)
		})
	}
}

// A user who may not ask for the time keeps what it has: sessions are verified,
// the lease is renewed. It gets no player, since fences need the time.
func TestWithoutTime(t *testing.T) {
	srv := redistest.Start(t)
	setUser(t, srv, "clockless", append(slices.Clip(permissions), "-time")...)
	r := newRig(t, realServer{Server: srv, user: "clockless"})
	client, grants := r.clients(redisstore.NewIdentity(redisstore.IdentityConfig{}))
	var log strings.Builder
	a := redisstore.New(client, grants, plainCodec{}, redisstore.Config{
		Space: r.space, Server: "a", Logger: hclog.New(&hclog.LoggerOptions{Output: &log}),
	})
	p := r.player()
	if got := resume(7)(a, p); got != "done" {
		t.Errorf("resume: got %q, want done", got)
	}
	if got := sweep(a, p); got != "done" {
		t.Errorf("sweep: got %q, want done", got)
	}
	if _, _, _, err := a.AcquireLease(context.Background(), "v", time.Minute); err != nil {
		t.Error(err)
	}
	if state, err := a.RenewLease(context.Background(), "v", time.Minute); err != nil || state.Outcome != redisstore.LeaseRenewed {
		t.Errorf("renew: got %v, %v", state, err)
	}
	if got := claim(handoff.Claim{AllowUnknown: true})(a, p); !strings.HasPrefix(got, "failed: ") || !strings.Contains(got, "docs/operations.md") {
		t.Errorf("claim: got %q, want a failure with its mend", got)
	}
	if got := strings.Count(log.String(), "does not tell its time"); got != 1 {
		t.Errorf("logged %d times, want once: %s", got, log.String())
	}
}
