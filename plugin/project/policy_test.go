package project

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPolicies(t *testing.T) {
	p, err := Load(bundle(t, head+`reload:
  policies:
  - {paths: ["configs/**", "!configs/model.yaml"], action: signal, signal: sighup}
  - paths: [&docs "*.md"]
    action: none
  - {paths: [requirements.txt, Dockerfile], action: image}
  - {paths: [*docs], action: restart}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []Policy{
		{Paths: []string{"configs/**", "!configs/model.yaml"}, Action: ActionSignal, Signal: "HUP"},
		{Paths: []string{"*.md"}, Action: ActionNone},
		{Paths: []string{"requirements.txt", "Dockerfile"}, Action: ActionImage},
		{Paths: []string{"*.md"}, Action: ActionRestart},
	}
	if diff := cmp.Diff(want, p.Reload.Policies); diff != "" {
		t.Error(diff)
	}
}

func TestMistakesInPoliciesAreNamedWithTheirLine(t *testing.T) {
	for _, c := range []struct{ name, policies, want string }{
		{"no list", "{paths: [a], action: none}", ":4: reload.policies: want a list"},
		{"no map", "\n  - none", ":5: reload.policies[0]: want paths and an action"},
		{"no paths", "\n  - {action: none}", ":5: reload.policies[0].paths is missing"},
		{"one path without brackets", "\n  - {paths: a, action: none}", ":5: reload.policies[0].paths: want a list of patterns"},
		{"empty paths", "\n  - {paths: [], action: none}", ":5: reload.policies[0].paths: want a list of patterns"},
		{"a pattern that is a tag to YAML", "\n  - paths:\n    - '*.md'\n    - !a.md\n    action: none", ":7: reload.policies[0].paths: quote the pattern: \"!a.md\""},
		{"no action", "\n  - {paths: [a], action: none}\n  - {paths: [a]}", ":6: reload.policies[1].action is missing"},
		{"unknown action", "\n  - {paths: [a], action: reload}", ":5: reload.policies[0].action \"reload\""},
		{"no signal", "\n  - {paths: [a], action: signal}", ":5: reload.policies[0].signal is missing"},
		{"unknown signal", "\n  - {paths: [a], action: signal, signal: HOP}", ":5: reload.policies[0].signal \"HOP\""},
		{"a signal that no program hears", "\n  - {paths: [a], action: signal, signal: KILL}", ":5: reload.policies[0].signal \"KILL\""},
		{"a signal for nothing", "\n  - {paths: [a], action: none, signal: HUP}", ":5: reload.policies[0].signal is of action signal alone"},
		{"unknown field", "\n  - paths: [a]\n    action: none\n    when: now", ":7: reload.policies[0]: unknown field when"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Load(bundle(t, head+"reload:\n  policies: "+c.policies+"\n"))
			var mistake *FileError
			if !errors.As(err, &mistake) || !strings.Contains(err.Error(), FileName+c.want) {
				t.Errorf("err = %v, want it to contain %q", err, c.want)
			}
		})
	}
}
