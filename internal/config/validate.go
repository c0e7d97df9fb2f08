package config

import (
	"fmt"
	"time"
)

// Validate checks every value and how the values go together. It changes
// nothing. Its error is an [*Error] with everything it found.
func (c Config) Validate() error { return refuse(c.problems()) }

func (c Config) problems() []Problem {
	var problems []Problem
	failed := make(map[string]bool)
	for _, option := range c.options() {
		if option.limit == nil {
			continue
		}
		value := deref(option.value)
		if err := option.limit.check(value); err != nil {
			problems = append(problems, c.problem(fmt.Sprintf("= %s %s", formatHCL(value), err), option.key))
			failed[option.key] = true
		}
	}
	return append(problems, unrelated(c.crossProblems(), failed)...)
}

// crossProblems checks values against one another.
func (c Config) crossProblems() []Problem {
	var problems []Problem
	add := func(wrong bool, text string, keys ...string) {
		if wrong {
			problems = append(problems, c.problem(text, keys...))
		}
	}
	c.checkTimes(add)
	c.checkLeases(add)
	c.checkSpool(add)
	c.checkRedis(add)
	c.checkAPI(add)
	return problems
}

// resumeTime is what a worker gets to put the checkouts of its live sessions
// back, one script for each.
const resumeTime = 400 * time.Millisecond

type report func(wrong bool, text string, keys ...string)

func (c Config) checkTimes(add report) {
	wait := fmt.Sprintf("sync.wait_timeout = %q", format(c.Sync.WaitTimeout))
	times := func(value time.Duration, relation string) string {
		return fmt.Sprintf("= %q must be %s %s", format(value), relation, wait)
	}
	s := c.Sync
	// Otherwise one lost event is a refused join, not a slow one.
	add(s.SafetyPoll >= s.WaitTimeout,
		times(s.SafetyPoll, "shorter than"),
		"sync.safety_poll", "sync.wait_timeout")
	// A worker that lost no connection notices at its next renewal, a third of
	// the lease later, that Redis has forgotten it (FLUSHALL), and only then
	// puts its checkouts back. Whoever noticed before must still be waiting
	// (rule R1), or grants a player who is on another server.
	least := (s.Lockstep.LeaseTTL/3 + resumeTime).Round(100*time.Millisecond) + 100*time.Millisecond
	add(s.Settle < least,
		fmt.Sprintf("= %q must be at least %q with sync.lockstep.lease_ttl = %q: other workers need a third of that to notice "+
			"that Redis lost its memory, and a moment to put their players' checkouts back",
			format(s.Settle), format(least), format(s.Lockstep.LeaseTTL)),
		"sync.settle", "sync.lockstep.lease_ttl")
	// After an outage a join may have to sit out two settle periods: one of
	// rule R1, one of rule R2. Otherwise every join then ends in a refusal.
	add(2*s.Settle >= s.WaitTimeout,
		times(s.Settle, "shorter than half of"),
		"sync.settle", "sync.wait_timeout")
	// Otherwise the data of a player on the way could vanish from Redis while
	// the next server still waits, and the database would be asked each time.
	add(c.Snapshots.UpdateTTL <= s.WaitTimeout,
		times(c.Snapshots.UpdateTTL, "longer than"),
		"snapshots.update_ttl", "sync.wait_timeout")
	// Otherwise the join has no time left to use what was read.
	add(c.Database.ReadTimeout >= s.WaitTimeout,
		times(c.Database.ReadTimeout, "shorter than"),
		"database.read_timeout", "sync.wait_timeout")
}

func (c Config) checkLeases(add report) {
	s := c.Sync
	// The lease of a worker that restarts in place lasts for the window instead
	// of its usual time. A shorter one would give the players away sooner than
	// if the worker had just died.
	add(c.Shutdown.RestartWindow < s.Lockstep.LeaseTTL,
		fmt.Sprintf("= %q must be at least sync.lockstep.lease_ttl = %q: a worker that restarts would lose its players sooner than "+
			"one that crashed", format(c.Shutdown.RestartWindow), format(s.Lockstep.LeaseTTL)),
		"shutdown.restart_window", "sync.lockstep.lease_ttl")
	// Otherwise a wait ends before a dead server's lease, and a server that
	// crashed, or only pauses, counts as one that is alive and is stolen from.
	add(s.OnTimeout == OnTimeoutSteal && s.WaitTimeout <= s.Lockstep.LeaseTTL,
		fmt.Sprintf("= %q needs sync.wait_timeout = %q to be longer than sync.lockstep.lease_ttl = %q: until then nobody knows whether "+
			"the other server is dead", s.OnTimeout, format(s.WaitTimeout), format(s.Lockstep.LeaseTTL)),
		"sync.on_timeout", "sync.wait_timeout", "sync.lockstep.lease_ttl")
}

// spooled is how many of the largest snapshots the spool must at least hold.
// With fewer, it would refuse the second player's save in any outage.
const spooled = 2

func (c Config) checkSpool(add report) {
	add(c.Spool.Dir == "", "must not be empty", "spool.dir")
	least := spooled * c.Snapshots.MaxSize
	add(c.Spool.MaxSize < least,
		fmt.Sprintf("= %q must be at least %q, twice snapshots.max_size", c.Spool.MaxSize, least),
		"spool.max_size", "snapshots.max_size")
}

func (c Config) checkRedis(add report) {
	r := c.Redis
	add(r.Username != "" && r.PasswordFile == "",
		"is set, but redis.password_file is not: Redis takes a user name only together with a password",
		"redis.username", "redis.password_file")
	for _, file := range []struct{ key, value string }{
		{"redis.tls.ca_file", r.TLS.CAFile},
		{"redis.tls.cert_file", r.TLS.CertFile},
		{"redis.tls.key_file", r.TLS.KeyFile},
		{"redis.tls.server_name", r.TLS.ServerName},
	} {
		add(!r.TLS.Enabled && file.value != "",
			"is set, but TLS is off: set redis.tls.enabled = true or remove it", file.key, "redis.tls.enabled")
	}
	add(r.TLS.CertFile != "" && r.TLS.KeyFile == "", "needs redis.tls.key_file", "redis.tls.cert_file", "redis.tls.key_file")
	add(r.TLS.KeyFile != "" && r.TLS.CertFile == "", "needs redis.tls.cert_file", "redis.tls.key_file", "redis.tls.cert_file")
}

func (c Config) checkAPI(add report) {
	address, err := ParseAPIAddress(c.API.Listen)
	if err != nil {
		return // said before, by the key's own limit
	}
	add(address.Network == "tcp" && c.API.TokenFile == "",
		fmt.Sprintf("= %q needs api.token_file: whoever can reach a TCP port could take over players", c.API.Listen),
		"api.listen", "api.token_file")
	add(address.Public() && !c.API.AllowPublic,
		fmt.Sprintf("= %q can be reached from other machines: use 127.0.0.1, or set api.allow_public = true and put TLS in front",
			c.API.Listen),
		"api.listen", "api.allow_public")
}
