package lifecycle

import "context"

// turn is a mutex that is waited for no longer than a context lasts: whoever
// has it may be waiting for Redis.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

// take waits for the turn, or returns why ctx ended first.
func (t turn) take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// give hands the turn on.
func (t turn) give() { <-t }
