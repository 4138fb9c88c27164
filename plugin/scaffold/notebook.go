package scaffold

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// notebook is what of a notebook counts (nbformat 4).
type notebook struct {
	Cells []struct {
		Type   string          `json:"cell_type"`
		Source json.RawMessage `json:"source"` // a text, or a list of lines
	} `json:"cells"`
}

// ParseNotebook returns the code of a notebook's cells as a script, and the
// lines that are no Python: IPython's magics and shell commands. Its errors
// are *SyntaxError.
func ParseNotebook(file string, raw []byte) (code string, magics []string, err error) {
	var n notebook
	if err := json.Unmarshal(raw, &n); err != nil {
		return "", nil, &SyntaxError{File: file, Msg: "no notebook: " + err.Error()}
	}
	var out strings.Builder
	for i, cell := range n.Cells {
		if cell.Type != "code" {
			continue
		}
		var lines []string
		if err := json.Unmarshal(cell.Source, &lines); err != nil {
			var text string
			if err := json.Unmarshal(cell.Source, &text); err != nil {
				return "", nil, &SyntaxError{File: file, Msg: fmt.Sprintf("cell %d: source is neither text nor lines", i+1)}
			}
			lines = []string{text}
		}
		for line := range strings.SplitSeq(strings.Join(lines, ""), "\n") {
			if trimmed := strings.TrimSpace(line); strings.HasPrefix(trimmed, "%") || strings.HasPrefix(trimmed, "!") {
				magics = append(magics, fmt.Sprintf("cell %d: %s", i+1, trimmed))
				continue
			}
			out.WriteString(line + "\n")
		}
	}
	return out.String(), magics, nil
}

// onlyNotebooks says what a project of notebooks takes to be a bundle.
func (s *survey) onlyNotebooks() error {
	e := &NotebookError{Notebooks: s.notebooks}
	for _, name := range s.notebooks {
		raw, err := fs.ReadFile(s.fsys, name)
		if err != nil {
			return fmt.Errorf("read the project: %w", err)
		}
		code, magics, err := ParseNotebook(name, raw)
		if err != nil {
			return err
		}
		for _, m := range magics {
			e.Magics = append(e.Magics, name+" "+m)
		}
		for _, p := range s.packages(uses{readScript(name, []byte(code))}) {
			if !slices.Contains(e.Needs, p.Name) {
				e.Needs = append(e.Needs, p.Name)
			}
		}
	}
	return e
}
