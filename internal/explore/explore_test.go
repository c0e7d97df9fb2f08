package explore_test

import (
	"testing"

	"github.com/syncworker/syncworker/internal/explore"
)

// TestExplore looks at a small part of what `make explore` looks at.
func TestExplore(t *testing.T) {
	states := 20_000
	if testing.Short() {
		states = 10_000
	}
	result, err := explore.Run(explore.Options{States: states, Faults: -1})
	if err != nil {
		t.Fatal(err)
	}
	if v := result.Violation; v != nil {
		t.Fatalf("family %s: %s\n%s", v.Family, v.Law, v.Text())
	}
	if result.States < states*9/10 {
		t.Errorf("explored %d states, want about %d", result.States, states)
	}
}

// TestSame: what is explored depends on nothing but the options.
func TestSame(t *testing.T) {
	var results []explore.Result
	for workers := 1; workers <= 3; workers++ {
		result, err := explore.Run(explore.Options{States: 4_000, Faults: -1, Only: "crash", Workers: workers})
		if err != nil {
			t.Fatal(err)
		}
		results = append(results, result)
	}
	for _, r := range results[1:] {
		if r.States != results[0].States || r.Transitions != results[0].Transitions {
			t.Errorf("%d states and %d transitions, %d and %d with one worker",
				r.States, r.Transitions, results[0].States, results[0].Transitions)
		}
	}
}

// TestFamilyUnknown names the families there are.
func TestFamilyUnknown(t *testing.T) {
	if _, err := explore.Run(explore.Options{Only: "none"}); err == nil {
		t.Error("a family that does not exist is explored")
	}
}
