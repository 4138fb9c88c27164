package scaffold

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/command"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// Container is what a Dockerfile makes, as far as a bundle needs to know: its
// last stage, with what that inherits from stages before it.
type Container struct {
	Path     string
	Base     string // the image that the stage stands on
	BaseLine int
	// Built says that the image has more than its base and the project's own
	// files, so that it has to be built.
	Built       bool
	Workdir     string // absolute; "" where none is said
	Env         []Variable
	Command     []string // ENTRYPOINT and CMD together, in exec form
	CommandLine int
	Copies      []Copied

	entrypoint, cmd []string
	commandLine     [2]int // of entrypoint and cmd
	hidden          string // what the code's volume would cover
}

// Variable is one of an image's environment.
type Variable struct{ Name, Value string }

// Copied are files of the project that the image has, and where.
type Copied struct {
	From []string
	To   string // absolute
	Line int
}

// containerFiles are where a Dockerfile may be, the likelier first.
var containerFiles = []string{"Dockerfile", "Containerfile", "docker/Dockerfile", "Dockerfile.train", "Dockerfile.gpu"}

func (s *survey) readContainer() (*Container, error) {
	for _, name := range containerFiles {
		raw, err := fs.ReadFile(s.fsys, name)
		if err != nil {
			continue
		}
		c, err := ParseDockerfile(name, raw)
		if err != nil {
			return nil, err
		}
		c.judge()
		return c, nil
	}
	return nil, nil
}

// ParseDockerfile reads a Dockerfile by BuildKit's own parser. Its errors are
// *SyntaxError.
func ParseDockerfile(file string, raw []byte) (*Container, error) {
	tree, err := parser.Parse(bytes.NewReader(raw))
	if err != nil {
		return nil, syntax(file, err)
	}
	r := reader{file: file, lex: shell.NewLex(tree.EscapeToken), stages: map[string]*Container{}}
	for _, node := range tree.AST.Children {
		if err := r.instruction(node); err != nil {
			return nil, &SyntaxError{file, node.StartLine, err.Error()}
		}
	}
	if r.stage == nil {
		return nil, &SyntaxError{File: file, Msg: "no FROM"}
	}
	c := r.stage
	c.Command = append(slices.Clone(c.entrypoint), c.cmd...)
	if c.CommandLine = c.commandLine[1]; c.CommandLine == 0 {
		c.CommandLine = c.commandLine[0]
	}
	return c, nil
}

func syntax(file string, err error) error {
	out := &SyntaxError{File: file, Msg: err.Error()}
	var at *parser.LocationError
	if errors.As(err, &at) && len(at.Locations) > 0 && len(at.Locations[0]) > 0 {
		out.Line = at.Locations[0][0].Start.Line
	}
	return out
}

// reader goes through instructions, one stage after the other.
type reader struct {
	file   string
	lex    *shell.Lex
	args   []string // ARG before the first FROM, NAME=value
	env    []string // of the stage
	stage  *Container
	stages map[string]*Container
	count  int
}

func (r *reader) expand(word string) (string, error) {
	out, _, err := r.lex.ProcessWord(word, shell.EnvsFromSlice(r.env))
	return out, err
}

func (r *reader) instruction(node *parser.Node) error {
	words := following(node)
	name := strings.ToLower(node.Value)
	if r.stage == nil && name != "from" && name != "arg" {
		return fmt.Errorf("%s before FROM", strings.ToUpper(name))
	}
	if _, known := command.Commands[name]; !known {
		return fmt.Errorf("%s is no instruction", node.Value)
	}
	switch name {
	case "from":
		return r.from(node, words)
	case "arg":
		for _, word := range words {
			if !strings.Contains(word, "=") {
				continue
			}
			value, err := r.expand(word)
			if err != nil {
				return err
			}
			r.env = append(r.env, value)
			if r.stage == nil {
				r.args = append(r.args, value)
			}
		}
	case "env":
		for i := 0; i+1 < len(words); i += 3 { // name, value, separator
			value, err := r.expand(words[i+1])
			if err != nil {
				return err
			}
			r.env = append(r.env, words[i]+"="+value)
			r.stage.Env = append(r.stage.Env, Variable{words[i], value})
		}
	case "workdir":
		if len(words) > 0 {
			dir, err := r.expand(words[0])
			if err != nil {
				return err
			}
			r.stage.Workdir = r.stage.absolute(dir)
		}
	case "copy", "add":
		return r.copied(node, words)
	case "run":
		r.stage.Built = true
		r.stage.run(strings.Join(words, " "))
	case "entrypoint", "cmd":
		if !node.Attributes["json"] && len(words) > 0 && strings.HasPrefix(words[0], "[") {
			return fmt.Errorf("%s %s is no JSON: want double quotes, and no comma at the end", strings.ToUpper(name), words[0])
		}
		r.stage.starts(name, execForm(node, words), node.StartLine)
	}
	return nil
}

// starts sets what the image runs.
func (c *Container) starts(instruction string, words []string, line int) {
	if instruction == "cmd" {
		c.cmd, c.commandLine[1] = words, line
		return
	}
	c.entrypoint, c.commandLine = words, [2]int{line, 0}
	c.cmd = nil // as a build does
}

func following(node *parser.Node) (words []string) {
	for n := node.Next; n != nil; n = n.Next {
		words = append(words, n.Value)
	}
	return words
}

func (r *reader) from(node *parser.Node, words []string) error {
	if len(words) == 0 {
		return errors.New("FROM names no image")
	}
	r.env = slices.Clone(r.args)
	base, err := r.expand(words[0])
	if err != nil {
		return err
	}
	if base == "" {
		return fmt.Errorf("FROM %s is no image without a build argument", words[0])
	}
	next := &Container{Path: r.file, Base: base, BaseLine: node.StartLine}
	if before := r.stages[strings.ToLower(base)]; before != nil {
		clone := *before
		next = &clone
		next.Env, next.Copies = slices.Clone(before.Env), slices.Clone(before.Copies)
		for _, e := range next.Env {
			r.env = append(r.env, e.Name+"="+e.Value)
		}
	}
	r.stages[strconv.Itoa(r.count)] = next
	r.count++
	if len(words) == 3 && strings.EqualFold(words[1], "as") {
		r.stages[strings.ToLower(words[2])] = next
	}
	r.stage = next
	return nil
}

func (r *reader) copied(node *parser.Node, words []string) error {
	if len(words) < 2 {
		return nil
	}
	for _, flag := range node.Flags {
		if strings.HasPrefix(flag, "--from=") {
			r.stage.Built = true
			return nil
		}
	}
	for i, word := range words {
		value, err := r.expand(word)
		if err != nil {
			return err
		}
		words[i] = value
	}
	c := Copied{To: r.stage.absolute(words[len(words)-1]), Line: node.StartLine}
	for _, from := range words[:len(words)-1] {
		if strings.Contains(from, "://") || strings.HasPrefix(from, "<<") {
			r.stage.Built = true
			continue
		}
		c.From = append(c.From, path.Clean(strings.TrimLeft(from, "/")))
	}
	r.stage.Copies = append(r.stage.Copies, c)
	return nil
}

func (c *Container) absolute(dir string) string {
	if path.IsAbs(dir) {
		return path.Clean(dir)
	}
	return path.Join("/", c.Workdir, dir)
}

// execForm is the list of a command's words. A shell form of plain words needs
// no shell.
func execForm(node *parser.Node, words []string) []string {
	if node.Attributes["json"] || len(words) == 0 {
		return words
	}
	if strings.ContainsAny(words[0], "$&|;<>()`\\*?~#") {
		return []string{"/bin/sh", "-c", words[0]}
	}
	plain, err := shell.NewLex('\\').ProcessWords(words[0], shell.EnvsFromSlice(nil))
	if err != nil || len(plain) == 0 {
		return []string{"/bin/sh", "-c", words[0]}
	}
	return plain
}

var uvSync = regexp.MustCompile(`\buv\s+sync\b`)

// run notes what an instruction installs below the folder that the code's
// volume covers.
func (c *Container) run(text string) {
	target := ""
	for _, e := range c.Env {
		if e.Name == "UV_PROJECT_ENVIRONMENT" {
			target = e.Value
		}
	}
	if uvSync.MatchString(text) && !path.IsAbs(target) && !strings.Contains(text, "--system") {
		c.hidden = path.Join("/", c.Workdir, ".venv")
	}
}

// judge finishes what needs the whole file: files that are copied elsewhere
// than to the code's place make the image one that has to be built.
func (c *Container) judge() {
	mount := c.mountPath()
	for _, copied := range c.Copies {
		if copied.To != mount && !strings.HasPrefix(copied.To, mount+"/") {
			c.Built = true
		}
	}
	if c.hidden != "" && strings.HasPrefix(c.hidden, mount+"/") {
		c.hidden = fmt.Sprintf("%s keeps packages in %s, which the code's volume covers: say ENV UV_PROJECT_ENVIRONMENT=/opt/venv before uv sync, and call %s", c.Path, c.hidden, "/opt/venv/bin/python")
	} else {
		c.hidden = ""
	}
}

// defaultMount is where code goes that no file says a place of.
const defaultMount = "/app"

// mountPath is where containers see the code.
func (c *Container) mountPath() string {
	if c.Workdir != "" && c.Workdir != "/" {
		return c.Workdir
	}
	for _, copied := range c.Copies {
		if slices.Equal(copied.From, []string{"."}) && copied.To != "/" {
			return copied.To
		}
	}
	return defaultMount
}

// codePath is the folder of the project that the image has at mountPath.
func (c *Container) codePath(s *survey) (dir, where string) {
	mount := c.mountPath()
	for _, copied := range c.Copies {
		if copied.To == mount && len(copied.From) == 1 && copied.From[0] != "." && s.pythonDirs[copied.From[0]] {
			return copied.From[0], fmt.Sprintf("%s:%d", c.Path, copied.Line)
		}
	}
	return ".", c.Path
}
