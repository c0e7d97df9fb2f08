package driver

import (
	"slices"

	"github.com/syncworker/syncworker/internal/handoff"
)

// watch is one subscription of a player.
type watch struct {
	key handoff.Key
	// ended is guarded by the shard's lock; looks that come later are stale.
	ended bool
	// stop is set and called by whoever steps or releases the player.
	stop func()
}

// end stops the watch.
func (w *watch) end() {
	if w.stop != nil {
		w.stop()
	}
}

// startWatch watches a key. A kind of key that is watched already is watched anew, so
// that LookReady comes again; the old watch ends last, so that the subscription
// they share stays.
func (d *Driver) startWatch(p *player, wanted handoff.Watch) {
	fresh := &watch{key: wanted.Key}
	p.shard.mu.Lock()
	old := p.removeWatch(wanted.Key)
	p.watches = append(p.watches, fresh)
	p.shard.mu.Unlock()
	fresh.stop = d.ports.Watcher.Watch(p.id, wanted.Key, wanted.Server, func(cause handoff.LookCause) { d.look(p, fresh, cause) })
	if old != nil {
		old.end()
	}
}

// stopWatch ends the watch of a key, if there is one.
func (d *Driver) stopWatch(p *player, key handoff.Key) {
	p.shard.mu.Lock()
	old := p.removeWatch(key)
	p.shard.mu.Unlock()
	if old != nil {
		old.end()
	}
}

// removeWatch takes the key's watch off the list; nil when there is none.
func (p *player) removeWatch(key handoff.Key) *watch {
	i := slices.IndexFunc(p.watches, func(w *watch) bool { return w.key == key })
	if i < 0 {
		return nil
	}
	found := p.watches[i]
	found.ended = true
	p.watches = slices.Delete(p.watches, i, i+1)
	if len(p.watches) == 0 {
		p.watches = nil
	}
	return found
}

// look queues a hint. It is called by watchers, whose goroutines and locks are
// not ours, so a stepper takes it from here.
func (d *Driver) look(p *player, w *watch, cause handoff.LookCause) {
	p.shard.mu.Lock()
	if w.ended || p.gone || p.shard.closed {
		p.shard.mu.Unlock()
		return
	}
	if strength(cause) > strength(p.look) {
		p.look = cause
	}
	begun := !p.stepping
	if begun {
		d.begin(p)
	}
	p.shard.mu.Unlock()
	if begun {
		d.steppers.add(p)
	}
}

// strength orders causes by how much may have happened; of several looks the
// strongest is kept.
func strength(cause handoff.LookCause) int {
	switch cause {
	case handoff.LookResync:
		return 4
	case handoff.LookReady:
		return 3
	case handoff.LookChanged:
		return 2
	case handoff.LookPoll:
		return 1
	default:
		return 0
	}
}
