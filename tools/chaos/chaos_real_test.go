//go:build real

package main

import (
	"os"
	"testing"
)

// A short run against the worker of this source finds nothing; what make chaos
// does for a minute.
func TestShortRun(t *testing.T) {
	t.Chdir("../..")
	code, err := run(t.Context(), []string{
		"-duration", "6s", "-players", "12", "-servers", "2", "-seed", "1", "-faults", "kill,game,pubsub,skew,redis-restart",
	})
	if err != nil || code != 0 {
		t.Errorf("got exit code %d, %v", code, err)
	}
}

func TestFlags(t *testing.T) {
	for _, args := range [][]string{
		{"-faults", "made-up"},
		{"-players", "1"},
		{"-servers", "1"},
		{"-duration", "0s"},
		{"word"},
		{"-mutant", "made-up"},
		{"-judge", os.DevNull + "/missing"},
	} {
		if _, err := run(t.Context(), args); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
}
