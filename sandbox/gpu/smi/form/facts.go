package form

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// Facts are the forms of one machine's output, by name: "fields", "header",
// "report", "table" and "elements".
type Facts map[string][]string

// order is that of a file of facts.
var order = []string{"fields", "header", "report", "table", "elements"}

// Titles of a capture's sections.
const (
	TitleVersion = "capabilities :: version"
	TitleFields  = "capabilities :: help-query-gpu"
	TitleApps    = "capabilities :: help-query-compute-apps"
	TitleList    = "capabilities :: list (-L)"
	TitleTable   = "nvidia-smi (default table)"
	TitleReport  = "query (-q)"
	TitleCSV     = "query-gpu (csv, what the exporter parses)"
	TitleAppsCSV = "query-compute-apps (per-process)"
)

// Of takes the facts from a capture: sections of text, or a document of
// nvidia-smi -q -x.
func Of(capture string) (Facts, error) {
	if strings.HasPrefix(capture, "<?xml") {
		elements, err := Elements(capture)
		return Facts{"elements": elements}, err
	}
	f := Facts{}
	for name, s := range map[string]struct {
		title string
		take  func(string) []string
	}{
		"fields": {TitleFields, Fields},
		"header": {"idle :: " + TitleCSV, Header},
		"report": {"idle :: " + TitleReport, Report},
		"table":  {"idle :: " + TitleTable, Table},
	} {
		text, err := Section(capture, s.title)
		if err != nil {
			return nil, err
		}
		f[name] = s.take(text)
	}
	return f, nil
}

// Write writes facts, each kind under its name in brackets.
func (f Facts) Write(w io.Writer) error {
	for _, name := range order {
		if len(f[name]) == 0 {
			continue
		}
		if _, err := fmt.Fprintf(w, "[%s]\n%s\n", name, strings.Join(f[name], "\n")); err != nil {
			return fmt.Errorf("write facts: %w", err)
		}
	}
	return nil
}

// Read reads what Write wrote.
func Read(r io.Reader) (Facts, error) {
	f, name := Facts{}, ""
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]") {
			name = strings.Trim(line, "[]")
			continue
		}
		f[name] = append(f[name], line)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read facts: %w", err)
	}
	return f, nil
}
