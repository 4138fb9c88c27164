package status

import (
	"bytes"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// Clean returns what a terminal would show of a line in the end: after the
// last carriage return, as progress bars use it, and without control
// characters and sequences other than colours.
func Clean(line string) string {
	if strings.IndexFunc(line, isControl) < 0 {
		return line
	}
	line = strings.TrimRight(line, "\r\n")
	line = line[strings.LastIndexByte(line, '\r')+1:]
	var out strings.Builder
	coloured := false
	var state byte
	for len(line) > 0 {
		sequence, _, n, next := ansi.DecodeSequence(line, state, nil)
		switch {
		case isColour(sequence):
			out.WriteString(sequence)
			coloured = true
		case sequence == "\t", strings.IndexFunc(sequence, isControl) < 0:
			out.WriteString(sequence)
		}
		line, state = line[n:], next
	}
	if coloured {
		out.WriteString(ansi.ResetStyle)
	}
	return out.String()
}

// isControl tells C0, DEL and C1, but for the tabulator.
func isControl(r rune) bool {
	return r < ' ' && r != '\t' || r >= 0x7f && r < 0xa0
}

// isColour tells whether a sequence is SGR (ECMA-48, 8.3.117).
func isColour(sequence string) bool {
	parameters, found := strings.CutPrefix(sequence, "\x1b[")
	parameters, ends := strings.CutSuffix(parameters, "m")
	return found && ends && strings.Trim(parameters, "0123456789;:") == ""
}

// cleanLines cleans whole lines; each ends with a newline.
func cleanLines(text []byte) []byte {
	var out bytes.Buffer
	for line := range bytes.Lines(text) {
		out.WriteString(Clean(strings.TrimSuffix(string(line), "\n")))
		out.WriteByte('\n')
	}
	return out.Bytes()
}
