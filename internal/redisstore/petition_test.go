package redisstore_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/redisstore"
)

// A petition reaches whoever listens on the server's own channel, and nobody
// else.
func testPetition(t *testing.T, r *rig) {
	ctx := context.Background()
	a := r.store("a")
	for _, fence := range []handoff.Fence{0, 1, late, handoff.MaxSequence} {
		p := r.player()
		if err := a.Petition(ctx, "b", p, "a", fence); err != nil {
			t.Fatalf("to nobody: %v", err) // A hint that gets lost is no failure.
		}
		sub := r.admin.Subscribe(ctx, r.space.Petitions("b"), r.space.Petitions("c"))
		for range 2 {
			if _, err := sub.Receive(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.Petition(ctx, "b", p, "a", fence); err != nil {
			t.Fatal(err)
		}
		message, err := sub.ReceiveMessage(ctx)
		if err != nil || message.Channel != r.space.Petitions("b") {
			t.Fatalf("got %v, %v", message, err)
		}
		player, petitioned, err := redisstore.ParsePetition(message.Payload)
		if want := (handoff.Petitioned{By: "a", Fence: fence}); err != nil || player != p || petitioned != want {
			t.Errorf("%q: got %s, %+v, %v; want %s, %+v", message.Payload, player, petitioned, err, p, want)
		}
		if err := sub.Close(); err != nil {
			t.Error(err)
		}
	}
}

const petitioner = "069a79f4-44e9-4726-a5be-fca90e38aaf5"

// Anybody may publish anything.
func TestParsePetitionRefuses(t *testing.T) {
	longest := petitioner + " 9007199254740991 " + strings.Repeat("s", handoff.MaxServerID)
	if _, got, err := redisstore.ParsePetition(longest); err != nil || got.Fence != handoff.MaxSequence {
		t.Errorf("the longest: got %+v, %v", got, err)
	}
	for _, text := range []string{
		"",
		" ",
		"  ",
		petitioner,
		petitioner + " 7",
		petitioner + " 7 ",
		petitioner + " 7 b c",
		petitioner + " 7  b",
		" " + petitioner + " 7 b",
		petitioner + " 7 b\n",
		petitioner + "\t7 b",
		strings.ToUpper(petitioner) + " 7 b",
		strings.ReplaceAll(petitioner, "-", "") + " 7 b",
		petitioner[:35] + " 7 b",
		petitioner + " -7 b",
		petitioner + " +7 b",
		petitioner + " 07 b",
		petitioner + " 7.0 b",
		petitioner + " 0x7 b",
		petitioner + " 9007199254740992 b",
		petitioner + " 99999999999999999999 b",
		petitioner + " 7 B",
		petitioner + " 7 b:c",
		petitioner + " 7 " + strings.Repeat("s", handoff.MaxServerID+1),
		longest + "s",
		strings.Repeat(" ", 1<<20),
		"\xff\xfe",
	} {
		player, petitioned, err := redisstore.ParsePetition(text)
		if !errors.Is(err, redisstore.ErrBadPetition) || player != (handoff.PlayerID{}) || petitioned != (handoff.Petitioned{}) {
			t.Errorf("%.60q: got %s, %+v, %v; want ErrBadPetition", text, player, petitioned, err)
		}
		if err != nil && len(err.Error()) > 1000 {
			t.Errorf("%.60q: the error has %d bytes", text, len(err.Error()))
		}
	}
}

// FuzzParsePetition checks that whatever is accepted is what Petition sends.
func FuzzParsePetition(f *testing.F) {
	f.Add(petitioner + " 7 b")
	f.Add(petitioner + " 0 survival-1.eu_2")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		player, petitioned, err := redisstore.ParsePetition(text)
		if err == nil && player.String()+" "+petitioned.Fence.String()+" "+string(petitioned.By) != text {
			t.Errorf("%q was taken for %s, %+v", text, player, petitioned)
		}
	})
}
