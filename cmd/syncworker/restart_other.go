//go:build !unix

package main

import (
	"errors"
	"os"

	"github.com/hashicorp/go-hclog"
)

// watchRestarts returns a channel that stays silent: there is no signal for it.
func watchRestarts() <-chan os.Signal { return nil }

// restart cannot be asked for here.
func restart(string, hclog.Logger) error {
	return errors.New("this system cannot replace a running process")
}
