//go:build real

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The guide's walk by hand, two workers, one redis-server and curl, is played as
// it is written; only ports, and for the sake of time some periods, differ.
// What comes out must be what the guide shows, in all that matters: sources,
// data, states, exit codes, what the log says.
func TestGuide(t *testing.T) {
	t.Parallel()
	for tool, mend := range map[string]string{
		"curl": "apt-get install curl", "bash": "apt-get install bash", "redis-server": "apt-get install redis-server",
	} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%s is not on the PATH: install it, for instance with %s", tool, mend)
		}
	}
	script, shown := walkByHand(t)
	got := matters(playScript(t, script))
	if want := matters(shown); !slices.Equal(got, want) {
		t.Errorf("the guide shows\n  %s\nbut it was\n  %s", strings.Join(want, "\n  "), strings.Join(got, "\n  "))
	}
	// What the walk is there to show, whatever the guide says.
	sources := slices.DeleteFunc(slices.Clone(got), func(fact string) bool { return !strings.HasPrefix(fact, `"source":`) })
	want := []string{
		`"source":"SOURCE_NEW"`,      // new on A
		`"source":"SOURCE_UPDATE"`,   // the same bytes on B
		`"source":"SOURCE_UPDATE"`,   // A had waited
		`"source":"SOURCE_DATABASE"`, // Redis came back empty
		`"source":"SOURCE_DATABASE"`,
		`"source":"SOURCE_UPDATE"`, // A was killed, B took over
		`"source":"SOURCE_UPDATE"`, // A is back
		`"source":"SOURCE_UPDATE"`, // saved while Redis was away
		`"source":"SOURCE_UPDATE"`, // freed by force
	}
	if !slices.Equal(sources, want) {
		t.Errorf("got the sources\n%s", strings.Join(sources, "\n"))
	}
}

// blocks are the guide's blocks of commands and of what they print.
var blocks = regexp.MustCompile("(?ms)^```(sh|text)\n(.*?)^```$")

// walkByHand returns the commands of the walk and what the guide says they print.
func walkByHand(t *testing.T) (script, shown string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/game-server-guide.md")
	if err != nil {
		t.Fatal(err)
	}
	_, walk, found := strings.Cut(string(text), "\n## Try it by hand\n")
	walk, _, ended := strings.Cut(walk, "\n## ")
	if !found || !ended {
		t.Fatal("the guide has no chapter to try it by hand")
	}
	for _, block := range blocks.FindAllStringSubmatch(walk, -1) {
		switch {
		case block[1] == "text":
			shown += block[2]
		case strings.Contains(block[2], "make build"): // Here the program is there already.
		default:
			script += block[2]
		}
	}
	for port := range strings.FieldsSeq("6390 9474 9475") {
		if !strings.Contains(script, port) {
			t.Fatalf("the guide does not use port %s any more", port)
		}
		_, free, _ := strings.Cut(freeAddress(t), ":")
		script = strings.ReplaceAll(script, port, free)
	}
	return script, shown
}

// playScript returns everything that was written.
func playScript(t *testing.T, script string) string {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	folder, err := os.MkdirTemp("", "sw") // t.TempDir is too long for a socket.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	cmd := exec.Command("bash", "-e")
	cmd.Dir = folder
	cmd.Stdin = strings.NewReader(script)
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(path)+":"+os.Getenv("PATH"),
		"SYNCWORKER_SYNC__SETTLE=2s", "SYNCWORKER_SYNC__LOCKSTEP__LEASE_TTL=4.5s", "SYNCWORKER_GAME__GRACE=2s")
	// All that the script starts is one group, so that all of it can be ended.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	group := -cmd.Process.Pid
	limit := time.AfterFunc(2*patience, func() { _ = syscall.Kill(group, syscall.SIGKILL) })
	err = cmd.Wait()
	limit.Stop()
	_ = syscall.Kill(group, syscall.SIGKILL) // as a rule nobody is left
	if err != nil {
		logs, _ := filepath.Glob(filepath.Join(folder, "*.log"))
		for _, log := range logs {
			text, _ := os.ReadFile(log)
			t.Logf("%s:\n%s", filepath.Base(log), text)
		}
		t.Fatalf("the walk ended with %v\n%s", err, out.String())
	}
	return out.String()
}

var (
	jsonSpaces = regexp.MustCompile(`([:,{]) +"`)
	facts      = regexp.MustCompile(strings.Join([]string{
		`"source":"\w+"`, `"minecraft:inventory":"[^"]*"`, `"handedOverBy":"[^"]*"`, `"state":"\w+"`, `"serverId":"[^"]*"`,
		`"attached":\{\}`, `"attached":\{"resumed":`, `"sessionLost":`, `"draining":`, `"reason":"\w+"`, `"code":"\w+"`, `exit code \d+`,
		`waits for [\w-]+`, `DEAD: it has no lease`, `alive: its lease lasts`, `\bwaiting\b`,
		`game attached: boot-id=\S+`, `resumed=\d+ lost=\d+`, `an earlier \w+`, `kind=taken-over`,
		`NOT OK`, `\d+ saves? \(`, `\(HOLDER_ALIVE\)`, `is alive: its game is told`, `yes  `, `via server-\w`,
	}, "|"))
)

// matters returns what of an output is the same each time, in order.
func matters(output string) []string {
	output = strings.ReplaceAll(output, "\n ", " ") // The guide breaks long lines.
	return facts.FindAllString(jsonSpaces.ReplaceAllString(output, `$1"`), -1)
}
