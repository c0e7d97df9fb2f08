package events

import (
	"slices"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// topic is one key that is watched, or whose subscription is being wound up. All
// of it belongs to Watcher.mu.
type topic struct {
	key     string
	watches []*watch

	// sent: the last command about the channel on the present connection was
	// SUBSCRIBE. Asked counts the SUBSCRIBEs that are not confirmed yet.
	// Invariant: confirmed implies sent and asked == 0, so that a confirmation
	// of an earlier SUBSCRIBE, with an UNSUBSCRIBE after it, makes nobody ready.
	sent      bool
	asked     int
	confirmed bool
}

// watch is one caller's interest in a topic.
type watch struct {
	notify  func(Event)
	since   uint64 // the number of safety polls before it
	ready   bool   // had its Ready; belongs to Watcher.mu
	stopped atomic.Bool
}

// delivery is one event on its way to one watch.
type delivery struct {
	watch *watch
	event Event
}

// send runs the callbacks. Watcher.deliver must be held and Watcher.mu not.
func send(deliveries []delivery) {
	for _, d := range deliveries {
		if !d.watch.stopped.Load() {
			d.watch.notify(d.event)
		}
	}
}

// stop ends one watch. A topic that was never subscribed is forgotten at once;
// any other one when the writer has unsubscribed it.
func (w *Watcher) stop(t *topic, one *watch) {
	if one.stopped.Swap(true) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watches--
	w.metrics.watches.Dec()
	t.watches = slices.DeleteFunc(t.watches, func(o *watch) bool { return o == one })
	if len(t.watches) > 0 {
		return
	}
	w.forget(t)
	if t.sent {
		w.idle = append(w.idle, t)
		signal(w.wake)
	}
}

// forget drops a topic that nobody watches and Redis has nothing to say about.
func (w *Watcher) forget(t *topic) {
	if len(t.watches) == 0 && !t.sent && t.asked == 0 && w.topics[t.key] == t {
		delete(w.topics, t.key)
	}
}

// takeFresh returns the channels to subscribe for the topics that got a watch.
// Those that are confirmed already make their new watches ready.
func (w *Watcher) takeFresh() (channels []string) {
	w.deliver.Lock()
	defer w.deliver.Unlock()
	w.mu.Lock()
	var deliveries []delivery
	for _, t := range w.fresh {
		switch {
		case len(t.watches) == 0:
		case !t.sent:
			t.sent = true
			t.asked++
			channels = append(channels, w.prefix+t.key)
		case t.confirmed:
			deliveries = t.makeReady(deliveries, false)
		}
	}
	w.fresh = nil
	w.mu.Unlock()
	send(deliveries)
	return channels
}

// takeIdle returns the channels to unsubscribe: of topics that have lost their
// last watch and got no new one since.
func (w *Watcher) takeIdle() (channels []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.idle {
		if len(t.watches) == 0 && t.sent {
			t.sent, t.confirmed = false, false
			channels = append(channels, w.prefix+t.key)
			w.forget(t)
		}
	}
	w.idle = nil
	return channels
}

// subscribed handles the confirmation of one SUBSCRIBE.
func (w *Watcher) subscribed(key string) {
	w.deliver.Lock()
	defer w.deliver.Unlock()
	w.mu.Lock()
	var deliveries []delivery
	if t := w.topics[key]; t != nil && t.asked > 0 {
		t.asked--
		if t.asked == 0 && t.sent {
			t.confirmed = true
			deliveries = t.makeReady(nil, true)
		}
		w.forget(t)
	}
	w.mu.Unlock()
	send(deliveries)
}

// makeReady adds a Ready for every watch that has had none and, when the
// subscription is a new one, a Resync for the others.
func (t *topic) makeReady(to []delivery, resync bool) []delivery {
	for _, one := range t.watches {
		switch {
		case !one.ready:
			one.ready = true
			to = append(to, delivery{one, Event{Key: t.key, Kind: Ready}})
		case resync:
			to = append(to, delivery{one, Event{Key: t.key, Kind: Resync}})
		}
	}
	return to
}

// changed handles one notification. A watch that is not ready yet does not need
// it: it reads after its Ready, which comes later.
func (w *Watcher) changed(key, name string) {
	w.metrics.receive(name)
	w.deliver.Lock()
	defer w.deliver.Unlock()
	w.mu.Lock()
	var deliveries []delivery
	if t := w.topics[key]; t != nil && t.confirmed {
		for _, one := range t.watches {
			if one.ready {
				deliveries = append(deliveries, delivery{one, Event{Key: key, Kind: Changed, Name: name}})
			}
		}
	}
	w.mu.Unlock()
	send(deliveries)
}

// resyncAll tells every watch that is ready to look again.
func (w *Watcher) resyncAll() {
	w.sendAll(func(t *topic, one *watch) (Event, bool) {
		return Event{Key: t.key, Kind: Resync}, one.ready
	})
}

// pollAll tells every watch to look; one that waits for its Ready only when it
// has waited for a whole period.
func (w *Watcher) pollAll() {
	w.mu.Lock()
	w.polls++
	polls := w.polls
	w.mu.Unlock()
	sent := w.sendAll(func(t *topic, one *watch) (Event, bool) {
		return Event{Key: t.key, Kind: Poll}, one.ready || one.since+1 < polls
	})
	w.metrics.polls.Add(float64(sent))
}

// sendAll sends an event to every watch for which there is one, and returns how
// many. Notifications may pass in between.
func (w *Watcher) sendAll(about func(*topic, *watch) (Event, bool)) int {
	w.mu.Lock()
	deliveries := make([]delivery, 0, w.watches)
	for _, t := range w.topics {
		for _, one := range t.watches {
			if event, ok := about(t, one); ok {
				deliveries = append(deliveries, delivery{one, event})
			}
		}
	}
	w.mu.Unlock()
	for i := range deliveries {
		w.deliver.Lock()
		send(deliveries[i : i+1])
		w.deliver.Unlock()
	}
	return len(deliveries)
}

// attach makes a connection the present one: all topics are to be subscribed.
func (w *Watcher) attach(l *link) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.link = l
	w.fresh = w.fresh[:0]
	for _, t := range w.topics {
		w.fresh = append(w.fresh, t)
	}
	signal(w.wake)
	signal(w.born)
}

// detach takes the present connection away. Nothing sent on it counts any more.
func (w *Watcher) detach() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.link = nil
	w.fresh, w.idle = nil, nil
	for _, t := range w.topics {
		t.sent, t.confirmed, t.asked = false, false, 0
		w.forget(t)
	}
}

// hear handles what the connection delivers, apart from what is about itself.
func (w *Watcher) hear(frame any) {
	switch frame := frame.(type) {
	case *redis.Subscription:
		if frame.Kind == "subscribe" {
			w.subscribed(w.keyOf(frame.Channel))
		}
	case *redis.Message:
		w.changed(w.keyOf(frame.Channel), frame.Payload)
	}
}

func (w *Watcher) keyOf(channel string) string { return channel[min(len(w.prefix), len(channel)):] }
