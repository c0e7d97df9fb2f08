package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxSecret is the largest secret file that is read, in bytes.
const maxSecret = 64 << 10

// ErrBadSecret is returned when a file holds no usable secret.
var ErrBadSecret = errors.New("config: not a secret file")

// Secret is a text that must never be seen. However it is printed or encoded,
// it shows as "[hidden]".
type Secret string

const hidden = "[hidden]"

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// Format writes "[hidden]" for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// MarshalText encodes as "[hidden]".
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// ReadSecret reads a secret from a file that holds nothing else; line ends
// after it are dropped. It returns ErrBadSecret when the file is empty, has
// several lines or is too large, and the file system's error otherwise.
func ReadSecret(path string) (Secret, error) {
	data, err := readBounded(path, maxSecret)
	if err != nil {
		return "", err
	}
	text := strings.TrimRight(string(data), "\r\n")
	switch {
	case text == "":
		return "", fmt.Errorf("%w: %s is empty", ErrBadSecret, path)
	case strings.ContainsAny(text, "\r\n\x00"):
		return "", fmt.Errorf("%w: %s has several lines; want the secret alone", ErrBadSecret, path)
	}
	return Secret(text), nil
}

// Password returns the password for Redis, empty when none is configured.
func (r Redis) Password() (Secret, error) {
	return optionalSecret("redis.password_file", r.PasswordFile)
}

// Token returns the bearer token of the local API, empty when none is
// configured.
func (a API) Token() (Secret, error) {
	return optionalSecret("api.token_file", a.TokenFile)
}

func optionalSecret(key, path string) (Secret, error) {
	if path == "" {
		return "", nil
	}
	secret, err := ReadSecret(path)
	if err != nil {
		return "", &fileError{key, err}
	}
	return secret, nil
}

// fileError is about a file that a key names.
type fileError struct {
	key string
	err error
}

func (e *fileError) Error() string { return e.key + ": " + e.err.Error() }

func (e *fileError) Unwrap() error { return e.err }

// readBounded reads a whole file of at most limit bytes.
func readBounded(path string, limit int64) (data []byte, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	data, err = io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s has more than %s: is it the right file?", path, Size(limit))
	}
	return data, nil
}
