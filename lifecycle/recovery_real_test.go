//go:build real

package lifecycle_test

import "testing"

// TestReplayReal is TestReplay on a real redis-server.
func TestReplayReal(t *testing.T) {
	for _, test := range replayCases() {
		t.Run(test.name, func(t *testing.T) { test.run(t, newRealBackend(t)) })
	}
}
