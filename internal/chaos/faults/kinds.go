//go:build unix

package faults

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/syncworker/syncworker/internal/chaos"
	"github.com/syncworker/syncworker/internal/chaos/stage"
)

type class int

const (
	harmless class = iota
	ofWorker
	shared
)

// fault is one way to break something.
type fault struct {
	name  string
	class class
	// weight is how often it comes.
	weight int
	// about is for people.
	about string
	// run breaks and repairs. It says what it did; nothing if it did nothing.
	run func(*act) (string, error)
}

// act is one fault that happens.
type act struct {
	*Conductor
	// ctx ends the fault early; life is for what is started again.
	ctx, life context.Context
	server    int
}

// all faults.
var all = []fault{
	{"kill", ofWorker, 12, "SIGKILL of a worker, started again up to 6 s later", (*act).kill},
	{"freeze", ofWorker, 8, "SIGSTOP of a worker for longer than its lease", (*act).freeze},
	{"stop", ofWorker, 4, "SIGTERM of a worker, started again", (*act).stop},
	{"restart", ofWorker, 8, "SIGUSR2: a worker restarts in place", (*act).restart},
	{"cut", ofWorker, 8, "a worker is cut off from Redis for up to 7 s", (*act).cut},
	{"slow", ofWorker, 4, "a worker's way to Redis is slow", (*act).slow},
	{"game", harmless, 8, "a game dies, and boots up to 8 s later", (*act).game},
	{"pubsub", harmless, 6, "CLIENT KILL TYPE pubsub", (*act).pubsub},
	{"skew", harmless, 4, "a game's clock is ten minutes wrong", (*act).skew},
	{"redis-restart", shared, 2, "SIGKILL of Redis, started again with its append-only file", (*act).redisRestart},
	{"redis-empty", shared, 3, "SIGKILL of Redis, started again without data", (*act).redisEmpty},
	{"redis-flush", shared, 2, "FLUSHALL, which no connection notices", (*act).redisFlush},
	{"redis-old", shared, 2, "SIGKILL of Redis, started again with the data of up to 4 s before", (*act).redisOld},
	{"redis-freeze", shared, 1, "SIGSTOP of Redis for up to 5 s", (*act).redisFreeze},
	{"db-locked", shared, 2, "another program holds the write lock of the database", (*act).databaseLocked},
	{"db-away", shared, 2, "the database can be neither read nor written", (*act).databaseAway},
}

// Names are all faults, and what they do.
func Names() (names []string, about map[string]string) {
	about = map[string]string{}
	for _, f := range all {
		names = append(names, f.name)
		about[f.name] = f.about
	}
	return names, about
}

func (a *act) worker() *stage.Worker { return a.Stage.Workers[a.server] }

// last lets a fault last for a while.
func (a *act) lasts(least, more time.Duration) time.Duration {
	begin := time.Now()
	_ = chaos.Pause(a.ctx, least+a.upTo(more)) // at the end of the run it is repaired early
	return time.Since(begin).Round(time.Millisecond)
}

func (a *act) kill() (string, error) {
	a.worker().Kill()
	most := 6 * time.Second
	if a.dice(2) == 0 {
		most = 300 * time.Millisecond // as a supervisor would
	}
	down := a.lasts(0, most)
	return fmt.Sprintf("down for %v", down), a.worker().Start()
}

func (a *act) freeze() (string, error) {
	if err := a.worker().Signal(syscall.SIGSTOP); err != nil {
		return "", err
	}
	frozen := a.lasts(stage.LeaseTTL+200*time.Millisecond, 4*time.Second)
	return fmt.Sprintf("for %v", frozen), a.worker().Signal(syscall.SIGCONT)
}

func (a *act) stop() (string, error) {
	begin, played := time.Now(), a.hasGame(a.server)
	err := a.worker().Stop(a.life, stage.DrainTimeout+6*time.Second)
	took := time.Since(begin).Round(time.Millisecond)
	if errors.Is(err, stage.ErrUndrained) && (!played || !a.hasGame(a.server)) {
		err = nil // a game that is dead hands nobody in
	}
	a.lasts(0, 2*time.Second)
	if failure := a.worker().Start(); err == nil {
		err = failure
	}
	return fmt.Sprintf("stopped within %v", took), err
}

func (a *act) restart() (string, error) {
	if err := a.worker().Signal(syscall.SIGUSR2); err != nil {
		return "", err
	}
	// What the health check sees next should be the new program.
	a.lasts(300*time.Millisecond, 0)
	return "SIGUSR2", nil
}

func (a *act) cut() (string, error) {
	link, how := a.worker().Link, "connections closed"
	if a.dice(2) == 0 {
		link.Cut()
	} else {
		how = "packets dropped"
		if err := link.Swallow(); err != nil {
			return "", err
		}
	}
	away := a.lasts(200*time.Millisecond, 7*time.Second)
	return fmt.Sprintf("%s for %v", how, away), link.Mend(a.life)
}

func (a *act) slow() (string, error) {
	latency := 20*time.Millisecond + a.upTo(200*time.Millisecond)
	if err := a.worker().Link.Slow(latency, latency/2); err != nil {
		return "", err
	}
	slow := a.lasts(2*time.Second, 3*time.Second)
	a.worker().Link.Smooth(a.life)
	return fmt.Sprintf("%v each way for %v", latency, slow), nil
}

func (a *act) game() (string, error) {
	a.mu.Lock()
	dead := a.gameless[a.server]
	a.gameless[a.server] = true
	a.mu.Unlock()
	if dead {
		return "", nil
	}
	a.World.GameDies(a.server)
	down := a.lasts(0, 8*time.Second)
	a.World.GameBoots(a.life, a.server)
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.gameless, a.server)
	return fmt.Sprintf("dead for %v", down), nil
}

func (a *act) pubsub() (string, error) {
	if err := a.Stage.Redis.KillPubSub(a.life); err != nil {
		return "", nil //nolint:nilerr // redis is down itself at the moment: there is no connection to kill
	}
	return "done", nil
}

func (a *act) skew() (string, error) {
	by := []time.Duration{-10 * time.Minute, 0, 10 * time.Minute}[a.dice(3)]
	a.World.Skew(a.server, by)
	return by.String(), nil
}

func (a *act) redisRestart() (string, error) {
	a.Stage.Redis.Kill()
	down := a.lasts(0, 4*time.Second)
	return fmt.Sprintf("down for %v", down), a.Stage.Redis.Start(a.life)
}

func (a *act) redisEmpty() (string, error) {
	a.Stage.Redis.Kill()
	if err := a.Stage.Redis.Empty(); err != nil {
		return "", err
	}
	down := a.lasts(0, 2*time.Second)
	return fmt.Sprintf("down for %v", down), a.Stage.Redis.Start(a.life)
}

func (a *act) redisFlush() (string, error) {
	if err := a.Stage.Redis.Flush(a.life); err != nil {
		return "", err
	}
	// Nobody is told: the health check would see nothing yet.
	a.lasts(stage.LeaseTTL/3, 0)
	return "done", nil
}

func (a *act) redisOld() (string, error) {
	if err := a.Stage.Redis.Copy(); err != nil {
		return "", err
	}
	age := a.lasts(300*time.Millisecond, 3700*time.Millisecond)
	a.Stage.Redis.Kill()
	if err := a.Stage.Redis.Restore(); err != nil {
		return "", err
	}
	down := a.lasts(0, 2*time.Second)
	return fmt.Sprintf("%v old, down for %v", age, down), a.Stage.Redis.Start(a.life)
}

func (a *act) redisFreeze() (string, error) {
	if err := a.Stage.Redis.Freeze(); err != nil {
		return "", err
	}
	frozen := a.lasts(300*time.Millisecond, 5*time.Second)
	return fmt.Sprintf("for %v", frozen), a.Stage.Redis.Thaw()
}

func (a *act) databaseLocked() (string, error) {
	if err := a.Stage.Database.HoldWrite(a.ctx); err != nil {
		return "", nil //nolint:nilerr // the run ended before the lock was free
	}
	held := a.lasts(500*time.Millisecond, 3500*time.Millisecond)
	a.Stage.Database.Release()
	return fmt.Sprintf("for %v", held), nil
}

func (a *act) databaseAway() (string, error) {
	if err := a.Stage.Database.HoldAll(a.ctx); err != nil {
		return "", nil //nolint:nilerr // the run ended before the locks were free
	}
	away := a.lasts(time.Second, 8*time.Second)
	a.Stage.Database.Release()
	return fmt.Sprintf("for %v", away), nil
}
