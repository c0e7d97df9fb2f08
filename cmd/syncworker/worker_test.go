package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
	"github.com/syncworker/syncworker/api/syncworker/v1/syncworkerv1connect"
)

const (
	alice = "069a79f4-44e9-4726-a5be-fca90e38aaf5"
	bob   = "61699b2e-d327-4a01-9f1e-0ea8c3f06bc6"
)

// fakeWorker answers operators with what the test put there.
type fakeWorker struct {
	syncworkerv1connect.UnimplementedAdminServiceHandler
	status   *v1.GetStatusResponse
	pages    [][]*v1.Session
	checkout *v1.GetCheckoutResponse
	err      error
	// token is asked for when it is not empty.
	token string
	// release is the last one ordered, releases answers the list of them and
	// asked is what was asked for.
	release  *v1.ReleaseCheckoutRequest
	releases []*v1.Release
	asked    *v1.ListReleasesRequest
}

func (f *fakeWorker) GetStatus(context.Context, *v1.GetStatusRequest) (*v1.GetStatusResponse, error) {
	return f.status, f.err
}

func (f *fakeWorker) ListSessions(_ context.Context, request *v1.ListSessionsRequest) (*v1.ListSessionsResponse, error) {
	page := len(request.GetPageToken())
	response := &v1.ListSessionsResponse{}
	if page < len(f.pages) {
		response.Sessions = f.pages[page]
	}
	if page+1 < len(f.pages) {
		response.NextPageToken = request.GetPageToken() + "x"
	}
	return response, f.err
}

func (f *fakeWorker) GetCheckout(context.Context, *v1.GetCheckoutRequest) (*v1.GetCheckoutResponse, error) {
	return f.checkout, f.err
}

func (f *fakeWorker) ReleaseCheckout(
	_ context.Context, request *v1.ReleaseCheckoutRequest,
) (*v1.ReleaseCheckoutResponse, error) {
	f.release = request
	return &v1.ReleaseCheckoutResponse{Holder: "survival-1", Fence: 42, Forced: request.GetForce()}, f.err
}

func (f *fakeWorker) ListReleases(_ context.Context, request *v1.ListReleasesRequest) (*v1.ListReleasesResponse, error) {
	f.asked = request
	return &v1.ListReleasesResponse{Releases: f.releases}, f.err
}

// ServeHTTP checks the token before the call, as the local API does.
func (f *fakeWorker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f.token != "" && r.Header.Get("Authorization") != "Bearer "+f.token {
		_ = connect.NewErrorWriter().Write(w, r, connect.NewError(connect.CodeUnauthenticated, errors.New("no token")))
		return
	}
	_, handler := syncworkerv1connect.NewAdminServiceHandler(f)
	handler.ServeHTTP(w, r)
}

// serve starts the worker and returns its address.
func (f *fakeWorker) serve(t *testing.T, network, address string) string {
	t.Helper()
	return serve(t, f, network, address)
}

func serve(t *testing.T, handler http.Handler, network, address string) string {
	t.Helper()
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // ends with ErrServerClosed
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return network + "://" + listener.Addr().String()
}

// socket returns a path for a socket; those of t.TempDir are too long.
func socket(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "sw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	return filepath.Join(folder, "api.sock")
}

func (f *fakeWorker) onSocket(t *testing.T) string {
	t.Helper()
	return f.serve(t, "unix", socket(t))
}

func healthy() *v1.GetStatusResponse {
	return &v1.GetStatusResponse{
		ServerId: "survival-1", ClusterId: "main", Mode: "lockstep", Version: "v1", Incarnation: "abc",
		Uptime: durationpb.New(3*time.Hour + 2*time.Minute), LeaseHeld: true,
		Redis: &v1.Health{Ok: true}, Database: &v1.Health{Ok: true},
		Events:          &v1.EventHealth{Level: v1.EventLevel_EVENT_LEVEL_EVENTS},
		Game:            &v1.Game{Attached: true, BootId: "boot", Platform: "bukkit", GameVersion: "1.21.4"},
		SessionsByPhase: map[string]uint32{"present": 12, "waiting": 1},
	}
}

func TestStatusOfAHealthyWorker(t *testing.T) {
	api := (&fakeWorker{status: healthy()}).onSocket(t)
	got := run(t, "status", "-api", api)
	got.want(t, 0,
		"survival-1 (cluster main, mode lockstep)", "up 3h2m", "held", "attached: bukkit 1.21.4, boot boot",
		"granted", "13: 12 present, 1 waiting")
	if strings.Contains(got.out, "spool") || strings.Contains(got.out, "recovery") {
		t.Errorf("the status has lines that say nothing:\n%s", got.out)
	}
}

func TestStatusDuringAnOutage(t *testing.T) {
	status := healthy()
	status.Spool = &v1.SpoolHealth{Entries: 3, Bytes: 64 << 20, MaxBytes: 256 << 20}
	status.Database = &v1.Health{Problem: "database is locked"}
	status.DatabaseReadsPaused = true
	api := (&fakeWorker{status: status}).onSocket(t)
	run(t, "status", "--api", api).want(t, 0,
		"NOT OK: database is locked; joins do without it where redis has the data, the others are REFUSED",
		"3 saves (64 MiB) on local disk only until redis and the database take them, 25% of spool.max_size")

	status.Database = &v1.Health{Ok: true}
	status.Spool = &v1.SpoolHealth{Entries: 1, Bytes: 512, Recovering: 1}
	status.LeaseSuspect, status.DatabaseWritesPaused = true, true
	run(t, "status", "--api", api).want(t, 0, "it did not answer in time, and is tried again; joins do without it", "REFUSED; saves go to the spool", "1 save (512 B) on local disk only",
		"1 save of an earlier run still to be replayed", "SUSPECT")
	status.LeaseRestarting = true
	status.DatabaseReadsPaused, status.DatabaseWritesPaused = false, false
	run(t, "status", "--api", api).want(t, 0, "kept for the restart in place")
}

func TestStatusShowsWhatIsWrong(t *testing.T) {
	status := healthy()
	status.LeaseHeld = false
	status.Redis = &v1.Health{Problem: "connection refused"}
	status.Events = &v1.EventHealth{Level: v1.EventLevel_EVENT_LEVEL_POLLING, Reason: "CONFIG is forbidden"}
	status.Game = nil
	status.SessionsByPhase = nil
	f := &fakeWorker{status: status}
	api := f.onSocket(t)
	run(t, "status", "--api", api).want(t, 0,
		"MISSING", "NOT OK: connection refused", "CONFIG is forbidden", "NOT ATTACHED", "refused until a game attaches", "none")

	status.SettleUntil = timestamppb.New(time.Now().Add(time.Hour))
	run(t, "status", "--api", api).want(t, 0, "granted in 1h0m")
	status.Draining = true
	run(t, "status", "--api", api).want(t, 0, "REFUSED: the worker is stopping")
}

func TestStatusAsJSONHasTheNamesOfTheAPI(t *testing.T) {
	got := run(t, "status", "--json", "--api", (&fakeWorker{status: healthy()}).onSocket(t))
	got.want(t, 0)
	var status struct {
		ServerID  string `json:"serverId"`
		LeaseHeld bool   `json:"leaseHeld"`
		Draining  *bool  `json:"draining"`
	}
	if err := json.Unmarshal([]byte(got.out), &status); err != nil {
		t.Fatal(err)
	}
	if status.ServerID != "survival-1" || !status.LeaseHeld || status.Draining == nil {
		t.Errorf("got %s", got.out)
	}
}

func TestWorkerIsFoundByItsConfiguration(t *testing.T) {
	path := socket(t)
	(&fakeWorker{status: healthy()}).serve(t, "unix", path)
	file := configFile(t, "server {\n  id = \"lobby\"\n}\napi {\n  listen = \"unix://"+path+"\"\n}\n")
	run(t, "status", "-config", file).want(t, 0, "survival-1")

	t.Setenv("SYNCWORKER_SERVER__ID", "lobby")
	t.Setenv("SYNCWORKER_API__LISTEN", "unix://"+path)
	run(t, "status").want(t, 0, "survival-1")
}

func TestTokenIsSent(t *testing.T) {
	api := (&fakeWorker{status: healthy(), token: "secret"}).serve(t, "tcp", "127.0.0.1:0")
	token := configFile(t, "secret\n")
	run(t, "status", "--api", api, "--token-file", token).want(t, 0, "survival-1")
	run(t, "status", "--api", api).want(t, 1, "refuses the token", "--token-file")
	run(t, "status", "--api", api, "--token-file", token+"x").want(t, 1, "read the token", "no such file")

	file := configFile(t, "server {\n  id = \"a\"\n}\napi {\n  listen = \""+api+"\"\n  token_file = \""+token+"\"\n}\n")
	run(t, "status", "-config", file).want(t, 0, "survival-1")
}

func TestNoWorkerThere(t *testing.T) {
	path := socket(t)
	run(t, "status", "--api", "unix://"+path).want(t, 1,
		"no worker answers at unix://"+path+": there is no such socket. Is the worker running", "-config FILE")

	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	listener.SetUnlinkOnClose(false)
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	run(t, "status", "--api", "unix://"+path).want(t, 1, "no worker answers", "nothing listens there")
}

func TestWhatListensIsNoWorker(t *testing.T) {
	api := serve(t, http.NotFoundHandler(), "unix", socket(t))
	run(t, "status", "--api", api).want(t, 1, "is no worker of this version")
}

func TestFrozenWorker(t *testing.T) {
	release := make(chan struct{})
	frozen := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release })
	api := serve(t, frozen, "unix", socket(t))
	t.Cleanup(func() { close(release) })
	shorten(t, 50*time.Millisecond)
	run(t, "status", "--api", api).want(t, 1, "does not answer within 50ms")
}

// shorten lets calls end sooner than they do for operators.
func shorten(t *testing.T, limit time.Duration) {
	t.Helper()
	before := callTimeout
	callTimeout = limit
	t.Cleanup(func() { callTimeout = before })
}

func TestConfigurationThatIsBrokenIsNotInTheWay(t *testing.T) {
	file := configFile(t, "redis {\n  db = x\n}\n")
	run(t, "status", "-config", file).want(t, 2, "configuration refused", "name the worker's socket: --api")
	api := (&fakeWorker{status: healthy()}).onSocket(t)
	run(t, "status", "-config", file, "--api", api).want(t, 0, "survival-1")
}

func sessions() [][]*v1.Session {
	return [][]*v1.Session{
		{{
			PlayerId: alice, PlayerName: "Ali\x1b[31mce", Phase: "present", Live: true, Unstored: 2,
			Since: timestamppb.New(time.Now().Add(-time.Hour)), Version: &v1.Version{Fence: 42, Sequence: 7},
		}},
		{{PlayerId: bob, Phase: "waiting", WaitsFor: "survival-2"}},
	}
}

func TestPlayersOfAllPages(t *testing.T) {
	api := (&fakeWorker{pages: sessions()}).onSocket(t)
	got := run(t, "players", "--api", api)
	got.want(t, 0, "PLAYER", alice, "Ali?[31mce", "present", "1h0m", "42/7", bob, "waiting", "survival-2")
	if strings.Contains(got.out, "\x1b") {
		t.Error("a player's name reached the terminal as it is")
	}

	got = run(t, "players", "--json", "--api", api)
	var list struct {
		Sessions []struct {
			PlayerID string `json:"playerId"`
			WaitsFor string `json:"waitsFor"`
		} `json:"sessions"`
	}
	if err := json.Unmarshal([]byte(got.out), &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Sessions) != 2 || list.Sessions[1].PlayerID != bob || list.Sessions[1].WaitsFor != "survival-2" {
		t.Errorf("got %+v", list)
	}
}

func TestNoPlayers(t *testing.T) {
	api := (&fakeWorker{}).onSocket(t)
	run(t, "players", "--api", api).want(t, 0, "no players")
	run(t, "players", "--api", api, "--json").want(t, 0, `"sessions": []`)
}

func TestGetCheckout(t *testing.T) {
	f := &fakeWorker{checkout: &v1.GetCheckoutResponse{
		PlayerId: alice, Holder: "survival-1", Fence: 42,
		HolderLease: &v1.Lease{Host: "box", Pid: 77, ExpiresIn: durationpb.New(8 * time.Second)},
		Update:      &v1.StoredUpdate{Version: &v1.Version{Fence: 41, Sequence: 3}, Size: 16 << 10},
		Session:     sessions()[1][0],
	}}
	api := f.onSocket(t)
	run(t, "checkouts", "get", alice, "--api", api).want(t, 0,
		"survival-1, alive: its lease lasts 8s more (host box, pid 77)", "42",
		"version 41/3, 16 KiB, stays until the database has it", "waiting", "waits for survival-2")

	f.checkout.HolderLease.Restarting = true
	run(t, "checkouts", "get", alice, "--api", api).want(t, 0, "survival-1, RESTARTING, expected back: its lease lasts 8s more")

	f.checkout.HolderLease, f.checkout.Session = nil, nil
	f.checkout.Update.ExpiresIn = durationpb.New(time.Hour)
	run(t, "checkouts", "get", alice, "--api", api).want(t, 0, "survival-1, which is DEAD", "stays for 1h0m")

	f.checkout = &v1.GetCheckoutResponse{PlayerId: alice}
	run(t, "checkouts", "get", strings.ReplaceAll(alice, "-", ""), "--api", api).want(t, 0, "nobody", "none: redis does not know")
	run(t, "checkouts", "get", alice, "--api", api, "--json").want(t, 0, `"holder": ""`)
}

func TestRefusalNamesTheReason(t *testing.T) {
	wire := connect.NewError(connect.CodeFailedPrecondition, errors.New("survival-1 is alive"))
	detail, err := connect.NewErrorDetail(&v1.ErrorDetail{Reason: v1.ErrorReason_ERROR_REASON_HOLDER_ALIVE})
	if err != nil {
		t.Fatal(err)
	}
	wire.AddDetail(detail)
	f := &fakeWorker{err: wire}
	api := f.onSocket(t)
	run(t, "checkouts", "release", alice, "--reason", "x", "--api", api).want(t, 1,
		"refused by the worker: survival-1 is alive (HOLDER_ALIVE)")

	f.err = connect.NewError(connect.CodeInternal, errors.New("broken"))
	run(t, "checkouts", "get", alice, "--api", api).want(t, 1, "refused by the worker: broken (internal)")
}
