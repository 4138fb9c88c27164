package agent

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/supervise"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/wire"
)

// startLocked starts the command in the current generation; the caller holds
// the mutex.
func (a *Agent) startLocked(m wire.Commit, received, staged time.Time) {
	if a.Attached != nil {
		a.tellLocked(m, received, staged)
		return
	}
	number, digest := a.store.Current()
	committed := time.Now()
	spec := a.spec(m, digest.String())
	process := a.runs.Start(spec)
	a.process, a.run = process, m
	cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", process.PID))
	if err != nil {
		cwd = spec.Dir
	}
	a.receipt = &wire.Receipt{
		Generation: number, TreeDigest: digest, Run: m.Run,
		Process: wire.Restarted, Started: number, StartedDigest: digest,
		Pod: a.Pod, PodUID: a.PodUID, Container: a.Container, Rank: -1,
		PID: process.PID, CWD: cwd,
		ArgvDigest: sha256.Sum256([]byte(strings.Join(spec.Argv, "\x00"))),
		Received:   received, Staged: staged, Committed: committed, Running: time.Now(),
	}
	_ = os.WriteFile(ReadyFile(a.Socket), []byte(digest.String()), 0o644)
	go a.watch(process, number)
}

// watch tells the client when the process ends by itself. The agent stays:
// the next save starts the next process.
func (a *Agent) watch(process *supervise.Process, number uint64) {
	<-process.Done
	a.mu.Lock()
	own, owner := a.process == process && a.ending != process, a.owner
	a.mu.Unlock()
	exit := process.Exit()
	if !own {
		return // stopped for the next generation
	}
	how := fmt.Sprintf("code %d", exit.Code)
	if exit.Message != "" {
		how += " (" + exit.Message + ")"
	}
	a.Log.Printf("generation %d ended with %s: waiting for the next save", number, how)
	if owner != nil {
		_ = owner.out.Send(&wire.Exited{Generation: number, PID: exit.PID, Code: exit.Code, Message: exit.Message})
	}
}

// spec maps the container's command into a generation: its working directory
// and the arguments below the mount become the resolved generation's, so that
// a process keeps its whole tree when the next one becomes current.
func (a *Agent) spec(m wire.Commit, digest string) supervise.Spec {
	gen := a.store.Path(m.Generation)
	into := func(p string) string {
		if p == a.Mount {
			return gen
		}
		if rest, ok := strings.CutPrefix(p, a.Mount+"/"); ok && !strings.HasPrefix(rest, ".kubectl-ai/") {
			return gen + "/" + rest
		}
		return p
	}
	spec := supervise.Spec{Dir: into(a.cwd)}
	if _, err := os.Stat(spec.Dir); errors.Is(err, os.ErrNotExist) {
		spec.Dir = gen
	}
	for _, arg := range a.Argv {
		if strings.HasPrefix(arg, a.Mount) {
			arg = into(arg)
		}
		spec.Argv = append(spec.Argv, arg)
	}
	spec.Env = append(spec.Env, a.Env...)
	at := func(key string) int {
		return slices.IndexFunc(spec.Env, func(e string) bool { return strings.HasPrefix(e, key+"=") })
	}
	// The first of two variables of a name is the one that counts.
	set := func(key, value string) {
		if i := at(key); i >= 0 {
			spec.Env[i] = key + "=" + value
		} else {
			spec.Env = append(spec.Env, key+"="+value)
		}
	}
	number := strconv.FormatUint(m.Generation, 10)
	set("KUBECTL_AI_GENERATION", number)
	set("KUBECTL_AI_TREE_DIGEST", digest)
	if m.Run != "" {
		// A rank of the last run cannot join this one: torchrun's rendezvous
		// goes by this name.
		set("KUBECTL_AI_RUN", m.Run)
		set("PET_RDZV_ID", m.Run)
		if a.FreshPort {
			address := ""
			if i := at("MASTER_ADDR"); i >= 0 {
				address = spec.Env[i]
			}
			port := strconv.Itoa(rendezvousPort(m.Run, address))
			set("MASTER_PORT", port)
			set("PET_MASTER_PORT", port)
		}
	}
	if at("PYTHONUNBUFFERED") < 0 { // logs are read while the process runs
		set("PYTHONUNBUFFERED", "1")
	}
	// Python looks for modules in the generation itself, never through the
	// links at the mount: beside those a bytecode cache would outlive its code.
	for i, e := range spec.Env {
		if value, ok := strings.CutPrefix(e, "PYTHONPATH="); ok {
			dirs := filepath.SplitList(value)
			for j := range dirs {
				dirs[j] = into(dirs[j])
			}
			spec.Env[i] = "PYTHONPATH=" + strings.Join(dirs, string(filepath.ListSeparator))
		}
	}
	return spec
}

// Ports of rendezvous lie below those that Kubernetes gives to Services and
// Linux to outgoing connections.
const (
	firstPort = 20_000
	ports     = 10_000
)

// rendezvousPort returns the port at which the ranks of a run meet. All of
// them compute the same one, and two runs in a row never have the same, so
// that neither a rank of the last run nor its socket in TIME_WAIT is met.
// The address keeps gangs apart that share a node's network.
func rendezvousPort(run, address string) int {
	text, _, _ := strings.Cut(run, "-")
	number, err := strconv.ParseUint(text, 10, 64)
	h := fnv.New32a()
	_, _ = io.WriteString(h, address)
	if err != nil {
		_, _ = io.WriteString(h, run)
	}
	return firstPort + int((number%ports+uint64(h.Sum32()))%ports)
}
