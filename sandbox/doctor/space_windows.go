package doctor

import "errors"

// FreeSpace has no answer: engines keep their data in a virtual machine here.
func FreeSpace(string) (uint64, error) { return 0, errors.ErrUnsupported }
