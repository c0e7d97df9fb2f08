package localapi_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
	"github.com/syncworker/syncworker/internal/localapi"
)

// socketPath is short: a socket's path has little room, and t.TempDir is long.
func socketPath(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return filepath.Join(dir, "api.sock")
}

// newServer makes a server that does not run.
func newServer(t *testing.T, change func(*localapi.Config)) (*localapi.Server, error) {
	t.Helper()
	config := localapi.Config{Server: "survival-1", Listen: "unix://" + socketPath(t)}
	if change != nil {
		change(&config)
	}
	b := &bed{sessions: &fakeSessions{}, game: newFakeGame(), worker: &fakeWorker{}, redis: &fakeRedis{}, log: &safeLog{}}
	ports := b.ports()
	ports.Registerer = prometheus.NewRegistry()
	server, err := localapi.New(ports, config)
	if err == nil {
		t.Cleanup(func() {
			if err := server.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
	return server, err
}

func tokenFile(t *testing.T, content string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSocketMode(t *testing.T) {
	for _, mask := range []int{0, 0o022, 0o077} {
		old := syscall.Umask(mask)
		path := socketPath(t)
		// The directory was made under the mask, too.
		err := errors.Join(os.Chmod(filepath.Dir(path), 0o700))
		if err != nil {
			t.Fatal(err)
		}
		server, err := newServer(t, func(c *localapi.Config) { c.Listen = "unix://" + path })
		if err == nil {
			err = server.Listen()
		}
		syscall.Umask(old)
		if err != nil {
			t.Fatalf("umask %03o: %v", mask, err)
		}
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode(); got.Perm() != 0o660 || got&os.ModeSocket == 0 {
			t.Errorf("umask %03o: mode %s, want a socket of mode 0660", mask, got)
		}
		wantAlone(t, path)
	}
}

// wantAlone expects nothing else in the directory.
func wantAlone(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if entry.Name() != filepath.Base(path) {
			t.Errorf("left behind: %s", entry.Name())
		}
	}
}

// T33: what is there already is told apart, and the error names the mend.
func TestSocketTaken(t *testing.T) {
	t.Run("stale", func(t *testing.T) {
		path := socketPath(t)
		dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		dead.SetUnlinkOnClose(false)
		if err := dead.Close(); err != nil {
			t.Fatal(err)
		}
		server, err := newServer(t, func(c *localapi.Config) { c.Listen = "unix://" + path })
		if err != nil {
			t.Fatal(err)
		}
		if err := server.Listen(); err != nil {
			t.Fatalf("Listen over a stale socket: %v", err)
		}
		wantAlone(t, path)
		if err := server.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("after Close: %v, want no file", err)
		}
	})
	t.Run("alive", func(t *testing.T) {
		b := newBed(t, nil)
		path := b.server.Addr().String()
		wantListen(t, "unix://"+path, localapi.ErrInUse, path, "api.listen")
		wantAlone(t, path)
		if _, err := b.client.Admin.GetStatus(t.Context(), &v1.GetStatusRequest{}); err != nil {
			t.Errorf("the first worker does not answer any more: %v", err)
		}
	})
	t.Run("no socket", func(t *testing.T) {
		path := socketPath(t)
		if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
		wantListen(t, "unix://"+path, localapi.ErrNotSocket, path, "api.listen")
		if content, err := os.ReadFile(path); err != nil || string(content) != "precious" {
			t.Errorf("the file holds %q (%v)", content, err)
		}
		wantAlone(t, path)
	})
	t.Run("link to a file", func(t *testing.T) {
		path := socketPath(t)
		if err := os.Symlink("/etc/passwd", path); err != nil {
			t.Fatal(err)
		}
		wantListen(t, "unix://"+path, localapi.ErrNotSocket, path)
	})
	t.Run("no directory", func(t *testing.T) {
		path := filepath.Join(filepath.Dir(socketPath(t)), "missing", "api.sock")
		wantListen(t, "unix://"+path, localapi.ErrBadListen, filepath.Dir(path), "install -d", "RuntimeDirectory")
	})
	t.Run("long path", func(t *testing.T) {
		path := filepath.Join(filepath.Dir(socketPath(t)), strings.Repeat("x", 110))
		wantListen(t, "unix://"+path, localapi.ErrBadListen, "too long")
	})
	t.Run("port", func(t *testing.T) {
		taken, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = taken.Close() }()
		wantListen(t, "tcp://"+taken.Addr().String(), localapi.ErrInUse, taken.Addr().String(), "api.listen")
	})
}

// wantListen expects that Listen fails, with all these words.
func wantListen(t *testing.T, listen string, want error, words ...string) {
	t.Helper()
	server, err := newServer(t, func(c *localapi.Config) {
		c.Listen, c.TokenFile = listen, tokenFile(t, strings.Repeat("t", 32), 0o600)
	})
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	err = server.Listen()
	if !errors.Is(err, want) {
		t.Fatalf("Listen: %v, want %v", err, want)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("Listen: %q does not mention %q", err, word)
		}
	}
}

// Of many workers that start on one path at once, over a stale socket, exactly
// one listens, and it can be reached.
func TestSocketRace(t *testing.T) {
	path := socketPath(t)
	for round := range 20 {
		dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		dead.SetUnlinkOnClose(false)
		if err := dead.Close(); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		errs, servers := make([]error, 8), make([]*localapi.Server, 8)
		for i := range errs {
			if servers[i], err = newServer(t, func(c *localapi.Config) { c.Listen = "unix://" + path }); err != nil {
				t.Fatal(err)
			}
			wg.Go(func() { errs[i] = servers[i].Listen() })
		}
		wg.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
			} else if !errors.Is(err, localapi.ErrInUse) {
				t.Errorf("round %d: %v, want ErrInUse", round, err)
			}
		}
		if won != 1 {
			t.Fatalf("round %d: %d listen, want 1", round, won)
		}
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatalf("round %d: the winner cannot be reached: %v", round, err)
		}
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		wantAlone(t, path)
		for _, server := range servers {
			if err := server.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
	}
}

// A socket that another worker has put in the place of ours is not removed.
func TestCloseLeavesOthers(t *testing.T) {
	b := newBed(t, nil)
	path := b.server.Addr().String()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	other, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	b.stop(t)
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the other one's socket: %v", err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestBadListen(t *testing.T) {
	token := tokenFile(t, strings.Repeat("t", 32), 0o600)
	for listen, words := range map[string][]string{
		"":                    {"unix:///path"},
		"/run/api.sock":       {"unix:///path"},
		"unix://":             {"names no file"},
		"tcp://127.0.0.1":     {"missing port"},
		"tcp://127.0.0.1:api": {"no port number"},
		"tcp://127.0.0.1:-1":  {"no port number"},
		"tcp://0.0.0.0:7410":  {"other hosts", "api.allow_public"},
		"tcp://:7410":         {"other hosts"},
		"tcp://[::]:7410":     {"other hosts"},
		"tcp://game.lan:7410": {"other hosts"},
		"tcp://10.0.0.7:7410": {"other hosts"},
	} {
		_, err := newServer(t, func(c *localapi.Config) { c.Listen, c.TokenFile = listen, token })
		if !errors.Is(err, localapi.ErrBadListen) {
			t.Errorf("%q: %v, want ErrBadListen", listen, err)
			continue
		}
		for _, word := range words {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%q: %q does not mention %q", listen, err, word)
			}
		}
	}
	for _, listen := range []string{"tcp://127.0.0.1:7410", "tcp://localhost:7410", "tcp://[::1]:7410", "tcp://127.9.9.9:7410"} {
		if _, err := newServer(t, func(c *localapi.Config) { c.Listen, c.TokenFile = listen, token }); err != nil {
			t.Errorf("%q: %v", listen, err)
		}
		if _, err := newServer(t, func(c *localapi.Config) { c.Listen = listen }); !errors.Is(err, localapi.ErrBadListen) || !strings.Contains(err.Error(), "api.token_file") {
			t.Errorf("%q without a token: %v", listen, err)
		}
	}
	if _, err := newServer(t, func(c *localapi.Config) {
		c.Listen, c.TokenFile, c.AllowPublic = "tcp://0.0.0.0:7410", token, true
	}); err != nil {
		t.Errorf("a public address that is allowed: %v", err)
	}
}

func TestBadToken(t *testing.T) {
	for name, test := range map[string]struct {
		content string
		mode    os.FileMode
		word    string
	}{
		"empty":          {"", 0o600, "is empty"},
		"blank":          {" \n", 0o600, "is empty"},
		"short":          {"secret", 0o600, "easy to guess"},
		"two lines":      {strings.Repeat("t", 32) + "\n" + strings.Repeat("u", 32), 0o600, "token alone"},
		"huge":           {strings.Repeat("t", 5000), 0o600, "right file"},
		"world readable": {strings.Repeat("t", 32), 0o604, "chmod 640"},
		"world writable": {strings.Repeat("t", 32), 0o602, "chmod 640"},
	} {
		path := tokenFile(t, test.content, test.mode)
		_, err := newServer(t, func(c *localapi.Config) { c.Listen, c.TokenFile = "tcp://127.0.0.1:0", path })
		if !errors.Is(err, localapi.ErrBadToken) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), test.word) {
			t.Errorf("%s: %v, want ErrBadToken with %q", name, err, test.word)
		}
		if test.content != "" && strings.TrimSpace(test.content) != "" && err != nil && strings.Contains(err.Error(), test.content) {
			t.Errorf("%s: the error shows the token", name)
		}
	}
	for _, path := range []string{filepath.Join(t.TempDir(), "missing"), t.TempDir()} {
		if _, err := newServer(t, func(c *localapi.Config) { c.Listen, c.TokenFile = "tcp://127.0.0.1:0", path }); !errors.Is(err, localapi.ErrBadToken) {
			t.Errorf("%s: %v, want ErrBadToken", path, err)
		}
	}
}

func TestToken(t *testing.T) {
	path := tokenFile(t, "0123456789abcdef0123456789abcdef\n", 0o640)
	b := newBed(t, func(c *localapi.Config) { c.Listen, c.TokenFile = "tcp://127.0.0.1:0", path })
	if _, err := b.client.Admin.GetStatus(t.Context(), &v1.GetStatusRequest{}); err != nil {
		t.Errorf("with the token: %v", err)
	}
	stream, err := b.client.Players.Attach(t.Context(), &v1.AttachRequest{BootId: "boot-1"})
	if err != nil || !stream.Receive() {
		t.Errorf("attach with the token: %v", errors.Join(err, stream.Err()))
	}
	for name, other := range map[string]string{"none": "", "wrong": tokenFile(t, strings.Repeat("x", 32), 0o600)} {
		client := dial(t, b.listen, other, true)
		_, err := client.Admin.GetStatus(t.Context(), &v1.GetStatusRequest{})
		wantError(t, err, connect.CodeUnauthenticated, v1.ErrorReason_ERROR_REASON_UNAUTHENTICATED)
		stream, err := client.Players.Attach(t.Context(), &v1.AttachRequest{BootId: "boot-2"})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if stream.Receive() {
			t.Errorf("%s: attached", name)
		}
		wantError(t, stream.Err(), connect.CodeUnauthenticated, v1.ErrorReason_ERROR_REASON_UNAUTHENTICATED)
	}
}

// T33: a game that starts before its worker is told so and can try again.
func TestNobodyThere(t *testing.T) {
	client := dial(t, "unix://"+socketPath(t), "", false)
	if _, err := client.Admin.GetStatus(t.Context(), &v1.GetStatusRequest{}); connect.CodeOf(err) != connect.CodeUnavailable {
		t.Errorf("without a worker: %v, want unavailable", err)
	}
}
