//go:build unix

package stage

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// process is one child.
type process struct {
	cmd *exec.Cmd
	// gone is closed when it has ended and is reaped.
	gone chan struct{}
}

// start runs a child that writes what it says to the end of a file.
func start(cmd *exec.Cmd, logPath string) (*process, error) {
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("stage: open log: %w", err)
	}
	defer log.Close() //nolint:errcheck // the child has its own descriptor, nothing was written through this one
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = endWithParent()
	cmd.Env = environment()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("stage: start %s: %w", cmd.Path, err)
	}
	p := &process{cmd: cmd, gone: make(chan struct{})}
	go func() {
		defer close(p.gone)
		_ = cmd.Wait() // whoever waits reads the state
	}()
	return p, nil
}

// environment is that of this process without what configures a worker.
func environment() []string {
	var kept []string
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "SYNCWORKER_") {
			kept = append(kept, variable)
		}
	}
	return kept
}

func (p *process) alive() bool {
	select {
	case <-p.gone:
		return false
	default:
		return true
	}
}

func (p *process) signal(sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("stage: send %v to %s: %w", sig, p.cmd.Path, err)
	}
	return nil
}

// kill ends a child at once. That it has ended before does no harm.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it fails when the child has ended
	<-p.gone
}

// state says how a child ended.
func (p *process) state() string { return p.cmd.ProcessState.String() }

// tail is the end of a file, for reports.
func tail(path string, size int) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	if len(text) > size {
		text = text[len(text)-size:]
	}
	return string(text)
}
