package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/syncworker/syncworker/events"
	"github.com/syncworker/syncworker/internal/driver"
	"github.com/syncworker/syncworker/internal/gamelink"
	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/keyspace"
	"github.com/syncworker/syncworker/internal/localapi"
	"github.com/syncworker/syncworker/internal/redisstore"
	"github.com/syncworker/syncworker/internal/snapshotstore"
	"github.com/syncworker/syncworker/lifecycle"
	"github.com/syncworker/syncworker/snapshotcodec"
)

// The packages around the driver do not know each other; each declares what it
// needs. The adapters in this file are the places where two of them meet.
var (
	_ driver.Store        = storeAdapter{}
	_ driver.Watcher      = watchAdapter{}
	_ driver.Game         = (*gameAdapter)(nil)
	_ lifecycle.Leases    = leaseAdapter{}
	_ lifecycle.Checkouts = (*redisstore.Store)(nil)
	_ localapi.Sessions   = (*playerSessions)(nil)
	_ localapi.GameLink   = linkAdapter{}
	_ localapi.Checkouts  = inspectAdapter{}
	_ localapi.Releases   = releaseAdapter{}
)

// storeAdapter is Redis as the driver sees it. A lease that is missing is news
// for everybody, not only for the player whose join found out (rule R2).
type storeAdapter struct {
	*redisstore.Store
	server  handoff.ServerID
	lease   *lifecycle.Lease
	missing func()
}

func (a storeAdapter) CheckLease(ctx context.Context) (present bool, err error) {
	present, err = a.Store.CheckLease(ctx)
	if err == nil && !present {
		a.missing()
	}
	return present, err
}

// Update and the other writes make the worker look at its lease when Redis has
// forgotten a session: it may have forgotten everything, and a settle period is
// due at once then, not at the next renewal.
func (a storeAdapter) Update(ctx context.Context, snapshot *handoff.Snapshot, packed []byte) handoff.Written {
	return a.heeded(a.Store.Update(ctx, snapshot, packed))
}

// CheckIn is like Update.
func (a storeAdapter) CheckIn(ctx context.Context, snapshot *handoff.Snapshot, packed []byte) handoff.Written {
	return a.heeded(a.Store.CheckIn(ctx, snapshot, packed))
}

func (a storeAdapter) heeded(written handoff.Written) handoff.Written {
	if written.Outcome == handoff.WriteForgotten {
		a.lease.Renew()
	}
	return written
}

// ReadLease tells of another server's lease what the driver needs to know.
func (a storeAdapter) ReadLease(ctx context.Context, server handoff.ServerID) handoff.LeaseRead {
	value, left, err := a.Store.ReadLease(ctx, server)
	if err != nil || value == "" {
		return handoff.LeaseRead{Err: err}
	}
	read := handoff.LeaseRead{Present: true, Left: left}
	// A value that names no owner is a lease all the same.
	if owner, err := lifecycle.ParseOwner(value); err == nil {
		read.Incarnation = owner.Incarnation
	}
	return read
}

// Resume is strict while our sessions are suspect (rule R7).
func (a storeAdapter) Resume(ctx context.Context, player handoff.PlayerID, order handoff.Resume) handoff.Written {
	return a.lease.Resume(order, func(order handoff.Resume) handoff.Written { return a.Store.Resume(ctx, player, order) })
}

// Petition signs the petition.
func (a storeAdapter) Petition(ctx context.Context, to handoff.ServerID, player handoff.PlayerID, fence handoff.Fence) error {
	return a.Store.Petition(ctx, to, player, a.server, fence)
}

// watchAdapter turns a player's key into a channel, and events into causes.
type watchAdapter struct {
	watcher *events.Watcher
	space   keyspace.Space
}

func (a watchAdapter) Watch(player handoff.PlayerID, key handoff.Key, server handoff.ServerID, look func(handoff.LookCause)) (stop func()) {
	if key == handoff.KeyLease {
		return a.watcher.Watch(a.space.Lease(server), func(event events.Event) {
			if event.Kind != events.Changed || endsLease(event.Name) {
				look(lookCause(event.Kind))
			}
		})
	}
	return a.watcher.Watch(a.space.Key(key, player), func(event events.Event) {
		look(lookCause(event.Kind))
	})
}

// endsLease keeps a lease's renewals, some each second in a large cluster, from
// waking everybody who waits.
func endsLease(event string) bool {
	return event == "del" || event == "expired" || event == "evicted"
}

func lookCause(kind events.Kind) handoff.LookCause {
	switch kind {
	case events.Ready:
		return handoff.LookReady
	case events.Resync:
		return handoff.LookResync
	case events.Poll:
		return handoff.LookPoll
	default:
		return handoff.LookChanged
	}
}

// gameAdapter lets the driver speak to a link that is made after it.
type gameAdapter struct{ link atomic.Pointer[gamelink.Link] }

func (a *gameAdapter) TellLost(lost handoff.TellLost) {
	if link := a.link.Load(); link != nil {
		link.TellLost(lost)
	}
}

func (a *gameAdapter) AskCheckIn(asked handoff.AskCheckIn) {
	if link := a.link.Load(); link != nil {
		link.AskCheckIn(asked)
	}
}

// snapshotMeta reads what a packed snapshot says of itself, without its data.
func snapshotMeta(packed []byte) (*handoff.Snapshot, error) {
	info, err := snapshotcodec.Meta(packed)
	if err != nil {
		return nil, err
	}
	return &info.Snapshot, nil
}

// leaseAdapter is Redis as the lease sees it.
type leaseAdapter struct{ *redisstore.Store }

func (a leaseAdapter) RenewLease(ctx context.Context, value string, ttl time.Duration) (renewed bool, current string, err error) {
	state, err := a.Store.RenewLease(ctx, value, ttl)
	return state.Outcome == redisstore.LeaseRenewed, state.Current, err
}

func (a leaseAdapter) SwapLease(ctx context.Context, from, to string, ttl time.Duration) (swapped bool, current string, err error) {
	state, err := a.Store.SwapLease(ctx, from, to, ttl)
	return state.Outcome == redisstore.LeaseRenewed, state.Current, err
}

// linkAdapter is the game link as the API sees it.
type linkAdapter struct{ link *gamelink.Link }

func (a linkAdapter) Attach(game localapi.Game, resume []handoff.SessionID) (localapi.Stream, localapi.Attached, error) {
	stream, attached, err := a.link.Attach(gamelink.Game(game), resume)
	if err != nil {
		return nil, localapi.Attached{}, linkError(err)
	}
	return streamAdapter{stream}, localapi.Attached(attached), nil
}

func (a linkAdapter) State() localapi.GameState {
	state := a.link.State()
	return localapi.GameState{Open: state.Open, Attached: state.Attached, Game: localapi.Game(state.Game)}
}

func (a linkAdapter) Seen() { a.link.Seen() }

// streamAdapter is one open link.
type streamAdapter struct{ stream *gamelink.Stream }

func (a streamAdapter) Next(ctx context.Context) (localapi.GameEvent, error) {
	select {
	case event := <-a.stream.Events():
		return gameEvent(event)
	default:
	}
	select {
	case event := <-a.stream.Events():
		return gameEvent(event)
	case <-a.stream.Done():
		return nil, linkError(a.stream.Err())
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (a streamAdapter) Close() { a.stream.Close() }

func gameEvent(event gamelink.Event) (localapi.GameEvent, error) {
	switch e := event.(type) {
	case gamelink.SessionLost:
		return localapi.SessionLost{Session: e.Session, Reason: e.Reason, NewHolder: e.NewHolder}, nil
	case gamelink.CheckInRequested:
		return localapi.CheckInRequested{Session: e.Session, By: e.By}, nil
	case gamelink.Draining:
		return localapi.Draining{Deadline: e.Deadline}, nil
	default:
		return nil, fmt.Errorf("unknown event of the game link: %T", event)
	}
}

// linkError says in the API's words why a stream ended.
func linkError(err error) error {
	switch {
	case errors.Is(err, gamelink.ErrReplaced), errors.Is(err, gamelink.ErrOtherGame):
		return localapi.ErrAttachReplaced
	case errors.Is(err, gamelink.ErrOverrun):
		return localapi.ErrAttachOverrun
	case errors.Is(err, gamelink.ErrClosed):
		return &handoff.Refusal{Reason: handoff.ReasonDraining}
	default:
		return err
	}
}

// inspectAdapter is Redis as operators see it.
type inspectAdapter struct {
	*redisstore.Store
	server handoff.ServerID
}

func (a inspectAdapter) Inspect(ctx context.Context, player handoff.PlayerID) (localapi.Checkout, error) {
	seen, err := a.Store.Inspect(ctx, player)
	if err != nil {
		return localapi.Checkout{}, err
	}
	checkout := localapi.Checkout{Holder: seen.Holder}
	if seen.Size > 0 {
		checkout.Update = &localapi.StoredUpdate{Version: seen.Version, Size: seen.Size, ExpiresIn: seen.TTL}
	}
	if !seen.Held {
		return checkout, nil
	}
	value, left, err := a.ReadLease(ctx, seen.Holder.Server)
	if err != nil || value == "" {
		return checkout, err
	}
	owner, err := lifecycle.ParseOwner(value)
	if err != nil {
		return localapi.Checkout{}, fmt.Errorf("read the lease of %s: %w", seen.Holder.Server, err)
	}
	checkout.Lease = &localapi.Lease{Incarnation: owner.Incarnation, Host: owner.Host, PID: owner.PID, ExpiresIn: left, Restarting: owner.Restarting}
	return checkout, nil
}

// Notify sends the holder a petition with the fence that it must look at.
func (a inspectAdapter) Notify(ctx context.Context, holder handoff.ServerID, player handoff.PlayerID, fence handoff.Fence) error {
	return a.Petition(ctx, holder, player, a.server, fence)
}

// releaseAdapter is the record of releases as the API sees it.
type releaseAdapter struct{ archive *snapshotstore.SQLite }

func (a releaseAdapter) Record(ctx context.Context, r localapi.Release) error {
	return a.archive.RecordRelease(ctx, snapshotstore.Release{
		At: r.At, Player: r.Player, Holder: r.Holder, Fence: r.Fence, Reason: r.Reason, Forced: r.Forced, By: r.By,
	})
}

func (a releaseAdapter) List(ctx context.Context, player handoff.PlayerID, limit int) ([]localapi.Release, error) {
	kept, err := a.archive.Releases(ctx, player, limit)
	releases := make([]localapi.Release, 0, len(kept))
	for _, r := range kept {
		releases = append(releases, localapi.Release{
			Player: r.Player, Holder: r.Holder, Fence: r.Fence, Reason: r.Reason, Forced: r.Forced, By: r.By, At: r.At,
		})
	}
	return releases, err
}
