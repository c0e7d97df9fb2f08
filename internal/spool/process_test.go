package spool_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/spool"
)

// Settings of a helper process, as environment variables.
const (
	helperDir   = "SPOOL_TEST_DIR"
	helperFence = "SPOOL_TEST_FENCE"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(helperDir); dir != "" {
		fmt.Fprintln(os.Stderr, playHelper(dir))
		os.Exit(1) // A helper works until it is killed.
	}
	os.Exit(m.Run())
}

// helperPlayers is how many players a helper saves at the same time.
const helperPlayers = 4

// sizeOf spreads sizes so that kills come at all places of a write.
func sizeOf(of, sequence uint64) int { return int(1 + (of*7919+sequence*104729)%60000) }

// playHelper puts entries, now and then puts one again as accepted, and removes
// some. It prints "put <player> <sequence>" once it was told, and "drop <player>
// <sequence>" before it asks.
func playHelper(dir string) error {
	fence, err := strconv.ParseInt(os.Getenv(helperFence), 10, 64)
	if err != nil {
		return err
	}
	s, err := spool.Open(spool.Config{Dir: dir})
	if err != nil {
		return err
	}
	var (
		group    sync.WaitGroup
		failures = make([]error, helperPlayers)
	)
	for of := range uint64(helperPlayers) {
		group.Go(func() { failures[of] = helpPlayer(s, of, handoff.Fence(fence)) })
	}
	group.Wait()
	return errors.Join(failures...)
}

func helpPlayer(s *spool.Spool, of uint64, fence handoff.Fence) error {
	for sequence := uint64(1); ; sequence++ {
		one := newItem(of, fence, sequence, sizeOf(of, sequence))
		one.Accepted = sequence%3 == 0
		if err := s.Put(context.Background(), one.SpoolEntry, one.packed); err != nil {
			return err
		}
		fmt.Printf("put %d %d\n", of, sequence)
		if sequence%5 == 0 {
			one.Accepted = !one.Accepted
			if err := s.Put(context.Background(), one.SpoolEntry, one.packed); err != nil {
				return err
			}
		}
		if sequence%4 == 0 {
			fmt.Printf("drop %d %d\n", of, sequence-1)
			if err := s.Remove(player(of), newItem(of, fence, sequence-1, 1).Snapshot.ID); err != nil {
				return err
			}
		}
	}
}

// acknowledged is what a helper said about its entries.
type acknowledged struct{ put, dropped map[[2]uint64]bool }

// runHelper starts a helper, kills it after some lines, and returns all that it
// said.
func runHelper(t *testing.T, dir string, fence, lines int) acknowledged {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), program)
	command.Env = append(os.Environ(), helperDir+"="+dir, helperFence+"="+strconv.Itoa(fence))
	var complaints bytes.Buffer
	command.Stderr = &complaints
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	said := acknowledged{put: make(map[[2]uint64]bool), dropped: make(map[[2]uint64]bool)}
	scanner := bufio.NewReader(output)
	for n := 0; ; n++ {
		if n == lines {
			if err := command.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		line, err := scanner.ReadString('\n')
		if errors.Is(err, io.EOF) {
			break // The last line of a killed process may be cut.
		}
		if err != nil {
			t.Fatal(err)
		}
		said.note(t, line)
	}
	if err := command.Wait(); err == nil || complaints.Len() > 0 {
		t.Fatalf("helper ended by itself: %s", &complaints)
	}
	return said
}

func (a acknowledged) note(t *testing.T, line string) {
	t.Helper()
	var (
		word string
		what [2]uint64
	)
	if _, err := fmt.Sscan(line, &word, &what[0], &what[1]); err != nil {
		t.Fatalf("helper printed %q: %v", line, err)
	}
	if word == "put" {
		a.put[what] = true
	} else {
		a.dropped[what] = true
	}
}

// TestKilled: a writer killed with SIGKILL anywhere, again and again on one
// folder, leaves every acknowledged entry, whole, and no partial one (law L6).
func TestKilled(t *testing.T) {
	rounds := 40
	if testing.Short() {
		rounds = 5
	}
	dir := t.TempDir()
	checked := 0
	for round := range rounds {
		fence := round + 1
		said := runHelper(t, dir, fence, 20+7*(round%11))
		s := newSpool(t, spool.Config{Dir: dir})
		records, problems := s.Load()
		if len(problems) > 0 {
			t.Fatalf("round %d: damaged entries %v, want none", round, problems)
		}
		present := make(map[[2]uint64]bool)
		for _, record := range records {
			if record.Version.Fence != handoff.Fence(fence) {
				t.Fatalf("round %d: entry of fence %s, want only this round's", round, record.Version.Fence)
			}
			present[checkEntry(t, s, record)] = true
		}
		for what := range said.put {
			if !present[what] && !said.dropped[what] {
				t.Fatalf("round %d: player %d, sequence %d was acknowledged and is gone", round, what[0], what[1])
			}
		}
		checked += len(said.put)
		if err := errors.Join(removeAll(s, records), s.Close()); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d acknowledged entries survived %d kills", checked, rounds)
}

// checkEntry reads an entry and compares all of it with what was put.
func checkEntry(t *testing.T, s *spool.Spool, record handoff.SpoolRecord) (what [2]uint64) {
	t.Helper()
	packed, err := s.Read(record.Player, record.ID)
	if err != nil {
		t.Fatal(err)
	}
	for of := range uint64(helperPlayers) {
		if record.Player != player(of) {
			continue
		}
		want := newItem(of, record.Version.Fence, record.Version.Sequence, sizeOf(of, record.Version.Sequence))
		if record.ID != want.Snapshot.ID || !bytes.Equal(packed, want.packed) {
			t.Fatalf("entry %s of player %d is not what was put", record.Version, of)
		}
		return [2]uint64{of, record.Version.Sequence}
	}
	t.Fatalf("entry of player %s, whom nobody saved", record.Player)
	return what
}

func removeAll(s *spool.Spool, records []handoff.SpoolRecord) (err error) {
	for _, record := range records {
		err = errors.Join(err, s.Remove(record.Player, record.ID))
	}
	return err
}

// TestLockEndsWithTheProcess: a folder is free again once its worker was killed,
// and not before.
func TestLockEndsWithTheProcess(t *testing.T) {
	dir := t.TempDir()
	s := newSpool(t, spool.Config{Dir: dir})
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), program)
	command.Env = append(os.Environ(), helperDir+"="+dir, helperFence+"=1")
	said, err := command.CombinedOutput()
	if err == nil || !bytes.Contains(said, []byte("another worker runs on it")) {
		t.Fatalf("a second process said %q, %v, want it refused", said, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	runHelper(t, dir, 1, 3)
	newSpool(t, spool.Config{Dir: dir})
}
