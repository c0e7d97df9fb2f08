package driver

import (
	"sync"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
)

// outageGap ends an outage, as far as the log goes: notes of one kind that come
// closer together belong to the same one. It is longer than the pauses that
// machines make between two tries.
const outageGap = 2 * time.Minute

// noteStyle says how the notes of a kind are logged.
type noteStyle uint8

const (
	// infoStyle is one line each.
	infoStyle noteStyle = iota
	// debugStyle is for what is ordinary under load or without notifications.
	debugStyle
	// warnStyle is one line each, for an operator to look at.
	warnStyle
	// outageStyle is for what strikes many players at once: one line per
	// outage; the metrics have them all.
	outageStyle
)

// noteLines are the kinds that are not logged as plain notes.
var noteLines = map[handoff.NoteKind]struct {
	style noteStyle
	text  string
}{
	handoff.NoteSuperseded:      {debugStyle, "note"},
	handoff.NoteSafetyPoll:      {debugStyle, "note"},
	handoff.NoteTakenOver:       {warnStyle, "player taken over from a server whose lease has ended"},
	handoff.NoteStolen:          {warnStyle, "player taken from a live server at the end of the wait"},
	handoff.NoteSuspect:         {warnStyle, "session given up since redis forgot whether another server took it over"},
	handoff.NoteSpooled:         {outageStyle, "snapshots go to the local spool"},
	handoff.NoteSpoolFailed:     {outageStyle, "the local spool takes no snapshots"},
	handoff.NoteStoreRetry:      {outageStyle, "the database takes no snapshots"},
	handoff.NoteWithoutDatabase: {outageStyle, "data is delivered without asking the database"},
}

// note counts and logs what a machine reports.
func (d *Driver) note(p *player, n handoff.Note) {
	d.metrics.noted(n.Kind)
	line, listed := noteLines[n.Kind]
	if !listed {
		line.text = "note"
	}
	log := d.log.Info
	switch {
	case line.style == debugStyle, line.style == outageStyle && !d.outages.begins(n.Kind, time.Now()):
		log = d.log.Debug
	case line.style != infoStyle:
		log = d.log.Warn
	}
	fields := []any{"kind", n.Kind.String(), "player", p.id.String(), "detail", n.Detail}
	if d.config.Server != "" {
		fields = append(fields, "server", d.config.Server)
	}
	if d.config.Incarnation != "" && line.style == warnStyle {
		fields = append(fields, "incarnation", d.config.Incarnation)
	}
	log(line.text, fields...)
}

// outages remembers when each kind was noted last.
type outages struct {
	mu    sync.Mutex
	noted map[handoff.NoteKind]time.Time
}

// begins reports whether a note made now is the first one of an outage.
func (o *outages) begins(kind handoff.NoteKind, now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.noted == nil {
		o.noted = make(map[handoff.NoteKind]time.Time)
	}
	last, before := o.noted[kind]
	o.noted[kind] = now
	return !before || now.Sub(last) >= outageGap
}
