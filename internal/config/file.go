package config

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/hcl/ast"
	"github.com/hashicorp/hcl/hcl/parser"
	"github.com/hashicorp/hcl/hcl/token"
)

// maxFile is the largest configuration file that is read, in bytes.
const maxFile = 256 << 10

// file is the layer of the configuration file. koanf takes the values out of
// it; what koanf cannot tell is found here: where each key stands, which keys
// are unknown, and which are written twice.
type file struct {
	path     string
	data     []byte
	origins  map[string]string
	problems []Problem
	// blocks and keys are the names that may occur.
	blocks, keys []string
}

func newFile(path string, options []option) *file {
	f := &file{path: path, origins: make(map[string]string)}
	for _, section := range sections {
		f.blocks = append(f.blocks, section.name)
	}
	for _, option := range options {
		f.keys = append(f.keys, option.key)
	}
	return f
}

// ReadBytes returns the file's text to koanf.
func (f *file) ReadBytes() ([]byte, error) { return f.data, nil }

// Read exists for koanf's interface; there is a parser, so it is not called.
func (f *file) Read() (map[string]any, error) {
	return nil, errors.New("config: the file needs a parser")
}

// load reads the file and surveys its keys. A problem that leaves nothing to
// look at is its error.
func (f *file) load() *Problem {
	data, err := readBounded(f.path, maxFile)
	if err != nil {
		return &Problem{Where: f.path, Text: fmt.Sprintf("cannot be read: %s", err)}
	}
	// Editors on Windows put a byte order mark in front, which HCL refuses.
	f.data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	tree, err := parser.Parse(f.data)
	if err != nil {
		return f.syntaxProblem(err)
	}
	list, ok := tree.Node.(*ast.ObjectList)
	if !ok {
		return &Problem{Where: f.path, Text: "is not a list of blocks"}
	}
	f.survey("", list)
	return nil
}

func (f *file) syntaxProblem(err error) *Problem {
	if at, ok := errors.AsType[*parser.PosError](err); ok {
		return &Problem{Where: f.position(at.Pos), Text: "cannot be understood: " + at.Err.Error()}
	}
	return &Problem{Where: f.path, Text: "cannot be understood: " + err.Error()}
}

func (f *file) position(pos token.Pos) string {
	return fmt.Sprintf("%s:%d:%d", f.path, pos.Line, pos.Column)
}

func (f *file) report(at token.Pos, text string, values ...any) {
	f.problems = append(f.problems, Problem{Where: f.position(at), Text: fmt.Sprintf(text, values...)})
}

// survey walks one block.
func (f *file) survey(prefix string, list *ast.ObjectList) {
	for _, item := range list.Items {
		name, at := itemName(item), item.Pos()
		path := join(prefix, name)
		switch {
		case strings.Contains(name, "."):
			f.report(at, "%s", f.unknown(prefix, name))
		case slices.Contains(f.blocks, path):
			f.surveyBlock(path, item)
		case slices.Contains(f.keys, path):
			if f.once(path, at) && len(item.Keys) > 1 {
				f.report(at, "%s is a key, not a block: write %s = ...", path, name)
			}
		default:
			f.report(at, "%s", f.unknown(prefix, name))
		}
	}
}

func (f *file) surveyBlock(path string, item *ast.ObjectItem) {
	object, ok := item.Val.(*ast.ObjectType)
	switch {
	case !f.once(path, item.Pos()):
	case !ok || len(item.Keys) > 1:
		f.report(item.Pos(), "%s is a block: write %s { ... }", path, lastPart(path))
	default:
		f.survey(path, object.List)
	}
}

// once notes where a name stands and reports a second occurrence.
func (f *file) once(path string, at token.Pos) bool {
	if first, seen := f.origins[path]; seen {
		f.report(at, "%s stands here a second time: the first is at %s; keep one", path, first)
		return false
	}
	f.origins[path] = f.position(at)
	return true
}

// unknown says what was probably meant by a name that does not exist.
func (f *file) unknown(prefix, name string) string {
	path := join(prefix, name)
	if slices.Contains(f.keys, name) {
		block, key, _ := cutLast(name)
		return fmt.Sprintf("%s is unknown here: write it as %s { %s = ... }", path, strings.ReplaceAll(block, ".", " { "), key) +
			strings.Repeat(" }", strings.Count(block, "."))
	}
	if meant := f.meant(prefix, strings.ToLower(name)); meant != "" {
		return fmt.Sprintf("%s is unknown: did you mean %s?", path, meant)
	}
	return fmt.Sprintf("%s is unknown: remove it", path)
}

// meant looks for a similar name in the same block, then in all others, where
// a key may have been meant that was written into the wrong block.
func (f *file) meant(prefix, name string) string {
	var here, anywhere []string
	paths := make(map[string]string)
	for _, path := range slices.Concat(f.blocks, f.keys) {
		block, last, _ := cutLast(path)
		if block == prefix {
			here = append(here, last)
		}
		if _, seen := paths[last]; !seen {
			anywhere = append(anywhere, last)
			paths[last] = path
		}
	}
	if found := nearest(name, here); found != "" {
		return join(prefix, found)
	}
	return paths[within(len(name)/4, name, anywhere)]
}

// itemName returns the first word of an item. Words that follow it, as in
// sync "lockstep" { ... }, are labels, which no block here has.
func itemName(item *ast.ObjectItem) string {
	if len(item.Keys) == 0 {
		return ""
	}
	text := item.Keys[0].Token.Text
	if item.Keys[0].Token.Type == token.STRING {
		text = strings.Trim(text, `"`)
	}
	return text
}

func join(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "." + name
}

func cutLast(path string) (before, after string, found bool) {
	at := strings.LastIndexByte(path, '.')
	if at < 0 {
		return "", path, false
	}
	return path[:at], path[at+1:], true
}

func lastPart(path string) string {
	_, last, _ := cutLast(path)
	return last
}
