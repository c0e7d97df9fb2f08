package events_test

import (
	"context"
	"fmt"

	"github.com/syncworker/syncworker/events"
	"github.com/syncworker/syncworker/internal/devredis"
)

func ExampleWatcher() {
	server, err := devredis.New(devredis.Options{NotifyKeyspaceEvents: "Kg$x"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	client := server.Client()
	defer client.Close()

	watcher := events.New(client, events.Config{ProbeKey: "example:event_probe"})
	done := make(chan error)
	go func() { done <- watcher.Execute() }()

	looks := make(chan events.Event, 10)
	stop := watcher.Watch("door", func(e events.Event) { looks <- e })
	ctx := context.Background()
	for e := range looks {
		fmt.Printf("%v %q\n", e.Kind, e.Name) // read the key after each of them
		if e.Kind == events.Ready {
			client.Set(ctx, "door", "open", 0)
			continue
		}
		break
	}
	stop()
	watcher.Interrupt(nil)
	fmt.Println(<-done)
	// Output:
	// ready ""
	// changed "set"
	// <nil>
}
