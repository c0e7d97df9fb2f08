package config

import (
	"fmt"
	"strings"
)

// Setting is one key as it is in force.
type Setting struct {
	// Key is the full name, for instance sync.settle.
	Key string
	// Value is the value in force, as the file would write it. It is JSON too.
	Value string
	// Origin is file:line:column, the name of a variable, or "default".
	Origin string
}

// Settings returns all keys in the order of the documentation. Secrets are not
// among them: keys name their files only.
func (c Config) Settings() []Setting {
	options := c.options()
	settings := make([]Setting, 0, len(options))
	for _, option := range options {
		settings = append(settings, Setting{option.key, formatHCL(deref(option.value)), c.origin(option.key)})
	}
	return settings
}

// Key documents one key.
type Key struct {
	// Name is the full name, for instance sync.settle.
	Name string
	// Default is the default as the file would write it, or a description
	// where it depends on the surroundings.
	Default string
	// Limit says what the value may be; empty when there is no limit.
	Limit string
	// About explains the key.
	About string
}

// Keys documents all keys, in the order in which people read them.
func Keys() []Key {
	defaults := Default()
	options := defaults.options()
	keys := make([]Key, 0, len(options))
	for _, option := range options {
		key := Key{Name: option.key, About: option.about}
		key.Default = formatHCL(deref(option.value))
		if option.preset != "" {
			key.Default = option.preset
		}
		if option.limit != nil {
			key.Limit = option.limit.String()
		}
		keys = append(keys, key)
	}
	return keys
}

// Table returns the keys as a Markdown table, for the README.
func Table() string {
	var text strings.Builder
	text.WriteString("| Key | Default | Possible | Meaning |\n|---|---|---|---|\n")
	for _, key := range Keys() {
		fmt.Fprintf(&text, "| `%s` | `%s` | %s | %s |\n", key.Name, key.Default, key.Limit, escapeCell(key.About))
	}
	return text.String()
}

func escapeCell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// exampleWidth is the column at which comments of the example are broken.
const exampleWidth = 100

// Example returns the text of config.hcl.example: every key with its
// explanation, its limits and its default.
func Example() string {
	defaults := Default()
	e := &example{options: defaults.options()}
	e.comment(0, "Configuration of syncworker. Every value below is the default: delete what you do not change. "+
		"Each key can also be set by a variable, which wins over the file: "+Variable("sync.lockstep.lease_ttl")+"=10s. "+
		"Check a file with: syncworker check-config -config FILE")
	for _, section := range sections {
		if !strings.Contains(section.name, ".") {
			e.text.WriteByte('\n')
			e.block(section, 0)
		}
	}
	return e.text.String()
}

// example writes the example file.
type example struct {
	text    strings.Builder
	options []option
}

func (e *example) block(s section, depth int) {
	e.comment(depth, s.about)
	e.line(depth, lastPart(s.name)+" {")
	first := true
	for _, option := range e.options {
		if block, name, _ := cutLast(option.key); block == s.name {
			e.gap(&first)
			e.option(option, name, depth+1)
		}
	}
	for _, inner := range sections {
		if block, _, found := cutLast(inner.name); found && block == s.name {
			e.gap(&first)
			e.block(inner, depth+1)
		}
	}
	e.line(depth, "}")
}

// gap puts an empty line between the parts of a block.
func (e *example) gap(first *bool) {
	if !*first {
		e.text.WriteByte('\n')
	}
	*first = false
}

func (e *example) option(o option, name string, depth int) {
	about := o.about
	if o.limit != nil {
		about += " Possible: " + o.limit.String() + "."
	}
	if o.preset == "" {
		e.comment(depth, about)
		e.line(depth, name+" = "+formatHCL(deref(o.value)))
		return
	}
	e.comment(depth, about+" Default: "+o.preset+".")
	e.line(depth, "# "+name+" = "+formatHCL(o.sample))
}

func (e *example) line(depth int, text string) {
	e.text.WriteString(strings.Repeat("  ", depth) + text + "\n")
}

// comment writes text as comment lines of at most exampleWidth characters.
func (e *example) comment(depth int, text string) {
	line := "#"
	for word := range strings.FieldsSeq(text) {
		if len(line)+1+len(word)+2*depth > exampleWidth && line != "#" {
			e.line(depth, line)
			line = "#"
		}
		line += " " + word
	}
	e.line(depth, line)
}
