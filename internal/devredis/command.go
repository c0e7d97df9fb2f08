package devredis

import (
	"bufio"
	"bytes"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2/server"
)

// call is one command on its way: from a client, from a transaction or from a
// script.
type call struct {
	conn   *conn        // the client behind it
	peer   *server.Peer // where the answer goes
	db     *int         // the selected database
	nested bool         // inside a script
	now    time.Time    // a script's time stands still
	name   string       // upper case
	args   []string     // with the name as sent
}

// frame is the script that runs.
type frame struct {
	conn *conn
	db   int
	now  time.Time
}

// handle runs one command of a client and leaves the answer in its peer.
func (s *Server) handle(c *conn, args []string) {
	verdict := s.judge(c, args)
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.frozen && !c.gone {
		s.thawed.Wait()
	}
	switch {
	case c.gone || c.silent:
		return
	case verdict.act == actLose:
		s.drop(c)
		return
	case verdict.act == actHang:
		s.silence(c)
		return
	case verdict.act == actRefuse:
		c.peer.WriteError(verdict.text)
		return
	}
	name := strings.ToUpper(args[0])
	if s.loading && !whileLoading[name] {
		c.peer.WriteError(loadingText)
		return
	}
	if c.tx != nil && s.queue(c, name, args) {
		return
	}
	s.run(&call{conn: c, peer: c.peer, db: &c.db, now: time.Now(), name: name, args: args})
	if verdict.act == actLoseAnswer {
		s.drop(c) // Nothing was flushed yet.
	}
}

// hook sees every command that the engine is about to run. It lets through what
// dispatch sent and handles the rest: commands that a script calls.
func (s *Server) hook(peer *server.Peer, name string, args ...string) bool {
	if s.pass == peer {
		s.pass = nil
		return false
	}
	f := s.script
	s.run(&call{
		conn: f.conn, peer: peer, db: &f.db, nested: true, now: f.now,
		name: name, args: append([]string{name}, args...),
	})
	return true
}

// run does one command: its own handler if it has one, else the engine with the
// rule that tells which keys it touches and what it announces.
func (s *Server) run(c *call) {
	if handler, own := handlers[c.name]; own {
		if c.nested && !handler.inScripts {
			c.peer.WriteError("ERR This Redis command is not allowed from script")
			return
		}
		handler.run(s, c)
		return
	}
	r, known := rules[c.name]
	if !known {
		s.expireDatabase(c)
		c.peer.WriteRaw(string(s.dispatch(c.peer, c.args)))
		return
	}
	keys := r.keys.of(c.args)
	for _, key := range keys {
		s.expireKey(c, key)
	}
	if r.announce == nil {
		c.peer.WriteRaw(string(s.dispatch(c.peer, c.args)))
		return
	}
	s.write(c, r, keys)
}

// write runs a command that may change its keys, and announces what it did.
func (s *Server) write(c *call, r rule, keys []string) {
	e := &effect{call: c, keys: keys, before: make([]keyState, len(keys)), after: make([]keyState, len(keys))}
	for i, key := range keys {
		e.before[i] = s.state(c.peer, key)
	}
	args := c.args
	if r.rewrite != nil {
		args = r.rewrite(c)
	}
	e.reply = s.dispatch(c.peer, args)
	for i, key := range keys {
		e.after[i] = s.settle(c, r, key, e.before[i])
	}
	if !e.refused() {
		r.announce(s, e)
	}
	c.peer.WriteRaw(string(e.reply))
}

// settle reads a key's state after a command and remembers its expiry time. A
// command that may delete by an expiry time in the past does so here.
func (s *Server) settle(c *call, r rule, key string, before keyState) keyState {
	state := s.state(c.peer, key)
	moved := state.deadline > 0 && state.deadline != before.deadline
	if r.deletesPast && moved && state.deadline <= c.now.UnixMilli() {
		s.dispatch(c.peer, []string{"DEL", key})
		state = keyState{}
	}
	s.deadlines.set(dbKey{*c.db, key}, state.deadline)
	return state
}

// keyState is what matters of a key.
type keyState struct {
	exists   bool
	deadline int64 // Unix milliseconds; 0 for none
}

func (s *Server) state(as *server.Peer, key string) keyState {
	n, ok := integer(s.dispatch(as, []string{"PEXPIRETIME", key}))
	switch {
	case !ok || n == -2:
		return keyState{}
	case n == -1:
		return keyState{exists: true}
	default:
		return keyState{exists: true, deadline: n}
	}
}

// scratch is a place for the engine's answers; there is one per depth of
// dispatch, so a pool.
type scratch struct {
	answer bytes.Buffer
	writer *bufio.Writer
}

var scratches = sync.Pool{New: func() any {
	s := &scratch{}
	s.writer = bufio.NewWriter(&s.answer)
	return s
}}

// dispatch lets the engine run a command in the name of a peer, with its
// selected database and protocol, and returns the raw answer.
func (s *Server) dispatch(as *server.Peer, args []string) []byte {
	place := scratches.Get().(*scratch)
	defer scratches.Put(place)
	place.answer.Reset()
	place.writer.Reset(&place.answer)
	peer := server.NewPeer(place.writer)
	peer.Ctx, peer.Resp3, peer.ClientName = as.Ctx, as.Resp3, as.ClientName
	s.pass = peer
	s.cmds.Dispatch(peer, args)
	peer.Flush()
	as.Ctx, as.Resp3, as.ClientName = peer.Ctx, peer.Resp3, peer.ClientName
	if peer.Closed() {
		as.Close()
	}
	return bytes.Clone(place.answer.Bytes())
}

// integer reads an answer that is a number.
func integer(reply []byte) (int64, bool) {
	if len(reply) < 4 || reply[0] != ':' {
		return 0, false
	}
	n, err := strconv.ParseInt(string(reply[1:len(reply)-2]), 10, 64)
	return n, err == nil
}
