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
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/syncworker/syncworker/internal/explore"
)

func main() {
	broken, err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "explore:", err)
		os.Exit(2)
	}
	if broken {
		os.Exit(1)
	}
}

func run() (broken bool, err error) {
	o := explore.Options{Progress: os.Stdout}
	flag.IntVar(&o.States, "states", explore.DefaultStates, "how many distinct states to explore")
	flag.IntVar(&o.Servers, "servers", 0, "how many servers at least, 2 or 3 (0: as each family has it)")
	flag.IntVar(&o.Faults, "faults", -1, "how many faults a path may have (-1: as each family has it)")
	flag.StringVar(&o.Only, "family", "", "explore one family only: "+strings.Join(explore.Families(), ", "))
	flag.IntVar(&o.Workers, "workers", 0, "how many goroutines (0: one per processor); the result does not depend on it")
	players := flag.Int("players", 1, "how many players; 1 shows all there is, since players share no keys")
	asJSON := flag.Bool("json", false, "print the result as JSON before the last line")
	save := flag.String("save", "", "file for the trace of a violation")
	flag.Parse()
	if *players != 1 || o.Servers < 0 || o.Servers == 1 || o.Servers > 3 {
		return false, errors.New("-players must be 1, -servers 2 or 3")
	}
	// Most of what is allocated is short-lived, and there is memory.
	debug.SetGCPercent(300)
	debug.SetMemoryLimit(5 << 30)
	result, err := explore.Run(o)
	if err != nil {
		return false, err
	}
	return result.Violation != nil, report(result, *asJSON, *save)
}

func report(result explore.Result, asJSON bool, save string) error {
	for _, f := range result.Families {
		end := "limited"
		if f.Complete {
			end = "complete"
		}
		fmt.Printf("%-14s %8d states %9d transitions, depth %3d, %s, %v\n",
			f.Name, f.States, f.Transitions, f.Depth, end, f.Took.Round(10*time.Millisecond))
	}
	if asJSON {
		text, err := json.MarshalIndent(result, "", "  ")
		if err != nil {
			return err
		}
		fmt.Println(string(text))
	}
	violations := 0
	if v := result.Violation; v != nil {
		violations = 1
		text := fmt.Sprintf("family %s\n%s\n\n%s", v.Family, v.Law, v.Text())
		fmt.Print(text)
		if save != "" {
			if err := os.WriteFile(save, []byte(text), 0o600); err != nil {
				return err
			}
		}
	}
	fmt.Printf("explored %d states, %d transitions, %d violations\n", result.States, result.Transitions, violations)
	return nil
}
