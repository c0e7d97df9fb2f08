//go:build real

package devredis_test

import (
	"testing"

	"github.com/syncworker/syncworker/internal/redistest"
)

func TestConformanceReal(t *testing.T) {
	runScenarios(t, func(t *testing.T, test func(*testing.T, server)) {
		test(t, redistest.Start(t))
	})
}
