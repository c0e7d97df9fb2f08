package devredis

import (
	"maps"
	"slices"
	"strings"

	"github.com/alicebob/miniredis/v2/server"
)

// subscribers maps a channel or pattern to the connections that listen.
type subscribers map[string]map[*conn]struct{}

func (s subscribers) add(name string, c *conn) {
	if s[name] == nil {
		s[name] = map[*conn]struct{}{}
	}
	s[name][c] = struct{}{}
}

func (s subscribers) remove(name string, c *conn) {
	delete(s[name], c)
	if len(s[name]) == 0 {
		delete(s, name)
	}
}

// publish sends a message to whoever listens and returns how many do. It does
// not block: every connection has an output buffer.
func (s *Server) publish(channel, message string) int {
	receivers := 0
	for c := range s.channels[channel] {
		receivers++
		c.push("message", channel, message)
	}
	for pattern, listening := range s.patterns {
		if !glob(pattern, channel) {
			continue
		}
		for c := range listening {
			receivers++
			c.push("pmessage", pattern, channel, message)
		}
	}
	return receivers
}

// push sends a message outside of any answer.
func (c *conn) push(parts ...string) {
	c.peer.Block(func(w *server.Writer) {
		w.WritePushLen(len(parts))
		for _, part := range parts {
			w.WriteBulk(part)
		}
		w.Flush()
	})
}

func (s *Server) publishCommand(c *call) {
	if c.arity(3, 3) {
		c.peer.WriteInt(s.publish(c.args[1], c.args[2]))
	}
}

// subscription answers SUBSCRIBE, UNSUBSCRIBE and the two for patterns, one
// confirmation for each name.
func (s *Server) subscription(c *call) {
	registry, mine := s.channels, c.conn.channels
	if strings.HasPrefix(c.name, "P") {
		registry, mine = s.patterns, c.conn.patterns
	}
	names := c.args[1:]
	begin := !strings.Contains(c.name, "UNSUB")
	if begin && len(names) == 0 {
		c.arity(2, -1)
		return
	}
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(mine))
	}
	for _, name := range names {
		if begin {
			mine[name] = struct{}{}
			registry.add(name, c.conn)
		} else {
			delete(mine, name)
			registry.remove(name, c.conn)
		}
		c.confirm(&name)
	}
	if len(names) == 0 {
		c.confirm(nil)
	}
	limit := 0
	if c.conn.subscriptions() > 0 {
		limit = maxPubSubBuffer
	}
	c.conn.out.setLimit(limit)
}

func (c *call) confirm(name *string) {
	c.peer.Block(func(w *server.Writer) {
		w.WritePushLen(3)
		w.WriteBulk(strings.ToLower(c.name))
		if name == nil {
			w.WriteNull()
		} else {
			w.WriteBulk(*name)
		}
		w.WriteInt(c.conn.subscriptions())
	})
}

// unsubscribeAll ends every subscription of a connection that is closed.
func (s *Server) unsubscribeAll(c *conn) {
	for name := range c.channels {
		s.channels.remove(name, c)
	}
	for name := range c.patterns {
		s.patterns.remove(name, c)
	}
	clear(c.channels)
	clear(c.patterns)
}

// pubsub answers PUBSUB CHANNELS, NUMSUB and NUMPAT.
func (s *Server) pubsub(c *call) {
	if !c.arity(2, -1) {
		return
	}
	switch sub := strings.ToUpper(c.args[1]); {
	case sub == "CHANNELS" && len(c.args) <= 3:
		pattern := "*"
		if len(c.args) == 3 {
			pattern = c.args[2]
		}
		var names []string
		for name := range s.channels {
			if glob(pattern, name) {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		c.peer.WriteStrings(names)
	case sub == "NUMSUB":
		c.peer.WriteMapLen(len(c.args) - 2)
		for _, name := range c.args[2:] {
			c.peer.WriteBulk(name)
			c.peer.WriteInt(len(s.channels[name]))
		}
	case sub == "NUMPAT" && len(c.args) == 2:
		c.peer.WriteInt(len(s.patterns))
	default:
		c.peer.WriteError("ERR unknown subcommand or wrong number of arguments for '" + c.args[1] + "'")
	}
}

// glob matches as Redis does: *, ?, [a-c], [^x] and backslash.
func glob(pattern, text string) bool {
	for pattern != "" {
		if pattern[0] == '*' {
			pattern = strings.TrimLeft(pattern, "*")
			for i := range len(text) + 1 {
				if glob(pattern, text[i:]) {
					return true
				}
			}
			return false
		}
		if text == "" {
			return false
		}
		rest, ok := globOne(pattern, text[0])
		if !ok {
			return false
		}
		pattern, text = rest, text[1:]
	}
	return text == ""
}

// globOne matches one character and returns the rest of the pattern.
func globOne(pattern string, b byte) (rest string, ok bool) {
	switch {
	case pattern[0] == '?':
		return pattern[1:], true
	case pattern[0] == '\\' && len(pattern) > 1:
		return pattern[2:], pattern[1] == b
	case pattern[0] != '[':
		return pattern[1:], pattern[0] == b
	}
	set, rest, _ := strings.Cut(pattern[1:], "]")
	set, negated := strings.CutPrefix(set, "^")
	found := false
	for i := 0; i < len(set); i++ {
		if i+2 < len(set) && set[i+1] == '-' {
			found = found || set[i] <= b && b <= set[i+2]
			i += 2
			continue
		}
		found = found || set[i] == b
	}
	return rest, found != negated
}
