package command

import (
	"context"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/metric/trainer"
	"github.com/kubectl-ai/kubectl-ai/plugin/run"
)

// endpointStarts is how long a progress endpoint that was just applied may take
// to start: an image is loaded already. Chosen.
const endpointStarts = time.Minute

// endpoint waits until the namespace's progress endpoint has been there once. A
// run goes without it from then on: whether it answers is the code's to bear,
// in production too. It returns a *run.EndpointError.
func (r *runSet) endpoint(ctx context.Context) (*trainer.Identity, error) {
	until := time.Now().Add(endpointStarts)
	for {
		identity, err := r.store.Identity(ctx)
		switch {
		case identity != nil || err != nil:
			return identity, err
		case time.Now().After(until):
			return nil, &run.EndpointError{Namespace: r.namespace}
		}
		if err := breathe(ctx); err != nil {
			return nil, err
		}
	}
}
