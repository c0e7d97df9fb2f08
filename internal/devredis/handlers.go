package devredis

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2/server"
)

// handler is a command that this package does itself.
type handler struct {
	run       func(*Server, *call)
	inScripts bool
}

var handlers = map[string]handler{}

func init() {
	handlers["PING"] = handler{run: (*Server).ping, inScripts: true}
	handlers["SELECT"] = handler{run: (*Server).selectDB, inScripts: true}
	handlers["TIME"] = handler{run: (*Server).time, inScripts: true}
	handlers["TTL"] = handler{run: (*Server).ttl, inScripts: true}
	handlers["PTTL"] = handler{run: (*Server).ttl, inScripts: true}
	handlers["FLUSHDB"] = handler{run: (*Server).flush, inScripts: true}
	handlers["FLUSHALL"] = handler{run: (*Server).flush, inScripts: true}
	handlers["PUBLISH"] = handler{run: (*Server).publishCommand, inScripts: true}
	handlers["INFO"] = handler{run: (*Server).info, inScripts: true}
	handlers["CONFIG"] = handler{run: (*Server).config}
	handlers["CLIENT"] = handler{run: (*Server).client}
	handlers["MULTI"] = handler{run: (*Server).multi}
	handlers["EXEC"] = handler{run: (*Server).exec}
	handlers["DISCARD"] = handler{run: (*Server).discard}
	for _, name := range []string{"EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO"} {
		handlers[name] = handler{run: (*Server).eval}
	}
	for _, name := range []string{"SUBSCRIBE", "UNSUBSCRIBE", "PSUBSCRIBE", "PUNSUBSCRIBE"} {
		handlers[name] = handler{run: (*Server).subscription}
	}
	handlers["PUBSUB"] = handler{run: (*Server).pubsub}
	for _, name := range []string{
		"BLPOP", "BRPOP", "BRPOPLPUSH", "BLMOVE", "BZPOPMIN", "BZPOPMAX", "BZMPOP", "WAIT", // block
		"SWAPDB", "MOVE", "COPY", // take deadlines to another database
		"DUMP", "RESTORE", "OBJECT", "HEXPIRE", "HPERSIST", "HTTL", "HPTTL", "HSETEX", // need a running clock
		"XADD", "XREAD", "XGROUP", "XREADGROUP", "XAUTOCLAIM", "XCLAIM", "XPENDING", "XTRIM", // likewise
	} {
		handlers[name] = handler{run: (*Server).refuse, inScripts: true}
	}
}

func (s *Server) refuse(c *call) {
	c.peer.WriteError(fmt.Sprintf("ERR %s is not emulated by this development server", c.name))
}

// arity answers an error and reports false when the number of arguments, the
// name included, is out of bounds. A negative most means no upper bound.
func (c *call) arity(least, most int) bool {
	if len(c.args) >= least && (most < 0 || len(c.args) <= most) {
		return true
	}
	c.peer.WriteError(fmt.Sprintf("ERR wrong number of arguments for '%s' command", strings.ToLower(c.name)))
	return false
}

func (s *Server) ping(c *call) {
	if !c.arity(1, 2) {
		return
	}
	payload := strings.Join(c.args[1:], "")
	switch {
	case c.conn.subscriptions() > 0 && !c.peer.Resp3 && !c.nested:
		c.peer.WriteStrings([]string{"pong", payload})
	case payload == "":
		c.peer.WriteInline("PONG")
	default:
		c.peer.WriteBulk(payload)
	}
}

func (s *Server) selectDB(c *call) {
	const databases = 16
	if !c.arity(2, 2) {
		return
	}
	db, err := strconv.Atoi(c.args[1])
	if err != nil {
		c.peer.WriteError("ERR value is not an integer or out of range")
		return
	}
	if db < 0 || db >= databases {
		c.peer.WriteError("ERR DB index is out of range")
		return
	}
	c.peer.WriteRaw(string(s.dispatch(c.peer, c.args)))
	*c.db = db
}

func (s *Server) time(c *call) {
	if !c.arity(1, 1) {
		return
	}
	now := time.Now().UnixMicro()
	c.peer.WriteStrings([]string{strconv.FormatInt(now/1_000_000, 10), strconv.FormatInt(now%1_000_000, 10)})
}

// ttl answers TTL and PTTL, which the engine cannot since its clock is stopped.
func (s *Server) ttl(c *call) {
	if !c.arity(2, 2) {
		return
	}
	s.expireKey(c, c.args[1])
	state := s.state(c.peer, c.args[1])
	left := max(0, state.deadline-c.now.UnixMilli())
	switch {
	case !state.exists:
		c.peer.WriteInt(-2)
	case state.deadline == 0:
		c.peer.WriteInt(-1)
	case c.name == "TTL":
		c.peer.WriteInt(int((left + 500) / 1000))
	default:
		c.peer.WriteInt(int(left))
	}
}

// flush empties one database or all; Redis announces neither.
func (s *Server) flush(c *call) {
	reply := s.dispatch(c.peer, c.args)
	if reply[0] == '+' && c.name == "FLUSHALL" {
		s.deadlines.clear()
	} else if reply[0] == '+' {
		s.deadlines.clearDB(*c.db)
	}
	c.peer.WriteRaw(string(reply))
}

// eval runs a script; the hook handles the commands in it.
func (s *Server) eval(c *call) {
	s.script = &frame{conn: c.conn, db: *c.db, now: c.now}
	reply := s.dispatch(c.peer, c.args)
	s.script = nil
	c.peer.WriteRaw(string(reply))
}

// transaction is what a client has queued after MULTI.
type transaction struct {
	queued [][]string
	dirty  bool // something could not be queued
}

// queue takes a command into the open transaction; it reports false for those
// that are run at once.
func (s *Server) queue(c *conn, name string, args []string) bool {
	switch name {
	case "MULTI", "EXEC", "DISCARD", "WATCH", "QUIT":
		return false
	}
	if _, own := handlers[name]; !own && !s.cmds.IsRegisteredCommand(name) {
		c.tx.dirty = true
		c.peer.WriteError(fmt.Sprintf("ERR unknown command '%s'", args[0]))
		return true
	}
	c.tx.queued = append(c.tx.queued, args)
	c.peer.WriteInline("QUEUED")
	return true
}

func (s *Server) multi(c *call) {
	if c.conn.tx != nil {
		c.peer.WriteError("ERR MULTI calls can not be nested")
		return
	}
	c.conn.tx = &transaction{}
	c.peer.WriteOK()
}

func (s *Server) discard(c *call) {
	if c.conn.tx == nil {
		c.peer.WriteError("ERR DISCARD without MULTI")
		return
	}
	c.conn.tx = nil
	s.dispatch(c.peer, []string{"UNWATCH"})
	c.peer.WriteOK()
}

func (s *Server) exec(c *call) {
	tx := c.conn.tx
	if tx == nil {
		c.peer.WriteError("ERR EXEC without MULTI")
		return
	}
	c.conn.tx = nil
	// An empty transaction of the engine tells whether a watched key changed,
	// and ends the watching.
	s.dispatch(c.peer, []string{"MULTI"})
	unchanged := s.dispatch(c.peer, []string{"EXEC"})
	switch {
	case tx.dirty:
		c.peer.WriteError("EXECABORT Transaction discarded because of previous errors.")
	case string(unchanged) != "*0\r\n":
		c.peer.Block(func(w *server.Writer) { writeNullArray(w, c.peer.Resp3) })
	default:
		c.peer.WriteLen(len(tx.queued))
		for _, args := range tx.queued {
			s.run(&call{
				conn: c.conn, peer: c.peer, db: c.db, now: c.now,
				name: strings.ToUpper(args[0]), args: args,
			})
		}
	}
}

func writeNullArray(w *server.Writer, resp3 bool) {
	if resp3 {
		w.WriteNull()
		return
	}
	w.WriteLen(-1)
}
