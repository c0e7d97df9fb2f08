package redisstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// How long a step on the way to an answer may take. A worker that waits longer
// is no use to a player who stands in a loading screen; the machines repeat
// what must be repeated.
const (
	dialTimeout = 2 * time.Second
	ioTimeout   = 2 * time.Second
	poolTimeout = 3 * time.Second
)

// Sizes of the connection pools. Redis runs one command at a time, so
// connections add throughput only until the network's delay is covered: what
// is in flight is rate times delay, some 10 scripts at 20,000 per second and
// 0.5 ms. Thousands of players who come at once queue for a connection instead
// of opening one each, since a network of 200 workers must stay below the 10,000
// connections that Redis accepts by default.
const (
	clientConnections = 16
	grantConnections  = 8
)

// Repetition inside one call. A pooled connection may have died unnoticed, so
// one more attempt is due; the scripts bear repetition. More would hide an
// outage from the machines, which know better what to do meanwhile.
const (
	maxRetries      = 1
	minRetryBackoff = 8 * time.Millisecond
	maxRetryBackoff = 64 * time.Millisecond
)

// ErrAddresses is returned when the addresses do not fit.
var ErrAddresses = errors.New("redisstore: exactly one redis address is needed")

// ClientConfig says how to reach Redis.
type ClientConfig struct {
	// Addresses holds one host:port.
	Addresses []string
	// DB is the database index.
	DB int
	// Username of a Redis ACL user; empty for the default user.
	Username string
	// Password; empty for none.
	Password string
	// TLS; nil for plain TCP.
	TLS *tls.Config
	// Dialer makes the connections; nil for the network.
	Dialer func(ctx context.Context, network, address string) (net.Conn, error)
}

// Open returns the two clients that New takes. They share the identity: both
// report the servers they meet to it, and grants connects only where it allows.
// No connection is made before the first command. It returns ErrAddresses when
// there is not exactly one address.
func Open(config ClientConfig, identity *Identity) (client, grants *redis.Client, err error) {
	if len(config.Addresses) != 1 || config.Addresses[0] == "" {
		return nil, nil, fmt.Errorf("%w: got %q", ErrAddresses, config.Addresses)
	}
	client = redis.NewClient(options(config, clientConnections, identity.OnConnect))
	grants = redis.NewClient(options(config, grantConnections, identity.OnGrantConnect))
	return client, grants, nil
}

func options(config ClientConfig, connections int, onConnect func(context.Context, *redis.Conn) error) *redis.Options {
	return &redis.Options{
		Addr:      config.Addresses[0],
		DB:        config.DB,
		Username:  config.Username,
		Password:  config.Password,
		TLSConfig: config.TLS,
		Dialer:    config.Dialer,
		OnConnect: onConnect,

		DialTimeout:  dialTimeout,
		ReadTimeout:  ioTimeout,
		WriteTimeout: ioTimeout,
		PoolTimeout:  poolTimeout,
		// Callers' deadlines count as well.
		ContextTimeoutEnabled: true,

		MaxRetries:      maxRetries,
		MinRetryBackoff: minRetryBackoff,
		MaxRetryBackoff: maxRetryBackoff,
		DialerRetries:   1, // MaxRetries repeats the dial too.

		PoolSize: connections,
		// Pipelines are small and must use the connections counted above.
		PipelinePoolSize: -1,

		// Nothing is sent at connect that is not needed.
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}
