package devredis

import (
	"strconv"
	"strings"
	"time"
)

// Classes of notifications, as notify-keyspace-events names them.
const (
	classString  = '$'
	classGeneric = 'g'
	classSet     = 's'
	classHash    = 'h'
	classExpired = 'x'
)

// rule tells which keys a command touches and what it announces.
type rule struct {
	keys keySpec
	// rewrite returns the command as the engine is to run it, with relative
	// expiry times made absolute above all; nil: as it is.
	rewrite func(*call) []string
	// deletesPast tells that an expiry time in the past deletes the key at once;
	// a SET leaves such a key to expiry.
	deletesPast bool
	// announce raises the notifications of a command that was not refused;
	// nil: the command reads only.
	announce func(*Server, *effect)
}

// keySpec locates keys among arguments, the name being argument 0.
type keySpec struct{ first, last, step int }

var (
	oneKey   = keySpec{1, 1, 1}
	twoKeys  = keySpec{1, 2, 1}
	allKeys  = keySpec{1, -1, 1}
	pairKeys = keySpec{1, -1, 2}
)

// of returns the keys, none when there are too few arguments.
func (k keySpec) of(args []string) []string {
	last := k.last
	if last < 0 {
		last = len(args) - 1
	}
	if last >= len(args) {
		return nil
	}
	var keys []string
	for i := k.first; i <= last; i += k.step {
		keys = append(keys, args[i])
	}
	return keys
}

// effect is what a command did.
type effect struct {
	*call
	keys          []string
	before, after []keyState
	reply         []byte
}

func (e *effect) refused() bool { return len(e.reply) == 0 || e.reply[0] == '-' || len(e.keys) == 0 }

// count is the answer when that is a number, else 0.
func (e *effect) count() int64 {
	n, _ := integer(e.reply)
	return n
}

// option reports whether an argument from the given position on is one of names.
func (e *effect) option(from int, names ...string) bool {
	for _, arg := range e.args[min(from, len(e.args)):] {
		for _, name := range names {
			if strings.EqualFold(arg, name) {
				return true
			}
		}
	}
	return false
}

var rules = map[string]rule{}

func init() {
	for _, name := range []string{
		"GET", "STRLEN", "GETRANGE", "GETBIT", "TYPE", "EXPIRETIME", "PEXPIRETIME", "SMEMBERS", "SISMEMBER",
		"SMISMEMBER", "SCARD", "SRANDMEMBER", "SSCAN", "HGET", "HMGET", "HGETALL", "HLEN", "HKEYS", "HVALS",
		"HEXISTS", "HSCAN", "HSTRLEN",
	} {
		rules[name] = rule{keys: oneKey}
	}
	for _, name := range []string{"EXISTS", "MGET", "TOUCH"} {
		rules[name] = rule{keys: allKeys}
	}
	for name, event := range map[string]string{
		"GETSET": "set", "APPEND": "append", "INCR": "incrby", "DECR": "incrby", "INCRBY": "incrby",
		"DECRBY": "incrby", "INCRBYFLOAT": "incrbyfloat", "SETBIT": "setbit",
	} {
		rules[name] = rule{keys: oneKey, announce: always(classString, event)}
	}
	for name, event := range map[string]string{
		"HSET": "hset", "HMSET": "hset", "HINCRBY": "hincrby", "HINCRBYFLOAT": "hincrbyfloat",
	} {
		rules[name] = rule{keys: oneKey, announce: always(classHash, event)}
	}
	rules["SET"] = rule{keys: oneKey, rewrite: absoluteSet, announce: announceSet}
	rules["SETEX"] = rule{keys: oneKey, rewrite: absoluteSetEx(time.Second), announce: announceSetEx}
	rules["PSETEX"] = rule{keys: oneKey, rewrite: absoluteSetEx(time.Millisecond), announce: announceSetEx}
	rules["GETEX"] = rule{keys: oneKey, rewrite: absoluteGetEx, deletesPast: true, announce: announceGetEx}
	rules["SETRANGE"] = rule{keys: oneKey, rewrite: noEmptyRange, announce: announceSetRange}
	rules["SETNX"] = rule{keys: oneKey, announce: ifChanged(classString, "set")}
	rules["MSET"] = rule{keys: pairKeys, announce: always(classString, "set")}
	rules["MSETNX"] = rule{keys: pairKeys, announce: ifChanged(classString, "set")}
	rules["GETDEL"] = rule{keys: oneKey, announce: announceDel}
	rules["DEL"] = rule{keys: allKeys, announce: announceDel}
	rules["UNLINK"] = rule{keys: allKeys, announce: announceDel}
	for name, absolute := range map[string]func(*call) []string{
		"EXPIRE": absoluteExpire(time.Second), "PEXPIRE": absoluteExpire(time.Millisecond),
		"EXPIREAT": nil, "PEXPIREAT": nil,
	} {
		rules[name] = rule{keys: oneKey, rewrite: absolute, deletesPast: true, announce: announceExpire}
	}
	rules["PERSIST"] = rule{keys: oneKey, announce: ifChanged(classGeneric, "persist")}
	rules["RENAME"] = rule{keys: twoKeys, announce: announceRename}
	rules["RENAMENX"] = rule{keys: twoKeys, announce: announceRename}
	rules["SADD"] = rule{keys: oneKey, announce: ifChanged(classSet, "sadd")}
	rules["SREM"] = rule{keys: oneKey, announce: removed(classSet, "srem")}
	rules["SPOP"] = rule{keys: oneKey, announce: announceSPop}
	rules["SMOVE"] = rule{keys: twoKeys, announce: announceSMove}
	rules["HSETNX"] = rule{keys: oneKey, announce: ifChanged(classHash, "hset")}
	rules["HDEL"] = rule{keys: oneKey, announce: removed(classHash, "hdel")}
}

// always announces the event for each key.
func always(class rune, event string) func(*Server, *effect) {
	return func(s *Server, e *effect) {
		for _, key := range e.keys {
			s.notify(*e.db, class, event, key)
		}
	}
}

// ifChanged announces the event for each key when the answer is a number other
// than 0.
func ifChanged(class rune, event string) func(*Server, *effect) {
	return func(s *Server, e *effect) {
		if e.count() != 0 {
			always(class, event)(s, e)
		}
	}
}

// removed announces that parts of one key were removed, and the key with the
// last one.
func removed(class rune, event string) func(*Server, *effect) {
	return func(s *Server, e *effect) {
		if e.count() == 0 {
			return
		}
		s.notify(*e.db, class, event, e.keys[0])
		s.notifyEmptied(e)
	}
}

// notifyEmptied announces the end of a collection that lost its last member.
func (s *Server) notifyEmptied(e *effect) {
	if e.before[0].exists && !e.after[0].exists {
		s.notify(*e.db, classGeneric, "del", e.keys[0])
	}
}

func announceSet(s *Server, e *effect) {
	if e.option(3, "NX") && e.before[0].exists || e.option(3, "XX") && !e.before[0].exists {
		return
	}
	s.notify(*e.db, classString, "set", e.keys[0])
	if e.option(3, "EX", "PX", "EXAT", "PXAT") {
		s.notify(*e.db, classGeneric, "expire", e.keys[0])
	}
}

func announceSetEx(s *Server, e *effect) {
	s.notify(*e.db, classString, "set", e.keys[0])
	s.notify(*e.db, classGeneric, "expire", e.keys[0])
}

func announceGetEx(s *Server, e *effect) {
	switch {
	case !e.before[0].exists:
	case !e.after[0].exists:
		s.notify(*e.db, classGeneric, "del", e.keys[0])
	case e.option(2, "PERSIST"):
		if e.before[0].deadline > 0 {
			s.notify(*e.db, classGeneric, "persist", e.keys[0])
		}
	case len(e.args) > 2:
		s.notify(*e.db, classGeneric, "expire", e.keys[0])
	}
}

func announceSetRange(s *Server, e *effect) {
	if e.args[3] != "" {
		s.notify(*e.db, classString, "setrange", e.keys[0])
	}
}

func announceDel(s *Server, e *effect) {
	told := map[string]bool{}
	for i, key := range e.keys {
		if e.before[i].exists && !told[key] {
			told[key] = true
			s.notify(*e.db, classGeneric, "del", key)
		}
	}
}

func announceExpire(s *Server, e *effect) {
	switch {
	case e.count() == 0:
	case !e.after[0].exists:
		s.notify(*e.db, classGeneric, "del", e.keys[0])
	default:
		s.notify(*e.db, classGeneric, "expire", e.keys[0])
	}
}

func announceRename(s *Server, e *effect) {
	if e.name == "RENAMENX" && e.count() == 0 || e.keys[0] == e.keys[1] {
		return
	}
	s.notify(*e.db, classGeneric, "rename_from", e.keys[0])
	s.notify(*e.db, classGeneric, "rename_to", e.keys[1])
}

func announceSPop(s *Server, e *effect) {
	if e.before[0].exists {
		s.notify(*e.db, classSet, "spop", e.keys[0])
		s.notifyEmptied(e)
	}
}

func announceSMove(s *Server, e *effect) {
	if e.count() == 0 || e.keys[0] == e.keys[1] {
		return
	}
	s.notify(*e.db, classSet, "srem", e.keys[0])
	s.notifyEmptied(e)
	s.notify(*e.db, classSet, "sadd", e.keys[1])
}

// noEmptyRange keeps a SETRANGE of nothing from creating an empty key.
func noEmptyRange(c *call) []string {
	if len(c.args) == 4 && c.args[3] == "" {
		return []string{"STRLEN", c.args[1]}
	}
	return c.args
}

// absoluteSet turns EX and PX of a SET into PXAT.
func absoluteSet(c *call) []string { return absoluteOptions(c, 3) }

// absoluteGetEx turns EX and PX of a GETEX into PXAT.
func absoluteGetEx(c *call) []string { return absoluteOptions(c, 2) }

func absoluteOptions(c *call, from int) []string {
	for i := from; i+1 < len(c.args); i++ {
		unit := time.Duration(0)
		switch strings.ToUpper(c.args[i]) {
		case "EX":
			unit = time.Second
		case "PX":
			unit = time.Millisecond
		case "EXAT", "PXAT":
			return c.args
		}
		at, ok := c.deadline(c.args[i+1], unit)
		if unit == 0 || !ok {
			continue
		}
		args := append([]string(nil), c.args...)
		args[i], args[i+1] = "PXAT", at
		return args
	}
	return c.args
}

// absoluteSetEx turns SETEX and PSETEX into SET with PXAT.
func absoluteSetEx(unit time.Duration) func(*call) []string {
	return func(c *call) []string {
		if len(c.args) != 4 {
			return c.args
		}
		at, ok := c.deadline(c.args[2], unit)
		if !ok {
			return c.args
		}
		return []string{"SET", c.args[1], c.args[3], "PXAT", at}
	}
}

// absoluteExpire turns EXPIRE and PEXPIRE into PEXPIREAT. A time of zero or less
// means the same by any clock, so it stays.
func absoluteExpire(unit time.Duration) func(*call) []string {
	return func(c *call) []string {
		if len(c.args) < 3 {
			return c.args
		}
		at, ok := c.deadline(c.args[2], unit)
		if !ok {
			return c.args
		}
		return append([]string{"PEXPIREAT", c.args[1], at}, c.args[3:]...)
	}
}

// deadline returns now plus a positive number of units as Unix milliseconds. It
// reports false for anything else, which the engine then judges itself.
func (c *call) deadline(text string, unit time.Duration) (string, bool) {
	n, err := strconv.ParseInt(text, 10, 64)
	const most = int64(200 * 365 * 24 * time.Hour / time.Millisecond)
	perUnit := int64(unit / time.Millisecond)
	if err != nil || n <= 0 || perUnit == 0 || n > most/perUnit {
		return "", false
	}
	return strconv.FormatInt(c.now.UnixMilli()+n*perUnit, 10), true
}
