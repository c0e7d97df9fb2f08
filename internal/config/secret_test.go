package config_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/syncworker/syncworker/internal/config"
)

func TestSecretIsTrimmedAndHidden(t *testing.T) {
	for _, text := range []string{"pa ss", "pa ss\n", "pa ss\r\n"} {
		secret, err := config.ReadSecret(write(t, text))
		if err != nil {
			t.Fatal(err)
		}
		if secret.Reveal() != "pa ss" {
			t.Errorf("%q gives %q", text, secret.Reveal())
		}
		encoded, err := json.Marshal(map[string]any{"password": secret})
		if err != nil {
			t.Fatal(err)
		}
		seen := fmt.Sprintf("%v %s %q %x %d %+v %#v %v", secret, secret, secret, secret, secret, secret, secret, &secret) + string(encoded)
		if strings.Contains(seen, "pa ss") || strings.Contains(seen, fmt.Sprintf("%x", "pa ss")) {
			t.Errorf("the secret shows in %s", seen)
		}
	}
}

func TestBadSecretFilesAreRefused(t *testing.T) {
	for _, text := range []string{"", "\n", "one\ntwo\n", "a\x00b"} {
		if _, err := config.ReadSecret(write(t, text)); !errors.Is(err, config.ErrBadSecret) {
			t.Errorf("%q: got %v, want ErrBadSecret", text, err)
		}
	}
	if _, err := config.ReadSecret(filepath.Join(t.TempDir(), "missing")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want os.ErrNotExist", err)
	}
}

func TestPasswordAndTokenNameTheirKeys(t *testing.T) {
	c := config.Default()
	if password, err := c.Redis.Password(); err != nil || password != "" {
		t.Errorf("without a file: got %v, %v", password, err)
	}
	c.Redis.PasswordFile = filepath.Join(t.TempDir(), "missing")
	c.API.TokenFile = write(t, "")
	err := c.CheckFiles()
	if err == nil || !strings.Contains(err.Error(), "redis.password_file") || !strings.Contains(err.Error(), "api.token_file") {
		t.Errorf("got %v, want both keys named", err)
	}
	c.Redis.PasswordFile, c.API.TokenFile = write(t, "secret\n"), write(t, "token\n")
	if err := c.CheckFiles(); err != nil {
		t.Error(err)
	}
	token, err := c.API.Token()
	if err != nil || token.Reveal() != "token" {
		t.Errorf("got %q, %v", token.Reveal(), err)
	}
}
