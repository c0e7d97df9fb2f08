package config

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/knadh/koanf/parsers/hcl"
	"github.com/knadh/koanf/v2"

	"github.com/syncworker/syncworker/internal/handoff"
)

// Source says where a configuration comes from.
type Source struct {
	// File is the path of the HCL file; empty for none.
	File string
	// Environ holds name=value; nil for the process's own environment.
	Environ []string
	// Folder gives the server ID its default; empty for the working folder.
	Folder string
}

// Load reads, completes and checks a configuration. Its error is always an
// [*Error], which holds everything that is wrong.
func Load(source Source) (Config, error) {
	c := Default()
	c.origins = make(map[string]string)
	options := c.options()

	values := koanf.New(".")
	problems, stop := c.loadFile(values, source.File, options)
	if stop != nil {
		return Config{}, refuse([]Problem{*stop})
	}
	problems = append(problems, c.loadEnvironment(values, source.Environ, options)...)
	problems = append(problems, c.fill(values, options)...)

	failed := make(map[string]bool)
	for _, problem := range problems {
		failed[problem.Key] = true
	}
	problems = append(problems, c.derive(source.Folder)...)
	problems = append(problems, unrelated(c.problems(), failed)...)
	if err := refuse(problems); err != nil {
		return Config{}, err
	}
	return c, nil
}

// loadFile lays the file over the defaults. A file that cannot be understood
// stops everything: what follows would be noise.
func (c *Config) loadFile(values *koanf.Koanf, path string, options []option) ([]Problem, *Problem) {
	if path == "" {
		return nil, nil
	}
	layer := newFile(path, options)
	if stop := layer.load(); stop != nil {
		return nil, stop
	}
	if err := values.Load(layer, hcl.Parser(true)); err != nil {
		return nil, layer.syntaxProblem(err)
	}
	maps.Copy(c.origins, layer.origins)
	return layer.problems, nil
}

// loadEnvironment lays the variables over what is there.
func (c *Config) loadEnvironment(values *koanf.Koanf, environ []string, options []option) []Problem {
	if environ == nil {
		environ = os.Environ()
	}
	layer := newEnvironment(options)
	if err := values.Load(layer.provider(environ), nil); err != nil {
		return []Problem{{Where: "environment", Text: err.Error()}}
	}
	maps.Copy(c.origins, layer.origins)
	return layer.problems
}

// fill stores the values in the fields; one of the wrong type leaves its field
// at the default.
func (c *Config) fill(values *koanf.Koanf, options []option) []Problem {
	var problems []Problem
	for _, option := range options {
		if !values.Exists(option.key) {
			continue
		}
		if err := assign(option.value, values.Get(option.key)); err != nil {
			problems = append(problems, c.problem(err.Error(), option.key))
		}
	}
	return problems
}

// derive fills in what depends on other values.
func (c *Config) derive(folder string) []Problem {
	var problems []Problem
	if c.Server.ID == "" {
		id, err := serverIDFrom(folder)
		if err != nil {
			problems = append(problems, c.problem(err.Error(), "server.id"))
		}
		c.Server.ID = id
	}
	c.Server.ID = strings.ToLower(c.Server.ID)
	c.Server.ClusterID = strings.ToLower(c.Server.ClusterID)
	if c.API.Listen == "" {
		c.API.Listen = "unix:///run/syncworker/" + c.Server.ID + ".sock"
	}
	if c.Spool.Dir == "" {
		c.Spool.Dir = DefaultSpoolDir(c.Database.DSN, c.Server.ID)
	}
	return problems
}

// serverIDFrom makes a server ID of the folder's name: lower case, and a dash
// for each character that a server ID cannot have. It refuses names that would
// not tell one server from another.
func serverIDFrom(folder string) (string, error) {
	if folder == "" {
		working, err := os.Getwd()
		if err != nil {
			return "", fmt.Errorf("has no default, for the working folder is unknown (%w): set it", err)
		}
		folder = working
	}
	name := strings.ToLower(filepath.Base(folder))
	id := strings.Map(func(r rune) rune {
		if strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789.-_", r) {
			return r
		}
		return '-'
	}, name)
	if _, err := handoff.ParseServerID(id); err != nil || strings.Trim(id, ".-_") == "" {
		return "", fmt.Errorf("has no default, for the working folder's name %q cannot become one: set it", name)
	}
	return id, nil
}

// problem is about the keys given; the first one is named.
func (c Config) problem(text string, keys ...string) Problem {
	return Problem{Where: c.origin(keys[0]), Key: keys[0], Text: text, about: keys}
}

// origin says where a key was set.
func (c Config) origin(key string) string {
	if where, ok := c.origins[key]; ok {
		return where
	}
	return "default"
}

// unrelated drops the problems that rest on a key which failed before.
func unrelated(problems []Problem, failed map[string]bool) []Problem {
	return slices.DeleteFunc(problems, func(p Problem) bool {
		return slices.ContainsFunc(p.about, func(key string) bool { return failed[key] })
	})
}
