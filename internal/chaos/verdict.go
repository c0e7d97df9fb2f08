package chaos

import (
	"fmt"
	"time"
)

// Fault is what a violation is counted as.
type Fault string

// Violations.
const (
	// Lost: acknowledged data, a token or a player is gone, or other data came
	// back than was handed in.
	Lost Fault = "lost"
	// Stale: something older than what was acknowledged or seen before.
	Stale Fault = "stale"
	// Duplicated: two sessions at once, or one token with two players.
	Duplicated Fault = "duplicated"
	// Broken: anything else that must not happen.
	Broken Fault = "broken"
)

// Violation is one finding.
type Violation struct {
	Fault  Fault `json:"fault"`
	Player int   `json:"player,omitempty"`
	// At is when, since the begin of the run.
	At time.Duration `json:"at"`
	// Text explains it.
	Text string `json:"text"`
	// Entries are lines of the history that show it.
	Entries []int `json:"entries,omitempty"`
}

// String is one line for people.
func (v Violation) String() string {
	who := ""
	if v.Player > 0 {
		who = fmt.Sprintf(" player %d", v.Player)
	}
	return fmt.Sprintf("%s at %.3fs%s: %s (history lines %v)", v.Fault, v.At.Seconds(), who, v.Text, v.Entries)
}

// Verdict is what a history amounts to.
type Verdict struct {
	Joins     int           `json:"joins"`
	Handoffs  int           `json:"handoffs"`
	Saves     int           `json:"saves_current"`
	Faults    int           `json:"faults"`
	Resumed   int           `json:"sessions_resumed"`
	Spooled   int           `json:"saves_provisional"`
	Trades    int           `json:"trades"`
	Tokens    int           `json:"tokens"`
	LeftOut   int           `json:"tokens_left_out"`
	WorstWait time.Duration `json:"worst_wait"`
	// Violations are sorted by time.
	Violations []Violation `json:"violations,omitempty"`
}

// Count says how many violations of one kind there are.
func (v Verdict) Count(f Fault) int {
	n := 0
	for _, violation := range v.Violations {
		if violation.Fault == f {
			n++
		}
	}
	return n
}

// OK reports whether nothing was violated.
func (v Verdict) OK() bool { return len(v.Violations) == 0 }

// String is the last line of a run.
func (v Verdict) String() string {
	return fmt.Sprintf("chaos: %d handoffs, %d faults, %d lost, %d stale, %d duplicated, worst wait %v",
		v.Handoffs, v.Faults, v.Count(Lost), v.Count(Stale), v.Count(Duplicated), v.WorstWait.Round(time.Millisecond))
}
