package python

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/supervise"
)

// ErrNotPython says that a command runs no Python interpreter.
var ErrNotPython = errors.New("the command is not Python")

// kind is how an interpreter is told what to run.
type kind string

// The kinds; the words are those of the fork server's conversation.
const (
	script kind = "script"
	module kind = "module" // -m
	code   kind = "code"   // -c
)

// command is a command line of an interpreter, taken apart as it does.
type command struct {
	interpreter string   // argv[0], as the interpreter sees it
	options     []string // before what is run
	kind        kind
	program     string
	args        []string // behind it
}

// parse takes a spec's command apart. It returns ErrNotPython for another
// program's, and another error for a command that a fork cannot stand for.
func parse(spec supervise.Spec) (command, error) {
	argv, err := interpreter(spec)
	if err != nil {
		return command{}, err
	}
	c := command{interpreter: argv[0]}
	rest := argv[1:]
	for len(rest) > 0 && strings.HasPrefix(rest[0], "-") {
		word := rest[0]
		rest = rest[1:]
		if word == "--" {
			break
		}
		done, used, err := c.option(word, rest)
		if err != nil {
			return command{}, err
		}
		rest = rest[used:]
		if done {
			c.args = rest
			return c, nil
		}
	}
	if len(rest) == 0 {
		return command{}, errors.New("the interpreter is given no program")
	}
	c.kind, c.program, c.args = script, rest[0], rest[1:]
	return c, nil
}

// option reads one word of options (the order and the letters are those of
// CPython's Python/getopt.c), with values from rest where one is needed. It
// tells whether it was the last, and how many words of rest it used.
func (c *command) option(word string, rest []string) (done bool, used int, err error) {
	if word == "--check-hash-based-pycs" && len(rest) > 0 {
		c.options = append(c.options, word, rest[0])
		return false, 1, nil
	}
	if word == "-" || strings.HasPrefix(word, "--") {
		return false, 0, fmt.Errorf("the interpreter's option %s is not for a fork", word)
	}
	for i := 1; i < len(word); i++ {
		letter, value := word[i], word[i+1:]
		switch {
		case strings.IndexByte("bBdEIOPqRsSuv", letter) >= 0:
			c.options = append(c.options, "-"+string(letter))
			continue
		case strings.IndexByte("cmWX", letter) < 0:
			return false, 0, fmt.Errorf("the interpreter's option -%c is not for a fork", letter)
		case value == "" && len(rest) == 0:
			return false, 0, fmt.Errorf("the interpreter's option -%c has no value", letter)
		case value == "":
			value, used = rest[0], 1
		}
		switch letter {
		case 'c':
			c.kind, c.program, done = code, value, true
		case 'm':
			c.kind, c.program, done = module, value, true
		default:
			c.options = append(c.options, "-"+string(letter), value)
		}
		return done, used, nil
	}
	return false, 0, nil
}

// named matches what Python interpreters are called.
var named = regexp.MustCompile(`^python(3(\.\d+t?)?)?$`)

func isPython(name string) bool { return named.MatchString(filepath.Base(name)) }

// interpreter returns a spec's command as one of an interpreter: behind
// /usr/bin/env, and of a script's first line.
func interpreter(spec supervise.Spec) ([]string, error) {
	argv := spec.Argv
	if len(argv) > 1 && filepath.Base(argv[0]) == "env" {
		argv = argv[1:]
	}
	if len(argv) == 0 {
		return nil, ErrNotPython
	}
	if isPython(argv[0]) {
		return argv, nil
	}
	file, err := supervise.Look(supervise.Spec{Argv: argv, Dir: spec.Dir, Env: spec.Env})
	if err != nil {
		return nil, ErrNotPython
	}
	first := shebang(file)
	if len(first) == 0 || !isPython(first[0]) {
		return nil, ErrNotPython
	}
	return append(append(first, file), argv[1:]...), nil
}

// shebang returns what the kernel runs for a script: an interpreter and at
// most one argument, but for `env -S`, which takes that apart.
func shebang(file string) []string {
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	line, err := bufio.NewReader(io.LimitReader(f, 256)).ReadString('\n') // BINPRM_BUF_SIZE
	if err != nil || !strings.HasPrefix(line, "#!") {
		return nil
	}
	name, arg, _ := strings.Cut(strings.TrimSpace(line[2:]), " ")
	arg = strings.TrimSpace(arg)
	switch {
	case filepath.Base(name) == "env" && strings.HasPrefix(arg, "-S"):
		return strings.Fields(arg[2:])
	case filepath.Base(name) == "env":
		return []string{arg}
	case arg == "":
		return []string{name}
	}
	return []string{name, arg}
}

// shells take a script behind -c.
var shells = regexp.MustCompile(`^(sh|bash|dash|ash)$`)

// checker returns the interpreter that a command's code is compiled for. A
// shell's counts when it is the first thing that the shell runs: later, PATH
// may be another.
func checker(spec supervise.Spec) (string, error) {
	argv, err := interpreter(spec)
	if err == nil {
		return argv[0], nil
	}
	if len(spec.Argv) == 3 && shells.MatchString(filepath.Base(spec.Argv[0])) && strings.HasPrefix(spec.Argv[1], "-") && strings.HasSuffix(spec.Argv[1], "c") {
		words := strings.Fields(spec.Argv[2])
		if len(words) > 1 && words[0] == "exec" {
			words = words[1:]
		}
		if len(words) > 1 && isPython(words[0]) {
			return words[0], nil
		}
	}
	return "", err
}
