package handoff

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Limits of names. They bound key sizes in Redis and column sizes in the
// database; MaxServerID leaves room for the longest host names.
const (
	// MaxServerID is the longest server ID or cluster ID, in bytes.
	MaxServerID = 64
	// MaxPlayerName is the longest player name, in bytes.
	MaxPlayerName = 64
)

// Errors of the parsers in this file. Test for them with errors.Is.
var (
	// ErrBadPlayerID is returned when a text is not a UUID.
	ErrBadPlayerID = errors.New("not a player uuid")
	// ErrBadServerID is returned when a text cannot name a server or a cluster.
	ErrBadServerID = errors.New("not a server id")
	// ErrBadSessionID is returned when a text is not a session ID that a
	// worker gave out.
	ErrBadSessionID = errors.New("not a session id")
	// ErrBadSnapshotID is returned when a text is not a snapshot UUID.
	ErrBadSnapshotID = errors.New("not a snapshot uuid")
)

// PlayerID is a player's UUID. Its text form is always the lower-case dashed
// one, because it is part of key names.
type PlayerID [16]byte

// ParsePlayerID reads a UUID with or without dashes, in either case; game
// servers write all four forms. It returns ErrBadPlayerID otherwise.
func ParsePlayerID(text string) (PlayerID, error) {
	id, ok := parseUUID(text)
	if !ok {
		return PlayerID{}, fmt.Errorf("%w: %q (want 8-4-4-4-12 hexadecimal digits)", ErrBadPlayerID, shorten(text))
	}
	return PlayerID(id), nil
}

// String returns the lower-case dashed form.
func (p PlayerID) String() string { return formatUUID(p) }

// MarshalText makes logs and JSON show the text form.
func (p PlayerID) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// SnapshotID names one snapshot for good: every version has its own, also a
// restored copy of an older one (HuskSync issue 275).
type SnapshotID [16]byte

// ParseSnapshotID reads a UUID like ParsePlayerID. It returns ErrBadSnapshotID
// when the text is none.
func ParseSnapshotID(text string) (SnapshotID, error) {
	id, ok := parseUUID(text)
	if !ok {
		return SnapshotID{}, fmt.Errorf("%w: %q", ErrBadSnapshotID, shorten(text))
	}
	return SnapshotID(id), nil
}

// String returns the lower-case dashed form.
func (s SnapshotID) String() string { return formatUUID(s) }

// MarshalText makes logs and JSON show the text form.
func (s SnapshotID) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// IsZero reports whether no snapshot is named.
func (s SnapshotID) IsZero() bool { return s == SnapshotID{} }

// ServerID is the operator's stable name of one game server, for instance
// survival-1. It is always lower case: two names that differ in case only would
// be taken for different servers by Redis and for the same one by people.
type ServerID string

// ParseServerID checks and lower-cases a server ID: 1 to MaxServerID letters,
// digits, dots, dashes and underscores. It returns ErrBadServerID otherwise.
func ParseServerID(text string) (ServerID, error) {
	if text == "" || len(text) > MaxServerID {
		return "", fmt.Errorf("%w: %q has %d characters (want 1 to %d)", ErrBadServerID, shorten(text), len(text), MaxServerID)
	}
	lower := strings.ToLower(text)
	for _, r := range lower {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '.' && r != '-' && r != '_' {
			return "", fmt.Errorf("%w: %q contains %q (letters, digits, '.', '-' and '_' are allowed)", ErrBadServerID, shorten(text), r)
		}
	}
	return ServerID(lower), nil
}

// SessionID names one stay of one player on one server. A granted checkout has
// a fence of its own, so player and fence together are unique, and a session ID
// can be routed without an index. Clients treat it as opaque.
type SessionID struct {
	// Player is the player who stays.
	Player PlayerID
	// Fence is the fence that the granted checkout got.
	Fence Fence
}

// IsZero reports whether no session is named.
func (s SessionID) IsZero() bool { return s == SessionID{} }

// String returns "<uuid>.<fence>", or "" for no session.
func (s SessionID) String() string {
	if s.IsZero() {
		return ""
	}
	return s.Player.String() + "." + strconv.FormatInt(int64(s.Fence), 10)
}

// MarshalText makes logs and JSON show the text form.
func (s SessionID) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// ParseSessionID reads what String writes. It returns ErrBadSessionID for
// anything else.
func ParseSessionID(text string) (SessionID, error) {
	player, fence, found := strings.Cut(text, ".")
	id, ok := parseUUID(player)
	n, err := strconv.ParseInt(fence, 10, 64)
	if !found || !ok || err != nil || n <= 0 {
		return SessionID{}, fmt.Errorf("%w: %q (use the sessionId that Join answered)", ErrBadSessionID, shorten(text))
	}
	return SessionID{Player: PlayerID(id), Fence: Fence(n)}, nil
}

// parseUUID accepts the dashed form and the one of 32 digits.
func parseUUID(text string) (id [16]byte, ok bool) {
	switch len(text) {
	case 36:
		if text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
			return id, false
		}
		text = text[:8] + text[9:13] + text[14:18] + text[19:23] + text[24:]
	case 32:
	default:
		return id, false
	}
	_, err := hex.Decode(id[:], []byte(text))
	return id, err == nil
}

func formatUUID(id [16]byte) string {
	var text [36]byte
	hex.Encode(text[:8], id[:4])
	hex.Encode(text[9:13], id[4:6])
	hex.Encode(text[14:18], id[6:8])
	hex.Encode(text[19:23], id[8:10])
	hex.Encode(text[24:], id[10:])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return string(text[:])
}

// shorten keeps hostile input from filling an error text or a log line.
func shorten(text string) string {
	const most = 80
	if len(text) <= most {
		return text
	}
	return text[:most] + "..."
}
