package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/redis/go-redis/v9"
	"github.com/urfave/cli/v3"

	"github.com/syncworker/syncworker/internal/config"
	"github.com/syncworker/syncworker/internal/devredis"
	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/keyspace"
)

const demoText = "Shows the main job with nothing installed: an embedded Redis and SQLite, several workers over their real local API, and\n" +
	"a small scripted game that moves players around and checks after every move that they have exactly what they had.\n" +
	"The last line is the result; the exit code is 1 unless it shows no loss, nothing stale and nothing doubled.\n\n" +
	"Examples:\n" +
	"  syncworker demo\n" +
	"  syncworker demo --redis 127.0.0.1:6379   against a real Redis, under a cluster ID of its own; cleans up behind it\n" +
	"  syncworker demo --json                   the result as one JSON object"

// Bounds of the demo's flags.
const (
	maxDemoServers  = 20
	maxDemoPlayers  = 200
	maxDemoHandoffs = 100_000
	// shownHandoffs is the length of the timeline.
	shownHandoffs = 12
	// stopDemo bounds the end of the workers.
	stopDemo = 20 * time.Second
)

// demoOptions are the flags of the demo.
type demoOptions struct {
	servers, players, handoffs int
	redis                      string
	json                       bool
	out, errOut                io.Writer
}

func demoCommand() *cli.Command {
	return &cli.Command{
		Name:        "demo",
		Usage:       "move players between servers for some seconds and check them",
		Description: demoText,
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "servers", Usage: fmt.Sprintf("`NUMBER` of game servers, 2 to %d", maxDemoServers), Value: 3},
			&cli.IntFlag{Name: "players", Usage: fmt.Sprintf("`NUMBER` of players, 1 to %d", maxDemoPlayers), Value: 10},
			&cli.IntFlag{Name: "handoffs", Usage: fmt.Sprintf("`NUMBER` of moves, 1 to %d", maxDemoHandoffs), Value: 200},
			&cli.StringFlag{Name: "redis", Usage: "use the Redis at `HOST:PORT` instead of the embedded one"},
			jsonFlag(),
		},
		Action: func(ctx context.Context, cmd *cli.Command) error {
			o := demoOptions{
				servers: cmd.Int("servers"), players: cmd.Int("players"), handoffs: cmd.Int("handoffs"),
				redis: cmd.String("redis"), json: cmd.Bool("json"), out: cmd.Root().Writer, errOut: cmd.Root().ErrWriter,
			}
			switch {
			case cmd.Args().Present():
				return noArguments(cmd)
			case o.servers < 2 || o.servers > maxDemoServers:
				return usage(cmd, fmt.Sprintf("--servers must be 2 to %d", maxDemoServers))
			case o.players < 1 || o.players > maxDemoPlayers:
				return usage(cmd, fmt.Sprintf("--players must be 1 to %d", maxDemoPlayers))
			case o.handoffs < 1 || o.handoffs > maxDemoHandoffs:
				return usage(cmd, fmt.Sprintf("--handoffs must be 1 to %d", maxDemoHandoffs))
			}
			return runDemo(ctx, o)
		},
	}
}

// runDemo plays the demo and prints its result.
func runDemo(ctx context.Context, o demoOptions) (err error) {
	folder, err := os.MkdirTemp("", "syncworker-demo-")
	if err != nil {
		return fmt.Errorf("make a folder for the demo: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	stage := &demoStage{options: o, folder: folder, cluster: "demo-" + strings.ToLower(rand.Text()[:8])}
	defer func() { err = errors.Join(err, stage.close()) }()
	if err := stage.openRedis(); err != nil {
		return err
	}
	stage.say("starting %d workers on %s\n", o.servers, stage.redisName())
	if err := stage.startWorkers(ctx); err != nil {
		return err
	}
	play, err := newPlay(stage)
	if err != nil {
		return err
	}
	defer play.close()
	if err := play.run(ctx); err != nil {
		return err
	}
	// The workers stop before the result is printed: a drain that fails is part
	// of it.
	if err := stage.stopWorkers(); err != nil {
		return err
	}
	return play.report()
}

// demoStage is what the demo plays on.
type demoStage struct {
	options  demoOptions
	folder   string
	cluster  string
	embedded *devredis.Server
	workers  []*demoWorker
}

// demoWorker is one worker in this process.
type demoWorker struct {
	id      string
	socket  string
	signals chan os.Signal
	ended   chan error
}

// say tells a person how far the demo is; programs get the result only.
func (s *demoStage) say(format string, args ...any) {
	if !s.options.json {
		_, _ = fmt.Fprintf(s.options.out, format, args...) // the result tells
	}
}

func (s *demoStage) redisName() string {
	if s.embedded != nil {
		return "an embedded Redis"
	}
	return "the Redis at " + s.options.redis
}

func (s *demoStage) openRedis() error {
	if s.options.redis != "" {
		client := redis.NewClient(&redis.Options{Addr: s.options.redis})
		defer func() { _ = client.Close() }() // it was used for one ping
		ctx, cancel := context.WithTimeout(context.Background(), probeTimeout)
		defer cancel()
		if err := client.Ping(ctx).Err(); err != nil {
			return fmt.Errorf("reach the Redis at %s: %w", s.options.redis, err)
		}
		return nil
	}
	embedded, err := devredis.New(devredis.Options{})
	if err != nil {
		return fmt.Errorf("start the embedded redis: %w", err)
	}
	s.embedded = embedded
	return nil
}

func (s *demoStage) dial() func(context.Context, string, string) (net.Conn, error) {
	if s.embedded == nil {
		return nil
	}
	return s.embedded.Dialer()
}

// startWorkers starts all workers and waits until each can be reached.
func (s *demoStage) startWorkers(ctx context.Context) error {
	listening := make(chan struct{}, s.options.servers)
	failed := make(chan error, s.options.servers)
	for n := range s.options.servers {
		w := &demoWorker{
			id:      fmt.Sprintf("survival-%d", n+1),
			signals: make(chan os.Signal, 2),
			ended:   make(chan error, 1),
		}
		w.socket = filepath.Join(s.folder, w.id+".sock")
		s.workers = append(s.workers, w)
		o := workerOptions{
			config:    s.config(w),
			logger:    hclog.New(&hclog.LoggerOptions{Name: "syncworker." + w.id, Level: hclog.Warn, Output: s.options.errOut}),
			signals:   w.signals,
			dial:      s.dial(),
			listening: func() { listening <- struct{}{} },
		}
		go func() {
			err := runWorker(context.WithoutCancel(ctx), o)
			if err != nil {
				failed <- fmt.Errorf("worker %s: %w", w.id, err)
			}
			w.ended <- err
		}()
	}
	for range s.workers {
		select {
		case <-listening:
		case err := <-failed:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// config is the default configuration in a folder of the demo's own.
func (s *demoStage) config(w *demoWorker) config.Config {
	c := config.Default()
	c.Server.ID, c.Server.ClusterID = w.id, s.cluster
	if s.options.redis != "" {
		c.Redis.Addresses = []string{s.options.redis}
	}
	c.Database.DSN = filepath.Join(s.folder, "players.db")
	c.Spool.Dir = config.DefaultSpoolDir(c.Database.DSN, w.id)
	c.API.Listen = "unix://" + w.socket
	c.Metrics.Listen = ""
	return c
}

// stopWorkers stops the workers as an operator would and returns what they
// ended with.
func (s *demoStage) stopWorkers() error {
	workers := s.workers
	s.workers = nil
	for _, w := range workers {
		w.signals <- os.Interrupt
	}
	var errs []error
	timeout := time.After(stopDemo)
	for _, w := range workers {
		select {
		case err := <-w.ended:
			errs = append(errs, err)
		case <-timeout:
			return fmt.Errorf("worker %s does not stop", w.id)
		}
	}
	return errors.Join(errs...)
}

func (s *demoStage) close() error {
	err := s.stopWorkers()
	if s.embedded != nil {
		s.embedded.Close()
		return err
	}
	return errors.Join(err, s.cleanUp())
}

// cleanUp removes the demo's keys from a Redis that is not its own.
func (s *demoStage) cleanUp() error {
	space, err := keyspace.New(keyspace.DefaultNamespace, s.cluster)
	if err != nil {
		return err
	}
	var keys []string
	for n := range s.options.players {
		player := demoPlayerID(n)
		keys = append(keys, space.Checkout(player), space.Fence(player), space.Update(player))
	}
	for n := range s.options.servers {
		server := handoff.ServerID(fmt.Sprintf("survival-%d", n+1))
		keys = append(keys, space.Lease(server), space.Checkouts(server), space.Probe(server))
	}
	client := redis.NewClient(&redis.Options{Addr: s.options.redis})
	ctx, cancel := context.WithTimeout(context.Background(), probeTimeout)
	defer cancel()
	if err := client.Del(ctx, keys...).Err(); err != nil {
		err = fmt.Errorf("remove the demo's keys: %w", err)
		return errors.Join(err, client.Close())
	}
	return client.Close()
}
