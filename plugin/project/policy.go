package project

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Actions of a policy.
const (
	ActionRestart = "restart" // the process restarts in the new code
	ActionSignal  = "signal"  // the process gets a signal
	ActionNone    = "none"    // the process is told nothing
	ActionImage   = "image"   // as none, and the user hears that the image has to be built
)

// Policy says what a save of some files does to the processes of ranks.
type Policy struct {
	Paths  []string // patterns in gitignore syntax, as seen from the code's folder
	Action string
	Signal string // of ActionSignal: its name without SIG
}

// signals are those that a program may wait for on Linux, where it runs.
var signals = []string{"HUP", "INT", "QUIT", "USR1", "USR2", "ALRM", "TERM", "CONT", "URG", "WINCH", "IO", "PWR"}

// policies are read field by field: each mistake has its line.
type policies []Policy

// UnmarshalYAML implements yaml.Unmarshaler.
func (p *policies) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind != yaml.SequenceNode {
		return fmt.Errorf("line %d: reload.policies: want a list such as [{paths: [configs/], action: none}]", node.Line)
	}
	for i, item := range node.Content {
		if item.Kind == yaml.AliasNode {
			item = item.Alias
		}
		policy, err := readPolicy(item, fmt.Sprintf("reload.policies[%d]", i))
		if err != nil {
			return err
		}
		*p = append(*p, policy)
	}
	return nil
}

func readPolicy(item *yaml.Node, at string) (p Policy, err error) {
	bad := func(node *yaml.Node, format string, args ...any) error {
		return fmt.Errorf("line %d: %s%s", node.Line, at, fmt.Sprintf(format, args...))
	}
	if item.Kind != yaml.MappingNode {
		return p, bad(item, ": want paths and an action")
	}
	for i := 0; i+1 < len(item.Content); i += 2 {
		key, value := item.Content[i], item.Content[i+1]
		switch key.Value {
		case "paths":
			if value.Kind != yaml.SequenceNode || len(value.Content) == 0 {
				return p, bad(value, ".paths: want a list of patterns")
			}
			for _, node := range value.Content {
				text, err := pattern(node)
				if err != nil {
					return p, bad(node, ".paths: %v", err)
				}
				p.Paths = append(p.Paths, text)
			}
		case "action":
			p.Action = value.Value
			if !slices.Contains([]string{ActionRestart, ActionSignal, ActionNone, ActionImage}, p.Action) {
				return p, bad(value, ".action %q: want restart, signal, none or image", p.Action)
			}
		case "signal":
			p.Signal = strings.TrimPrefix(strings.ToUpper(value.Value), "SIG")
			if !slices.Contains(signals, p.Signal) {
				return p, bad(value, ".signal %q: want one of %s", value.Value, strings.Join(signals, ", "))
			}
		default:
			return p, bad(key, ": unknown field %s", key.Value)
		}
	}
	switch {
	case p.Paths == nil:
		return p, bad(item, ".paths is missing")
	case p.Action == "":
		return p, bad(item, ".action is missing")
	case p.Action == ActionSignal && p.Signal == "":
		return p, bad(item, ".signal is missing, such as HUP")
	case p.Action != ActionSignal && p.Signal != "":
		return p, bad(item, ".signal is of action signal alone")
	}
	return p, nil
}
