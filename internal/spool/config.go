package spool

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/syncworker/syncworker/internal/handoff"
)

// Defaults of Config.
const (
	// DefaultMaxBytes is what a zero Config.MaxBytes means.
	DefaultMaxBytes = 256 << 20
	// DefaultMaxEntries is what a zero Config.MaxEntries means.
	DefaultMaxEntries = 100_000
)

// Errors of this package. Test for them with errors.Is.
var (
	// ErrFull is returned by Put when the spool's bound or the disk's end is
	// reached. The text names the folder and the mend.
	ErrFull = handoff.ErrSpoolFull
	// ErrLocked is returned by Open when another worker uses the folder.
	ErrLocked = errors.New("spool: folder is in use")
	// ErrForeign is returned by Open when there are entries of another owner.
	ErrForeign = errors.New("spool: folder of another worker")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("spool: closed")
	// ErrBadConfig is returned by Open when a Config field has an impossible
	// value.
	ErrBadConfig = errors.New("spool: bad configuration")
	// ErrInvalid is returned by Put when the entry can never be stored.
	ErrInvalid = errors.New("spool: invalid entry")
	// ErrNoEntry is returned by Read and Reject when there is no such entry.
	ErrNoEntry = fmt.Errorf("spool: no such entry: %w", fs.ErrNotExist)
)

// Config of a Spool.
type Config struct {
	// Dir is the spool's folder. It is created, with permissions 0700, when it
	// is missing. It must lie on a local disk, and belong to one worker.
	Dir string
	// Owner names whose entries these are: the cluster and the server. Empty
	// means that nobody asks.
	Owner string
	// MaxBytes bounds the sum of all entries' files. Zero means
	// DefaultMaxBytes.
	MaxBytes int64
	// MaxEntries bounds their number. Zero means DefaultMaxEntries.
	MaxEntries int
	// Logger is told what is found damaged. Nil means no log.
	Logger hclog.Logger
	// Registerer takes the metrics. Nil means none.
	Registerer prometheus.Registerer
}

// validated returns the config with its defaults, or ErrBadConfig.
func (c Config) validated() (Config, error) {
	switch {
	case c.Dir == "":
		return c, fmt.Errorf("%w: no folder is named", ErrBadConfig)
	case c.MaxBytes < 0:
		return c, fmt.Errorf("%w: MaxBytes is %d (want at least 1)", ErrBadConfig, c.MaxBytes)
	case c.MaxEntries < 0:
		return c, fmt.Errorf("%w: MaxEntries is %d (want at least 1)", ErrBadConfig, c.MaxEntries)
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = DefaultMaxBytes
	}
	if c.MaxEntries == 0 {
		c.MaxEntries = DefaultMaxEntries
	}
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	return c, nil
}
