package snapshotstore_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/snapshotstore"
	"github.com/syncworker/syncworker/snapshotcodec"
)

// Settings of a helper process, as environment variables.
const (
	helperDSN   = "SNAPSHOTSTORE_TEST_DSN"
	helperMaker = "SNAPSHOTSTORE_TEST_MAKER"
	helperCount = "SNAPSHOTSTORE_TEST_COUNT"
)

// playHelper is what a helper process does. What it prints, it has been
// acknowledged.
func playHelper(role string) error {
	ctx := context.Background()
	c := codec{mustCodec(snapshotcodec.Zstd)}
	store, err := snapshotstore.OpenSQLite(ctx, os.Getenv(helperDSN), c, snapshotstore.Config{Keep: 100_000})
	if role == "open" {
		return errors.Join(err, printSentinel(err))
	}
	if err != nil {
		return err
	}
	maker, err := strconv.ParseUint(os.Getenv(helperMaker), 10, 64)
	if err != nil {
		return err
	}
	count, err := strconv.Atoi(os.Getenv(helperCount))
	if err != nil {
		return err
	}
	return errors.Join(savers(ctx, store, c, maker, count), store.Close())
}

// printSentinel says which failure it was.
func printSentinel(err error) error {
	for _, sentinel := range []error{snapshotstore.ErrReadOnly, snapshotstore.ErrCannotOpen} {
		if errors.Is(err, sentinel) {
			_, err := fmt.Println(sentinel)
			return err
		}
	}
	return nil
}

// savers stores count snapshots, several at a time, with fences at random, and
// prints one line for each: id, fence, conflict.
func savers(ctx context.Context, store *snapshotstore.SQLite, c codec, maker uint64, count int) error {
	const goroutines, players, fences = 4, 3, 400
	var (
		group    sync.WaitGroup
		output   sync.Mutex
		failures = make([]error, goroutines)
	)
	for g := range goroutines {
		group.Go(func() {
			for i := g; i < count; i += goroutines {
				fence := handoff.Fence(1 + i*fences/count + rand.IntN(fences/4))
				s := newSnapshot(maker, uint64(i+1), uint64(i%players), handoff.Version{Fence: fence, Sequence: 1})
				conflict, err := put(ctx, store, c, s)
				if err != nil {
					failures[g] = err
					return
				}
				output.Lock()
				_, err = fmt.Println(s.ID, int64(fence), conflict)
				output.Unlock()
				if err != nil {
					failures[g] = err
					return
				}
			}
		})
	}
	group.Wait()
	return errors.Join(failures...)
}

// helper is a helper process under way.
type helper struct {
	command *exec.Cmd
	lines   *bufio.Scanner
	errors  *os.File
}

// startHelper starts a helper process. Change may alter how.
func startHelper(t *testing.T, role, dsn string, maker uint64, count int, change ...func(*exec.Cmd)) *helper {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	h := &helper{command: exec.CommandContext(t.Context(), program)}
	h.command.Env = append(os.Environ(), helperEnv+"="+role, helperDSN+"="+dsn,
		helperMaker+"="+strconv.FormatUint(maker, 10), helperCount+"="+strconv.Itoa(count))
	for _, apply := range change {
		apply(h.command)
	}
	output, err := h.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if h.errors, err = os.CreateTemp(t.TempDir(), "stderr"); err != nil {
		t.Fatal(err)
	}
	h.command.Stderr = h.errors
	if err := h.command.Start(); err != nil {
		t.Fatal(err)
	}
	h.lines = bufio.NewScanner(output)
	return h
}

// ack is one acknowledged insert of a helper.
type ack struct {
	id       handoff.SnapshotID
	fence    handoff.Fence
	conflict bool
}

// read returns up to most further acks, fewer when the helper ended.
func (h *helper) read(t *testing.T, most int) (acks []ack) {
	t.Helper()
	for len(acks) < most && h.lines.Scan() {
		var (
			id  string
			one ack
			err error
		)
		if _, err := fmt.Sscan(h.lines.Text(), &id, &one.fence, &one.conflict); err != nil {
			continue // The last line of a killed process may be cut.
		}
		if one.id, err = handoff.ParseSnapshotID(id); err != nil {
			t.Fatalf("helper printed %q: %v", h.lines.Text(), err)
		}
		acks = append(acks, one)
	}
	return acks
}

// wait waits for a helper that was not killed.
func (h *helper) wait(t *testing.T) {
	t.Helper()
	if err := h.command.Wait(); err != nil {
		if _, seekErr := h.errors.Seek(0, io.SeekStart); seekErr != nil {
			t.Fatal(seekErr)
		}
		said, _ := io.ReadAll(h.errors)
		t.Fatalf("helper: %v: %s", err, said)
	}
}

// kill ends a helper with SIGKILL and returns what it had printed before.
func (h *helper) kill(t *testing.T) []ack {
	t.Helper()
	if err := h.command.Process.Kill(); err != nil {
		t.Fatalf("kill helper: %v", err)
	}
	acks := h.read(t, 1<<30)
	if err := h.command.Wait(); err == nil {
		t.Fatal("helper ended by itself, want it killed in the middle")
	}
	return acks
}
