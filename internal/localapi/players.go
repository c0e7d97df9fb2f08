package localapi

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
	"github.com/syncworker/syncworker/api/syncworker/v1/syncworkerv1connect"
	"github.com/syncworker/syncworker/internal/handoff"
)

// players is PlayerService.
type players struct {
	sessions Sessions
	game     GameLink
	config   Config
	autoPin  map[string]bool
	life     *life
}

var _ syncworkerv1connect.PlayerServiceHandler = (*players)(nil)

func newPlayers(ports Ports, config Config, life *life) *players {
	pinned := make(map[string]bool, len(config.AutoPin))
	for _, cause := range config.AutoPin {
		pinned[cause] = true
	}
	return &players{sessions: ports.Sessions, game: ports.Game, config: config, autoPin: pinned, life: life}
}

// Join waits for a player's data.
func (p *players) Join(ctx context.Context, req *v1.JoinRequest) (*v1.JoinResponse, error) {
	p.game.Seen()
	player, err := playerField(req.GetPlayerId())
	if err != nil {
		return nil, err
	}
	if err := textField("player_name", req.GetPlayerName(), handoff.MaxPlayerName); err != nil {
		return nil, err
	}
	wait, err := waitField(req.GetWaitTimeout(), p.config.WaitTimeout, p.config.MaxWait)
	if err != nil {
		return nil, err
	}
	if !p.game.State().Attached {
		return nil, &handoff.Refusal{Reason: handoff.ReasonNotAttached}
	}
	wait = withinDeadline(ctx, wait)
	ctx, cancel := until(ctx, p.life.stopping)
	defer cancel()
	grant, err := p.sessions.Join(ctx, player, req.GetPlayerName(), wait)
	if err != nil {
		return nil, err
	}
	return wireGrant(grant), nil
}

// withinDeadline ends the wait a little before the call's own deadline, so that
// the client learns who has the player and not just that time is up.
func withinDeadline(ctx context.Context, wait time.Duration) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return wait
	}
	left := time.Until(deadline)
	return max(min(wait, left-min(left/10, 100*time.Millisecond)), 0)
}

// Confirm takes the game's report.
func (p *players) Confirm(ctx context.Context, req *v1.ConfirmRequest) (*v1.ConfirmResponse, error) {
	p.game.Seen()
	session, err := sessionField("session_id", req.GetSessionId())
	if err != nil {
		return nil, err
	}
	if req.Applied == nil {
		// Taking absent for false would release a player over a typing error.
		return nil, invalid("applied", "is missing: say true or false")
	}
	if err := p.sessions.Confirm(ctx, session, req.GetApplied(), cutProblem(req.GetError())); err != nil {
		return nil, err
	}
	return &v1.ConfirmResponse{}, nil
}

// cutProblem keeps the beginning: a report must not be lost over its length.
func cutProblem(text string) string {
	if len(text) <= maxProblem {
		return text
	}
	return strings.ToValidUTF8(text[:maxProblem], "")
}

// Save hands in a capture.
func (p *players) Save(ctx context.Context, req *v1.SaveRequest) (*v1.SaveResponse, error) {
	p.game.Seen()
	session, err := sessionField("session_id", req.GetSessionId())
	if err != nil {
		return nil, err
	}
	if req.GetSnapshot() == nil {
		return nil, invalid("snapshot", "is missing")
	}
	capture, err := p.capture(req.GetSnapshot())
	if err != nil {
		return nil, err
	}
	capture.HistoryOnly = req.GetHistoryOnly()
	receipt, err := p.sessions.Save(ctx, session, capture)
	if err != nil {
		return nil, err
	}
	return &v1.SaveResponse{
		SnapshotId: wireSnapshotID(receipt.Snapshot), Version: wireVersion(receipt.Version), State: states[receipt.State],
	}, nil
}

// Quit ends a session.
func (p *players) Quit(ctx context.Context, req *v1.QuitRequest) (*v1.QuitResponse, error) {
	p.game.Seen()
	session, err := sessionField("session_id", req.GetSessionId())
	if err != nil {
		return nil, err
	}
	var capture *handoff.Capture
	if req.GetSnapshot() != nil {
		if capture, err = p.capture(req.GetSnapshot()); err != nil {
			return nil, err
		}
	}
	receipt, err := p.sessions.Quit(ctx, session, capture)
	if err != nil {
		return nil, err
	}
	return &v1.QuitResponse{
		SnapshotId: wireSnapshotID(receipt.Snapshot), Version: wireVersion(receipt.Version), State: states[receipt.State],
	}, nil
}

// capture checks what the game hands in and adds what only the worker knows.
func (p *players) capture(sent *v1.Capture) (*handoff.Capture, error) {
	now := time.Now()
	at, err := timeField("snapshot.captured_at", sent.GetCapturedAt(), now)
	if err != nil {
		return nil, err
	}
	if err := textField("snapshot.save_cause", sent.GetSaveCause(), handoff.MaxSaveCause); err != nil {
		return nil, err
	}
	if sent.GetCaptureSequence() > handoff.MaxSequence {
		return nil, invalid("snapshot.capture_sequence", "is larger than %d", handoff.MaxSequence)
	}
	if err := dataFields(sent.GetData(), sent.GetRemoved()); err != nil {
		return nil, err
	}
	if dataSize(sent.GetData()) > p.config.MaxSnapshot {
		return nil, &handoff.Refusal{Reason: handoff.ReasonTooLarge}
	}
	// Version 7 begins with the time, so that the rows of a table that is
	// ordered by this ID grow at its end.
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("make a snapshot id: %w", err)
	}
	game := p.game.State().Game
	return &handoff.Capture{
		ID:          handoff.SnapshotID(id),
		Sequence:    sent.GetCaptureSequence(),
		SaveCause:   sent.GetSaveCause(),
		CapturedAt:  at,
		CreatedAt:   now,
		Platform:    game.Platform,
		GameVersion: game.Version,
		Pinned:      p.autoPin[sent.GetSaveCause()],
		Data:        sent.GetData(),
		Removed:     sent.GetRemoved(),
	}, nil
}

// Attach opens the game link and sends its events until it ends.
func (p *players) Attach(ctx context.Context, req *v1.AttachRequest, out *connect.ServerStream[v1.AttachResponse]) error {
	game, resume, err := attachFields(req)
	if err != nil {
		return err
	}
	ctx, cancel := until(ctx, p.life.stopping)
	defer cancel()
	if ctx.Err() != nil {
		// Nothing is attached for a caller that is gone: it would break the
		// link of the game that is there.
		return ctx.Err()
	}
	stream, answer, err := p.game.Attach(game, resume)
	if err != nil {
		return err
	}
	defer stream.Close()
	attached := &v1.Attached{Resumed: wireSessions(answer.Resumed), Lost: wireSessions(answer.Lost)}
	if err := out.Send(&v1.AttachResponse{Event: &v1.AttachResponse_Attached{Attached: attached}}); err != nil {
		return err
	}
	for {
		event, err := stream.Next(ctx)
		if err != nil {
			return attachEnd(err)
		}
		if err := out.Send(wireEvent(event)); err != nil {
			return err
		}
	}
}

func attachFields(req *v1.AttachRequest) (Game, []handoff.SessionID, error) {
	game := Game{Boot: req.GetBootId(), Platform: req.GetPlatform(), Version: req.GetGameVersion()}
	if err := requiredText("boot_id", game.Boot, maxBoot); err != nil {
		return game, nil, err
	}
	if err := textField("platform", game.Platform, handoff.MaxLabel); err != nil {
		return game, nil, err
	}
	if err := textField("game_version", game.Version, handoff.MaxLabel); err != nil {
		return game, nil, err
	}
	if len(req.GetResume()) > maxResume {
		return game, nil, invalid("resume", "has %d sessions (at most %d)", len(req.GetResume()), maxResume)
	}
	resume := make([]handoff.SessionID, 0, len(req.GetResume()))
	for i, text := range req.GetResume() {
		session, err := sessionField(fmt.Sprintf("resume[%d]", i), text)
		if err != nil {
			return game, nil, err
		}
		resume = append(resume, session)
	}
	return game, resume, nil
}

func attachEnd(err error) error {
	switch {
	case errors.Is(err, ErrAttachReplaced):
		return &problem{
			code: connect.CodeAborted, reason: v1.ErrorReason_ERROR_REASON_ATTACH_REPLACED,
			text: "another Attach took this stream's place",
		}
	case errors.Is(err, ErrAttachOverrun):
		return &problem{
			code: connect.CodeResourceExhausted, reason: v1.ErrorReason_ERROR_REASON_ATTACH_OVERRUN,
			text: "the game reads its events too slowly: attach again", retry: defaultRetry,
		}
	default:
		return err
	}
}
