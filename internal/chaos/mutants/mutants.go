package mutants

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Edit replaces a text that stands in a file exactly once.
type Edit struct {
	File     string // from the root of the module
	Old, New string
}

// Mutant is one guard left out.
type Mutant struct {
	Name string
	// About says what is wrong with it, and which law or rule it breaks.
	About string
	Edits []Edit
	// Faults are those under which it shows.
	Faults []string
}

const (
	scripts = "internal/redisstore/lua/"
	machine = "lockstep/"
)

// All mutants that chaos catches.
var All = []Mutant{
	{
		Name: "claim-ignores-holder", About: "a claim is granted although another server has the player (L4)",
		Edits: []Edit{{scripts + "claim.lua", "if holder and holder ~= server then", "if false then"}},
	},
	{
		Name: "take-over-ignores-lease", About: "a waiting worker takes over although the holder's lease lives (L4)",
		Edits: []Edit{{machine + "takeover.go", "\t\tst.holderLives(e)", "\t\tst.takeOver()"}},
	},
	{
		Name: "check-in-frees-first", About: "a final save frees the player and is not stored in Redis (L5)",
		Edits: []Edit{{scripts + "check_in.lua", "local answer = store(bytes)", "local answer = {'done'}"}},
	},
	{
		Name: "nothing-carried-forward", About: "keys that a capture does not mention are dropped",
		Edits: []Edit{{machine + "save.go", "capture.Over(base)", "capture.Over(nil)"}},
	},
	{
		Name: "fence-not-compared", About: "saves and resumes do not compare the fence (L1)",
		Edits: []Edit{
			{scripts + "write.lua", "local function standing(server, ours, sequence)\n", "local function standing(server, ours, sequence)\n  do return nil end\n"},
			{scripts + "resume.lua", "if highest > ours then", "if false then"},
			{scripts + "resume.lua", "if strict and (fence ~= ours or not holder) then", "if false then"},
		},
		Faults: []string{"freeze", "cut", "kill"},
	},
	{
		Name: "delete-compares-nothing", About: "releases and sweeps delete any server's checkout (L4)",
		Edits: []Edit{
			{scripts + "sweep.lua", "if redis.call('GET', KEYS[1]) == ARGV[1] then", "if true then"},
			{scripts + "release.lua", "local holder = redis.call('GET', KEYS[1])", "do redis.call('DEL', KEYS[1]) return {'done'} end\nlocal holder = false"},
		},
		Faults: []string{"kill", "cut", "game", "redis-restart"},
	},
	{
		Name: "no-settle", About: "nobody waits after Redis lost its memory (R1)",
		Edits:  []Edit{{"lifecycle/settle.go", "return s.until, !now.Before(s.until)", "return s.until, true"}},
		Faults: []string{"redis-old", "redis-empty"},
	},
	{
		Name: "update-always-wins", About: "what Redis has is not compared with the database (R4)",
		Edits:  []Edit{{machine + "load.go", "if update == nil || (row != nil && row.Version.Compare(update.Version) > 0) {", "if update == nil {"}},
		Faults: []string{"redis-old"},
	},
	{
		Name: "error-is-absent", About: "a database that cannot be read counts as one without the player (L3)",
		Edits: []Edit{
			{machine + "load.go", "return errors.Is(err, handoff.ErrNoSnapshot)", "return err != nil"},
		},
		Faults: []string{"redis-empty", "db-away"},
	},
}

// Named finds a mutant.
func Named(name string) (Mutant, error) {
	var names []string
	for _, m := range All {
		if m.Name == name {
			return m, nil
		}
		names = append(names, m.Name)
	}
	return Mutant{}, fmt.Errorf("mutants: there is no %q; there are %s", name, strings.Join(names, ", "))
}

// Overlay writes the changed files into a folder and returns the path of a file
// for go build -overlay. Root is the folder of the module. A text that does not
// stand in its file exactly once is an error: the mutant needs mending.
func (m Mutant) Overlay(root, folder string) (string, error) {
	replace := map[string]string{}
	for _, edit := range m.Edits {
		original, err := filepath.Abs(filepath.Join(root, edit.File))
		if err != nil {
			return "", fmt.Errorf("mutants: %w", err)
		}
		source := replace[original]
		if source == "" {
			source = original
		}
		text, err := os.ReadFile(source)
		if err != nil {
			return "", fmt.Errorf("mutants: read what %s changes: %w", m.Name, err)
		}
		if n := strings.Count(string(text), edit.Old); n != 1 {
			return "", fmt.Errorf("mutants: %s: %q stands %d times in %s, not once", m.Name, edit.Old, n, edit.File)
		}
		changed := filepath.Join(folder, m.Name+"-"+strings.ReplaceAll(edit.File, "/", "-"))
		if err := os.WriteFile(changed, []byte(strings.Replace(string(text), edit.Old, edit.New, 1)), 0o600); err != nil {
			return "", fmt.Errorf("mutants: write %s: %w", m.Name, err)
		}
		replace[original] = changed
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", fmt.Errorf("mutants: %w", err)
	}
	path := filepath.Join(folder, m.Name+".json")
	if err := os.WriteFile(path, overlay, 0o600); err != nil {
		return "", fmt.Errorf("mutants: write %s: %w", m.Name, err)
	}
	return path, nil
}
