package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/redis/go-redis/v9"
	"github.com/urfave/cli/v3"

	"github.com/syncworker/syncworker/internal/config"
	"github.com/syncworker/syncworker/lifecycle"
)

const runText = "Runs the worker of one game server until it is told to stop.\n\n" +
	"On SIGTERM, SIGINT or SIGHUP no further player is taken, the game server is asked for the final saves, and each player is\n" +
	"given back after its own save, for at most shutdown.drain_timeout. A second signal ends the worker at once.\n\n" +
	"On SIGUSR2 the worker restarts in place, with the program that is on disk by then: players stay where they are, and the\n" +
	"game attaches again. Use it for upgrades and to read a changed configuration.\n\n" +
	"Examples:\n" +
	"  syncworker run -config survival-1.hcl\n" +
	"  SYNCWORKER_SERVER__ID=lobby syncworker run"

func runCommand() *cli.Command {
	return &cli.Command{
		Name:        "run",
		Usage:       "run the worker of one game server",
		Description: runText,
		Flags:       []cli.Flag{configFlag()},
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if err := noArguments(cmd); err != nil {
				return err
			}
			loaded, err := config.Load(config.Source{File: cmd.String("config")})
			if err != nil {
				return err
			}
			if err := checkFiles(loaded); err != nil {
				return err
			}
			logger := newLogger(loaded.Log, cmd.Root().ErrWriter)
			program, err := ownProgram()
			if err != nil {
				return err
			}
			restarts := watchRestarts()
			signals := watchSignals(func() { os.Exit(exitAborted) })
			redis.SetLogger(redisLogger{logger.Named("redis")})
			err = runWorker(ctx, workerOptions{config: loaded, logger: logger, signals: signals, restarts: restarts})
			if !errors.Is(err, lifecycle.ErrRestart) {
				return ended(err)
			}
			select {
			case sig := <-signals:
				logger.Warn("stopped while restarting, the sessions wait for the next start of this server", "signal", sig.String())
				return errors.Join(errAborted, err)
			default:
			}
			logger.Info("starting the next incarnation in this process's place", "program", program)
			return errors.Join(restart(program, logger), err)
		},
	}
}

// ownProgram returns the path by which this program was started. It is looked up
// at the start: by the time of a restart another file may stand there, and that
// is the point.
func ownProgram() (string, error) {
	found, err := exec.LookPath(os.Args[0])
	if err != nil {
		return "", fmt.Errorf("find this program, to be able to restart it: %w", err)
	}
	path, err := filepath.Abs(found)
	if err != nil {
		return "", fmt.Errorf("find this program, to be able to restart it: %w", err)
	}
	return path, nil
}

// abortGrace is what an aborted worker has to close its files in.
const abortGrace = time.Second

// watchSignals returns the signals that stop the worker, for the rest of the
// program's life. Soon after the second one it calls abort, whatever the worker
// still waits for.
func watchSignals(abort func()) <-chan os.Signal {
	caught, signals := make(chan os.Signal, 2), make(chan os.Signal, 2)
	signal.Notify(caught, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	go func() {
		signals <- <-caught
		signals <- <-caught
		time.AfterFunc(abortGrace, abort)
	}()
	return signals
}

// newLogger returns the root of all loggers; each package gets a name below it.
func newLogger(settings config.Log, out io.Writer) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{
		Name:       "syncworker",
		Level:      hclog.LevelFromString(settings.Level),
		Output:     out,
		JSONFormat: settings.Format == "json",
	})
}

// redisLogger takes what the redis client would write to standard error: its
// own view of troubles that the worker reports itself.
type redisLogger struct{ logger hclog.Logger }

func (l redisLogger) Printf(_ context.Context, format string, args ...any) {
	l.logger.Debug("redis client", "text", fmt.Sprintf(format, args...))
}

// ended gives an end that left players behind its own exit code.
func ended(err error) error {
	switch {
	case errors.Is(err, lifecycle.ErrAborted):
		return errors.Join(errAborted, err)
	case errors.Is(err, lifecycle.ErrUndrained):
		return errors.Join(errUndrained, err)
	default:
		return err
	}
}
