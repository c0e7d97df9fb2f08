package lifecycle_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/syncworker/syncworker/internal/devredis"
	"github.com/syncworker/syncworker/internal/driver"
	"github.com/syncworker/syncworker/internal/gamelink"
	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/keyspace"
	"github.com/syncworker/syncworker/internal/redisstore"
	"github.com/syncworker/syncworker/lifecycle"
	"github.com/syncworker/syncworker/snapshotcodec"
)

// times are the durations of a scenario: those of production inside a bubble,
// short ones against a real server.
type times struct{ ttl, settle, grace, drain, window time.Duration }

var defaults = times{
	ttl:    lifecycle.DefaultLeaseTTL,
	settle: lifecycle.DefaultSettle,
	grace:  lifecycle.DefaultGrace,
	drain:  lifecycle.DefaultDrainTimeout,
	window: lifecycle.DefaultRestartWindow,
}

// backend is one Redis.
type backend struct {
	times
	space keyspace.Space
	// options of a client; the caller closes it.
	options func() *redis.Options
	// commands returns the names of the commands run so far, in upper case,
	// those inside scripts included where the backend shows them.
	commands func() []string
	dev      *devredis.Server
}

func newSpace(t *testing.T) keyspace.Space {
	t.Helper()
	space, err := keyspace.New("syncworker", "main")
	if err != nil {
		t.Fatal(err)
	}
	return space
}

func newDevBackend(t *testing.T) *backend {
	t.Helper()
	server, err := devredis.New(devredis.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Close()
		time.Sleep(time.Minute) // go-redis may still be dialling in the background.
	})
	b := &backend{times: defaults, space: newSpace(t), dev: server}
	b.options = func() *redis.Options {
		return &redis.Options{Addr: "127.0.0.1:6379", Dialer: server.Dialer()}
	}
	var mu sync.Mutex
	var names []string
	server.Intercept(func(c devredis.Command) devredis.Verdict {
		mu.Lock()
		defer mu.Unlock()
		names = append(names, strings.ToUpper(c.Args[0]))
		return devredis.Pass
	})
	b.commands = func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(names)
	}
	return b
}

func (b *backend) client(t *testing.T, onConnect func(context.Context, *redis.Conn) error) *redis.Client {
	t.Helper()
	options := b.options()
	options.OnConnect = onConnect
	options.ContextTimeoutEnabled = true
	options.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	client := redis.NewClient(options)
	t.Cleanup(func() { client.Close() })
	return client
}

func (b *backend) store(t *testing.T, server handoff.ServerID, incarnation string) *store {
	t.Helper()
	codec, err := snapshotcodec.New(snapshotcodec.Config{})
	if err != nil {
		t.Fatal(err)
	}
	s := &store{key: b.space.Checkouts(server), changed: func() {}}
	s.identity = redisstore.NewIdentity(redisstore.IdentityConfig{Changed: func(string, string) { s.changed() }})
	s.client = b.client(t, s.identity.OnConnect)
	config := redisstore.Config{Space: b.space, Server: server, Incarnation: incarnation}
	s.Store = redisstore.New(s.client, s.client, codec, config)
	return s
}

// store fits redisstore to what the actors ask for. Its hooks, when set, run
// before the call and may fail it.
type store struct {
	*redisstore.Store
	client *redis.Client
	key    string
	// identity is that of the worker's Redis.
	identity *redisstore.Identity
	// changed is called when that turns out to be another process.
	changed func()

	onHolder, onRelease, onDelist func(player handoff.PlayerID) error
	// swaps runs after the call: what it fails is done.
	renewals, swaps func() error
}

var (
	_ lifecycle.Leases    = (*store)(nil)
	_ lifecycle.Checkouts = (*store)(nil)
	_ lifecycle.Players   = (*driver.Driver)(nil)
	_ lifecycle.Driver    = (*driver.Driver)(nil)
	_ lifecycle.GameLink  = (*gamelink.Link)(nil)
	_ driver.Gate         = (*lifecycle.Gate)(nil)
	_ driver.Suspects     = (*lifecycle.Lease)(nil)
)

func (s *store) RenewLease(ctx context.Context, value string, ttl time.Duration) (bool, string, error) {
	if s.renewals != nil {
		if err := s.renewals(); err != nil {
			return false, "", err
		}
	}
	state, err := s.Store.RenewLease(ctx, value, ttl)
	return state.Outcome == redisstore.LeaseRenewed, state.Current, err
}

func (s *store) SwapLease(ctx context.Context, from, to string, ttl time.Duration) (bool, string, error) {
	state, err := s.Store.SwapLease(ctx, from, to, ttl)
	if s.swaps != nil {
		if err := s.swaps(); err != nil {
			return false, "", err
		}
	}
	return state.Outcome == redisstore.LeaseRenewed, state.Current, err
}

func (s *store) Holder(ctx context.Context, player handoff.PlayerID) (handoff.Holder, error) {
	if s.onHolder != nil {
		if err := s.onHolder(player); err != nil {
			return handoff.Holder{}, err
		}
	}
	checkout, err := s.Inspect(ctx, player)
	return checkout.Holder, err
}

func (s *store) Release(ctx context.Context, player handoff.PlayerID, fence handoff.Fence) handoff.Written {
	if s.onRelease != nil {
		if err := s.onRelease(player); err != nil {
			return handoff.Written{Outcome: handoff.WriteFailed, Err: err}
		}
	}
	return s.Store.Release(ctx, player, fence)
}

func (s *store) Delist(ctx context.Context, player handoff.PlayerID) error {
	if s.onDelist != nil {
		if err := s.onDelist(player); err != nil {
			return err
		}
	}
	return s.Store.Delist(ctx, player)
}

func (s *store) Enlist(ctx context.Context, player handoff.PlayerID) error {
	return s.client.SAdd(ctx, s.key, player.String()).Err()
}

// claim checks players out as a session of this server does.
func (s *store) claim(t *testing.T, players ...handoff.PlayerID) {
	t.Helper()
	for _, player := range players {
		claimed := s.Claim(t.Context(), player, handoff.Claim{Enlist: true, AllowUnknown: true})
		if claimed.Outcome != handoff.ClaimGranted {
			t.Fatalf("claim %s: %+v", player, claimed)
		}
	}
}

func (s *store) wantHolder(t *testing.T, want handoff.ServerID, players ...handoff.PlayerID) {
	t.Helper()
	for _, player := range players {
		checkout, err := s.Inspect(t.Context(), player)
		if err != nil {
			t.Fatal(err)
		}
		if checkout.Holder.Server != want {
			t.Errorf("player %s is checked out by %q, want %q", player, checkout.Holder.Server, want)
		}
	}
}

func (s *store) wantListed(t *testing.T, want ...handoff.PlayerID) {
	t.Helper()
	got, err := s.Listed(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	order := func(a, b handoff.PlayerID) int { return slices.Compare(a[:], b[:]) }
	slices.SortFunc(got, order)
	slices.SortFunc(want, order)
	if !slices.Equal(got, want) {
		t.Errorf("listed players %v, want %v", got, want)
	}
}

func player(n int) handoff.PlayerID { return handoff.PlayerID{0: 1, 14: byte(n >> 8), 15: byte(n)} }

func players(from, to int) (list []handoff.PlayerID) {
	for n := from; n < to; n++ {
		list = append(list, player(n))
	}
	return list
}

// syncBuffer is a log that a test may read while it grows.
type syncBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func wantLogged(t *testing.T, log *syncBuffer, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(log.String(), text) {
			t.Errorf("the log does not say %q:\n%s", text, log)
		}
	}
}

// poller is a watcher without notifications.
type poller struct{ every time.Duration }

func (p poller) Watch(_ handoff.PlayerID, _ handoff.Key, _ handoff.ServerID, look func(handoff.LookCause)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		look(handoff.LookReady)
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(p.every):
				look(handoff.LookPoll)
			}
		}
	}()
	return cancel
}

func capture(n int, text string) *handoff.Capture {
	return &handoff.Capture{
		ID: handoff.SnapshotID{0: byte(n >> 8), 1: byte(n), 2: byte(len(text))}, SaveCause: "TEST",
		CapturedAt: time.Unix(1, 0), CreatedAt: time.Unix(1, 0), Data: map[string][]byte{"inventory": []byte(text)},
	}
}

// eventually waits for a condition, in the bubble's time or the real one.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for range 6000 {
		if condition() {
			return
		}
		<-time.After(10 * time.Millisecond)
	}
	t.Fatalf("never happened: %s", what)
}

var errInjected = errors.New("injected fault")

func discard() hclog.Logger { return hclog.NewNullLogger() }

// readOnly is a Redis without a lease that takes no writes.
type readOnly struct {
	*store
	calls atomic.Int64
}

func (r *readOnly) AcquireLease(context.Context, string, time.Duration) (bool, string, time.Duration, error) {
	return false, "", 0, errInjected
}

func (r *readOnly) RenewLease(context.Context, string, time.Duration) (bool, string, error) {
	r.calls.Add(1)
	return false, "", nil
}

// counted returns the sum of a counter over its labels.
func counted(t *testing.T, registry *prometheus.Registry, name string) (sum float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			for _, metric := range family.GetMetric() {
				sum += metric.GetCounter().GetValue()
			}
		}
	}
	return sum
}
