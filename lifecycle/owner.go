package lifecycle

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
)

// maxOwner bounds what is read as a lease's value; ours has some 300 bytes.
const maxOwner = 4096

// ErrBadOwner is returned when a lease's value describes no worker.
var ErrBadOwner = errors.New("lifecycle: not a lease")

// Owner is the worker that a lease belongs to. The JSON text of it is the
// lease's value. It changes once at most during an incarnation, at its end, so
// that scripts can compare whole values.
type Owner struct {
	// Incarnation is random, new at each start of a worker.
	Incarnation string `json:"incarnation"`
	// Server is the server ID that the worker serves.
	Server handoff.ServerID `json:"server_id"`
	// Host and PID say where to find it.
	Host string `json:"host"`
	PID  int    `json:"pid"`
	// Mode is sync.mode.
	Mode string `json:"mode"`
	// Version of the program.
	Version string `json:"version"`
	// StartedAt is the worker's clock at its start; for people.
	StartedAt time.Time `json:"started_at"`
	// Restarting means that this incarnation has ended and that its sessions
	// wait for the next one of the same server, which may take the lease over
	// at once.
	Restarting bool `json:"restarting,omitempty"`
}

// NewIncarnation returns a random name for one start of a worker.
func NewIncarnation() string {
	var random [16]byte
	_, _ = rand.Read(random[:]) // It never fails: crypto/rand ends the process instead.
	return hex.EncodeToString(random[:])
}

// ParseOwner reads a lease's value. It returns ErrBadOwner when the text is
// none; whatever else the JSON carries is ignored, for later versions.
func ParseOwner(text string) (Owner, error) {
	if len(text) > maxOwner {
		return Owner{}, fmt.Errorf("%w: %d bytes", ErrBadOwner, len(text))
	}
	var owner Owner
	if err := json.Unmarshal([]byte(text), &owner); err != nil {
		return Owner{}, fmt.Errorf("%w: %w", ErrBadOwner, err)
	}
	if owner.Incarnation == "" {
		return Owner{}, fmt.Errorf("%w: no incarnation", ErrBadOwner)
	}
	return owner, nil
}

// Text returns the lease's value.
func (o Owner) Text() (string, error) {
	o.StartedAt = o.StartedAt.UTC().Round(0)
	text, err := json.Marshal(o)
	if err != nil {
		return "", fmt.Errorf("encode the lease: %w", err)
	}
	return string(text), nil
}

// String tells people where the worker is. Every text in it came from Redis, so
// it is quoted.
func (o Owner) String() string {
	return fmt.Sprintf("server %q, host %q, pid %d, incarnation %q, started %s",
		string(o.Server), o.Host, o.PID, o.Incarnation, o.StartedAt.Format(time.RFC3339))
}

// describe names the owner in a lease's value, as well as that can be done.
func describe(value string) string {
	owner, err := ParseOwner(value)
	if err != nil {
		const most = 80
		if len(value) > most {
			value = value[:most]
		}
		return fmt.Sprintf("an unreadable lease %q", value)
	}
	return owner.String()
}
