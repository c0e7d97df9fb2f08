//go:build unix

package snapshotstore_test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/syncworker/syncworker/internal/snapshotstore"
)

// nobody is the user whom the helper process runs as when the tests run as root,
// who may write everything.
const nobody = 65534

// TestNotPermitted runs a helper process that may not write here.
func TestNotPermitted(t *testing.T) {
	folder := t.TempDir()
	// The helper's user must get in: t.TempDir makes a folder in one of its own.
	if err := os.Chmod(filepath.Dir(folder), 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "syncworker.db")
	if err := open(t, path, newCodec(t), snapshotstore.Config{}).Close(); err != nil {
		t.Fatal(err)
	}
	program := copyProgram(t, folder)
	if err := errors.Join(os.Chmod(path, 0o444), os.Chmod(folder, 0o555)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(folder, 0o755) })
	for dsn, want := range map[string]error{
		path:                              snapshotstore.ErrReadOnly,
		filepath.Join(folder, "other.db"): snapshotstore.ErrCannotOpen,
	} {
		h := startHelper(t, "open", dsn, 1, 1, func(command *exec.Cmd) {
			command.Path, command.Dir = program, folder
			if os.Getuid() == 0 {
				command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
			}
		})
		if !h.lines.Scan() || h.lines.Text() != want.Error() {
			t.Errorf("a user without rights opens %q: %q, want %v", dsn, h.lines.Text(), want)
		}
		_ = h.command.Wait()
	}
}

// copyProgram puts the test binary where another user can run it.
func copyProgram(t *testing.T, folder string) string {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	from, err := os.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = from.Close() }()
	to, err := os.OpenFile(filepath.Join(folder, "helper"), os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(to, from)
	if err := errors.Join(err, to.Close()); err != nil {
		t.Fatal(err)
	}
	return to.Name()
}
