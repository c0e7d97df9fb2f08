package devredis_test

import (
	"fmt"
	"slices"
	"testing"
)

// pubSubAnswers compares what PUBLISH and PUBSUB answer.
func pubSubAnswers(t *testing.T, r *recorder) {
	channels := []string{"a1", "a2", "b\\", "x[y]", "xyz"}
	listener := r.client.Subscribe(r.ctx, channels...)
	defer listener.Close()
	for range channels {
		if _, err := listener.Receive(r.ctx); err != nil {
			t.Fatal(err)
		}
	}
	for pattern, want := range map[string]string{
		"a*": "[a1 a2]", "?1": "[a1]", "a[1-9]": "[a1 a2]", "a[^1]": "[a2]", "x[[]y]": "[x[y]]", `x\[*`: "[x[y]]",
		`b\\`: `[b\]`, "*z": "[xyz]", "*y*": "[x[y] xyz]", "**": `[a1 a2 b\ x[y] xyz]`, "": "[]", "a[12": "[a1 a2]", "xyz?": "[]",
	} {
		found := r.client.PubSubChannels(r.ctx, pattern).Val()
		slices.Sort(found)
		if got := fmt.Sprint(found); got != want {
			t.Errorf("channels %q: got %s, want %s", pattern, got, want)
		}
	}
	r.expect("1", "PUBLISH", "a1", "m")
	r.expect("0", "PUBLISH", "nobody", "m")
	if got := r.client.PubSubNumPat(r.ctx).Val(); got != 1 {
		t.Errorf("got %d patterns, want 1", got)
	}
	if got := r.client.PubSubNumSub(r.ctx, "a1", "nobody").Val(); got["a1"] != 1 || got["nobody"] != 0 {
		t.Errorf("got subscribers %v", got)
	}
}

// messages of any channel come in order among notifications, on one connection.
func messages(t *testing.T, r *recorder) {
	listener := r.client.Subscribe(r.ctx, "ns:main:petition:a", "__keyspace@0__:k", "ns:main:petition:a*")
	defer listener.Close()
	for range 3 {
		if _, err := listener.Receive(r.ctx); err != nil {
			t.Fatal(err)
		}
	}
	binary := "\x00\r\n$-1\xff"
	r.expect("1", "PUBLISH", "ns:main:petition:a", binary)
	r.do("SET", "k", "v")
	r.expect("0", "PUBLISH", "ns:main:petition:ab", "a name is no pattern")
	// Channels know no databases.
	r.on(r.other, "PUBLISH", "ns:main:petition:a", "")
	r.expect("1", "EVAL", "return redis.call('PUBLISH', KEYS[1], ARGV[1])", 1, "ns:main:petition:a*", "from a script")
	for _, want := range []string{
		"ns:main:petition:a " + binary, "__keyspace@0__:k set", "ns:main:petition:a ", "ns:main:petition:a* from a script",
	} {
		m, err := listener.ReceiveMessage(r.ctx)
		if err != nil || m.Channel+" "+m.Payload != want {
			t.Errorf("got %v, %v; want %q", m, err, want)
		}
	}
}
