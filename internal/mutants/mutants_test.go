package mutants_test

import (
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/syncworker/syncworker/internal/mutants"
)

// Every mutant still fits the source that it changes, and has a name of its own.
func TestMutantsFitTheSource(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for _, m := range slices.Concat(mutants.For(mutants.Explore), mutants.For(mutants.Chaos)) {
		if names[m.Name] {
			t.Errorf("there are two mutants %s", m.Name)
		}
		names[m.Name] = true
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			path, err := m.Overlay("../..", t.TempDir())
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
