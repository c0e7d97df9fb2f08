//go:build unix

package redistest

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// startTimeout bounds one start of a server; a start takes some 10 ms.
const startTimeout = 30 * time.Second

// Server is one redis-server that a test may stop, kill, freeze and restart. It
// keeps its port for life. Its methods belong to the goroutine of the test.
type Server struct {
	t      testing.TB
	binary string
	dir    string
	port   int
	args   []string
	run    *process // nil while the server is down
}

// Start runs a redis-server and returns once it accepts connections. Args are
// further options as redis-server takes them, for instance
// "--notify-keyspace-events", "Kg$x". Persistence is off unless args switch it
// on. The server ends with the test; its log is printed when the test failed.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal("redis-server is not on the PATH: install it, for instance with apt-get install redis-server")
	}
	s := &Server{t: t, binary: binary, dir: t.TempDir(), args: args}
	t.Cleanup(s.Kill)
	// The port is free when it is chosen and may be taken a moment later by
	// another test, so a server that cannot bind is given another one.
	const attempts = 5
	for range attempts {
		s.port = freePort(t)
		if err = s.launch(); err == nil {
			return s
		}
	}
	t.Fatalf("start redis-server: %v", err)
	return nil
}

// Addr returns host:port.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Dir returns the folder of the server's files.
func (s *Server) Dir() string { return s.dir }

// PID returns the server's process id, 0 while it is down.
func (s *Server) PID() int {
	if s.run == nil {
		return 0
	}
	return s.run.cmd.Process.Pid
}

// Client returns a client of database 0 that is closed with the test. Each
// change may alter the options before the client is made.
func (s *Server) Client(changes ...func(*redis.Options)) *redis.Client {
	s.t.Helper()
	opts := &redis.Options{Addr: s.Addr()}
	for _, change := range changes {
		change(opts)
	}
	client := redis.NewClient(opts)
	s.t.Cleanup(func() {
		if err := client.Close(); err != nil && !errors.Is(err, redis.ErrClosed) {
			s.t.Errorf("close redis client: %v", err)
		}
	})
	return client
}

// Kill ends the server at once (SIGKILL), as a crash would. It does nothing
// when the server is down.
func (s *Server) Kill() {
	if s.run == nil {
		return
	}
	s.run.kill()
	if s.t.Failed() {
		s.t.Logf("redis-server on port %d said:\n%s", s.port, s.run.log())
	}
	s.run = nil
}

// Restart stops the server, if it is up, and starts it on the same port as a
// new process. With keepData a server that is up saves its data first and has
// it again; one that was killed has what its files hold. Without keepData the
// files are removed.
func (s *Server) Restart(keepData bool) {
	s.t.Helper()
	if s.run != nil && keepData {
		s.save()
	}
	s.Kill()
	if !keepData {
		s.removeData()
	}
	if err := s.launch(); err != nil {
		s.t.Fatalf("restart redis-server: %v", err)
	}
}

// Stop freezes the server (SIGSTOP): connections stay open, nothing answers.
func (s *Server) Stop() { s.signal(syscall.SIGSTOP) }

// Cont lets a frozen server go on (SIGCONT).
func (s *Server) Cont() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.t.Helper()
	if s.run == nil {
		s.t.Fatalf("send %v to redis-server: it is down", sig)
	}
	if err := s.run.cmd.Process.Signal(sig); err != nil {
		s.t.Fatalf("send %v to redis-server: %v", sig, err)
	}
}

// save makes the server write its data and end by itself, so that a file of the
// append-only log is closed as well. A server that could not save stays up.
func (s *Server) save() {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		s.t.Fatalf("connect to shut down redis-server: %v", err)
	}
	defer func() { _ = conn.Close() }() // The server has closed it already.
	if _, err := conn.Write([]byte("SHUTDOWN SAVE\r\n")); err != nil {
		s.t.Fatalf("shut down redis-server: %v", err)
	}
	// Success has no answer: the connection ends with the server.
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil {
		s.t.Fatalf("shut down redis-server: %s", answer)
	}
	<-s.run.gone
}

func (s *Server) removeData() {
	s.t.Helper()
	for _, name := range []string{"dump.rdb", "appendonlydir", "appendonly.aof"} {
		if err := os.RemoveAll(filepath.Join(s.dir, name)); err != nil {
			s.t.Fatalf("remove redis data: %v", err)
		}
	}
}

func (s *Server) launch() error {
	args := append([]string{
		"--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--dir", s.dir,
		"--daemonize", "no", "--logfile", "", "--save", "", "--appendonly", "no",
	}, s.args...)
	run, err := startProcess(exec.Command(s.binary, args...))
	if err != nil {
		return err
	}
	s.run = run
	return nil
}

// process is one running redis-server.
type process struct {
	cmd  *exec.Cmd
	gone chan struct{} // closed when the process has ended and is reaped

	mu    sync.Mutex
	lines bytes.Buffer
}

// startProcess waits for the server's own word that it is ready, which it says
// after loading its data.
func startProcess(cmd *exec.Cmd) (*process, error) {
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = cmd.Stdout
	cmd.SysProcAttr = endWithParent()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, gone: make(chan struct{})}
	ready := make(chan struct{})
	go p.follow(bufio.NewScanner(out), ready)
	select {
	case <-ready:
		return p, nil
	case <-p.gone:
		return nil, errors.New("redis-server ended at once: " + p.log())
	case <-time.After(startTimeout):
		p.kill()
		return nil, errors.New("redis-server is not ready after " + startTimeout.String() + ": " + p.log())
	}
}

func (p *process) follow(lines *bufio.Scanner, ready chan<- struct{}) {
	defer close(p.gone)
	told := false
	for lines.Scan() {
		p.mu.Lock()
		p.lines.WriteString(lines.Text() + "\n")
		p.mu.Unlock()
		if !told && strings.Contains(lines.Text(), "Ready to accept connections") {
			told = true
			close(ready)
		}
	}
	// A killed process ends with an error; the log tells everything else.
	_ = p.cmd.Wait()
}

func (p *process) kill() {
	// An error means that the process has ended already.
	_ = p.cmd.Process.Kill()
	<-p.gone
}

func (p *process) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lines.String()
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("find a free port: %v", err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		t.Fatalf("find a free port: %v", err)
	}
	return port
}
