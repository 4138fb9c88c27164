// Package form takes the values out of what nvidia-smi prints and leaves the
// form: names of fields and their units, labels, elements, columns. A
// simulated tool is compared with a real one by it, and sandbox/gpu/smi/facts
// keeps the forms of real machines as facts.
//
// What a value decides is not part of the form: how many clocks a board
// supports, and how many MIG devices and processes there are. Of elements that
// repeat, one is kept.
package form

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// Section returns what a command printed, of a capture that holds several
// under titles such as "idle :: query (-q)".
func Section(capture, title string) (string, error) {
	_, rest, ok := strings.Cut(capture, "\n# "+title+"\n")
	if !ok {
		return "", fmt.Errorf("the capture has no section %q", title)
	}
	_, rest, _ = strings.Cut(rest, "####\n")
	body, _, _ := strings.Cut(rest, "\n\n####")
	return strings.TrimRight(body, "\n") + "\n", nil
}

var quoted = regexp.MustCompile(`"([^"]+)"`)

// Fields returns the fields that --help-query-… lists: the names of each,
// joined by blanks.
func Fields(help string) []string {
	var fields []string
	for line := range strings.Lines(help) {
		if !strings.HasPrefix(line, `"`) || !strings.HasSuffix(line, "\"\n") {
			continue // a description, which may begin with a quoted value
		}
		var names []string
		for _, match := range quoted.FindAllStringSubmatch(line, -1) {
			if !slices.Contains(names, match[1]) {
				names = append(names, match[1])
			}
		}
		fields = append(fields, strings.Join(names, " "))
	}
	return fields
}

// Header returns the columns of a query's CSV, with their units.
func Header(csv string) []string {
	line, _, _ := strings.Cut(csv, "\n")
	return strings.Split(line, ", ")
}

var (
	labelled = regexp.MustCompile(`^(.*?)( *): .*$`)
	board    = regexp.MustCompile(`^GPU [0-9A-F]{8}:.*$`)
)

// Report returns the lines of -q with "*" for a value. Processes and MIG
// devices beyond the first are left out.
func Report(text string) []string {
	var lines []string
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		switch {
		case board.MatchString(line):
			line = "GPU *"
		case labelled.MatchString(line):
			line = labelled.ReplaceAllString(line, "$1$2: *")
		}
		lines = append(lines, line)
	}
	return unrepeated(unrepeated(lines, "    MIG Device"), "        GPU instance ID")
}

// unrepeated drops the blocks after the first that begin with a line, up to
// the next line that is not deeper than it, or begins another.
func unrepeated(lines []string, first string) []string {
	var kept []string
	seen, dropping := false, false
	depth := len(first) - len(strings.TrimLeft(first, " "))
	for _, line := range lines {
		begins := strings.HasPrefix(line, first)
		indent := len(line) - len(strings.TrimLeft(line, " "))
		switch {
		case begins && seen:
			dropping = true
		case begins:
			seen = true
		case dropping && (indent < depth || line == "" || indent == depth && depth == 4):
			dropping = false
		}
		if !dropping {
			kept = append(kept, line)
		}
	}
	return kept
}

// digits are a number with the blanks that align it.
var digits = regexp.MustCompile(` *[0-9]+`)

// Table returns the lines of a table with "#" for the columns of numbers. Its
// first line is a time.
func Table(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if len(lines) == 0 {
			lines = append(lines, fmt.Sprintf("time, %d columns", len(line)))
			continue
		}
		lines = append(lines, digits.ReplaceAllStringFunc(line, func(s string) string { return strings.Repeat("#", len(s)) }))
	}
	return lines
}

// Elements returns the paths of a document's elements, in order; of siblings
// of one name, one.
func Elements(document string) ([]string, error) {
	d := xml.NewDecoder(strings.NewReader(document))
	var (
		path  []string
		paths []string
		seen  = map[string]bool{}
	)
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return paths, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the report: %w", err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			path = append(path, token.Name.Local)
			for _, a := range token.Attr {
				path[len(path)-1] += "@" + a.Name.Local
			}
			if p := strings.Join(path, "/"); !seen[p] {
				seen[p] = true
				paths = append(paths, p)
			}
		case xml.EndElement:
			path = path[:len(path)-1]
		}
	}
}
