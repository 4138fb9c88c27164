//go:build e2e

package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/spf13/cobra"

	"github.com/kubectl-ai/kubectl-ai/plugin/command"
	"github.com/kubectl-ai/kubectl-ai/plugin/term"
)

// example is a line of --help, and what a run of it needs.
type example struct {
	line string // as help prints it, without its comment
	exit int    // 0, unless help says otherwise
	more string // flags that our call in the line gets, such as --name

	// What it asks or shows on a terminal, and what is typed then: yes or ctrlC.
	says, types string

	// elsewhere are tests that run the same commands on clusters of their own.
	// The line itself makes or deletes clusters, and runs at full size alone.
	elsewhere []string

	before func(u *user)
	after  func(u *user, out string)
}

const (
	yes   = "y\n"
	ctrlC = "\x03"
)

// scenario is what one user does, in order. Scenarios run side by side.
type scenario struct {
	name     string
	begin    func(u *user)
	examples []example
}

// scenarios hold every example of --help once.
var scenarios = []scenario{laptop, sandboxes, development, promotion, experiments, validation, serving}

// Every example of every command is run as it is printed.
func TestExamplesRun(t *testing.T) {
	kubectl := kubectlProgram(t)
	var side sync.WaitGroup // they wait for clusters, so they are more than there are processors
	for _, s := range scenarios {
		side.Go(func() {
			t.Run(s.name, func(t *testing.T) {
				u := newUser(t, "examples-"+s.name, kubectl)
				if s.begin != nil {
					s.begin(u)
				}
				for _, e := range s.examples {
					if len(e.elsewhere) == 0 || os.Getenv("KUBECTL_AI_SOAK") != "" {
						u.run(e)
					}
				}
			})
		})
	}
	side.Wait()
}

// The scenarios have the examples of all commands, each once, and no others.
func TestEveryExampleIsInAScenario(t *testing.T) {
	times := map[string]int{}
	for _, s := range scenarios {
		for _, e := range s.examples {
			times[e.line]++
		}
	}
	var find func(cmd *cobra.Command)
	find = func(cmd *cobra.Command) {
		for line := range strings.Lines(cmd.Example) {
			line, _, _ = strings.Cut(line, " # ")
			line = strings.TrimSpace(line)
			if times[line] != 1 {
				t.Errorf("%s: %d scenarios have its example %s", cmd.CommandPath(), times[line], line)
			}
			delete(times, line)
		}
		for _, verb := range cmd.Commands() {
			find(verb)
		}
	}
	find(command.NewRoot(term.Streams{}, fstest.MapFS{}, "v0"))
	for line := range times {
		t.Errorf("no command has the example %s", line)
	}
}

// What runs elsewhere does: the file of a test that is named calls the command.
func TestExamplesThatRunElsewhereDo(t *testing.T) {
	call := regexp.MustCompile(`kubectl (?:ai|--context \S+)((?: [a-z][a-z-]*)+)`)
	for _, s := range scenarios {
		for _, e := range s.examples {
			if len(e.elsewhere) == 0 {
				continue
			}
			source := ""
			for _, name := range e.elsewhere {
				source += sourceOf(t, name)
			}
			for _, words := range call.FindAllStringSubmatch(e.line, -1) {
				called := `"` + strings.Join(strings.Fields(words[1]), `", "`) + `"`
				if !strings.Contains(source, called) {
					t.Errorf("%v do not call %s: %s", e.elsewhere, called, e.line)
				}
			}
		}
	}
}

// sourceOf is the file of an end-to-end test.
func sourceOf(t *testing.T, test string) (source string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(root, "test/e2e"), func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, "_test.go") {
			if text := read(t, path); strings.Contains(text, fmt.Sprintf("\nfunc %s(t *testing.T)", test)) {
				source = text
			}
		}
		return err
	})
	if err != nil || source == "" {
		t.Errorf("there is no test %s: %v", test, err)
	}
	return source
}
