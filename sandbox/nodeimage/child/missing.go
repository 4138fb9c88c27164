package child

import (
	"fmt"
	"os/exec"
	"strings"
)

// Need is something that must be on this machine before work begins.
type Need struct {
	Name    string // "debootstrap"
	For     string // "the Debian root"
	Install string // the command that brings it
}

// MissingError says what is not there, all of it at once.
type MissingError struct{ Needs []Need }

func (e *MissingError) Error() string {
	parts := make([]string, len(e.Needs))
	for i, n := range e.Needs {
		parts[i] = fmt.Sprintf("%s (for %s)", n.Name, n.For)
	}
	return "missing on this machine: " + strings.Join(parts, ", ")
}

// Found says whether a program is on the PATH.
func Found(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}
