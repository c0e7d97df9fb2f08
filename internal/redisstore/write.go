package redisstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/syncworker/syncworker/internal/handoff"
)

// Where a packed snapshot tells its version; frozen in snapshotcodec, and read
// by the scripts likewise.
const (
	magic         = "SWS\xa7"
	versionOffset = 8
	headerSize    = versionOffset + 16
)

// errPacked is returned when bytes to store do not begin as the packed form of
// the snapshot they come with: the scripts would compare the wrong version.
var errPacked = errors.New("redisstore: packed bytes are not those of the snapshot")

// Update stores a snapshot of a session that goes on as data_update. The
// outcome is WriteDone, WriteFenced, WriteSuperseded, WriteForgotten or
// WriteFailed.
func (s *Store) Update(ctx context.Context, snapshot *handoff.Snapshot, packed []byte) handoff.Written {
	return s.write(ctx, "update player", updateScript, snapshot, packed)
}

// CheckIn stores the final snapshot of a session and gives the player back, in
// one step (law L5). The outcomes are those of Update.
func (s *Store) CheckIn(ctx context.Context, snapshot *handoff.Snapshot, packed []byte) handoff.Written {
	return s.write(ctx, "check in player", checkInScript, snapshot, packed)
}

func (s *Store) write(ctx context.Context, step string, script *redis.Script, snapshot *handoff.Snapshot, packed []byte) handoff.Written {
	if !begins(packed, snapshot.Version) {
		return unwritten(step, fmt.Errorf("%w: version %s of player %s", errPacked, snapshot.Version, snapshot.Player))
	}
	quarantine := s.config.Space.Quarantine(snapshot.Player)
	keys := append(s.playerKeys(snapshot.Player), quarantine)
	answer, err := s.run(ctx, script, keys, string(s.config.Server), int64(snapshot.Version.Fence), packed)
	if err != nil {
		return unwritten(step, err)
	}
	if answer.field(1) == "quarantined" {
		s.logger.Warn("moved a value that is no snapshot out of the way", "from", s.config.Space.Update(snapshot.Player), "to", quarantine)
	}
	return written(step, answer)
}

// begins reports whether packed begins as a snapshot of this version does.
func begins(packed []byte, version handoff.Version) bool {
	return len(packed) >= headerSize && string(packed[:len(magic)]) == magic && version.Fence > 0 && version.Sequence <= handoff.MaxSequence &&
		binary.BigEndian.Uint64(packed[versionOffset:]) == uint64(version.Fence) &&
		binary.BigEndian.Uint64(packed[versionOffset+8:]) == version.Sequence
}

// Release gives a player back without a save. The outcome is WriteDone,
// WriteFenced, WriteForgotten or WriteFailed.
func (s *Store) Release(ctx context.Context, player handoff.PlayerID, fence handoff.Fence) handoff.Written {
	const step = "release player"
	answer, err := s.run(ctx, releaseScript, s.playerKeys(player)[:2], string(s.config.Server), int64(fence))
	if err != nil {
		return unwritten(step, err)
	}
	return written(step, answer)
}

// Resume puts checkout and fence of a live session back where Redis forgot
// them, and before that the player on server_checkouts, which it forgot in the
// same moment. The outcome is WriteDone, WriteFenced or WriteFailed, and
// WriteForgotten when r.Strict forbids to put anything back. WriteFailed with
// ErrExpired: it came too late to be done.
//
// With r.Load, WriteDone comes with the data_update of the same moment. When
// that is damaged, the outcome is WriteDone all the same, Update is nil and Err
// wraps handoff.ErrDamaged: the session is resumed, and its data is there and
// cannot be read.
func (s *Store) Resume(ctx context.Context, player handoff.PlayerID, r handoff.Resume) handoff.Written {
	const step = "resume player"
	if err := s.Enlist(ctx, player); err != nil {
		return unwritten(step, err)
	}
	answer, err := s.timely(ctx, s.client, func(until any) (reply, error) {
		return s.run(ctx, resumeScript, s.playerKeys(player), string(s.config.Server), int64(r.Fence), flag(r.Strict), flag(r.Load), until)
	})
	if err != nil {
		return unwritten(step, err)
	}
	resumed := written(step, answer)
	if resumed.Outcome == handoff.WriteDone && len(answer) > 1 {
		resumed.Update, resumed.Err = s.unpack(player, answer[1])
	}
	return resumed
}

// flag is a condition as scripts take it.
func flag(set bool) int {
	if set {
		return 1
	}
	return 0
}

// Sweep removes the player's checkout if it carries this server's ID, whatever
// its fence: for sessions that are known to be over. The outcome is WriteDone,
// or WriteFailed, with ErrExpired when it came too late to be done.
func (s *Store) Sweep(ctx context.Context, player handoff.PlayerID) handoff.Written {
	const step = "sweep player"
	answer, err := s.timely(ctx, s.client, func(until any) (reply, error) {
		return s.run(ctx, sweepScript, []string{s.config.Space.Checkout(player)}, string(s.config.Server), until)
	})
	if err != nil {
		return unwritten(step, err)
	}
	return written(step, answer)
}

// Free ends the session of whoever holds the player, on an operator's order, if
// checkout and fence are still as seen (a fence of 0: none stored). The fence
// is raised, so the session cannot come back. The outcome is WriteDone, also
// when it was done before; WriteFenced when something changed meanwhile, with
// what Redis shows now as Holder; or WriteFailed.
func (s *Store) Free(ctx context.Context, player handoff.PlayerID, seen handoff.Holder) handoff.Written {
	const step = "free player"
	answer, err := s.run(ctx, freeScript, s.playerKeys(player), string(seen.Server), int64(seen.Fence))
	if err != nil {
		return unwritten(step, err)
	}
	if answer.word() == "changed" {
		answer[0] = "fenced"
	}
	return written(step, answer)
}

// written reads the answer of a writing script.
func written(step string, answer reply) handoff.Written {
	switch answer.word() {
	case "done":
		return handoff.Written{Outcome: handoff.WriteDone}
	case "superseded":
		return handoff.Written{Outcome: handoff.WriteSuperseded}
	case "forgotten":
		return handoff.Written{Outcome: handoff.WriteForgotten}
	case "fenced":
		holder, err := answer.holder(1)
		if err != nil {
			return unwritten(step, err)
		}
		return handoff.Written{Outcome: handoff.WriteFenced, Holder: holder}
	default:
		return unwritten(step, answer.unexpected())
	}
}

func unwritten(step string, err error) handoff.Written {
	return handoff.Written{Outcome: handoff.WriteFailed, Err: fmt.Errorf("%s: %w", step, err)}
}
