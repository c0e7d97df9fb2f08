package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/syncworker/syncworker/internal/config"
	"github.com/syncworker/syncworker/internal/localapi"
)

// Exit codes, as `syncworker --help` documents them.
const (
	exitOK        = 0
	exitError     = 1
	exitUsage     = 2
	exitUndrained = 3
	exitAborted   = 130
)

// errUndrained is returned by run when the worker stopped although not every
// player's final save had come.
var errUndrained = errors.New("stopped before every player was drained")

// errAborted is returned by run when a second signal ended the worker at once.
var errAborted = errors.New("ended at once by a second signal")

// usageError is about the command line itself.
type usageError struct {
	text string
	// command is the command whose help explains more.
	command string
}

func (e *usageError) Error() string {
	return fmt.Sprintf("%s\nsee: %s --help", e.text, e.command)
}

// exitCode returns the code that an error ends the program with.
func exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	switch {
	case errors.Is(err, errAborted):
		return exitAborted
	case errors.Is(err, errUndrained):
		return exitUndrained
	}
	if _, usage := errors.AsType[*usageError](err); usage {
		return exitUsage
	}
	if _, refused := errors.AsType[*config.Error](err); refused || errors.Is(err, localapi.ErrBadToken) {
		return exitUsage
	}
	return exitError
}

// report tells a person about an error and returns the exit code.
func report(out io.Writer, err error) int {
	if err != nil && !errors.Is(err, errReported) {
		_, _ = fmt.Fprintf(out, "syncworker: %s\n", err) // nobody is left to tell
	}
	return exitCode(err)
}

// errReported marks an error whose text the command has written already, to
// standard output.
var errReported = errors.New("reported")
