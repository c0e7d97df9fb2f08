package lifecycle

import "time"

// term is the time for which a lease was granted. It counts from the start of
// the attempt that granted it: Redis may have set the TTL right then and
// answered late.
type term struct {
	from time.Time
	ttl  time.Duration
}

// until is when the lease must be taken for ended. The margin covers the
// difference between two clocks over one TTL, and a command on its way.
func (t term) until() time.Time { return t.from.Add(t.ttl - t.ttl/10) }

// valid reports whether the lease can be relied on at a moment. Both clocks must
// say so: the monotonic one may stand still while the whole machine is paused.
func (t term) valid(now time.Time) bool {
	until := t.until()
	return now.Before(until) && now.Round(0).Before(until.Round(0))
}

// renewAt is when the next renewal is due.
func (t term) renewAt() time.Time { return t.from.Add(t.ttl / 3) }

// sighting is one look at another worker's lease: between two moments of our
// clock it had so much time left.
type sighting struct {
	value         string
	before, after time.Time
	left          time.Duration
}

// renewedSince reports whether the lease was renewed, or taken anew, between an
// earlier sighting and this one. A lease that nobody renews ends at one fixed
// moment. Each sighting tells between which two moments that is; when the later
// sighting begins where the earlier one ends, and slack later, somebody is
// alive.
func (s sighting) renewedSince(first sighting, slack time.Duration) bool {
	if s.value != first.value {
		return true
	}
	latest := first.after.Add(first.left)
	earliest := s.before.Add(s.left)
	return earliest.After(latest.Add(slack))
}
