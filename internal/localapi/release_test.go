package localapi_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/localapi"
)

// A checkout is released only when its owner is gone for certain (law L4).
func TestReleaseCheckout(t *testing.T) {
	lobby, here := handoff.Holder{Server: "lobby", Fence: 7}, handoff.Holder{Server: "survival-1", Fence: 8}
	done := handoff.Written{Outcome: handoff.WriteDone}
	for _, test := range []struct {
		name  string
		redis fakeRedis
		local string
		// code 0 means released.
		code   connect.Code
		reason v1.ErrorReason
		holder string
	}{
		{name: "of a dead server", redis: fakeRedis{checkout: localapi.Checkout{Holder: lobby}, leased: true, settled: true, written: done}},
		{
			name: "of a dead server that we wait for", local: "waiting",
			redis: fakeRedis{checkout: localapi.Checkout{Holder: lobby}, leased: true, settled: true, written: done},
		},
		{name: "our own orphan", redis: fakeRedis{checkout: localapi.Checkout{Holder: here, Lease: &localapi.Lease{}}, written: done}},
		{
			name: "our own session", redis: fakeRedis{checkout: localapi.Checkout{Holder: here}, written: done}, local: "present",
			code: connect.CodeFailedPrecondition, reason: v1.ErrorReason_ERROR_REASON_HOLDER_ALIVE, holder: "survival-1",
		},
		{
			name: "of a live server", redis: fakeRedis{checkout: localapi.Checkout{Holder: lobby, Lease: &localapi.Lease{Host: "node-1", PID: 99}}, leased: true, settled: true, written: done},
			code: connect.CodeFailedPrecondition, reason: v1.ErrorReason_ERROR_REASON_HOLDER_ALIVE, holder: "lobby",
		},
		{
			name: "of nobody", redis: fakeRedis{checkout: localapi.Checkout{Holder: handoff.Holder{Fence: 7}}, leased: true, settled: true, written: done},
			code: connect.CodeNotFound, reason: v1.ErrorReason_ERROR_REASON_NO_CHECKOUT,
		},
		{
			name: "while settling", redis: fakeRedis{checkout: localapi.Checkout{Holder: lobby}, leased: true, written: done},
			code: connect.CodeUnavailable, reason: v1.ErrorReason_ERROR_REASON_SETTLING,
		},
		{
			name: "after redis forgot us", redis: fakeRedis{checkout: localapi.Checkout{Holder: lobby}, settled: true, written: done},
			code: connect.CodeUnavailable, reason: v1.ErrorReason_ERROR_REASON_SETTLING,
		},
		{
			name: "own lease unreadable", redis: fakeRedis{checkout: localapi.Checkout{Holder: lobby}, settled: true, leaseErr: errors.New("timeout"), written: done},
			code: connect.CodeUnavailable, reason: v1.ErrorReason_ERROR_REASON_REDIS_UNAVAILABLE,
		},
		{
			name: "unreadable", redis: fakeRedis{problem: errors.New("timeout"), written: done},
			code: connect.CodeUnavailable, reason: v1.ErrorReason_ERROR_REASON_REDIS_UNAVAILABLE,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBed(t, nil)
			*b.redis = test.redis
			if test.local != "" {
				b.sessions.summaries = []handoff.Summary{{Player: thePlayer, Phase: test.local}}
			}
			answer, err := b.client.Admin.ReleaseCheckout(t.Context(), &v1.ReleaseCheckoutRequest{PlayerId: playerText, Reason: "player is stuck"})
			if test.code == 0 {
				seen := test.redis.checkout.Holder
				if err != nil || answer.GetHolder() != string(seen.Server) || answer.GetFence() != int64(seen.Fence) {
					t.Errorf("got %v, %v", answer, err)
				}
				if !slices.Equal(b.redis.freed, []handoff.Holder{seen}) {
					t.Errorf("freed %v, want exactly what was seen", b.redis.freed)
				}
				wantRecord(t, b, localapi.Release{Player: thePlayer, Holder: seen.Server, Fence: seen.Fence, Reason: "player is stuck"})
				if answer.GetForced() || len(b.redis.to) != 0 {
					t.Errorf("got %v and told %v of a release that took no force", answer, b.redis.to)
				}
				if log := b.log.String(); !strings.Contains(log, "player is stuck") || !strings.Contains(log, playerText) {
					t.Errorf("the log does not say who and why: %s", log)
				}
				return
			}
			detail := wantError(t, err, test.code, test.reason)
			if detail.GetHolder() != test.holder || !strings.Contains(err.Error(), test.holder) {
				t.Errorf("holder %q in %v, want %q", detail.GetHolder(), err, test.holder)
			}
			if len(b.redis.freed) != 0 || len(b.releases.kept) != 0 {
				t.Errorf("freed %v, recorded %v", b.redis.freed, b.releases.kept)
			}
			if test.reason == v1.ErrorReason_ERROR_REASON_HOLDER_ALIVE && !strings.Contains(err.Error(), "--force") {
				t.Errorf("%v does not say how to do it all the same", err)
			}
		})
	}
}

func TestReleaseCheckoutChanged(t *testing.T) {
	b := newBed(t, nil)
	b.redis.checkout.Holder = handoff.Holder{Server: "lobby", Fence: 7}
	release := func() error {
		_, err := b.client.Admin.ReleaseCheckout(t.Context(), &v1.ReleaseCheckoutRequest{PlayerId: playerText, Reason: "stuck"})
		return err
	}
	b.redis.written = handoff.Written{Outcome: handoff.WriteFenced, Holder: handoff.Holder{Server: "hub", Fence: 9}}
	detail := wantError(t, release(), connect.CodeAborted, v1.ErrorReason_ERROR_REASON_CHECKOUT_CHANGED)
	if detail.GetHolder() != "hub" {
		t.Errorf("holder %q, want hub", detail.GetHolder())
	}
	b.redis.written = handoff.Written{Outcome: handoff.WriteFailed, Err: errors.New("timeout")}
	wantError(t, release(), connect.CodeUnavailable, v1.ErrorReason_ERROR_REASON_REDIS_UNAVAILABLE)
	if strings.Contains(b.log.String(), "released") {
		t.Error("the log tells of a release that was none")
	}
}

// wantRecord checks the only record there is, but for its time.
func wantRecord(t *testing.T, b *bed, want localapi.Release) {
	t.Helper()
	if want.By == "" {
		want.By = "somebody via survival-1"
	}
	if len(b.releases.kept) != 1 || b.releases.kept[0].At.IsZero() {
		t.Fatalf("recorded %v, want %v", b.releases.kept, want)
	}
	got := b.releases.kept[0]
	if got.At = (time.Time{}); got != want {
		t.Errorf("recorded %v, want %v", got, want)
	}
}

// Force overrides that the owner is alive, and nothing else.
func TestReleaseCheckoutByForce(t *testing.T) {
	lobby, here := handoff.Holder{Server: "lobby", Fence: 7}, handoff.Holder{Server: "survival-1", Fence: 8}
	done := handoff.Written{Outcome: handoff.WriteDone}
	alive := &localapi.Lease{Host: "node-1", PID: 99}
	for _, test := range []struct {
		name   string
		redis  fakeRedis
		local  string
		forced bool
		// code 0 means released.
		code   connect.Code
		reason v1.ErrorReason
	}{
		{
			name: "of a live server", forced: true,
			redis: fakeRedis{checkout: localapi.Checkout{Holder: lobby, Lease: alive}, leased: true, settled: true, written: done},
		},
		{
			name: "of a live server that cannot be told", forced: true,
			redis: fakeRedis{
				checkout: localapi.Checkout{Holder: lobby, Lease: alive}, leased: true, settled: true, written: done,
				notify: errors.New("timeout"),
			},
		},
		{
			name: "our own session", local: "present", forced: true,
			redis: fakeRedis{checkout: localapi.Checkout{Holder: here, Lease: alive}, leased: true, settled: true, written: done},
		},
		{
			name:  "of a dead server, which takes none",
			redis: fakeRedis{checkout: localapi.Checkout{Holder: lobby}, leased: true, settled: true, written: done},
		},
		{
			name:  "of nobody",
			redis: fakeRedis{checkout: localapi.Checkout{Holder: handoff.Holder{Fence: 7}}, leased: true, settled: true, written: done},
			code:  connect.CodeNotFound, reason: v1.ErrorReason_ERROR_REASON_NO_CHECKOUT,
		},
		{
			name:  "of a live server while settling",
			redis: fakeRedis{checkout: localapi.Checkout{Holder: lobby, Lease: alive}, leased: true, written: done},
			code:  connect.CodeUnavailable, reason: v1.ErrorReason_ERROR_REASON_SETTLING,
		},
		{
			name:  "after redis forgot us",
			redis: fakeRedis{checkout: localapi.Checkout{Holder: lobby, Lease: alive}, settled: true, written: done},
			code:  connect.CodeUnavailable, reason: v1.ErrorReason_ERROR_REASON_SETTLING,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBed(t, nil)
			*b.redis = test.redis
			if test.local != "" {
				b.sessions.summaries = []handoff.Summary{{Player: thePlayer, Phase: test.local}}
			}
			answer, err := b.client.Admin.ReleaseCheckout(t.Context(), &v1.ReleaseCheckoutRequest{
				PlayerId: playerText, Reason: "item frame bug", Force: true, OrderedBy: "alice",
			})
			if test.code != 0 {
				wantError(t, err, test.code, test.reason)
				if len(b.redis.freed) != 0 || len(b.releases.kept) != 0 || len(b.redis.to) != 0 {
					t.Errorf("freed %v, recorded %v, told %v", b.redis.freed, b.releases.kept, b.redis.to)
				}
				return
			}
			seen := test.redis.checkout.Holder
			if err != nil || answer.GetHolder() != string(seen.Server) || answer.GetForced() != test.forced || !slices.Equal(b.redis.freed, []handoff.Holder{seen}) {
				t.Errorf("got %v, %v and freed %v", answer, err, b.redis.freed)
			}
			wantRecord(t, b, localapi.Release{
				Player: thePlayer, Holder: seen.Server, Fence: seen.Fence, Reason: "item frame bug", Forced: test.forced,
				By: "alice via survival-1",
			})
			if !test.forced {
				return
			}
			want := handoff.SessionID{Player: thePlayer, Fence: seen.Fence + 1}
			if !slices.Equal(b.redis.to, []handoff.ServerID{seen.Server}) || !slices.Equal(b.redis.told, []handoff.SessionID{want}) {
				t.Errorf("told %v of %v, want %v of %v", b.redis.to, b.redis.told, seen.Server, want)
			}
		})
	}
}

// What cannot be recorded is not done, and the operator is told so.
func TestReleaseCheckoutUnrecorded(t *testing.T) {
	b := newBed(t, nil)
	b.redis.checkout = localapi.Checkout{Holder: handoff.Holder{Server: "lobby", Fence: 7}, Lease: &localapi.Lease{}}
	b.redis.written = handoff.Written{Outcome: handoff.WriteDone}
	b.releases.problem = errors.New("database is locked")
	_, err := b.client.Admin.ReleaseCheckout(t.Context(), &v1.ReleaseCheckoutRequest{PlayerId: playerText, Reason: "stuck", Force: true})
	detail := wantError(t, err, connect.CodeUnavailable, v1.ErrorReason_ERROR_REASON_DATABASE_UNAVAILABLE)
	if detail.GetRetryAfter() == nil || !strings.Contains(err.Error(), "not released") || strings.Contains(err.Error(), "locked") {
		t.Errorf("got %v, %v", err, detail)
	}
	if len(b.redis.freed) != 0 || len(b.redis.to) != 0 {
		t.Errorf("freed %v and told %v", b.redis.freed, b.redis.to)
	}
	if !strings.Contains(b.log.String(), "database is locked") {
		t.Error("the log does not say why")
	}
}

// A release that has begun goes on although the operator has left.
func TestReleaseCheckoutOutlivesItsCaller(t *testing.T) {
	b := newBed(t, nil)
	ctx, hangUp := context.WithCancel(t.Context())
	b.redis.checkout.Holder = handoff.Holder{Server: "lobby", Fence: 7}
	b.redis.written = handoff.Written{Outcome: handoff.WriteDone}
	left, freed := make(chan struct{}), make(chan error, 2)
	b.releases.onRecord = func(ctx context.Context) {
		hangUp()
		<-left
		freed <- ctx.Err()
	}
	b.redis.onFree = func(ctx context.Context) { freed <- ctx.Err() }
	_, err := b.client.Admin.ReleaseCheckout(ctx, &v1.ReleaseCheckoutRequest{PlayerId: playerText, Reason: "stuck"})
	if connect.CodeOf(err) != connect.CodeCanceled {
		t.Errorf("got %v", err)
	}
	close(left)
	for range 2 {
		if err := <-freed; err != nil {
			t.Errorf("recorded or freed with %v", err)
		}
	}
}

func TestListReleases(t *testing.T) {
	b := newBed(t, nil)
	at := time.Unix(1_700_000_000, 0)
	for n := range 3 {
		b.releases.kept = append(b.releases.kept, localapi.Release{
			Player: handoff.PlayerID{byte(n)}, Holder: "lobby", Fence: 7, Reason: fmt.Sprint(n), Forced: true, By: "alice via hub", At: at,
		})
	}
	list := func(player string, limit uint32) (*v1.ListReleasesResponse, error) {
		return b.client.Admin.ListReleases(t.Context(), &v1.ListReleasesRequest{PlayerId: player, Limit: limit})
	}
	all, err := list("", 0)
	if err != nil || len(all.GetReleases()) != 3 || b.releases.limit != 100 {
		t.Errorf("got %v, %v, asked for %d", all, err, b.releases.limit)
	}
	second := handoff.PlayerID{1}
	one, err := list(second.String(), 7)
	if err != nil || len(one.GetReleases()) != 1 || b.releases.limit != 7 {
		t.Fatalf("got %v, %v, asked for %d", one, err, b.releases.limit)
	}
	if r := one.GetReleases()[0]; r.GetPlayerId() != second.String() || r.GetHolder() != "lobby" || r.GetFence() != 7 || r.GetReason() != "1" ||
		!r.GetForced() || r.GetBy() != "alice via hub" || !r.GetAt().AsTime().Equal(at) {
		t.Errorf("got %v", r)
	}
	_, err = list("Notch", 0)
	wantError(t, err, connect.CodeInvalidArgument, v1.ErrorReason_ERROR_REASON_INVALID_REQUEST)
	_, err = list("", 1_001)
	wantError(t, err, connect.CodeInvalidArgument, v1.ErrorReason_ERROR_REASON_INVALID_REQUEST)
	b.releases.problem = errors.New("database is locked")
	_, err = list("", 0)
	wantError(t, err, connect.CodeUnavailable, v1.ErrorReason_ERROR_REASON_DATABASE_UNAVAILABLE)
}
