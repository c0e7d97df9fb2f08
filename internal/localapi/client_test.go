package localapi_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"connectrpc.com/connect"

	"github.com/syncworker/syncworker/api/syncworker/v1/syncworkerv1connect"
)

// client calls a server over one HTTP/2 connection, as a game would.
type client struct {
	Players syncworkerv1connect.PlayerServiceClient
	Admin   syncworkerv1connect.AdminServiceClient
	HTTP    *http.Client
}

// dial makes a client for an api.listen; it sends the token in a file, if one is
// named.
func dial(t testing.TB, listen, tokenFile string, http2 bool, options ...connect.ClientOption) *client {
	t.Helper()
	network, target, _ := strings.Cut(listen, "://")
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!http2)
	protocols.SetUnencryptedHTTP2(http2)
	transport := &http.Transport{
		Protocols: protocols,
		// One connection must do for everything.
		HTTP2: &http.HTTP2Config{StrictMaxConcurrentRequests: true},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, target)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	token := ""
	if tokenFile != "" {
		content, err := os.ReadFile(tokenFile)
		if err != nil {
			t.Fatal(err)
		}
		token = strings.TrimSpace(string(content))
	}
	httpClient := &http.Client{Transport: &bearer{next: transport, token: token}}
	return &client{
		Players: syncworkerv1connect.NewPlayerServiceClient(httpClient, "http://localhost", options...),
		Admin:   syncworkerv1connect.NewAdminServiceClient(httpClient, "http://localhost", options...),
		HTTP:    httpClient,
	}
}

type bearer struct {
	next  http.RoundTripper
	token string
}

func (b *bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	if b.token != "" {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+b.token)
	}
	return b.next.RoundTrip(r)
}
