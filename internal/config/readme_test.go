package config_test

import (
	"os"
	"strings"
	"testing"

	"github.com/syncworker/syncworker/internal/config"
)

// The README's table of keys stands between these two lines.
const (
	readmePath = "../../README.md"
	tableBegin = "<!-- config:begin -->\n"
	tableEnd   = "<!-- config:end -->\n"
)

func TestReadmeTableIsCurrent(t *testing.T) {
	data, err := os.ReadFile(readmePath)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(data), tableBegin)
	table, after, ends := strings.Cut(rest, tableEnd)
	if !begins || !ends {
		t.Fatalf("README.md lacks the lines %q and %q, between which the table of keys belongs", tableBegin, tableEnd)
	}
	if *update {
		table = config.Table()
		if err := os.WriteFile(readmePath, []byte(before+tableBegin+table+tableEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if table != config.Table() {
		t.Error("the table of keys in README.md is not current: run go test ./internal/config -update")
	}
}
