package cluster

import (
	"fmt"
	"strings"
	"sync"
	"unicode"

	"sigs.k8s.io/kind/pkg/log"
)

// phases is a kind logger that turns what kind says into steps. kind has no
// other channel: it prints " • text  ...\n" where a phase begins and
// " ✓ text\n" or " ✗ text\n" where it ends.
type phases struct {
	reporter Reporter
	// nodesUp is called once the node containers exist, before kind writes
	// anything into them.
	nodesUp func()

	mu    sync.Mutex
	muted bool
	phase string
}

// words says kind's phases in ours; the key is the beginning of kind's text.
// A phase with an empty text is not worth a line: it is over at once.
var words = []struct{ kind, ours string }{
	{"Ensuring node image", ""},
	{"Preparing nodes", "Start the node containers"},
	{"Writing configuration", ""},
	{"Configuring the external load balancer", "Configure the load balancer"},
	{"Starting control-plane", "Start the control plane"},
	{"Installing CNI", "Install the pod network"},
	{"Installing StorageClass", "Install the storage class"},
	{"Joining more control-plane nodes", "Join control planes"},
	{"Joining worker nodes", "Join workers"},
}

// current is the phase that runs, or ran last.
func (p *phases) current() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.phase
}

// mute ends the reports; kind may go on talking while it is being cancelled.
func (p *phases) mute() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.muted = true
}

// say takes one message of kind's.
func (p *phases) say(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.muted {
		return
	}
	mark, text := parsePhase(text)
	switch mark {
	case began:
		ours := translate(text)
		if strings.HasPrefix(text, "Writing configuration") && p.nodesUp != nil {
			p.nodesUp()
		}
		if ours == "" {
			return
		}
		p.phase = ours
		p.reporter.Start(ours)
	case succeeded:
		if translate(text) != "" {
			p.reporter.End(nil)
		}
	}
	// A failed phase ends with the error that Create returns.
}

type phaseMark int

const (
	chatter phaseMark = iota
	began
	succeeded
	failed
)

// parsePhase reads one line of kind's status output.
func parsePhase(line string) (phaseMark, string) {
	line = strings.TrimSpace(line)
	for prefix, mark := range map[string]phaseMark{"•": began, "✓": succeeded, "✗": failed} {
		if rest, ok := strings.CutPrefix(line, prefix); ok {
			rest = strings.TrimSuffix(strings.TrimSpace(rest), "...")
			return mark, strings.TrimRightFunc(rest, func(r rune) bool {
				return unicode.IsSpace(r) || unicode.Is(unicode.So, r) || unicode.Is(unicode.Mn, r)
			})
		}
	}
	return chatter, line
}

func translate(text string) string {
	for _, w := range words {
		if strings.HasPrefix(text, w.kind) {
			return w.ours
		}
	}
	return text
}

// The rest is kind's logger interface. Warnings are dropped: those that kind
// has are about cgroup v1, which is dealt with.

func (p *phases) Warn(string)          {}
func (p *phases) Warnf(string, ...any) {}

func (p *phases) Error(message string) { p.note(message) }

func (p *phases) Errorf(format string, args ...any) { p.note(fmt.Sprintf(format, args...)) }

func (p *phases) note(message string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.muted {
		p.reporter.Note("%s", strings.TrimSpace(message))
	}
}

func (p *phases) V(level log.Level) log.InfoLogger { return verbosity{p, level} }

type verbosity struct {
	phases *phases
	level  log.Level
}

func (v verbosity) Info(message string) {
	if v.Enabled() {
		v.phases.say(message)
	}
}

func (v verbosity) Infof(format string, args ...any) {
	if v.Enabled() {
		v.phases.say(fmt.Sprintf(format, args...))
	}
}

func (v verbosity) Enabled() bool { return v.level == 0 }
