package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/syncworker/syncworker/events"
	"github.com/syncworker/syncworker/internal/localapi"
)

// errNotYet is what readiness says of a lease that is being waited for.
var errNotYet = errors.New("not held yet")

// Status implements localapi.Worker.
func (w *worker) Status(ctx context.Context) localapi.Status {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	watching := w.watcher.Status()
	status := localapi.Status{
		Cluster: w.config.Server.ClusterID, Mode: w.owner.Mode, Version: w.owner.Version,
		Incarnation: w.owner.Incarnation, Started: w.started,
		LeaseHeld: w.lease.Held(), LeaseRestarting: w.lease.Restarting(), LeaseSuspect: w.lease.Suspect(), Spool: w.spoolState(),
		Draining: w.driver.Draining(), Events: watching.Level == events.LevelEvents, EventsReason: watching.Reason,
	}
	status.ReadsPaused, status.WritesPaused = w.breaker.Open()
	var looks sync.WaitGroup
	looks.Go(func() { status.Redis = w.client.Ping(ctx).Err() })
	looks.Go(func() { status.Database = w.archive.Ping(ctx) })
	looks.Wait()
	if until, settled := w.settle.Settled(time.Now()); !settled {
		status.SettleUntil = until
	}
	return status
}

// spoolState tells what waits on the local disk.
func (w *worker) spoolState() localapi.Spool {
	usage := w.spool.Usage()
	return localapi.Spool{
		Entries: usage.Entries, Bytes: usage.Bytes, MaxBytes: usage.MaxBytes, Recovering: w.recovery.Pending(),
	}
}

// checks are the conditions of /readyz.
func (w *worker) checks() []check {
	return []check{
		{"lease", func(context.Context) error {
			if !w.lease.Held() {
				return errNotYet
			}
			return nil
		}},
		{"redis", func(ctx context.Context) error { return w.client.Ping(ctx).Err() }},
		{"database", w.archive.Ping},
		{"api", func(context.Context) error {
			if w.api.Addr() == nil {
				return errors.New("does not listen yet")
			}
			return nil
		}},
		{"joins", func(context.Context) error {
			if w.driver.Draining() {
				return errors.New("refused: the worker is stopping")
			}
			return nil
		}},
		{"settled", func(context.Context) error {
			if until, settled := w.settle.Settled(time.Now()); !settled {
				return fmt.Errorf("grants nothing for another %s", time.Until(until).Round(time.Millisecond))
			}
			return nil
		}},
	}
}
