//go:build unix

package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// watchRestarts returns the signal to restart in place. It is caught from the
// first moment on: its default would end the process.
func watchRestarts() <-chan os.Signal {
	restarts := make(chan os.Signal, 1)
	signal.Notify(restarts, syscall.SIGUSR2)
	return restarts
}

// restart replaces the process by the program that is on disk now, with the same
// arguments and the same process ID. It only returns when that fails.
func restart(program string) error {
	// Another one would end the process before the next incarnation catches it.
	signal.Ignore(syscall.SIGUSR2)
	if err := syscall.Exec(program, os.Args, os.Environ()); err != nil {
		return fmt.Errorf("start %s in this process's place: %w", program, err)
	}
	return nil
}
