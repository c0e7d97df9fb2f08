package driver_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/syncworker/syncworker/internal/driver"
	"github.com/syncworker/syncworker/internal/handoff"
)

// spooler puts a save into the spool, at once and while Redis and the database
// have it too, and answers it PROVISIONAL when the disk has it. A quit takes the
// entry away.
func spooler(s state, _ time.Time, event handoff.Event) (state, []handoff.Action) {
	s.idle = false
	snapshot := &handoff.Snapshot{ID: handoff.SnapshotID{1}, Player: s.player}
	switch e := event.(type) {
	case handoff.Save:
		s.notes = e.Request
		return s, []handoff.Action{
			handoff.Update{Snapshot: snapshot},
			handoff.Store{Snapshot: snapshot},
			handoff.Spool{Entry: handoff.SpoolEntry{Snapshot: snapshot}},
		}
	case handoff.Spooled:
		var result handoff.Result = &handoff.Receipt{Snapshot: e.ID, State: handoff.StateProvisional}
		if e.Err != nil {
			result = &handoff.Refusal{Reason: handoff.ReasonRedis, Err: e.Err}
		}
		return s, []handoff.Action{handoff.Reply{Request: s.notes.(handoff.RequestID), Result: result}}
	case handoff.Quit:
		other := &handoff.Snapshot{ID: handoff.SnapshotID{2}, Player: s.player}
		return s, append(accept(event), handoff.Unspool{ID: snapshot.ID},
			handoff.Spool{Entry: handoff.SpoolEntry{Snapshot: other}}, handoff.Unspool{ID: other.ID})
	}
	return s, accept(event)
}

// TestSpoolWaitsForNobody has Redis and the database hang with every slot taken:
// the spool must take the snapshot at once.
func TestSpoolWaitsForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, machine(spooler), driver.Config{MaxRedisOps: 1, MaxStores: 1})
		hook := func(ctx context.Context, _ handoff.PlayerID, _ string) error { return hang(ctx) }
		b.store.hook, b.archive.hook = hook, hook
		begun := time.Now()
		for n := range 3 {
			receipt, err := b.Save(t.Context(), sessionOf(n), nil)
			if err != nil {
				t.Fatalf("save: %v", err)
			}
			if receipt.State != handoff.StateProvisional || receipt.Snapshot != (handoff.SnapshotID{1}) {
				t.Errorf("got %+v, want snapshot 1, provisional", receipt)
			}
		}
		if took := time.Since(begun); took != 0 {
			t.Errorf("the saves took %v, want 0s", took)
		}
	})
}

// TestHangingSpoolDelaysNobody has the disk hang: what goes to Redis and the
// database must not wait, and the save gets its answer at the time-out.
func TestHangingSpoolDelaysNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, machine(spooler), driver.Config{MaxSpools: 1, SpoolTimeout: 3 * time.Second})
		b.disk.hook = func(ctx context.Context, _ string) error { return hang(ctx) }
		begun := time.Now()
		saved := make(chan error, 1)
		go func() {
			_, err := b.Save(t.Context(), sessionOf(1), nil)
			saved <- err
		}()
		synctest.Wait()
		if got := len(b.archive.stored); got != 1 {
			t.Errorf("got %d snapshots in the database, want 1", got)
		}
		if err := <-saved; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the end of the operation's time", err)
		}
		if took := time.Since(begun); took != 3*time.Second {
			t.Errorf("the save took %v, want 3s", took)
		}
	})
}

// TestSpoolKeepsItsOrder checks that what is put and removed reaches the disk in
// the order in which it was asked for, and that the disk gets the bytes that
// Redis and the database got.
func TestSpoolKeepsItsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, machine(spooler), driver.Config{})
		slow := func(context.Context, handoff.PlayerID, string) error {
			<-time.After(time.Millisecond)
			return nil
		}
		b.archive.hook = slow
		b.disk.hook = func(context.Context, string) error { return slow(context.Background(), handoff.PlayerID{}, "") }
		if _, err := b.Save(t.Context(), sessionOf(1), nil); err != nil {
			t.Fatalf("save: %v", err)
		}
		if _, err := b.Quit(t.Context(), sessionOf(1), nil); err != nil {
			t.Fatalf("quit: %v", err)
		}
		if left := b.WaitWrites(t.Context()); left != nil {
			t.Errorf("still writing: %v", left)
		}
		if got := b.disk.log(); got != "[put 1 remove 1 put 2 remove 2]" {
			t.Errorf("got %s, want the operations in order", got)
		}
		if len(b.disk.bytes) != 2 || len(b.archive.stored) != 1 || !bytes.Equal(b.disk.bytes[0], b.archive.stored[0]) {
			t.Errorf("the disk got %x, the database %x: want the same bytes of snapshot 1", b.disk.bytes, b.archive.stored)
		}
	})
}

// TestSpooledBytesAreKept checks that a snapshot which Redis did not take is not
// packed again for the disk.
func TestSpooledBytesAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		snapshot := &handoff.Snapshot{ID: handoff.SnapshotID{1}, Player: playerNumber(1)}
		b := newBench(t, machine(func(s state, _ time.Time, event handoff.Event) (state, []handoff.Action) {
			switch event.(type) {
			case handoff.Confirm:
				return s, append(accept(event), handoff.Update{Snapshot: snapshot})
			case handoff.Written:
				return s, []handoff.Action{handoff.Spool{Entry: handoff.SpoolEntry{Snapshot: snapshot}}}
			case handoff.Spooled:
				return s, []handoff.Action{handoff.Store{Snapshot: snapshot}}
			}
			return s, accept(event)
		}), driver.Config{})
		b.store.hook = func(context.Context, handoff.PlayerID, string) error { return errors.New("no redis") }
		if err := b.Confirm(t.Context(), sessionOf(1), true, ""); err != nil {
			t.Fatalf("confirm: %v", err)
		}
		if left := b.WaitQuiet(t.Context()); left != nil {
			t.Errorf("still busy: %v", left)
		}
		if got := b.codec.packs.Load(); got != 1 || len(b.disk.bytes) != 1 || len(b.archive.stored) != 1 {
			t.Errorf("got %d packs, %d on disk, %d stored: want one of each", got, len(b.disk.bytes), len(b.archive.stored))
		}
	})
}

// TestSpoolErrors checks what the machine hears of a snapshot that cannot be
// packed, and of a spool that there is not.
func TestSpoolErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, machine(spooler), driver.Config{})
		b.codec.err = fmt.Errorf("pack: %w", handoff.ErrTooLarge)
		if _, err := b.Save(t.Context(), sessionOf(1), nil); !errors.Is(err, handoff.ErrTooLarge) {
			t.Errorf("got %v, want an error that wraps ErrTooLarge", err)
		}
		if got := b.disk.log(); got != "[]" {
			t.Errorf("got operations %s on the disk, want none", got)
		}

		bare := driver.New(machine(spooler), driver.Ports{
			Store: b.store, Archive: b.archive, Codec: &codec{}, Watcher: b.watcher, Gate: b.gate, Game: b.game,
		}, driver.Config{})
		defer bare.Close()
		if _, err := bare.Save(t.Context(), sessionOf(1), nil); !errors.Is(err, driver.ErrNoSpool) {
			t.Errorf("got %v, want ErrNoSpool", err)
		}
		if _, err := bare.Quit(t.Context(), sessionOf(1), nil); err != nil {
			t.Errorf("quit: %v", err)
		}
		if left := bare.WaitWrites(t.Context()); left != nil {
			t.Errorf("still writing: %v", left)
		}
	})
}
