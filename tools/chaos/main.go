//go:build unix

// Command chaos plays games against real workers and a real redis-server while
// it breaks everything that they stand on, judges what the games saw, and ends
// with one line:
//
//	chaos: N handoffs, F faults, 0 lost, 0 stale, 0 duplicated, worst wait X
//
// Any other figure, or anything else that must not happen, makes the exit code
// 1, and the history of the run is kept. What is judged, and how, is in the
// documentation of internal/chaos.
//
// It needs redis-server on the PATH, and Go unless -binary names a worker.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/syncworker/syncworker/internal/chaos/faults"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code, err := run(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		code = 2
	}
	os.Exit(code)
}

// options are the flags.
type options struct {
	duration, stay  time.Duration
	seed            uint64
	players, tokens int
	servers         int
	json, keep      bool
	binary          string
	faults          []string
	judge, mutant   string
}

func parse(args []string) (options, error) {
	var o options
	names, about := faults.Names()
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.DurationVar(&o.duration, "duration", time.Minute, "how long things break; joining once more and stopping in order come after that")
	flags.DurationVar(&o.stay, "stay", 2500*time.Millisecond, "how long a player stays on a server, on average")
	flags.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "what decides; the default is the clock")
	flags.IntVar(&o.players, "players", 60, "number of players")
	flags.IntVar(&o.tokens, "tokens", 8, "number of tokens that each player begins with")
	flags.IntVar(&o.servers, "servers", 4, "number of servers")
	flags.BoolVar(&o.json, "json", false, "print the verdict as JSON before the last line")
	flags.BoolVar(&o.keep, "keep", false, "keep the folder of the run, also when nothing was found")
	flags.StringVar(&o.binary, "binary", "", "worker to test; the default is to build it")
	flags.StringVar(&o.judge, "judge", "", "judge the history in this file again, and run nothing")
	flags.StringVar(&o.mutant, "mutant", "", "test this mutant of the worker, or all, one after the other, and expect that it is caught")
	list := flags.String("faults", strings.Join(names, ","), "what may break, from this list; \"none\" for nothing")
	flags.Usage = func() {
		fmt.Println("Flags:")
		flags.PrintDefaults()
		fmt.Println("Faults:")
		for _, name := range names {
			fmt.Printf("  %-14s %s\n", name, about[name])
		}
	}
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if *list != "none" {
		o.faults = strings.Split(*list, ",")
	}
	for _, name := range o.faults {
		if about[name] == "" {
			return o, fmt.Errorf("there is no fault %q; there are %s", name, strings.Join(names, ", "))
		}
	}
	if flags.NArg() > 0 || o.players < 2 || o.tokens < 1 || o.servers < 2 || o.duration <= 0 {
		return o, errors.New("want at least 2 players, 2 servers, 1 token, a duration, and no arguments")
	}
	return o, nil
}
