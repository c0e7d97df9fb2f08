package mutants_test

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/syncworker/syncworker/internal/chaos/mutants"
)

// Every mutant still fits the source that it changes.
func TestMutantsFitTheSource(t *testing.T) {
	t.Parallel()
	for _, m := range mutants.All {
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			path, err := m.Overlay("../../..", t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var overlay struct{ Replace map[string]string }
			if err := json.Unmarshal(text, &overlay); err != nil || len(overlay.Replace) == 0 {
				t.Errorf("got %s, %v", text, err)
			}
		})
	}
}

func TestNamed(t *testing.T) {
	t.Parallel()
	if m, err := mutants.Named("no-settle"); err != nil || m.Name != "no-settle" {
		t.Errorf("got %v, %v", m, err)
	}
	if _, err := mutants.Named("made-up"); err == nil {
		t.Error("a mutant that does not exist was found")
	}
}
