package config_test

import (
	"testing"

	"github.com/syncworker/syncworker/internal/config"
)

func TestSizes(t *testing.T) {
	for text, want := range map[string]struct {
		size config.Size
		text string
	}{
		"10MiB":   {10 << 20, "10MiB"},
		"1.5 MiB": {3 << 19, "1536KiB"},
		"4096":    {4096, "4KiB"},
		"10 MB":   {10_000_000, "10000000"},
		"0":       {0, "0"},
	} {
		got, err := config.ParseSize(text)
		if err != nil || got != want.size || got.String() != want.text {
			t.Errorf("%q gives %d, %s, %v; want %d, %s", text, got, got, err, want.size, want.text)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "1 apple", "99999999999 GiB", "9223372036854775808"} {
		if got, err := config.ParseSize(text); err == nil {
			t.Errorf("%q gives %d, want an error", text, got)
		}
	}
}

func TestAPIAddresses(t *testing.T) {
	for text, public := range map[string]bool{
		"unix:///run/x.sock": false, "tcp://127.0.0.1:1": false, "tcp://127.9.9.9:1": false, "tcp://[::1]:1": false,
		"tcp://localhost:1": false, "tcp://:1": true, "tcp://0.0.0.0:1": true, "tcp://[::]:1": true,
		"tcp://10.0.0.1:1": true, "tcp://example.com:1": true,
	} {
		address, err := config.ParseAPIAddress(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if address.Public() != public || address.String() != text {
			t.Errorf("%s: public %t, text %s; want %t", text, address.Public(), address, public)
		}
	}
}
