// Command explore plays every course of events that a bounded number of faults
// allows, with the real state machine and models of everything around it, and
// checks the laws of docs/protocol.md. It ends with the line
//
//	explored N states, M transitions, 0 violations
//
// or prints the shortest way to a broken law and exits with status 1.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"runtime/pprof"
	"strings"

	"github.com/syncworker/syncworker/internal/explore"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "explore:", err)
		os.Exit(2)
	}
}

func run() error {
	states := flag.Int("states", explore.DefaultStates, "how many distinct states to explore")
	servers := flag.Int("servers", 0, "how many servers at least, 2 or 3 (0: as each family has it)")
	faults := flag.Int("faults", -1, "how many faults a path may have (-1: as each family has it)")
	players := flag.Int("players", 1, "how many players; keys of players are disjoint, so 1 shows what there is to see")
	only := flag.String("family", "", "explore one family only: "+strings.Join(explore.Families(), ", "))
	asJSON := flag.Bool("json", false, "print the result as JSON before the last line")
	save := flag.String("save", "", "file for the trace of a violation")
	workers := flag.Int("workers", 0, "how many goroutines (0: one per processor); the result does not depend on it")
	profile := flag.String("cpuprofile", "", "file for a profile of the processor's time")
	flag.Parse()
	if *players != 1 || *servers < 0 || *servers == 1 || *servers > 3 {
		return fmt.Errorf("players must be 1 and servers 2 or 3")
	}
	if *profile != "" {
		f, err := os.Create(*profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	// Most of what is allocated is short-lived, and there is memory.
	debug.SetGCPercent(300)
	debug.SetMemoryLimit(5 << 30)
	result, err := explore.Run(explore.Options{
		States: *states, Servers: *servers, Faults: *faults, Only: *only, Progress: os.Stdout, Workers: *workers,
	})
	if err != nil {
		return err
	}
	return report(result, *asJSON, *save)
}

func report(result explore.Result, asJSON bool, save string) error {
	for _, f := range result.Families {
		end := "limited"
		if f.Complete {
			end = "complete"
		}
		fmt.Printf("%-12s %8d states %9d transitions, depth %3d, %s, %v\n", f.Name, f.States, f.Transitions, f.Depth, end, f.Took.Round(1e7))
	}
	if asJSON {
		text, err := json.MarshalIndent(result, "", "  ")
		if err != nil {
			return err
		}
		fmt.Println(string(text))
	}
	if result.Violation == nil {
		fmt.Printf("explored %d states, %d transitions, 0 violations\n", result.States, result.Transitions)
		return nil
	}
	v := result.Violation
	text := fmt.Sprintf("family %s\n%s\n\n%s", v.Family, v.Law, v.Text())
	fmt.Print(text)
	if save != "" {
		if err := os.WriteFile(save, []byte(text), 0o644); err != nil {
			return err
		}
	}
	fmt.Printf("explored %d states, %d transitions, 1 violation\n", result.States, result.Transitions)
	os.Exit(1)
	return nil
}
