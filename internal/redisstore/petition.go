package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/syncworker/syncworker/internal/handoff"
)

// MaxPetition is the longest text of a petition, in bytes: a uuid, a fence, a
// server ID and the spaces between them.
const MaxPetition = 36 + 1 + 16 + 1 + handoff.MaxServerID

// ErrBadPetition is returned when a text is no petition.
var ErrBadPetition = errors.New("redisstore: not a petition")

// Petition tells the worker of the server to that the server by waits for the
// player, and the highest fence it saw. Whoever does not listen at that moment
// never gets it, and nobody says so: it is a hint (law L9). An error means that
// Redis did not take it.
func (s *Store) Petition(ctx context.Context, to handoff.ServerID, player handoff.PlayerID, by handoff.ServerID, fence handoff.Fence) error {
	text := player.String() + " " + fence.String() + " " + string(by)
	if err := s.client.Publish(ctx, s.config.Space.Petitions(to), text).Err(); err != nil {
		return fmt.Errorf("petition %s: %w", to, mend(err))
	}
	return nil
}

// ParsePetition takes the text of a petition apart. Anybody who may publish on
// the channel can send anything, so only what Petition sends is accepted, letter
// by letter; for the rest it returns ErrBadPetition with the beginning of the
// text.
func ParsePetition(text string) (handoff.PlayerID, handoff.Petitioned, error) {
	if len(text) > MaxPetition {
		return badPetition(text, fmt.Errorf("%d bytes, want %d at most", len(text), MaxPetition))
	}
	fields := strings.Split(text, " ")
	if len(fields) != 3 {
		return badPetition(text, errors.New("want a uuid, a fence and a server id"))
	}
	player, err := handoff.ParsePlayerID(fields[0])
	if err != nil {
		return badPetition(text, err)
	}
	fence, err := strconv.ParseUint(fields[1], 10, 53)
	if err != nil {
		return badPetition(text, err)
	}
	by, err := handoff.ParseServerID(fields[2])
	if err != nil {
		return badPetition(text, err)
	}
	if sent := player.String() + " " + strconv.FormatUint(fence, 10) + " " + string(by); sent != text {
		return badPetition(text, fmt.Errorf("want %q", sent))
	}
	return player, handoff.Petitioned{By: by, Fence: handoff.Fence(fence)}, nil
}

func badPetition(text string, flaw error) (handoff.PlayerID, handoff.Petitioned, error) {
	return handoff.PlayerID{}, handoff.Petitioned{}, fmt.Errorf("%w: %.*q: %w", ErrBadPetition, MaxPetition, text, flaw)
}
