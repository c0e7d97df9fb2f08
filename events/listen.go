package events

import (
	"slices"
	"sync/atomic"
)

// MaxMessage is the longest message that a listener gets, in bytes. Anybody who
// may publish on a channel can send messages of any length.
const MaxMessage = 512

// listener is one caller's interest in what is published on a channel.
type listener struct {
	receive func(message string)
	stopped atomic.Bool
}

// Listen calls receive with every message that is published on the channel, one
// at a time, until stop is called. Receive must not block; it may call Listen,
// Watch and stop. A message that is on its way when stop is called may still
// come. Stop may be called more than once.
//
// The subscription is made on the connection of the watches and made again when
// that is replaced. What is published before it is confirmed, or while there is
// none, is lost and nobody is told. Messages longer than MaxMessage are dropped
// and counted. The channel of Config.ProbeKey cannot be listened to.
func (w *Watcher) Listen(channel string, receive func(message string)) (stop func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.open(channel)
	one := &listener{receive: receive}
	t.listeners = append(t.listeners, one)
	return func() { w.unlisten(t, one) }
}

func (w *Watcher) unlisten(t *topic, one *listener) {
	if one.stopped.Swap(true) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	t.listeners = slices.DeleteFunc(t.listeners, func(o *listener) bool { return o == one })
	w.leave(t)
}

// hand gives a message to those who listen. Watcher.deliver must be held and
// Watcher.mu not.
func (w *Watcher) hand(listeners []*listener, channel, message string) {
	if len(listeners) == 0 {
		return
	}
	if len(message) > MaxMessage {
		w.metrics.dropped.Inc()
		w.log.Debug("dropped a message that is too long", "channel", channel, "bytes", len(message))
		return
	}
	w.metrics.messages.Inc()
	for _, one := range listeners {
		if !one.stopped.Load() {
			one.receive(message)
		}
	}
}
