package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/syncworker/syncworker/internal/config"
)

// write stores text as a file named config.hcl in a new folder and returns its
// path.
func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.hcl")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// load reads text as a file, with the variables given and no others.
func load(t *testing.T, text string, environ ...string) (config.Config, error) {
	t.Helper()
	return config.Load(config.Source{File: write(t, text), Environ: append([]string{}, environ...), Folder: "/srv/lobby"})
}

func mustLoad(t *testing.T, text string, environ ...string) config.Config {
	t.Helper()
	c, err := load(t, text, environ...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// problems returns the lines of a refusal, file paths shortened.
func problems(t *testing.T, text string, environ ...string) []string {
	t.Helper()
	path := write(t, text)
	_, err := config.Load(config.Source{File: path, Environ: append([]string{}, environ...), Folder: "/srv/lobby"})
	refused, ok := errors.AsType[*config.Error](err)
	if !ok {
		t.Fatalf("Load answered %v, want a *config.Error", err)
	}
	var lines []string
	for _, problem := range refused.Problems {
		lines = append(lines, strings.ReplaceAll(problem.String(), path, "config.hcl"))
	}
	return lines
}

func TestLoadWithoutFileGivesDefaults(t *testing.T) {
	got, err := config.Load(config.Source{Environ: []string{}, Folder: "/srv/Survival 1"})
	if err != nil {
		t.Fatal(err)
	}
	want := config.Default()
	want.Server.ID = "survival-1"
	want.API.Listen = "unix:///run/syncworker/survival-1.sock"
	want.Spool.Dir = "survival-1.spool"
	if !reflect.DeepEqual(got.Settings(), want.Settings()) {
		t.Errorf("got %v\nwant %v", got.Settings(), want.Settings())
	}
}

func TestVariablesWinOverFileAndFileOverDefaults(t *testing.T) {
	c := mustLoad(t, `
sync {
  wait_timeout = "45s"
  safety_poll  = "2s"
  lockstep { lease_ttl = "8s" }
}
`, "SYNCWORKER_SYNC__WAIT_TIMEOUT=1m", "SYNCWORKER_SYNC__LOCKSTEP__LEASE_TTL=9s", "PATH=/bin", "SYNCWORKER_CONFIG=x.hcl")

	for _, check := range []struct {
		key       string
		got, want time.Duration
	}{
		{"sync.wait_timeout", c.Sync.WaitTimeout, time.Minute},
		{"sync.safety_poll", c.Sync.SafetyPoll, 2 * time.Second},
		{"sync.settle", c.Sync.Settle, 4 * time.Second},
		{"sync.lockstep.lease_ttl", c.Sync.Lockstep.LeaseTTL, 9 * time.Second},
	} {
		if check.got != check.want {
			t.Errorf("%s = %s, want %s", check.key, check.got, check.want)
		}
	}
}

func TestSettingsNameTheOrigin(t *testing.T) {
	path := write(t, "sync {\n  wait_timeout = \"45s\"\n  settle = \"5s\"\n}\n")
	c, err := config.Load(config.Source{File: path, Environ: []string{"SYNCWORKER_SYNC__SETTLE=6s"}, Folder: "/srv/lobby"})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"sync.wait_timeout": path + ":2:3",
		"sync.settle":       "SYNCWORKER_SYNC__SETTLE",
		"sync.safety_poll":  "default",
	}
	for _, setting := range c.Settings() {
		if origin, ok := want[setting.Key]; ok && setting.Origin != origin {
			t.Errorf("%s comes from %q, want %q", setting.Key, setting.Origin, origin)
		}
	}
}

func TestListsInVariablesAreSeparatedByCommas(t *testing.T) {
	c := mustLoad(t, "", "SYNCWORKER_SNAPSHOTS__AUTO_PIN=DEATH, WORLD_SAVE,,")
	if want := []string{"DEATH", "WORLD_SAVE"}; !reflect.DeepEqual(c.Snapshots.AutoPin, want) {
		t.Errorf("got %q, want %q", c.Snapshots.AutoPin, want)
	}
	c = mustLoad(t, "", "SYNCWORKER_SNAPSHOTS__AUTO_PIN=")
	if len(c.Snapshots.AutoPin) != 0 {
		t.Errorf("got %q, want an empty list", c.Snapshots.AutoPin)
	}
}

func TestLoadTakesFilesOfWindowsEditors(t *testing.T) {
	c := mustLoad(t, "\xef\xbb\xbfredis {\r\n  db = 3\r\n}\r\n")
	if c.Redis.DB != 3 {
		t.Errorf("redis.db = %d, want 3", c.Redis.DB)
	}
}

func TestServerIDFromFolder(t *testing.T) {
	for folder, want := range map[string]string{
		"/srv/lobby":            "lobby",
		"/srv/Survival 1":       "survival-1",
		"/srv/creative_2.old":   "creative_2.old",
		"/srv/spiel-straße":     "spiel-stra-e",
		"/srv/network/LOBBY#3/": "lobby-3",
	} {
		c, err := config.Load(config.Source{Environ: []string{}, Folder: folder})
		if err != nil {
			t.Errorf("%s: %v", folder, err)
		} else if c.Server.ID != want {
			t.Errorf("%s gives %q, want %q", folder, c.Server.ID, want)
		}
	}
}

func TestFolderThatNamesNoServerIsRefused(t *testing.T) {
	for _, folder := range []string{"/", "/srv/プレイ", "/srv/" + strings.Repeat("x", 65)} {
		_, err := config.Load(config.Source{Environ: []string{}, Folder: folder})
		if err == nil || !strings.Contains(err.Error(), "server.id has no default") {
			t.Errorf("%s: got %v, want a refusal that names server.id", folder, err)
		}
		if _, err := config.Load(config.Source{Environ: []string{"SYNCWORKER_SERVER__ID=a"}, Folder: folder}); err != nil {
			t.Errorf("%s with server.id set: %v", folder, err)
		}
	}
}

func TestLoadUsesTheWorkingFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("Arena", 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir("Arena")
	t.Setenv("SYNCWORKER_REDIS__DB", "7")
	c, err := config.Load(config.Source{})
	if err != nil {
		t.Fatal(err)
	}
	if c.Server.ID != "arena" || c.Redis.DB != 7 {
		t.Errorf("got %s and %d, want arena and 7", c.Server.ID, c.Redis.DB)
	}
}

func TestNamesAreLowerCased(t *testing.T) {
	c := mustLoad(t, `server {
  id         = "Survival-1"
  cluster_id = "EU"
}`)
	if c.Server.ID != "survival-1" || c.Server.ClusterID != "eu" || c.API.Listen != "unix:///run/syncworker/survival-1.sock" {
		t.Errorf("got %+v, %s", c.Server, c.API.Listen)
	}
}

func TestUnreadableFile(t *testing.T) {
	folder := t.TempDir()
	large := filepath.Join(folder, "large")
	if err := os.WriteFile(large, make([]byte, 300<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(folder, "missing"): "no such file",
		folder:                           "is a directory",
		large:                            "is it the right file?",
	} {
		_, err := config.Load(config.Source{File: path, Environ: []string{}, Folder: "/srv/lobby"})
		if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want the path and %q", err, want)
		}
	}
}

// FuzzLoad checks that no text whatever ends in anything but a configuration
// or an *Error.
func FuzzLoad(f *testing.F) {
	f.Add(config.Example())
	for _, text := range []string{
		"", "{", "}", "redis", "redis {", "redis = 1", "redis { db = 99999999999999999999 }", "redis { db = 1e400 }",
		"sync { lockstep = [[]] }", "redis \"x\" { }", "redis { addresses = [1, true] }", "snapshots { max_size = -1 }",
		"log { level = \"${x}\" }", "log { level = <<E\ninfo\nE\n}", "\"redis.db\" = 1", "redis { tls { enabled = \"yes\" } }",
		"server { id = \"\\q\" }", "server { id = \"\\u00e9\" }", "/* redis", "redis { db = 0x }", "redis { db = 08 }",
	} {
		f.Add(text)
	}
	path := filepath.Join(f.TempDir(), "config.hcl")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := config.Load(config.Source{File: path, Environ: []string{}, Folder: "/srv/lobby"})
		if err == nil {
			err = c.Validate()
		}
		if _, ok := errors.AsType[*config.Error](err); err != nil && !ok {
			t.Fatalf("Load answered %T: %v", err, err)
		}
	})
}
