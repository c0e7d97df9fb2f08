package localapi

import (
	"bytes"
	"context"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
	"github.com/syncworker/syncworker/api/syncworker/v1/syncworkerv1connect"
	"github.com/syncworker/syncworker/internal/handoff"
)

// Sizes of the pages of ListSessions.
const (
	pageSize    = 1_000
	maxPageSize = 10_000
)

// Numbers of orders that ListReleases answers.
const (
	defaultReleases = 100
	maxReleases     = 1_000
)

// statusTimeout bounds how long GetStatus waits for Redis and the database to
// answer.
const statusTimeout = 3 * time.Second

// admin is AdminService.
type admin struct {
	config    Config
	sessions  Sessions
	game      GameLink
	worker    Worker
	checkouts Checkouts
	releases  Releases
	releaser  *releaser
}

var _ syncworkerv1connect.AdminServiceHandler = (*admin)(nil)

func newAdmin(ports Ports, config Config) *admin {
	return &admin{
		config:    config,
		sessions:  ports.Sessions,
		game:      ports.Game,
		worker:    ports.Worker,
		checkouts: ports.Checkouts,
		releases:  ports.Releases,
		releaser: &releaser{
			server: config.Server, sessions: ports.Sessions, checkouts: ports.Checkouts, releases: ports.Releases,
			gate: ports.Gate, log: ports.Logger,
		},
	}
}

// GetStatus tells how the worker is.
func (a *admin) GetStatus(ctx context.Context, _ *v1.GetStatusRequest) (*v1.GetStatusResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	status := a.worker.Status(ctx)
	link := a.game.State()
	phases := map[string]uint32{}
	for _, summary := range a.sessions.Summaries() {
		if summary.Idles() {
			continue
		}
		phases[summary.Phase]++
	}
	return &v1.GetStatusResponse{
		ServerId:    string(a.config.Server),
		ClusterId:   status.Cluster,
		Mode:        status.Mode,
		Version:     status.Version,
		Incarnation: status.Incarnation,
		Uptime:      durationpb.New(time.Since(status.Started)),
		LeaseHeld:   status.LeaseHeld,
		Redis:       wireHealth(status.Redis),
		Events:      wireEvents(status),
		Database:    wireHealth(status.Database),
		SettleUntil: wireTime(status.SettleUntil),
		Draining:    status.Draining,
		Game: &v1.Game{
			Attached: link.Open, BootId: link.Game.Boot, Platform: link.Game.Platform, GameVersion: link.Game.Version,
		},
		SessionsByPhase: phases,
		Spool:           wireSpool(status.Spool),
		LeaseRestarting: status.LeaseRestarting,
		LeaseSuspect:    status.LeaseSuspect,

		DatabaseReadsPaused:  status.ReadsPaused,
		DatabaseWritesPaused: status.WritesPaused,
	}, nil
}

func wireHealth(problem error) *v1.Health {
	if problem != nil {
		return &v1.Health{Problem: problem.Error()}
	}
	return &v1.Health{Ok: true}
}

func wireEvents(status Status) *v1.EventHealth {
	if status.Events {
		return &v1.EventHealth{Level: v1.EventLevel_EVENT_LEVEL_EVENTS}
	}
	return &v1.EventHealth{Level: v1.EventLevel_EVENT_LEVEL_POLLING, Reason: status.EventsReason}
}

// ListSessions lists the players here, by UUID.
func (a *admin) ListSessions(_ context.Context, req *v1.ListSessionsRequest) (*v1.ListSessionsResponse, error) {
	size := int(req.GetPageSize())
	if size > maxPageSize {
		return nil, invalid("page_size", "is %d (at most %d)", size, maxPageSize)
	}
	if size == 0 {
		size = pageSize
	}
	summaries := slices.DeleteFunc(slices.Clone(a.sessions.Summaries()), handoff.Summary.Idles)
	if req.GetPageToken() != "" {
		last, err := handoff.ParsePlayerID(req.GetPageToken())
		if err != nil {
			return nil, invalid("page_token", "is not a next_page_token")
		}
		summaries = slices.DeleteFunc(summaries, func(s handoff.Summary) bool {
			return bytes.Compare(s.Player[:], last[:]) <= 0
		})
	}
	slices.SortFunc(summaries, func(s, t handoff.Summary) int { return bytes.Compare(s.Player[:], t.Player[:]) })
	response := &v1.ListSessionsResponse{}
	if len(summaries) > size {
		summaries = summaries[:size]
		response.NextPageToken = summaries[size-1].Player.String()
	}
	for _, summary := range summaries {
		response.Sessions = append(response.Sessions, wireSummary(summary))
	}
	return response, nil
}

// GetCheckout tells who has a player.
func (a *admin) GetCheckout(ctx context.Context, req *v1.GetCheckoutRequest) (*v1.GetCheckoutResponse, error) {
	player, err := playerField(req.GetPlayerId())
	if err != nil {
		return nil, err
	}
	checkout, err := a.checkouts.Inspect(ctx, player)
	if err != nil {
		return nil, unreadable(ctx, err)
	}
	response := &v1.GetCheckoutResponse{
		PlayerId: player.String(),
		Holder:   string(checkout.Holder.Server),
		Fence:    int64(checkout.Holder.Fence),
	}
	if lease := checkout.Lease; lease != nil {
		response.HolderLease = &v1.Lease{
			Incarnation: lease.Incarnation, Host: lease.Host, Pid: int64(lease.PID), ExpiresIn: wireSpan(lease.ExpiresIn),
			Restarting: lease.Restarting,
		}
	}
	if update := checkout.Update; update != nil {
		response.Update = &v1.StoredUpdate{
			Version: wireVersion(update.Version), Size: update.Size, ExpiresIn: wireSpan(update.ExpiresIn),
		}
	}
	if summary, here := a.sessions.Summary(player); here {
		response.Session = wireSummary(summary)
	}
	return response, nil
}

// ReleaseCheckout frees a player whose checkout was left behind, or with force
// any.
func (a *admin) ReleaseCheckout(ctx context.Context, req *v1.ReleaseCheckoutRequest) (*v1.ReleaseCheckoutResponse, error) {
	player, err := playerField(req.GetPlayerId())
	if err != nil {
		return nil, err
	}
	if err := requiredText("reason", req.GetReason(), maxWhy); err != nil {
		return nil, err
	}
	if err := textField("ordered_by", req.GetOrderedBy(), maxWho); err != nil {
		return nil, err
	}
	released, err := a.releaser.release(ctx, order{
		player: player, why: req.GetReason(), who: req.GetOrderedBy(), force: req.GetForce(),
	})
	if err != nil {
		return nil, err
	}
	return &v1.ReleaseCheckoutResponse{
		Holder: string(released.Holder), Fence: int64(released.Fence), Forced: released.Forced,
	}, nil
}

// ListReleases lists the recorded orders.
func (a *admin) ListReleases(ctx context.Context, req *v1.ListReleasesRequest) (*v1.ListReleasesResponse, error) {
	var player handoff.PlayerID
	if req.GetPlayerId() != "" {
		var err error
		if player, err = playerField(req.GetPlayerId()); err != nil {
			return nil, err
		}
	}
	limit := int(req.GetLimit())
	if limit > maxReleases {
		return nil, invalid("limit", "is %d (at most %d)", limit, maxReleases)
	}
	if limit == 0 {
		limit = defaultReleases
	}
	releases, err := a.releases.List(ctx, player, limit)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, &handoff.Refusal{Reason: handoff.ReasonDatabase, Err: err}
	}
	response := &v1.ListReleasesResponse{}
	for _, release := range releases {
		response.Releases = append(response.Releases, wireRelease(release))
	}
	return response, nil
}

// unreadable answers for Redis, unless the caller itself gave up.
func unreadable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return &handoff.Refusal{Reason: handoff.ReasonRedis, Err: err}
}
