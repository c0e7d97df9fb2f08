//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/syncworker/syncworker/internal/chaos"
	"github.com/syncworker/syncworker/internal/mutants"
)

// tries is how often a mutant is run, with another seed each time, until it is
// caught.
const tries = 3

// runMutants wants every mutant to be caught.
func runMutants(ctx context.Context, o options) (int, error) {
	all := mutants.For(mutants.Chaos)
	chosen := slices.DeleteFunc(slices.Clone(all), func(m mutants.Mutant) bool { return o.mutant != "all" && m.Name != o.mutant })
	if len(chosen) == 0 {
		var names []string
		for _, m := range all {
			names = append(names, m.Name)
		}
		return 0, fmt.Errorf("there is no mutant %q; there are %s", o.mutant, strings.Join(names, ", "))
	}
	escaped := 0
	for _, m := range chosen {
		caught, err := tryMutant(ctx, o, m)
		if err != nil {
			return 0, err
		}
		if !caught {
			escaped++
		}
	}
	fmt.Printf("chaos: %d of %d mutants caught\n", len(chosen)-escaped, len(chosen))
	if escaped > 0 {
		return 1, nil
	}
	return 0, nil
}

func tryMutant(ctx context.Context, o options, m mutants.Mutant) (bool, error) {
	o.faults = m.Faults
	fmt.Printf("chaos: mutant %s, which breaks %s\n", m.Name, m.Breaks)
	begin := time.Now()
	for range tries {
		verdict, err := performMutant(ctx, o, m)
		if err != nil {
			return false, fmt.Errorf("%s, seed %d: %w", m.Name, o.seed, err)
		}
		if ctx.Err() != nil {
			return false, errors.New("interrupted")
		}
		if !verdict.OK() {
			fmt.Printf("chaos: mutant %s caught after %v, seed %d: %v\n", m.Name, time.Since(begin).Round(time.Second), o.seed, verdict.Violations[0])
			return true, nil
		}
		o.seed++
	}
	fmt.Printf("chaos: mutant %s NOT caught within %v\n", m.Name, time.Since(begin).Round(time.Second))
	return false, nil
}

func performMutant(ctx context.Context, o options, m mutants.Mutant) (chaos.Verdict, error) {
	folder, err := os.MkdirTemp("", "chaos")
	if err != nil {
		return chaos.Verdict{}, err
	}
	defer os.RemoveAll(folder) //nolint:errcheck // a mutant's folder is of no use to anybody
	root, err := filepath.Abs(".")
	if err != nil {
		return chaos.Verdict{}, err
	}
	overlay, err := m.Overlay(root, folder)
	if err != nil {
		return chaos.Verdict{}, err
	}
	return perform(ctx, o, folder, overlay)
}
