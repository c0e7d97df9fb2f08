package devredis

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// flags are the classes of notify-keyspace-events, A spelled out.
type flags map[rune]bool

const (
	allClasses  = "g$lshzxetd" // what A stands for, in Redis's order
	otherFlags  = "KEmn"       // channels, and the classes outside A
	notifyParam = "notify-keyspace-events"
)

func parseFlags(text string) (flags, error) {
	parsed := flags{}
	for _, flag := range text {
		switch {
		case flag == 'A':
			for _, class := range allClasses {
				parsed[class] = true
			}
		case strings.ContainsRune(allClasses+otherFlags, flag):
			parsed[flag] = true
		default:
			return nil, fmt.Errorf("invalid event class character %q, use one of %s%sA", flag, allClasses, otherFlags)
		}
	}
	return parsed, nil
}

// String returns the flags in the order in which Redis prints them, whatever
// order they were set in.
func (f flags) String() string {
	var classes strings.Builder
	for _, class := range allClasses {
		if f[class] {
			classes.WriteRune(class)
		}
	}
	text := classes.String()
	if text == allClasses {
		text = "A"
	}
	for _, flag := range otherFlags {
		if f[flag] {
			text += string(flag)
		}
	}
	return text
}

// notify announces one event of one key, as far as the flags ask for it.
func (s *Server) notify(db int, class rune, event, key string) {
	if !s.flags[class] {
		return
	}
	if s.flags['K'] {
		s.publish(fmt.Sprintf("__keyspace@%d__:%s", db, key), event)
	}
	if s.flags['E'] {
		s.publish(fmt.Sprintf("__keyevent@%d__:%s", db, event), key)
	}
}

// config answers CONFIG GET, SET and RESETSTAT. Only the notification flags can
// be set.
func (s *Server) config(c *call) {
	if s.forbidden {
		c.peer.WriteError(fmt.Sprintf("ERR unknown command '%s', with args beginning with: ", c.args[0]))
		return
	}
	if !c.arity(2, -1) {
		return
	}
	switch sub := strings.ToUpper(c.args[1]); {
	case sub == "GET" && len(c.args) > 2:
		s.configGet(c)
	case sub == "SET" && len(c.args) == 4:
		s.configSet(c)
	case sub == "RESETSTAT" && len(c.args) == 2:
		c.peer.WriteOK()
	default:
		c.peer.WriteError(fmt.Sprintf("ERR unknown subcommand or wrong number of arguments for '%s'", c.args[1]))
	}
}

func (s *Server) configGet(c *call) {
	values := map[string]string{
		notifyParam: s.flags.String(), "databases": "16", "appendonly": "no", "save": "",
		"maxmemory": "0", "maxmemory-policy": "noeviction",
	}
	found := map[string]bool{}
	for _, pattern := range c.args[2:] {
		for name := range values {
			if glob(strings.ToLower(pattern), name) {
				found[name] = true
			}
		}
	}
	c.peer.WriteMapLen(len(found))
	for _, name := range slices.Sorted(maps.Keys(found)) {
		c.peer.WriteBulk(name)
		c.peer.WriteBulk(values[name])
	}
}

func (s *Server) configSet(c *call) {
	if !strings.EqualFold(c.args[2], notifyParam) {
		c.peer.WriteError(fmt.Sprintf("ERR Unknown option or number of arguments for CONFIG SET - '%s'", c.args[2]))
		return
	}
	parsed, err := parseFlags(c.args[3])
	if err != nil {
		c.peer.WriteError(fmt.Sprintf("ERR CONFIG SET failed (possibly related to argument '%s') - %s", notifyParam, err))
		return
	}
	s.flags = parsed
	c.peer.WriteOK()
}

// info answers INFO with what identifies the server; unknown sections are empty.
func (s *Server) info(c *call) {
	loading := "0"
	if s.loading {
		loading = "1"
	}
	sections := []struct{ name, text string }{
		{"server", "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\nrun_id:" + s.runID +
			"\r\nuptime_in_seconds:" + strconv.Itoa(int(time.Since(s.started).Seconds())) + "\r\n"},
		{"clients", "# Clients\r\nconnected_clients:" + strconv.Itoa(len(s.conns)) + "\r\n"},
		{"persistence", "# Persistence\r\nloading:" + loading + "\r\n"},
		{"replication", "# Replication\r\nrole:master\r\nconnected_slaves:0\r\nmaster_replid:" + s.replID +
			"\r\nmaster_repl_offset:0\r\n"},
	}
	wanted := map[string]bool{}
	for _, name := range c.args[1:] {
		wanted[strings.ToLower(name)] = true
	}
	every := len(wanted) == 0 || wanted["all"] || wanted["default"] || wanted["everything"]
	var texts []string
	for _, section := range sections {
		if every || wanted[section.name] {
			texts = append(texts, section.text)
		}
	}
	c.peer.WriteBulk(strings.Join(texts, "\r\n"))
}

// client answers CLIENT ID, SETINFO and KILL itself; the engine knows the names.
func (s *Server) client(c *call) {
	if !c.arity(2, -1) {
		return
	}
	switch sub := strings.ToUpper(c.args[1]); {
	case sub == "ID" && len(c.args) == 2:
		c.peer.WriteInt(int(c.conn.id))
	case sub == "SETINFO" && len(c.args) == 4:
		c.peer.WriteOK()
	case sub == "KILL":
		s.clientKill(c)
	default:
		c.peer.WriteRaw(string(s.dispatch(c.peer, c.args)))
	}
}

// clientKill answers CLIENT KILL with one filter: TYPE pubsub or normal, or ID.
// The caller's own connection is spared, as by default in Redis.
func (s *Server) clientKill(c *call) {
	if len(c.args) != 4 {
		c.peer.WriteError("ERR syntax error")
		return
	}
	value := strings.ToLower(c.args[3])
	var match func(*conn) bool
	switch filter := strings.ToUpper(c.args[2]); {
	case filter == "TYPE" && value == "pubsub":
		match = func(o *conn) bool { return o.subscriptions() > 0 }
	case filter == "TYPE" && value == "normal":
		match = func(o *conn) bool { return o.subscriptions() == 0 }
	case filter == "ID":
		match = func(o *conn) bool { return strconv.FormatInt(o.id, 10) == value }
	default:
		c.peer.WriteError("ERR syntax error")
		return
	}
	killed := 0
	for o := range s.conns {
		if o != c.conn && match(o) {
			s.drop(o)
			killed++
		}
	}
	c.peer.WriteInt(killed)
}
