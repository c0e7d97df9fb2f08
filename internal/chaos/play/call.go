package play

import (
	"context"
	"errors"
	"strings"
	"time"

	"connectrpc.com/connect"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
	"github.com/syncworker/syncworker/internal/chaos"
)

// callTime is how long a game waits for the answer to a call that is not a Join.
const callTime = 12 * time.Second

// answer is how a call ended, for the game to decide what to do.
type answer struct {
	outcome chaos.Outcome
	reason  string
	// retryAfter is the worker's advice; 0 for none.
	retryAfter time.Duration
}

// over reports whether the session is over: the player must go.
func (a answer) over() bool {
	switch a.reason {
	case "SESSION_LOST", "NO_SESSION", "APPLY_REFUSED", "NOT_CONFIRMED_IN_TIME":
		return true
	default:
		return false
	}
}

// call makes one call and records it. Do fills in what the answer says.
func (b *boot) call(ctx context.Context, e chaos.Entry, within time.Duration, do func(ctx context.Context, e *chaos.Entry) error) answer {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	e.Server, e.Boot = b.game.id, b.id
	e.Start = b.game.world.recorder.Now()
	err := do(ctx, &e)
	var a answer
	if err == nil {
		a.outcome = e.Outcome
	} else {
		a = explain(err)
		if a.outcome == chaos.Unknown && errors.Is(ctx.Err(), context.Canceled) {
			a.reason = chaos.HungUp
		}
		e.Outcome, e.Reason, e.Text = a.outcome, a.reason, err.Error()
	}
	b.game.world.recorder.Add(e)
	return a
}

// explain reads an error of a call.
func explain(err error) answer {
	failure, ok := errors.AsType[*connect.Error](err)
	if !ok {
		return answer{outcome: chaos.Unknown}
	}
	for _, detail := range failure.Details() {
		value, err := detail.Value()
		if err != nil {
			continue // a detail of another kind
		}
		if d, ok := value.(*v1.ErrorDetail); ok {
			return answer{
				outcome:    chaos.Refused,
				reason:     reasonOf(d.Reason),
				retryAfter: d.RetryAfter.AsDuration(),
			}
		}
	}
	return answer{outcome: chaos.Unknown}
}

// reasonOf is a reason in one word.
func reasonOf(reason v1.ErrorReason) string {
	return strings.TrimPrefix(reason.String(), "ERROR_REASON_")
}

// outcomeOf translates how safe a capture is.
func outcomeOf(state v1.SaveState) chaos.Outcome {
	switch state {
	case v1.SaveState_SAVE_STATE_CURRENT:
		return chaos.Current
	case v1.SaveState_SAVE_STATE_PROVISIONAL:
		return chaos.Provisional
	default:
		return chaos.OK
	}
}
