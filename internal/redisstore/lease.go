package redisstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/syncworker/syncworker/internal/handoff"
)

// LeaseOutcome is what became of a lease that was to be renewed or swapped.
type LeaseOutcome uint8

// The outcomes of RenewLease and SwapLease.
const (
	// LeaseRenewed: it is ours and lives on.
	LeaseRenewed LeaseOutcome = iota + 1
	// LeaseMissing: there is none. It ran out, or Redis forgot.
	LeaseMissing
	// LeaseForeign: it carries another value.
	LeaseForeign
)

// String returns the outcome as logs show it.
func (o LeaseOutcome) String() string {
	switch o {
	case LeaseRenewed:
		return "renewed"
	case LeaseMissing:
		return "missing"
	case LeaseForeign:
		return "foreign"
	default:
		return "invalid"
	}
}

// LeaseState answers RenewLease and SwapLease.
type LeaseState struct {
	Outcome LeaseOutcome
	// Current is the other value (LeaseForeign).
	Current string
}

// leaseKey is the key of this server's own lease.
func (s *Store) leaseKey() []string { return []string{s.config.Space.Lease(s.config.Server)} }

// AcquireLease takes this server's lease for ttl (at least a millisecond) if
// nobody has it. When somebody does, won is false, current is the value that
// stands there and left is how long it will live, below 0 for ever. A repeat
// with the same value wins again.
func (s *Store) AcquireLease(ctx context.Context, value string, ttl time.Duration) (won bool, current string, left time.Duration, err error) {
	answer, err := s.runLease(ctx, leaseAcquireScript, ttl, value)
	switch {
	case err != nil:
	case answer.word() == "won":
		return true, value, ttl, nil
	case answer.word() == "taken":
		var milliseconds int64
		if milliseconds, err = answer.number(2); err == nil {
			return false, answer.field(1), time.Duration(milliseconds) * time.Millisecond, nil
		}
	default:
		err = answer.unexpected()
	}
	return false, "", 0, fmt.Errorf("acquire lease: %w", err)
}

// RenewLease lets this server's lease live for another ttl if it carries the
// value. It never makes a lease: that one was missing must be known. The answer
// also tells the time of Redis, so our idea of it is never older than a renewal.
func (s *Store) RenewLease(ctx context.Context, value string, ttl time.Duration) (LeaseState, error) {
	return leaseState("renew lease", func() (reply, error) {
		sent := time.Now()
		answer, err := s.runLease(ctx, leaseRenewScript, ttl, value)
		if answer.word() == "renewed" && len(answer) > 1 {
			shown, err := answer.number(1)
			if err != nil {
				return nil, err
			}
			s.clock.learn(sent, time.Now(), shown)
		}
		return answer, err
	})
}

// SwapLease replaces the value of this server's lease, if it is from, by to, and
// lets it live for ttl. The outcome is LeaseRenewed, also when it was done
// before; LeaseMissing when there is no lease, for none is made; or LeaseForeign.
// Of several callers who know the same value and bring their own, one wins.
func (s *Store) SwapLease(ctx context.Context, from, to string, ttl time.Duration) (LeaseState, error) {
	return leaseState("swap lease", func() (reply, error) { return s.runLease(ctx, leaseSwapScript, ttl, from, to) })
}

// leaseState runs a script that changes a lease and reads its answer.
func leaseState(step string, run func() (reply, error)) (LeaseState, error) {
	answer, err := run()
	if err != nil {
		return LeaseState{}, fmt.Errorf("%s: %w", step, err)
	}
	switch answer.word() {
	case "renewed":
		return LeaseState{Outcome: LeaseRenewed}, nil
	case "missing":
		return LeaseState{Outcome: LeaseMissing}, nil
	case "foreign":
		return LeaseState{Outcome: LeaseForeign, Current: answer.field(1)}, nil
	default:
		return LeaseState{}, fmt.Errorf("%s: %w", step, answer.unexpected())
	}
}

// DropLease deletes this server's lease if it carries the value.
func (s *Store) DropLease(ctx context.Context, value string) error {
	answer, err := s.run(ctx, leaseDropScript, s.leaseKey(), value)
	if err == nil && answer.word() != "done" {
		err = answer.unexpected()
	}
	if err != nil {
		return fmt.Errorf("drop lease: %w", err)
	}
	return nil
}

// ReadLease returns the value of any server's lease and how long it will live,
// below 0 for ever. An empty value means that there is none.
func (s *Store) ReadLease(ctx context.Context, server handoff.ServerID) (value string, left time.Duration, err error) {
	answer, err := s.run(ctx, leaseReadScript, []string{s.config.Space.Lease(server)})
	switch {
	case err != nil:
	case answer.word() == "absent":
		return "", 0, nil
	case answer.word() == "present":
		var milliseconds int64
		if milliseconds, err = answer.number(2); err == nil {
			return answer.field(1), time.Duration(milliseconds) * time.Millisecond, nil
		}
	default:
		err = answer.unexpected()
	}
	return "", 0, fmt.Errorf("read lease of %s: %w", server, err)
}

// runLease guards against a time that would end the lease at once.
func (s *Store) runLease(ctx context.Context, script *redis.Script, ttl time.Duration, values ...any) (reply, error) {
	if ttl < time.Millisecond {
		return nil, fmt.Errorf("redisstore: a lease of %v is too short", ttl)
	}
	return s.run(ctx, script, s.leaseKey(), append(values, ttl.Milliseconds())...)
}

// CheckLease reports whether this server's lease is in Redis and carries our
// incarnation. An error means that it could not be read.
func (s *Store) CheckLease(ctx context.Context) (present bool, err error) {
	value, err := s.client.Get(ctx, s.leaseKey()[0]).Bytes()
	if errors.Is(err, redis.Nil) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("check lease: %w", mend(err))
	}
	var lease struct {
		Incarnation string `json:"incarnation"`
	}
	if json.Unmarshal(value, &lease) != nil {
		return false, nil // Somebody wrote it by hand: it is not ours.
	}
	return lease.Incarnation != "" && lease.Incarnation == s.config.Incarnation, nil
}
