package config

import (
	"errors"
	"slices"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
)

// option is one key: where its value goes, what it may be, and what it means.
type option struct {
	// key is the full name, sections first.
	key string
	// value points at the field.
	value any
	// limit is what the value may be; nil when anything of its type may.
	limit limit
	// preset describes a default that depends on the surroundings; then
	// sample is a value to show.
	preset, sample string
	// about is the explanation for operators: README, example, errors.
	about string
}

// section explains a block of the file.
type section struct{ name, about string }

// sections lists all blocks in the order in which people read them.
var sections = []section{
	{"server", "Who this worker is."},
	{"redis", "Where the servers of the cluster meet. Redis must never evict keys: maxmemory-policy noeviction."},
	{"redis.tls", "Encryption of the connections to Redis."},
	{"sync", "How players are handed over. All servers of one cluster use the same values here."},
	{"sync.lockstep", "Lockstep mode only."},
	{"game", "The game server beside this worker."},
	{"database", "Where the players' data stays for good."},
	{"spool", "Where saves stay while Redis or the database does not take them: files on a local disk, one for each save, which " +
		"are read again after a crash. The folder is empty as long as nothing is wrong."},
	{"snapshots", "What is kept of each player, and how it is packed."},
	{"api", "The local API, which the game server and the command line call."},
	{"metrics", "Prometheus metrics at /metrics, health checks at /healthz and /readyz."},
	{"log", "The worker's log, on standard error."},
	{"shutdown", "What happens on SIGTERM and SIGINT, which stop the worker, and on SIGUSR2, which restarts it in place."},
}

// options is the table of all keys, bound to the fields of c.
func (c *Config) options() []option {
	return slices.Concat(
		c.identityOptions(), c.redisOptions(), c.syncOptions(), c.storageOptions(), c.serviceOptions(),
	)
}

func (c *Config) identityOptions() []option {
	return []option{
		{
			key: "server.id", value: &c.Server.ID, limit: serverID,
			preset: "name of the working folder", sample: "survival-1",
			about: "Stable name of this game server; no two workers of one cluster may share it. Checkouts and snapshots " +
				"carry it. In a folder's name, other characters become dashes.",
		},
		{
			key: "server.cluster_id", value: &c.Server.ClusterID, limit: serverID,
			about: "Name shared by all servers that hand players over to one another. Two clusters may use one Redis.",
		},
	}
}

func (c *Config) redisOptions() []option {
	return []option{
		{
			key: "redis.addresses", value: &c.Redis.Addresses, limit: oneAddress,
			about: "Address of Redis: a list with one host:port in it.",
		},
		{
			key: "redis.db", value: &c.Redis.DB, limit: between[int]{0, 65535},
			about: "Number of the logical database.",
		},
		{
			key: "redis.username", value: &c.Redis.Username,
			about: "User name for Redis ACLs; empty for the default user.",
		},
		{
			key: "redis.password_file", value: &c.Redis.PasswordFile,
			about: "File that holds the password and nothing else; empty for no password.",
		},
		{
			key: "redis.tls.enabled", value: &c.Redis.TLS.Enabled,
			about: "Talk TLS to Redis, version 1.2 at least.",
		},
		{
			key: "redis.tls.ca_file", value: &c.Redis.TLS.CAFile,
			about: "Certificates to trust, PEM; empty for the system's.",
		},
		{
			key: "redis.tls.cert_file", value: &c.Redis.TLS.CertFile,
			about: "This worker's own certificate, PEM, when Redis asks for one.",
		},
		{
			key: "redis.tls.key_file", value: &c.Redis.TLS.KeyFile,
			about: "Private key of cert_file, PEM.",
		},
		{
			key: "redis.tls.server_name", value: &c.Redis.TLS.ServerName,
			about: "Name that the certificate of Redis must carry; empty for the host of the address.",
		},
	}
}

func (c *Config) syncOptions() []option {
	return []option{
		{
			key: "sync.mode", value: &c.Sync.Mode, limit: oneOf{"lockstep"},
			about: "lockstep: a join waits until the server that has the player has checked in.",
		},
		{
			key: "sync.wait_timeout", value: &c.Sync.WaitTimeout, limit: between[time.Duration]{time.Second, 10 * time.Minute},
			about: "How long a join waits before it is refused, unless the game asks for another time.",
		},
		{
			key: "sync.safety_poll", value: &c.Sync.SafetyPoll, limit: between[time.Duration]{100 * time.Millisecond, time.Minute},
			about: "How often a waiting join looks although no event came: a net in case events get lost. Where Redis sends no " +
				"events at all, this is how fast a handoff can be.",
		},
		{
			key: "sync.settle", value: &c.Sync.Settle, limit: between[time.Duration]{time.Second, time.Minute},
			about: "How long nothing is granted after a start, or after Redis was away or lost its memory. Until then all workers " +
				"put the checkouts of their players back.",
		},
		{
			key: "sync.on_timeout", value: &c.Sync.OnTimeout, limit: oneOf{OnTimeoutDeny, OnTimeoutSteal},
			about: "What becomes of a join at the end of its wait while the server that has the player is alive. deny refuses it: " +
				"nothing is lost, and the player tries again. steal takes the player: what the player did on the other server since its " +
				"last save is lost. Players of a server that is dead are taken over in either case, without loss of what was saved.",
		},
		{
			key: "sync.lockstep.lease_ttl", value: &c.Sync.Lockstep.LeaseTTL,
			limit: between[time.Duration]{3 * time.Second, 5 * time.Minute},
			about: "How long after its last sign of life a worker counts as alive. It must cover the longest pause of this machine, and a third of " +
				"it must fit into sync.settle.",
		},
		{
			key: "sync.lockstep.petitions", value: &c.Sync.Lockstep.Petitions,
			about: "While a join waits, ask the server that has the player to hurry: it repeats a save that hangs, and its game hears " +
				"that somebody waits. Switch it off only if the user of Redis may not PUBLISH.",
		},
		{
			key: "game.grace", value: &c.Game.Grace, limit: between[time.Duration]{time.Second, 10 * time.Minute},
			about: "How long players stay checked out after the game server hung up, so that it can attach again.",
		},
		{
			key: "game.confirm_timeout", value: &c.Game.ConfirmTimeout, limit: between[time.Duration]{time.Second, time.Hour},
			about: "How long the game server may take to confirm that it applied a player's data; then the player is released.",
		},
	}
}

func (c *Config) storageOptions() []option {
	return []option{
		{
			key: "database.driver", value: &c.Database.Driver, limit: oneOf{"sqlite"},
			about: "sqlite: one file, shared by the workers of one machine.",
		},
		{
			key: "database.dsn", value: &c.Database.DSN, limit: notEmpty,
			about: "Path of the SQLite file, relative to the working folder. All workers of a cluster must use the same file, on a " +
				"local disk.",
		},
		{
			key: "database.read_timeout", value: &c.Database.ReadTimeout,
			limit: between[time.Duration]{10 * time.Millisecond, 10 * time.Second},
			about: "How long a handoff waits for the database to confirm that Redis has the newest data; then the data from Redis is " +
				"delivered without it, and counted.",
		},
		{
			key: "spool.dir", value: &c.Spool.Dir,
			preset: "<server id>.spool beside the SQLite file", sample: "survival-1.spool",
			about: "Folder of the spool, on a local disk; it is made when it is missing. Each worker needs its own, and the same one at " +
				"each start: what is in it may be nowhere else.",
		},
		{
			key: "spool.max_size", value: &c.Spool.MaxSize, limit: between[Size]{1 << 20, 1 << 40},
			about: "Most that the spool may hold. Beyond that, or when the disk is full, saves are refused for as long as Redis or the " +
				"database does not take them.",
		},
		{
			key: "snapshots.keep", value: &c.Snapshots.Keep, limit: between[int]{1, 10000},
			about: "Snapshots kept per player, pinned ones not counted.",
		},
		{
			key: "snapshots.backup_frequency", value: &c.Snapshots.BackupFrequency,
			limit: between[time.Duration]{0, 30 * 24 * time.Hour},
			about: "Of each period of this length one save is kept, its last one, besides the newest of all. 0s keeps every save.",
		},
		{
			key: "snapshots.update_ttl", value: &c.Snapshots.UpdateTTL,
			limit: between[time.Duration]{time.Minute, 365 * 24 * time.Hour},
			about: "How long Redis keeps a player's newest data once the database has it.",
		},
		{
			key: "snapshots.max_size", value: &c.Snapshots.MaxSize, limit: between[Size]{1 << 10, 256 << 20},
			about: "Largest data of one snapshot, unpacked; a larger save is refused, a larger stored one is not read. All servers of " +
				"one cluster use the same value.",
		},
		{
			key: "snapshots.compression", value: &c.Snapshots.Compression, limit: oneOf{"none", "zstd", "snappy"},
			about: "How new snapshots are packed. All kinds can always be read.",
		},
		{
			key: "snapshots.auto_pin", value: &c.Snapshots.AutoPin, limit: saveCauses,
			about: "Save causes whose snapshots are pinned, which means never pruned.",
		},
	}
}

func (c *Config) serviceOptions() []option {
	return []option{
		{
			key: "api.listen", value: &c.API.Listen, limit: apiAddress,
			preset: "unix:///run/syncworker/<server id>.sock", sample: "unix:///run/syncworker/survival-1.sock",
			about: "Where the local API listens: unix:///path, a socket that its owner and group may use, or tcp://host:port, which " +
				"needs token_file.",
		},
		{
			key: "api.token_file", value: &c.API.TokenFile,
			about: "File that holds the bearer token which callers must send, and nothing else. A TCP address needs one; a socket may have one.",
		},
		{
			key: "api.allow_public", value: &c.API.AllowPublic,
			about: "Permit a TCP address that is not the loopback one. The token and the players' data then cross the network in the " +
				"clear: put TLS in front.",
		},
		{
			key: "metrics.listen", value: &c.Metrics.Listen, limit: listenAddress,
			about: "host:port, empty for off. Two workers on one machine need two ports.",
		},
		{
			key: "log.level", value: &c.Log.Level, limit: oneOf{"trace", "debug", "info", "warn", "error"},
			about: "Least level that is written.",
		},
		{
			key: "log.format", value: &c.Log.Format, limit: oneOf{"text", "json"},
			about: "text for people, json for programs, one object per line.",
		},
		{
			key: "shutdown.drain_timeout", value: &c.Shutdown.DrainTimeout,
			limit: between[time.Duration]{time.Second, 10 * time.Minute},
			about: "How long the worker waits for the game's last saves before it stops. Whatever supervises the worker must allow " +
				"for more.",
		},
		{
			key: "shutdown.restart_window", value: &c.Shutdown.RestartWindow,
			limit: between[time.Duration]{10 * time.Second, 10 * time.Minute},
			about: "How long a worker that restarts in place keeps its players: it must be back within it. If it does not come back at " +
				"all, nobody else gets them before.",
		},
	}
}

// serverID is what handoff.ParseServerID accepts.
var serverID = rule[string]{"letters, digits, dots, dashes and underscores, 64 at most", func(text string) error {
	if _, err := handoff.ParseServerID(text); err != nil {
		return errors.New("cannot be a name: want letters, digits, dots, dashes and underscores, 64 at most")
	}
	return nil
}}
