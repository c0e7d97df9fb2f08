//go:build unix

package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/hashicorp/go-hclog"
)

// watchRestarts returns the signal to restart in place. It is caught from the
// first moment on: its default would end the process.
func watchRestarts() <-chan os.Signal {
	restarts := make(chan os.Signal, 1)
	signal.Notify(restarts, syscall.SIGUSR2)
	return restarts
}

// restart replaces the process by the program that is on disk now, with the same
// arguments and the same process ID; if that cannot be started, by the program
// that runs. It only returns when both fail.
func restart(program string, logger hclog.Logger) error {
	// Another one would end the process before the next incarnation catches it.
	signal.Ignore(syscall.SIGUSR2)
	err := syscall.Exec(program, os.Args, os.Environ())
	logger.Error("the new program cannot be started, going on with the one that runs", "program", program, "error", err)
	// What runs is there on Linux even if its file was replaced or deleted.
	if again := syscall.Exec("/proc/self/exe", os.Args, os.Environ()); again != nil {
		return fmt.Errorf("start %s in this process's place: %w", program, errors.Join(err, again))
	}
	return nil
}
