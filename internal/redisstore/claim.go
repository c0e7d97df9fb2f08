package redisstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/syncworker/syncworker/internal/handoff"
)

// giveBackTimeout bounds the release of a grant that cannot be used; the caller
// may be gone already.
const giveBackTimeout = 2 * time.Second

// errNotGranted keeps a failure apart from the reasons behind it.
var errNotGranted = errors.New("redisstore: the grant was given back")

// Claim asks for a player's checkout, or, when c.Over names a holder, takes the
// player over from exactly that one. Whatever is not a definite answer of the
// script is ClaimFailed with the error, and then the claim may or may not have
// taken effect (law L3), but will not later: Redis does not perform it any more
// once we stopped waiting. The error wraps ErrExpired when that is what happened.
func (s *Store) Claim(ctx context.Context, player handoff.PlayerID, c handoff.Claim) handoff.Claimed {
	if c.Over.Server != "" {
		return s.takeOver(ctx, player, c)
	}
	claimed, err := s.granting(ctx, claimScript, player, c, string(s.config.Server), flag(c.AllowUnknown), int64(c.Floor))
	if err != nil {
		return failed(c, fmt.Errorf("claim player: %w", err))
	}
	return claimed
}

// takeOver asks for a player whom another server holds. It is granted, and
// TakenOver, when checkout and fence are still those of c.Over; otherwise the
// answer is that of a claim, a grant included. AllowUnknown plays no part. A
// call that is repeated because its answer was lost finds the checkout ours, so
// then the grant is not called TakenOver.
func (s *Store) takeOver(ctx context.Context, player handoff.PlayerID, c handoff.Claim) handoff.Claimed {
	claimed, err := s.granting(ctx, takeOverScript, player, c,
		string(s.config.Server), string(c.Over.Server), int64(c.Over.Fence), int64(c.Floor))
	if err != nil {
		return failed(c, fmt.Errorf("take over player: %w", err))
	}
	return claimed
}

func failed(c handoff.Claim, err error) handoff.Claimed {
	return handoff.Claimed{Attempt: c.Attempt, Outcome: handoff.ClaimFailed, Err: err}
}

// granting runs a script that may grant, for as long as we wait for its answer
// and no longer: a grant that came later would fence off what was granted since.
func (s *Store) granting(ctx context.Context, script *redis.Script, player handoff.PlayerID, c handoff.Claim, args ...any) (handoff.Claimed, error) {
	answer, err := s.timely(ctx, s.grants, func(until any) (reply, error) {
		return s.grantOn(ctx, script, player, c, append(args, until))
	})
	if err != nil {
		return handoff.Claimed{}, err
	}
	return s.claimed(player, c, answer)
}

// grantOn runs the script after the player was put on the list of those this
// server may hold: a crash after the grant must leave a trace.
func (s *Store) grantOn(ctx context.Context, script *redis.Script, player handoff.PlayerID, c handoff.Claim, args []any) (reply, error) {
	keys := s.playerKeys(player)
	if c.Enlist {
		if s.oneServer {
			return s.enlistingGrant(ctx, script, player, c, keys, args)
		}
		if err := s.enlist(ctx, s.grants, player).Err(); err != nil {
			return nil, fmt.Errorf("enlist player: %w", mend(err))
		}
	}
	return received(script.Run(ctx, s.grants, keys, args...))
}

// enlistingGrant sends both commands in one round trip. Redis runs them in this
// order, but the second also when the first failed; a grant that came without
// the entry on the list is given back.
func (s *Store) enlistingGrant(ctx context.Context, script *redis.Script, player handoff.PlayerID, c handoff.Claim, keys []string, args []any) (reply, error) {
	pipe := s.grants.Pipeline()
	enlisted := s.enlist(ctx, pipe, player)
	ran := script.EvalSha(ctx, pipe, keys, args...)
	if _, err := pipe.Exec(ctx); err != nil && !answered(err) {
		return nil, err // The connection failed; what the commands say is of an earlier attempt.
	}
	// Each command carries its own error, and the two mean different things.
	if err := enlisted.Err(); err != nil {
		return nil, s.unlisted(ctx, player, c, ran, err)
	}
	if redis.HasErrorPrefix(ran.Err(), "NOSCRIPT") {
		ran = script.Eval(ctx, s.grants, keys, args...)
	}
	return received(ran)
}

func (s *Store) enlist(ctx context.Context, on redis.Cmdable, player handoff.PlayerID) *redis.IntCmd {
	return on.SAdd(ctx, s.config.Space.Checkouts(s.config.Server), player.String())
}

// unlisted gives back what may have been granted without an entry on the list.
func (s *Store) unlisted(ctx context.Context, player handoff.PlayerID, c handoff.Claim, ran *redis.Cmd, problem error) error {
	problem = fmt.Errorf("enlist player: %w", mend(problem))
	answer, err := received(ran)
	if err != nil || answer.word() != "granted" && answer.word() != "taken" {
		return problem
	}
	claimed, err := s.claimed(player, c, answer)
	if err != nil {
		return errors.Join(problem, err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveBackTimeout)
	defer cancel()
	if given := s.Release(ctx, player, claimed.Fence); given.Outcome == handoff.WriteFailed {
		return errors.Join(problem, given.Err)
	}
	return fmt.Errorf("%w: %w", errNotGranted, problem)
}

// claimed reads the answer of a granting script.
func (s *Store) claimed(player handoff.PlayerID, c handoff.Claim, answer reply) (handoff.Claimed, error) {
	claimed := handoff.Claimed{Attempt: c.Attempt}
	var err error
	switch answer.word() {
	case "unknown":
		claimed.Outcome = handoff.ClaimUnknown
	case "held":
		claimed.Outcome = handoff.ClaimHeld
		claimed.Holder, err = answer.holder(1)
	case "granted", "taken":
		claimed.Outcome, claimed.TakenOver = handoff.ClaimGranted, answer.word() == "taken"
		var fence int64
		fence, err = answer.number(1)
		claimed.Fence = handoff.Fence(fence)
		if len(answer) > 2 && err == nil {
			claimed.Update, claimed.Err = s.unpack(player, answer[2])
		}
	default:
		err = answer.unexpected()
	}
	return claimed, err
}

// unpack reads a data_update. Whatever is wrong with it wraps
// handoff.ErrDamaged: it is there and cannot be used.
func (s *Store) unpack(player handoff.PlayerID, packed string) (*handoff.Snapshot, error) {
	snapshot, err := s.codec.Unpack([]byte(packed))
	switch {
	case errors.Is(err, handoff.ErrDamaged):
		return nil, fmt.Errorf("unpack data_update of player %s: %w", player, err)
	case err != nil:
		return nil, fmt.Errorf("%w: unpack data_update of player %s: %w", handoff.ErrDamaged, player, err)
	case snapshot.Player != player:
		return nil, fmt.Errorf("%w: data_update of player %s is a snapshot of %s", handoff.ErrDamaged, player, snapshot.Player)
	default:
		return snapshot, nil
	}
}
