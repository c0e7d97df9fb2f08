package localapi

import (
	"context"
	"sync"
)

// life is the server's: two ends, and the requests in between.
type life struct {
	// stopping ends when Interrupt is called: waits end, new events do not
	// come. over ends when the rest is cut off.
	stopping, over context.Context
	stop, cut      context.CancelFunc

	// mu guards what follows.
	mu      sync.Mutex
	running int
	closed  bool
	idle    chan struct{}
}

func newLife() *life {
	l := &life{idle: make(chan struct{})}
	l.stopping, l.stop = context.WithCancel(context.Background())
	l.over, l.cut = context.WithCancel(context.Background())
	return l
}

// enter counts a request in; false when none is taken any more.
func (l *life) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.running++
	return true
}

// leave counts it out.
func (l *life) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running--
	if l.closed && l.running == 0 {
		close(l.idle)
	}
}

// close lets no more requests in. The channel is closed when the last one has
// left. Call it once.
func (l *life) close() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.running == 0 {
		close(l.idle)
	}
	return l.idle
}

// count returns the number of requests under way.
func (l *life) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.running
}
