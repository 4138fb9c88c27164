package python

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/supervise"
)

// Options say what a ForkServer does. The zero value imports nothing and
// starts every run cold.
type Options struct {
	Preload []string // dotted names of modules to import, in order
	Mount   string   // of the code: what lies below must not be preloaded
	Dir     string   // a folder of the agent's that it may write to
	Log     Printf   // nil: silence

	Stdout, Stderr *os.File // of runs; nil: the program's own
}

// perGeneration are the variables that differ between runs: nothing that is
// imported may depend on them, but for bytecode, which follows.
var perGeneration = map[string]bool{
	"KUBECTL_AI_GENERATION": true, "KUBECTL_AI_TREE_DIGEST": true, "PYTHONPYCACHEPREFIX": true,
	"KUBECTL_AI_RUN": true, "PET_RDZV_ID": true, "MASTER_PORT": true, "PET_MASTER_PORT": true,
}

// ForkServer starts runs of a Python command. It is safe for concurrent use.
type ForkServer struct {
	spec    supervise.Spec
	options Options
	once

	mu   sync.Mutex
	warm *warm // nil: nothing to import, or no command to import it for yet
}

// NewForkServer returns a fork server for the container's command, with the
// environment of its runs. The modules are imported in the background. Stop it
// with Close.
func NewForkServer(spec supervise.Spec, o Options) *ForkServer {
	if o.Stdout == nil {
		o.Stdout = os.Stdout //nolint:forbidigo // a run speaks on the container's own streams
	}
	if o.Stderr == nil {
		o.Stderr = os.Stderr //nolint:forbidigo // as above
	}
	f := &ForkServer{spec: spec, options: o, once: once{log: o.Log}}
	if c, err := parse(spec); err == nil { // else perhaps with the code: the command may be a script of it
		f.mu.Lock()
		defer f.mu.Unlock()
		f.warmLocked(c)
	}
	return f
}

// Start starts a run, forked where that is safe and cold where it is not: the
// log says once why.
func (f *ForkServer) Start(spec supervise.Spec) *supervise.Process {
	p, err := f.fork(spec)
	if err == nil {
		return p
	}
	if !errors.Is(err, errNothing) {
		f.say("runs start without preloaded modules: %v", err)
	}
	null, err := os.Open(os.DevNull)
	if err == nil {
		defer func() { _ = null.Close() }()
	}
	return supervise.StartWith(spec, null, f.options.Stdout, f.options.Stderr)
}

// errNothing says that no module is to be preloaded.
var errNothing = errors.New("nothing to preload")

func (f *ForkServer) fork(spec supervise.Spec) (*supervise.Process, error) {
	w, c, err := f.warmFor(spec)
	if err != nil {
		return nil, err
	}
	for _, word := range slices.Concat(spec.Argv, spec.Env, []string{spec.Dir}) {
		if strings.ContainsRune(word, 0) {
			return nil, errors.New("an argument or a variable holds a zero byte")
		}
	}
	if name := differs(f.spec.Env, spec.Env); name != "" {
		return nil, fmt.Errorf("%s is not what it was when the modules were imported", name)
	}
	s, err := w.take()
	if err != nil {
		return nil, err
	}
	if err := s.begin(c, spec); err != nil {
		s.close()
		return nil, err
	}
	return s.process, nil
}

// warmFor returns the interpreter that a run can be forked from.
func (f *ForkServer) warmFor(spec supervise.Spec) (*warm, command, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.options.Preload) == 0 {
		return nil, command{}, errNothing
	}
	c, err := parse(spec)
	if err != nil {
		return nil, c, err
	}
	if f.warm == nil || !f.warm.fits(c) {
		f.warmLocked(c)
	}
	return f.warm, c, nil
}

// warmLocked starts an interpreter for a command, in place of one for another;
// the caller holds the mutex.
func (f *ForkServer) warmLocked(c command) {
	if f.warm != nil {
		f.warm.close()
		f.warm = nil
	}
	if len(f.options.Preload) > 0 {
		f.warm = newWarm(c, f.spec, f.options, &f.once)
	}
}

// Preload changes which modules are imported. Runs start cold until they are.
func (f *ForkServer) Preload(modules []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if slices.Equal(modules, f.options.Preload) {
		return
	}
	f.options.Preload = slices.Clone(modules)
	if f.warm != nil {
		f.warmLocked(f.warm.command)
	} else if c, err := parse(f.spec); err == nil {
		f.warmLocked(c)
	}
}

// Close ends what waits for a run. Runs go on.
func (f *ForkServer) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.warm != nil {
		f.warm.close()
		f.warm = nil
	}
	f.options.Preload = nil
}

// differs returns a variable that two environments have different, empty for
// none.
func differs(a, b []string) string {
	values := func(env []string) map[string]string {
		all := make(map[string]string, len(env))
		for _, e := range env {
			name, value, _ := strings.Cut(e, "=")
			if _, ok := all[name]; !ok && !perGeneration[name] {
				all[name] = value
			}
		}
		return all
	}
	before, after := values(a), values(b)
	var names []string
	for name, value := range before {
		if got, ok := after[name]; !ok || got != value {
			names = append(names, name)
		}
		delete(after, name)
	}
	for name := range after {
		names = append(names, name)
	}
	if len(names) == 0 {
		return ""
	}
	return slices.Min(names)
}
