package main

import (
	"strconv"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
	"github.com/syncworker/syncworker/internal/config"
	"github.com/syncworker/syncworker/internal/handoff"
)

func playCarryForward(t *testing.T, n *network) {
	a, b, c := n.start("a"), n.start("b"), n.start("c")
	player := playerNumber(1)
	session := a.enter(player).SessionId
	data := map[string][]byte{"x": []byte("1"), "y": {0, 0xff, 0}, "z": nil}
	if _, err := a.quit(session, &v1.Capture{Data: data}); err != nil {
		t.Fatal(err)
	}
	session = b.enter(player).SessionId // b knows x only
	if _, err := b.quit(session, &v1.Capture{Data: map[string][]byte{"x": []byte("2")}, Removed: []string{"z"}}); err != nil {
		t.Fatal(err)
	}
	got := c.enter(player).Snapshot.Data
	want := map[string][]byte{"x": []byte("2"), "y": {0, 0xff, 0}}
	if !sameData(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func playClockSkew(t *testing.T, n *network) {
	a, b := n.start("a"), n.start("b")
	player := playerNumber(1)
	// What the games' clocks say never counts: a's is ten minutes ahead.
	session := a.enter(player).SessionId
	if _, err := a.quit(session, skewed("first", 10*time.Minute)); err != nil {
		t.Fatal(err)
	}
	session = b.enter(player).SessionId
	if _, err := b.quit(session, skewed("second", -10*time.Minute)); err != nil {
		t.Fatal(err)
	}
	wantData(t, a.enter(player), v1.Source_SOURCE_UPDATE, "second")
}

func playSizes(t *testing.T, n *network) {
	n.change = func(c *config.Config) { c.Snapshots.MaxSize = 64 << 10 }
	a := n.start("a")
	player, other := playerNumber(1), playerNumber(2)
	session, others := a.enter(player).SessionId, a.enter(other).SessionId
	huge := &v1.Capture{Data: map[string][]byte{"inventory": make([]byte, 10<<20)}}
	_, err := a.save(session, huge)
	wantRefused(t, err, connect.CodeResourceExhausted, v1.ErrorReason_ERROR_REASON_TOO_LARGE)
	_, err = a.save(session, &v1.Capture{Data: map[string][]byte{"inventory": make([]byte, 70<<10)}})
	wantRefused(t, err, connect.CodeResourceExhausted, v1.ErrorReason_ERROR_REASON_TOO_LARGE)
	// Each part fits, all of it does not.
	if _, err = a.save(session, &v1.Capture{Data: map[string][]byte{"one": make([]byte, 40<<10)}}); err != nil {
		t.Fatal(err)
	}
	_, err = a.quit(session, &v1.Capture{Data: map[string][]byte{"two": make([]byte, 40<<10)}})
	wantRefused(t, err, connect.CodeResourceExhausted, v1.ErrorReason_ERROR_REASON_TOO_LARGE)
	// Too many keys, in all.
	many := &v1.Capture{Data: map[string][]byte{}}
	for key := range handoff.MaxDataKeys {
		many.Data["k"+strconv.Itoa(key)] = nil
	}
	_, err = a.save(session, many)
	wantRefused(t, err, connect.CodeInvalidArgument, v1.ErrorReason_ERROR_REASON_UNACCEPTABLE)
	if _, err := a.quit(session, &v1.Capture{Removed: []string{"one"}}); err != nil {
		t.Errorf("an empty snapshot got %v", err)
	}
	a.mustQuit(others, "small")
	if data := a.enter(player).Snapshot.Data; len(data) != 0 {
		t.Errorf("got %d keys, want none", len(data))
	}
}

func skewed(value string, by time.Duration) *v1.Capture {
	c := capturing(value)
	c.CapturedAt = timestamppb.New(time.Now().Add(by))
	return c
}
