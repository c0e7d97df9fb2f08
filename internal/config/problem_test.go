package config_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/syncworker/syncworker/internal/config"
)

func TestProblems(t *testing.T) {
	long := strings.Repeat("x", 110)
	for _, test := range []struct {
		name, text string
		environ    []string
		want       []string
	}{
		{
			name: "unknown key", text: "redis {\n  adresses = [\"a:1\"]\n}",
			want: []string{"config.hcl:2:3: redis.adresses is unknown: did you mean redis.addresses?"},
		},
		{
			name: "unknown block", text: "reddis {\n  db = 1\n}",
			want: []string{"config.hcl:1:1: reddis is unknown: did you mean redis?"},
		},
		{
			name: "nothing like it", text: "redis {\n  zzzzzzzzzzzzzzzz = 1\n}",
			want: []string{"config.hcl:2:3: redis.zzzzzzzzzzzzzzzz is unknown: remove it"},
		},
		{
			name: "key outside its block", text: "wait_timeout = \"3s\"",
			want: []string{"config.hcl:1:1: wait_timeout is unknown: did you mean sync.wait_timeout?"},
		},
		{
			name: "capital letters", text: "Redis {\n  db = 1\n}",
			want: []string{"config.hcl:1:1: Redis is unknown: did you mean redis?"},
		},
		{
			name: "dotted key", text: "redis.tls.enabled = true",
			want: []string{"config.hcl:1:1: redis.tls.enabled is unknown here: write it as redis { tls { enabled = ... } }"},
		},
		{
			name: "block twice", text: "redis {\n  db = 1\n}\nredis {\n  username = \"x\"\n}",
			want: []string{"config.hcl:4:1: redis stands here a second time: the first is at config.hcl:1:1; keep one"},
		},
		{
			name: "inner block twice", text: "sync {\n  lockstep {}\n  lockstep {}\n}",
			want: []string{"config.hcl:3:3: sync.lockstep stands here a second time: the first is at config.hcl:2:3; keep one"},
		},
		{
			name: "key twice", text: "redis {\n  db = 1\n  db = 2\n}",
			want: []string{"config.hcl:3:3: redis.db stands here a second time: the first is at config.hcl:2:3; keep one"},
		},
		{
			name: "label", text: "redis \"tls\" {\n  enabled = true\n}",
			want: []string{"config.hcl:1:1: redis is a block: write redis { ... }"},
		},
		{
			name: "value for a block", text: "redis {\n  tls = true\n}",
			want: []string{"config.hcl:2:3: redis.tls is a block: write tls { ... }"},
		},
		{
			name: "block for a value", text: "redis {\n  db {}\n}",
			want: []string{"config.hcl:2:3: redis.db is a block: want a whole number without quotes, for instance 3"},
		},
		{
			name: "syntax", text: "redis {\n  db = ]\n}",
			want: []string{"config.hcl:2:8: cannot be understood: Unknown token: 2:8 RBRACK ]"},
		},
		{
			name: "unclosed", text: "redis {\n  db = 1\n",
			want: []string{"config.hcl:3:2: cannot be understood: object expected closing RBRACE got: EOF"},
		},
		{
			name: "time without unit", text: "sync {\n  wait_timeout = 30\n}",
			want: []string{`config.hcl:2:3: sync.wait_timeout is 30: want a time with its unit in quotes, for instance "250ms", "30s" or "4h"`},
		},
		{
			name: "time with an unknown unit", environ: []string{"SYNCWORKER_SYNC__SETTLE=3 seconds"},
			want: []string{`SYNCWORKER_SYNC__SETTLE: sync.settle is "3 seconds": want a time with its unit in quotes, for instance "250ms", "30s" or "4h"`},
		},
		{
			name: "number in quotes", text: "redis {\n  db = \"3\"\n}",
			want: []string{`config.hcl:2:3: redis.db is "3": want a whole number without quotes, for instance 3`},
		},
		{
			name: "fraction", text: "redis {\n  db = 1.5\n}",
			want: []string{`config.hcl:2:3: redis.db is 1.5: want a whole number without quotes, for instance 3`},
		},
		{
			name: "word for a number", environ: []string{"SYNCWORKER_REDIS__DB=three"},
			want: []string{`SYNCWORKER_REDIS__DB: redis.db is "three": want a whole number without quotes, for instance 3`},
		},
		{
			name: "word for true", environ: []string{"SYNCWORKER_REDIS__TLS__ENABLED=yes"},
			want: []string{`SYNCWORKER_REDIS__TLS__ENABLED: redis.tls.enabled is "yes": want true or false without quotes`},
		},
		{
			name: "text for a list", text: "redis {\n  addresses = \"a:1\"\n}",
			want: []string{`config.hcl:2:3: redis.addresses is "a:1": want a list of texts, for instance ["one", "two"]`},
		},
		{
			name: "list of numbers", text: "redis {\n  addresses = [1]\n}",
			want: []string{`config.hcl:2:3: redis.addresses holds 1: want a list of texts, for instance ["one", "two"]`},
		},
		{
			name: "number for a text", text: "log {\n  level = 3\n}",
			want: []string{`config.hcl:2:3: log.level is 3: want a text in quotes, for instance "text"`},
		},
		{
			name: "size", text: "snapshots {\n  max_size = \"10 apples\"\n}",
			want: []string{`config.hcl:2:3: snapshots.max_size is "10 apples": want a size in quotes, for instance "10MiB"`},
		},
		{
			name: "size out of range", text: "snapshots {\n  max_size = -1\n}",
			want: []string{`config.hcl:2:3: snapshots.max_size = "-1" is out of range: want 1KiB to 256MiB`},
		},
		{
			name: "out of range", text: "sync {\n  lockstep {\n    lease_ttl = \"1s\"\n  }\n}",
			want: []string{`config.hcl:3:5: sync.lockstep.lease_ttl = "1s" is out of range: want 3s to 5m`},
		},
		{
			name: "unknown word", text: "log {\n  level = \"inof\"\n}",
			want: []string{`config.hcl:2:3: log.level = "inof" is not known: did you mean "info"? Possible: trace, debug, info, warn, error`},
		},
		{
			name: "mode of a later version", text: "sync {\n  mode = \"delay\"\n}",
			want: []string{`config.hcl:2:3: sync.mode = "delay" is not known: want lockstep`},
		},
		{
			name: "server id", text: "server {\n  id = \"a b\"\n}",
			want: []string{`config.hcl:2:3: server.id = "a b" cannot be a name: want letters, digits, dots, dashes and underscores, 64 at most`},
		},
		{
			name: "several addresses", text: "redis {\n  addresses = [\"a:1\", \"b:1\"]\n}",
			want: []string{`config.hcl:2:3: redis.addresses = ["a:1", "b:1"] names several servers, but Sentinel and Cluster are not supported: want one host:port`},
		},
		{
			name: "no address", text: "redis {\n  addresses = []\n}",
			want: []string{`config.hcl:2:3: redis.addresses = [] is empty: want one host:port`},
		},
		{
			name: "address without port", text: "redis {\n  addresses = [\"localhost\"]\n}",
			want: []string{`config.hcl:2:3: redis.addresses = ["localhost"] is not host:port, for instance 127.0.0.1:6379 or [::1]:6379`},
		},
		{
			name: "port", text: "metrics {\n  listen = \"127.0.0.1:70000\"\n}",
			want: []string{`config.hcl:2:3: metrics.listen = "127.0.0.1:70000" has the port "70000": want a number from 1 to 65535`},
		},
		{
			name: "metrics with scheme", text: "metrics {\n  listen = \"http://127.0.0.1:9464\"\n}",
			want: []string{`config.hcl:2:3: metrics.listen = "http://127.0.0.1:9464" is not host:port: leave the scheme out, for instance 127.0.0.1:9464`},
		},
		{
			name: "save cause twice", text: "snapshots {\n  auto_pin = [\"A\", \"A\"]\n}",
			want: []string{`config.hcl:2:3: snapshots.auto_pin = ["A", "A"] holds "A" twice`},
		},
		{
			name: "empty dsn", text: "database {\n  dsn = \"\"\n}",
			want: []string{`config.hcl:2:3: database.dsn = "" must not be empty`},
		},
		{
			name: "listener without scheme", text: "api {\n  listen = \"127.0.0.1:7000\"\n}",
			want: []string{`config.hcl:2:3: api.listen = "127.0.0.1:7000" is not an address: want unix:///path or tcp://host:port`},
		},
		{
			name: "relative socket", text: "api {\n  listen = \"unix://run/x.sock\"\n}",
			want: []string{`config.hcl:2:3: api.listen = "unix://run/x.sock" has no absolute path: want unix:///path, with three slashes`},
		},
		{
			name: "long socket path", text: "api {\n  listen = \"unix:///" + long + "\"\n}",
			want: []string{`config.hcl:2:3: api.listen = "unix:///` + long + `" has a path of 111 bytes: the system takes 107 at most`},
		},
		{
			name: "TCP without token", text: "api {\n  listen = \"tcp://127.0.0.1:7000\"\n}",
			want: []string{`config.hcl:2:3: api.listen = "tcp://127.0.0.1:7000" needs api.token_file: whoever can reach a TCP port could take over players`},
		},
		{
			name: "public address", text: "api {\n  listen = \"tcp://0.0.0.0:7000\"\n  token_file = \"t\"\n}",
			want: []string{`config.hcl:2:3: api.listen = "tcp://0.0.0.0:7000" can be reached from other machines: use 127.0.0.1, or set api.allow_public = true and put TLS in front`},
		},
		{
			name: "user without password", text: "redis {\n  username = \"u\"\n}",
			want: []string{`config.hcl:2:3: redis.username is set, but redis.password_file is not: Redis takes a user name only together with a password`},
		},
		{
			name: "TLS files without TLS", text: "redis {\n  tls {\n    ca_file = \"ca.pem\"\n  }\n}",
			want: []string{`config.hcl:3:5: redis.tls.ca_file is set, but TLS is off: set redis.tls.enabled = true or remove it`},
		},
		{
			name: "certificate without key", text: "redis {\n  tls {\n    enabled = true\n    cert_file = \"c\"\n  }\n}",
			want: []string{`config.hcl:4:5: redis.tls.cert_file needs redis.tls.key_file`},
		},
		{
			name: "times against one another", text: "sync {\n  wait_timeout = \"5s\"\n}",
			want: []string{
				`default: sync.safety_poll = "5s" must be shorter than sync.wait_timeout = "5s"`,
				`default: sync.settle = "4s" must be shorter than half of sync.wait_timeout = "5s"`,
			},
		},
		{
			name: "settle period shorter than a renewal", text: "sync {\n  settle = \"3s\"\n}",
			want: []string{
				`config.hcl:2:3: sync.settle = "3s" must be at least "3.8s" with sync.lockstep.lease_ttl = "10s": other workers ` +
					`need a third of that to notice that Redis lost its memory, and a moment to put their players' checkouts back`,
			},
		},
		{
			name: "what a join does at the end", text: "sync {\n  on_timeout = \"take\"\n}",
			want: []string{`config.hcl:2:3: sync.on_timeout = "take" is not known: want deny, steal`},
		},
		{
			name: "stealing before a lease can end", text: "sync {\n  on_timeout = \"steal\"\n  wait_timeout = \"10s\"\n}",
			want: []string{
				`config.hcl:2:3: sync.on_timeout = "steal" needs sync.wait_timeout = "10s" to be longer than ` +
					`sync.lockstep.lease_ttl = "10s": until then nobody knows whether the other server is dead`,
			},
		},
		{
			name: "restart window out of range", text: "shutdown {\n  restart_window = \"5s\"\n}",
			want: []string{`config.hcl:2:3: shutdown.restart_window = "5s" is out of range: want 10s to 10m`},
		},
		{
			name: "restart window shorter than a lease", text: "shutdown {\n  restart_window = \"10s\"\n}",
			environ: []string{"SYNCWORKER_SYNC__LOCKSTEP__LEASE_TTL=11s", "SYNCWORKER_SYNC__SETTLE=5s"},
			want: []string{
				`config.hcl:2:3: shutdown.restart_window = "10s" must be at least sync.lockstep.lease_ttl = "11s": ` +
					`a worker that restarts would lose its players sooner than one that crashed`,
			},
		},
		{
			name: "spool for less than two snapshots", text: "spool {\n  max_size = \"19MiB\"\n}",
			want: []string{`config.hcl:2:3: spool.max_size = "19MiB" must be at least "20MiB", twice snapshots.max_size`},
		},
		{
			name: "unknown variable", environ: []string{"SYNCWORKER_REDIS_DB=3", "OTHER=1"},
			want: []string{"SYNCWORKER_REDIS_DB: sets no key: did you mean SYNCWORKER_REDIS__DB?"},
		},
		{
			name: "variable that means nothing", environ: []string{"SYNCWORKER_WHATEVER_THIS_MAY_BE=3"},
			want: []string{"SYNCWORKER_WHATEVER_THIS_MAY_BE: sets no key: unset it"},
		},
		{
			name: "Kubernetes service links", environ: []string{"SYNCWORKER_PORT_9464_TCP_ADDR=10.0.0.1"},
			want: []string{"SYNCWORKER_PORT_9464_TCP_ADDR: sets no key: Kubernetes makes such variables for a service of the name syncworker; set enableServiceLinks to false or rename the service"},
		},
		{
			name:    "several at once, none that follows from another",
			text:    "redis {\n  db = \"x\"\n  foo = 1\n}\nsync {\n  settle = \"soon\"\n  wait_timeout = \"2s\"\n}\nlog {\n  format = \"xml\"\n}",
			environ: []string{"SYNCWORKER_X=1"},
			want: []string{
				"config.hcl:3:3: redis.foo is unknown: remove it",
				"SYNCWORKER_X: sets no key: unset it",
				`config.hcl:2:3: redis.db is "x": want a whole number without quotes, for instance 3`,
				`config.hcl:6:3: sync.settle is "soon": want a time with its unit in quotes, for instance "250ms", "30s" or "4h"`,
				`config.hcl:10:3: log.format = "xml" is not known: want text, json`,
				`default: sync.safety_poll = "5s" must be shorter than sync.wait_timeout = "2s"`,
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := problems(t, test.text, test.environ...); !slices.Equal(got, test.want) {
				t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(test.want, "\n  "))
			}
		})
	}
}

func TestErrorIsOneLineForOneProblemAndAListForSeveral(t *testing.T) {
	_, err := load(t, "", "SYNCWORKER_REDIS__DB=x")
	if err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v, want one line", err)
	}
	_, err = load(t, "", "SYNCWORKER_REDIS__DB=x", "SYNCWORKER_X=1")
	if err == nil || !strings.HasPrefix(err.Error(), "configuration refused, 2 problems:\n  ") {
		t.Errorf("got %v, want a list of two", err)
	}
}

func TestValidateRefusesAConfigurationMadeByHand(t *testing.T) {
	c := config.Default()
	err := c.Validate()
	if err == nil || !strings.Contains(err.Error(), "server.id") || !strings.Contains(err.Error(), "api.listen") {
		t.Errorf("got %v, want a refusal of server.id and api.listen, which Load derives", err)
	}
}
