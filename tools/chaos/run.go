//go:build unix

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/syncworker/syncworker/internal/chaos"
	"github.com/syncworker/syncworker/internal/chaos/faults"
	"github.com/syncworker/syncworker/internal/chaos/play"
	"github.com/syncworker/syncworker/internal/chaos/stage"
)

// finishTime bounds what comes after the last fault: every player joins once
// more.
const finishTime = 90 * time.Second

// shownViolations is how many are explained on the terminal.
const shownViolations = 20

func run(ctx context.Context, args []string) (int, error) {
	o, err := parse(args)
	if err != nil {
		return 0, err
	}
	if o.judge != "" {
		return judgeAgain(o)
	}
	if o.mutant != "" {
		return runMutants(ctx, o)
	}
	return runOnce(ctx, o)
}

func runOnce(ctx context.Context, o options) (int, error) {
	fmt.Printf("chaos: seed %d, %d players on %d servers for %v\n", o.seed, o.players, o.servers, o.duration)
	// Sockets have short names, so the folder is not below a long TMPDIR.
	folder, err := os.MkdirTemp("", "chaos")
	if err != nil {
		return 0, err
	}
	verdict, err := perform(ctx, o, folder, "")
	if err != nil {
		return 0, fmt.Errorf("%w (seed %d, folder %s)", err, o.seed, folder)
	}
	if ctx.Err() != nil {
		return 0, fmt.Errorf("interrupted; everything is in %s", folder)
	}
	code := report(o, verdict)
	if code != 0 || o.keep {
		fmt.Printf("history: %s\nlogs and configuration: %s\nseed: %d\n", historyPath(folder), folder, o.seed)
	} else if err := os.RemoveAll(folder); err != nil {
		return 0, err
	}
	fmt.Println(verdict)
	return code, nil
}

func historyPath(folder string) string { return filepath.Join(folder, "history.jsonl") }

func judgeAgain(o options) (int, error) {
	file, err := os.Open(o.judge)
	if err != nil {
		return 0, err
	}
	defer file.Close() //nolint:errcheck // it was only read
	entries, err := chaos.Read(file)
	if err != nil {
		return 0, err
	}
	verdict := chaos.Judge(entries, o.players, o.tokens)
	code := report(o, verdict)
	fmt.Println(verdict)
	return code, nil
}

// report prints what was found and returns the exit code.
func report(o options, verdict chaos.Verdict) int {
	if o.json {
		// A verdict is made of numbers and texts.
		text, _ := json.Marshal(verdict)
		fmt.Printf("%s\n", text)
	}
	for i, violation := range verdict.Violations {
		if i == shownViolations {
			fmt.Printf("and %d more\n", len(verdict.Violations)-i)
			break
		}
		fmt.Println(violation)
	}
	fmt.Printf("%d joins, %d saves and quits CURRENT and %d PROVISIONAL, %d sessions resumed, %d trades, %d of %d tokens left out because a crash broke their trade\n",
		verdict.Joins, verdict.Saves, verdict.Spooled, verdict.Resumed, verdict.Trades, verdict.LeftOut, verdict.Tokens)
	if verdict.OK() {
		return 0
	}
	return 1
}

// perform sets everything up, plays, and judges.
func perform(ctx context.Context, o options, folder, overlay string) (chaos.Verdict, error) {
	binary := o.binary
	if binary == "" {
		binary = filepath.Join(folder, "syncworker")
		if err := stage.Build(ctx, ".", binary, overlay); err != nil {
			return chaos.Verdict{}, err
		}
	}
	recorder, err := chaos.NewRecorder(historyPath(folder))
	if err != nil {
		return chaos.Verdict{}, err
	}
	set, err := stage.New(ctx, stage.Config{Folder: folder, Binary: binary, Servers: o.servers})
	if err != nil {
		return chaos.Verdict{}, err
	}
	defer set.Close()
	s := &show{options: o, set: set, recorder: recorder}
	if err := s.run(ctx); err != nil {
		return chaos.Verdict{}, err
	}
	if err := recorder.Close(); err != nil {
		return chaos.Verdict{}, err
	}
	return chaos.Judge(recorder.Entries(), o.players, o.tokens), nil
}

// show is one run.
type show struct {
	options   options
	set       *stage.Stage
	recorder  *chaos.Recorder
	world     *play.World
	conductor *faults.Conductor
	// caught says that a mutant was.
	caught bool
}

func (s *show) run(ctx context.Context) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	var workers []play.Beside
	for _, w := range s.set.Workers {
		workers = append(workers, play.Beside{ID: w.ID, Worker: w})
	}
	s.world = play.New(play.Config{
		Seed: s.options.seed, Players: s.options.players, Tokens: s.options.tokens, Stay: s.options.stay,
	}, s.recorder, workers)
	s.conductor = &faults.Conductor{
		Stage: s.set, World: s.world, Recorder: s.recorder, Enabled: s.options.faults,
		Dice: rand.New(rand.NewPCG(s.options.seed, 0)),
	}
	var beside sync.WaitGroup
	watching, unwatch := context.WithCancel(ctx)
	beside.Go(func() { s.conductor.Watch(watching) })
	beside.Go(func() { s.progress(watching) })
	s.world.Boot(ctx)
	s.breakThings(ctx)
	if !s.caught {
		s.finish(ctx)
	}
	unwatch()
	beside.Wait()
	s.world.Close()
	if !s.caught {
		s.stop(ctx)
	}
	return nil
}

// breakThings plays while things break.
func (s *show) breakThings(ctx context.Context) {
	playing, stop := context.WithTimeout(ctx, s.options.duration)
	defer stop()
	var both sync.WaitGroup
	if s.options.mutant != "" {
		both.Go(func() { s.watchFor(playing, stop) })
	}
	both.Go(func() { s.conductor.Run(playing, ctx) })
	both.Go(func() { s.world.Play(playing) })
	both.Wait()
}

// watchFor ends the run when something is found.
func (s *show) watchFor(ctx context.Context, stop func()) {
	ticker := time.NewTicker(2 * time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if v := chaos.JudgeSoFar(s.recorder.Entries()); !v.OK() {
			s.caught = true
			stop()
		}
	}
}

// finish lets everybody in once more.
func (s *show) finish(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, finishTime)
	defer cancel()
	if err := s.conductor.AllHealthy(ctx); err != nil {
		s.broken("after the last repair: %v", err)
	}
	s.world.Finish(ctx)
}

// stop ends the workers in order, and looks what they leave behind.
func (s *show) stop(ctx context.Context) {
	var stopping sync.WaitGroup
	for _, w := range s.set.Workers {
		stopping.Go(func() {
			if err := w.Stop(ctx, stage.DrainTimeout+6*time.Second); err != nil && ctx.Err() == nil {
				s.broken("%v", err)
			}
		})
	}
	stopping.Wait()
	switch left, err := s.set.Redis.Leftovers(ctx); {
	case err != nil && ctx.Err() == nil:
		s.broken("%v", err)
	case len(left) > 0:
		s.broken("all workers have stopped in order and left in Redis: %q", left)
	}
}

func (s *show) broken(format string, args ...any) {
	s.recorder.Add(chaos.Entry{Kind: chaos.KindBroken, Text: fmt.Sprintf(format, args...)})
}

// progress prints a line every five seconds.
func (s *show) progress(ctx context.Context) {
	ticker := time.NewTicker(5 * time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		count := map[chaos.Kind]int{}
		for _, e := range s.recorder.Entries() {
			if e.Outcome == chaos.Delivered || e.Outcome == chaos.New || e.Outcome == chaos.Current || e.Outcome == "" {
				count[e.Kind]++
			}
		}
		present, all := s.world.Present()
		fmt.Printf("%4.0fs  %d joins, %d saves, %d quits, %d trades, %d faults, last %q, %d stays of %d players\n",
			s.recorder.Now().Seconds(), count[chaos.KindJoin], count[chaos.KindSave], count[chaos.KindQuit], count[chaos.KindTrade],
			count[chaos.KindFault], s.conductor.Last(), present, all)
	}
}
