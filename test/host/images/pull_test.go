package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ai/kubectl-ai/sandbox/engine"
)

// notes collects what a puller says.
type notes struct{ lines []string }

func (n *notes) Note(format string, args ...any) {
	n.lines = append(n.lines, fmt.Sprintf(format, args...))
}

// newPuller returns a puller of an engine that has no image and pulls as the
// script says; asked counts the pulls.
func newPuller(t *testing.T, script string) (p *puller, asked func() int) {
	t.Helper()
	dir := t.TempDir()
	bin, count := filepath.Join(dir, "docker"), filepath.Join(dir, "count")
	content := "#!/bin/sh\n[ \"$1\" = pull ] || { echo no such image >&2; exit 1; }\necho >>" + count + "\n" + script
	if err := os.WriteFile(bin, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
	return &puller{engine: &engine.Engine{Name: "docker", Bin: bin}, progress: &notes{}, answer: 10 * time.Second}, func() int {
		lines, _ := os.ReadFile(count)
		return strings.Count(string(lines), "\n")
	}
}

func TestPull(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, script string
		answer       time.Duration
		pulled       bool
		asked        int // in two attempts
	}{
		{"a registry that gives the image", "echo pulling\n", 0, true, 2},
		{"a registry that is not reached is not asked again", "echo no route >&2; exit 1\n", 0, false, 1},
		{"a registry that says nothing is not asked again", "exec sleep 60\n", 300 * time.Millisecond, false, 1},
		{"once it has answered it may take its time", "echo pulling; sleep 1\n", 700 * time.Millisecond, true, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p, asked := newPuller(t, c.script)
			if c.answer != 0 {
				p.answer = c.answer
			}
			for range 2 {
				pulled, err := p.have(t.Context(), "image:1")
				if err != nil || pulled != c.pulled {
					t.Fatalf("pulled %v, %v; want %v", pulled, err, c.pulled)
				}
			}
			if got := asked(); got != c.asked {
				t.Errorf("asked %d times, want %d", got, c.asked)
			}
		})
	}
}
