package localapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Errors of Listen.
var (
	// ErrBadListen is returned when api.listen is neither unix:///path nor
	// tcp://host:port, or asks for what is not allowed.
	ErrBadListen = errors.New("localapi: unusable api.listen")
	// ErrInUse is returned when another process listens there.
	ErrInUse = errors.New("localapi: address in use by another process")
	// ErrNotSocket is returned when the socket's path is taken by something
	// that is not a socket. It is left alone.
	ErrNotSocket = errors.New("localapi: path is taken by something that is not a socket")
)

// keepAlive ends a TCP link to a host that vanished after some 11 s.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3}

// address is a parsed api.listen.
type address struct {
	// network is unix or tcp.
	network string
	// target is the path or host:port.
	target string
}

func parseListen(text string) (address, error) {
	if path, ok := strings.CutPrefix(text, "unix://"); ok {
		if path == "" || strings.ContainsRune(path, 0) {
			return address{}, fmt.Errorf("%w: %q names no file (want unix:///path/to/file.sock)", ErrBadListen, text)
		}
		return address{network: "unix", target: path}, nil
	}
	target, ok := strings.CutPrefix(text, "tcp://")
	if !ok {
		return address{}, fmt.Errorf("%w: %q (want unix:///path/to/file.sock or tcp://127.0.0.1:7410)", ErrBadListen, text)
	}
	_, port, err := net.SplitHostPort(target)
	if err != nil {
		return address{}, fmt.Errorf("%w: %q: %w (want tcp://127.0.0.1:7410)", ErrBadListen, text, err)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return address{}, fmt.Errorf("%w: %q has no port number (want tcp://127.0.0.1:7410)", ErrBadListen, text)
	}
	return address{network: "tcp", target: target}, nil
}

// loopback reports whether only this host can reach the address. A name is not
// looked up: what it means may change.
func (a address) loopback() bool {
	if a.network == "unix" {
		return true
	}
	host, _, err := net.SplitHostPort(a.target)
	if err != nil {
		return false
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// check refuses what must be asked for on purpose.
func (a address) check(config Config) error {
	if a.network == "unix" {
		return nil
	}
	if config.TokenFile == "" {
		return fmt.Errorf("%w: tcp://%s needs api.token_file, since every user of this host can reach it", ErrBadListen, a.target)
	}
	if !a.loopback() && !config.AllowPublic {
		return fmt.Errorf("%w: tcp://%s can be reached from other hosts, and players' data would cross the network unencrypted: "+
			"use tcp://127.0.0.1:PORT, or set api.allow_public", ErrBadListen, a.target)
	}
	return nil
}

func (a address) listen(ctx context.Context) (net.Listener, error) {
	if a.network == "unix" {
		return listenUnix(a.target)
	}
	listener, err := (&net.ListenConfig{KeepAliveConfig: keepAlive}).Listen(ctx, "tcp", a.target)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%w: tcp://%s: stop the other process, or set api.listen to another port", ErrInUse, a.target)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%w: tcp://%s: this user may not use the port: choose one from 1024 on", ErrBadListen, a.target)
	case err != nil:
		return nil, fmt.Errorf("listen on tcp://%s: %w", a.target, err)
	}
	return listener, nil
}
