package events

import (
	"slices"
	"strings"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// topic is one channel that somebody is interested in, or whose subscription is
// being wound up. All of it belongs to Watcher.mu.
type topic struct {
	channel string
	key     string // what is watched; empty when nobody ever did
	// watches has those first that had their Ready, so many as ready says.
	// Thousands may watch one key, so none is ever searched for.
	watches   []*watch
	ready     int
	listeners []*listener
	fresh     bool // in Watcher.fresh

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
	at      int    // its place in topic.watches; belongs to Watcher.mu
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

// open returns the channel's topic and has the writer look at it. Watcher.mu
// must be held.
func (w *Watcher) open(channel string) *topic {
	t := w.topics[channel]
	if t == nil {
		t = &topic{channel: channel}
		w.topics[channel] = t
	}
	if !t.fresh {
		t.fresh = true
		w.fresh = append(w.fresh, t)
	}
	signal(w.wake)
	return t
}

// stop ends one watch.
func (w *Watcher) stop(t *topic, one *watch) {
	if one.stopped.Swap(true) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watches--
	w.metrics.watches.Dec()
	t.remove(one)
	w.leave(t)
}

// add takes a watch in, as one that waits for its Ready.
func (t *topic) add(one *watch) {
	one.at = len(t.watches)
	t.watches = append(t.watches, one)
}

// remove closes the gap that a watch leaves with the last one of its kind.
func (t *topic) remove(one *watch) {
	last, gap := len(t.watches)-1, one.at
	if gap < t.ready {
		t.ready--
		t.move(t.ready, gap)
		gap = t.ready
	}
	if gap != last {
		t.move(last, gap)
	}
	t.watches[last] = nil
	t.watches = t.watches[:last]
}

func (t *topic) move(from, to int) {
	t.watches[to] = t.watches[from]
	t.watches[to].at = to
}

// unused reports whether nobody is interested any more.
func (t *topic) unused() bool { return len(t.watches) == 0 && len(t.listeners) == 0 }

// leave winds a topic up that has lost the last interest in it. One that was
// never subscribed is forgotten at once; any other one when the writer has
// unsubscribed it. Watcher.mu must be held.
func (w *Watcher) leave(t *topic) {
	if !t.unused() {
		return
	}
	w.forget(t)
	if t.sent {
		w.idle = append(w.idle, t)
		signal(w.wake)
	}
}

// forget drops a topic that nobody uses and Redis has nothing to say about.
func (w *Watcher) forget(t *topic) {
	if t.unused() && !t.sent && t.asked == 0 && w.topics[t.channel] == t {
		delete(w.topics, t.channel)
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
		t.fresh = false
		switch {
		case t.unused():
		case !t.sent:
			t.sent = true
			t.asked++
			channels = append(channels, t.channel)
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
		if t.unused() && t.sent {
			t.sent, t.confirmed = false, false
			channels = append(channels, t.channel)
			w.forget(t)
		}
	}
	w.idle = nil
	return channels
}

// subscribed handles the confirmation of one SUBSCRIBE.
func (w *Watcher) subscribed(channel string) {
	w.deliver.Lock()
	defer w.deliver.Unlock()
	w.mu.Lock()
	var deliveries []delivery
	if t := w.topics[channel]; t != nil && t.asked > 0 {
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
	if resync {
		to = t.toReady(to, Event{Key: t.key, Kind: Resync})
	}
	for _, one := range t.watches[t.ready:] {
		to = append(to, delivery{one, Event{Key: t.key, Kind: Ready}})
	}
	t.ready = len(t.watches)
	return to
}

// toReady adds the event for every watch that had its Ready.
func (t *topic) toReady(to []delivery, event Event) []delivery {
	for _, one := range t.watches[:t.ready] {
		to = append(to, delivery{one, event})
	}
	return to
}

// message handles what was published on a channel. A watch that is not ready yet
// does not need it: it reads after its Ready, which comes later.
func (w *Watcher) message(channel, payload string) {
	if strings.HasPrefix(channel, w.prefix) {
		w.metrics.receive(payload)
	}
	w.deliver.Lock()
	defer w.deliver.Unlock()
	w.mu.Lock()
	var deliveries []delivery
	var listeners []*listener
	if t := w.topics[channel]; t != nil {
		if t.confirmed {
			deliveries = t.toReady(nil, Event{Key: t.key, Kind: Changed, Name: payload})
		}
		listeners = slices.Clone(t.listeners)
	}
	w.mu.Unlock()
	send(deliveries)
	w.hand(listeners, channel, payload)
}

// resyncAll tells every watch that is ready to look again.
func (w *Watcher) resyncAll() {
	w.sendAll(func(t *topic, one *watch) (Event, bool) {
		return Event{Key: t.key, Kind: Resync}, one.at < t.ready
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
		return Event{Key: t.key, Kind: Poll}, one.at < t.ready || one.since+1 < polls
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
		t.fresh = true
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
		t.sent, t.confirmed, t.asked, t.fresh = false, false, 0, false
		w.forget(t)
	}
}

// hear handles what the connection delivers, apart from what is about itself.
func (w *Watcher) hear(frame any) {
	switch frame := frame.(type) {
	case *redis.Subscription:
		if frame.Kind == "subscribe" {
			w.subscribed(frame.Channel)
		}
	case *redis.Message:
		w.message(frame.Channel, frame.Payload)
	}
}
