//go:build real

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
	"github.com/syncworker/syncworker/internal/config"
)

// T20 with processes: the second worker of a server ID does not start, says who
// is in the way, and changes nothing.
func TestSecondWorkerOfOneServer(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, newRealServer(t, usual).withoutDenials())
	a := n.played("a", "boot-a")
	player := playerNumber(1)
	session := a.enter(player).SessionId
	n.change = func(c *config.Config) { c.API.Listen = "unix://" + filepath.Join(n.folder, "second.sock") }
	second := n.launch("a")
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	second.exits(exitError, "another worker serves this server id", fmt.Sprintf("host %q", host), fmt.Sprintf("pid %d", a.cmd.Process.Pid))
	if phase := a.phase(player); phase != "present" {
		t.Errorf("the player is %q after the second worker", phase)
	}
	if !a.status().LeaseHeld || strings.Contains(a.log.String(), "lease was missing") {
		t.Error("the second worker touched the lease")
	}
	a.mustQuit(session, "sword")
	a.terminate()
}

// T33: everybody starts before what they need. The game finds no worker, the
// worker no Redis; both come to it without being started again.
func TestStartBeforeRedis(t *testing.T) {
	t.Parallel()
	server := newRealServer(t, usual)
	n := newNetwork(t, server)
	server.Kill()
	metrics := freeAddress(t)
	n.change = func(c *config.Config) { c.Metrics.Listen = metrics }
	a := n.launch("a")
	get := a.health()
	if status, body := get("/healthz"); status != http.StatusOK {
		t.Errorf("healthz: %d %s", status, body)
	}
	a.logs("redis does not answer, the server lease must wait")
	status, body := get("/readyz")
	if status != http.StatusServiceUnavailable || !strings.Contains(body, `"lease":"not held yet"`) ||
		!strings.Contains(body, `"api":"does not listen yet"`) || !strings.Contains(body, `"database":"ok"`) {
		t.Errorf("readyz without redis: %d %s", status, body)
	}
	if _, err := os.Lstat(a.socket); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is there before the lease is held: %v", err)
	}
	failed, attached := make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(attached)
		for {
			link, err := a.game.Attach(context.Background(), &v1.AttachRequest{BootId: "boot-a"})
			if err == nil && link.Receive() {
				return
			}
			select {
			case failed <- struct{}{}:
			default:
			}
			<-time.After(10 * time.Millisecond)
		}
	}()
	within(t, "an attempt of the game fails", failed)
	server.Restart(false)
	a.eventually("the worker is ready", func() bool {
		a.alive()
		status, _ := get("/readyz")
		return status == http.StatusOK
	})
	within(t, "the game is attached", attached)
	info, err := os.Lstat(a.socket)
	if err != nil || info.Mode()&fs.ModeSocket == 0 || info.Mode().Perm() != 0o660 {
		t.Errorf("the socket: %v, %v", info, err)
	}
	wantData(t, a.joinInTime(playerNumber(1)), v1.Source_SOURCE_NEW, "")
}

// T33: a worker that cannot listen says which address is taken and what to do,
// and leaves the place and its own lease as they were.
func TestTakenAddresses(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, newRealServer(t, usual).withoutDenials())
	first := n.played("first", "boot")
	file := filepath.Join(n.folder, "file.sock")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = port.Close() }()
	for id, test := range map[string]struct {
		change func(*config.Config)
		texts  []string
	}{
		"other": {
			func(c *config.Config) { c.API.Listen = "unix://" + first.socket },
			[]string{"address in use by another process", first.socket},
		},
		"on-a-file": {
			func(c *config.Config) { c.API.Listen = "unix://" + file },
			[]string{"path is taken by something that is not a socket", file, "move it away"},
		},
		"on-a-port": {
			func(c *config.Config) { c.Metrics.Listen = port.Addr().String() },
			[]string{"metrics.listen " + port.Addr().String(), "address already in use", "choose another port"},
		},
	} {
		n.change = test.change
		n.launch(id).exits(exitError, test.texts...)
		lease := "syncworker:test:server_lease:" + id
		if n.redis.client().Exists(context.Background(), lease).Val() != 0 {
			t.Errorf("%s left its lease behind", id)
		}
	}
	if content, err := os.ReadFile(file); err != nil || string(content) != "precious" {
		t.Errorf("the file in the way has %q, %v", content, err)
	}
	first.enter(playerNumber(1))
}
