package logs

import "fmt"

// NoRunError says that no run is known whose logs could be shown.
type NoRunError struct{ Project, Namespace string }

func (e *NoRunError) Error() string {
	return fmt.Sprintf("no run of %s in namespace %s yet, and no copy of one's logs on this machine", e.Project, e.Namespace)
}

// GoneError says that the pods of a run are gone and nothing that they said was
// kept on this machine.
type GoneError struct{ Run, Namespace string }

func (e *GoneError) Error() string {
	return fmt.Sprintf("the pods of run %s in namespace %s are gone, and nobody read their logs on this machine", e.Run, e.Namespace)
}

// NoPreviousError says that no rank was restarted.
type NoPreviousError struct{ Run string }

func (e *NoPreviousError) Error() string {
	return fmt.Sprintf("no rank of run %s is known to have been restarted", e.Run)
}
