package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// ErrBadSpool is returned when a folder cannot be used or made.
var ErrBadSpool = errors.New("config: not a folder to write to")

// DefaultSpoolDir returns spool.dir for a database and a server ID: a folder
// beside the file of a SQLite database, else in the working folder.
func DefaultSpoolDir(dsn, server string) string {
	return filepath.Join(databaseFolder(dsn), server+".spool")
}

// databaseFolder returns the folder of the file that a DSN names, "." when it
// names none. What is wrong with a DSN is for its driver to say.
func databaseFolder(dsn string) string {
	path, isURL := strings.CutPrefix(dsn, "file:")
	if !isURL {
		if strings.Contains(dsn, "://") {
			return "."
		}
		return filepath.Dir(dsn)
	}
	if authority, found := strings.CutPrefix(path, "//"); found {
		path = strings.TrimPrefix(authority, "localhost")
	}
	path, err := url.PathUnescape(path)
	if err != nil {
		return "."
	}
	return filepath.Dir(filepath.FromSlash(path))
}

// check reports whether the folder is there, or can be made, and may be written
// to by this user. It makes nothing. Its error is a *fileError.
func (s Spool) check() error {
	if err := usable(s.Dir); err != nil {
		return &fileError{"spool.dir", err}
	}
	return nil
}

// usable looks at the folder, or at the nearest one above it that is there.
func usable(folder string) error {
	for {
		info, err := os.Stat(folder)
		parent := filepath.Dir(folder)
		switch {
		case errors.Is(err, fs.ErrNotExist) && parent != folder:
			folder = parent
		case err != nil:
			return err
		case !info.IsDir():
			return fmt.Errorf("%w: %s is a file", ErrBadSpool, folder)
		default:
			return writable(folder)
		}
	}
}
