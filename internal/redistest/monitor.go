//go:build unix

package redistest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
)

// Command is one command that a server ran, as MONITOR tells it.
type Command struct {
	// DB is the database index.
	DB int
	// Client is the address of the connection; "lua" for a command that a
	// script ran.
	Client string
	// Args are the command's name and arguments, as sent.
	Args []string
}

// InScript reports whether a script ran the command and not a client.
func (c Command) InScript() bool { return c.Client == "lua" }

// Name returns the command's name in upper case.
func (c Command) Name() string { return strings.ToUpper(c.Args[0]) }

// String returns the command as a line for failure texts.
func (c Command) String() string {
	return fmt.Sprintf("[%d %s] %q", c.DB, c.Client, c.Args)
}

// Monitor records what a server runs.
type Monitor struct {
	t      testing.TB
	client *redis.Client
	done   chan struct{}

	mu       sync.Mutex
	arrived  *sync.Cond
	commands []Command
	err      error
	markers  int
}

// Monitor begins to record every command from now on, until ctx ends or the
// test does.
func (s *Server) Monitor(ctx context.Context) *Monitor {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		s.t.Fatalf("connect for monitor: %v", err)
	}
	m := &Monitor{t: s.t, client: s.Client(), done: make(chan struct{})}
	m.arrived = sync.NewCond(&m.mu)
	lines := bufio.NewReader(conn)
	if err := m.begin(conn, lines); err != nil {
		s.t.Fatalf("begin monitor: %v", err)
	}
	// Closing ends the reader; that it was closed before does no harm.
	end := func() { _ = conn.Close() }
	stop := context.AfterFunc(ctx, end)
	go m.record(lines)
	s.t.Cleanup(func() {
		stop()
		end()
		<-m.done
	})
	return m
}

func (m *Monitor) begin(conn net.Conn, lines *bufio.Reader) error {
	// The connection for markers is opened first, so that its greeting is not
	// among the commands.
	if err := m.client.Ping(context.Background()).Err(); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("MONITOR\r\n")); err != nil {
		return err
	}
	answer, err := lines.ReadString('\n')
	if err != nil {
		return err
	}
	if answer != "+OK\r\n" {
		return fmt.Errorf("redis answered %q", answer)
	}
	return nil
}

// Take returns the commands recorded since the last Take, or since Monitor, and
// forgets them. It is exact: whatever ran before Take was called is included.
func (m *Monitor) Take() []Command {
	m.t.Helper()
	m.mu.Lock()
	m.markers++
	marker := fmt.Sprintf("monitor-marker-%p-%d", m, m.markers)
	m.mu.Unlock()
	if err := m.client.Echo(context.Background(), marker).Err(); err != nil {
		m.t.Fatalf("mark the end of monitor: %v", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for {
		for i, c := range m.commands {
			if len(c.Args) == 2 && c.Args[1] == marker {
				taken := m.commands[:i:i]
				m.commands = m.commands[i+1:]
				return taken
			}
		}
		if m.err != nil {
			m.t.Fatalf("read monitor: %v", m.err)
		}
		m.arrived.Wait()
	}
}

// TakeClient returns what Take returns without the commands inside scripts.
func (m *Monitor) TakeClient() []Command {
	m.t.Helper()
	var sent []Command
	for _, c := range m.Take() {
		if !c.InScript() {
			sent = append(sent, c)
		}
	}
	return sent
}

func (m *Monitor) record(lines *bufio.Reader) {
	defer close(m.done)
	for {
		line, err := lines.ReadString('\n')
		var c Command
		if err == nil {
			c, err = parseCommand(strings.TrimSuffix(strings.TrimPrefix(line, "+"), "\r\n"))
		}
		m.mu.Lock()
		if err != nil {
			m.err = err
		} else {
			m.commands = append(m.commands, c)
		}
		m.arrived.Broadcast()
		m.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// parseCommand reads a line such as
//
//	1339518083.107412 [0 127.0.0.1:60866] "set" "key" "a\x00b"
//
// Redis quotes control characters and bytes that are no ASCII as \xHH, which Go
// reads likewise.
func parseCommand(line string) (Command, error) {
	_, rest, found := strings.Cut(line, " [")
	where, rest, closed := strings.Cut(rest, "] ")
	db, client, two := strings.Cut(where, " ")
	if !found || !closed || !two {
		return Command{}, fmt.Errorf("unexpected monitor line %q", line)
	}
	index, err := strconv.Atoi(db)
	if err != nil {
		return Command{}, fmt.Errorf("unexpected monitor line %q: %w", line, err)
	}
	c := Command{DB: index, Client: client}
	for rest != "" {
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			return Command{}, fmt.Errorf("unexpected monitor line %q: %w", line, err)
		}
		arg, err := strconv.Unquote(quoted)
		if err != nil {
			return Command{}, fmt.Errorf("unexpected monitor line %q: %w", line, err)
		}
		c.Args = append(c.Args, arg)
		rest = strings.TrimPrefix(rest[len(quoted):], " ")
	}
	if len(c.Args) == 0 {
		return Command{}, errors.New("monitor line without a command: " + line)
	}
	return c, nil
}
