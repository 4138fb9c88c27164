package cluster

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	kinderrors "sigs.k8s.io/kind/pkg/errors"
	kindexec "sigs.k8s.io/kind/pkg/exec"
)

// maxLines of log are worth a person's time.
const maxLines = 12

// diagnose makes a *CreateError of a failure: the lines that matter of the
// command that failed, else of the kubelet, else of the node's console, while
// the containers are still there.
func (m *Manager) diagnose(ctx context.Context, name, phase string, err error) error {
	if phase == "" {
		phase = "prepare"
	}
	failure := &CreateError{Name: name, Phase: lowerFirst(phase), Err: plain(err)}
	output := runOutput(err)
	text := output
	if conflict.MatchString(output) || conflict.MatchString(err.Error()) {
		return &ExistsError{Name: name}
	}
	failure.Lines = relevant(output)
	if found, findErr := m.kindClusters(ctx, name); findErr == nil && len(found) == 1 {
		control, ok := Primary(found[0].Nodes)
		if ok {
			kubelet, _ := control.Run(ctx, nil, "journalctl", "--no-pager", "-o", "cat", "-n", "60", "-u", "kubelet")
			console, _ := m.Engine.Run(ctx, nil, "logs", "--tail", "30", control.Name)
			text += string(kubelet) + string(console)
			for _, more := range []string{string(kubelet), string(console)} {
				if len(failure.Lines) < 3 {
					failure.Lines = append(failure.Lines, relevant(more)...)
				}
			}
		}
	}
	failure.Lines = failure.Lines[max(0, len(failure.Lines)-maxLines):]
	failure.Hint = hint(text + err.Error())
	return failure
}

// conflict is what an engine and kind say when a name is taken: by another
// create of the same name, a moment before. What is there is the other's.
var conflict = regexp.MustCompile(`[Cc]ontainer name .* is already in use|already exist for a cluster with the name`)

// runErrors returns the failed commands in an error of kind's, whose
// aggregates errors.As does not look into.
func runErrors(err error) []*kindexec.RunError {
	var all []*kindexec.RunError
	for _, e := range append(kinderrors.Errors(err), err) {
		var run *kindexec.RunError
		if errors.As(e, &run) && !slices.Contains(all, run) {
			all = append(all, run)
		}
	}
	return all
}

// runOutput returns what the failed commands printed.
func runOutput(err error) string {
	var out strings.Builder
	for _, run := range runErrors(err) {
		out.Write(run.Output)
		out.WriteByte('\n')
	}
	return out.String()
}

// plain shortens kind's errors, which carry whole command lines.
func plain(err error) error {
	if all := runErrors(err); len(all) > 0 && len(all[0].Command) > 0 {
		return &commandFailed{command: shortCommand(all[0].Command), err: err, inner: all[0].Inner}
	}
	return err
}

type commandFailed struct {
	command    string
	err, inner error
}

func (c *commandFailed) Error() string { return fmt.Sprintf("%s: %v", c.command, c.inner) }
func (c *commandFailed) Unwrap() error { return c.err }

// shortCommand names what ran, without the engine's flags around it.
func shortCommand(command []string) string {
	if i := slices.Index(command, "--privileged"); i > 0 && len(command) > i+2 && command[1] == "exec" {
		command = command[i+2:] // after the node's name
	}
	return strings.Join(command[:min(len(command), 2)], " ")
}

var (
	klogLine = regexp.MustCompile(`^[IWEF]\d{4} \d\d:\d\d:\d\d`)
	badWord  = regexp.MustCompile(`(?i)\b(error|errors|fail|failed|failure|fatal|panic|refused|denied|unable|cannot|unhealthy|invalid|timed out|no space|too many open files|oom)\b`)
)

// relevant returns the last lines that tell of a failure, each once.
func relevant(output string) []string {
	var lines []string
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if !badWord.MatchString(line) || klogLine.MatchString(line) && !strings.HasPrefix(line, "E") && !strings.HasPrefix(line, "F") {
			continue
		}
		if len(line) > 240 {
			line = line[:237] + "…"
		}
		if !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return lines[max(0, len(lines)-maxLines):]
}

// hints map what logs say to one thing to try.
var hints = []struct {
	pattern *regexp.Regexp
	try     string
}{
	{regexp.MustCompile(`(?i)cannot connect to the docker daemon|is the docker daemon running|connection refused.*docker\.sock|cannot connect to podman`), "start the container engine again, then: kubectl ai doctor, which names what is left"},
	{regexp.MustCompile(`(?i)too many open files|inotify`), "sudo sysctl fs.inotify.max_user_instances=8192 fs.inotify.max_user_watches=524288"},
	{regexp.MustCompile(`(?i)no space left on device`), "free disk space, for example: docker system prune"},
	{regexp.MustCompile(`(?i)port is already allocated|address already in use`), "stop what listens on that port, or choose another with --registry-port"},
	{regexp.MustCompile(`(?i)cgroup v1.*(unsupported|not supported)|failCgroupV1|Refusing to run under cgroup v1`), "use a node image that runs on cgroup v1: kubectl ai sandbox image build"},
	{regexp.MustCompile(`(?i)operation not permitted|unable to apply caps`), "run the engine with all capabilities (rootful), as kind nodes are privileged containers"},
	{regexp.MustCompile(`(?i)oom|out of memory|cannot allocate memory`), "give the engine more memory: about 1.5 GiB for each node"},
}

func hint(text string) string {
	for _, h := range hints {
		if h.pattern.MatchString(text) {
			return h.try
		}
	}
	return "repeat with --retain, then look: docker logs and docker exec NODE journalctl -u kubelet"
}

func lowerFirst(s string) string { return strings.ToLower(s[:1]) + s[1:] }
