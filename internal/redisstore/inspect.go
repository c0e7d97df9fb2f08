package redisstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/syncworker/syncworker/internal/handoff"
)

// Checkout is what Redis knows of a player at one moment.
type Checkout struct {
	// Held says that the player is checked out; Holder.Server then has the
	// player.
	Held bool
	// Holder is who has the player and the highest fence granted, 0 when none
	// is stored. Server is empty when nobody has the player.
	Holder handoff.Holder
	// Size of data_update in bytes, 0 when there is none.
	Size int64
	// Version of data_update; zero when there is none, and also when Size is
	// not 0 but the value is no snapshot.
	Version handoff.Version
	// Expires says that data_update runs out, because the database has it.
	Expires bool
	// TTL is the time until then; 0 when it does not expire.
	TTL time.Duration
}

// Inspect reads what Redis knows of a player; it is for operators. The error is
// not nil when it could not be read.
func (s *Store) Inspect(ctx context.Context, player handoff.PlayerID) (Checkout, error) {
	answer, err := s.run(ctx, inspectScript, s.playerKeys(player))
	if err != nil {
		return Checkout{}, fmt.Errorf("inspect player: %w", err)
	}
	checkout, err := inspected(answer)
	if err != nil {
		return Checkout{}, fmt.Errorf("inspect player: %w", err)
	}
	return checkout, nil
}

// Holder returns who has the player checked out, with an empty server when
// nobody has, and the highest fence granted. The error is not nil when it could
// not be read.
func (s *Store) Holder(ctx context.Context, player handoff.PlayerID) (handoff.Holder, error) {
	checkout, err := s.Inspect(ctx, player)
	return checkout.Holder, err
}

func inspected(answer reply) (Checkout, error) {
	holder, err := answer.holder(1)
	if err != nil {
		return Checkout{}, err
	}
	var numbers [4]int64
	for i := range numbers {
		if numbers[i], err = answer.number(3 + i); err != nil {
			return Checkout{}, err
		}
	}
	checkout := Checkout{
		Held:    answer.word() == "1",
		Holder:  holder,
		Size:    numbers[0],
		Version: handoff.Version{Fence: handoff.Fence(numbers[1]), Sequence: uint64(numbers[2])},
	}
	if numbers[3] >= 0 {
		checkout.Expires, checkout.TTL = true, time.Duration(numbers[3])*time.Millisecond
	}
	return checkout, nil
}

// Expire lets data_update of exactly this version run out after
// Config.UpdateTTL. Another version, or none, stays as it is.
func (s *Store) Expire(ctx context.Context, player handoff.PlayerID, version handoff.Version) error {
	keys := []string{s.config.Space.Update(player)}
	answer, err := s.run(ctx, expireScript, keys, int64(version.Fence), version.Sequence, s.config.UpdateTTL.Milliseconds())
	if err == nil && answer.word() != "done" && answer.word() != "other" {
		err = answer.unexpected()
	}
	if err != nil {
		return fmt.Errorf("expire data_update: %w", err)
	}
	return nil
}

// Unstored reads data_update as it is and how long it will live, below 0 for
// ever: then the database does not have it yet. The bytes are nil when there is
// none. The error is not nil when it could not be read.
func (s *Store) Unstored(ctx context.Context, player handoff.PlayerID) (packed []byte, ttl time.Duration, err error) {
	answer, err := s.run(ctx, unstoredScript, []string{s.config.Space.Update(player)})
	switch {
	case err != nil:
	case answer.word() == "absent":
		return nil, 0, nil
	case answer.word() == "present":
		var milliseconds int64
		if milliseconds, err = answer.number(2); err == nil {
			return []byte(answer.field(1)), time.Duration(milliseconds) * time.Millisecond, nil
		}
	default:
		err = answer.unexpected()
	}
	return nil, 0, fmt.Errorf("read data_update: %w", err)
}

// Enlist puts the player on the list of those this server may hold. A claim
// does that by itself.
func (s *Store) Enlist(ctx context.Context, player handoff.PlayerID) error {
	if err := s.enlist(ctx, s.client, player).Err(); err != nil {
		return fmt.Errorf("enlist player: %w", mend(err))
	}
	return nil
}

// Delist takes the player off the list of those this server may hold, unless the
// checkout is this server's: that one would be found by nobody after a crash.
func (s *Store) Delist(ctx context.Context, player handoff.PlayerID) error {
	if err := s.delist(ctx, player); err != nil {
		return fmt.Errorf("delist player: %w", err)
	}
	return nil
}

func (s *Store) delist(ctx context.Context, player handoff.PlayerID) error {
	list, checkout := s.config.Space.Checkouts(s.config.Server), s.config.Space.Checkout(player)
	if s.oneServer {
		answer, err := s.run(ctx, delistScript, []string{list, checkout}, string(s.config.Server), player.String())
		if err == nil && answer.word() != "done" && answer.word() != "held" {
			err = answer.unexpected()
		}
		return err
	}
	// Two slots, two commands. No claim of this worker comes in between, for
	// the operations of one player run one after the other.
	holder, err := s.client.Get(ctx, checkout).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return mend(err)
	}
	if holder == string(s.config.Server) {
		return nil
	}
	return mend(s.client.SRem(ctx, list, player.String()).Err())
}

// Listed returns the players that this server may have checked out, in no
// particular order. It walks the set in steps, so that a long one does not hold
// up Redis; players that come or go meanwhile may be missing or included.
// Members that are no player are left alone, and logged.
func (s *Store) Listed(ctx context.Context) ([]handoff.PlayerID, error) {
	key := s.config.Space.Checkouts(s.config.Server)
	const step = 1000
	seen := make(map[handoff.PlayerID]bool)
	var players []handoff.PlayerID
	members := s.client.SScan(ctx, key, 0, "", step).Iterator()
	for members.Next(ctx) {
		player, err := handoff.ParsePlayerID(members.Val())
		if err != nil {
			s.logger.Warn("skipped a member that is no player", "key", key, "error", err)
			continue
		}
		if !seen[player] { // SSCAN may name one twice.
			seen[player] = true
			players = append(players, player)
		}
	}
	if err := members.Err(); err != nil {
		return nil, fmt.Errorf("list checked out players: %w", mend(err))
	}
	return players, nil
}
