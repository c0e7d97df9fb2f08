package keyspace

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/syncworker/syncworker/internal/handoff"
)

// DefaultNamespace is the first part of every key unless an operator shares one
// Redis between several installations.
const DefaultNamespace = "syncworker"

// Errors of this package. Test for them with errors.Is.
var (
	// ErrBadName is returned when a namespace or a cluster ID cannot be part of
	// a key.
	ErrBadName = errors.New("keyspace: not a name")
	// ErrBadKey is returned when a text is not a key of this space.
	ErrBadKey = errors.New("keyspace: not a key of this cluster")
	// ErrBadChannel is returned when a text is not a keyspace channel.
	ErrBadChannel = errors.New("keyspace: not a keyspace channel")
)

// Type is the third part of a key: what the key holds.
type Type string

// The types. The first five belong to a player, the others to a server.
const (
	// Checkout holds the ID of the server that has the player checked out.
	Checkout Type = "data_checkout"
	// Fence holds the highest fence granted so far, in decimal.
	Fence Type = "data_fence"
	// Update holds the packed snapshot on its way to the next server.
	Update Type = "data_update"
	// Quarantine lists values found at data_update that are no snapshots.
	Quarantine Type = "data_quarantine"
	// Switch announces in DELAY mode that a snapshot is on its way.
	Switch Type = "server_switch"
	// Lease says that a server's worker is alive.
	Lease Type = "server_lease"
	// Checkouts lists the players a server may have checked out.
	Checkouts Type = "server_checkouts"
	// Probe is written by the start-up test of notifications.
	Probe Type = "event_probe"
)

// ofPlayer reports whether keys of the type carry a player's uuid; known is
// false for a type that does not exist.
func (t Type) ofPlayer() (player, known bool) {
	switch t {
	case Checkout, Fence, Update, Quarantine, Switch:
		return true, true
	case Lease, Checkouts, Probe:
		return false, true
	default:
		return false, false
	}
}

// Space names the keys of one cluster of servers. It is a comparable value; the
// zero Space names nothing and must not be used.
type Space struct {
	// prefix is "<namespace>:<cluster>:".
	prefix string
}

// New returns the space of a namespace and a cluster ID. Both follow the rules
// of a server ID and are lower-cased. It returns ErrBadName, with the value,
// when one does not.
func New(namespace, cluster string) (Space, error) {
	first, err := handoff.ParseServerID(namespace)
	if err != nil {
		return Space{}, fmt.Errorf("%w: namespace: %w", ErrBadName, err)
	}
	second, err := handoff.ParseServerID(cluster)
	if err != nil {
		return Space{}, fmt.Errorf("%w: cluster: %w", ErrBadName, err)
	}
	return Space{prefix: string(first) + ":" + string(second) + ":"}, nil
}

// String returns what all keys of the space begin with.
func (s Space) String() string { return s.prefix }

// Checkout returns the key of the player's checkout.
func (s Space) Checkout(p handoff.PlayerID) string { return s.player(Checkout, p) }

// Fence returns the key of the player's fence.
func (s Space) Fence(p handoff.PlayerID) string { return s.player(Fence, p) }

// Update returns the key of the player's snapshot on its way.
func (s Space) Update(p handoff.PlayerID) string { return s.player(Update, p) }

// Quarantine returns the key of the list of values that stood in the place of a
// snapshot and are none.
func (s Space) Quarantine(p handoff.PlayerID) string { return s.player(Quarantine, p) }

// Switch returns the key that announces the player's move in DELAY mode.
func (s Space) Switch(p handoff.PlayerID) string { return s.player(Switch, p) }

// Key returns the key that a machine names, or "" for a name that does not
// exist.
func (s Space) Key(k handoff.Key, p handoff.PlayerID) string {
	switch k {
	case handoff.KeyCheckout:
		return s.Checkout(p)
	case handoff.KeyUpdate:
		return s.Update(p)
	case handoff.KeySwitch:
		return s.Switch(p)
	default:
		return ""
	}
}

// Lease returns the key of the server's lease.
func (s Space) Lease(id handoff.ServerID) string { return s.server(Lease, id) }

// Checkouts returns the key of the set of players the server may hold.
func (s Space) Checkouts(id handoff.ServerID) string { return s.server(Checkouts, id) }

// Probe returns the key that the server's test of notifications writes.
func (s Space) Probe(id handoff.ServerID) string { return s.server(Probe, id) }

// Petitions returns the channel on which the server's worker takes petitions. No
// key has this name.
func (s Space) Petitions(id handoff.ServerID) string { return s.prefix + petitions + ":" + string(id) }

func (s Space) player(t Type, p handoff.PlayerID) string {
	return s.prefix + string(t) + ":{" + p.String() + "}"
}

func (s Space) server(t Type, id handoff.ServerID) string {
	return s.prefix + string(t) + ":" + string(id)
}

// Parsed is a key taken apart.
type Parsed struct {
	// Type of the key.
	Type Type
	// Player that the key belongs to; zero when it belongs to a server.
	Player handoff.PlayerID
	// Server that the key belongs to; empty when it belongs to a player.
	Server handoff.ServerID
}

// Parse takes a key of this space apart. It accepts only what the methods above
// return, letter by letter, and returns ErrBadKey with the key and the flaw for
// anything else.
func (s Space) Parse(key string) (Parsed, error) {
	rest, ok := strings.CutPrefix(key, s.prefix)
	if !ok {
		return Parsed{}, badKey(key, "want the prefix "+s.prefix)
	}
	name, owner, ok := strings.Cut(rest, ":")
	if !ok {
		return Parsed{}, badKey(key, "nothing follows the type")
	}
	ofPlayer, known := Type(name).ofPlayer()
	switch {
	case !known:
		return Parsed{}, badKey(key, "no such type")
	case ofPlayer:
		return parsePlayer(key, Type(name), owner)
	default:
		return parseServer(key, Type(name), owner)
	}
}

func parsePlayer(key string, t Type, owner string) (Parsed, error) {
	text, opened := strings.CutPrefix(owner, "{")
	text, closed := strings.CutSuffix(text, "}")
	if !opened || !closed {
		return Parsed{}, badKey(key, "the player's uuid is not in braces")
	}
	player, err := handoff.ParsePlayerID(text)
	if err != nil {
		return Parsed{}, fmt.Errorf("%w: %s: %w", ErrBadKey, quote(key), err)
	}
	if player.String() != text {
		return Parsed{}, badKey(key, "the player's uuid is not in its lower-case dashed form")
	}
	return Parsed{Type: t, Player: player}, nil
}

func parseServer(key string, t Type, owner string) (Parsed, error) {
	server, err := handoff.ParseServerID(owner)
	if err != nil {
		return Parsed{}, fmt.Errorf("%w: %s: %w", ErrBadKey, quote(key), err)
	}
	if string(server) != owner {
		return Parsed{}, badKey(key, "the server id is not in lower case")
	}
	return Parsed{Type: t, Server: server}, nil
}

// The fixed parts of a channel's name, as Redis writes them.
const (
	channelHead = "__keyspace@"
	channelTail = "__:"
)

// petitions stands in a channel's name where a key has its type.
const petitions = "petition"

// Channel returns the channel on which Redis tells what happens to the key in
// the database db.
func Channel(db int, key string) string {
	return channelHead + strconv.Itoa(db) + channelTail + key
}

// ParseChannel takes a channel apart: the number of the database and the key,
// which may be of any space. It returns ErrBadChannel, with the channel, for a
// text that Channel does not return.
func ParseChannel(channel string) (db int, key string, err error) {
	rest, ok := strings.CutPrefix(channel, channelHead)
	number, key, found := strings.Cut(rest, channelTail)
	db, err = strconv.Atoi(number)
	if !ok || !found || err != nil || db < 0 || strconv.Itoa(db) != number {
		return 0, "", fmt.Errorf("%w: %s (want %s<db>%s<key>)", ErrBadChannel, quote(channel), channelHead, channelTail)
	}
	return db, key, nil
}

func badKey(key, flaw string) error {
	return fmt.Errorf("%w: %s: %s", ErrBadKey, quote(key), flaw)
}

// quote makes any bytes readable and keeps hostile input from filling a log
// line; the longest key there is has less than 250 bytes.
func quote(text string) string {
	const most = 250
	if len(text) > most {
		return strconv.Quote(text[:most]) + "..."
	}
	return strconv.Quote(text)
}
