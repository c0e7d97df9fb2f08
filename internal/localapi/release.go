package localapi

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"github.com/hashicorp/go-hclog"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
	"github.com/syncworker/syncworker/internal/handoff"
)

// releaseTimeout bounds each step of a release that changes something. All three
// fit into the time that the command line waits for an answer.
const releaseTimeout = 3 * time.Second

// releaser frees checkouts at an operator's word: those that were left behind
// and, by force, those of a live owner, which law L4 allows as an explicit act.
type releaser struct {
	server    handoff.ServerID
	sessions  Sessions
	checkouts Checkouts
	releases  Releases
	gate      Gate
	log       hclog.Logger
}

// order is what an operator asks for.
type order struct {
	player handoff.PlayerID
	// why is the reason; who may be empty.
	why, who string
	force    bool
}

// release frees the player's checkout and returns the record of it. The order
// of the looks matters: the checkout first, then whoever may use it. Who claims
// after that raises the fence, and freeing compares it.
//
// The record comes before the act. The other way round, a database that fails in
// between, or a worker that dies, would leave a session ended with nothing to
// tell by whom and why, and a forced release looks like an item lost or doubled
// to the player who asks later. This way the worst is a record of an order that
// had no effect, and no release at all while the database is away: then the
// player's data could not be read for certain either.
func (r *releaser) release(ctx context.Context, o order) (Release, error) {
	checkout, err := r.checkouts.Inspect(ctx, o.player)
	if err != nil {
		return Release{}, unreadable(ctx, err)
	}
	forced, err := r.allowed(ctx, checkout, o)
	if err != nil {
		return Release{}, err
	}
	release := Release{
		Player: o.player, Holder: checkout.Holder.Server, Fence: checkout.Holder.Fence, Reason: o.why, Forced: forced,
		By: cmp.Or(o.who, "somebody") + " via " + string(r.server), At: time.Now(),
	}
	// From here on it is carried out also when the caller hangs up.
	ctx = context.WithoutCancel(ctx)
	if err := r.record(ctx, release); err != nil {
		return Release{}, err
	}
	if err := r.free(ctx, release); err != nil {
		return Release{}, err
	}
	if forced {
		r.notify(ctx, release)
	}
	return release, nil
}

// allowed returns nil when the checkout may be freed, and whether that takes
// force because its owner is alive.
func (r *releaser) allowed(ctx context.Context, checkout Checkout, o order) (forced bool, err error) {
	var alive *problem
	switch checkout.Holder.Server {
	case "":
		return false, &problem{
			code: connect.CodeNotFound, reason: v1.ErrorReason_ERROR_REASON_NO_CHECKOUT, text: "nobody has the player checked out",
		}
	case r.server:
		if alive = r.used(o.player); alive == nil {
			return false, nil // An orphan of an earlier start.
		}
	default:
		alive = leased(checkout)
	}
	if alive != nil && !o.force {
		return false, alive
	}
	return alive != nil, r.certain(ctx)
}

// used says that this worker's own checkout serves a session, or may.
func (r *releaser) used(player handoff.PlayerID) *problem {
	summary, here := r.sessions.Summary(player)
	if !here {
		return nil
	}
	return aliveProblem(r.server, fmt.Sprintf(
		"this worker (%s) has the player itself, in phase %s: remove the player from the game", r.server, summary.Phase))
}

// leased says that the holder's lease lives.
func leased(checkout Checkout) *problem {
	lease, holder := checkout.Lease, checkout.Holder.Server
	if lease == nil {
		return nil
	}
	text := fmt.Sprintf("%s has the player and is alive", holder)
	if lease.Restarting {
		text = fmt.Sprintf("%s has the player and is restarting in place", holder)
	}
	if lease.Host != "" {
		text += fmt.Sprintf(" (host %s, pid %d)", lease.Host, lease.PID)
	}
	return aliveProblem(holder, text+": remove the player there")
}

func aliveProblem(holder handoff.ServerID, text string) *problem {
	return &problem{
		code: connect.CodeFailedPrecondition, reason: v1.ErrorReason_ERROR_REASON_HOLDER_ALIVE, holder: holder,
		text: text + "; or release it with --force, which costs what the player did there since the last accepted save",
	}
}

// certain returns nil when what Redis shows means something: after an outage
// leases and checkouts may be gone, or old (rules R1 to R3). Force does not
// change that.
func (r *releaser) certain(ctx context.Context) error {
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

func (r *releaser) record(ctx context.Context, release Release) error {
	ctx, cancel := context.WithTimeout(ctx, releaseTimeout)
	defer cancel()
	if err := r.releases.Record(ctx, release); err != nil {
		return &problem{
			code: connect.CodeUnavailable, reason: v1.ErrorReason_ERROR_REASON_DATABASE_UNAVAILABLE, retry: defaultRetry, cause: err,
			text: "not released: the database did not take the record of it",
		}
	}
	return nil
}

func (r *releaser) free(ctx context.Context, release Release) error {
	ctx, cancel := context.WithTimeout(ctx, releaseTimeout)
	defer cancel()
	written := r.checkouts.Free(ctx, release.Player, handoff.Holder{Server: release.Holder, Fence: release.Fence})
	switch written.Outcome {
	case handoff.WriteDone:
		r.log.Warn("checkout released by an operator", "player", release.Player, "holder", release.Holder,
			"fence", release.Fence, "forced", release.Forced, "reason", release.Reason, "by", release.By)
		return nil
	case handoff.WriteFailed:
		return &handoff.Refusal{Reason: handoff.ReasonRedis, Err: written.Err}
	default:
		return &problem{
			code: connect.CodeAborted, reason: v1.ErrorReason_ERROR_REASON_CHECKOUT_CHANGED, holder: written.Holder.Server,
			text: "the checkout changed hands meanwhile: look again",
		}
	}
}

// notify makes the old holder look, so that its game removes the player now and
// not at the next save. The release stands without it: the holder is fenced.
func (r *releaser) notify(ctx context.Context, release Release) {
	ctx, cancel := context.WithTimeout(ctx, releaseTimeout)
	defer cancel()
	if err := r.checkouts.Notify(ctx, release.Holder, release.Player, release.Fence+1); err != nil {
		r.log.Warn("holder was not told of the release, its next save will be refused",
			"player", release.Player, "holder", release.Holder, "error", err)
	}
}
