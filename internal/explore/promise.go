package explore

// anybodyWaits: a join is under way.
func (w *World) anybodyWaits() bool {
	for i := range w.count() {
		if w.servers[i].asks(askJoin) {
			return true
		}
	}
	return false
}

// lastCopy: what was acknowledged is, beside Redis, on one local disk alone,
// since the database is away. The loss of Redis's memory would then be a second
// loss of the same data, which is outside the promise.
func (w *World) lastCopy() bool {
	t := &w.truth
	return !t.acknowledged.isZero() && !w.hasCurrent(t.acknowledged.version) && w.spooled(t.acknowledged.version)
}

// haunted: a worker that cannot be reached may believe in a session that was
// taken over or whose lease has ended. A Redis that is rolled back then is
// outside the promise.
func (w *World) haunted() bool {
	for i := range w.count() {
		s := w.servers[i]
		if s.lapsed || s.life == lifeDown && !s.session.IsZero() || len(s.spool) > 0 {
			return true
		}
		if fence := w.livesOn(i); fence != 0 && fence < w.truth.fenced[i] {
			return true
		}
	}
	return false
}
