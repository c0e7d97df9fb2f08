package localapi

import (
	"context"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"github.com/hashicorp/go-hclog"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
	"github.com/syncworker/syncworker/internal/handoff"
)

// releaser frees checkouts that were left behind, at an operator's word. It
// never frees one whose owner lives (law L4).
type releaser struct {
	server    handoff.ServerID
	sessions  Sessions
	checkouts Checkouts
	gate      Gate
	log       hclog.Logger
}

// release frees the player's checkout and returns who had it. The order of the
// looks matters: the checkout first, then whoever may use it. Who claims after
// that raises the fence, and freeing compares it.
func (r *releaser) release(ctx context.Context, player handoff.PlayerID, why string) (handoff.Holder, error) {
	checkout, err := r.checkouts.Inspect(ctx, player)
	if err != nil {
		return handoff.Holder{}, unreadable(ctx, err)
	}
	holder := checkout.Holder
	if holder.Server == "" {
		return holder, &problem{
			code: connect.CodeNotFound, reason: v1.ErrorReason_ERROR_REASON_NO_CHECKOUT, text: "nobody has the player checked out",
		}
	}
	if holder.Server == r.server {
		err = r.unused(player)
	} else {
		err = r.ownerless(ctx, checkout)
	}
	if err != nil {
		return holder, err
	}
	return holder, r.free(ctx, player, holder, why)
}

// unused returns nil when this worker's own checkout serves no session: an
// orphan of an earlier start.
func (r *releaser) unused(player handoff.PlayerID) error {
	summary, here := r.sessions.Summary(player)
	if !here {
		return nil
	}
	return &problem{
		code: connect.CodeFailedPrecondition, reason: v1.ErrorReason_ERROR_REASON_HOLDER_ALIVE, holder: r.server,
		text: fmt.Sprintf("this worker (%s) has the player itself, in phase %s: remove the player from the game", r.server, summary.Phase),
	}
}

// ownerless returns nil when the holder's lease has ended and that means
// something: after an outage of Redis all leases are gone (rules R1 to R3).
func (r *releaser) ownerless(ctx context.Context, checkout Checkout) error {
	if lease := checkout.Lease; lease != nil {
		text := fmt.Sprintf("%s has the player and is alive", checkout.Holder.Server)
		if lease.Host != "" {
			text += fmt.Sprintf(" (host %s, pid %d)", lease.Host, lease.PID)
		}
		return &problem{
			code: connect.CodeFailedPrecondition, reason: v1.ErrorReason_ERROR_REASON_HOLDER_ALIVE,
			holder: checkout.Holder.Server, text: text,
		}
	}
	now := time.Now()
	if until, settled := r.gate.Settled(now); !settled {
		return &handoff.Refusal{Reason: handoff.ReasonSettling, RetryAfter: until.Sub(now)}
	}
	present, err := r.checkouts.CheckLease(ctx)
	if err != nil {
		return unreadable(ctx, err)
	}
	if !present {
		return &handoff.Refusal{Reason: handoff.ReasonSettling}
	}
	return nil
}

func (r *releaser) free(ctx context.Context, player handoff.PlayerID, holder handoff.Holder, why string) error {
	written := r.checkouts.Free(ctx, player, holder)
	switch written.Outcome {
	case handoff.WriteDone:
		r.log.Warn("checkout released by an operator", "player", player, "holder", holder.Server, "fence", holder.Fence, "reason", why)
		return nil
	case handoff.WriteFailed:
		return unreadable(ctx, written.Err)
	default:
		return &problem{
			code: connect.CodeAborted, reason: v1.ErrorReason_ERROR_REASON_CHECKOUT_CHANGED, holder: written.Holder.Server,
			text: "the checkout changed hands meanwhile: look again",
		}
	}
}
