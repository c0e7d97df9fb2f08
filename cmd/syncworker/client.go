package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"syscall"
	"time"

	"connectrpc.com/connect"
	"github.com/urfave/cli/v3"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
	"github.com/syncworker/syncworker/api/syncworker/v1/syncworkerv1connect"
	"github.com/syncworker/syncworker/internal/config"
)

// callTimeout bounds one call of the local API. The worker answers operators
// from memory or with one command to Redis, so more means that it hangs. It is
// a variable for tests only.
var callTimeout = 10 * time.Second

// remote is the worker that a command talks to.
type remote struct {
	syncworkerv1connect.AdminServiceClient
	address config.APIAddress
}

// findWorker finds the local API: where --api says, else where the
// configuration says, which is also where `run` with the same -config listens.
func findWorker(cmd *cli.Command) (*remote, error) {
	address, token, err := findAPI(cmd)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		DialContext: dialTo(address.Network, address.Address),
	}
	client := &http.Client{Transport: &authorized{next: transport, token: token}}
	return &remote{
		// The dialer knows the way; the host in the URL is only a label.
		AdminServiceClient: syncworkerv1connect.NewAdminServiceClient(client, "http://syncworker"),
		address:            address,
	}, nil
}

func findAPI(cmd *cli.Command) (address config.APIAddress, token config.Secret, err error) {
	if file := cmd.String("token-file"); file != "" {
		if token, err = config.ReadSecret(file); err != nil {
			return address, "", fmt.Errorf("read the token: %w", err)
		}
	}
	if text := cmd.String("api"); text != "" {
		if address, err = config.ParseAPIAddress(text); err != nil {
			err = &usageError{fmt.Sprintf("--api %q %s", text, err), cmd.FullName()}
		}
		return address, token, err
	}
	settings, err := config.Load(config.Source{File: cmd.String("config")})
	if err != nil {
		return address, "", fmt.Errorf("%w\nto do without the configuration, name the worker's socket: --api unix:///path", err)
	}
	if token == "" {
		if token, err = settings.API.Token(); err != nil {
			return address, "", fmt.Errorf("read the token: %w", err)
		}
	}
	address, err = config.ParseAPIAddress(settings.API.Listen)
	return address, token, err
}

// authorized adds the bearer token to every request.
type authorized struct {
	next  http.RoundTripper
	token config.Secret
}

// RoundTrip sends a copy of the request, as its interface demands.
func (a *authorized) RoundTrip(request *http.Request) (*http.Response, error) {
	if a.token != "" {
		request = request.Clone(request.Context())
		request.Header.Set("Authorization", "Bearer "+a.token.Reveal())
	}
	return a.next.RoundTrip(request)
}

// call runs one call with a time limit and explains its errors.
func call[Request, Response any](
	ctx context.Context, w *remote, method func(context.Context, *Request) (*Response, error), request *Request,
) (*Response, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	response, err := method(ctx, request)
	if err != nil {
		return nil, w.explain(err)
	}
	return response, nil
}

// explain says what an error of a call means for the person at the terminal.
func (w *remote) explain(err error) error {
	nobody := fmt.Sprintf("no worker answers at %s", w.address)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: there is no such socket. Is the worker running, and with this configuration? "+
			"Name its file with -config FILE, or its socket with --api unix:///path", nobody)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%s: nothing listens there. Is the worker running? Its log says why it stopped", nobody)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: this user may not use the socket. Join its group (ls -l %s) or use sudo", nobody, w.address.Address)
	}
	answered, ok := errors.AsType[*connect.Error](err)
	switch {
	case !ok:
		return fmt.Errorf("call the worker at %s: %w", w.address, err)
	case answered.Code() == connect.CodeUnauthenticated:
		return fmt.Errorf("the worker at %s refuses the token: name the file of api.token_file with --token-file or -config", w.address)
	case answered.Code() == connect.CodeUnimplemented:
		return fmt.Errorf("what listens at %s is no worker of this version: %s", w.address, answered.Message())
	case connect.IsWireError(err):
		return &refusal{answered}
	case answered.Code() == connect.CodeDeadlineExceeded:
		return fmt.Errorf("the worker at %s does not answer within %s: it may be frozen; see its log", w.address, callTimeout)
	default:
		return fmt.Errorf("call the worker at %s: %w", w.address, err)
	}
}

// refusal is an error that the worker answered.
type refusal struct{ wire *connect.Error }

func (r *refusal) Error() string {
	if reason := r.reason(); reason != v1.ErrorReason_ERROR_REASON_UNSPECIFIED {
		return fmt.Sprintf("refused by the worker: %s (%s)", r.wire.Message(), reasonName(reason))
	}
	return fmt.Sprintf("refused by the worker: %s (%s)", r.wire.Message(), r.wire.Code())
}

// reason returns the typed reason that came with the error.
func (r *refusal) reason() v1.ErrorReason {
	for _, packed := range r.wire.Details() {
		value, err := packed.Value()
		if err != nil {
			continue // a detail of another version
		}
		if detail, ok := value.(*v1.ErrorDetail); ok {
			return detail.GetReason()
		}
	}
	return v1.ErrorReason_ERROR_REASON_UNSPECIFIED
}

// dialTo returns a dialer that always reaches one place, whatever the URL says.
func dialTo(network, address string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, network, address)
	}
}
