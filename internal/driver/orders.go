package driver

import "github.com/syncworker/syncworker/internal/handoff"

// adoption is a handoff.Adopt whose sender waits until it is stepped.
type adoption struct {
	handoff.Adopt
	stepped chan struct{}
}

// Adopt asks for a session of an earlier incarnation of this worker, as
// handoff.Adopt has it. When it returns, the player's machine has heard of it,
// so that Summary tells what has become of it so far; after Close it does
// nothing. It must not be called from within a port.
func (d *Driver) Adopt(session handoff.SessionID, name string) {
	event := adoption{
		Adopt:   handoff.Adopt{Session: session, Name: name},
		stepped: make(chan struct{}),
	}
	s := d.shardOf(session.Player)
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	p := d.entry(s, session.Player)
	mine := d.admit(p, event)
	s.mu.Unlock()
	if mine {
		d.turn(p, event)
		return
	}
	select {
	case <-event.stepped:
	case <-d.closing:
	}
}

// Petition passes on that another server waits for the player, and reports
// whether anything is remembered of the player here; if not, it does nothing.
// Petitions are hints: of those that wait for their step, the one with the
// highest fence is kept. It returns before the machine has heard of it.
func (d *Driver) Petition(id handoff.PlayerID, petition handoff.Petitioned) (known bool) {
	s := d.shardOf(id)
	s.mu.Lock()
	p := s.players[id]
	begun := p != nil && !p.mergePetition(petition) && d.enqueue(p, petition)
	s.mu.Unlock()
	if begun {
		d.steppers.add(p)
	}
	return p != nil
}

// mergePetition reports whether a petition is queued already; then the stronger
// of the two is. The caller holds the lock.
func (p *player) mergePetition(petition handoff.Petitioned) bool {
	for i, event := range p.queue {
		queued, ok := event.(handoff.Petitioned)
		if !ok {
			continue
		}
		if petition.Fence > queued.Fence {
			p.queue[i] = petition
		}
		return true
	}
	return false
}
