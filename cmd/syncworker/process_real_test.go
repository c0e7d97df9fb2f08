//go:build real

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
	"github.com/syncworker/syncworker/internal/config"
)

// program builds the program once for all tests and returns its path.
var program = sync.OnceValues(func() (string, error) {
	folder, err := os.MkdirTemp("", "sw-program")
	if err != nil {
		return "", err
	}
	cleanUps = append(cleanUps, func() { _ = os.RemoveAll(folder) })
	path := filepath.Join(folder, "syncworker")
	return path, buildProgram(path)
})

// buildProgram builds the program, with further arguments to go build.
func buildProgram(path string, args ...string) error {
	build := exec.Command("go", slices.Concat([]string{"build", "-buildvcs=false", "-o", path}, args, []string{"."})...)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the program: %w\n%s", err, text)
	}
	return nil
}

// command is the program with arguments, in an environment that configures
// nothing.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.SysProcAttr = endWithParent()
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "SYNCWORKER_") {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	return cmd
}

// runProgram runs a command that ends by itself.
func runProgram(t *testing.T, args ...string) result {
	t.Helper()
	cmd := command(t, args...)
	var out, errOut strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errOut.String()}
}

// process is one worker as a process of its own; the test is its game server.
type process struct {
	*testServer
	cmd *exec.Cmd
	// file is the configuration, metrics is where it says that these are.
	file, metrics string
	// gone is closed when the process has ended.
	gone chan struct{}
}

// launch starts a worker as a process and returns at once.
func (n *network) launch(id string) *process {
	n.t.Helper()
	path, err := program()
	if err != nil {
		n.t.Fatal(err)
	}
	return n.launchProgram(path, id)
}

// launchProgram is launch with another file of the program.
func (n *network) launchProgram(path, id string) *process {
	n.t.Helper()
	settings := n.config(id)
	if err := settings.Validate(); err != nil {
		n.t.Fatal(err)
	}
	p := &process{
		testServer: &testServer{t: n.t, id: id, socket: strings.TrimPrefix(settings.API.Listen, "unix://"), log: &lockedBuffer{}},
		file:       writeConfig(n.t, strings.TrimPrefix(settings.API.Listen, "unix://")+".hcl", settings),
		metrics:    settings.Metrics.Listen,
		gone:       make(chan struct{}),
	}
	p.cmd = command(n.t, "run", "-config", p.file)
	p.cmd.Path, p.cmd.Args[0] = path, path
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	go func() {
		defer close(p.gone)
		_ = p.cmd.Wait() // its exit code tells
	}()
	p.connect()
	n.t.Cleanup(func() {
		p.kill()
		p.http.CloseIdleConnections()
		if n.t.Failed() {
			n.t.Logf("log of process %s:\n%s", id, p.log)
		}
	})
	return p
}

// process starts a worker as a process and waits until it listens.
func (n *network) process(id string) *process {
	n.t.Helper()
	p := n.launch(id)
	p.listens()
	return p
}

// played starts a worker as a process, attaches a game and waits until it grants.
func (n *network) played(id, boot string) *process {
	n.t.Helper()
	p := n.process(id)
	p.attach(boot)
	p.settled()
	return p
}

// writeConfig writes the settings of these tests as an operator would.
func writeConfig(t *testing.T, path string, c config.Config) string {
	t.Helper()
	sections := []struct {
		name   string
		values map[string]any
	}{
		{"server", map[string]any{"id": c.Server.ID, "cluster_id": c.Server.ClusterID}},
		{"redis", map[string]any{
			"addresses": c.Redis.Addresses, "db": c.Redis.DB,
			"username": c.Redis.Username, "password_file": c.Redis.PasswordFile,
		}},
		{"sync", map[string]any{"settle": c.Sync.Settle, "safety_poll": c.Sync.SafetyPoll}},
		{"game", map[string]any{"grace": c.Game.Grace, "confirm_timeout": c.Game.ConfirmTimeout}},
		{"database", map[string]any{"dsn": c.Database.DSN, "read_timeout": c.Database.ReadTimeout}},
		{"api", map[string]any{"listen": c.API.Listen}},
		{"metrics", map[string]any{"listen": c.Metrics.Listen}},
		{"shutdown", map[string]any{"drain_timeout": c.Shutdown.DrainTimeout}},
		{"log", map[string]any{"level": c.Log.Level}},
	}
	var text strings.Builder
	for _, section := range sections {
		fmt.Fprintf(&text, "%s {\n", section.name)
		for key, value := range section.values {
			fmt.Fprintf(&text, "  %s = %s\n", key, inHCL(value))
		}
		if section.name == "sync" {
			fmt.Fprintf(&text, "  lockstep {\n    lease_ttl = %s\n  }\n", inHCL(c.Sync.Lockstep.LeaseTTL))
		}
		text.WriteString("}\n")
	}
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func inHCL(value any) string {
	switch v := value.(type) {
	case []string:
		return fmt.Sprintf("[%q]", strings.Join(v, `", "`))
	case int:
		return fmt.Sprint(v)
	default:
		return fmt.Sprintf("%q", fmt.Sprint(v))
	}
}

// listens waits until the worker answers.
func (p *process) listens() {
	p.t.Helper()
	p.eventually("the process listens", func() bool {
		p.alive()
		_, err := p.admin.GetStatus(context.Background(), &v1.GetStatusRequest{})
		return err == nil
	})
}

// logs waits until the log has a text.
func (p *process) logs(text string) {
	p.t.Helper()
	p.eventually(fmt.Sprintf("the log has %q", text), func() bool {
		p.alive()
		return strings.Contains(p.log.String(), text)
	})
}

// alive fails the test when the process has ended.
func (p *process) alive() {
	p.t.Helper()
	select {
	case <-p.gone:
		p.t.Fatalf("process %s ended: %v", p.id, p.cmd.ProcessState)
	default:
	}
}

// kill ends the process as a crash does, and returns when it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.gone
}

// stop sends the signal that operators stop a worker with.
func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("send %v to %s: %v", s, p.id, err)
	}
}

// exits waits for the end of the process and compares the exit code and what
// was written.
func (p *process) exits(code int, texts ...string) {
	p.t.Helper()
	select {
	case <-p.gone:
	case <-time.After(patience):
		p.t.Fatalf("process %s does not end", p.id)
	}
	if got := p.cmd.ProcessState.ExitCode(); got != code {
		p.t.Errorf("process %s ended with %d (%v), want %d", p.id, got, p.cmd.ProcessState, code)
	}
	for _, text := range texts {
		if !strings.Contains(p.log.String(), text) {
			p.t.Errorf("process %s did not write %q", p.id, text)
		}
	}
}

// terminate stops the process in order and wants it to end well.
func (p *process) terminate() {
	p.t.Helper()
	p.stop()
	p.exits(exitOK)
}

// health waits until metrics and health checks are served and returns a function
// that gets a path of them: the status and the body.
func (p *process) health() func(path string) (int, string) {
	p.t.Helper()
	p.logs("serving metrics and health checks")
	return func(path string) (int, string) {
		p.t.Helper()
		response, err := http.Get("http://" + p.metrics + path)
		if err != nil {
			p.t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			p.t.Fatal(err)
		}
		return response.StatusCode, string(body)
	}
}

// within waits for something that must happen.
func within(t *testing.T, what string, happened <-chan struct{}) {
	t.Helper()
	select {
	case <-happened:
	case <-time.After(patience):
		t.Fatalf("never happened: %s", what)
	}
}

// freeAddress returns a TCP address that nobody listens on. It is below those
// that the kernel gives to connections, which come and go.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(10_000))
		listener, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
		return address
	}
	t.Fatal("no address is free")
	return ""
}
