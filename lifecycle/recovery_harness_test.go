package lifecycle_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/syncworker/syncworker/internal/handoff"
	disk "github.com/syncworker/syncworker/internal/spool"
	"github.com/syncworker/syncworker/lifecycle"
	"github.com/syncworker/syncworker/snapshotcodec"
)

// ledger is a database with rule R6.
type ledger struct {
	mu   sync.Mutex
	rows map[handoff.SnapshotID]ledgerRow
	// order is that of arrival.
	order []handoff.Version
	fault error
}

type ledgerRow struct {
	snapshot *handoff.Snapshot
	as       handoff.StoredAs
}

func (l *ledger) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault = err
}

func (l *ledger) newest(player handoff.PlayerID) (found *handoff.Snapshot) {
	for _, row := range l.rows {
		if row.snapshot.Player == player && row.as == handoff.AsCurrent && (found == nil || row.snapshot.Version.Compare(found.Version) > 0) {
			found = row.snapshot
		}
	}
	return found
}

func (l *ledger) Newest(_ context.Context, player handoff.PlayerID) (*handoff.Snapshot, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault != nil {
		return nil, l.fault
	}
	if found := l.newest(player); found != nil {
		return found, nil
	}
	return nil, handoff.ErrNoSnapshot
}

func (l *ledger) Insert(_ context.Context, s *handoff.Snapshot, _ []byte, as handoff.StoredAs) (conflict bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault != nil {
		return false, l.fault
	}
	if row, found := l.rows[s.ID]; found {
		if row.as != as && (as != handoff.AsCurrent || row.as != handoff.AsConflict) {
			return false, handoff.ErrUnacceptable
		}
		return as == handoff.AsCurrent && row.as == handoff.AsConflict, nil
	}
	if newest := l.newest(s.Player); as == handoff.AsCurrent && newest != nil && newest.Version.Fence > s.Version.Fence {
		as, conflict = handoff.AsConflict, true
	}
	l.rows[s.ID] = ledgerRow{s, as}
	l.order = append(l.order, s.Version)
	return conflict, nil
}

// door is a gate that a test opens.
type door struct {
	mu   sync.Mutex
	shut bool
}

func (d *door) set(shut bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.shut = shut
}

func (d *door) Settled(now time.Time) (time.Time, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return now.Add(time.Second), !d.shut
}

// salvage is a worker that finds a spool at its start.
type salvage struct {
	t           *testing.T
	b           *backend
	redis       lifecycle.RecoveryStore
	here, other *store
	dir         string
	spool       *disk.Spool
	ports       lifecycle.RecoveryPorts
	ledger      *ledger
	door        *door
	codec       *snapshotcodec.Codec
	log         *syncBuffer
	registry    *prometheus.Registry
	recovery    *lifecycle.Recovery
	ended       <-chan error

	mu        sync.Mutex
	rechecked int
}

func newSalvage(t *testing.T, b *backend) *salvage {
	t.Helper()
	here := b.store(t, "lobby", "new")
	s := newSalvageOn(t, here)
	s.b, s.here, s.other = b, here, b.store(t, "arena", "arena")
	return s
}

// newSalvageOn makes one on a Redis of its own kind.
func newSalvageOn(t *testing.T, redis lifecycle.RecoveryStore) *salvage {
	t.Helper()
	codec, err := snapshotcodec.New(snapshotcodec.Config{})
	if err != nil {
		t.Fatal(err)
	}
	s := &salvage{
		t: t, redis: redis, dir: filepath.Join(t.TempDir(), "spool"),
		ledger: &ledger{rows: make(map[handoff.SnapshotID]ledgerRow)}, door: &door{}, codec: codec,
	}
	s.open()
	return s
}

// open begins a run of the worker.
func (s *salvage) open() {
	s.t.Helper()
	opened, err := disk.Open(disk.Config{Dir: s.dir})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { opened.Close() })
	s.spool, s.log, s.registry = opened, &syncBuffer{}, prometheus.NewRegistry()
	s.ports = lifecycle.RecoveryPorts{
		Spool: opened, Store: s.redis, Archive: s.ledger, Gate: s.door, Meta: meta,
		Recheck: func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.rechecked++
		},
	}
}

func meta(packed []byte) (*handoff.Snapshot, error) {
	info, err := snapshotcodec.Meta(packed)
	return &info.Snapshot, err
}

// start replays what the spool holds.
func (s *salvage) start() {
	s.t.Helper()
	records, _ := s.spool.Load()
	s.recovery = lifecycle.NewRecovery(records, s.ports, lifecycle.RecoveryConfig{
		Logger: hclog.New(&hclog.LoggerOptions{Output: s.log}), Registerer: s.registry,
	})
	s.ended = executed(s.recovery.Execute)
	s.t.Cleanup(func() { s.recovery.Interrupt(nil) })
}

// stop ends the run.
func (s *salvage) stop() {
	s.t.Helper()
	s.recovery.Interrupt(nil)
	wantEnd(s.t, s.ended)
	if err := s.spool.Close(); err != nil {
		s.t.Error(err)
	}
}

func (s *salvage) pack(snapshot *handoff.Snapshot) []byte {
	s.t.Helper()
	packed, err := s.codec.Pack(snapshot)
	if err != nil {
		s.t.Fatal(err)
	}
	return packed
}

// snapshot makes one of a version.
func snapshotOf(id handoff.PlayerID, fence handoff.Fence, sequence uint64) *handoff.Snapshot {
	s := &handoff.Snapshot{
		Player: id, Server: "lobby", Version: handoff.Version{Fence: fence, Sequence: sequence}, SaveCause: "TEST",
		CapturedAt: time.Unix(1, 0), CreatedAt: time.Unix(1, 0), Data: map[string][]byte{"inventory": []byte("of " + id.String())},
	}
	copy(s.ID[:], id[8:])
	s.ID[0], s.ID[1], s.ID[2], s.ID[3] = byte(fence), byte(fence>>8), byte(fence>>16), byte(sequence)
	return s
}

// keep puts an entry into the spool, as the run before did.
func (s *salvage) keep(snapshot *handoff.Snapshot, change ...func(*handoff.SpoolEntry)) {
	s.t.Helper()
	entry := handoff.SpoolEntry{Snapshot: snapshot, As: handoff.AsCurrent}
	for _, apply := range change {
		apply(&entry)
	}
	if err := s.spool.Put(s.t.Context(), entry, s.pack(snapshot)); err != nil {
		s.t.Fatal(err)
	}
}

func final(e *handoff.SpoolEntry)    { e.Final = true }
func accepted(e *handoff.SpoolEntry) { e.Accepted = true }

// claim checks the player out and returns the fence.
func claim(t *testing.T, s *store, id handoff.PlayerID) handoff.Fence {
	t.Helper()
	claimed := s.Claim(t.Context(), id, handoff.Claim{Enlist: true, AllowUnknown: true})
	if claimed.Outcome != handoff.ClaimGranted {
		t.Fatalf("claim %s: %+v", id, claimed)
	}
	return claimed.Fence
}

// moveOn lets the player leave here and join the other server.
func (s *salvage) moveOn(id handoff.PlayerID, fence handoff.Fence) handoff.Fence {
	s.t.Helper()
	if written := s.here.Release(s.t.Context(), id, fence); written.Outcome != handoff.WriteDone {
		s.t.Fatalf("release: %+v", written)
	}
	return claim(s.t, s.other, id)
}

func (s *salvage) write(id handoff.PlayerID, fence handoff.Fence, sequence uint64) {
	s.t.Helper()
	snapshot := snapshotOf(id, fence, sequence)
	if written := s.here.Update(s.t.Context(), snapshot, s.pack(snapshot)); written.Outcome != handoff.WriteDone {
		s.t.Fatalf("update: %+v", written)
	}
}

func (s *salvage) forget() {
	s.t.Helper()
	if err := s.here.client.FlushAll(s.t.Context()).Err(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *salvage) wantRow(snapshot *handoff.Snapshot, as handoff.StoredAs) {
	s.t.Helper()
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	if row := s.ledger.rows[snapshot.ID]; row.as != as {
		s.t.Errorf("version %s is stored as %s, want %s", snapshot.Version, row.as, as)
	}
}

func (s *salvage) wantRedis(id handoff.PlayerID, holder handoff.ServerID, update handoff.Version) {
	s.t.Helper()
	checkout, err := s.here.Inspect(s.t.Context(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	if checkout.Holder.Server != holder || checkout.Version != update {
		s.t.Errorf("redis: held by %q with version %s, want %q with %s", checkout.Holder.Server, checkout.Version, holder, update)
	}
}

// wantFinished waits until all is replayed.
func (s *salvage) wantFinished() {
	s.t.Helper()
	eventually(s.t, "the spool is replayed", func() bool { return s.recovery.Pending() == 0 })
	if got := s.spool.Usage().Entries; got != 0 {
		s.t.Errorf("the spool still holds %d entries", got)
	}
}

func (s *salvage) wantWaiting(id handoff.PlayerID) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	if err := s.recovery.Wait(ctx, id); !errors.Is(err, context.DeadlineExceeded) || s.recovery.Done(id) {
		s.t.Errorf("Wait() = %v, want it to wait for the replay", err)
	}
}

func (s *salvage) wantFree(id handoff.PlayerID) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	if err := s.recovery.Wait(ctx, id); err != nil || !s.recovery.Done(id) {
		s.t.Errorf("Wait() = %v, want nil", err)
	}
}

// spyStore notes what is asked, and how much of it at the same time.
type spyStore struct {
	*store
	mu            sync.Mutex
	calls         []string
	running, most int
}

func (s *spyStore) note(call string) (done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, call)
	s.running++
	s.most = max(s.most, s.running)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.running--
	}
}

func (s *spyStore) Update(ctx context.Context, snapshot *handoff.Snapshot, packed []byte) handoff.Written {
	defer s.note("update")()
	return s.store.Update(ctx, snapshot, packed)
}

func (s *spyStore) CheckIn(ctx context.Context, snapshot *handoff.Snapshot, packed []byte) handoff.Written {
	defer s.note("check-in")()
	return s.store.CheckIn(ctx, snapshot, packed)
}

func (s *spyStore) Resume(ctx context.Context, id handoff.PlayerID, r handoff.Resume) handoff.Written {
	defer s.note("resume")()
	return s.store.Resume(ctx, id, r)
}

func wantUnlogged(t *testing.T, log *syncBuffer, text string) {
	t.Helper()
	if strings.Contains(log.String(), text) {
		t.Errorf("the log says %q:\n%s", text, log)
	}
}
