package config

import "time"

// Config is everything that an operator may set. Each field's limits and
// explanation stand in the table of options.go.
type Config struct {
	// Server says who this worker is.
	Server Server
	// Redis says where the cluster meets.
	Redis Redis
	// Sync says how players are handed over.
	Sync Sync
	// Game is about the game server beside this worker.
	Game Game
	// Database keeps the players' data for good.
	Database Database
	// Spool keeps on the local disk what has no other place yet.
	Spool Spool
	// Snapshots bounds what is kept and how it is packed.
	Snapshots Snapshots
	// API is the local API.
	API API
	// Metrics is the listener of Prometheus and of health checks.
	Metrics Metrics
	// Log shapes the worker's log.
	Log Log
	// Shutdown bounds the worker's end.
	Shutdown Shutdown

	// origins maps keys to where their values were set; keys left at their
	// defaults are absent.
	origins map[string]string
}

// Server is the section of that name.
type Server struct {
	// ID is the stable name of the game server, lower case. Load derives it
	// from the working folder when it is not set.
	ID string
	// ClusterID is the name that all servers share which hand players over to
	// one another, lower case.
	ClusterID string
}

// Redis is the section of that name.
type Redis struct {
	// Addresses holds exactly one host:port.
	Addresses []string
	// DB is the number of the logical database.
	DB int
	// Username of a Redis ACL user; empty for the default user.
	Username string
	// PasswordFile holds the password; empty for none. See Password.
	PasswordFile string
	// TLS encrypts the connections. See TLSConfig.
	TLS TLS
}

// TLS is the section redis.tls.
type TLS struct {
	// Enabled switches TLS on; without it every other key must be empty.
	Enabled bool
	// CAFile holds the certificates to trust, PEM; empty for the system's.
	CAFile string
	// CertFile and KeyFile hold this worker's certificate, PEM; both or none.
	CertFile, KeyFile string
	// ServerName is the name that the certificate of Redis must carry; empty
	// for the host of the address.
	ServerName string
}

// Sync is the section of that name.
type Sync struct {
	// Mode is the sync mode; every server of a cluster uses the same one.
	Mode string
	// WaitTimeout is how long a Join waits that does not say so itself.
	WaitTimeout time.Duration
	// SafetyPoll is how often a waiting join looks although no event came.
	SafetyPoll time.Duration
	// Settle is how long nothing is granted after a start or an outage
	// (rule R1).
	Settle time.Duration
	// OnTimeout is what happens to a join whose wait is over while a live
	// server still has the player: [OnTimeoutDeny] or [OnTimeoutSteal].
	OnTimeout string
	// Lockstep is about the mode of that name.
	Lockstep Lockstep
}

// The values of Sync.OnTimeout.
const (
	// OnTimeoutDeny refuses the join.
	OnTimeoutDeny = "deny"
	// OnTimeoutSteal takes the player from the live server.
	OnTimeoutSteal = "steal"
)

// Lockstep is the section sync.lockstep.
type Lockstep struct {
	// LeaseTTL is how long a worker's lease outlives its last renewal.
	LeaseTTL time.Duration
	// Petitions makes a waiting worker ask the one that has the player.
	Petitions bool
}

// Game is the section of that name.
type Game struct {
	// Grace is how long sessions outlive a broken Attach stream.
	Grace time.Duration
	// ConfirmTimeout is how long a delivered session may stay unconfirmed.
	ConfirmTimeout time.Duration
}

// Database is the section of that name.
type Database struct {
	// Driver is the kind of database.
	Driver string
	// DSN says where the database is.
	DSN string
	// ReadTimeout bounds the read that a data_update is compared with.
	ReadTimeout time.Duration
}

// Spool is the section of that name.
type Spool struct {
	// Dir is the folder. Load derives it from database.dsn and the server ID
	// when it is not set; see [DefaultSpoolDir].
	Dir string
	// MaxSize bounds all that is in it.
	MaxSize Size
}

// Snapshots is the section of that name.
type Snapshots struct {
	// Keep is the number of unpinned snapshots kept per player.
	Keep int
	// BackupFrequency is the least distance between two kept snapshots; 0
	// keeps every save.
	BackupFrequency time.Duration
	// UpdateTTL is how long data_update stays in Redis once the database has
	// it.
	UpdateTTL time.Duration
	// MaxSize bounds one snapshot's data, unpacked.
	MaxSize Size
	// Compression is none, zstd or snappy.
	Compression string
	// AutoPin lists the save causes whose snapshots are pinned.
	AutoPin []string
}

// API is the section of that name.
type API struct {
	// Listen is unix:///path or tcp://host:port. Load derives it from the
	// server ID when it is not set.
	Listen string
	// TokenFile holds the bearer token that callers must send; empty for none,
	// which a Unix socket allows. See Token.
	TokenFile string
	// AllowPublic permits an address that is not the loopback one.
	AllowPublic bool
}

// Metrics is the section of that name.
type Metrics struct {
	// Listen is host:port; empty switches the listener off.
	Listen string
}

// Log is the section of that name.
type Log struct {
	// Level is the least level that is written.
	Level string
	// Format is text or json.
	Format string
}

// Shutdown is the section of that name.
type Shutdown struct {
	// DrainTimeout bounds the wait for the last saves.
	DrainTimeout time.Duration
	// RestartWindow is how long a worker that restarts in place keeps its
	// players.
	RestartWindow time.Duration
}

// Default returns the defaults. Server.ID, API.Listen and Spool.Dir depend on
// the surroundings and are empty here; [Load] fills them in.
func Default() Config {
	return Config{
		Server: Server{ClusterID: "main"},
		Redis:  Redis{Addresses: []string{"127.0.0.1:6379"}},
		Sync: Sync{
			Mode:        "lockstep",
			WaitTimeout: 30 * time.Second,
			SafetyPoll:  5 * time.Second,
			Settle:      4 * time.Second,
			OnTimeout:   OnTimeoutDeny,
			Lockstep:    Lockstep{LeaseTTL: 10 * time.Second, Petitions: true},
		},
		Game:     Game{Grace: 15 * time.Second, ConfirmTimeout: time.Minute},
		Database: Database{Driver: "sqlite", DSN: "syncworker.db", ReadTimeout: 250 * time.Millisecond},
		Spool:    Spool{MaxSize: 256 << 20},
		Snapshots: Snapshots{
			Keep:            16,
			BackupFrequency: 4 * time.Hour,
			UpdateTTL:       24 * time.Hour,
			MaxSize:         10 << 20,
			Compression:     "zstd",
			AutoPin: []string{
				"INVENTORY_COMMAND", "ENDERCHEST_COMMAND", "BACKUP_RESTORE", "LEGACY_MIGRATION", "MPDB_MIGRATION",
			},
		},
		Metrics:  Metrics{Listen: "127.0.0.1:9464"},
		Log:      Log{Level: "info", Format: "text"},
		Shutdown: Shutdown{DrainTimeout: 10 * time.Second, RestartWindow: time.Minute},
	}
}
