// Command mutants shows that tools/explore can fail: it builds it with each mutant
// of internal/mutants and expects a violation. It exits with status 1 when a
// mutant survives or no longer applies.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/syncworker/syncworker/internal/mutants"
)

func main() {
	states := flag.Int("states", 400_000, "how many states to look for each mutant in")
	only := flag.String("only", "", "one mutant's name")
	show := flag.Bool("show", false, "print the traces")
	flag.Parse()
	root, err := os.Getwd()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(2)
	}
	began, caught, all := time.Now(), 0, 0
	for _, m := range mutants.For(mutants.Explore) {
		if *only != "" && m.Name != *only {
			continue
		}
		all++
		started := time.Now()
		verdict, err := hunt(root, m, *states, *show)
		if err != nil {
			verdict = "NOT CAUGHT: " + err.Error()
		} else {
			caught++
		}
		fmt.Printf("%-32s %-8s %6.1fs  %s\n", m.Name, m.Breaks, time.Since(started).Seconds(), verdict)
	}
	fmt.Printf("mutants: %d of %d caught in %v\n", caught, all, time.Since(began).Round(time.Second))
	if caught != all || all == 0 {
		os.Exit(1)
	}
}

// hunt builds the exploration with the mutant and returns the law that it finds
// broken.
func hunt(root string, m mutants.Mutant, states int, show bool) (string, error) {
	folder, err := os.MkdirTemp("", "mutant-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(folder) }() // What is left lies among temporary files.
	overlay, err := m.Overlay(root, folder)
	if err != nil {
		return "", err
	}
	program := filepath.Join(folder, "explore")
	build := exec.Command("go", "build", "-overlay", overlay, "-o", program, "./tools/explore")
	if text, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w: %s", err, text)
	}
	run := exec.Command(program, "-states", fmt.Sprint(states), "-family", m.Family)
	text, err := run.CombinedOutput()
	if show {
		fmt.Print(string(text))
	}
	var exit *exec.ExitError
	switch {
	case err == nil:
		return "", errors.New("the mutant survives")
	case !errors.As(err, &exit) || exit.ExitCode() != 1:
		return "", fmt.Errorf("run: %w: %s", err, text)
	}
	for line := range strings.Lines(string(text)) {
		if len(line) > 3 && line[0] == 'L' && line[2] == ':' {
			return strings.TrimSpace(line), nil
		}
	}
	return "", fmt.Errorf("no law is named: %s", text)
}
