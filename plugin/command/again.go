package command

import (
	"context"
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kubectl-ai/kubectl-ai/plugin/run"
)

// passes says whether a request that failed may go well when it is made again:
// an API server that restarts, a laptop that slept, a log that was cut off. One
// that was refused, or whose record is not there or cannot be read, does not.
func passes(ctx context.Context, err error) bool {
	var none *run.NotFoundError
	var newer *run.NewerError
	var damaged *run.DamagedError
	switch {
	case ctx.Err() != nil, errors.As(err, &none), errors.As(err, &newer), errors.As(err, &damaged):
		return false
	}
	return !isForbidden(err) && !apierrors.IsUnauthorized(err) && !apierrors.IsInvalid(err) && !apierrors.IsRequestEntityTooLargeError(err)
}

// complaints are the errors that somebody who waits was told of.
type complaints map[string]bool

// told says an error, once, where what failed is tried again.
func (c complaints) told(err error, say func(format string, args ...any)) {
	if text := err.Error(); !c[text] {
		c[text] = true
		say("%s; trying again", text)
	}
}
