package handoff_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/syncworker/syncworker/internal/handoff"
)

const (
	dashed   = "069a79f4-44e9-4726-a5be-fca90e38aaf5"
	undashed = "069a79f444e94726a5befca90e38aaf5"
)

func TestPlayerIDTakesAllForms(t *testing.T) {
	for _, text := range []string{dashed, undashed, strings.ToUpper(dashed), strings.ToUpper(undashed)} {
		id, err := handoff.ParsePlayerID(text)
		if err != nil || id.String() != dashed {
			t.Errorf("%s: got %v, %v", text, id, err)
		}
	}
	for _, text := range []string{
		"", "069a79f4", dashed + "0", undashed[:31], undashed + "0", strings.Replace(dashed, "-", "_", 1),
		"g" + dashed[1:], strings.Repeat("x", 1<<20),
	} {
		_, err := handoff.ParsePlayerID(text)
		if !errors.Is(err, handoff.ErrBadPlayerID) || len(err.Error()) > 200 {
			t.Errorf("%.40q: got %.200v", text, err)
		}
	}
}

func TestSnapshotIDRoundTrip(t *testing.T) {
	id, err := handoff.ParseSnapshotID(undashed)
	if err != nil || id.String() != dashed || id.IsZero() {
		t.Errorf("got %v, %v", id, err)
	}
	if _, err := handoff.ParseSnapshotID("x"); !errors.Is(err, handoff.ErrBadSnapshotID) {
		t.Errorf("got %v", err)
	}
}

func TestServerID(t *testing.T) {
	if id, err := handoff.ParseServerID("Survival-1.a_B"); err != nil || id != "survival-1.a_b" {
		t.Errorf("got %v, %v", id, err)
	}
	for _, text := range []string{"", "a b", "a:b", "{a}", "ä", "a\n", strings.Repeat("a", handoff.MaxServerID+1)} {
		if _, err := handoff.ParseServerID(text); !errors.Is(err, handoff.ErrBadServerID) {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

func TestSessionIDRoundTrip(t *testing.T) {
	player, err := handoff.ParsePlayerID(dashed)
	if err != nil {
		t.Fatal(err)
	}
	want := handoff.SessionID{Player: player, Fence: 1795398968056277}
	got, err := handoff.ParseSessionID(want.String())
	if err != nil || got != want {
		t.Errorf("got %v, %v", got, err)
	}
	if text := (handoff.SessionID{}).String(); text != "" {
		t.Errorf("no session is %q", text)
	}
	for _, text := range []string{"", dashed, dashed + ".", dashed + ".0", dashed + ".-1", dashed + ".1x", "x.1", dashed + ".99999999999999999999"} {
		if _, err := handoff.ParseSessionID(text); !errors.Is(err, handoff.ErrBadSessionID) {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

func TestVersionsAreOrderedByFenceFirst(t *testing.T) {
	ordered := []handoff.Version{{}, {Fence: 1, Sequence: 9}, {Fence: 2, Sequence: 1}, {Fence: 2, Sequence: 2}}
	shuffled := []handoff.Version{ordered[2], ordered[0], ordered[3], ordered[1]}
	slices.SortFunc(shuffled, handoff.Version.Compare)
	if !slices.Equal(shuffled, ordered) {
		t.Errorf("got %v", shuffled)
	}
}

// TestCarryForward is T24: what the capture does not mention stays, and the base
// is not changed.
func TestCarryForward(t *testing.T) {
	base := map[string][]byte{"x": []byte("1"), "y": []byte("2"), "z": []byte("3")}
	c := handoff.Capture{Data: map[string][]byte{"x": []byte("10"), "new": nil}, Removed: []string{"z", "unknown"}}
	got := c.Over(base)
	if len(got) != 3 || string(got["x"]) != "10" || string(got["y"]) != "2" || got["new"] != nil {
		t.Errorf("got %q", got)
	}
	if len(base) != 3 || string(base["x"]) != "1" {
		t.Errorf("the base became %q", base)
	}
	// A key that is both removed and set is set.
	if got := (&handoff.Capture{Data: map[string][]byte{"z": []byte("4")}, Removed: []string{"z"}}).Over(base); string(got["z"]) != "4" {
		t.Errorf("got %q", got)
	}
}

func TestEveryReasonHasAName(t *testing.T) {
	for reason := handoff.ReasonHeld; reason <= handoff.ReasonDamaged; reason++ {
		if reason.String() == "INVALID" || strings.Contains(reason.Explain(), "unnamed") {
			t.Errorf("reason %d has no name or no text", reason)
		}
	}
	refusal := &handoff.Refusal{Reason: handoff.ReasonHeld, Holder: "b", Err: handoff.ErrDamaged}
	if !errors.Is(refusal, handoff.ErrDamaged) || !strings.Contains(refusal.Error(), "holder: b") {
		t.Errorf("got %v", refusal)
	}
}
