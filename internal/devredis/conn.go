package devredis

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alicebob/miniredis/v2/server"
)

// Limits that Redis has as well.
const (
	maxArgument     = 512 << 20 // bytes of one argument
	maxArguments    = 1 << 20   // arguments of one command
	maxPubSubBuffer = 32 << 20  // bytes that a subscriber may leave unread
)

var errProtocol = errors.New("devredis: protocol error")

// conn is one client's connection. All fields but raw, out and peer belong to
// the server's lock.
type conn struct {
	id   int64
	raw  net.Conn
	out  *outbox
	peer *server.Peer

	gone     bool // closed by the server
	silent   bool // open, but neither reads nor answers any more
	db       int
	tx       *transaction
	channels map[string]struct{}
	patterns map[string]struct{}
}

func (c *conn) subscriptions() int { return len(c.channels) + len(c.patterns) }

// serve takes over a connection; it reports false when the server is down.
func (s *Server) serve(raw net.Conn) bool {
	out := newOutbox(raw)
	c := &conn{
		raw: raw, out: out, peer: server.NewPeer(bufio.NewWriter(out)),
		channels: map[string]struct{}{}, patterns: map[string]struct{}{},
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.up {
		return false
	}
	s.lastConn++
	c.id = s.lastConn
	s.conns[c] = struct{}{}
	s.wg.Go(out.drain)
	s.wg.Go(func() { s.read(c) })
	return true
}

// read runs the connection's commands until it ends.
func (s *Server) read(c *conn) {
	defer func() {
		s.mu.Lock()
		s.drop(c)
		s.mu.Unlock()
	}()
	in := bufio.NewReader(c.raw)
	for {
		args, err := readCommand(in)
		if errors.Is(err, errProtocol) {
			c.peer.WriteError("ERR Protocol error")
			c.peer.Close()
		}
		if err == nil && len(args) > 0 {
			s.handle(c, args)
		}
		if err != nil && !c.peer.Closed() {
			return
		}
		c.peer.Flush()
		if c.peer.Closed() {
			c.out.finish() // QUIT: what was answered still goes out.
			return
		}
	}
}

// drop closes a connection and forgets it. Dropping it again does nothing.
func (s *Server) drop(c *conn) {
	if c.gone {
		return
	}
	c.gone = true
	s.unsubscribeAll(c)
	delete(s.conns, c)
	c.out.abort()
	s.thawed.Broadcast()
}

// readCommand reads an array of bulk strings, which is what clients send, or an
// inline command. The result is empty for an empty line.
func readCommand(in *bufio.Reader) ([]string, error) {
	line, err := readLine(in)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(line, "*") {
		return strings.Fields(line), nil
	}
	count, err := strconv.Atoi(line[1:])
	if err != nil || count > maxArguments {
		return nil, errProtocol
	}
	var args []string
	for range count {
		arg, err := readBulk(in)
		if err != nil {
			return nil, err
		}
		args = append(args, arg)
	}
	return args, nil
}

func readBulk(in *bufio.Reader) (string, error) {
	line, err := readLine(in)
	if err != nil {
		return "", err
	}
	size, err := strconv.Atoi(strings.TrimPrefix(line, "$"))
	if err != nil || line[0] != '$' || size < 0 || size > maxArgument {
		return "", errProtocol
	}
	body := make([]byte, size+2)
	if _, err := io.ReadFull(in, body); err != nil {
		return "", err
	}
	return string(body[:size]), nil
}

func readLine(in *bufio.Reader) (string, error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r"), nil
}

// clientEnd is the client's side of a connection inside the process. A client of
// a real socket finds out that the server has closed it before it uses the
// connection again; this one has no socket to look at, so it must be told io.EOF,
// after which it tries again on a new connection.
type clientEnd struct {
	net.Conn
	closed atomic.Bool
}

func (c *clientEnd) eof(err error) error {
	if errors.Is(err, io.ErrClosedPipe) && !c.closed.Load() {
		return io.EOF
	}
	return err
}

func (c *clientEnd) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	return n, c.eof(err)
}

func (c *clientEnd) SetDeadline(t time.Time) error { return c.eof(c.Conn.SetDeadline(t)) }

func (c *clientEnd) SetReadDeadline(t time.Time) error { return c.eof(c.Conn.SetReadDeadline(t)) }

func (c *clientEnd) SetWriteDeadline(t time.Time) error { return c.eof(c.Conn.SetWriteDeadline(t)) }

func (c *clientEnd) Close() error {
	c.closed.Store(true)
	return c.Conn.Close()
}

// outbox decouples whoever writes to a client from how fast the client reads.
type outbox struct {
	raw net.Conn

	mu        sync.Mutex
	filled    *sync.Cond
	pending   []byte
	limit     int  // 0 for none
	finishing bool // close after what is pending
	aborted   bool
}

func newOutbox(raw net.Conn) *outbox {
	o := &outbox{raw: raw}
	o.filled = sync.NewCond(&o.mu)
	return o
}

// Write never blocks. What is written to a closed connection is dropped.
func (o *outbox) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.aborted || o.finishing {
		return len(p), nil
	}
	o.pending = append(o.pending, p...)
	if o.limit > 0 && len(o.pending) > o.limit {
		o.abortLocked()
	}
	o.filled.Signal()
	return len(p), nil
}

// setLimit bounds what may be pending, in bytes; 0 takes the bound away.
func (o *outbox) setLimit(limit int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.limit = limit
}

// finish closes the connection once everything pending is sent, or after a
// second when the client does not read it.
func (o *outbox) finish() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.finishing = true
	// An error means that the connection is closed already.
	_ = o.raw.SetWriteDeadline(time.Now().Add(time.Second))
	o.filled.Signal()
}

// abort closes the connection at once, unless it is finishing.
func (o *outbox) abort() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.finishing {
		o.abortLocked()
	}
}

func (o *outbox) abortLocked() {
	o.aborted = true
	o.pending = nil
	// The other side may have closed it already.
	_ = o.raw.Close()
	o.filled.Signal()
}

// drain sends until the connection ends.
func (o *outbox) drain() {
	var batch []byte
	for {
		o.mu.Lock()
		for len(o.pending) == 0 && !o.finishing && !o.aborted {
			o.filled.Wait()
		}
		batch, o.pending = o.pending, batch[:0]
		done := len(batch) == 0
		o.mu.Unlock()
		if done {
			_ = o.raw.Close() // Closing twice does no harm.
			return
		}
		if _, err := o.raw.Write(batch); err != nil {
			o.mu.Lock()
			o.abortLocked()
			o.mu.Unlock()
			return
		}
	}
}
