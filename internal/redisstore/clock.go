package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/redis/go-redis/v9"
)

// ErrExpired is returned when Redis got a command after the time until which it
// was wanted, and so did not perform it.
var ErrExpired = errors.New("redisstore: redis got the command too late to perform it")

// clock tells what the clock of Redis shows. It is learned from readings: an
// answer that carries a time of Redis, and when the question was sent and the
// answer received. The difference between the two clocks then lies between
// time - received and time - sent.
//
// It is used for deadlines that Redis keeps, and there the safe error is to be
// early: a command that Redis refuses is sent again, one that it performs after
// we gave it up does harm. So of each reading the lower end counts, as if Redis
// had read its clock in the moment in which its answer arrived here. Of several
// readings the highest lower end is the best, unless the newest reading rules it
// out. After each reading deadlines are thus late by less than its round trip,
// and early by no more than the shortest round trip.
//
// A clock of Redis that jumps forward, or a machine that slept, makes deadlines
// early: Redis answers {expired}, and the clock is read anew. One that jumps
// back, or is slower than ours, makes them late until the next reading. That is
// harmless: it takes an abandoned command that arrives in just this time, and
// nothing but these deadlines depends on the readings.
type clock struct {
	logger hclog.Logger
	began  time.Time // what our times count from: monotonic, so that setting our clock changes nothing

	mu      sync.Mutex
	known   bool
	ahead   int64 // microseconds to add to ours
	refused bool  // Redis declined to tell, which was logged
}

func newClock(logger hclog.Logger) *clock { return &clock{logger: logger, began: time.Now()} }

// learn takes a reading in: Redis showed shown, in microseconds, at some moment
// between sent and received.
func (c *clock) learn(sent, received time.Time, shown int64) {
	least := shown - c.since(received)
	most := shown - c.since(sent)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.known || least > c.ahead || most < c.ahead {
		c.known, c.ahead = true, least
	}
}

// since returns a time of ours in microseconds.
func (c *clock) since(t time.Time) int64 { return t.Sub(c.began).Microseconds() }

// at returns what the clock of Redis shows at a time of ours; 0 when it is not
// known.
func (c *clock) at(t time.Time) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.known {
		return 0
	}
	return max(1, c.since(t)+c.ahead)
}

// acquaint reads the clock of Redis if there was no reading yet.
func (c *clock) acquaint(ctx context.Context, client redis.UniversalClient) error {
	c.mu.Lock()
	settled := c.known || c.refused
	c.mu.Unlock()
	if settled {
		return nil
	}
	return c.read(ctx, client)
}

// read asks Redis for its time. Where Redis declines for good, deadlines are
// done without, which is logged once.
func (c *clock) read(ctx context.Context, client redis.UniversalClient) error {
	sent := time.Now()
	shown, err := client.Time(ctx).Result()
	switch {
	case err == nil:
		c.learn(sent, time.Now(), shown.UnixMicro())
		return nil
	case !untold(err):
		return fmt.Errorf("read the clock of redis: %w", mend(err))
	}
	c.mu.Lock()
	first := !c.refused
	c.known, c.refused = false, true
	c.mu.Unlock()
	if first {
		c.logger.Warn("redis does not tell its time: a command that the network delivers late may undo a newer one",
			"mend", "allow the redis user the command TIME", "error", err)
	}
	return nil
}

// notAfter is an argument of a script: the time of Redis after which the script
// must not do anything any more, since by then the client will have given the
// command up. The client library asks for its bytes whenever it writes the
// command to a connection, so a repetition gets a deadline of its own, and the
// time that was spent waiting for a connection does not count.
type notAfter struct {
	clock *clock
	waits time.Duration // how long the client waits for an answer
	end   time.Time     // when the caller stops waiting; zero for never
}

// MarshalBinary returns the deadline in microseconds, in decimal, of a command
// that is written now; "0", which is none, when the clock of Redis is not known.
func (n notAfter) MarshalBinary() ([]byte, error) {
	end := time.Now().Add(n.waits)
	if !n.end.IsZero() && n.end.Before(end) {
		end = n.end
	}
	return strconv.AppendInt(nil, n.clock.at(end), 10), nil
}

// timely runs a script that does harm when it is performed late: run gets the
// argument that says until when. When Redis says that it is too late although we
// still wait, its clock is not where we believe it is; it is read once, and the
// script is run once more.
func (s *Store) timely(ctx context.Context, client redis.UniversalClient, run func(until any) (reply, error)) (reply, error) {
	if err := s.clock.acquaint(ctx, client); err != nil {
		return nil, err
	}
	until := notAfter{clock: s.clock, waits: waits(client)}
	until.end, _ = ctx.Deadline()
	answer, err := run(until)
	if err != nil || answer.word() != "expired" {
		return answer, err
	}
	if err := s.clock.read(ctx, client); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrExpired, err)
	}
	answer, err = run(until)
	if err == nil && answer.word() == "expired" {
		return nil, ErrExpired
	}
	return answer, err
}

// waits returns how long a client waits for Redis to take or answer a command.
func waits(client redis.UniversalClient) time.Duration {
	wait := ioTimeout
	if one, is := client.(*redis.Client); is {
		for _, timeout := range []time.Duration{one.Options().ReadTimeout, one.Options().WriteTimeout} {
			if timeout > 0 {
				wait = min(wait, timeout)
			}
		}
	}
	return wait
}
