package main

import (
	"context"
	"time"

	"github.com/syncworker/syncworker/internal/keyspace"
	"github.com/syncworker/syncworker/internal/redisstore"
	"github.com/syncworker/syncworker/internal/snapshotstore"
	"github.com/syncworker/syncworker/internal/spool"
	"github.com/syncworker/syncworker/lifecycle"
	"github.com/syncworker/syncworker/snapshotcodec"
)

// envelopeRoom is what a packed snapshot may have beside its data: metadata,
// and what a compressor adds to data it cannot compress.
const envelopeRoom = 1 << 20

// openRedis makes the clients and the store on them.
func (w *worker) openRedis(o workerOptions, space keyspace.Space) (*snapshotcodec.Codec, error) {
	compression, err := snapshotcodec.ParseCompression(w.config.Snapshots.Compression)
	if err != nil {
		return nil, err
	}
	codec, err := snapshotcodec.New(snapshotcodec.Config{MaxSize: int64(w.config.Snapshots.MaxSize), Compression: compression})
	if err != nil {
		return nil, err
	}
	password, err := w.config.Redis.Password()
	if err != nil {
		return nil, err
	}
	tls, err := w.config.Redis.TLSConfig()
	if err != nil {
		return nil, err
	}
	logger := w.logger.Named("redisstore")
	w.identity = redisstore.NewIdentity(redisstore.IdentityConfig{
		Changed: func(string, string) { w.settle.Begin(lifecycle.CauseServerChanged) },
		Settled: func() bool { _, ok := w.settle.Settled(time.Now()); return ok },
		Logger:  logger,
	})
	client, grants, err := redisstore.Open(redisstore.ClientConfig{
		Addresses: w.config.Redis.Addresses, DB: w.config.Redis.DB, Username: w.config.Redis.Username,
		Password: password.Reveal(), TLS: tls, Dialer: o.dial,
	}, w.identity)
	if err != nil {
		return nil, err
	}
	w.onClose("close the redis client", client.Close)
	w.onClose("close the redis client for grants", grants.Close)
	w.client = client
	w.store = redisstore.New(client, grants, codec, redisstore.Config{
		Space: space, Server: w.owner.Server, UpdateTTL: w.config.Snapshots.UpdateTTL,
		Incarnation: w.owner.Incarnation, Logger: logger,
	})
	return codec, nil
}

// openHealth serves from now on, so that a worker that waits for its lease can
// be seen waiting.
func (w *worker) openHealth() error {
	h, err := openHealth(w.config.Metrics.Listen, w.registry, w.checks, w.logger.Named("health"))
	if err != nil {
		return err
	}
	w.health = h
	ended := make(chan error, 1)
	go func() { ended <- h.Execute() }()
	w.onClose("serve metrics and health checks", func() error {
		h.Interrupt(nil)
		return <-ended
	})
	return nil
}

func (w *worker) openArchive(codec *snapshotcodec.Codec) error {
	archive, err := snapshotstore.OpenSQLite(context.Background(), w.config.Database.DSN, codec, snapshotstore.Config{
		Keep: w.config.Snapshots.Keep, BackupFrequency: w.config.Snapshots.BackupFrequency,
		MaxPacked: int64(w.config.Snapshots.MaxSize) + envelopeRoom, Logger: w.logger.Named("snapshotstore"),
	})
	if err != nil {
		return err
	}
	w.archive = archive
	w.onClose("close the database", archive.Close)
	w.breaker = snapshotstore.NewBreaker(archive, snapshotstore.BreakerConfig{
		ReadTimeout: w.config.Database.ReadTimeout, Logger: w.logger.Named("snapshotstore"), Registerer: w.registry,
	})
	return nil
}

// openSpool opens the local disk, with whatever an earlier run left there.
func (w *worker) openSpool() error {
	opened, err := spool.Open(spool.Config{
		Dir: w.config.Spool.Dir, Owner: w.config.Server.ClusterID + "/" + string(w.owner.Server),
		MaxBytes: int64(w.config.Spool.MaxSize), Logger: w.logger.Named("spool"), Registerer: w.registry,
	})
	if err != nil {
		return err
	}
	w.spool = opened
	w.onClose("close the spool", opened.Close)
	w.onClose("look what is left in the spool", func() error {
		if left := opened.Usage().Entries; left > 0 {
			w.logger.Warn("snapshots are on this disk only, or not in the database yet; the next start with this spool.dir replays them",
				"snapshots", left, "spool", w.config.Spool.Dir)
		}
		return nil
	})
	w.logger.Info("spool opened", "spool", w.config.Spool.Dir, "snapshots", opened.Usage().Entries)
	left, _ := opened.Load() // What is damaged was logged and set aside.
	w.recovery = lifecycle.NewRecovery(left, lifecycle.RecoveryPorts{
		Spool: opened, Store: w.store, Archive: w.breaker, Gate: w.gate, Meta: snapshotMeta,
		Recheck: func() { w.sweeper.Recheck() },
	}, lifecycle.RecoveryConfig{Settle: w.config.Sync.Settle, Logger: w.logger.Named("lifecycle"), Registerer: w.registry})
	return nil
}
