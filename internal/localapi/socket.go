package localapi

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

const (
	// socketMode lets the owner and the group in: the game server runs as
	// either.
	socketMode = 0o660
	// maxSocketPath is the longest path that a socket can be bound to on every
	// system we know, in bytes.
	maxSocketPath = 103
	// probeTimeout bounds the look whether somebody listens on a socket.
	probeTimeout = time.Second
)

// socket is a listener whose file other processes may meanwhile have replaced.
type socket struct {
	*net.UnixListener

	path string
	file fs.FileInfo
	once sync.Once
	err  error
}

// listenUnix makes the socket in a private directory beside its place, sets its
// mode there and only then links it to its place. So it is never open to
// anybody else, whatever the umask; whoever finds it can connect; and of two
// workers that start at once one is refused, since a link never replaces.
func listenUnix(path string) (listener net.Listener, err error) {
	private, err := privateDir(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if gone := os.RemoveAll(private); gone != nil && err == nil {
			err = errors.Join(fmt.Errorf("tidy up beside %s: %w", path, gone), listener.Close())
		}
	}()
	staged := filepath.Join(private, "s")
	if len(staged) > maxSocketPath || len(path) > maxSocketPath {
		return nil, fmt.Errorf("%w: the path of unix://%s is too long for a socket: use a directory of at most %d characters",
			ErrBadListen, path, maxSocketPath-len(staged)+len(filepath.Dir(path)))
	}
	raw, err := net.ListenUnix("unix", &net.UnixAddr{Name: staged, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen on unix://%s: %w", path, err)
	}
	raw.SetUnlinkOnClose(false)
	made := &socket{UnixListener: raw, path: path}
	unlock, err := lockDir(filepath.Dir(path))
	if err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	if err := errors.Join(made.publish(staged, private), unlock()); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return made, nil
}

// lockDir makes workers that start in one directory take their places one after
// the other: two that find the same dead socket could else take each other's
// away. The lock ends with the process at the latest and leaves no file behind.
func lockDir(dir string) (unlock func() error, err error) {
	handle, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	for {
		err = syscall.Flock(int(handle.Fd()), syscall.LOCK_EX)
		if err == nil {
			return handle.Close, nil
		}
		if !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), handle.Close())
		}
	}
}

func privateDir(path string) (string, error) {
	dir := filepath.Dir(path)
	private, err := os.MkdirTemp(dir, ".sw")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("%w: unix://%s: the directory %s does not exist: "+
			"create it for this user (install -d -m 0750 -o USER %s), or let systemd do it (RuntimeDirectory=)", ErrBadListen, path, dir, dir)
	case errors.Is(err, fs.ErrPermission):
		return "", fmt.Errorf("%w: unix://%s: this user may not create files in %s: "+
			"give it the directory (chown USER %s), or set api.listen to another one", ErrBadListen, path, dir, dir)
	case err != nil:
		return "", fmt.Errorf("listen on unix://%s: %w", path, err)
	}
	return private, nil
}

// publish links the staged socket to its place.
func (s *socket) publish(staged, private string) error {
	if err := os.Chmod(staged, socketMode); err != nil {
		return fmt.Errorf("listen on unix://%s: %w", s.path, err)
	}
	file, err := os.Lstat(staged)
	if err != nil {
		return fmt.Errorf("listen on unix://%s: %w", s.path, err)
	}
	s.file = file
	err = os.Link(staged, s.path)
	if errors.Is(err, fs.ErrExist) {
		if err := removeStale(s.path, private); err != nil {
			return err
		}
		err = os.Link(staged, s.path)
	}
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: unix://%s: another one started at the same time", ErrInUse, s.path)
	}
	if err != nil {
		return fmt.Errorf("listen on unix://%s: %w", s.path, err)
	}
	return nil
}

// removeStale removes the socket of a process that is dead.
func removeStale(path, private string) error {
	found, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at unix://%s: %w", path, err)
	}
	if found.Mode()&fs.ModeSocket == 0 {
		return fmt.Errorf("%w: %s: move it away, or set api.listen to another path", ErrNotSocket, path)
	}
	if err := probe(path); err != nil {
		return err
	}
	// Taking it away and looking again keeps a socket that another worker has
	// put there since from being removed in place of the dead one.
	taken := filepath.Join(private, "old")
	if err := os.Rename(path, taken); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the stale unix://%s: %w", path, err)
	} else if err != nil {
		return nil
	}
	got, err := os.Lstat(taken)
	if err != nil {
		return fmt.Errorf("remove the stale unix://%s: %w", path, err)
	}
	if !os.SameFile(found, got) {
		back := os.Link(taken, path)
		return errors.Join(fmt.Errorf("%w: unix://%s: another one started at the same time", ErrInUse, path), back)
	}
	return nil // it goes away with the private directory
}

// probe returns nil when nobody listens on a socket.
func probe(path string) error {
	conn, err := net.DialTimeout("unix", path, probeTimeout)
	switch {
	case err == nil:
		return errors.Join(fmt.Errorf("%w: unix://%s: stop the other process, or give each worker an api.listen of its own",
			ErrInUse, path), conn.Close())
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
		return nil
	default:
		return fmt.Errorf("%w: unix://%s: cannot tell whether it is alive: %w", ErrInUse, path, err)
	}
}

// Addr returns the path under which clients find the socket.
func (s *socket) Addr() net.Addr { return &net.UnixAddr{Name: s.path, Net: "unix"} }

// Close removes the file first, unless it is another worker's by now, so that
// nobody finds a dead socket, and then stops listening. It may be called again.
func (s *socket) Close() error {
	s.once.Do(func() {
		found, err := os.Lstat(s.path)
		if err == nil && os.SameFile(found, s.file) {
			err = os.Remove(s.path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		s.err = errors.Join(err, s.UnixListener.Close())
	})
	return s.err
}
