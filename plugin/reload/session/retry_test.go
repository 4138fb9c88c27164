package session_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/session"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/wire"
)

func TestRetry(t *testing.T) {
	t.Parallel()
	busy := &wire.BusyError{}
	restarting := errors.New("unable to upgrade connection: container not found")
	for _, c := range []struct {
		name  string
		limit time.Duration
		reach func(try int) error
		tries int
		want  []error // nil: none
	}{
		{"a container that restarts", time.Minute, func(try int) error {
			if try < 4 {
				return restarting
			}
			return nil
		}, 4, nil},
		{"one that does not come", time.Minute, func(int) error { return restarting }, 10, []error{restarting}},
		{"time is up", time.Second, func(int) error { return restarting }, 5, []error{restarting, context.DeadlineExceeded}},
		{"what is permanent", time.Minute, func(int) error { return fmt.Errorf("exec: %w", forbidden{}) }, 1, []error{forbidden{}}},
		{"an agent that has another client", time.Minute, func(int) error { return busy }, 1, []error{busy}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), c.limit)
				defer cancel()
				tries := 0
				err := session.Retry(ctx, func() error { tries++; return c.reach(tries) })
				if tries != c.tries || (err == nil) != (c.want == nil) {
					t.Errorf("%d tries, %v", tries, err)
				}
				for _, want := range c.want {
					if !errors.Is(err, want) {
						t.Errorf("err = %v, want %v", err, want)
					}
				}
			})
		})
	}
}

// A rank whose container restarts is verified once it is there again.
func TestVerifyDialsAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dials := 0
		dial := func(context.Context, session.Rank) (io.ReadWriteCloser, error) {
			if dials++; dials < 3 {
				return nil, errors.New("no agent listens")
			}
			return nil, forbidden{}
		}
		if _, err := session.Verify(t.Context(), dial, session.Rank{ID: "0"}); !errors.Is(err, forbidden{}) || dials != 3 {
			t.Errorf("%d dials, %v", dials, err)
		}
	})
}
