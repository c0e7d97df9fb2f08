// Package mutants lists the ways to break this program that its checks must find:
// each leaves out one comparison, one order or one rule that a law rests on.
// Programs are built with the mutant's text in place of the right one by
// `go build -overlay`, so no product code knows of them.
package mutants

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Tool is what must find a mutant.
type Tool string

// The tools.
const (
	// Explore is tools/explore: the machine, and models of the rest.
	Explore Tool = "explore"
	// Chaos is tools/chaos: real processes and a real Redis.
	Chaos Tool = "chaos"
)

// Mutant is one way to break the program.
type Mutant struct {
	// Name is unique.
	Name string
	// Breaks names the laws or rules that it leaves out.
	Breaks string
	// Tool must find it.
	Tool Tool
	// Edits are all made together.
	Edits []Edit
	// Family is where Explore looks for it; empty means everywhere.
	Family string
	// Faults are those that Chaos needs to find it; none means that playing
	// alone does.
	Faults []string
}

// Edit replaces a text that a file must hold exactly once.
type Edit struct {
	// File is relative to the module's root.
	File     string
	Old, New string
}

// For returns the mutants of one tool.
func For(tool Tool) []Mutant {
	var found []Mutant
	for _, m := range slices.Concat(table, chaosTable) {
		if m.Tool == tool {
			found = append(found, m)
		}
	}
	return found
}

// Overlay writes the mutant's files and an overlay for `go build -overlay` into
// the folder, and returns the overlay's path. Root is the module's root. An
// edit whose text is not there exactly once is an error: the mutant would prove
// nothing.
func (m Mutant) Overlay(root, folder string) (string, error) {
	texts := map[string]string{}
	for _, edit := range m.Edits {
		path := filepath.Join(root, filepath.FromSlash(edit.File))
		text, ok := texts[path]
		if !ok {
			bytes, err := os.ReadFile(path)
			if err != nil {
				return "", fmt.Errorf("mutant %s: %w", m.Name, err)
			}
			text = string(bytes)
		}
		if n := strings.Count(text, edit.Old); n != 1 {
			return "", fmt.Errorf("mutant %s no longer applies: %s holds its text %d times: %q", m.Name, edit.File, n, edit.Old)
		}
		texts[path] = strings.Replace(text, edit.Old, edit.New, 1)
	}
	replace := map[string]string{}
	for path, text := range texts {
		copied := filepath.Join(folder, fmt.Sprintf("%d-%s", len(replace), filepath.Base(path)))
		if err := os.WriteFile(copied, []byte(text), 0o600); err != nil {
			return "", fmt.Errorf("mutant %s: %w", m.Name, err)
		}
		replace[path] = copied
	}
	overlay := filepath.Join(folder, "overlay.json")
	bytes, err := json.Marshal(map[string]map[string]string{"Replace": replace})
	if err != nil {
		return "", fmt.Errorf("mutant %s: %w", m.Name, err)
	}
	if err := os.WriteFile(overlay, bytes, 0o600); err != nil {
		return "", fmt.Errorf("mutant %s: %w", m.Name, err)
	}
	return overlay, nil
}
