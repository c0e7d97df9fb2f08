//go:build unix

package stage

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Times that every worker is configured with: as short as a configuration may
// be, so that a minute has many of them.
const (
	LeaseTTL      = 3 * time.Second
	Settle        = 1500 * time.Millisecond
	SafetyPoll    = time.Second
	Grace         = 5 * time.Second
	DrainTimeout  = 4 * time.Second
	RestartWindow = 10 * time.Second
	// ConfirmTimeout is how long a delivered session may stay unconfirmed.
	ConfirmTimeout = 6 * time.Second
)

// Config says what to set up.
type Config struct {
	// Folder is where everything lives. Sockets are in it, so its name must be
	// short.
	Folder string
	// Binary is the worker program.
	Binary string
	// Servers is the number of workers.
	Servers int
}

// Stage is everything that runs.
type Stage struct {
	Redis    *Redis
	Database *Database
	Workers  []*Worker
}

// New starts Redis and all workers. It does not wait until they grant.
func New(ctx context.Context, c Config) (*Stage, error) {
	s := &Stage{Database: &Database{path: filepath.Join(c.Folder, "players.db")}}
	server, err := startRedis(ctx, filepath.Join(c.Folder, "redis"))
	s.Redis = server
	if err != nil {
		s.Close()
		return nil, err
	}
	link := newLinks(server.Addr())
	for n := range c.Servers {
		if err := s.add(c, fmt.Sprintf("s%d", n+1), link); err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

func (s *Stage) add(c Config, id string, link func(string) (*Link, error)) error {
	way, err := link(id)
	if err != nil {
		return err
	}
	at := func(name string) string { return filepath.Join(c.Folder, id+name) }
	w := &Worker{ID: id, Link: way, binary: c.Binary, config: at(".hcl"), socket: at(".sock"), log: at(".log")}
	if err := os.WriteFile(w.config, []byte(s.settings(w, at(".spool"))), 0o600); err != nil {
		return fmt.Errorf("stage: write configuration: %w", err)
	}
	s.Workers = append(s.Workers, w)
	return w.Start()
}

// settings are one worker's configuration.
func (s *Stage) settings(w *Worker, spool string) string {
	return fmt.Sprintf(`server { id = %q }
redis { addresses = [%q] }
sync {
  wait_timeout = "10s"
  safety_poll = %q
  settle = %q
  lockstep { lease_ttl = %q }
}
game {
  grace = %q
  confirm_timeout = %q
}
database { dsn = %q }
spool { dir = %q }
snapshots {
  keep = 4
  backup_frequency = "0s"
}
api { listen = %q }
metrics { listen = "" }
log { level = "debug" }
shutdown {
  drain_timeout = %q
  restart_window = %q
}
`, w.ID, w.Link.addr(), SafetyPoll, Settle, LeaseTTL, Grace, ConfirmTimeout, s.Database.path, spool,
		"unix://"+w.socket, DrainTimeout, RestartWindow)
}

// Close ends everything at once.
func (s *Stage) Close() {
	for _, w := range s.Workers {
		w.close()
		w.Link.Cut()
	}
	s.Database.Release()
	if s.Redis != nil {
		s.Redis.close()
	}
}

// Build compiles the worker. Overlay, when not empty, is a file for go build
// -overlay.
func Build(ctx context.Context, module, path, overlay string) error {
	args := []string{"build", "-buildvcs=false", "-o", path}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	build := exec.CommandContext(ctx, "go", append(args, "./cmd/syncworker")...)
	build.Dir = module
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("stage: build the worker: %w\n%s", err, text)
	}
	return nil
}
