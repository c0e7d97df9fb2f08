//go:build unix

package stage

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// startTime bounds the start of a process; a start takes far below a second.
const startTime = 20 * time.Second

// Redis is one redis-server. It keeps its port for life.
type Redis struct {
	dir    string
	port   int
	run    *process
	client *redis.Client
}

// startRedis starts a server with an append-only file.
func startRedis(ctx context.Context, dir string) (*Redis, error) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		return nil, errors.New("stage: redis-server is not on the PATH: install it, for instance with apt-get install redis-server")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("stage: make folder for redis: %w", err)
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	r := &Redis{dir: dir, port: port}
	// No retries: what is asked here is asked of this very process.
	r.client = redis.NewClient(&redis.Options{Addr: r.Addr(), MaxRetries: -1, DialTimeout: time.Second, ReadTimeout: 2 * time.Second})
	return r, r.Start(ctx)
}

// Addr is host:port of the server itself.
func (r *Redis) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(r.port)) }

// Start runs the server and returns when it answers.
func (r *Redis) Start(ctx context.Context) error {
	cmd := exec.Command("redis-server", "--port", strconv.Itoa(r.port), "--bind", "127.0.0.1", "--dir", r.dir,
		"--daemonize", "no", "--save", "", "--appendonly", "yes", "--appendfsync", "everysec")
	run, err := start(cmd, r.dir+".log")
	if err != nil {
		return err
	}
	r.run = run
	deadline := time.Now().Add(startTime)
	for r.client.Ping(ctx).Err() != nil {
		if !run.alive() {
			return fmt.Errorf("stage: redis-server ended at once: %s\n%s", run.state(), tail(r.dir+".log", 1000))
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("stage: redis-server does not answer after %v", startTime)
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// Kill ends the server as a crash would.
func (r *Redis) Kill() { r.run.kill() }

// Freeze stops the server: connections stay open, nothing answers.
func (r *Redis) Freeze() error { return r.run.signal(syscall.SIGSTOP) }

// Thaw lets a frozen server go on.
func (r *Redis) Thaw() error { return r.run.signal(syscall.SIGCONT) }

// Empty removes all data of a server that is down.
func (r *Redis) Empty() error {
	if err := os.RemoveAll(filepath.Join(r.dir, appendOnly)); err != nil {
		return fmt.Errorf("stage: remove redis data: %w", err)
	}
	return nil
}

const (
	appendOnly = "appendonlydir"
	copied     = "copy"
)

// Copy keeps the data of this moment for Restore.
func (r *Redis) Copy() error {
	to := filepath.Join(r.dir, copied)
	if err := os.RemoveAll(to); err != nil {
		return fmt.Errorf("stage: remove a copy of redis data: %w", err)
	}
	if err := os.CopyFS(to, os.DirFS(filepath.Join(r.dir, appendOnly))); err != nil {
		return fmt.Errorf("stage: copy redis data: %w", err)
	}
	return nil
}

// Restore puts the copied data back, of a server that is down.
func (r *Redis) Restore() error {
	if err := r.Empty(); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(r.dir, copied), filepath.Join(r.dir, appendOnly)); err != nil {
		return fmt.Errorf("stage: restore redis data: %w", err)
	}
	return nil
}

// Flush removes all data of a server that runs, which breaks no connection.
func (r *Redis) Flush(ctx context.Context) error {
	if err := r.client.FlushAll(ctx).Err(); err != nil {
		return fmt.Errorf("stage: flush redis: %w", err)
	}
	return nil
}

// KillPubSub cuts every subscriber's connection.
func (r *Redis) KillPubSub(ctx context.Context) error {
	if err := r.client.ClientKillByFilter(ctx, "TYPE", "pubsub").Err(); err != nil {
		return fmt.Errorf("stage: kill pubsub connections: %w", err)
	}
	return nil
}

// Leftovers lists the keys that no worker should leave behind when it has
// stopped in order: checkouts, leases and lists of checkouts.
func (r *Redis) Leftovers(ctx context.Context) ([]string, error) {
	var left []string
	keys := r.client.Scan(ctx, 0, "*", 1000).Iterator()
	for keys.Next(ctx) {
		for _, kind := range []string{":data_checkout:", ":server_lease:", ":server_checkouts:"} {
			if strings.Contains(keys.Val(), kind) {
				left = append(left, keys.Val())
			}
		}
	}
	if err := keys.Err(); err != nil {
		return nil, fmt.Errorf("stage: scan keys: %w", err)
	}
	return left, nil
}

func (r *Redis) close() {
	if r.run != nil {
		r.run.kill()
	}
	_ = r.client.Close() // the server is gone
}

// freePort finds a port. Another process could take it before it is used; the
// start then fails and says so.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("stage: find a free port: %w", err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		return 0, fmt.Errorf("stage: find a free port: %w", err)
	}
	return port, nil
}

// pause waits, unless ctx ends before.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
