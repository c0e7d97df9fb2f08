package config

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/syncworker/syncworker/internal/handoff"
)

// maxSocketPath is the longest path that fits into a Unix socket's address on
// Linux (sun_path less its final zero).
const maxSocketPath = 107

// limit is what a value may be. Its String is shown to operators.
type limit interface {
	fmt.Stringer
	// check returns what is wrong with the value and how to mend it.
	check(value any) error
}

// between allows the values from min to max, both included.
type between[T cmp.Ordered] struct{ min, max T }

func (b between[T]) String() string { return format(b.min) + " to " + format(b.max) }

func (b between[T]) check(value any) error {
	if v, ok := value.(T); ok && (v < b.min || v > b.max) {
		return fmt.Errorf("is out of range: want %s", b)
	}
	return nil
}

// oneOf allows the given words.
type oneOf []string

func (o oneOf) String() string { return strings.Join(o, ", ") }

func (o oneOf) check(value any) error {
	word, ok := value.(string)
	if !ok || slices.Contains(o, word) {
		return nil
	}
	if meant := nearest(word, o); meant != "" {
		return fmt.Errorf("is not known: did you mean %q? Possible: %s", meant, o)
	}
	return fmt.Errorf("is not known: want %s", o)
}

// rule allows what its function finds nothing wrong with.
type rule[T any] struct {
	text string
	find func(T) error
}

func (r rule[T]) String() string { return r.text }

func (r rule[T]) check(value any) error {
	if v, ok := value.(T); ok {
		return r.find(v)
	}
	return nil
}

var notEmpty = rule[string]{"not empty", func(text string) error {
	if text == "" {
		return errors.New("must not be empty")
	}
	return nil
}}

var oneAddress = rule[[]string]{"one host:port", func(addresses []string) error {
	switch len(addresses) {
	case 0:
		return errors.New("is empty: want one host:port")
	case 1:
		return checkHostPort(addresses[0])
	default:
		return errors.New("names several servers, but Sentinel and Cluster are not supported: want one host:port")
	}
}}

var listenAddress = rule[string]{"host:port or empty", func(text string) error {
	if text == "" {
		return nil
	}
	if strings.Contains(text, "://") {
		return errors.New("is not host:port: leave the scheme out, for instance 127.0.0.1:9464")
	}
	return checkHostPort(text)
}}

var apiAddress = rule[string]{"unix:///path or tcp://host:port", func(text string) error {
	address, err := ParseAPIAddress(text)
	if err == nil && address.Network == "unix" && len(address.Address) > maxSocketPath {
		return fmt.Errorf("has a path of %d bytes: the system takes %d at most", len(address.Address), maxSocketPath)
	}
	return err
}}

var saveCauses = rule[[]string]{"texts of 1 to 32 bytes", func(causes []string) error {
	for i, cause := range causes {
		if cause == "" || len(cause) > handoff.MaxSaveCause {
			return fmt.Errorf("holds %q: a save cause has 1 to %d bytes", cause, handoff.MaxSaveCause)
		}
		if slices.Contains(causes[:i], cause) {
			return fmt.Errorf("holds %q twice", cause)
		}
	}
	return nil
}}

// APIAddress is where the local API listens, in the terms of package net.
type APIAddress struct {
	// Network is unix or tcp.
	Network string
	// Address is a path or host:port.
	Address string
}

// ParseAPIAddress reads unix:///path or tcp://host:port.
func ParseAPIAddress(text string) (APIAddress, error) {
	parsed, err := url.Parse(text)
	if err != nil {
		return APIAddress{}, errors.New("is not an address: want unix:///path or tcp://host:port")
	}
	switch parsed.Scheme {
	case "unix":
		path := strings.TrimPrefix(text, "unix://")
		if !filepath.IsAbs(path) {
			return APIAddress{}, errors.New("has no absolute path: want unix:///path, with three slashes")
		}
		return APIAddress{Network: "unix", Address: path}, nil
	case "tcp":
		address := strings.TrimPrefix(text, "tcp://")
		if err := checkHostPort(address); err != nil {
			return APIAddress{}, err
		}
		return APIAddress{Network: "tcp", Address: address}, nil
	default:
		return APIAddress{}, errors.New("is not an address of a known kind: want unix:///path or tcp://host:port")
	}
}

// String is the reverse of ParseAPIAddress.
func (a APIAddress) String() string { return a.Network + "://" + a.Address }

// Public reports whether other machines could reach the address. Names other
// than localhost are taken for public, since they may resolve to anything.
func (a APIAddress) Public() bool {
	if a.Network == "unix" {
		return false
	}
	host, _, err := net.SplitHostPort(a.Address)
	if err != nil || host == "" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return host != "localhost"
	}
	return !ip.IsLoopback()
}

// checkHostPort says what is wrong with text as host:port.
func checkHostPort(text string) error {
	_, port, err := net.SplitHostPort(text)
	if err != nil {
		return errors.New("is not host:port, for instance 127.0.0.1:6379 or [::1]:6379")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("has the port %q: want a number from 1 to 65535", port)
	}
	return nil
}
