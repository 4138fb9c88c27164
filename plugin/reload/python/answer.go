package python

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// longest bounds a line that a helper sends, in bytes.
const longest = 4 << 10

// errTalk says that a helper does not keep to the conversation.
var errTalk = errors.New("it does not keep to the conversation")

func newLines(r io.Reader) *bufio.Reader { return bufio.NewReaderSize(r, longest) }

// line reads one line, without its end.
func line(r *bufio.Reader) (string, error) {
	raw, err := r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return "", fmt.Errorf("%w: a line of more than %d bytes", errTalk, longest)
	}
	if err != nil {
		return "", err
	}
	return strings.ToValidUTF8(string(raw[:len(raw)-1]), string(utf8.RuneError)), nil
}

// SyntaxError is the first place at which a file of Python does not compile.
type SyntaxError struct {
	Path    string // slash-separated, relative to the tree
	Line    int    // from 1
	Column  int    // from 1, in characters; 0: unknown
	Message string // the interpreter's own
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("%s:%d: %s", e.Path, e.Line, e.Message) }

// answers reads what a checker says to a request for paths, until it has said
// all, or err: what was found until then is true all the same.
func answers(r *bufio.Reader, number uint64, paths []string) (found []*SyntaxError, err error) {
	for {
		text, err := line(r)
		if err != nil {
			return found, err
		}
		id, rest, _ := strings.Cut(text, " ")
		if n, err := strconv.ParseUint(id, 10, 64); err != nil || n != number {
			return found, fmt.Errorf("%w: %q answers another request", errTalk, text)
		}
		if rest == "end" {
			return found, nil
		}
		fields := strings.SplitN(rest, " ", 4)
		if len(fields) != 4 {
			return found, fmt.Errorf("%w: %q", errTalk, text)
		}
		var numbers [3]int
		for i := range numbers {
			if numbers[i], err = strconv.Atoi(fields[i]); err != nil {
				return found, fmt.Errorf("%w: %q", errTalk, text)
			}
		}
		if numbers[0] < 0 || numbers[0] >= len(paths) || len(found) == len(paths) {
			return found, fmt.Errorf("%w: %q is of a file that nobody asked for", errTalk, text)
		}
		found = append(found, &SyntaxError{Path: paths[numbers[0]], Line: max(numbers[1], 1), Column: max(numbers[2], 0), Message: fields[3]})
	}
}
