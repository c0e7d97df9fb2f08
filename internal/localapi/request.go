package localapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"connectrpc.com/connect"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
)

// drainFactor is how much more than its limit of a request is read and thrown
// away, so that an honest client which writes first and reads then gets the
// answer instead of a broken pipe.
const drainFactor = 4

type requestKey struct{}

// request is one HTTP request on its way through the guard and the methods. One
// goroutine uses it.
type request struct {
	control *http.ResponseController
	// reached means that a method was called.
	reached bool
}

// requestOf returns the request that the guard put into ctx.
func requestOf(ctx context.Context) *request {
	found, ok := ctx.Value(requestKey{}).(*request)
	if !ok {
		return &request{} // a handler served without the guard: no deadlines
	}
	return found
}

// Connections of net/http's server take every deadline; the errors of these
// calls would only say that the connection is closed, which the next read or
// write finds out.

// arrive bounds how long the request may take to arrive, and to be answered if
// it does not get as far as a method. The bound on reading ends with the body:
// from there on net/http reads only to notice that the client hung up, and takes
// it off by itself.
func (r *request) arrive(read, write time.Duration) {
	now := time.Now()
	_ = r.control.SetReadDeadline(now.Add(read))
	_ = r.control.SetWriteDeadline(now.Add(read + write))
}

// enter takes the bound on writing off: a method may wait.
func (r *request) enter() {
	r.reached = true
	if r.control != nil {
		_ = r.control.SetWriteDeadline(time.Time{})
	}
}

// leave bounds how long the client may take to read what is written now.
func (r *request) leave(timeout time.Duration) {
	if r.control != nil {
		_ = r.control.SetWriteDeadline(time.Now().Add(timeout))
	}
}

// body is a request's body, bounded in size and time. It returns errors that
// Connect passes to the client as they are.
type body struct {
	inner   io.ReadCloser
	limits  rule
	timeout time.Duration
	read    int64
	failed  error
}

// Read reads from the body.
func (b *body) Read(p []byte) (int, error) {
	if b.failed != nil {
		return 0, b.failed
	}
	n, err := b.inner.Read(p)
	b.read += int64(n)
	switch {
	case b.read > b.limits.maxBody:
		// Whatever happens on the way: the request is refused.
		_, _ = io.Copy(io.Discard, io.LimitReader(b.inner, drainFactor*b.limits.maxBody))
		b.failed = tooLarge(b.limits)
		return 0, b.failed
	case errors.Is(err, os.ErrDeadlineExceeded):
		b.failed = (&problem{
			code: connect.CodeDeadlineExceeded, reason: v1.ErrorReason_ERROR_REASON_CALL_TIMEOUT,
			text: fmt.Sprintf("the request did not arrive within %s", b.timeout),
		}).wire()
		return 0, b.failed
	}
	return n, err
}

// Close closes the body.
func (b *body) Close() error { return b.inner.Close() }

func tooLarge(limits rule) error {
	text := fmt.Sprintf("the request has more than %d bytes", limits.maxBody)
	if limits.snapshots > 0 {
		text = fmt.Sprintf("the snapshot is too large: the request has more than %d bytes, and snapshots.max_size is %d bytes",
			limits.maxBody, limits.snapshots)
	}
	return (&problem{
		code: connect.CodeResourceExhausted, reason: v1.ErrorReason_ERROR_REASON_TOO_LARGE, text: text,
	}).wire()
}
