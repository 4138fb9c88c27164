package catalog

import (
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// take returns a kustomization whose components have entry, in place of
// another form of the same component where there is one. Positions come from
// the parsed document and the text around them stays as it is, byte for byte:
// an encoder would drop blank lines and spell lists its own way.
func take(kustomization []byte, entry string) ([]byte, error) {
	before, list, err := componentsOf(kustomization)
	if err != nil {
		return nil, err
	}
	if slices.Contains(before, entry) {
		return kustomization, nil
	}
	edit := editor{text: string(kustomization)}
	want := append(slices.Clone(before), entry)
	if i := slices.IndexFunc(before, func(old string) bool { return path.Dir(path.Clean(old)) == path.Dir(entry) }); i >= 0 {
		want = slices.Clone(before)
		want[i] = entry
		edit.replace(list.Content[i], entry)
	} else {
		edit.add(list, entry)
	}
	// What was meant is what a parser finds, or nothing is done.
	after, _, err := componentsOf([]byte(edit.text))
	if err != nil || !slices.Equal(after, want) {
		return nil, errors.Join(fmt.Errorf("add %q to its components: by hand, please", entry), err)
	}
	return []byte(edit.text), nil
}

// componentsOf returns the components of a kustomization and their node, nil
// where it names none.
func componentsOf(kustomization []byte) ([]string, *yaml.Node, error) {
	doc, err := yaml.Parse(string(kustomization))
	switch {
	case errors.Is(err, io.EOF): // comments at most
		return nil, nil, nil
	case err != nil:
		return nil, nil, err
	case doc.IsNilOrEmpty():
		return nil, nil, nil
	}
	if doc.YNode().Kind != yaml.MappingNode {
		return nil, nil, errors.New("no kustomization: want fields and values")
	}
	field := doc.Field("components")
	if field == nil {
		return nil, nil, nil
	}
	node := field.Value.YNode()
	if field.Value.IsNil() || node.Tag == yaml.NodeTagNull {
		return nil, nil, errors.New("components: is empty; remove the line")
	}
	if node.Kind != yaml.SequenceNode {
		return nil, nil, errors.New("components: want a list")
	}
	list := []string{}
	for _, item := range node.Content {
		if item.Kind != yaml.ScalarNode {
			return nil, nil, errors.New("components: want a list of folders")
		}
		list = append(list, item.Value)
	}
	return list, node, nil
}

// editor changes a text at the positions of its nodes.
type editor struct{ text string }

// offset is where a node begins. Columns count characters, from 1.
func (e *editor) offset(n *yaml.Node) int {
	at := 0
	for range n.Line - 1 {
		at += strings.IndexByte(e.text[at:], '\n') + 1
	}
	for range n.Column - 1 {
		if at < len(e.text) {
			_, size := utf8.DecodeRuneInString(e.text[at:])
			at += size
		}
	}
	return at
}

func (e *editor) replace(n *yaml.Node, entry string) {
	at := e.offset(n)
	old := n.Value
	switch n.Style {
	case yaml.DoubleQuotedStyle:
		old = `"` + old + `"`
	case yaml.SingleQuotedStyle:
		old = "'" + old + "'"
	}
	if strings.HasPrefix(e.text[at:], old) {
		e.text = e.text[:at] + entry + e.text[at+len(old):]
	}
}

func (e *editor) add(list *yaml.Node, entry string) {
	switch {
	case list == nil:
		if e.text != "" && !strings.HasSuffix(e.text, "\n") {
			e.text += "\n"
		}
		e.text += "components:\n- " + entry + "\n"
	case list.Style&yaml.FlowStyle != 0:
		from, comma := e.offset(list), ""
		if n := len(list.Content); n > 0 {
			from, comma = e.offset(list.Content[n-1]), ", "
		}
		if end := strings.IndexByte(e.text[from:], ']'); end >= 0 {
			e.text = e.text[:from+end] + comma + entry + e.text[from+end:]
		}
	default: // a line after the last, as far in as that one
		at := e.offset(list.Content[len(list.Content)-1])
		start := strings.LastIndexByte(e.text[:at], '\n') + 1
		indent := e.text[start:at]
		end := len(e.text)
		if i := strings.IndexByte(e.text[at:], '\n'); i >= 0 {
			end = at + i + 1
		} else {
			e.text += "\n"
			end++
		}
		e.text = e.text[:end] + indent + entry + "\n" + e.text[end:]
	}
}
