// Package mutants breaks the worker on purpose: each mutant takes one guard out
// of the source, so that it can be shown that chaos finds what then goes wrong.
// The program has no hooks for that: a mutant is a list of replacements, which
// `go build -overlay` lays over the files, those of go:embed included.
package mutants
