package events

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// upTimeout bounds the time from the first byte to the first confirmation.
	upTimeout = 5 * time.Second
	// pongTimeout is how long a connection may leave a ping unanswered.
	pongTimeout = time.Second
	// linger is how long a channel stays subscribed after its last watch: the
	// UNSUBSCRIBE then comes after the handoff that ended the watch, together
	// with others, or not at all when somebody watches the key again.
	linger = time.Second
	// batch is the largest number of channels in one command, so that other
	// clients get their turn in between.
	batch = 512
	// Pauses between attempts to connect.
	firstPause, lastPause = 50 * time.Millisecond, time.Second
)

// Causes of the end of a connection, beside what the network reports.
var (
	errStopped  = errors.New("events: watcher stops")
	errReplaced = errors.New("events: go-redis replaced the pub/sub connection")
	errUp       = errors.New("events: redis did not confirm the first subscription")
	errSilent   = errors.New("events: redis does not answer on the pub/sub connection")
	errDeaf     = errors.New("events: notifications stopped arriving on the pub/sub connection")
)

// link is one pub/sub connection.
type link struct {
	pubsub *redis.PubSub
	up     chan struct{} // closed with the first confirmation
	gone   chan struct{} // closed when the reader has ended
	pong   chan struct{} // a ping was answered
	probed chan struct{} // the probe key's event arrived
	deaf   bool          // a test failed on it; the prover's own

	ended sync.Once
	cause error // readable once gone is closed
}

// spent is a context that has ended. With it a PubSub still reads and writes, but
// cannot dial: go-redis replaces a broken connection by itself in the middle of
// a Receive or Subscribe, and subscribes it again, without saying so. Denied
// that, it returns the error, and one PubSub is one connection for life.
var spent = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// connect keeps a connection up until Interrupt.
func (w *Watcher) connect() {
	failures := 0
	lost := false // Redis was away since the last connection, or from the start
	for w.ctx.Err() == nil {
		began := time.Now()
		l, err := w.dial()
		if err == nil {
			err = w.live(l, lost)
		}
		if w.ctx.Err() != nil {
			return
		}
		w.lost(err)
		lost = true
		// A connection that lasted is replaced at once; what ends as soon as
		// it has begun is a failure too.
		failures++
		if time.Since(began) > lastPause {
			failures = 0
		}
		if !pause(w.ctx, pauseAfter(failures)) {
			return
		}
	}
}

// pauseAfter returns how long to wait after a number of failures in a row, drawn
// at random from the upper half so that workers do not return in step.
func pauseAfter(failures int) time.Duration {
	if failures == 0 {
		return 0
	}
	full := min(firstPause<<min(failures-1, 10), lastPause)
	return full/2 + rand.N(full/2+1)
}

// dial opens a connection and asks for the probe key's channel. It is the only
// place where one is opened.
func (w *Watcher) dial() (*link, error) {
	ctx, cancel := context.WithTimeout(w.ctx, upTimeout)
	defer cancel()
	pubsub := w.client.Subscribe(ctx)
	if err := pubsub.Subscribe(ctx, w.probe); err != nil {
		// The first error tells more than that of closing what never opened.
		_ = pubsub.Close()
		return nil, err
	}
	return &link{
		pubsub: pubsub, up: make(chan struct{}), gone: make(chan struct{}),
		pong: make(chan struct{}, 1), probed: make(chan struct{}, 1),
	}, nil
}

// live runs one connection to its end and returns why it ended.
func (w *Watcher) live(l *link, lost bool) error {
	go w.read(l)
	err := w.confirmed(l)
	if err == nil {
		w.up(lost)
		w.attach(l)
		err = w.write(l)
	}
	l.end(err)
	<-l.gone
	w.detach()
	return l.cause
}

// confirmed waits for the first confirmation.
func (w *Watcher) confirmed(l *link) error {
	timer := time.NewTimer(upTimeout)
	defer timer.Stop()
	select {
	case <-l.up:
		return nil
	case <-timer.C:
		return errUp
	case <-l.gone:
	case <-w.ctx.Done():
	}
	return errStopped
}

// up tells that a connection is there, those who must not act on old knowledge
// first.
func (w *Watcher) up(lost bool) {
	if !lost {
		return
	}
	w.metrics.resyncs.Inc()
	w.log.Info("subscribed to keyspace notifications")
	w.mu.Lock()
	callbacks := slices.Clone(w.onResync)
	w.mu.Unlock()
	for _, do := range callbacks {
		do()
	}
}

// write sends what the topics need until the connection ends, and returns what
// ended it if the reader does not know.
func (w *Watcher) write(l *link) error {
	unsubscribe := time.NewTimer(linger)
	unsubscribe.Stop()
	defer unsubscribe.Stop()
	armed := false
	for {
		var err error
		select {
		case <-w.wake:
			err = inBatches(w.takeFresh(), l.pubsub.Subscribe)
			if !armed && w.hasIdle() {
				unsubscribe.Reset(linger)
				armed = true
			}
		case <-unsubscribe.C:
			armed = false
			err = inBatches(w.takeIdle(), l.pubsub.Unsubscribe)
		case <-l.gone:
			return errStopped
		case <-w.ctx.Done():
			return errStopped
		}
		if err != nil {
			return err
		}
	}
}

func inBatches(channels []string, command func(context.Context, ...string) error) error {
	for some := range slices.Chunk(channels, batch) {
		if err := command(spent, some...); err != nil {
			return err
		}
	}
	return nil
}

func (w *Watcher) hasIdle() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.idle) > 0
}

// read hears everything that the connection delivers until it ends.
func (w *Watcher) read(l *link) {
	defer close(l.gone)
	first := true
	for {
		frame, err := l.pubsub.Receive(spent)
		if err != nil {
			l.end(err)
			return
		}
		switch about := frame.(type) {
		case *redis.Pong:
			signal(l.pong)
		case *redis.Subscription:
			switch {
			case about.Channel != w.probe:
				w.hear(frame)
			case first:
				first = false
				close(l.up)
			default:
				// Subscribed once, confirmed twice: this is another
				// connection, whatever spent is good for.
				l.end(errReplaced)
			}
		case *redis.Message:
			if about.Channel != w.probe {
				w.hear(frame)
			} else if about.Payload == "set" {
				signal(l.probed)
			}
		}
	}
}

// end closes the connection; the first cause counts.
func (l *link) end(cause error) {
	l.ended.Do(func() {
		l.cause = cause
		// Receive does not end with a context; closing frees it.
		_ = l.pubsub.Close()
	})
}

// answers reports whether the connection answers a ping in time.
func (l *link) answers(ctx context.Context) bool {
	select {
	case <-l.pong: // A late answer to an earlier ping.
	default:
	}
	if err := l.pubsub.Ping(spent); err != nil {
		return false
	}
	return l.await(ctx, l.pong, pongTimeout)
}

// await waits for a sign from the connection.
func (l *link) await(ctx context.Context, sign <-chan struct{}, most time.Duration) bool {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-sign:
		return true
	case <-timer.C:
	case <-l.gone:
	case <-ctx.Done():
	}
	return false
}
