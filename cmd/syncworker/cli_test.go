package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/urfave/cli/v3"
)

// result is what one run of the program left behind.
type result struct {
	code     int
	out, err string
}

// run runs the program as main does.
func run(t *testing.T, args ...string) result {
	t.Helper()
	var out, errOut bytes.Buffer
	code := execute(t.Context(), append([]string{"syncworker"}, args...), &out, &errOut)
	return result{code, out.String(), errOut.String()}
}

// want checks the exit code and that all texts occur in what was written.
func (r result) want(t *testing.T, code int, texts ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d; stderr: %s", r.code, code, r.err)
	}
	for _, text := range texts {
		if !strings.Contains(r.out+r.err, text) {
			t.Errorf("%q is missing in\n%s%s", text, r.out, r.err)
		}
	}
}

func TestHelpTellsEnoughToWorkWith(t *testing.T) {
	run(t, "--help").want(t, 0, "Examples:", "Exit codes:", "SYNCWORKER_SYNC__WAIT_TIMEOUT", "check-config", "checkouts")
	run(t).want(t, 0, "COMMANDS:")
	run(t, "checkouts", "release", "--help").want(t, 0, "PLAYER --reason TEXT [--force]", "Examples:", "Refused while the server")
	run(t, "checkouts", "log", "--help").want(t, 0, "[PLAYER]", "Example:", "FORCED")
}

func TestEveryCommandIsDescribed(t *testing.T) {
	visit(newRoot(&bytes.Buffer{}, &bytes.Buffer{}), func(cmd *cli.Command) {
		if cmd.Usage == "" {
			t.Errorf("%s has no usage line", cmd.Name)
		}
	})
}

func TestWrongCommandLinesExitWith2AndNameTheHelp(t *testing.T) {
	player := "069a79f4-44e9-4726-a5be-fca90e38aaf5"
	for _, test := range []struct{ args, want string }{
		{"stauts", `unknown command "stauts": did you mean "status"?`},
		{"checkouts gte " + player, `unknown command "gte": did you mean "get"?`},
		{"status --config", "flag needs an argument"},
		{"status -confg x", "flag provided but not defined: -confg"},
		{"status now", `unexpected argument "now"`},
		{"players now", `unexpected argument "now"`},
		{"version now", `unexpected argument "now"`},
		{"check-config x.hcl", `unexpected argument "x.hcl"`},
		{"status --api 127.0.0.1:1", `--api "127.0.0.1:1" is not an address`},
		{"checkouts get", "want one PLAYER, got 0"},
		{"checkouts get Notch", `"Notch" is not a player's UUID`},
		{"checkouts release " + player, "--reason is missing"},
		{"checkouts release " + player + " x --reason y", "want one PLAYER, got 2"},
		{"checkouts release " + player + " --force", "--reason is missing"},
		{"checkouts log " + player + " x", "want one PLAYER, got 2"},
		{"checkouts log --limit 0", "--limit is 0: want 1 to 1000"},
	} {
		t.Run(test.args, func(t *testing.T) {
			got := run(t, strings.Fields(test.args)...)
			got.want(t, 2, test.want, "see: syncworker", "--help")
			if got.out != "" {
				t.Errorf("standard output has %q, want nothing", got.out)
			}
		})
	}
}

func TestVersion(t *testing.T) {
	version = "v1.2.3"
	t.Cleanup(func() { version = "" })
	run(t, "version").want(t, 0, "syncworker v1.2.3 (go")
	got := run(t, "version", "-json")
	var fields map[string]string
	if err := json.Unmarshal([]byte(got.out), &fields); err != nil || fields["version"] != "v1.2.3" {
		t.Errorf("got %s, %v", got.out, err)
	}
}

// configFile stores text as a file and returns its path.
func configFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.hcl")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCheckConfigShowsValuesAndOrigins(t *testing.T) {
	path := configFile(t, "server {\n  id = \"Lobby\"\n}\n")
	for _, flag := range []string{"-config", "--config"} {
		run(t, "check-config", flag, path).want(t, 0,
			`"lobby"`, path+":2:3", `"unix:///run/syncworker/lobby.sock"`, "default", "no problems")
	}
	t.Setenv("SYNCWORKER_CONFIG", path)
	run(t, "check-config").want(t, 0, `"lobby"`)
}

func TestCheckConfigListsAllProblems(t *testing.T) {
	path := configFile(t, "server {\n  id = \"lobby\"\n}\nredis {\n  db = -1\n  password_fil = \"x\"\n}\n")
	got := run(t, "check-config", "-config", path)
	got.want(t, 2, "2 problems", "redis.db = -1 is out of range", "did you mean redis.password_file?")

	got = run(t, "check-config", "-config", path, "--json")
	got.want(t, 2)
	var checked checked
	if err := json.Unmarshal([]byte(got.out), &checked); err != nil {
		t.Fatal(err)
	}
	if checked.OK || len(checked.Problems) != 2 || checked.Problems[1].Key != "redis.db" || got.err != "" {
		t.Errorf("got %+v and %q", checked, got.err)
	}
}

func TestCheckConfigReadsTheFilesThatKeysName(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "password")
	path := configFile(t, "server {\n  id = \"lobby\"\n}\nredis {\n  password_file = \""+secret+"\"\n}\n")
	run(t, "check-config", "-config", path).want(t, 2, "redis.password_file names a file that cannot be used", "no such file")

	if err := os.WriteFile(secret, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := run(t, "check-config", "-config", path)
	got.want(t, 0, secret)
	if strings.Contains(got.out, "hunter2") {
		t.Error("the password is printed")
	}
}

func TestCheckConfigJSONIsTyped(t *testing.T) {
	got := run(t, "check-config", "-config", configFile(t, "server {\n  id = \"lobby\"\n}\n"), "--json")
	got.want(t, 0)
	var checked struct {
		OK       bool
		Settings []struct {
			Key, From string
			Value     any
		}
	}
	if err := json.Unmarshal([]byte(got.out), &checked); err != nil {
		t.Fatal(err)
	}
	values := make(map[string]any)
	for _, setting := range checked.Settings {
		values[setting.Key] = setting.Value
	}
	if !checked.OK || values["server.id"] != "lobby" || values["redis.db"] != 0.0 || values["redis.tls.enabled"] != false {
		t.Errorf("got %v", values)
	}
}

func TestExitCodes(t *testing.T) {
	for _, test := range []struct {
		err  error
		want int
	}{
		{nil, 0}, {context.Canceled, 1}, {errUndrained, 3}, {&usageError{}, 2},
	} {
		if got := exitCode(test.err); got != test.want {
			t.Errorf("%v ends with %d, want %d", test.err, got, test.want)
		}
	}
}
