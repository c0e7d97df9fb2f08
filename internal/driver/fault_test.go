package driver_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/syncworker/syncworker/internal/driver"
	"github.com/syncworker/syncworker/internal/handoff"
)

// lines is a log that several goroutines write.
type lines struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (l *lines) Write(text []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.Write(text)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.String()
}

// TestPanicInStepIsContained has the machine panic at a request, and then at an
// outcome that a request waits for.
func TestPanicInStepIsContained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lines
		b := newBench(t, machine(func(s state, at time.Time, event handoff.Event) (state, []handoff.Action) {
			switch event.(type) {
			case handoff.Confirm:
				panic("cannot confirm")
			case handoff.Stored:
				panic("cannot store")
			}
			return saver(s, at, event)
		}), driver.Config{Logger: hclog.New(&hclog.LoggerOptions{Output: &log, Level: hclog.Debug, JSONFormat: true})})
		mustJoin(t, b, 1)

		if err := b.Confirm(t.Context(), sessionOf(1), true, ""); !errors.Is(err, driver.ErrInternal) {
			t.Errorf("got %v for the confirm, want ErrInternal", err)
		}
		if _, err := b.Save(t.Context(), sessionOf(1), nil); !errors.Is(err, driver.ErrInternal) {
			t.Errorf("got %v for the save, want ErrInternal", err)
		}
		mustJoin(t, b, 2)
		sum, known := b.Summary(playerNumber(1))
		if !known || !sum.Live {
			t.Errorf("got %+v, %v, want the session of player 1 as it was", sum, known)
		}
		if got := b.store.log(); strings.Join(got, " ") != "claim update claim" {
			t.Errorf("got operations %v: the checkout must stay in place", got)
		}
		for _, want := range []string{`"player":"` + playerNumber(1).String() + `"`, `"during":"confirm"`, `"during":"stored"`, "cannot store", "fault_test.go"} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("the log has no %s:\n%s", want, log.String())
			}
		}
	})
}

// TestPanicWithdrawsJoins checks that a join which gets an error in place of an
// answer is not granted later to nobody.
func TestPanicWithdrawsJoins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []string
		inner := waiter(&seen)
		b := newBench(t, machine(func(s state, at time.Time, event handoff.Event) (state, []handoff.Action) {
			if _, ok := event.(handoff.Look); ok {
				panic("cannot look")
			}
			return inner(s, at, event)
		}), driver.Config{})
		b.watcher.ready = true
		if _, err := b.Join(t.Context(), playerNumber(1), "p", time.Minute); !errors.Is(err, driver.ErrInternal) {
			t.Errorf("got %v, want ErrInternal", err)
		}
		synctest.Wait()
		if got := strings.Join(seen, " "); got != "join cancel" {
			t.Errorf("got %s, want join cancel", got)
		}
		wantNothingLeft(t, b)
	})
}

// TestPanicInPortIsAFailedOperation has every kind of operation panic once.
func TestPanicInPortIsAFailedOperation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var failed int
		snapshot := &handoff.Snapshot{ID: handoff.SnapshotID{5}, Player: playerNumber(1)}
		count := func(err error) {
			if err != nil {
				failed++
			}
		}
		b := newBench(t, machine(func(s state, _ time.Time, event handoff.Event) (state, []handoff.Action) {
			switch e := event.(type) {
			case handoff.Claimed:
				count(e.Err)
			case handoff.LeaseChecked:
				count(e.Err)
			case handoff.Written:
				count(e.Err)
			case handoff.NewestRead:
				count(e.Err)
			case handoff.Stored:
				count(e.Err)
			case handoff.LeaseRead:
				count(e.Err)
			case handoff.Spooled:
				count(e.Err)
			case handoff.Confirm:
				return s, append(accept(event), handoff.CheckLease{}, handoff.Claim{}, handoff.Update{Snapshot: snapshot},
					handoff.CheckIn{Snapshot: snapshot}, handoff.Release{}, handoff.Resume{}, handoff.Sweep{}, handoff.Expire{},
					handoff.Delist{}, handoff.ReadNewest{}, handoff.Store{Snapshot: snapshot}, handoff.Update{},
					handoff.ReadLease{}, handoff.Petition{}, handoff.Unspool{},
					handoff.Spool{Entry: handoff.SpoolEntry{Snapshot: snapshot}}, handoff.Spool{})
			}
			return s, accept(event)
		}), driver.Config{})
		hook := func(context.Context, handoff.PlayerID, string) error { panic("broken port") }
		b.store.hook, b.archive.hook = hook, hook
		b.disk.hook = func(context.Context, string) error { panic("broken disk") }
		if err := b.Confirm(t.Context(), sessionOf(1), true, ""); err != nil {
			t.Fatalf("confirm: %v", err)
		}
		if left := b.WaitQuiet(t.Context()); left != nil {
			t.Errorf("still busy: %v", left)
		}
		// All but Expire, Delist, Petition and Unspool have an outcome.
		if failed != 13 {
			t.Errorf("got %d failures, want 13", failed)
		}
	})
}

// TestPanicAtAnAnswerFailsTheOperation has the machine panic at every answer
// that is good: it must then get one that says that the operation failed, in the
// same place of the order, and go on from there.
func TestPanicAtAnAnswerFailsTheOperation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var answers []string
		snapshot := &handoff.Snapshot{ID: handoff.SnapshotID{5}, Player: playerNumber(1)}
		answered := func(name string, err error) {
			if err == nil || errors.Is(err, handoff.ErrNoSnapshot) {
				panic("cannot take " + name)
			}
			if !errors.Is(err, driver.ErrInternal) {
				t.Errorf("got %s with %v, want ErrInternal", name, err)
			}
			answers = append(answers, name)
		}
		b := newBench(t, machine(func(s state, _ time.Time, event handoff.Event) (state, []handoff.Action) {
			switch e := event.(type) {
			case handoff.Claimed:
				answered(fmt.Sprint("claimed ", e.Attempt, e.Outcome == handoff.ClaimFailed, e.Fence), e.Err)
			case handoff.LeaseChecked:
				answered(fmt.Sprint("lease-checked ", e.Attempt, e.Present), e.Err)
			case handoff.LeaseRead:
				answered(fmt.Sprint("lease-read ", e.Attempt, e.Present), e.Err)
			case handoff.Written:
				answered(fmt.Sprint("written ", e.Op, e.Outcome == handoff.WriteFailed), e.Err)
			case handoff.NewestRead:
				answered(fmt.Sprint("newest-read ", e.Attempt), e.Err)
				return s, []handoff.Action{handoff.Store{Snapshot: snapshot}}
			case handoff.Stored:
				answered(fmt.Sprint("stored ", e.ID == snapshot.ID), e.Err)
				return s, []handoff.Action{handoff.Spool{Entry: handoff.SpoolEntry{Snapshot: snapshot}}}
			case handoff.Spooled:
				answered(fmt.Sprint("spooled ", e.ID == snapshot.ID), e.Err)
				return s, []handoff.Action{handoff.Claim{Attempt: 2}, handoff.CheckLease{Attempt: 3}, handoff.ReadLease{Attempt: 4}, handoff.Sweep{Op: 5}}
			case handoff.Join:
				return s, append(accept(event), handoff.ReadNewest{Attempt: 1})
			}
			return s, accept(event)
		}), driver.Config{})
		mustJoin(t, b, 1)
		if left := b.WaitQuiet(t.Context()); left != nil {
			t.Errorf("still busy: %v", left)
		}
		got := fmt.Sprintf("%q", answers)
		want := `["newest-read 1" "stored true" "spooled true" "claimed 2 true 0" "lease-checked 3 false" "lease-read 4 false" "written 5 true"]`
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
}

// TestPanicAtAFailedAnswerEnds checks that a machine which panics at whatever it
// is answered is asked twice, and not for ever.
func TestPanicAtAFailedAnswerEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked int
		b := newBench(t, machine(func(s state, at time.Time, event handoff.Event) (state, []handoff.Action) {
			if _, ok := event.(handoff.Claimed); ok {
				asked++
				panic("cannot claim")
			}
			return saver(s, at, event)
		}), driver.Config{})
		if _, err := b.Join(t.Context(), playerNumber(1), "p", time.Minute); !errors.Is(err, driver.ErrInternal) {
			t.Errorf("got %v, want ErrInternal", err)
		}
		synctest.Wait()
		if asked != 2 {
			t.Errorf("the machine was asked %d times, want 2", asked)
		}
	})
}
