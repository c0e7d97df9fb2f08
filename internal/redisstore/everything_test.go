package redisstore_test

import (
	"context"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/redisstore"
)

// everything that asks Redis, by the words that its errors begin with.
var everything = map[string]func(*redisstore.Store, handoff.PlayerID) error{
	"claim player": func(s *redisstore.Store, p handoff.PlayerID) error {
		return failure(s.Claim(context.Background(), p, handoff.Claim{}))
	},
	"list and claim": func(s *redisstore.Store, p handoff.PlayerID) error {
		return failure(s.Claim(context.Background(), p, handoff.Claim{Enlist: true}))
	},
	"take over player": func(s *redisstore.Store, p handoff.PlayerID) error {
		return failure(s.Claim(context.Background(), p, handoff.Claim{Over: handoff.Holder{Server: "b"}}))
	},
	"update player": func(s *redisstore.Store, p handoff.PlayerID) error {
		shot := snapshot(p, handoff.Version{Fence: 7, Sequence: 1})
		return unwritten(s.Update(context.Background(), shot, pack(shot)))
	},
	"check in player": func(s *redisstore.Store, p handoff.PlayerID) error {
		shot := snapshot(p, handoff.Version{Fence: 7, Sequence: 1})
		return unwritten(s.CheckIn(context.Background(), shot, pack(shot)))
	},
	"release player": func(s *redisstore.Store, p handoff.PlayerID) error {
		return unwritten(s.Release(context.Background(), p, 7))
	},
	"resume player": func(s *redisstore.Store, p handoff.PlayerID) error {
		return unwritten(s.Resume(context.Background(), p, handoff.Resume{Fence: 7, Load: true}))
	},
	"sweep player": func(s *redisstore.Store, p handoff.PlayerID) error {
		return unwritten(s.Sweep(context.Background(), p))
	},
	"free player": func(s *redisstore.Store, p handoff.PlayerID) error {
		return unwritten(s.Free(context.Background(), p, handoff.Holder{}))
	},
	"expire data_update": func(s *redisstore.Store, p handoff.PlayerID) error {
		return s.Expire(context.Background(), p, handoff.Version{Fence: 7, Sequence: 1})
	},
	"holder": func(s *redisstore.Store, p handoff.PlayerID) error {
		_, err := s.Holder(context.Background(), p)
		return err
	},
	"enlist player": func(s *redisstore.Store, p handoff.PlayerID) error {
		return s.Enlist(context.Background(), p)
	},
	"read lease of b": func(s *redisstore.Store, _ handoff.PlayerID) error {
		_, _, err := s.ReadLease(context.Background(), "b")
		return err
	},
	"delist player": func(s *redisstore.Store, p handoff.PlayerID) error {
		return s.Delist(context.Background(), p)
	},
	"inspect player": func(s *redisstore.Store, p handoff.PlayerID) error {
		_, err := s.Inspect(context.Background(), p)
		return err
	},
	"list checked out players": func(s *redisstore.Store, _ handoff.PlayerID) error {
		_, err := s.Listed(context.Background())
		return err
	},
	"check lease": func(s *redisstore.Store, _ handoff.PlayerID) error {
		_, err := s.CheckLease(context.Background())
		return err
	},
	"acquire lease": func(s *redisstore.Store, _ handoff.PlayerID) error {
		_, _, _, err := s.AcquireLease(context.Background(), "v", 1e9)
		return err
	},
	"renew lease": func(s *redisstore.Store, _ handoff.PlayerID) error {
		_, err := s.RenewLease(context.Background(), "v", 1e9)
		return err
	},
	"swap lease": func(s *redisstore.Store, _ handoff.PlayerID) error {
		_, err := s.SwapLease(context.Background(), "v", "w", 1e9)
		return err
	},
	"read data_update": func(s *redisstore.Store, p handoff.PlayerID) error {
		_, _, err := s.Unstored(context.Background(), p)
		return err
	},
	"petition b": func(s *redisstore.Store, p handoff.PlayerID) error {
		return s.Petition(context.Background(), "b", p, "a", 7)
	},
	"drop lease": func(s *redisstore.Store, _ handoff.PlayerID) error {
		return s.DropLease(context.Background(), "v")
	},
}

// failure is the error of a claim that was not answered.
func failure(c handoff.Claimed) error {
	if c.Outcome != handoff.ClaimFailed {
		return nil
	}
	return c.Err
}

func unwritten(w handoff.Written) error {
	if w.Outcome != handoff.WriteFailed {
		return nil
	}
	return w.Err
}
