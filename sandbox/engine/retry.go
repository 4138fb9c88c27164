package engine

import (
	"context"
	"errors"
	"time"
)

// retryPause is the breath between two tries.
const retryPause = 250 * time.Millisecond

// Retry tries until it succeeds, for as long as what fails is a *CommandError
// and limit has not passed: a cluster that has just begun, or begins again,
// fails one command and does the next. It returns the last error, any other
// error at once, and the cause of ctx when that ends. A try is not cut short:
// it is told how much is left, a second at least, to bound its command by.
func Retry(ctx context.Context, limit time.Duration, try func(left time.Duration) error) error {
	end := time.Now().Add(limit)
	pause := time.NewTicker(retryPause)
	defer pause.Stop()
	for {
		err := try(max(time.Second, time.Until(end).Round(time.Second)))
		var failed *CommandError
		if !errors.As(err, &failed) || time.Until(end) <= retryPause {
			return err
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
