package keyspace_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/keyspace"
)

const uuid = "11111111-2222-3333-4444-5555555555ab"

func player(t testing.TB, text string) handoff.PlayerID {
	t.Helper()
	id, err := handoff.ParsePlayerID(text)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func space(t testing.TB) keyspace.Space {
	t.Helper()
	s, err := keyspace.New(keyspace.DefaultNamespace, "Main")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// built is every key there is, for one player and one server, with what Parse
// must find in it.
func built(s keyspace.Space, p handoff.PlayerID, id handoff.ServerID) map[string]keyspace.Parsed {
	return map[string]keyspace.Parsed{
		s.Checkout(p):   {Type: keyspace.Checkout, Player: p},
		s.Fence(p):      {Type: keyspace.Fence, Player: p},
		s.Update(p):     {Type: keyspace.Update, Player: p},
		s.Quarantine(p): {Type: keyspace.Quarantine, Player: p},
		s.Switch(p):     {Type: keyspace.Switch, Player: p},
		s.Lease(id):     {Type: keyspace.Lease, Server: id},
		s.Checkouts(id): {Type: keyspace.Checkouts, Server: id},
		s.Probe(id):     {Type: keyspace.Probe, Server: id},
	}
}

func TestKeysAsWritten(t *testing.T) {
	s, p := space(t), player(t, strings.ToUpper(uuid))
	for _, test := range []struct{ got, want string }{
		{s.Checkout(p), "syncworker:main:data_checkout:{" + uuid + "}"},
		{s.Fence(p), "syncworker:main:data_fence:{" + uuid + "}"},
		{s.Update(p), "syncworker:main:data_update:{" + uuid + "}"},
		{s.Quarantine(p), "syncworker:main:data_quarantine:{" + uuid + "}"},
		{s.Switch(p), "syncworker:main:server_switch:{" + uuid + "}"},
		{s.Lease("survival-1"), "syncworker:main:server_lease:survival-1"},
		{s.Checkouts("survival-1"), "syncworker:main:server_checkouts:survival-1"},
		{s.Probe("survival-1"), "syncworker:main:event_probe:survival-1"},
		{s.Key(handoff.KeyCheckout, p), s.Checkout(p)},
		{s.Key(handoff.KeyUpdate, p), s.Update(p)},
		{s.Key(handoff.KeySwitch, p), s.Switch(p)},
		{s.Key(0, p), ""},
		{s.Petitions("survival-1"), "syncworker:main:petition:survival-1"},
		{s.String(), "syncworker:main:"},
		{keyspace.Channel(3, s.Checkout(p)), "__keyspace@3__:syncworker:main:data_checkout:{" + uuid + "}"},
	} {
		if test.got != test.want {
			t.Errorf("got %q, want %q", test.got, test.want)
		}
	}
}

// The channel of petitions is no key, and no channel of a key.
func TestPetitionsAreNoKey(t *testing.T) {
	channel := space(t).Petitions("lobby")
	if got, err := space(t).Parse(channel); !errors.Is(err, keyspace.ErrBadKey) {
		t.Errorf("Parse(%q) = %+v, %v; want ErrBadKey", channel, got, err)
	}
	if _, key, err := keyspace.ParseChannel(channel); !errors.Is(err, keyspace.ErrBadChannel) {
		t.Errorf("ParseChannel(%q) = %q, %v; want ErrBadChannel", channel, key, err)
	}
}

func TestParseRoundTrip(t *testing.T) {
	s := space(t)
	for key, want := range built(s, player(t, uuid), "lobby_2.eu") {
		got, err := s.Parse(key)
		if err != nil || got != want {
			t.Errorf("Parse(%q) = %+v, %v; want %+v", key, got, err, want)
		}
	}
}

// Every key of a player must be in one slot, or no script could touch two.
func TestOneHashTagPerPlayer(t *testing.T) {
	s, p := space(t), player(t, uuid)
	for key, parsed := range built(s, p, "lobby") {
		_, rest, _ := strings.Cut(key, "{")
		tag, _, _ := strings.Cut(rest, "}")
		if want := p.String(); parsed.Server == "" && tag != want {
			t.Errorf("%q has the hash tag %q, want %q", key, tag, want)
		}
		if parsed.Server != "" && tag != "" {
			t.Errorf("%q has the hash tag %q, want none", key, tag)
		}
	}
}

func TestNewRefusesNames(t *testing.T) {
	for _, test := range []struct{ namespace, cluster, named string }{
		{"", "main", "namespace"},
		{"sync:worker", "main", "sync:worker"},
		{"syncworker", "", "cluster"},
		{"syncworker", "ma{in}", "ma{in}"},
		{"syncworker", strings.Repeat("m", handoff.MaxServerID+1), "cluster"},
	} {
		_, err := keyspace.New(test.namespace, test.cluster)
		if !errors.Is(err, keyspace.ErrBadName) || !strings.Contains(err.Error(), test.named) {
			t.Errorf("New(%q, %q) = %v, want ErrBadName naming %q", test.namespace, test.cluster, err, test.named)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	s := space(t)
	for _, key := range []string{
		"",
		"syncworker",
		"syncworker:main:",
		"syncworker:main:data_checkout",
		"syncworker:other:data_checkout:{" + uuid + "}",
		"syncworker:main:data_checkout:" + uuid,
		"syncworker:main:data_checkout:{" + uuid,
		"syncworker:main:data_checkout:{}",
		"syncworker:main:data_checkout:{" + strings.ToUpper(uuid) + "}",
		"syncworker:main:data_checkout:{" + strings.ReplaceAll(uuid, "-", "") + "}",
		"syncworker:main:data_checkout:{" + uuid + "}:more",
		"syncworker:main:DATA_CHECKOUT:{" + uuid + "}",
		"syncworker:main:data_checkin:{" + uuid + "}",
		"syncworker:main:server_lease:",
		"syncworker:main:server_lease:Lobby",
		"syncworker:main:server_lease:a:b",
		"syncworker:main:server_lease:{" + uuid + "}",
	} {
		_, err := s.Parse(key)
		if !errors.Is(err, keyspace.ErrBadKey) || !strings.Contains(err.Error(), key) {
			t.Errorf("Parse(%q) = %v, want ErrBadKey with the key", key, err)
		}
	}
}

func TestErrorsStayShort(t *testing.T) {
	_, err := space(t).Parse("syncworker:main:server_lease:" + strings.Repeat("\x00", 1<<20))
	if err == nil || len(err.Error()) > 2000 {
		t.Errorf("error of %d bytes, want a short one", len(err.Error()))
	}
}

func TestChannelRoundTrip(t *testing.T) {
	s, p := space(t), player(t, uuid)
	for _, db := range []int{0, 7, 15} {
		for key := range built(s, p, "lobby") {
			gotDB, gotKey, err := keyspace.ParseChannel(keyspace.Channel(db, key))
			if err != nil || gotDB != db || gotKey != key {
				t.Errorf("got %d, %q, %v; want %d, %q", gotDB, gotKey, err, db, key)
			}
		}
	}
}

func TestParseChannelRefuses(t *testing.T) {
	for _, channel := range []string{
		"", "__keyspace@", "__keyspace@__:k", "__keyspace@x__:k", "__keyspace@-1__:k",
		"__keyspace@01__:k", "__keyspace@+1__:k", "__keyevent@0__:set", "__keyspace@0_:k",
	} {
		_, _, err := keyspace.ParseChannel(channel)
		if !errors.Is(err, keyspace.ErrBadChannel) || !strings.Contains(err.Error(), channel) {
			t.Errorf("ParseChannel(%q) = %v, want ErrBadChannel with the channel", channel, err)
		}
	}
}

// Whatever parses is exactly what the methods build from the parts.
func FuzzParse(f *testing.F) {
	s := space(f)
	for key := range built(s, player(f, uuid), "lobby") {
		f.Add(key)
		f.Add(strings.ToUpper(key))
		f.Add(key + ":")
	}
	f.Fuzz(func(t *testing.T, key string) {
		parsed, err := s.Parse(key)
		if err != nil {
			if !errors.Is(err, keyspace.ErrBadKey) {
				t.Fatalf("Parse(%q) = %v, want ErrBadKey", key, err)
			}
			return
		}
		if back := built(s, parsed.Player, parsed.Server); back[key] != parsed {
			t.Fatalf("Parse(%q) = %+v, which builds other keys", key, parsed)
		}
	})
}

func FuzzParseChannel(f *testing.F) {
	f.Add("__keyspace@0__:syncworker:main:server_lease:lobby")
	f.Add("__keyspace@12__:")
	f.Fuzz(func(t *testing.T, channel string) {
		db, key, err := keyspace.ParseChannel(channel)
		if err != nil {
			if !errors.Is(err, keyspace.ErrBadChannel) {
				t.Fatalf("ParseChannel(%q) = %v, want ErrBadChannel", channel, err)
			}
			return
		}
		if got := keyspace.Channel(db, key); got != channel {
			t.Fatalf("ParseChannel(%q) builds %q", channel, got)
		}
	})
}

func ExampleSpace_Parse() {
	space, err := keyspace.New("syncworker", "main")
	if err != nil {
		fmt.Println(err)
		return
	}
	parsed, err := space.Parse("syncworker:main:data_checkout:{11111111-2222-3333-4444-555555555555}")
	fmt.Println(parsed.Type, parsed.Player, err)
	// Output: data_checkout 11111111-2222-3333-4444-555555555555 <nil>
}
