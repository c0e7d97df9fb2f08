package redisstore_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/redisstore"
)

// model is one player's keys and what the scripts do to them, written down a
// second time in plain Go.
type model struct {
	holder  string // "" for no checkout
	fence   handoff.Fence
	known   bool // whether a fence is stored
	version handoff.Version
	foreign string // a data_update that is no snapshot
}

// highest is the highest fence that anything proves.
func (m *model) highest() handoff.Fence { return max(m.fence, m.version.Fence) }

// grants says whether a claim is granted, and what it answers otherwise.
func (m *model) grants(server string, allowUnknown bool) (bool, string) {
	switch {
	case !m.known && !allowUnknown:
		return false, "unknown"
	case m.holder != "" && m.holder != server:
		return false, fmt.Sprintf("held by %s %d", m.holder, m.fence)
	default:
		return true, ""
	}
}

// grant applies a grant. The clock is Redis's own, so the fence is taken from
// the answer.
func (m *model) grant(server string, fence handoff.Fence) {
	m.holder, m.fence, m.known = server, fence, true
}

// withUpdate is what an answer says that carries data_update.
func (m *model) withUpdate() string {
	switch {
	case m.foreign != "":
		return " damaged"
	case !m.version.IsZero():
		return " with " + m.version.String()
	default:
		return ""
	}
}

// refuses says why a session may not write; "" when it may.
func (m *model) refuses(server string, v handoff.Version) string {
	switch {
	case m.highest() > v.Fence:
		return fmt.Sprintf("fenced by %s %d", m.holder, m.highest())
	case !m.known || m.fence < v.Fence:
		return "forgotten"
	case m.holder != "" && m.holder != server:
		return fmt.Sprintf("fenced by %s %d", m.holder, m.fence)
	case m.version.Compare(v) > 0:
		return "superseded"
	case m.holder == "":
		return "forgotten"
	default:
		return ""
	}
}

func (m *model) update(server string, v handoff.Version) string {
	if refusal := m.refuses(server, v); refusal != "" {
		return refusal
	}
	m.version, m.foreign = v, ""
	return "done"
}

func (m *model) checkIn(server string, v handoff.Version) string {
	if m.version == v && m.known && (m.fence > v.Fence || m.fence == v.Fence && m.holder == "") {
		return "done"
	}
	answer := m.update(server, v)
	if answer == "done" {
		m.holder = ""
	}
	return answer
}

func (m *model) release(server string, fence handoff.Fence) string {
	switch {
	case m.known && m.fence > fence:
		return fmt.Sprintf("fenced by %s %d", m.holder, m.fence)
	case !m.known || m.fence < fence:
		return "forgotten"
	case m.holder != "" && m.holder != server:
		return fmt.Sprintf("fenced by %s %d", m.holder, m.fence)
	default:
		m.holder = ""
		return "done"
	}
}

func (m *model) resume(server string, r handoff.Resume) string {
	switch {
	case m.highest() > r.Fence:
		return fmt.Sprintf("fenced by %s %d", m.holder, m.highest())
	case m.known && m.fence == r.Fence && m.holder != "" && m.holder != server:
		return fmt.Sprintf("fenced by %s %d", m.holder, m.fence)
	case r.Strict && (!m.known || m.fence < r.Fence || m.holder == ""):
		return "forgotten"
	}
	m.holder, m.fence, m.known = server, r.Fence, true
	if r.Load {
		return "done" + m.withUpdate()
	}
	return "done"
}

// state is what the keys must hold.
func (m *model) state(p handoff.PlayerID) state {
	s := state{checkout: m.holder, update: m.foreign}
	if m.known {
		s.fence = m.fence.String()
	}
	if !m.version.IsZero() {
		s.update = string(pack(snapshot(p, m.version)))
	}
	return s
}

// session is what a server believes it has.
type session struct {
	fence    handoff.Fence
	sequence uint64
}

// walk is one random run: three servers, one player, and now and then a mishap.
type walk struct {
	t        *testing.T
	r        *rig
	rng      *rand.Rand
	p        handoff.PlayerID
	m        model
	dump     model
	stores   map[string]*redisstore.Store
	sessions map[string][]session
	log      []string
}

// testModel runs random operations of three servers, each also with sessions
// that are long over, and compares every answer and every key with the model.
func testModel(t *testing.T, r *rig) {
	walks := 200
	if testing.Short() {
		walks = 40
	}
	stores := map[string]*redisstore.Store{"a": r.store("a"), "b": r.store("b"), "c": r.store("c")}
	for seed := range walks {
		w := &walk{
			t: t, r: r, rng: rand.New(rand.NewPCG(uint64(seed), 2)), p: r.player(),
			stores: stores, sessions: map[string][]session{},
		}
		for range 50 {
			w.step()
			if got, want := r.get(w.p), w.m.state(w.p); got != want {
				w.fail(seed, "keys hold %+q, want %+q", got, want)
			}
			if t.Failed() {
				w.fail(seed, "stopped")
			}
		}
	}
}

func (w *walk) fail(seed int, format string, args ...any) {
	w.t.Helper()
	for _, line := range w.log {
		w.t.Log(line)
	}
	w.t.Fatalf("seed %d: %s", seed, fmt.Sprintf(format, args...))
}

func (w *walk) expect(call, got, want string) {
	w.t.Helper()
	w.log = append(w.log, call+": "+got)
	if got != want {
		w.t.Errorf("%s: got %q, want %q", call, got, want)
	}
}

func (w *walk) step() {
	server := []string{"a", "b", "c"}[w.rng.IntN(3)]
	switch n := w.rng.IntN(100); {
	case n < 25:
		w.claim(server)
	case n < 32:
		w.takeOver(server)
	case n < 36:
		w.free(server)
	case n < 40:
		w.expect(server+" sweep", sweep(w.stores[server], w.p), "done")
		if w.m.holder == server {
			w.m.holder = ""
		}
	case n < 92:
		w.write(server)
	default:
		w.mishap()
	}
}

func (w *walk) claim(server string) {
	c := handoff.Claim{AllowUnknown: w.rng.IntN(3) == 0, Enlist: w.rng.IntN(4) == 0, Floor: w.floor()}
	got := w.stores[server].Claim(context.Background(), w.p, c)
	granted, want := w.m.grants(server, c.AllowUnknown)
	if granted {
		want = w.granted("granted", server, got, c.Floor)
	}
	w.expect(fmt.Sprintf("%s claim %+v", server, c), describeClaimed(got), want)
}

func (w *walk) takeOver(server string) {
	seen := handoff.Holder{Server: handoff.ServerID(w.m.holder), Fence: w.m.fence}
	if seen.Server == "" || w.rng.IntN(8) == 0 { // The holder was another one, or has gone since.
		seen.Server = "b"
	}
	if w.rng.IntN(3) == 0 {
		seen.Fence++
	}
	c := handoff.Claim{Floor: w.floor(), Over: seen, Enlist: w.rng.IntN(4) == 0, AllowUnknown: w.rng.IntN(4) == 0}
	got := w.stores[server].Claim(context.Background(), w.p, c)
	granted, want := w.m.grants(server, false)
	asSeen := w.m.holder == string(seen.Server) && seen.Fence == w.m.fence
	switch {
	case asSeen && w.m.holder != server:
		want = w.granted("taken", server, got, c.Floor)
	case asSeen || granted:
		want = w.granted("granted", server, got, c.Floor)
	}
	w.expect(fmt.Sprintf("%s take over %+v", server, seen), describeClaimed(got), want)
}

func (w *walk) granted(word, server string, got handoff.Claimed, floor handoff.Fence) string {
	if least := max(w.m.highest(), floor) + 1; got.Fence < least {
		w.t.Errorf("granted %d, want %d at least", got.Fence, least)
	}
	w.sessions[server] = append(w.sessions[server], session{fence: got.Fence})
	w.m.grant(server, got.Fence)
	return fmt.Sprintf("%s %d", word, got.Fence) + w.m.withUpdate()
}

func (w *walk) free(server string) {
	seen := handoff.Holder{Server: handoff.ServerID(w.m.holder), Fence: w.m.fence}
	if w.rng.IntN(3) == 0 {
		seen.Fence += handoff.Fence(w.rng.IntN(3) - 1)
	}
	got := free(seen)(w.stores[server], w.p)
	want := "done"
	switch {
	case w.m.holder == "" && w.m.fence > seen.Fence:
	case seen.Fence != w.m.fence:
		want = fmt.Sprintf("fenced by %s %d", w.m.holder, w.m.fence)
	default:
		raised, err := strconv.ParseInt(w.r.get(w.p).fence, 10, 64)
		if err != nil || handoff.Fence(raised) <= w.m.highest() {
			w.t.Errorf("free raised the fence to %d, %v; want above %d", raised, err, w.m.highest())
		}
		w.m.holder, w.m.fence, w.m.known = "", handoff.Fence(raised), true
	}
	w.expect(fmt.Sprintf("%s free %+v", server, seen), got, want)
}

// write does something in one of the server's sessions, mostly the last one.
func (w *walk) write(server string) {
	sessions := w.sessions[server]
	if len(sessions) == 0 {
		return
	}
	s := &sessions[len(sessions)-1]
	if w.rng.IntN(3) == 0 {
		s = &sessions[w.rng.IntN(len(sessions))]
	}
	v := handoff.Version{Fence: s.fence, Sequence: uint64(max(0, int64(s.sequence)+int64(w.rng.IntN(4))-2))}
	s.sequence = max(s.sequence, v.Sequence+1)
	store, call := w.stores[server], fmt.Sprintf("%s in %s", server, v)
	switch w.rng.IntN(5) {
	case 0, 1:
		w.expect(call+" update", update(v.Fence, v.Sequence)(store, w.p), w.m.update(server, v))
	case 2:
		w.expect(call+" check in", checkIn(v.Fence, v.Sequence)(store, w.p), w.m.checkIn(server, v))
	case 3:
		w.expect(call+" release", release(v.Fence)(store, w.p), w.m.release(server, v.Fence))
	default:
		again := handoff.Resume{Fence: v.Fence, Strict: w.rng.IntN(2) == 0, Load: w.rng.IntN(2) == 0}
		w.expect(fmt.Sprintf("%s resume %+v", call, again), resumeAs(again)(store, w.p), w.m.resume(server, again))
	}
}

// mishap is what Redis and people do to the keys.
func (w *walk) mishap() {
	name := ""
	switch w.rng.IntN(7) {
	case 0:
		name, w.m = "everything lost", model{}
	case 1:
		name, w.m.holder = "checkout lost", ""
	case 2:
		name, w.m.fence, w.m.known = "fence lost", 0, false
	case 3:
		name, w.m.version, w.m.foreign = "data lost", handoff.Version{}, ""
	case 4:
		name, w.m.version, w.m.foreign = "foreign data", handoff.Version{}, "foreign"
	case 5:
		name, w.m = "old dump", w.dump
	default:
		name, w.dump = "dump", w.m
	}
	w.log = append(w.log, name)
	w.r.put(w.p, w.m.state(w.p))
}

// floor is a fence that the database might know.
func (w *walk) floor() handoff.Fence {
	if w.rng.IntN(5) != 0 {
		return 0
	}
	return late + handoff.Fence(w.rng.IntN(1_000_000))
}
