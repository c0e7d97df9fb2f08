package localapi_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/localapi"
)

// bed is a server on a Unix socket with fakes behind it.
type bed struct {
	server   *localapi.Server
	listen   string
	sessions *fakeSessions
	game     *fakeGame
	worker   *fakeWorker
	redis    *fakeRedis
	releases *fakeReleases
	log      *safeLog
	registry *prometheus.Registry
	client   *client
	ended    chan error
}

// newBed starts a server; change may alter its configuration.
func newBed(t testing.TB, change func(*localapi.Config)) *bed {
	t.Helper()
	b := &bed{
		sessions: &fakeSessions{},
		game:     newFakeGame(),
		worker:   &fakeWorker{},
		redis:    &fakeRedis{leased: true, settled: true},
		releases: &fakeReleases{},
		log:      &safeLog{},
		registry: prometheus.NewRegistry(),
		ended:    make(chan error, 1),
	}
	config := localapi.Config{Server: "survival-1", Listen: "unix://" + socketPath(t)}
	if change != nil {
		change(&config)
	}
	server, err := localapi.New(b.ports(), config)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	if err := server.Listen(); err != nil {
		t.Fatalf("Listen: %v", err)
	}
	b.server, b.listen = server, server.Addr().Network()+"://"+server.Addr().String()
	go func() { b.ended <- server.Execute() }()
	t.Cleanup(func() { b.stop(t) })
	b.client = dial(t, b.listen, config.TokenFile, true)
	return b
}

func (b *bed) ports() localapi.Ports {
	return localapi.Ports{
		Sessions: b.sessions, Game: b.game, Worker: b.worker, Checkouts: b.redis, Gate: b.redis, Releases: b.releases,
		Logger:     hclog.New(&hclog.LoggerOptions{Output: b.log, Level: hclog.Debug}),
		Registerer: b.registry,
	}
}

func (b *bed) stop(t testing.TB) {
	t.Helper()
	b.server.Interrupt(nil)
	if err := <-b.ended; err != nil {
		t.Errorf("Execute: %v", err)
	}
	b.ended <- nil // for the next stop
}

// safeLog is a buffer for several goroutines.
type safeLog struct {
	mu   sync.Mutex
	text []byte
}

func (l *safeLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	return len(p), nil
}

func (l *safeLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

// fakeSessions is a driver whose methods a test replaces before it calls them.
type fakeSessions struct {
	onJoin    func(ctx context.Context, player handoff.PlayerID, name string, wait time.Duration) (*handoff.Grant, error)
	onConfirm func(ctx context.Context, session handoff.SessionID, applied bool, problem string) error
	onSave    func(ctx context.Context, session handoff.SessionID, capture *handoff.Capture) (*handoff.Receipt, error)
	onQuit    func(ctx context.Context, session handoff.SessionID, capture *handoff.Capture) (*handoff.Receipt, error)
	summaries []handoff.Summary
}

var errNotExpected = errors.New("the test did not expect this call")

func (f *fakeSessions) Join(ctx context.Context, player handoff.PlayerID, name string, wait time.Duration) (*handoff.Grant, error) {
	if f.onJoin == nil {
		return nil, errNotExpected
	}
	return f.onJoin(ctx, player, name, wait)
}

func (f *fakeSessions) Confirm(ctx context.Context, session handoff.SessionID, applied bool, problem string) error {
	if f.onConfirm == nil {
		return errNotExpected
	}
	return f.onConfirm(ctx, session, applied, problem)
}

func (f *fakeSessions) Save(ctx context.Context, session handoff.SessionID, capture *handoff.Capture) (*handoff.Receipt, error) {
	if f.onSave == nil {
		return nil, errNotExpected
	}
	return f.onSave(ctx, session, capture)
}

func (f *fakeSessions) Quit(ctx context.Context, session handoff.SessionID, capture *handoff.Capture) (*handoff.Receipt, error) {
	if f.onQuit == nil {
		return nil, errNotExpected
	}
	return f.onQuit(ctx, session, capture)
}

func (f *fakeSessions) Summaries() []handoff.Summary { return f.summaries }

func (f *fakeSessions) Summary(player handoff.PlayerID) (handoff.Summary, bool) {
	for _, summary := range f.summaries {
		if summary.Player == player {
			return summary, true
		}
	}
	return handoff.Summary{}, false
}

// fakeGame is a game link with one stream.
type fakeGame struct {
	mu     sync.Mutex
	state  localapi.GameState
	seen   int
	answer localapi.Attached
	refuse error
	resume []handoff.SessionID
	stream *fakeStream
}

func newFakeGame() *fakeGame {
	return &fakeGame{
		state:  localapi.GameState{Attached: true},
		stream: &fakeStream{events: make(chan localapi.GameEvent), ends: make(chan error, 1), closed: make(chan struct{})},
	}
}

func (f *fakeGame) Attach(game localapi.Game, resume []handoff.SessionID) (localapi.Stream, localapi.Attached, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse != nil {
		return nil, localapi.Attached{}, f.refuse
	}
	f.state = localapi.GameState{Open: true, Attached: true, Game: game}
	f.resume = resume
	return f.stream, f.answer, nil
}

func (f *fakeGame) State() localapi.GameState {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state
}

func (f *fakeGame) Seen() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen++
}

func (f *fakeGame) setState(state localapi.GameState) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.state = state
}

type fakeStream struct {
	events chan localapi.GameEvent
	ends   chan error
	closed chan struct{}
}

func (f *fakeStream) Next(ctx context.Context) (localapi.GameEvent, error) {
	select {
	case event := <-f.events:
		return event, nil
	case err := <-f.ends:
		return nil, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (f *fakeStream) Close() { close(f.closed) }

type fakeWorker struct{ status localapi.Status }

func (f *fakeWorker) Status(context.Context) localapi.Status { return f.status }

// fakeRedis is what operators see of Redis, and the gate.
type fakeRedis struct {
	checkout localapi.Checkout
	problem  error
	leased   bool
	leaseErr error
	settled  bool
	written  handoff.Written
	freed    []handoff.Holder
	// onFree may be nil.
	onFree func(ctx context.Context)
	// told are the holders notified, notify is what that returns.
	told   []handoff.SessionID
	to     []handoff.ServerID
	notify error
}

func (f *fakeRedis) Inspect(context.Context, handoff.PlayerID) (localapi.Checkout, error) {
	return f.checkout, f.problem
}

func (f *fakeRedis) CheckLease(context.Context) (bool, error) { return f.leased, f.leaseErr }

func (f *fakeRedis) Free(ctx context.Context, _ handoff.PlayerID, seen handoff.Holder) handoff.Written {
	if f.onFree != nil {
		f.onFree(ctx)
	}
	f.freed = append(f.freed, seen)
	return f.written
}

func (f *fakeRedis) Notify(_ context.Context, holder handoff.ServerID, player handoff.PlayerID, fence handoff.Fence) error {
	f.to = append(f.to, holder)
	f.told = append(f.told, handoff.SessionID{Player: player, Fence: fence})
	return f.notify
}

// fakeReleases keeps what is recorded.
type fakeReleases struct {
	kept    []localapi.Release
	problem error
	limit   int
	// onRecord may be nil.
	onRecord func(ctx context.Context)
}

func (f *fakeReleases) Record(ctx context.Context, release localapi.Release) error {
	if f.onRecord != nil {
		f.onRecord(ctx)
	}
	if f.problem == nil {
		f.kept = append(f.kept, release)
	}
	return f.problem
}

func (f *fakeReleases) List(_ context.Context, player handoff.PlayerID, limit int) ([]localapi.Release, error) {
	f.limit = limit
	var found []localapi.Release
	for _, release := range f.kept {
		if player == (handoff.PlayerID{}) || release.Player == player {
			found = append(found, release)
		}
	}
	return found, f.problem
}

func (f *fakeRedis) Settled(now time.Time) (time.Time, bool) {
	return now.Add(2 * time.Second), f.settled
}

// detailOf returns an error's code and its ErrorDetail, which must be there.
func detailOf(t *testing.T, err error) (connect.Code, *v1.ErrorDetail) {
	t.Helper()
	var wire *connect.Error
	if !errors.As(err, &wire) {
		t.Fatalf("error %v is not a Connect error", err)
	}
	for _, detail := range wire.Details() {
		value, err := detail.Value()
		if err != nil {
			t.Fatalf("detail: %v", err)
		}
		if found, ok := value.(*v1.ErrorDetail); ok {
			return wire.Code(), found
		}
	}
	t.Fatalf("error %v has no ErrorDetail", err)
	return 0, nil
}

// wantError checks code and reason and returns the detail.
func wantError(t *testing.T, err error, code connect.Code, reason v1.ErrorReason) *v1.ErrorDetail {
	t.Helper()
	gotCode, detail := detailOf(t, err)
	if gotCode != code || detail.GetReason() != reason {
		t.Errorf("got %s, %s, want %s, %s (%v)", gotCode, detail.GetReason(), code, reason, err)
	}
	return detail
}

const playerText = "7b9f1c2a-3d4e-5f60-8a9b-0c1d2e3f4a5b"

var (
	thePlayer  = must(handoff.ParsePlayerID(playerText))
	theSession = handoff.SessionID{Player: thePlayer, Fence: 1763860000000000}
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
