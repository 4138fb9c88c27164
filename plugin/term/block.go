package term

import (
	"bytes"
	"io"
	"os"

	"github.com/charmbracelet/x/ansi"
	"golang.org/x/term"
)

// Block is some lines of a terminal that are drawn over again. It has no alternate
// screen: what was drawn last stays when the program ends. It is not safe for
// concurrent use.
type Block struct {
	out   io.Writer
	size  func() (width, height int)
	drawn []int // widths of the lines on the screen, in cells
}

// NewBlock returns a Block on the stream that data goes to, if that is a
// terminal that can be redrawn.
func NewBlock(s Streams) (*Block, bool) {
	f, ok := s.Out.(*os.File)
	if !ok || !isTerminal(f) || os.Getenv("TERM") == "dumb" {
		return nil, false
	}
	return &Block{out: f, size: func() (int, int) {
		width, height, err := term.GetSize(int(f.Fd()))
		if err != nil || width <= 0 || height <= 0 {
			return 80, 24
		}
		return width, height
	}}, true
}

// Width is how many cells a line has.
func (b *Block) Width() int {
	width, _ := b.size()
	return width
}

// Draw replaces the lines on the screen. Those that are too wide are cut; so is
// what is below the last row of the terminal, since what has scrolled away
// cannot be drawn over.
func (b *Block) Draw(lines []string) error {
	width, height := b.size()
	var out bytes.Buffer
	// A terminal that became narrower since has wrapped what was wider.
	rows := 0
	for _, w := range b.drawn {
		rows += max(1, (w+width-1)/width)
	}
	if rows > 0 {
		out.WriteString("\r" + ansi.CursorUp(rows))
	}
	out.WriteString(ansi.EraseScreenBelow)
	if most := max(height-1, 1); len(lines) > most {
		lines = append(append([]string{}, lines[:most-1]...), "…")
	}
	b.drawn = b.drawn[:0]
	for _, line := range lines {
		line = ansi.Truncate(line, width, "…")
		b.drawn = append(b.drawn, ansi.StringWidth(line))
		out.WriteString(line + ansi.ResetStyle + "\r\n")
	}
	_, err := b.out.Write(out.Bytes())
	return err
}
