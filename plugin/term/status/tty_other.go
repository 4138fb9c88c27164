//go:build !linux && !darwin

package status

import "os"

// tty is a terminal that this package does not know: dev prints plain lines.
type tty struct{}

func openTTY(*os.File) (*tty, error) { return nil, ErrUnfit }

func (t *tty) ours() bool  { return false }
func (t *tty) restore()    {}
func (t *tty) serve(*Line) {}
