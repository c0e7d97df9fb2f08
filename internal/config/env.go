package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/knadh/koanf/providers/env/v2"
)

// Prefix starts the name of every variable that syncworker reads.
const Prefix = "SYNCWORKER_"

// FileVariable is the one variable that sets no key: it names the
// configuration file where -config does not.
const FileVariable = Prefix + "CONFIG"

// Variable returns the name of the variable that sets key.
func Variable(key string) string {
	return Prefix + strings.ToUpper(strings.ReplaceAll(key, ".", "__"))
}

// serviceLink matches the variables that Kubernetes sets for a service called
// syncworker in the same namespace.
var serviceLink = regexp.MustCompile(`^SYNCWORKER_(SERVICE_(HOST|PORT(_.+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_.+)?)?)$`)

// environment is the layer of the variables.
type environment struct {
	// keys maps the names of variables to keys.
	keys map[string]string
	// origins collects the keys that were set, problems the rest.
	origins  map[string]string
	problems []Problem
}

func newEnvironment(options []option) *environment {
	e := &environment{keys: make(map[string]string), origins: make(map[string]string)}
	for _, option := range options {
		e.keys[Variable(option.key)] = option.key
	}
	return e
}

// provider returns the layer for koanf. Reading it fills origins and problems.
func (e *environment) provider(environ []string) *env.Env {
	return env.Provider(".", env.Opt{
		Prefix:        Prefix,
		EnvironFunc:   func() []string { return environ },
		TransformFunc: e.accept,
	})
}

// accept turns one variable into a key and its value; no key skips it.
func (e *environment) accept(name, value string) (string, any) {
	if name == FileVariable {
		return "", nil
	}
	key, known := e.keys[name]
	if !known {
		e.problems = append(e.problems, Problem{Where: name, Text: e.unknown(name)})
		return "", nil
	}
	e.origins[key] = name
	return key, variable(value)
}

func (e *environment) unknown(name string) string {
	if serviceLink.MatchString(name) {
		return "sets no key: Kubernetes makes such variables for a service of the name syncworker; " +
			"set enableServiceLinks to false or rename the service"
	}
	rests := []string{strings.TrimPrefix(FileVariable, Prefix)}
	for _, candidate := range slices.Sorted(maps.Keys(e.keys)) {
		rests = append(rests, strings.TrimPrefix(candidate, Prefix))
	}
	if meant := nearest(strings.TrimPrefix(name, Prefix), rests); meant != "" {
		return fmt.Sprintf("sets no key: did you mean %s?", Prefix+meant)
	}
	return "sets no key: unset it"
}
