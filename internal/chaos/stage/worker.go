//go:build unix

package stage

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Worker is one worker process; it may be down.
type Worker struct {
	// ID is its server ID.
	ID string
	// Link is its way to Redis.
	Link *Link

	binary, config, socket, log string

	mu  sync.Mutex
	run *process
	// wanted says that it should be running.
	wanted bool
}

// ErrUndrained is the error of a worker that stopped in order, but before its
// game had handed in every player.
var ErrUndrained = errors.New("stage: the worker stopped before every player was drained")

// undrained is the exit code for that.
const undrained = 3

// ErrEnded is the error of a worker that ended by itself.
var ErrEnded = errors.New("stage: the worker ended by itself")

// Start runs the worker.
func (w *Worker) Start() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	run, err := start(exec.Command(w.binary, "run", "-config", w.config), w.log)
	if err != nil {
		return err
	}
	w.run, w.wanted = run, true
	return nil
}

// Kill ends the worker as a crash would.
func (w *Worker) Kill() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wanted = false
	w.run.kill()
}

// Stop ends the worker in order, and says how it ended when not with exit code
// 0. After the time it is killed.
func (w *Worker) Stop(ctx context.Context, within time.Duration) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wanted = false
	if err := w.run.signal(syscall.SIGTERM); err != nil {
		return err
	}
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-w.run.gone:
	case <-ctx.Done():
		w.run.kill()
		return ctx.Err()
	case <-timer.C:
		w.run.kill()
		return fmt.Errorf("stage: worker %s has not stopped within %v of SIGTERM", w.ID, within)
	}
	switch w.run.cmd.ProcessState.ExitCode() {
	case 0:
		return nil
	case undrained:
		return fmt.Errorf("%w: %s: %s", ErrUndrained, w.ID, tail(w.log, 2000))
	default:
		return fmt.Errorf("stage: worker %s stopped with %s: %s", w.ID, w.run.state(), tail(w.log, 2000))
	}
}

// Signal sends a signal: SIGSTOP and SIGCONT freeze and thaw it, SIGUSR2
// restarts it in place.
func (w *Worker) Signal(sig syscall.Signal) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.run.signal(sig)
}

// Check returns ErrEnded when the worker should run and does not.
func (w *Worker) Check() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.wanted || w.run.alive() {
		return nil
	}
	return fmt.Errorf("%w: %s with %s: %s", ErrEnded, w.ID, w.run.state(), tail(w.log, 2000))
}

// Dial connects to the worker's API.
func (w *Worker) Dial(ctx context.Context) (net.Conn, error) {
	var dialer net.Dialer
	return dialer.DialContext(ctx, "unix", w.socket)
}

// Transport is a new set of connections to the worker's API.
func (w *Worker) Transport() *http.Transport {
	return &http.Transport{
		DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return w.Dial(ctx) },
		MaxIdleConnsPerHost: 64,
	}
}

func (w *Worker) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wanted = false
	if w.run != nil {
		w.run.kill()
	}
}
