package localapi

import (
	"strconv"
	"strings"
	"time"
	"unicode"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/syncworker/syncworker/internal/handoff"
)

// Limits that only the API has.
const (
	maxBoot    = 128
	maxResume  = 20_000
	maxProblem = 1024
	maxWhy     = 256
	maxWho     = 48
)

func playerField(text string) (handoff.PlayerID, error) {
	player, err := handoff.ParsePlayerID(text)
	if err != nil {
		return player, invalid("player_id", "%s", unprefixed(err))
	}
	return player, nil
}

func sessionField(field, text string) (handoff.SessionID, error) {
	session, err := handoff.ParseSessionID(text)
	if err != nil {
		return session, invalid(field, "%s", unprefixed(err))
	}
	return session, nil
}

// unprefixed leaves out the name of the package that parsed.
func unprefixed(err error) string { return strings.TrimPrefix(err.Error(), "handoff: ") }

// textField refuses what is too long for a column, and control characters,
// which would let a name write into an operator's terminal or log.
func textField(field, text string, most int) error {
	if len(text) > most {
		return invalid(field, "has %d bytes (at most %d)", len(text), most)
	}
	for _, r := range text {
		if !unicode.IsPrint(r) {
			return invalid(field, "contains %q (printable text is allowed)", r)
		}
	}
	return nil
}

func requiredText(field, text string, most int) error {
	if text == "" {
		return invalid(field, "is missing")
	}
	return textField(field, text, most)
}

// waitField returns how long a join waits: what it asks for or the default, cut
// to the limit.
func waitField(asked *durationpb.Duration, standard, most time.Duration) (time.Duration, error) {
	if asked == nil {
		return standard, nil
	}
	if err := asked.CheckValid(); err != nil {
		return 0, invalid("wait_timeout", "%v", err)
	}
	wait := asked.AsDuration()
	if wait < 0 {
		return 0, invalid("wait_timeout", "is negative: %s", wait)
	}
	return min(wait, most), nil
}

func timeField(field string, at *timestamppb.Timestamp, standard time.Time) (time.Time, error) {
	if at == nil {
		return standard, nil
	}
	if err := at.CheckValid(); err != nil {
		return time.Time{}, invalid(field, "%v", err)
	}
	return at.AsTime(), nil
}

// dataFields checks the keys of a capture; values are opaque.
func dataFields(data map[string][]byte, removed []string) error {
	if len(data) > handoff.MaxDataKeys {
		return invalid("snapshot.data", "has %d keys (at most %d)", len(data), handoff.MaxDataKeys)
	}
	if len(removed) > handoff.MaxDataKeys {
		return invalid("snapshot.removed", "has %d keys (at most %d)", len(removed), handoff.MaxDataKeys)
	}
	for key := range data {
		if err := requiredText("snapshot.data", key, handoff.MaxDataKey); err != nil {
			return err
		}
	}
	for i, key := range removed {
		field := "snapshot.removed[" + strconv.Itoa(i) + "]"
		if err := requiredText(field, key, handoff.MaxDataKey); err != nil {
			return err
		}
		if _, both := data[key]; both {
			return invalid(field, "%q is in snapshot.data as well", key)
		}
	}
	return nil
}

// dataSize counts what the snapshot's codec counts at least.
func dataSize(data map[string][]byte) int64 {
	var size int64
	for key, value := range data {
		size += int64(len(key)) + int64(len(value))
	}
	return size
}
