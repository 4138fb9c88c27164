package term

import (
	"bytes"
	"io"
	"os"

	"github.com/charmbracelet/x/ansi"
	"golang.org/x/term"
)

// Width is how many columns a stream's terminal has; 0 is no terminal, where
// nothing is cut or wrapped.
func Width(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0
	}
	columns, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return columns
}

// Cut returns a writer that cuts lines at a width, so that rows of a table
// stay rows; 0 cuts nothing. What has no line end yet is kept until Close.
func Cut(w io.Writer, width int) io.WriteCloser { return &cutter{w: w, width: width} }

type cutter struct {
	w     io.Writer
	width int
	rest  []byte
}

func (c *cutter) Write(p []byte) (int, error) {
	if c.width <= 0 {
		return c.w.Write(p)
	}
	c.rest = append(c.rest, p...)
	for {
		line, rest, found := bytes.Cut(c.rest, []byte("\n"))
		if !found {
			return len(p), nil
		}
		c.rest = rest
		if err := c.line(line, "\n"); err != nil {
			return 0, err
		}
	}
}

func (c *cutter) line(line []byte, end string) error {
	_, err := io.WriteString(c.w, ansi.Truncate(string(line), c.width, "…")+end)
	return err
}

// Close writes what has no line end.
func (c *cutter) Close() error {
	if len(c.rest) == 0 {
		return nil
	}
	defer func() { c.rest = nil }()
	return c.line(c.rest, "")
}
