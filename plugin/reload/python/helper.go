package python

import (
	_ "embed"
	"fmt"
	"os"
	"slices"
	"sync"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/supervise"
)

//go:embed files/check.py
var checkSource string

//go:embed files/fork.py
var forkSource string

// bootstrap runs what it reads from descriptor 3, in a namespace of its own:
// nothing is written to a disk, which may be read-only, the process list
// stays readable, and __main__ stays as the interpreter made it. What it runs
// closes the descriptor.
const bootstrap = `exec(compile(open(3, "rb", closefd=False).read(), "kubectl-ai", "exec"), {"__name__": "kubectl-ai"})`

// start starts source in the interpreter of spec, whose arguments end where
// -c and its code come; behind them, arguments go unread. files are its
// descriptors 0, 1 and 2, and from 4 on.
func start(spec supervise.Spec, source string, behind []string, files ...*os.File) (*supervise.Process, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	spec.Argv = append(append(spec.Argv, "-c", bootstrap), behind...)
	p := supervise.StartWith(spec, slices.Insert(files, 3, r)...)
	_ = r.Close()
	_, _ = w.WriteString(source) // it ends when the process does
	_ = w.Close()
	return p, nil
}

// ended says how a helper went.
func ended(p *supervise.Process) string {
	exit := p.Exit()
	if exit.Message != "" {
		return fmt.Sprintf("code %d (%s)", exit.Code, exit.Message)
	}
	return fmt.Sprintf("code %d", exit.Code)
}

// Printf is where a helper's owner is told what the user should know;
// *log.Logger has it.
type Printf interface {
	Printf(format string, args ...any)
}

// once says a thing once.
type once struct {
	log Printf // nil: silence

	mu   sync.Mutex
	said map[string]struct{}
}

// say says something that was not said yet.
func (o *once) say(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	o.mu.Lock()
	_, known := o.said[text]
	if o.said == nil || len(o.said) > 100 { // reasons name files and variables
		o.said = map[string]struct{}{}
	}
	o.said[text] = struct{}{}
	o.mu.Unlock()
	if !known && o.log != nil {
		o.log.Printf("%s", text)
	}
}
