package driver_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/syncworker/syncworker/internal/driver"
	"github.com/syncworker/syncworker/internal/handoff"
)

// TestNotesInTheLog checks which notes are for operators to look at: those about
// one player each time, those of an outage once.
func TestNotesInTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lines
		registry := prometheus.NewRegistry()
		kinds := []handoff.NoteKind{
			handoff.NoteTakenOver, handoff.NoteStolen, handoff.NoteSuspect, handoff.NoteSpooled, handoff.NoteSpoolFailed,
			handoff.NoteStoreRetry, handoff.NoteWithoutDatabase, handoff.NoteForgotten, handoff.NoteSafetyPoll,
		}
		b := newBench(t, machine(func(s state, _ time.Time, event handoff.Event) (state, []handoff.Action) {
			actions := accept(event)
			for _, kind := range kinds {
				actions = append(actions, handoff.Note{Kind: kind, Detail: "because"})
			}
			return s, actions
		}), driver.Config{
			Server: "lobby", Registerer: registry,
			Logger: hclog.New(&hclog.LoggerOptions{Output: &log, Level: hclog.Warn}),
		})
		strike := func(players int) {
			for n := range players {
				if err := b.Confirm(t.Context(), sessionOf(n), true, ""); err != nil {
					t.Fatalf("confirm: %v", err)
				}
			}
		}
		// One outage that goes on for a while, and one after it.
		strike(10)
		<-time.After(time.Minute)
		strike(10)
		<-time.After(time.Minute)
		strike(10)
		<-time.After(time.Hour)
		strike(10)

		for kind, want := range map[handoff.NoteKind]int{
			handoff.NoteTakenOver: 40, handoff.NoteStolen: 40, handoff.NoteSuspect: 40,
			handoff.NoteSpooled: 2, handoff.NoteSpoolFailed: 2, handoff.NoteStoreRetry: 2, handoff.NoteWithoutDatabase: 2,
			handoff.NoteForgotten: 0, handoff.NoteSafetyPoll: 0,
		} {
			if got := strings.Count(log.String(), "kind="+kind.String()+" "); got != want {
				t.Errorf("got %d warnings of %s, want %d", got, kind, want)
			}
			if got := metric(t, registry, "syncworker_driver_notes_total", "kind", kind.String()); got != 40 {
				t.Errorf("got %v of %s counted, want 40", got, kind)
			}
		}
		for line := range strings.Lines(log.String()) {
			for _, want := range []string{"[WARN]", "detail=because", "server=lobby", "player="} {
				if !strings.Contains(line, want) {
					t.Errorf("no %s in %s", want, line)
				}
			}
		}
	})
}
