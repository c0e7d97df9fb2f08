package localapi

import (
	"context"
	"runtime/debug"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/hashicorp/go-hclog"

	"github.com/syncworker/syncworker/api/syncworker/v1/syncworkerv1connect"
)

// calls is the interceptor around every method: it counts, times, contains
// panics, bounds how long the answer may take to be read, and gives errors their
// form.
type calls struct {
	log         hclog.Logger
	metrics     *metrics
	maxSnapshot int64
	sendTimeout time.Duration
	stopTimeout time.Duration
	life        *life
}

// outlive lists the methods that are carried out although their caller hung up
// while, or before, they began.
var outlive = map[string]bool{
	syncworkerv1connect.PlayerServiceConfirmProcedure: true,
	syncworkerv1connect.PlayerServiceSaveProcedure:    true,
	syncworkerv1connect.PlayerServiceQuitProcedure:    true,
}

var _ connect.Interceptor = (*calls)(nil)

// WrapUnary wraps a method with one answer.
func (c *calls) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		var response connect.AnyResponse
		if outlive[req.Spec().Procedure] {
			longer, cancel := c.outlive(ctx)
			defer cancel()
			ctx = longer
		}
		err := c.run(ctx, req.Spec(), func() (err error) {
			response, err = next(ctx, req)
			return err
		})
		if err != nil {
			return nil, err
		}
		return response, nil
	}
}

// WrapStreamingHandler wraps a method that sends a stream.
func (c *calls) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		bounded := &boundedConn{StreamingHandlerConn: conn, request: requestOf(ctx), timeout: c.sendTimeout}
		return c.run(ctx, conn.Spec(), func() error { return next(ctx, bounded) })
	}
}

// WrapStreamingClient does nothing: this is a server.
func (c *calls) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// run runs one call. While the method works no deadline is on the connection;
// outside of it there always is one.
func (c *calls) run(ctx context.Context, spec connect.Spec, method func() error) error {
	name := methodName(spec.Procedure)
	request := requestOf(ctx)
	request.enter()
	observe := c.metrics.begin(name, spec.StreamType == connect.StreamTypeUnary)
	err := c.contain(name, method)
	request.leave(c.sendTimeout)
	if err == nil {
		observe("ok")
		return nil
	}
	wire := c.translate(name, err)
	observe(wire.Code().String())
	return wire
}

// outlive returns a context that goes on for a while after the caller hung up: a
// game that stops sends its last saves and does not wait for the answers, and
// what has arrived must not be thrown away. It is done here and not in the
// methods because Connect does not call a method whose caller is gone.
func (c *calls) outlive(ctx context.Context) (context.Context, context.CancelFunc) {
	longer, cancel := until(context.WithoutCancel(ctx), c.life.over)
	stop := context.AfterFunc(ctx, func() {
		time.AfterFunc(c.stopTimeout, cancel)
	})
	return longer, func() {
		stop()
		cancel()
	}
}

// until returns a context that ends with ctx or with end.
func until(ctx, end context.Context) (context.Context, context.CancelFunc) {
	joined, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(end, cancel)
	return joined, func() {
		stop()
		cancel()
	}
}

// contain turns a panic into an error, so that one bad call never ends the
// worker and with it every other player's session.
func (c *calls) contain(name string, method func() error) (err error) {
	defer func() {
		thrown := recover()
		if thrown == nil {
			return
		}
		err = c.internal(name, "panic in a call", "panic", thrown, "stack", string(debug.Stack()))
	}()
	return method()
}

// methodName shortens "/syncworker.v1.PlayerService/Join" to
// "PlayerService/Join".
func methodName(procedure string) string {
	return procedure[strings.LastIndexByte(procedure, '.')+1:]
}

// boundedConn bounds how long each message may take to be read by the client:
// one that has stopped reading is cut off instead of holding its events back.
type boundedConn struct {
	connect.StreamingHandlerConn

	request *request
	timeout time.Duration
}

// Send sends one message.
func (b *boundedConn) Send(message any) error {
	b.request.leave(b.timeout)
	defer b.request.enter()
	return b.StreamingHandlerConn.Send(message)
}
