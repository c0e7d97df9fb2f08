package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
)

func TestReleaseCheckout(t *testing.T) {
	t.Setenv("SUDO_USER", "alice")
	f := &fakeWorker{}
	api := f.onSocket(t)
	got := run(t, "checkouts", "release", alice, "--reason", "survival-1 burnt down", "--api", api)
	got.want(t, 0, "released "+alice+", which survival-1 had checked out (fence 42)")
	if strings.Contains(got.out, "alive") {
		t.Errorf("got %s", got.out)
	}
	if r := f.release; r.GetReason() != "survival-1 burnt down" || r.GetForce() || r.GetOrderedBy() != "alice" || r.GetPlayerId() != alice {
		t.Errorf("the worker got %v", r)
	}
	run(t, "checkouts", "release", alice, "--reason", "x", "--json", "--api", api).want(t, 0, `"holder": "survival-1"`)

	run(t, "checkouts", "release", alice, "--force", "--reason", "x", "--api", api).want(t, 0,
		"survival-1 is alive: its game is told to remove the player")
	if !f.release.GetForce() {
		t.Errorf("the worker got %v", f.release)
	}
}

func TestOperatorIsAPrintableName(t *testing.T) {
	t.Setenv("SUDO_USER", "a\x1bb"+strings.Repeat("é", 60))
	if got, want := operator(), "a?b"+strings.Repeat("é", 22); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestReleaseLog(t *testing.T) {
	f := &fakeWorker{}
	api := f.onSocket(t)
	run(t, "checkouts", "log", "--api", api).want(t, 0, "no releases")
	run(t, "checkouts", "log", "--api", api, "--json").want(t, 0, `"releases": []`)

	f.releases = []*v1.Release{
		{
			PlayerId: alice, Holder: "survival-1", Fence: 42, Reason: "hangs \x1b[31m", Forced: true, By: "alice via lobby",
			At: timestamppb.New(time.Date(2026, 11, 23, 3, 4, 5, 0, time.UTC)),
		},
		{PlayerId: bob, Holder: "hub", Fence: 7, Reason: "left over", By: "somebody via lobby", At: timestamppb.New(time.Unix(0, 0))},
	}
	got := run(t, "checkouts", "log", "--api", api)
	got.want(t, 0, "FORCED", "2026-11-23T03:04:05Z", alice, "survival-1", "42", "yes", "alice via lobby", "hangs ?[31m",
		bob, "no", "somebody via lobby", "left over")
	if strings.Contains(got.out, "\x1b") {
		t.Error("a reason reached the terminal as it is")
	}
	if f.asked.GetPlayerId() != "" || f.asked.GetLimit() != 50 {
		t.Errorf("the worker was asked for %v", f.asked)
	}

	got = run(t, "checkouts", "log", strings.ReplaceAll(alice, "-", ""), "--limit", "7", "--json", "--api", api)
	var list struct {
		Releases []struct {
			PlayerID string `json:"playerId"`
			Forced   bool   `json:"forced"`
		} `json:"releases"`
	}
	if err := json.Unmarshal([]byte(got.out), &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Releases) != 2 || list.Releases[0].PlayerID != alice || !list.Releases[0].Forced {
		t.Errorf("got %s", got.out)
	}
	if f.asked.GetPlayerId() != alice || f.asked.GetLimit() != 7 {
		t.Errorf("the worker was asked for %v", f.asked)
	}
}
