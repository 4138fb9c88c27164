package attach

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/execstream"
)

// Exec runs commands in containers; an *execstream.Dialer.
type Exec interface {
	Output(ctx context.Context, pod, container string, command ...string) ([]byte, error)
	Dial(ctx context.Context, pod, container string, command ...string) (*execstream.Stream, error)
}

// lookScript says whether files can be written to the folder $1.
const lookScript = `[ -d "$1" ] || { echo absent; exit 0; }
[ -w "$1" ] && [ -x "$1" ] || { echo locked "$(id -u)"; exit 0; }
echo ready "$(uname -m)"`

// haveScript says whether the program $1 is there.
const haveScript = `if [ -x "$1" ]; then echo have; else echo lack; fi`

// takeScript writes $2 bytes from stdin to the program $1, in place of others
// of its kind. It counts, so that it needs no end of the stream.
const takeScript = `set -e
dir=${1%/*}
mkdir -p "$dir"
head -c "$2" >"$1.$$"
[ "$(wc -c <"$1.$$")" -eq "$2" ]
chmod 755 "$1.$$"
rm -f "$dir"/attach-????????????
mv -f "$1.$$" "$1"
echo taken`

// architectures are those of uname -m by Go's names.
var architectures = map[string]string{"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}

// Prepare looks whether the container can take code and puts the agent there;
// program returns that for an architecture. It returns the agent's path, or
// an *UnfitError or *execstream.ForbiddenError.
func (c *Container) Prepare(ctx context.Context, exec Exec, program func(arch string) ([]byte, error)) (agent string, err error) {
	said, err := c.sh(ctx, exec, lookScript, c.Into)
	var forbidden *execstream.ForbiddenError
	switch {
	case errors.As(err, &forbidden) || ctx.Err() != nil:
		return "", err
	case err != nil:
		return "", c.unfit(NoShell, "no program in it can receive a file, as there is no shell that runs: %v", err)
	}
	word, rest, _ := strings.Cut(said, " ")
	switch word {
	case "ready":
	case "absent":
		return "", c.unfit(NoFolder, "it has no folder %s", c.Into)
	case "locked":
		return "", c.unfit(NotOwner, "its user, %s, may not write to %s", rest, c.Into)
	default:
		return "", c.unfit(NoShell, "its shell says %q", said)
	}
	arch, ok := architectures[rest]
	if !ok {
		return "", c.unfit(NoShell, "there is no agent for a machine that calls itself %q", rest)
	}
	content, err := program(arch)
	if err != nil {
		return "", err
	}
	agent = c.program(fmt.Sprintf("%x", sha256.Sum256(content))[:12])
	if said, err = c.sh(ctx, exec, haveScript, agent); err != nil {
		return "", err
	}
	if said != "have" {
		if err := c.take(ctx, exec, agent, content); err != nil {
			return "", err
		}
	}
	if _, err := exec.Output(ctx, c.Pod.Name, c.Name, agent, "attach", "--check", "--mount", c.Into); err != nil {
		return "", fmt.Errorf("run the agent: %w", err)
	}
	return agent, nil
}

// Dial opens a stream to the agent that Prepare has put there.
func (c *Container) Dial(ctx context.Context, exec Exec, agent string) (io.ReadWriteCloser, error) {
	return exec.Dial(ctx, c.Pod.Name, c.Name, agent, "attach", "--mount", c.Into, "--signal", c.Signal,
		"--pod", c.Pod.Name, "--pod-uid", string(c.Pod.UID), "--container", c.Name)
}

func (c *Container) sh(ctx context.Context, exec Exec, script string, args ...string) (string, error) {
	out, err := exec.Output(ctx, c.Pod.Name, c.Name, append([]string{"sh", "-c", script, "sh"}, args...)...)
	return strings.TrimSpace(string(out)), err
}

// take sends the agent.
func (c *Container) take(ctx context.Context, exec Exec, agent string, content []byte) error {
	s, err := exec.Dial(ctx, c.Pod.Name, c.Name, "sh", "-c", takeScript, "sh", agent, strconv.Itoa(len(content)))
	if err != nil {
		return err
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = s.Write(content) // who does not read it says why
	}()
	out, err := io.ReadAll(s)
	err = errors.Join(err, s.Close())
	<-sent
	if err == nil && strings.TrimSpace(string(out)) != "taken" {
		err = fmt.Errorf("the container says %q", out)
	}
	if err != nil {
		return fmt.Errorf("bring the agent to %s: %w", c, err)
	}
	return nil
}
