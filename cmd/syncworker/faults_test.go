package main

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/snapshotcodec"
)

// cable is one worker's way to Redis, which can be cut and mended.
type cable struct {
	through func(ctx context.Context, network, address string) (net.Conn, error)

	mu    sync.Mutex
	isCut bool
	conns map[net.Conn]struct{}
}

var errCut = errors.New("the cable is cut")

// cable gives the next start of a worker connections to Redis that can be cut.
func (n *network) cable(id string) *cable {
	c := &cable{through: n.redis.dial(), conns: map[net.Conn]struct{}{}}
	if c.through == nil {
		c.through = new(net.Dialer).DialContext
	}
	n.cables[id] = c
	return c
}

func (c *cable) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := c.through(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isCut {
		return nil, errors.Join(errCut, conn.Close())
	}
	c.conns[conn] = struct{}{}
	return conn, nil
}

// cut ends all connections and lets none come up until mend.
func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isCut = true
	for conn := range c.conns {
		_ = conn.Close() // the worker may have closed it before
	}
	clear(c.conns)
}

func (c *cable) mend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isCut = false
}

// stored returns the inventories that the database keeps of a player in one
// role, in the order of their versions.
func (n *network) stored(player handoff.PlayerID, role string) []string {
	n.t.Helper()
	codec, err := snapshotcodec.New(snapshotcodec.Config{})
	if err != nil {
		n.t.Fatal(err)
	}
	db, err := sql.Open("sqlite", filepath.Join(n.folder, "players.db"))
	if err != nil {
		n.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	rows, err := db.Query("SELECT packed FROM snapshots WHERE player = ? AND stored_as = ? ORDER BY fence, sequence", player.String(), role)
	if err != nil {
		n.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var values []string
	for rows.Next() {
		var packed []byte
		if err := rows.Scan(&packed); err != nil {
			n.t.Fatal(err)
		}
		snapshot, err := codec.Unpack(packed)
		if err != nil {
			n.t.Fatal(err)
		}
		values = append(values, string(snapshot.Data["inventory"]))
	}
	if err := rows.Err(); err != nil {
		n.t.Fatal(err)
	}
	return values
}

// newest returns the inventory of the newest current row; "" for none.
func (n *network) newest(player handoff.PlayerID) string {
	n.t.Helper()
	return last(n.stored(player, "current"))
}

func last(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return cmp.Or(values[len(values)-1], "nothing")
}

// wantConflict waits until the database keeps the inventory as a conflict.
func (n *network) wantConflict(s *testServer, player handoff.PlayerID, value string) {
	n.t.Helper()
	s.eventually("the refused save is kept as conflict", func() bool { return last(n.stored(player, "conflict")) == value })
}

// emptied waits until nothing is left in the worker's spool.
func (s *testServer) emptied() {
	s.t.Helper()
	s.eventually("the spool is empty", func() bool {
		spool := s.status().GetSpool()
		return spool.GetEntries()+spool.GetRecovering() == 0
	})
}

// mustSave saves one key of data and wants it to be current.
func (s *testServer) mustSave(session, value string) {
	s.t.Helper()
	saved, err := s.save(session, capturing(value))
	if err != nil {
		s.t.Fatalf("save on %s: %v", s.id, err)
	}
	s.wantCurrent(saved.GetState())
}

// wantCurrent fails unless a save was answered CURRENT. PROVISIONAL is right as
// well when this machine was so busy that the worker found Redis silent.
func (s *testServer) wantCurrent(got saveState) {
	s.t.Helper()
	if got != provisional || !strings.Contains(s.log.String(), "cause=redis-silent") {
		wantState(s.t, got, current)
	}
}

// wantState fails unless a save was answered so.
func wantState(t *testing.T, got, want saveState) {
	t.Helper()
	if got != want {
		t.Fatalf("answered %v, want %v", got, want)
	}
}

type saveState = v1.SaveState

const (
	current     = v1.SaveState_SAVE_STATE_CURRENT
	provisional = v1.SaveState_SAVE_STATE_PROVISIONAL
)

// wantLost waits until the game is told that a session is lost, and to whom.
func (s *testServer) wantLost(session string, to *testServer) {
	s.t.Helper()
	told := s.tells(func(told *v1.AttachResponse) bool { return told.GetSessionLost().GetSessionId() == session }).GetSessionLost()
	if told.GetReason() != v1.ErrorReason_ERROR_REASON_SESSION_LOST || told.GetNewHolder() != to.id {
		s.t.Errorf("the game of %s was told %v, want the new holder %q", s.id, told, to.id)
	}
}

// lostAll waits until the game is told that all these sessions are lost.
func (s *testServer) lostAll(sessions ...string) {
	s.t.Helper()
	told := map[string]bool{}
	for len(told) < len(sessions) {
		event := s.tells(func(told *v1.AttachResponse) bool { return told.GetSessionLost() != nil })
		told[event.GetSessionLost().GetSessionId()] = true
	}
	for _, session := range sessions {
		if !told[session] {
			s.t.Errorf("the game of %s was told that %v are lost, and not that %s is", s.id, told, session)
		}
	}
}

// codeLost goes with SESSION_LOST.
const codeLost = connect.CodeFailedPrecondition

// lateSave is what is saved after a session was lost.
const lateSave = "of the lost session"

// refusesLost wants a save to be refused because the session is lost.
func (s *testServer) refusesLost(session string) {
	s.t.Helper()
	_, err := s.save(session, capturing(lateSave))
	wantRefused(s.t, err, codeLost, v1.ErrorReason_ERROR_REASON_SESSION_LOST)
}

// joinInTime joins as a game does that repeats what may be repeated.
func (s *testServer) joinInTime(player handoff.PlayerID) *v1.JoinResponse {
	s.t.Helper()
	var joined *v1.JoinResponse
	s.eventually("the join is granted", func() bool {
		var err error
		joined, err = s.game.Join(context.Background(), &v1.JoinRequest{
			PlayerId: player.String(), WaitTimeout: durationpb.New(patience),
		})
		if err != nil && connect.CodeOf(err) != connect.CodeUnavailable {
			s.t.Fatalf("join %s: %v", s.id, err)
		}
		return err == nil
	})
	return joined
}

// wantInventory fails unless that is the delivered inventory, from wherever.
func wantInventory(t *testing.T, joined *v1.JoinResponse, value string) {
	t.Helper()
	if got := string(joined.GetSnapshot().GetData()["inventory"]); got != value {
		t.Fatalf("got %q from %v, want %q", got, joined.GetSource(), value)
	}
}

// leaves quits as a game does that repeats what may be repeated. Every answer is
// final; which one it is depends on whether Redis may have lost the save again.
func (s *testServer) leaves(session, value string) {
	s.t.Helper()
	if err := s.quitInTime(session, value); err != nil {
		s.t.Fatalf("quit %s: %v", s.id, err)
	}
}

// stillWaits wants a join to wait, or to be looking whether it still has to.
func (s *testServer) stillWaits(player handoff.PlayerID) {
	s.t.Helper()
	if phase := s.phase(player); phase != "waiting" && phase != "claiming" {
		s.t.Errorf("the player is %q on %s, want a join that waits", phase, s.id)
	}
}
