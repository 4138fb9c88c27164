package image

import (
	"errors"
	"fmt"
	"io/fs"
)

// NoPayloadError says that this build of kubectl ai does not carry a Linux
// program that it would need.
type NoPayloadError struct{ Name string }

func (e *NoPayloadError) Error() string {
	return fmt.Sprintf("this build carries no Linux binaries: %s is missing", e.Name)
}

// Payload opens a Linux program that travels in kubectl ai. It returns
// *NoPayloadError.
func Payload(programs fs.FS, arch, program string) (fs.File, error) {
	name := "linux-" + arch + "/" + program
	if programs == nil {
		return nil, &NoPayloadError{Name: name}
	}
	f, err := programs.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &NoPayloadError{Name: name}
	}
	if err != nil {
		return nil, fmt.Errorf("open program %s: %w", name, err)
	}
	return f, nil
}
