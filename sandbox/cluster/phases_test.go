package cluster

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// script records what a reporter is told.
type script struct{ lines []string }

func (s *script) Start(step string) { s.lines = append(s.lines, "start "+step) }
func (s *script) Note(f string, args ...any) {
	s.lines = append(s.lines, "note "+fmt.Sprintf(f, args...))
}
func (s *script) End(err error) { s.lines = append(s.lines, fmt.Sprint("end ", err)) }

func TestPhasesTellKindsStepsInOurWords(t *testing.T) {
	t.Parallel()
	said := &script{}
	marked := 0
	p := &phases{reporter: said, nodesUp: func() { marked++ }}
	p.V(0).Infof("Creating cluster %q ...\n", "ai")
	p.V(0).Infof(" • %s  ...\n", "Ensuring node image (kindest/node:v1.37.0) 🖼️")
	p.V(0).Infof(" ✓ %s\n", "Ensuring node image (kindest/node:v1.37.0) 🖼️")
	p.V(0).Infof(" • %s  ...\n", "Preparing nodes 📦 📦 ")
	p.V(0).Infof(" ✓ %s\n", "Preparing nodes 📦 📦 ")
	p.V(0).Infof(" • %s  ...\n", "Writing configuration 📜")
	p.V(0).Infof(" ✓ %s\n", "Writing configuration 📜")
	p.Warn("cgroup v1 is deprecated")
	p.V(0).Infof(" • %s  ...\n", "Starting control-plane 🕹️")
	p.V(3).Info("I1124 noise")
	p.V(0).Infof(" ✗ %s\n", "Starting control-plane 🕹️")
	p.V(0).Infof(" • %s  ...\n", "Something new 🎮")
	p.mute()
	p.V(0).Infof(" ✓ %s\n", "Something new 🎮")
	want := []string{
		"start Start the node containers", "end <nil>",
		"start Start the control plane",
		"start Something new",
	}
	if diff := cmp.Diff(want, said.lines); diff != "" {
		t.Error(diff)
	}
	if marked != 1 {
		t.Errorf("nodes were marked %d times", marked)
	}
	if got := p.current(); got != "Something new" {
		t.Errorf("phase %q", got)
	}
}

func FuzzParsePhase(f *testing.F) {
	f.Add(" • Starting control-plane 🕹️  ...\n")
	f.Add(" ✓ ")
	f.Fuzz(func(t *testing.T, line string) {
		if mark, text := parsePhase(line); mark == chatter && len(text) > len(line) {
			t.Errorf("%q grew to %q", line, text)
		}
	})
}
