package driver_test

import (
	"context"
	"fmt"
	"time"

	"github.com/syncworker/syncworker/internal/driver"
	"github.com/syncworker/syncworker/internal/handoff"
)

// A machine is stepped by the driver, which performs what it asks for and brings
// back what came of it: here one claim, on a store that grants it.
func ExampleDriver() {
	step := machine(func(s state, _ time.Time, event handoff.Event) (state, []handoff.Action) {
		switch e := event.(type) {
		case handoff.Join:
			s.idle, s.notes = false, e.Request
			return s, []handoff.Action{handoff.Claim{Attempt: 1}}
		case handoff.Claimed:
			s.sum = handoff.Summary{Phase: "present", Live: true}
			grant := &handoff.Grant{Session: handoff.SessionID{Player: s.player, Fence: e.Fence}, Source: handoff.SourceNew}
			return s, []handoff.Action{handoff.Reply{Request: s.notes.(handoff.RequestID), Result: grant}}
		default:
			return s, nil
		}
	})
	d := driver.New(step, driver.Ports{
		Store:   &store{},
		Archive: &archive{},
		Codec:   &codec{},
		Watcher: &watcher{},
		Gate:    &gate{},
		Game:    &game{},
	}, driver.Config{})
	defer d.Close()

	grant, err := d.Join(context.Background(), handoff.PlayerID{15: 7}, "Steve", 30*time.Second)
	if err != nil {
		fmt.Println("refused:", err)
		return
	}
	fmt.Println(grant.Source, grant.Session)
	for _, sum := range d.Summaries() {
		fmt.Println(sum.Phase, sum.Live)
	}
	// Output:
	// NEW 00000000-0000-0000-0000-000000000007.1
	// present true
}
