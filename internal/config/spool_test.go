package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/syncworker/syncworker/internal/config"
)

func TestSpoolIsBesideTheDatabase(t *testing.T) {
	for dsn, want := range map[string]string{
		"syncworker.db":                             "lobby.spool",
		"data/players.db":                           "data/lobby.spool",
		"/var/lib/syncworker/players.db":            "/var/lib/syncworker/lobby.spool",
		"file:///var/lib/sync%20worker/players.db":  "/var/lib/sync worker/lobby.spool",
		"file://localhost/var/lib/x/players.db":     "/var/lib/x/lobby.spool",
		"file:players.db":                           "lobby.spool",
		"file:///broken%zz":                         "lobby.spool",
		"postgres://worker@db.example:5432/players": "lobby.spool",
	} {
		c := config.Default()
		if got := config.DefaultSpoolDir(dsn, "lobby"); got != filepath.FromSlash(want) {
			t.Errorf("%s: got %s, want %s", dsn, got, want)
		}
		if c.Spool.Dir != "" {
			t.Errorf("the default is %q before it is known where the database is", c.Spool.Dir)
		}
	}
	c := mustLoad(t, "", "SYNCWORKER_SERVER__ID=Lobby", "SYNCWORKER_DATABASE__DSN=/srv/db/players.db")
	if c.Spool.Dir != "/srv/db/lobby.spool" {
		t.Errorf("got %s", c.Spool.Dir)
	}
}

func TestSpoolFolderIsLookedAtAndNotMade(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	check := func(dir string) error {
		c := config.Default()
		c.Spool.Dir = dir
		return c.CheckFiles()
	}
	missing := filepath.Join(folder, "a", "b", "c")
	for _, dir := range []string{folder, missing, ""} {
		if err := check(dir); err != nil {
			t.Errorf("%q: %v", dir, err)
		}
	}
	if _, err := os.Stat(filepath.Dir(filepath.Dir(missing))); !os.IsNotExist(err) {
		t.Errorf("the check made a folder (%v)", err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below")} {
		err := check(dir)
		if err == nil || !strings.Contains(err.Error(), "spool.dir names a folder that cannot be used") {
			t.Errorf("%q: got %v", dir, err)
		}
	}
}
