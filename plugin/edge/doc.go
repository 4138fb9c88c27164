// Package edge makes a folder that runs a model on a device without
// containers: the code, the model, and what starts them with plain Python.
//
//	NAME/app/          the code, of the same digest as the bundle's
//	NAME/model/FILE    the model, byte for byte
//	NAME/run.sh        starts a program of the code with the model beside it
//	NAME/NAME.service  a systemd unit for the folder at /opt/NAME
//	NAME/edge.json     digests of both, and what is started
//	NAME/SHA256SUMS    of all files, for sha256sum --check
//
// Invariants:
//   - The same code, model and start are the same bytes: of every file, of the
//     archive, and so of the OCI artifact, whose one layer the archive is.
//   - A file that is saved while it is packed is an error, never half of each.
//   - What stands at the place is replaced only when a former run wrote it.
package edge

import "fmt"

// NameError says that a variable cannot be given to a program by a shell and
// by systemd.
type NameError struct{ Name string }

func (e *NameError) Error() string {
	return fmt.Sprintf("environment variable %q is none that a shell can set", e.Name)
}

// ForeignError says that something stands at the place that was not written
// here.
type ForeignError struct{ Path string }

func (e *ForeignError) Error() string { return e.Path + " was not written by kubectl ai edge" }

// NoProgramError says that nothing says what the device runs.
type NoProgramError struct{ Environment string }

func (e *NoProgramError) Error() string {
	return fmt.Sprintf("environment %s has no container of stage serve that starts Python", e.Environment)
}

// ModelError says that the model cannot be read.
type ModelError struct {
	Path string
	Err  error
}

func (e *ModelError) Error() string { return fmt.Sprintf("read the model %s: %v", e.Path, e.Err) }
func (e *ModelError) Unwrap() error { return e.Err }
