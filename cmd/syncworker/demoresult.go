package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
)

// demoResult is what `demo --json` prints.
type demoResult struct {
	Handoffs   int     `json:"handoffs"`
	Lost       int     `json:"lost"`
	Stale      int     `json:"stale"`
	Duplicated int     `json:"duplicated"`
	P50        float64 `json:"p50_ms"`
	P99        float64 `json:"p99_ms"`
	Max        float64 `json:"max_ms"`
	Servers    int     `json:"servers"`
	Players    int     `json:"players"`
	Redis      string  `json:"redis"`
}

// report prints the result and fails unless all is well.
func (p *demoPlay) report() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	slices.Sort(p.took)
	result := demoResult{
		Handoffs: len(p.took), Lost: p.lost, Stale: p.stale, Duplicated: p.duplicated,
		P50: inMilliseconds(percentile(p.took, 50)), P99: inMilliseconds(percentile(p.took, 99)),
		Max: inMilliseconds(percentile(p.took, 100)), Servers: p.stage.options.servers,
		Players: p.stage.options.players, Redis: "embedded",
	}
	if p.stage.options.redis != "" {
		result.Redis = p.stage.options.redis
	}
	if p.stage.options.json {
		if err := writeJSON(p.stage.options.out, result); err != nil {
			return err
		}
	} else {
		p.stage.say("\ndemo: %d handoffs, %d lost, %d stale, %d duplicated, p50 %.1fms p99 %.1fms\n",
			result.Handoffs, result.Lost, result.Stale, result.Duplicated, result.P50, result.P99)
	}
	if result.Handoffs != p.stage.options.handoffs || result.Lost+result.Stale+result.Duplicated > 0 {
		return fmt.Errorf("%w: %d of %d handoffs, %d lost, %d stale, %d duplicated", errDemo,
			result.Handoffs, p.stage.options.handoffs, result.Lost, result.Stale, result.Duplicated)
	}
	return nil
}

// percentile expects sorted values; 100 is the largest.
func percentile(sorted []time.Duration, percent int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)*percent/100, len(sorted)-1)]
}

func inMilliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func milliseconds(d time.Duration) string { return fmt.Sprintf("%.1fms", inMilliseconds(d)) }

func sourceName(source v1.Source) string { return strings.TrimPrefix(source.String(), "SOURCE_") }
