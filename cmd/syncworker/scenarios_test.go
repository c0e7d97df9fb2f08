package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
	"github.com/syncworker/syncworker/internal/config"
	"github.com/syncworker/syncworker/internal/handoff"
)

// scenarios run on every kind of Redis, each on a network of its own.
var scenarios = []struct {
	name string
	play func(t *testing.T, n *network)
}{
	{"hand-over", playHandOver},
	{"T01-two-joins-at-once", playTwoAtOnce},
	{"T03-late-save", playLateSave},
	{"T06-slow-holder", playSlowHolder},
	{"T09-events-cut", playEventsCut},
	{"T10-flags-changed", playFlagsChanged},
	{"T12-left-early", playLeftEarly},
	{"T13-quick-rejoin", playQuickRejoin},
	{"T14-bounce", playBounce},
	{"T15-T16-T17-confirmation", playConfirmation},
	{"T20-same-server-id", playSameServerID},
	{"T22-never-applied", playNeverApplied},
	{"T24-carry-forward", playCarryForward},
	{"T29-clock-skew", playClockSkew},
	{"T31-sizes", playSizes},
	{"redis-emptied", playEmptied},
	{"redis-restarted-empty", playRestartedEmpty},
	{"redis-restarted-while-waiting", playRestartedWhileWaiting},
	{"old-data-in-redis", playOldUpdate},
	{"game-restarted", playGameRestarted},
	{"T19-game-gone", playGameGone},
	{"drain", playDrain},
	{"operator-release", playOperatorRelease},
	{"many-waiters", playManyWaiters},
	{"T40-stuck-database", playStuckDatabase},
	{"T04-cut-off", playCutOff},
	{"T04-R7-cut-off-and-emptied", playCutOffAndEmptied},
	{"T07-database-locked", playDatabaseLocked},
	{"T08-redis-away", playRedisAway},
	{"T08-redis-frozen", playRedisFrozen},
	{"T08-spool-full", playSpoolFull},
	{"T11-emptied-in-play", playEmptiedInPlay},
	{"T19-hung-game", playHungGame},
	{"T23-damaged", playDamaged},
	{"T38-ghost", playGhost},
	{"T38-petition", playPetition},
	{"steal", playSteal},
	{"restart-in-place", playRestartInPlace},
}

func TestScenarios(t *testing.T) {
	t.Parallel()
	for _, scenario := range scenarios {
		t.Run(scenario.name, func(t *testing.T) {
			t.Parallel()
			scenario.play(t, newNetwork(t, newDevServer(t)))
		})
	}
}

func playHandOver(t *testing.T, n *network) {
	a, b := n.start("a"), n.start("b")
	player := playerNumber(1)
	first := a.enter(player)
	wantData(t, first, v1.Source_SOURCE_NEW, "")
	answers := b.waiting(player)
	left := a.mustQuit(first.SessionId, "sword")
	joined := b.got(answers)
	wantData(t, joined, v1.Source_SOURCE_UPDATE, "sword")
	if joined.HandedOverBy != "a" || joined.Snapshot.ServerId != "a" || joined.Snapshot.Id != left.SnapshotId {
		t.Errorf("handed over by %q, snapshot %+v", joined.HandedOverBy, joined.Snapshot)
	}
	// The same final save again: answered again, stored once.
	again, err := a.quit(first.SessionId, capturing("sword"))
	if err != nil || again.SnapshotId != left.SnapshotId {
		t.Errorf("the repeated quit got %v, %v", again, err)
	}
}

func playTwoAtOnce(t *testing.T, n *network) {
	servers := []*testServer{n.start("a"), n.start("b")}
	for round := range 50 {
		player := playerNumber(round)
		answers := make(chan int, 2)
		ctx, hangUp := context.WithCancel(context.Background())
		for i, s := range servers {
			go func() {
				if _, err := s.game.Join(ctx, &v1.JoinRequest{PlayerId: player.String()}); err != nil {
					if connect.CodeOf(err) != connect.CodeCanceled {
						t.Errorf("round %d: %v", round, err)
					}
					i = -1
				}
				answers <- i
			}()
		}
		winner := <-answers
		if winner < 0 {
			t.Fatalf("round %d: nobody got the player", round)
		}
		other := servers[1-winner]
		other.eventually("the other join waits", func() bool { return other.phase(player) == "waiting" })
		hangUp()
		if loser := <-answers; loser >= 0 {
			t.Fatalf("round %d: two servers got the player", round)
		}
	}
}

func playLateSave(t *testing.T, n *network) {
	a, b := n.start("a"), n.start("b")
	player := playerNumber(1)
	session := a.enter(player).SessionId
	if _, err := a.save(session, &v1.Capture{CaptureSequence: 5, Data: map[string][]byte{"inventory": []byte("five")}}); err != nil {
		t.Fatal(err)
	}
	_, err := a.save(session, &v1.Capture{CaptureSequence: 4, Data: map[string][]byte{"inventory": []byte("four")}})
	wantRefused(t, err, connect.CodeAborted, v1.ErrorReason_ERROR_REASON_SUPERSEDED)
	a.mustQuit(session, "final")
	_, err = a.save(session, capturing("late"))
	wantRefused(t, err, connect.CodeAborted, v1.ErrorReason_ERROR_REASON_SUPERSEDED)
	wantData(t, b.enter(player), v1.Source_SOURCE_UPDATE, "final")
	_, err = a.save(session, capturing("later"))
	wantRefused(t, err, connect.CodeAborted, v1.ErrorReason_ERROR_REASON_SUPERSEDED)
}

func playSlowHolder(t *testing.T, n *network) {
	a, b := n.start("a"), n.start("b")
	player := playerNumber(1)
	session := a.enter(player).SessionId
	if _, err := a.save(session, capturing("older")); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		_, err := b.tryJoin(player, time.Second)
		if detail := wantRefused(t, err, connect.CodeDeadlineExceeded, v1.ErrorReason_ERROR_REASON_HELD); detail.Holder != "a" {
			t.Errorf("the holder is %q", detail.Holder)
		}
	}
	answers := b.waiting(player)
	a.mustQuit(session, "newest")
	wantData(t, b.got(answers), v1.Source_SOURCE_UPDATE, "newest")
}

func playEventsCut(t *testing.T, n *network) {
	n.change = func(c *config.Config) { c.Sync.SafetyPoll = time.Second }
	a, b := n.start("a"), n.start("b")
	var cuts sync.WaitGroup
	defer cuts.Wait()
	for round := range 6 {
		player := playerNumber(round)
		session := a.enter(player).SessionId
		if round == 0 {
			n.redis.cutEvents() // before anybody waits
		}
		answers := b.waiting(player)
		if round == 1 || round == 5 {
			n.redis.cutEvents() // while it waits
		}
		if round == 2 {
			cuts.Go(n.redis.cutEvents) // in the same moment
		}
		a.leaves(session, strconv.Itoa(round))
		if round == 3 {
			n.redis.cutEvents() // right after
		}
		wantData(t, b.got(answers), v1.Source_SOURCE_UPDATE, strconv.Itoa(round))
	}
}

func playFlagsChanged(t *testing.T, n *network) {
	n.change = func(c *config.Config) { c.Sync.SafetyPoll = 300 * time.Millisecond }
	a, b := n.start("a"), n.start("b")
	flags := n.redis.client()
	if err := flags.ConfigSet(context.Background(), "notify-keyspace-events", "Elh").Err(); err != nil {
		t.Fatal(err)
	}
	player := playerNumber(1)
	session := a.enter(player).SessionId
	answers := b.waiting(player)
	a.mustQuit(session, "sword")
	wantData(t, b.got(answers), v1.Source_SOURCE_UPDATE, "sword")
	b.eventually("the flags are back, and nobody's are gone", func() bool {
		got := flags.ConfigGet(context.Background(), "notify-keyspace-events").Val()["notify-keyspace-events"]
		for _, flag := range "KEg$xlh" {
			if !strings.ContainsRune(got, flag) {
				return false
			}
		}
		return b.status().GetEvents().GetLevel() == v1.EventLevel_EVENT_LEVEL_EVENTS
	})
}

func playLeftEarly(t *testing.T, n *network) {
	a, b := n.start("a"), n.start("b")
	player := playerNumber(1)
	session := a.enter(player).SessionId
	a.mustQuit(session, "sword")

	// Delivered and gone before it was applied.
	joined := b.join(player)
	if _, err := b.quit(joined.SessionId, nil); err != nil {
		t.Fatal(err)
	}
	held := a.enter(player)
	wantData(t, held, v1.Source_SOURCE_UPDATE, "sword")

	// Gone while it waited.
	ctx, hangUp := context.WithCancel(context.Background())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = b.game.Join(ctx, &v1.JoinRequest{PlayerId: player.String()})
	}()
	b.eventually("the join waits", func() bool { return b.phase(player) == "waiting" })
	hangUp()
	<-gone
	b.eventually("the wait is forgotten", func() bool { return b.phase(player) == "" })
	a.mustQuit(held.SessionId, "axe")
	wantData(t, a.enter(player), v1.Source_SOURCE_UPDATE, "axe")
	if members := n.redis.client().SMembers(context.Background(), n.space.Checkouts("b")).Val(); len(members) != 0 {
		t.Errorf("b still lists %v", members)
	}
}

func playQuickRejoin(t *testing.T, n *network) {
	a := n.start("a")
	player := playerNumber(1)
	session := a.enter(player).SessionId
	for round := range 100 {
		value := strconv.Itoa(round)
		done := make(chan error, 1)
		sent := make(chan struct{})
		go func() {
			close(sent)
			_, err := a.quit(session, capturing(value))
			done <- err
		}()
		<-sent
		joined, err := a.tryJoin(player, patience)
		for connect.CodeOf(err) == connect.CodeAlreadyExists { // The join was faster than the quit.
			joined, err = a.tryJoin(player, patience)
		}
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if err := <-done; err != nil {
			t.Fatalf("round %d: quit: %v", round, err)
		}
		wantData(t, joined, v1.Source_SOURCE_UPDATE, value)
		if err := a.confirm(joined.SessionId, true); err != nil {
			t.Fatal(err)
		}
		session = joined.SessionId
	}
}

func playBounce(t *testing.T, n *network) {
	servers := []*testServer{n.start("a"), n.start("b")}
	player := playerNumber(1)
	hops := 1000
	if testing.Short() {
		hops = 100
	}
	session, last := servers[0].enter(player).SessionId, handoff.Version{}
	for hop := range hops {
		from, to := servers[hop%2], servers[(hop+1)%2]
		answers := make(chan joinAnswer, 1)
		go func() {
			joined, err := to.tryJoin(player, patience)
			answers <- joinAnswer{joined, err}
		}()
		from.mustQuit(session, strconv.Itoa(hop))
		joined := to.got(answers)
		wantData(t, joined, v1.Source_SOURCE_UPDATE, strconv.Itoa(hop))
		version := handoff.Version{Fence: handoff.Fence(joined.Snapshot.Version.Fence), Sequence: joined.Snapshot.Version.Sequence}
		if version.Compare(last) <= 0 {
			t.Fatalf("hop %d: version %v after %v", hop, version, last)
		}
		last, session = version, joined.SessionId
		if err := to.confirm(session, true); err != nil {
			t.Fatal(err)
		}
	}
}

func playConfirmation(t *testing.T, n *network) {
	a, b := n.start("a"), n.start("b")
	player := playerNumber(1)
	a.mustQuit(a.enter(player).SessionId, "sword")

	joined := b.join(player)
	_, err := b.save(joined.SessionId, capturing("empty"))
	wantRefused(t, err, connect.CodeFailedPrecondition, v1.ErrorReason_ERROR_REASON_NOT_CONFIRMED)
	again := b.join(player)
	if again.SessionId != joined.SessionId {
		t.Errorf("the repeated join opened another session: %s, %s", again.SessionId, joined.SessionId)
	}
	wantData(t, again, v1.Source_SOURCE_UPDATE, "sword")

	// The game cannot apply the data: released, untouched.
	if err := b.confirm(joined.SessionId, false); err != nil {
		t.Fatal(err)
	}
	_, err = b.save(joined.SessionId, capturing("empty"))
	if connect.CodeOf(err) != connect.CodeFailedPrecondition && connect.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("a save after a refused apply got %v", err)
	}
	held := a.enter(player)
	wantData(t, held, v1.Source_SOURCE_UPDATE, "sword")

	// Confirmed: the data is not delivered a second time.
	_, err = a.tryJoin(player, time.Second)
	wantRefused(t, err, connect.CodeAlreadyExists, v1.ErrorReason_ERROR_REASON_ALREADY_HERE)
	if err := a.confirm(held.SessionId, true); err != nil {
		t.Errorf("the repeated confirmation got %v", err)
	}
	if err := a.confirm(held.SessionId, false); err == nil {
		t.Error("a confirmation was taken back")
	}
}

func playSameServerID(t *testing.T, n *network) {
	a := n.start("a")
	player := playerNumber(1)
	session := a.enter(player).SessionId
	o := workerOptions{
		config: n.config("a"), dial: n.redis.dial(), logger: testLogger(t),
		listening: func() { t.Error("the second worker serves") },
	}
	o.config.API.Listen = "unix://" + n.folder + "/other.sock"
	err := runWorker(context.Background(), o)
	if err == nil || !strings.Contains(err.Error(), "pid") || !strings.Contains(err.Error(), "another worker serves this server id") {
		t.Errorf("the second worker ended with %v", err)
	}
	if phase := a.phase(player); phase != "present" {
		t.Errorf("the player is %q after the second worker", phase)
	}
	a.mustQuit(session, "sword")
}

func playNeverApplied(t *testing.T, n *network) {
	n.change = func(c *config.Config) { c.Game.ConfirmTimeout = time.Second }
	a, b := n.start("a"), n.start("b")
	player := playerNumber(1)
	a.mustQuit(a.enter(player).SessionId, "sword")
	joined := b.join(player) // and never a word more
	wantData(t, a.enter(player), v1.Source_SOURCE_UPDATE, "sword")
	_, err := b.save(joined.SessionId, capturing("empty"))
	wantRefused(t, err, connect.CodeFailedPrecondition, v1.ErrorReason_ERROR_REASON_NOT_CONFIRMED_IN_TIME)
}

func playManyWaiters(t *testing.T, n *network) {
	a, b := n.start("a"), n.start("b")
	const players = 50
	sessions := make([]string, players)
	answers := make([]<-chan joinAnswer, players)
	for i := range players {
		sessions[i] = a.enter(playerNumber(i)).SessionId
		answers[i] = b.waiting(playerNumber(i))
	}
	var all sync.WaitGroup
	for i := range players {
		all.Go(func() {
			if _, err := a.quit(sessions[i], capturing(fmt.Sprint(i))); err != nil {
				t.Errorf("quit %d: %v", i, err)
			}
		})
	}
	all.Wait()
	for i := range players {
		wantData(t, b.got(answers[i]), v1.Source_SOURCE_UPDATE, fmt.Sprint(i))
	}
}
