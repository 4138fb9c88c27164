package session

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// tries are some ten seconds: a container that restarts is there again by then,
// and its agent listens.
const tries = 10

// Retry reaches for a rank up to ten times, since a pod that runs may have a
// container that does not yet, or an agent that does not listen yet. What is
// permanent ends it, as do an agent that refuses and one that is silent, which
// was waited for. It returns the last error, with the cause of ctx when that
// ended it.
func Retry(ctx context.Context, reach func() error) error {
	pause := 50 * time.Millisecond
	for try := 1; ; try++ {
		err := reach()
		var silent *silentError
		if err == nil || try == tries || isPermanent(err) || isRefused(err) || errors.As(err, &silent) {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			if cause := context.Cause(ctx); !errors.Is(err, cause) {
				err = fmt.Errorf("%w: %w", cause, err)
			}
			return err
		}
		pause = min(2*pause, 2*time.Second)
	}
}
