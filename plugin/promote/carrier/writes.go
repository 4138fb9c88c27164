package carrier

import "context"

// Writes asks what programs of the bundle wrote below the mount path while the
// code ran under dev; paths are as the program knows them. An error says that
// nobody could be asked. A carrier that is read-only in production refuses
// both.
type Writes func(ctx context.Context) ([]string, error)

func (w Writes) check(ctx context.Context, format string) error {
	if w == nil {
		return nil
	}
	paths, err := w(ctx)
	if err != nil {
		return &UnaskedError{Format: format, Err: err}
	}
	if len(paths) > 0 {
		return &WrittenError{Format: format, Paths: paths}
	}
	return nil
}
