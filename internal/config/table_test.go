package config_test

import (
	"flag"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/syncworker/syncworker/internal/config"
)

var update = flag.Bool("update", false, "rewrite the files that are made from the table of keys")

const examplePath = "../../config.hcl.example"

// leaves returns the names of all fields of a section, as keys.
func leaves(prefix string, section reflect.Type) []string {
	var keys []string
	for field := range section.Fields() {
		if !field.IsExported() {
			continue
		}
		name := prefix + snake(field.Name)
		if field.Type.Kind() == reflect.Struct {
			keys = append(keys, leaves(name+".", field.Type)...)
		} else {
			keys = append(keys, name)
		}
	}
	return keys
}

var (
	wordEnd  = regexp.MustCompile(`([a-z])([A-Z])`)
	initials = regexp.MustCompile(`([A-Z])([A-Z][a-z])`)
)

// snake turns a field's name into a key's: UpdateTTL into update_ttl.
func snake(name string) string {
	name = initials.ReplaceAllString(name, "${1}_$2")
	return strings.ToLower(wordEnd.ReplaceAllString(name, "${1}_$2"))
}

func TestEveryFieldIsAKeyAndEveryKeyAField(t *testing.T) {
	fields := make(map[string]bool)
	for _, key := range leaves("", reflect.TypeFor[config.Config]()) {
		fields[key] = true
	}
	for _, key := range config.Keys() {
		if !fields[key.Name] {
			t.Errorf("%s stands twice in the table or has no field of that name", key.Name)
		}
		delete(fields, key.Name)
	}
	for key := range fields {
		t.Errorf("%s has a field and is not in the table", key)
	}
}

func TestEveryKeyIsExplained(t *testing.T) {
	for _, key := range config.Keys() {
		if len(key.About) < 20 || !strings.HasSuffix(key.About, ".") {
			t.Errorf("%s is explained by %q: want a sentence", key.Name, key.About)
		}
	}
}

// others holds a value other than the default for every key, as the file and as
// a variable write it; context is what must be set as well.
var others = []struct{ key, file, variable, context string }{
	{"server.id", `"survival-1"`, "survival-1", ""},
	{"server.cluster_id", `"eu"`, "eu", ""},
	{"redis.addresses", `["[::1]:6380"]`, "[::1]:6380", ""},
	{"redis.db", "3", "3", ""},
	{"redis.username", `"worker"`, "worker", "SYNCWORKER_REDIS__PASSWORD_FILE=p"},
	{"redis.password_file", `"p"`, "p", ""},
	{"redis.tls.enabled", "true", "true", ""},
	{"redis.tls.ca_file", `"ca"`, "ca", "SYNCWORKER_REDIS__TLS__ENABLED=true"},
	{"redis.tls.cert_file", `"c"`, "c", "SYNCWORKER_REDIS__TLS__ENABLED=true SYNCWORKER_REDIS__TLS__KEY_FILE=k"},
	{"redis.tls.key_file", `"k"`, "k", "SYNCWORKER_REDIS__TLS__ENABLED=true SYNCWORKER_REDIS__TLS__CERT_FILE=c"},
	{"redis.tls.server_name", `"redis"`, "redis", "SYNCWORKER_REDIS__TLS__ENABLED=true"},
	{"sync.wait_timeout", `"1m"`, "1m", ""},
	{"sync.safety_poll", `"250ms"`, "250ms", ""},
	{"sync.settle", `"5s"`, "5s", ""},
	{"sync.on_timeout", `"steal"`, "steal", ""},
	{"sync.lockstep.lease_ttl", `"4.5s"`, "4.5s", ""},
	{"sync.lockstep.petitions", "false", "false", ""},
	{"game.grace", `"1m"`, "1m", ""},
	{"game.confirm_timeout", `"2m"`, "2m", ""},
	{"database.dsn", `"/var/lib/x.db"`, "/var/lib/x.db", ""},
	{"database.read_timeout", `"1s"`, "1s", ""},
	{"spool.dir", `"/var/spool/x"`, "/var/spool/x", ""},
	{"spool.max_size", `"1GiB"`, "1GiB", ""},
	{"snapshots.keep", "32", "32", ""},
	{"snapshots.backup_frequency", `"0s"`, "0s", ""},
	{"snapshots.update_ttl", `"1h"`, "1h", ""},
	{"snapshots.max_size", `"1MiB"`, "1MiB", ""},
	{"snapshots.compression", `"snappy"`, "snappy", ""},
	{"snapshots.auto_pin", `["DEATH", "X"]`, "DEATH,X", ""},
	{"api.listen", `"tcp://127.0.0.1:9470"`, "tcp://127.0.0.1:9470", "SYNCWORKER_API__TOKEN_FILE=t"},
	{"api.token_file", `"t"`, "t", ""},
	{"api.allow_public", "true", "true", ""},
	{"metrics.listen", `""`, "", ""},
	{"log.level", `"debug"`, "debug", ""},
	{"log.format", `"json"`, "json", ""},
	{"shutdown.drain_timeout", `"30s"`, "30s", ""},
	{"shutdown.restart_window", `"2m"`, "2m", ""},
}

// onlyOneValue lists the keys that have a single possible value so far.
var onlyOneValue = map[string]bool{"sync.mode": true, "database.driver": true}

func TestEveryKeyIsReadFromFileAndVariable(t *testing.T) {
	missing := make(map[string]string)
	for _, key := range config.Keys() {
		missing[key.Name] = key.Default
	}
	for key := range onlyOneValue {
		delete(missing, key)
	}
	for _, other := range others {
		if missing[other.key] == other.file {
			t.Errorf("%s: %s is the default: the test needs another value", other.key, other.file)
		}
		delete(missing, other.key)
		context := strings.Fields(other.context)
		fromFile := mustLoad(t, nest(other.key, other.file), context...)
		fromVariable := mustLoad(t, "", append(context, config.Variable(other.key)+"="+other.variable)...)
		for _, c := range []config.Config{fromFile, fromVariable} {
			if got := settings(c)[other.key]; got != other.file {
				t.Errorf("%s = %s, want %s", other.key, got, other.file)
			}
		}
	}
	for key := range missing {
		t.Errorf("%s: the test has no other value for it", key)
	}
}

// nest writes key = value inside its blocks.
func nest(key, value string) string {
	block, rest, found := strings.Cut(key, ".")
	if !found {
		return key + " = " + value
	}
	return block + " {\n" + nest(rest, value) + "\n}"
}

func settings(c config.Config) map[string]string {
	values := make(map[string]string)
	for _, setting := range c.Settings() {
		values[setting.Key] = setting.Value
	}
	return values
}

func TestExampleIsCurrent(t *testing.T) {
	if *update {
		if err := os.WriteFile(examplePath, []byte(config.Example()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(examplePath)
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != config.Example() {
		t.Error("config.hcl.example differs from the table of keys: run go test ./internal/config -update")
	}
}

func TestExampleHoldsTheDefaults(t *testing.T) {
	defaults := mustLoad(t, "")
	example := mustLoad(t, config.Example())
	for key, want := range settings(defaults) {
		if got := settings(example)[key]; got != want {
			t.Errorf("%s is %s in the example, %s in the code", key, got, want)
		}
	}
	derived := []string{"server.id", "api.listen", "spool.dir"}
	for _, setting := range example.Settings() {
		if setting.Origin == "default" && !slices.Contains(derived, setting.Key) {
			t.Errorf("%s is not set in the example", setting.Key)
		}
	}
}

// The keys whose defaults depend on the surroundings are comments in the
// example; with the comment sign removed they must be accepted too.
func TestCommentedKeysOfTheExampleAreValid(t *testing.T) {
	text := regexp.MustCompile(`(?m)^( *)# ([a-z_]+ = )`).ReplaceAllString(config.Example(), "$1$2")
	c := mustLoad(t, text)
	if c.Server.ID != "survival-1" || c.API.Listen != "unix:///run/syncworker/survival-1.sock" ||
		c.Spool.Dir != "survival-1.spool" {
		t.Errorf("got %q, %q and %q", c.Server.ID, c.API.Listen, c.Spool.Dir)
	}
}

func TestTableNamesEveryKey(t *testing.T) {
	table := config.Table()
	for _, key := range config.Keys() {
		if !strings.Contains(table, "| `"+key.Name+"` | `"+key.Default+"` |") {
			t.Errorf("%s is missing in the table", key.Name)
		}
	}
}
