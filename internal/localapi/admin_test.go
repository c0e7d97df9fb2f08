package localapi_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/localapi"
)

func TestGetStatus(t *testing.T) {
	b := newBed(t, nil)
	until := time.Unix(1_800_000_000, 0)
	b.worker.status = localapi.Status{
		Cluster: "main", Mode: "lockstep", Version: "0.1.0", Incarnation: "i1", Started: time.Now().Add(-time.Hour), LeaseHeld: true,
		Redis: errors.New("connection refused"), EventsReason: "CONFIG is forbidden", SettleUntil: until, Draining: true,
		LeaseRestarting: true, LeaseSuspect: true, ReadsPaused: true,
		Spool: localapi.Spool{Entries: 3, Bytes: 4096, MaxBytes: 1 << 20, Recovering: 2},
	}
	b.game.setState(localapi.GameState{Open: true, Attached: true, Game: localapi.Game{Boot: "b", Platform: "bukkit", Version: "1.21.4"}})
	b.sessions.summaries = []handoff.Summary{
		{Phase: "present", Live: true},
		{Phase: "waiting", Since: until},
		{Phase: "present", Live: true},
		{Phase: "absent"}, // remembered for late calls only
	}
	status, err := b.client.Admin.GetStatus(t.Context(), &v1.GetStatusRequest{})
	if err != nil {
		t.Fatalf("GetStatus: %v", err)
	}
	if status.GetServerId() != "survival-1" || status.GetClusterId() != "main" || status.GetMode() != "lockstep" ||
		status.GetVersion() != "0.1.0" || status.GetIncarnation() != "i1" || status.GetUptime().AsDuration() < time.Hour ||
		!status.GetLeaseHeld() || !status.GetDraining() || !status.GetSettleUntil().AsTime().Equal(until) {
		t.Errorf("status = %v", status)
	}
	if redis := status.GetRedis(); redis.GetOk() || redis.GetProblem() != "connection refused" {
		t.Errorf("redis = %v", redis)
	}
	if !status.GetLeaseRestarting() || !status.GetLeaseSuspect() || !status.GetDatabaseReadsPaused() || status.GetDatabaseWritesPaused() {
		t.Errorf("lease and database: %v", status)
	}
	if spool := status.GetSpool(); spool.GetEntries() != 3 || spool.GetBytes() != 4096 || spool.GetMaxBytes() != 1<<20 || spool.GetRecovering() != 2 {
		t.Errorf("spool = %v", spool)
	}
	if database := status.GetDatabase(); !database.GetOk() || database.GetProblem() != "" {
		t.Errorf("database = %v", database)
	}
	if events := status.GetEvents(); events.GetLevel() != v1.EventLevel_EVENT_LEVEL_POLLING || events.GetReason() == "" {
		t.Errorf("events = %v", events)
	}
	if game := status.GetGame(); !game.GetAttached() || game.GetBootId() != "b" || game.GetPlatform() != "bukkit" || game.GetGameVersion() != "1.21.4" {
		t.Errorf("game = %v", game)
	}
	if phases := status.GetSessionsByPhase(); len(phases) != 2 || phases["present"] != 2 || phases["waiting"] != 1 {
		t.Errorf("phases = %v", phases)
	}

	b.worker.status = localapi.Status{Events: true}
	b.game.setState(localapi.GameState{Attached: true}) // within game.grace
	if status, err = b.client.Admin.GetStatus(t.Context(), &v1.GetStatusRequest{}); err != nil {
		t.Fatalf("GetStatus: %v", err)
	}
	if status.GetSettleUntil() != nil || status.GetEvents().GetLevel() != v1.EventLevel_EVENT_LEVEL_EVENTS || status.GetGame().GetAttached() {
		t.Errorf("status = %v", status)
	}
}

func TestListSessions(t *testing.T) {
	b := newBed(t, nil)
	since := time.Unix(1_700_000_000, 0)
	var want []string
	for n := range 25 {
		player := handoff.PlayerID{byte(n * 37)}
		want = append(want, player.String())
		b.sessions.summaries = append(b.sessions.summaries, handoff.Summary{
			Player: player, Name: fmt.Sprintf("p%d", n), Phase: "present", Session: handoff.SessionID{Player: player, Fence: 3},
			Live: true, Confirmed: true, Busy: true, Unstored: 2, Since: since, Version: handoff.Version{Fence: 3, Sequence: 4}, Holder: "lobby",
		})
	}
	slices.Sort(want)
	var got []string
	var token string
	pages := 0
	for {
		page, err := b.client.Admin.ListSessions(t.Context(), &v1.ListSessionsRequest{PageSize: 10, PageToken: token})
		if err != nil {
			t.Fatalf("ListSessions: %v", err)
		}
		pages++
		for _, session := range page.GetSessions() {
			got = append(got, session.GetPlayerId())
			if session.GetPhase() != "present" || !session.GetLive() || !session.GetConfirmed() || !session.GetBusy() || session.GetUnstored() != 2 ||
				!session.GetSince().AsTime().Equal(since) || session.GetVersion().GetSequence() != 4 || session.GetWaitsFor() != "lobby" ||
				session.GetSessionId() != session.GetPlayerId()+".3" || !strings.HasPrefix(session.GetPlayerName(), "p") {
				t.Errorf("session = %v", session)
			}
		}
		if token = page.GetNextPageToken(); token == "" {
			break
		}
	}
	if pages != 3 || !slices.Equal(got, want) {
		t.Errorf("%d pages with %v, want 3 with %v", pages, got, want)
	}
	page, err := b.client.Admin.ListSessions(t.Context(), &v1.ListSessionsRequest{})
	if err != nil || len(page.GetSessions()) != 25 || page.GetNextPageToken() != "" {
		t.Errorf("the default page has %d sessions (%v)", len(page.GetSessions()), err)
	}
}

func TestGetCheckout(t *testing.T) {
	b := newBed(t, nil)
	ask := func() (*v1.GetCheckoutResponse, error) {
		return b.client.Admin.GetCheckout(t.Context(), &v1.GetCheckoutRequest{PlayerId: strings.ReplaceAll(playerText, "-", "")})
	}
	found, err := ask()
	if err != nil || found.GetPlayerId() != playerText || found.GetHolder() != "" || found.GetHolderLease() != nil || found.GetUpdate() != nil || found.GetSession() != nil {
		t.Errorf("nothing known: %v (%v)", found, err)
	}
	b.redis.checkout = localapi.Checkout{
		Holder: handoff.Holder{Server: "lobby", Fence: 7},
		Lease:  &localapi.Lease{Incarnation: "i2", Host: "node-1", PID: 99, ExpiresIn: 8 * time.Second, Restarting: true},
		Update: &localapi.StoredUpdate{Version: handoff.Version{Fence: 6, Sequence: 2}, Size: 4096, ExpiresIn: time.Hour},
	}
	b.sessions.summaries = []handoff.Summary{{Player: thePlayer, Phase: "waiting", Holder: "lobby"}}
	if found, err = ask(); err != nil {
		t.Fatalf("GetCheckout: %v", err)
	}
	if lease := found.GetHolderLease(); found.GetHolder() != "lobby" || found.GetFence() != 7 || lease.GetIncarnation() != "i2" ||
		!lease.GetRestarting() || lease.GetHost() != "node-1" || lease.GetPid() != 99 || lease.GetExpiresIn().AsDuration() != 8*time.Second {
		t.Errorf("checkout = %v", found)
	}
	if update := found.GetUpdate(); update.GetSize() != 4096 || update.GetVersion().GetFence() != 6 || update.GetExpiresIn().AsDuration() != time.Hour {
		t.Errorf("update = %v", update)
	}
	if session := found.GetSession(); session.GetPhase() != "waiting" || session.GetSessionId() != "" || session.GetSince() != nil {
		t.Errorf("session = %v", session)
	}
	b.redis.problem = errors.New("connection refused")
	_, err = ask()
	wantError(t, err, connect.CodeUnavailable, v1.ErrorReason_ERROR_REASON_REDIS_UNAVAILABLE)
}

// An operator's own timeout is not taken for Redis's.
func TestAdminCallTimeout(t *testing.T) {
	b := newBed(t, nil)
	b.redis.problem = context.DeadlineExceeded
	_, err := b.client.Admin.GetCheckout(t.Context(), &v1.GetCheckoutRequest{PlayerId: playerText})
	wantError(t, err, connect.CodeUnavailable, v1.ErrorReason_ERROR_REASON_REDIS_UNAVAILABLE)
}
