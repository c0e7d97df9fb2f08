package lockstep_test

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/lockstep"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the transcripts in testdata with what the machine does now")

// TestTranscripts plays each file of testdata and compares what the machine
// answered. A line at the margin is an event, the indented lines below it are
// the actions and the phase that followed. Read a rewritten file as a diff.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts found: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, want)
			if *rewrite {
				if err := os.WriteFile(file, got, 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if !bytes.Equal(got, want) {
				t.Errorf("the machine answers differently; run 'go test ./lockstep -rewrite' and read the diff.\n%s", firstDifference(got, want))
			}
		})
	}
}

func firstDifference(got, want []byte) string {
	g, w := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d\n got: %s\nwant: %s", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("got %d lines, want %d", len(g), len(w))
}

// play runs one transcript and returns it with the machine's own answers.
func play(t *testing.T, transcript []byte) []byte {
	t.Helper()
	p := newPlayer(t)
	var out bytes.Buffer
	lines := bufio.NewScanner(bytes.NewReader(transcript))
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "  "):
			continue
		case line == "" || strings.HasPrefix(line, "#"):
			fmt.Fprintln(&out, line)
			continue
		case strings.HasPrefix(line, "config "):
			p.configure(t, strings.Fields(line)[1:])
			fmt.Fprintln(&out, line)
			continue
		}
		fmt.Fprintln(&out, line)
		answers, err := p.step(line)
		if err != nil {
			t.Fatalf("line %d: %q: %v", n, line, err)
		}
		for _, answer := range answers {
			fmt.Fprintln(&out, "  "+answer)
		}
	}
	return out.Bytes()
}

// player is one machine under a transcript.
type player struct {
	machine *lockstep.Machine
	state   handoff.State
	start   time.Time
	now     time.Time
	// last holds the number of the last claim, read, lease check, reading of
	// another's lease and write, so that a transcript need not repeat them.
	claim, read, lease, holderLease, op uint64
}

var (
	steve = handoff.PlayerID{15: 0xaa}
	start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
)

func newMachine(t testing.TB) *lockstep.Machine {
	t.Helper()
	machine, err := lockstep.New(lockstep.Config{Server: "a", Settle: settle})
	if err != nil {
		t.Fatal(err)
	}
	return machine
}

func newPlayer(t *testing.T) *player {
	t.Helper()
	machine := newMachine(t)
	return &player{machine: machine, state: machine.Start(steve), start: start, now: start}
}

// configure makes the machine anew with options switched on, before any event.
func (p *player) configure(t *testing.T, options []string) {
	t.Helper()
	config := lockstep.Config{Server: "a", Settle: settle}
	for _, option := range options {
		switch option {
		case "petitions":
			config.Petitions = true
		case "steal":
			config.Steal = true
		default:
			t.Fatalf("unknown option %q", option)
		}
	}
	machine, err := lockstep.New(config)
	if err != nil {
		t.Fatal(err)
	}
	p.machine, p.state = machine, machine.Start(steve)
}

// step takes one line: "[@time] verb args".
func (p *player) step(line string) ([]string, error) {
	words := strings.Fields(line)
	if after, ok := strings.CutPrefix(words[0], "@"); ok {
		offset, err := time.ParseDuration(after)
		if err != nil {
			return nil, err
		}
		p.now = p.start.Add(offset)
		words = words[1:]
	}
	args := parseArgs(words[1:])
	event, err := p.event(words[0], args)
	if err != nil {
		return nil, err
	}
	if len(args.unused) > 0 {
		return nil, fmt.Errorf("unknown arguments %v", args.unused)
	}
	before := p.state
	var actions []handoff.Action
	p.state, actions = p.machine.Step(before, p.now, event)
	answers := make([]string, 0, len(actions)+1)
	for _, action := range actions {
		answers = append(answers, p.describe(action))
	}
	return append(answers, p.describeState()), nil
}

func (p *player) describeState() string {
	s := p.state.Summary()
	text := "=> " + s.Phase
	if s.Unstored > 0 {
		text += fmt.Sprintf(", %d unstored", s.Unstored)
	}
	if p.state.Idle() {
		text += ", idle"
	}
	return text
}

type args struct {
	values map[string]string
	unused map[string]bool
}

func parseArgs(words []string) *args {
	a := &args{values: map[string]string{}, unused: map[string]bool{}}
	for _, word := range words {
		key, value, _ := strings.Cut(word, "=")
		a.values[key], a.unused[key] = value, true
	}
	return a
}

func (a *args) has(key string) bool {
	_, ok := a.values[key]
	delete(a.unused, key)
	return ok
}

func (a *args) text(key string) string {
	delete(a.unused, key)
	return a.values[key]
}

func (a *args) number(key string, unset uint64) uint64 {
	if !a.has(key) {
		return unset
	}
	var n uint64
	if _, err := fmt.Sscan(a.text(key), &n); err != nil {
		panic(fmt.Sprintf("%s=%s: %v", key, a.values[key], err))
	}
	return n
}

func (a *args) duration(key string, unset time.Duration) time.Duration {
	if !a.has(key) {
		return unset
	}
	d, err := time.ParseDuration(a.text(key))
	if err != nil {
		panic(err)
	}
	return d
}

func (a *args) session() handoff.SessionID {
	return handoff.SessionID{Player: steve, Fence: handoff.Fence(a.number("fence", 0))}
}

var (
	errBroken = errors.New("broken")
	errFull   = errors.New("disk full")
)
