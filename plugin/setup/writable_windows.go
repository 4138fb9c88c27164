package setup

import (
	"errors"
	"os"
)

// writable says why no file can be made in a folder. Access lists do not tell
// on Windows; trying does.
func writable(dir string) error {
	f, err := os.CreateTemp(dir, "kubectl-ai")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}
