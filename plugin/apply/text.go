package apply

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/pmezard/go-difflib/difflib"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// WriteDiff writes what changes as a unified diff, object by object. Values
// of Secrets are masked; fields that the server keeps are left out. Unchanged
// objects are not shown, and new ones that are like the first of their kind
// are counted.
func (p *Plan) WriteDiff(w io.Writer) error {
	like := map[string]int{}
	var kinds []string
	for _, c := range p.Changes {
		if c.Like {
			kind := Ref{Group: c.Ref.Group, Kind: c.Ref.Kind, Namespace: c.Ref.Namespace, Name: "…"}.String()
			if like[kind]++; like[kind] == 1 {
				kinds = append(kinds, kind)
			}
			continue
		}
		text, err := p.text(c)
		if err != nil {
			return fmt.Errorf("show %s: %w", c.Ref, err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			return err
		}
	}
	for _, kind := range kinds {
		if _, err := fmt.Fprintf(w, "create %d more of %s, like the first\n", like[kind], kind); err != nil {
			return err
		}
	}
	return nil
}

func (p *Plan) text(c Change) (string, error) {
	if c.Action == Unchanged {
		return "", nil
	}
	var head bytes.Buffer
	fmt.Fprintf(&head, "%s %s", c.Action, c.Ref)
	switch {
	case c.Reason != "":
		fmt.Fprintf(&head, " (%s)", c.Reason)
	case c.Unverified != "":
		fmt.Fprintf(&head, " (%s)", c.Unverified)
	case len(c.Immutable) > 0:
		fmt.Fprintf(&head, " (%s cannot change in place)", strings.Join(c.Immutable, ", "))
	case c.Inherits:
		head.WriteString(" (fields that kubectl apply set and the bundle does not have are removed)")
	}
	head.WriteByte('\n')
	if c.Former() {
		return head.String(), nil
	}
	after := c.Result
	if after == nil {
		after = c.Want
	}
	from, err := p.lines(c.Live)
	if err != nil {
		return "", err
	}
	to, err := p.lines(after)
	if err != nil {
		return "", err
	}
	diff, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
		A: from, B: to, FromFile: "live", ToFile: "promoted", Context: 3,
	})
	if err != nil {
		return "", err
	}
	return head.String() + diff + "\n", nil
}

func (p *Plan) lines(obj *unstructured.Unstructured) ([]string, error) {
	if obj == nil {
		return nil, nil
	}
	raw, err := yaml.Marshal(significant(p.mask.Object(obj)))
	if err != nil {
		return nil, err
	}
	return difflib.SplitLines(strings.TrimSuffix(string(raw), "\n")), nil
}
