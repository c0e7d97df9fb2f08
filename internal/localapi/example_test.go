package localapi_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
	"github.com/syncworker/syncworker/api/syncworker/v1/syncworkerv1connect"
	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/localapi"
)

func Example() {
	dir, err := os.MkdirTemp("", "sw")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "api.sock")
	sessions := &fakeSessions{onJoin: func(context.Context, handoff.PlayerID, string, time.Duration) (*handoff.Grant, error) {
		return nil, &handoff.Refusal{Reason: handoff.ReasonHeld, Holder: "lobby"}
	}}
	server, err := localapi.New(localapi.Ports{
		Sessions: sessions, Game: newFakeGame(), Worker: &fakeWorker{}, Checkouts: &fakeRedis{}, Gate: &fakeRedis{},
		Releases: &fakeReleases{},
		Logger:   hclog.NewNullLogger(), Registerer: prometheus.NewRegistry(),
	}, localapi.Config{Server: "survival-1", Listen: "unix://" + path})
	if err != nil {
		fmt.Println(err)
		return
	}
	ended := make(chan error)
	if err := server.Listen(); err != nil {
		fmt.Println(err)
		return
	}
	go func() { ended <- server.Execute() }()

	// What a game server does.
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	client := syncworkerv1connect.NewPlayerServiceClient(&http.Client{Transport: transport}, "http://localhost")
	_, err = client.Join(context.Background(), &v1.JoinRequest{PlayerId: playerText})
	fmt.Println(err)

	transport.CloseIdleConnections()
	server.Interrupt(nil)
	fmt.Println("ended:", <-ended)
	// Output:
	// deadline_exceeded: another server still has the player checked out (holder: lobby)
	// ended: <nil>
}
