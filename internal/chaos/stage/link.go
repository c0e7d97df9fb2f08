//go:build unix

package stage

import (
	"context"
	"fmt"
	"strings"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// Link is the network between one worker and Redis.
type Link struct {
	proxy *toxiproxy.Proxy
}

// newLinks returns a maker of links to one address.
func newLinks(upstream string) func(name string) (*Link, error) {
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	return func(name string) (*Link, error) {
		l := &Link{proxy: toxiproxy.NewProxy(server, name, "127.0.0.1:0", upstream)}
		return l, l.up()
	}
}

func (l *Link) addr() string { return l.proxy.Listen }

func (l *Link) up() error {
	if err := l.proxy.Start(); err != nil {
		return fmt.Errorf("stage: start proxy: %w", err)
	}
	return nil
}

// Cut closes all connections and refuses new ones.
func (l *Link) Cut() { l.proxy.Stop() }

// Mend lets connections through again, with nothing in the way.
func (l *Link) Mend(ctx context.Context) error {
	l.proxy.Stop()
	l.proxy.Toxics.ResetToxics(ctx)
	return l.up()
}

// Swallow lets nothing through any more, without closing a connection: as when a
// switch drops packets. What is on the way is gone, so Mend closes the
// connections: TCP never leaves out a part.
func (l *Link) Swallow() error {
	return l.both(`{"type": "timeout", "attributes": {"timeout": 0}}`)
}

// Slow delays what goes through, each way, by latency, more or less jitter.
func (l *Link) Slow(latency, jitter time.Duration) error {
	return l.both(fmt.Sprintf(`{"type": "latency", "attributes": {"latency": %d, "jitter": %d}}`,
		latency.Milliseconds(), jitter.Milliseconds()))
}

func (l *Link) both(toxic string) error {
	for _, stream := range []string{"upstream", "downstream"} {
		text := fmt.Sprintf(`{"name": %q, "stream": %q, %s`, stream, stream, strings.TrimPrefix(toxic, "{"))
		if _, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(text)); err != nil {
			return fmt.Errorf("stage: add toxic: %w", err)
		}
	}
	return nil
}

// Smooth ends Slow, and closes no connection.
func (l *Link) Smooth(ctx context.Context) { l.proxy.Toxics.ResetToxics(ctx) }
