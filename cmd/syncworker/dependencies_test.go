package main

import (
	"os"
	"strings"
	"testing"
)

// Every module that go.mod requires directly is explained to whoever decides
// whether to trust it.
func TestDirectDependenciesAreExplained(t *testing.T) {
	modules, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	explained, err := os.ReadFile("../../docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(modules)) {
		path, version, found := strings.Cut(strings.TrimSpace(strings.TrimPrefix(line, "require ")), " ")
		if !found || !strings.HasPrefix(version, "v") || strings.HasSuffix(version, "// indirect") {
			continue
		}
		// Modules of one family share a line.
		family := strings.TrimPrefix(path, "github.com/knadh/koanf/")
		if !strings.Contains(string(explained), family) {
			t.Errorf("docs/dependencies.md does not explain %s", path)
		}
	}
}
