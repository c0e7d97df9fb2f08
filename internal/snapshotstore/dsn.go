package snapshotstore

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
)

// parseDSN returns the absolute path of the database file. Allowed are a path,
// for instance syncworker.db or /var/lib/syncworker/syncworker.db, and a file:
// URL of one, for instance file:///var/lib/syncworker/syncworker.db. Parameters
// are not: the guarantees depend on how the file is opened. Nor are databases in
// memory, which several connections would not share and no crash would survive.
//
// The path is made absolute at once, because connections are opened later as
// well and the working directory may have changed by then.
func parseDSN(dsn string) (string, error) {
	path := dsn
	if rest, isURL := strings.CutPrefix(dsn, "file:"); isURL {
		var err error
		if path, err = filePath(rest); err != nil {
			return "", fmt.Errorf("%w: %q %w", ErrBadDSN, dsn, err)
		}
	} else if scheme, _, found := strings.Cut(dsn, "://"); found {
		return "", fmt.Errorf("%w: %q has the scheme %s (want a file path or a file: url for sqlite)", ErrBadDSN, redact(dsn), scheme)
	}
	switch {
	case path == "":
		return "", fmt.Errorf("%w: %q names no file (want a path, for instance syncworker.db)", ErrBadDSN, dsn)
	case path == ":memory:":
		return "", fmt.Errorf("%w: %q would not survive a crash (want the path of a file)", ErrBadDSN, dsn)
	case strings.ContainsRune(path, 0):
		return "", fmt.Errorf("%w: %q contains a zero byte", ErrBadDSN, dsn)
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("%w: make %q absolute: %w", ErrBadDSN, dsn, err)
	}
	return absolute, nil
}

// filePath reads what follows "file:".
func filePath(rest string) (string, error) {
	if strings.ContainsAny(rest, "?#") {
		return "", fmt.Errorf("has parameters (write the file's path only; %%3F and %%23 stand for ? and # in it)")
	}
	if authority, isAuthority := strings.CutPrefix(rest, "//"); isAuthority {
		host, _, _ := strings.Cut(authority, "/")
		if host != "" && host != "localhost" {
			return "", fmt.Errorf("names the host %q (want file:///path)", host)
		}
		rest = strings.TrimPrefix(authority, host)
	}
	path, err := url.PathUnescape(rest)
	if err != nil {
		return "", fmt.Errorf("is not a url: %w", err)
	}
	return filepath.FromSlash(path), nil
}

// redact cuts a URL of another database before what may be a password.
func redact(dsn string) string {
	scheme, _, _ := strings.Cut(dsn, "://")
	return scheme + "://..."
}

// access says what a connection may do.
type access uint8

const (
	// accessCreate may write and creates the file when it is missing.
	accessCreate access = iota
	// accessWrite may write an existing file.
	accessWrite
	// accessRead may read an existing file.
	accessRead
)

// connectDSN returns the name under which the driver opens the file. Only
// accessCreate creates it: a connection that is opened later, after the file was
// moved away, must fail rather than find an empty database (law L3).
func connectDSN(path string, may access) string {
	query := url.Values{
		"mode": {"rw"},
		// In milliseconds; the longer wait is in SQLite.retry.
		"_busy_timeout": {"10"},
		// FULL waits for fsync at every commit: what Insert acknowledged must
		// survive a crash of the operating system, too (law L6).
		"_synchronous": {"FULL"},
		// Writers take the write lock when they begin: a transaction that reads
		// first and then finds somebody else has written could only fail.
		"_txlock":    {"immediate"},
		"_defensive": {"1"},
		"_dqs":       {"0"},
		"_error_rc":  {"1"},
		// A burst leaves a large -wal file behind; cut it back at checkpoints.
		"_pragma": {"journal_size_limit(67108864)"},
	}
	switch may {
	case accessCreate:
		query.Set("mode", "rwc")
	case accessWrite:
	case accessRead:
		query.Set("_query_only", "1")
	}
	slashed := filepath.ToSlash(path)
	if !strings.HasPrefix(slashed, "/") {
		slashed = "/" + slashed
	}
	name := url.URL{Scheme: "file", Path: slashed, RawQuery: query.Encode()}
	return name.String()
}
