package config

import (
	"fmt"
	"strings"
)

// Problem is one reason why a configuration is refused.
type Problem struct {
	// Where the value was set: file:line:column, the name of a variable, or
	// "default".
	Where string `json:"where"`
	// Key is the full key, for instance sync.settle; empty when the problem is
	// not about one key.
	Key string `json:"key,omitempty"`
	// Text says what is wrong and what to write instead.
	Text string `json:"problem"`
	// about lists all keys that the problem rests on.
	about []string
}

// String returns the problem in one line.
func (p Problem) String() string {
	text := p.Text
	if p.Key != "" {
		text = p.Key + " " + text
	}
	if p.Where != "" {
		text = p.Where + ": " + text
	}
	return text
}

// Error holds all problems of a configuration, in the order of the table of
// keys. Load and Validate return no other type.
type Error struct {
	// Problems has at least one element.
	Problems []Problem
}

// Error returns one line for a single problem and a list for several.
func (e *Error) Error() string {
	if len(e.Problems) == 1 {
		return "configuration refused: " + e.Problems[0].String()
	}
	var text strings.Builder
	fmt.Fprintf(&text, "configuration refused, %d problems:", len(e.Problems))
	for _, problem := range e.Problems {
		text.WriteString("\n  " + problem.String())
	}
	return text.String()
}

// refuse returns the problems as an error, nil when there are none.
func refuse(problems []Problem) error {
	if len(problems) == 0 {
		return nil
	}
	return &Error{Problems: problems}
}
