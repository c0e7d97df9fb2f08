package lifecycle_test

import (
	"testing"
	"time"

	"github.com/syncworker/syncworker/lifecycle"
)

// TestSilenceIsAReasonToSettle is rule R3: a Redis that answered nothing for more
// than half a lease, or all through a settle period, gave nobody the time to renew,
// so nothing is granted for a settle period after it.
func TestSilenceIsAReasonToSettle(t *testing.T) {
	for _, silence := range []struct {
		name     string
		lasts    time.Duration
		settling bool
		shut     bool
	}{
		{"Short", 1500 * time.Millisecond, false, false},
		{"HalfALease", 6 * time.Second, false, true},
		{"NearlyTheLease", 9500 * time.Millisecond, false, true},
		{"AllThroughASettlePeriod", 4500 * time.Millisecond, true, true},
	} {
		t.Run(silence.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *backend) {
				w, f, _, end := leased(t, b)
				gate := lifecycle.NewGate(w.settle, w.lease)
				time.Sleep(10*time.Second + 10*time.Millisecond) // Just renewed.
				f.freeze()
				if silence.settling {
					w.settle.Begin(lifecycle.CauseResync)
				}
				time.Sleep(silence.lasts)
				f.wake()
				eventually(t, "the lease is held", func() bool {
					until, held := w.lease.Until()
					return held && time.Until(until) > 8*time.Second
				})
				if until, open := gate.Settled(time.Now()); open == silence.shut {
					t.Errorf("the gate is open: %v, shut until %v", open, until)
				}
				end()
			})
		})
	}
}
