package redisstore_test

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/redisstore"
)

// slowNet keeps one command back, as a network does that loses packets: TCP
// sends again what was written, and goes on after the writer has closed.
type slowNet struct {
	server
	mu    sync.Mutex
	armed bool      // the next script is the one
	slow  *slowConn // it was written here
}

func (n *slowNet) config() redisstore.ClientConfig {
	config := n.server.config()
	dial := config.Dialer
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	config.Dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &slowConn{Conn: conn, net: n}, nil
	}
	return config
}

type slowConn struct {
	net.Conn
	net  *slowNet
	held []byte // not nil: nothing gets through any more
}

func (c *slowConn) Write(p []byte) (int, error) {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	if c.net.armed && strings.Contains(strings.ToUpper(string(p)), "EVALSHA") {
		c.net.armed, c.net.slow, c.held = false, c, []byte{}
	}
	if c.held != nil {
		c.held = append(c.held, p...)
		return len(p), nil
	}
	return c.Conn.Write(p)
}

func (c *slowConn) Close() error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	if c.held != nil {
		return nil
	}
	return c.Conn.Close()
}

// arm keeps the next script back.
func (n *slowNet) arm() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.armed = true
}

// deliver lets the script that was kept back through and returns when Redis has
// answered it as wanted.
func (n *slowNet) deliver(t *testing.T, want string) {
	t.Helper()
	n.mu.Lock()
	slow := n.slow
	n.mu.Unlock()
	if slow == nil {
		t.Fatal("no script was kept back")
	}
	defer slow.Conn.Close()
	if err := slow.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := slow.Conn.Write(slow.held); err != nil {
		t.Fatal(err)
	}
	var answer []byte
	for part := make([]byte, 1024); !strings.Contains(string(answer), want); {
		n, err := slow.Read(part)
		if err != nil {
			t.Fatalf("the late script was answered %q and then %v, want %s", answer, err, want)
		}
		answer = append(answer, part[:n]...)
	}
}

// lateScripts are those that TCP delivers when the worker has long repeated them
// and gone on.
var lateScripts = map[string]func(t *testing.T, r *rig, n *slowNet){
	"claim":     testLateClaim,
	"take over": testLateTakeOver,
	"resume":    testLateResume,
	"sweep":     testLateSweep,
}

func testLateClaim(t *testing.T, r *rig, n *slowNet) {
	testLateGrant(t, r, n, handoff.Claim{Enlist: true}, state{fence: "7"})
}

func testLateTakeOver(t *testing.T, r *rig, n *slowNet) {
	testLateGrant(t, r, n, handoff.Claim{Over: handoff.Holder{Server: "b", Fence: 7}}, state{checkout: "b", fence: "7"})
}

// A claim that comes late does not fence off the session that its repetition
// began.
func testLateGrant(t *testing.T, r *rig, n *slowNet, c handoff.Claim, before state) {
	a, p := r.store("a"), r.player()
	a.Claim(context.Background(), r.player(), c) // Redis knows the script, and the time is known.
	r.put(p, before)
	n.arm()
	got := a.Claim(context.Background(), p, c)
	if got.Outcome != handoff.ClaimGranted {
		t.Fatalf("got %s, want a grant to the repetition", describeClaimed(got))
	}
	n.deliver(t, "expired")
	if left, want := r.get(p), (state{checkout: "a", fence: got.Fence.String()}); left != want {
		t.Errorf("left %+v, want %+v", left, want)
	}
	if answer := update(got.Fence, 1)(a, p); answer != "done" {
		t.Errorf("the session's save: got %q, want done", answer)
	}
}

// A resume that comes late does not put back the checkout of a session that has
// checked in since.
func testLateResume(t *testing.T, r *rig, n *slowNet) {
	a, p := r.store("a"), r.player()
	resume(7)(a, r.player())
	r.put(p, state{checkout: "a", fence: "7"})
	n.arm()
	if answer := resume(7)(a, p); answer != "done" {
		t.Fatalf("resume: got %q, want done", answer)
	}
	if answer := checkIn(7, 1)(a, p); answer != "done" {
		t.Fatalf("check in: got %q, want done", answer)
	}
	n.deliver(t, "expired")
	if left := r.get(p); left.checkout != "" {
		t.Errorf("the checkout is %q, want none", left.checkout)
	}
}

// A sweep that comes late does not free the player of the next session.
func testLateSweep(t *testing.T, r *rig, n *slowNet) {
	a, p := r.store("a"), r.player()
	sweep(a, r.player())
	r.put(p, state{checkout: "a", fence: "7"})
	n.arm()
	if answer := sweep(a, p); answer != "done" {
		t.Fatalf("sweep: got %q, want done", answer)
	}
	got := a.Claim(context.Background(), p, handoff.Claim{})
	if got.Outcome != handoff.ClaimGranted {
		t.Fatalf("got %s, want a grant", describeClaimed(got))
	}
	n.deliver(t, "expired")
	if left := r.get(p); left.checkout != "a" {
		t.Errorf("the checkout is %q, want a", left.checkout)
	}
}

func TestLateOnDevredis(t *testing.T) {
	for name, test := range lateScripts {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &slowNet{server: newDev(t)}
				test(t, newRig(t, n), n)
			})
		})
	}
}
