package redisstore_test

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/syncworker/syncworker/internal/devredis"
	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/keyspace"
	"github.com/syncworker/syncworker/internal/redisstore"
	"github.com/syncworker/syncworker/snapshotcodec"
)

func TestOpenWantsOneAddress(t *testing.T) {
	identity := redisstore.NewIdentity(redisstore.IdentityConfig{})
	for _, addresses := range [][]string{nil, {""}, {"a:1", "b:2"}} {
		_, _, err := redisstore.Open(redisstore.ClientConfig{Addresses: addresses}, identity)
		if !errors.Is(err, redisstore.ErrAddresses) || !strings.Contains(err.Error(), fmt.Sprintf("%q", addresses)) {
			t.Errorf("Open(%q) = %v, want ErrAddresses that names them", addresses, err)
		}
	}
}

// Everything in the config reaches the connections of both clients.
func TestOpenUsesTheConfig(t *testing.T) {
	dev := newDev(t)
	var dialed []string
	config := redisstore.ClientConfig{
		Addresses: []string{"redis.example:6400"},
		DB:        3,
		Username:  "worker",
		Password:  "secret",
		Dialer: func(ctx context.Context, network, address string) (net.Conn, error) {
			dialed = append(dialed, address)
			return dev.Dialer()(ctx, network, address)
		},
	}
	client, grants, err := redisstore.Open(config, redisstore.NewIdentity(redisstore.IdentityConfig{}))
	if err != nil {
		t.Fatal(err)
	}
	if len(dialed) != 0 {
		t.Errorf("dialed %v before the first command", dialed)
	}
	for _, c := range []interface{ Close() error }{client, grants} {
		t.Cleanup(func() { _ = c.Close() })
	}
	for _, options := range []struct{ user, password string }{
		{client.Options().Username, client.Options().Password}, {grants.Options().Username, grants.Options().Password},
	} {
		if options.user != "worker" || options.password != "secret" {
			t.Errorf("got user %q and password %q", options.user, options.password)
		}
	}
	config.Username, config.Password = "", ""
	config.TLS = &tls.Config{ServerName: "redis.example", MinVersion: tls.VersionTLS12}
	secure, secureGrants, err := redisstore.Open(config, redisstore.NewIdentity(redisstore.IdentityConfig{}))
	if err != nil || secure.Options().TLSConfig != config.TLS || secure.Options().DB != 3 {
		t.Errorf("got %+v, %v; want TLS and database 3", secure.Options(), err)
	}
	for _, c := range []interface{ Close() error }{secure, secureGrants} {
		t.Cleanup(func() { _ = c.Close() })
	}
	if err := secure.Ping(context.Background()).Err(); err != nil {
		t.Fatal(err)
	}
	if len(dialed) != 1 || dialed[0] != "redis.example:6400" {
		t.Errorf("dialed %v, want the address once", dialed)
	}
	var databases []int
	dev.Intercept(func(c devredis.Command) devredis.Verdict {
		databases = append(databases, c.DB)
		return devredis.Pass
	})
	if err := secure.Ping(context.Background()).Err(); err != nil || databases[len(databases)-1] != 3 {
		t.Errorf("got databases %v, %v; want 3", databases, err)
	}
}

// One claim with the list, one check-in: two round trips and three commands,
// and no greeting but the one per connection.
func TestCommandsOfAHandoff(t *testing.T) {
	dev := newDev(t)
	r := newRig(t, dev)
	ctx := context.Background()
	a := r.store("a")
	run := func() {
		t.Helper()
		p := r.player()
		got := a.Claim(ctx, p, handoff.Claim{Enlist: true, AllowUnknown: true})
		if answer := checkIn(got.Fence, 1)(a, p); answer != "done" {
			t.Fatalf("got %q, want done", answer)
		}
	}
	run()
	var commands []string
	dev.Intercept(func(c devredis.Command) devredis.Verdict {
		commands = append(commands, strings.ToUpper(c.Args[0]))
		return devredis.Pass
	})
	run()
	dev.Intercept(nil)
	if got := strings.Join(commands, " "); got != "SADD EVALSHA EVALSHA" {
		t.Errorf("sent %s, want SADD EVALSHA EVALSHA", got)
	}
}

// The scripts read the version where the codec writes it.
func TestVersionWhereTheCodecWritesIt(t *testing.T) {
	codec, err := snapshotcodec.New(snapshotcodec.Config{})
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, newDev(t))
	ctx := context.Background()
	client, grants := r.clients(redisstore.NewIdentity(redisstore.IdentityConfig{}))
	a := redisstore.New(client, grants, codec, redisstore.Config{Space: r.space, Server: "a"})
	p := r.player()
	fence := a.Claim(ctx, p, handoff.Claim{AllowUnknown: true}).Fence
	version := handoff.Version{Fence: fence, Sequence: 0x0102030405}
	shot := &handoff.Snapshot{
		ID: handoff.SnapshotID{1}, Player: p, Server: "a", Version: version, SaveCause: "DISCONNECT",
		CapturedAt: time.Unix(1, 0).UTC(), CreatedAt: time.Unix(2, 0).UTC(), Data: map[string][]byte{"k": []byte("v")},
	}
	packed, err := codec.Pack(shot)
	if err != nil {
		t.Fatal(err)
	}
	if got := binary.BigEndian.Uint64(packed[snapshotcodec.VersionOffset:]); got != uint64(fence) {
		t.Fatalf("fence %d at VersionOffset, want %d", got, fence)
	}
	if got := a.CheckIn(ctx, shot, packed); got.Outcome != handoff.WriteDone {
		t.Fatalf("check in: got %s", describeWritten(got))
	}
	checkout, err := a.Inspect(ctx, p)
	if err != nil || checkout.Version != version || checkout.Size != int64(len(packed)) {
		t.Errorf("got %+v, %v; want version %s in %d bytes", checkout, err, version, len(packed))
	}
	got := a.Claim(ctx, p, handoff.Claim{})
	if got.Err != nil || got.Update == nil || got.Update.Version != version || string(got.Update.Data["k"]) != "v" {
		t.Errorf("got %s, want the snapshot back", describeClaimed(got))
	}
	if kept := r.admin.Exists(ctx, r.space.Quarantine(p)).Val(); kept != 0 {
		t.Error("a snapshot of the codec was quarantined")
	}
}

func Example() {
	ctx := context.Background()
	server, err := devredis.New(devredis.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	space, err := keyspace.New(keyspace.DefaultNamespace, "main")
	if err != nil {
		fmt.Println(err)
		return
	}
	identity := redisstore.NewIdentity(redisstore.IdentityConfig{})
	client, grants, err := redisstore.Open(redisstore.ClientConfig{
		Addresses: []string{"127.0.0.1:6379"}, Dialer: server.Dialer(),
	}, identity)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { fmt.Println(errors.Join(client.Close(), grants.Close())) }()

	lobby := redisstore.New(client, grants, plainCodec{}, redisstore.Config{Space: space, Server: "lobby"})
	arena := redisstore.New(client, grants, plainCodec{}, redisstore.Config{Space: space, Server: "arena"})
	player := handoff.PlayerID{1}

	mine := lobby.Claim(ctx, player, handoff.Claim{Enlist: true, AllowUnknown: true})
	held := arena.Claim(ctx, player, handoff.Claim{Enlist: true})
	fmt.Println(held.Outcome == handoff.ClaimHeld, held.Holder.Server)

	final := snapshot(player, handoff.Version{Fence: mine.Fence, Sequence: 1})
	fmt.Println(lobby.CheckIn(ctx, final, pack(final)).Outcome == handoff.WriteDone)

	theirs := arena.Claim(ctx, player, handoff.Claim{Enlist: true})
	fmt.Println(theirs.Outcome == handoff.ClaimGranted, theirs.Update.Version.Sequence, theirs.Fence > mine.Fence)
	// Output:
	// true lobby
	// true
	// true 1 true
	// <nil>
}
