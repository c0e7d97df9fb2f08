package devredis_test

import (
	"context"
	"fmt"
	"time"

	"github.com/syncworker/syncworker/internal/devredis"
)

func Example() {
	server, err := devredis.New(devredis.Options{NotifyKeyspaceEvents: "Kg$x"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	client := server.Client()
	defer client.Close()

	ctx := context.Background()
	events := client.Subscribe(ctx, "__keyspace@0__:door")
	defer events.Close()
	if _, err := events.Receive(ctx); err != nil { // the confirmation
		fmt.Println(err)
		return
	}
	client.Set(ctx, "door", "open", 50*time.Millisecond)
	for range 3 {
		message, err := events.ReceiveMessage(ctx)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(message.Payload)
	}
	// Output:
	// set
	// expire
	// expired
}
