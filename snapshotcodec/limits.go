package snapshotcodec

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/syncworker/syncworker/internal/handoff"
)

// The seconds of the years 1 to 9999, the only ones that JSON, protobuf and
// the databases can all express.
const (
	firstSecond = -62135596800
	lastSecond  = 253402300799
)

// checkMeta holds the metadata against the limits, in both directions: what
// can be read can be written again. Errors name the field.
func checkMeta(s *Snapshot) error {
	if err := checkIdentity(s); err != nil {
		return err
	}
	for _, text := range [...]struct {
		field, value string
		limit        int
	}{
		{"player name", s.PlayerName, handoff.MaxPlayerName},
		{"save cause", s.SaveCause, handoff.MaxSaveCause},
		{"platform", s.Platform, handoff.MaxLabel},
		{"game version", s.GameVersion, handoff.MaxLabel},
	} {
		if err := checkText(text.field, text.value, text.limit); err != nil {
			return err
		}
	}
	if err := checkTime("captured at", s.CapturedAt); err != nil {
		return err
	}
	return checkTime("created at", s.CreatedAt)
}

func checkIdentity(s *Snapshot) error {
	if s.ID.IsZero() {
		return errors.New("snapshot id is missing")
	}
	if s.Player == (handoff.PlayerID{}) {
		return errors.New("player id is missing")
	}
	if s.Version.Fence < 1 || s.Version.Fence > maxNumber {
		return fmt.Errorf("fence %d is outside 1 to 2^53-1", s.Version.Fence)
	}
	if s.Version.Sequence < 1 || s.Version.Sequence > maxNumber {
		return fmt.Errorf("sequence %d is outside 1 to 2^53-1", s.Version.Sequence)
	}
	server, err := handoff.ParseServerID(string(s.Server))
	if err != nil {
		return fmt.Errorf("server: %w", err)
	}
	if server != s.Server {
		return fmt.Errorf("server %q is not lower case", s.Server)
	}
	return nil
}

// checkText refuses what the local API (UTF-8) or a database column (length,
// NUL) could not carry either.
func checkText(field, value string, limit int) error {
	switch {
	case len(value) > limit:
		return fmt.Errorf("%s has %d bytes, the limit is %d", field, len(value), limit)
	case !utf8.ValidString(value):
		return fmt.Errorf("%s is not UTF-8", field)
	case strings.IndexByte(value, 0) >= 0:
		return fmt.Errorf("%s contains a NUL byte", field)
	}
	return nil
}

func checkTime(field string, t time.Time) error {
	if seconds := t.Unix(); seconds < firstSecond || seconds > lastSecond {
		return fmt.Errorf("%s is outside the years 1 to 9999", field)
	}
	return nil
}

func checkKeyCount(count int) error {
	if count > handoff.MaxDataKeys {
		return fmt.Errorf("%d data keys, the limit is %d", count, handoff.MaxDataKeys)
	}
	return nil
}

func checkKey(key string) error {
	if key == "" {
		return errors.New("a data key is empty")
	}
	return checkText("a data key", key, handoff.MaxDataKey)
}
