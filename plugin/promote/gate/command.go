package gate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
)

// kept is how much of a command's output is evidence: its end.
const kept = 4 << 10

// patience is how long the output of a command that was stopped may stay open:
// what left its group may live on.
const patience = 2 * time.Second

// command runs a gate's command on this machine; exit 0 passes.
func (k *Keeper) command(ctx context.Context, g project.Gate) release.Gate {
	inner, cancel := context.WithTimeout(ctx, g.Timeout)
	defer cancel()
	cmd := exec.CommandContext(inner, g.Command[0], g.Command[1:]...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = k.Dir, append(os.Environ(), k.Env...), patience
	killWithChildren(cmd)
	output := &tail{}
	cmd.Stdout, cmd.Stderr = output, output
	started := k.Now()
	err := cmd.Run()
	result := &release.GateResult{Exit: -1, Seconds: k.Now().Sub(started).Round(time.Millisecond).Seconds(), Output: output.String()}
	if cmd.ProcessState != nil {
		result.Exit = cmd.ProcessState.ExitCode()
	}
	out := release.Gate{Kind: "command", Name: strings.Join(g.Command, " "), Passed: err == nil, Command: result}
	var ended *exec.ExitError
	switch {
	case err == nil:
		out.Detail = "exit 0"
	case inner.Err() != nil:
		out.Detail = fmt.Sprintf("it ran longer than %v", g.Timeout)
	case errors.As(err, &ended):
		out.Detail = ended.Error()
	default:
		out.Detail = err.Error()
	}
	if err != nil && result.Output != "" {
		out.Detail += ": " + lastLine(result.Output)
	}
	return out
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}

// tail keeps the end of what is written to it.
type tail struct{ buf []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if len(t.buf) > 2*kept {
		t.buf = append([]byte(nil), t.buf[len(t.buf)-kept:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	return strings.ToValidUTF8(string(t.buf[max(0, len(t.buf)-kept):]), "\uFFFD")
}
