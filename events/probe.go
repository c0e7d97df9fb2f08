package events

import (
	"context"
	"errors"
	"strings"
	"time"
)

const (
	flagsParameter = "notify-keyspace-events"
	// neededFlags: the keyspace channel; generic, string and expired events.
	neededFlags = "Kg$x"
	// allFlags is what A stands for.
	allFlags = "g$lshzxetd"
	// mostProbeWait bounds the wait for the probe's event, which arrives
	// within a millisecond as a rule.
	mostProbeWait = time.Second
	// commandTimeout bounds a test's commands, repetitions by the client
	// included, but for a read that has begun: that has the client's timeout.
	commandTimeout = 2 * time.Second
	// retryPause is the pause after a test that came to no conclusion.
	retryPause = time.Second
)

// verdict is the outcome of one probe.
type verdict uint8

const (
	arrived verdict = iota + 1 // the event came
	missing                    // the key was written, the event did not come
	unclear                    // the key could not be written
)

// MissingFlags returns those of the flags that the watcher needs and
// notify-keyspace-events lacks, "" when it has all. Redis prints flags in an
// order of its own and A stands for many, so they are compared as sets.
func MissingFlags(present string) string {
	if strings.Contains(present, "A") {
		present += allFlags
	}
	var lacking strings.Builder
	for _, flag := range neededFlags {
		if !strings.ContainsRune(present, flag) {
			lacking.WriteRune(flag)
		}
	}
	return lacking.String()
}

// prove keeps the level true: it tests each new connection, once more soon after
// when that failed, and at each safety poll.
func (w *Watcher) prove() {
	again := time.NewTimer(retryPause)
	again.Stop()
	defer again.Stop()
	for {
		select {
		case <-w.born:
			w.inspect()
			if w.Level() != LevelEvents {
				again.Reset(retryPause)
			}
		case <-again.C:
			w.inspect()
		case <-w.tick:
			w.inspect()
		case <-w.ctx.Done():
			return
		}
	}
}

// inspect tests the present connection. While all is well it costs one command.
func (w *Watcher) inspect() {
	w.mu.Lock()
	l, level := w.link, w.level
	w.mu.Unlock()
	if l == nil {
		return // The next connection is tested when it is up.
	}
	var added string
	var mendErr error
	if level != LevelEvents {
		added, mendErr = w.mend()
	}
	result, err := w.probeOnce(l)
	if result != arrived && !l.answers(w.ctx) {
		l.end(errSilent)
		return
	}
	if result == missing && level == LevelEvents {
		if added, mendErr = w.mend(); added != "" {
			result, err = w.probeOnce(l)
		}
	}
	w.conclude(l, result, added, errors.Join(err, mendErr))
}

// conclude draws the conclusion from a test of a connection that is alive.
func (w *Watcher) conclude(l *link, result verdict, added string, err error) {
	if w.ctx.Err() != nil {
		return
	}
	if added != "" {
		w.log.Info("switched on missing keyspace notifications", "flags", added)
	}
	switch {
	case result == arrived:
		w.setLevel(l, LevelEvents, doubt{})
		if added != "" || l.deaf {
			// Until now notifications were lost.
			l.deaf = false
			w.resyncAll()
		}
		return
	case result == missing && w.Level() == LevelEvents:
		// The flags are there, or nobody may look. Before giving up, another
		// connection: this one may lead to a server that is no longer the
		// one that is written to, after a failover for instance.
		l.end(errDeaf)
		return
	case result == missing:
		w.setLevel(l, LevelPolling, whyMissing(err))
	default:
		w.setLevel(l, LevelPolling, doubt{"the key that tests keyspace notifications cannot be written", err})
	}
	l.deaf = true
}

// mend adds the flags that are missing to those that others may have set, and
// returns them. An error means that CONFIG is refused or not answered.
func (w *Watcher) mend() (added string, err error) {
	ctx, cancel := context.WithTimeout(w.ctx, commandTimeout)
	defer cancel()
	values, err := w.client.ConfigGet(ctx, flagsParameter).Result()
	if err != nil {
		return "", err
	}
	present, known := values[flagsParameter]
	if !known {
		return "", errors.New("CONFIG GET does not tell " + flagsParameter)
	}
	added = MissingFlags(present)
	if added == "" {
		return "", nil
	}
	if err := w.client.ConfigSet(ctx, flagsParameter, present+added).Err(); err != nil {
		return "", err
	}
	return added, nil
}

// probeOnce writes the probe key and waits for its event.
func (w *Watcher) probeOnce(l *link) (verdict, error) {
	select {
	case <-l.probed: // A late event of an earlier probe.
	default:
	}
	// The key outlives the next probe, so that none finds it expired, which
	// would raise an event more.
	ttl := 2*w.cfg.SafetyPoll + mostProbeWait
	ctx, cancel := context.WithTimeout(w.ctx, commandTimeout)
	defer cancel()
	if err := w.client.Set(ctx, w.cfg.ProbeKey, time.Now().UTC().Format(time.RFC3339), ttl).Err(); err != nil {
		return unclear, err
	}
	if !l.await(w.ctx, l.probed, min(mostProbeWait, w.cfg.SafetyPoll/4)) {
		w.metrics.missed.Inc()
		return missing, nil
	}
	return arrived, nil
}

// doubt is why notifications are not relied on. What is the same for all
// occurrences and is logged once; err may differ from one to the next.
type doubt struct {
	what string
	err  error
}

func (d doubt) String() string {
	if d.err == nil {
		return d.what
	}
	return d.what + ": " + d.err.Error()
}

func whyMissing(mendErr error) doubt {
	const mend = "set " + flagsParameter + " to at least " + neededFlags + " in Redis's own configuration"
	if mendErr != nil {
		return doubt{"Redis sends no keyspace notifications and CONFIG does not work; " + mend, mendErr}
	}
	return doubt{"Redis sends no keyspace notifications although the flags are set", nil}
}

// setLevel notes the level that a test of a connection showed. A test of one that
// is gone says nothing any more.
func (w *Watcher) setLevel(l *link, level Level, why doubt) {
	w.mu.Lock()
	changed := w.link == l && (w.level != level || w.doubt.what != why.what)
	if w.link == l {
		w.noteLocked(level, why)
	}
	w.mu.Unlock()
	switch {
	case !changed:
	case level == LevelEvents:
		w.log.Info("keyspace notifications arrive")
	default:
		w.log.Warn("watching by polling only", "reason", why.String(), "period", w.cfg.SafetyPoll)
	}
}

// lost notes the end of a connection, or that none could be made, and logs it
// once, however many attempts fail after it.
func (w *Watcher) lost(cause error) {
	why := doubt{"no pub/sub connection to Redis", cause}
	w.mu.Lock()
	repeated := w.doubt.what == why.what
	w.noteLocked(LevelPolling, why)
	w.mu.Unlock()
	if !repeated {
		w.log.Warn("no pub/sub connection to redis, watching by polling until there is one", "error", cause)
	}
}

func (w *Watcher) noteLocked(level Level, why doubt) {
	w.level, w.doubt = level, why
	w.metrics.setLevel(level)
}
