package localapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"unicode"
)

// Sizes of tokens, in bytes.
const (
	minToken = 16
	maxToken = 4096
)

// ErrBadToken is returned when a token file is missing, unsafe or holds no
// usable token.
var ErrBadToken = errors.New("localapi: unusable token file")

// CheckToken returns ErrBadToken when the file cannot serve as api.token_file.
func CheckToken(path string) error {
	_, err := readToken(path)
	return err
}

// readToken returns the bearer token in a file. The token never becomes part of
// an error.
func readToken(path string) (token string, err error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%w: %s does not exist: make it with: (umask 077; openssl rand -hex 32 > %s)", ErrBadToken, path, path)
	}
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrBadToken, err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrBadToken, err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%w: %s is not a regular file", ErrBadToken, path)
	}
	if open := info.Mode().Perm() & 0o007; open != 0 {
		return "", fmt.Errorf("%w: %s is open to every user (mode %04o): chmod 640 %s", ErrBadToken, path, info.Mode().Perm(), path)
	}
	content, err := io.ReadAll(io.LimitReader(file, maxToken+1))
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrBadToken, err)
	}
	return checkToken(path, bytes.TrimSpace(content))
}

func checkToken(path string, token []byte) (string, error) {
	switch {
	case len(token) == 0:
		return "", fmt.Errorf("%w: %s is empty: fill it with: openssl rand -hex 32 > %s", ErrBadToken, path, path)
	case len(token) > maxToken:
		return "", fmt.Errorf("%w: %s has more than %d bytes: is it the right file?", ErrBadToken, path, maxToken)
	case len(token) < minToken:
		return "", fmt.Errorf("%w: the token in %s is easy to guess, it has %d characters (at least %d): openssl rand -hex 32 > %s",
			ErrBadToken, path, len(token), minToken, path)
	case bytes.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > unicode.MaxASCII || r == 0x7f }):
		return "", fmt.Errorf("%w: %s contains spaces, line ends or characters that no HTTP header can carry; want the token alone", ErrBadToken, path)
	}
	return string(token), nil
}
