// Package child runs the programs that an image build needs: a compiler,
// debootstrap, containerd. A program ends with its context, and so does
// everything that it started.
package child

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// Command is one program to run.
type Command struct {
	Name  string
	Args  []string
	Dir   string
	Env   []string // added to this process's; a later setting wins
	Stdin io.Reader
	// PrivateMounts gives the program a mount table of its own: what it
	// mounts is gone when it ends, however it ends. Needs root.
	PrivateMounts bool
}

// Error is a program that failed.
type Error struct {
	Command string   // for example "go build"
	Lines   []string // the last lines that it said
	Err     error
}

func (e *Error) Error() string {
	if len(e.Lines) == 0 {
		return fmt.Sprintf("%s: %v", e.Command, e.Err)
	}
	return fmt.Sprintf("%s: %v: %s", e.Command, e.Err, e.Lines[len(e.Lines)-1])
}

func (e *Error) Unwrap() error { return e.Err }

// keptLines of output tell why a program failed.
const keptLines = 12

// Output runs the command and returns its stdout. A failure is an *Error, or
// the cause of ctx when that ended it.
func (c Command) Output(ctx context.Context) ([]byte, error) {
	cmd := c.command(ctx)
	said := &lastLines{}
	cmd.Stderr = said
	out, err := cmd.Output()
	return out, c.explain(ctx, err, said)
}

// Run is Output for a command whose output matters only when it fails.
func (c Command) Run(ctx context.Context) error {
	cmd := c.command(ctx)
	said := &lastLines{}
	cmd.Stdout, cmd.Stderr = said, said
	return c.explain(ctx, cmd.Run(), said)
}

// Start runs the command beside the caller. Stop ends it with SIGTERM, waits,
// and returns why it had ended before if it had.
func (c Command) Start(ctx context.Context) (stop func() error, err error) {
	cmd := c.command(ctx)
	said := &lastLines{}
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		return nil, c.explain(ctx, err, said)
	}
	ended := make(chan struct{})
	var why error
	go func() {
		why = cmd.Wait()
		close(ended)
	}()
	return func() error {
		select {
		case <-ended:
			return c.explain(ctx, why, said)
		default:
		}
		terminate(cmd)
		<-ended // whatever it ended with, it was we who asked
		return nil
	}, nil
}

func (c Command) command(ctx context.Context) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.Name, c.Args...)
	cmd.Dir, cmd.Stdin = c.Dir, c.Stdin
	if len(c.Env) > 0 {
		cmd.Env = append(os.Environ(), c.Env...)
	}
	cmd.WaitDelay = 5 * time.Second
	isolate(cmd, c.PrivateMounts)
	return cmd
}

func (c Command) explain(ctx context.Context, err error, said *lastLines) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	words := append([]string{c.Name}, c.Args...)
	return &Error{Command: strings.Join(words[:min(2, len(words))], " "), Lines: said.lines(), Err: err}
}

// lastLines keeps the end of what a program says.
type lastLines struct {
	mu  sync.Mutex
	buf []byte
}

const keptBytes = 8 << 10

func (l *lastLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf = append(l.buf, p...)
	if over := len(l.buf) - keptBytes; over > 0 {
		l.buf = append(l.buf[:0], l.buf[over:]...)
	}
	return len(p), nil
}

func (l *lastLines) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var lines []string
	for line := range strings.Lines(string(l.buf)) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines[max(0, len(lines)-keptLines):]
}
