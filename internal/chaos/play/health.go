package play

import (
	"context"
	"fmt"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
)

// Healthy returns nil when a worker has everything it needs, grants joins, and
// has nothing left on its disk; else what is missing. Game says whether its game
// should be attached.
func (w *World) Healthy(ctx context.Context, server int, game bool) error {
	g := w.games[server]
	status, err := g.admin.GetStatus(ctx, &v1.GetStatusRequest{})
	if err != nil {
		return fmt.Errorf("%s does not answer: %w", g.id, err)
	}
	for problem, there := range map[string]bool{
		"has no lease":                !status.LeaseHeld,
		"does not reach redis":        !status.GetRedis().GetOk(),
		"does not reach the database": !status.GetDatabase().GetOk(),
		"settles":                     status.SettleUntil != nil,
		"drains":                      status.Draining,
		"has no game":                 game && !status.GetGame().GetAttached(),
		"has saves on its disk":       status.GetSpool().GetEntries() > 0,
		"hears nothing from redis":    status.GetEvents().GetLevel() != v1.EventLevel_EVENT_LEVEL_EVENTS,
		"has a suspect lease":         status.LeaseSuspect,
	} {
		if there {
			return fmt.Errorf("%s %s", g.id, problem)
		}
	}
	return nil
}
