package driver_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/syncworker/syncworker/internal/driver"
	"github.com/syncworker/syncworker/internal/handoff"
)

// state is a scripted machine's state: whatever the script keeps in it.
type state struct {
	player handoff.PlayerID
	idle   bool
	sum    handoff.Summary
	notes  any
}

func (s state) Idle() bool { return s.idle }

func (s state) Summary() handoff.Summary {
	sum := s.sum
	sum.Player = s.player
	return sum
}

// machine runs a script as its Step.
type machine func(s state, at time.Time, event handoff.Event) (state, []handoff.Action)

func (m machine) Mode() string { return "scripted" }

func (m machine) Start(player handoff.PlayerID) handoff.State {
	return state{player: player, idle: true}
}

func (m machine) Step(s handoff.State, at time.Time, event handoff.Event) (handoff.State, []handoff.Action) {
	next, actions := m(s.(state), at, event)
	return next, actions
}

// accept answers a request as its caller expects it when all goes well.
func accept(event handoff.Event) []handoff.Action {
	switch e := event.(type) {
	case handoff.Join:
		return []handoff.Action{handoff.Reply{Request: e.Request, Result: &handoff.Grant{Source: handoff.SourceNew}}}
	case handoff.Confirm:
		return []handoff.Action{handoff.Reply{Request: e.Request, Result: handoff.Accepted{}}}
	case handoff.Save:
		return []handoff.Action{handoff.Reply{Request: e.Request, Result: &handoff.Receipt{State: handoff.StateCurrent}}}
	case handoff.Quit:
		return []handoff.Action{handoff.Reply{Request: e.Request, Result: &handoff.Receipt{State: handoff.StateCurrent}}}
	default:
		return nil
	}
}

// store is a Redis that does what its hook says, and else succeeds.
type store struct {
	// hook is called for each operation; an error fails it.
	hook func(ctx context.Context, player handoff.PlayerID, operation string) error
	// claimed answers Claim when the hook lets it.
	claimed handoff.Claimed

	mu      sync.Mutex
	ops     []string
	claims  []handoff.Claim
	resumes []handoff.Resume
}

func (s *store) do(ctx context.Context, player handoff.PlayerID, operation string) error {
	s.mu.Lock()
	s.ops = append(s.ops, operation)
	s.mu.Unlock()
	if s.hook == nil {
		return nil
	}
	return s.hook(ctx, player, operation)
}

// log returns the operations so far.
func (s *store) log() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.ops...)
}

func (s *store) write(ctx context.Context, player handoff.PlayerID, operation string) handoff.Written {
	if err := s.do(ctx, player, operation); err != nil {
		return handoff.Written{Outcome: handoff.WriteFailed, Err: err}
	}
	return handoff.Written{Outcome: handoff.WriteDone}
}

func (s *store) Claim(ctx context.Context, player handoff.PlayerID, claim handoff.Claim) handoff.Claimed {
	s.mu.Lock()
	s.claims = append(s.claims, claim)
	s.mu.Unlock()
	if err := s.do(ctx, player, "claim"); err != nil {
		return handoff.Claimed{Outcome: handoff.ClaimFailed, Err: err}
	}
	if s.claimed.Outcome == 0 {
		return handoff.Claimed{Outcome: handoff.ClaimGranted, Fence: 1}
	}
	return s.claimed
}

func (s *store) CheckLease(ctx context.Context) (bool, error) {
	err := s.do(ctx, handoff.PlayerID{}, "check-lease")
	return err == nil, err
}

func (s *store) ReadLease(ctx context.Context, server handoff.ServerID) handoff.LeaseRead {
	if err := s.do(ctx, handoff.PlayerID{}, "read-lease"); err != nil {
		return handoff.LeaseRead{Err: err}
	}
	return handoff.LeaseRead{Present: true, Incarnation: "of " + string(server), Left: time.Second}
}

func (s *store) Update(ctx context.Context, snapshot *handoff.Snapshot, _ []byte) handoff.Written {
	return s.write(ctx, snapshot.Player, "update")
}

func (s *store) CheckIn(ctx context.Context, snapshot *handoff.Snapshot, _ []byte) handoff.Written {
	return s.write(ctx, snapshot.Player, "check-in")
}

func (s *store) Release(ctx context.Context, player handoff.PlayerID, _ handoff.Fence) handoff.Written {
	return s.write(ctx, player, "release")
}

func (s *store) Resume(ctx context.Context, player handoff.PlayerID, resume handoff.Resume) handoff.Written {
	s.mu.Lock()
	s.resumes = append(s.resumes, resume)
	s.mu.Unlock()
	return s.write(ctx, player, "resume")
}

func (s *store) Petition(ctx context.Context, to handoff.ServerID, player handoff.PlayerID, fence handoff.Fence) error {
	return s.do(ctx, player, fmt.Sprintf("petition %s %v", to, fence))
}

func (s *store) Sweep(ctx context.Context, player handoff.PlayerID) handoff.Written {
	return s.write(ctx, player, "sweep")
}

func (s *store) Expire(ctx context.Context, player handoff.PlayerID, _ handoff.Version) error {
	return s.do(ctx, player, "expire")
}

func (s *store) Delist(ctx context.Context, player handoff.PlayerID) error {
	return s.do(ctx, player, "delist")
}

// archive is a database of the same kind.
type archive struct {
	hook func(ctx context.Context, player handoff.PlayerID, operation string) error

	mu     sync.Mutex
	stored [][]byte
}

func (a *archive) do(ctx context.Context, player handoff.PlayerID, operation string) error {
	if a.hook == nil {
		return nil
	}
	return a.hook(ctx, player, operation)
}

func (a *archive) Newest(ctx context.Context, player handoff.PlayerID) (*handoff.Snapshot, error) {
	if err := a.do(ctx, player, "read"); err != nil {
		return nil, err
	}
	return nil, handoff.ErrNoSnapshot
}

func (a *archive) Insert(ctx context.Context, snapshot *handoff.Snapshot, packed []byte, _ handoff.StoredAs) (bool, error) {
	if err := a.do(ctx, snapshot.Player, "store"); err != nil {
		return false, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stored = append(a.stored, packed)
	return false, nil
}

// codec packs a snapshot as its ID and counts how often.
type codec struct {
	packs atomic.Int64
	err   error
}

func (c *codec) Pack(snapshot *handoff.Snapshot) ([]byte, error) {
	c.packs.Add(1)
	if c.err != nil {
		return nil, c.err
	}
	return snapshot.ID[:], nil
}

// watcher keeps the looks of all that watch.
type watcher struct {
	// ready makes Watch call look before it returns, as the strictest of
	// watchers might.
	ready bool

	mu    sync.Mutex
	next  int
	looks map[int]func(handoff.LookCause)
	total int
	last  string
}

func (w *watcher) Watch(_ handoff.PlayerID, key handoff.Key, server handoff.ServerID, look func(handoff.LookCause)) func() {
	// Calling back under the own lock is what the driver must bear.
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.looks == nil {
		w.looks = make(map[int]func(handoff.LookCause))
	}
	id := w.next
	w.next++
	w.total++
	w.last = fmt.Sprint(key, " ", server)
	w.looks[id] = look
	if w.ready {
		look(handoff.LookReady)
	}
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.looks, id)
	}
}

// tell calls every look that is watched.
func (w *watcher) tell(cause handoff.LookCause) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, look := range w.looks {
		look(cause)
	}
}

// watched counts the watches that are on.
func (w *watcher) watched() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.looks)
}

// gate is rule R1 with a switch.
type gate struct{ settling atomic.Bool }

func (g *gate) Settled(now time.Time) (time.Time, bool) {
	if g.settling.Load() {
		return now.Add(3 * time.Second), false
	}
	return time.Time{}, true
}

// game keeps what it was told.
type game struct {
	mu    sync.Mutex
	lost  []handoff.TellLost
	asked []handoff.AskCheckIn
}

func (g *game) AskCheckIn(asked handoff.AskCheckIn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked = append(g.asked, asked)
}

func (g *game) TellLost(lost handoff.TellLost) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lost = append(g.lost, lost)
}

// disk is a spool that does what its hook says, and else succeeds.
type disk struct {
	hook func(ctx context.Context, operation string) error

	mu    sync.Mutex
	ops   []string
	bytes [][]byte
}

func (d *disk) do(ctx context.Context, operation string) error {
	d.mu.Lock()
	d.ops = append(d.ops, operation)
	d.mu.Unlock()
	if d.hook == nil {
		return nil
	}
	return d.hook(ctx, operation)
}

// log returns the operations so far.
func (d *disk) log() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return fmt.Sprint(d.ops)
}

func (d *disk) Put(ctx context.Context, entry handoff.SpoolEntry, packed []byte) error {
	if err := d.do(ctx, fmt.Sprint("put ", entry.Snapshot.ID[0])); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.bytes = append(d.bytes, packed)
	return nil
}

func (d *disk) Remove(_ handoff.PlayerID, id handoff.SnapshotID) error {
	return d.do(context.Background(), fmt.Sprint("remove ", id[0]))
}

// suspects is rule R7 with a switch.
type suspects struct{ atomic.Bool }

func (s *suspects) Suspect() bool { return s.Load() }

// bench is a driver on fakes.
type bench struct {
	*driver.Driver
	store    *store
	archive  *archive
	codec    *codec
	watcher  *watcher
	gate     *gate
	game     *game
	disk     *disk
	suspects *suspects
}

// newBench starts a driver that is closed at the end of the test. Inside a
// bubble call it inside.
func newBench(t testing.TB, m handoff.Machine, config driver.Config) *bench {
	t.Helper()
	b := &bench{
		store: &store{}, archive: &archive{}, codec: &codec{}, watcher: &watcher{}, gate: &gate{}, game: &game{},
		disk: &disk{}, suspects: &suspects{},
	}
	b.Driver = driver.New(m, driver.Ports{
		Store: b.store, Archive: b.archive, Codec: b.codec, Watcher: b.watcher, Gate: b.gate, Game: b.game,
		Spool: b.disk, Suspects: b.suspects,
	}, config)
	t.Cleanup(b.Close)
	return b
}

// playerNumber makes distinct players.
func playerNumber(n int) handoff.PlayerID {
	var id handoff.PlayerID
	binary.BigEndian.PutUint64(id[:], uint64(n)*0x9e3779b97f4a7c15)
	binary.BigEndian.PutUint64(id[8:], uint64(n))
	return id
}

// sessionOf names the session of a player whose fence is 1.
func sessionOf(n int) handoff.SessionID {
	return handoff.SessionID{Player: playerNumber(n), Fence: 1}
}

// wantReason fails unless the error is a refusal with the reason.
func wantReason(t *testing.T, err error, want handoff.Reason) {
	t.Helper()
	var refusal *handoff.Refusal
	if !errors.As(err, &refusal) {
		t.Fatalf("got error %v, want a refusal with reason %v", err, want)
	}
	if refusal.Reason != want {
		t.Fatalf("got reason %v, want %v", refusal.Reason, want)
	}
}
