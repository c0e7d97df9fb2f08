package gamelink_test

import (
	"fmt"

	"github.com/hashicorp/go-hclog"

	"github.com/syncworker/syncworker/internal/gamelink"
	"github.com/syncworker/syncworker/internal/handoff"
)

func ExampleLink_Attach() {
	link := gamelink.New(newSessions(), gamelink.Config{Logger: hclog.NewNullLogger()})
	defer link.Close()

	stream, answer, err := link.Attach(gamelink.Game{Boot: "b7c1", Platform: "bukkit", Version: "1.21.4"},
		[]handoff.SessionID{session(1)})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("resumed:", len(answer.Resumed), "lost:", len(answer.Lost))

	link.TellLost(handoff.TellLost{Session: session(2), Reason: handoff.ReasonSessionLost, NewHolder: "lobby"})
	select {
	case event := <-stream.Events():
		if lost, ok := event.(gamelink.SessionLost); ok {
			fmt.Println("remove", lost.Session.Player, "now on", lost.NewHolder)
		}
	case <-stream.Done():
		fmt.Println(stream.Err())
	}
	// Output:
	// resumed: 0 lost: 1
	// remove 00000000-0000-0000-0000-000000000002 now on lobby
}
