package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

func TestRetry(t *testing.T) {
	t.Parallel()
	interrupted := errors.New("interrupted")
	command := func(n int) error {
		return fmt.Errorf("try %d: %w", n, &CommandError{Command: "docker exec", Err: io.EOF})
	}
	for _, c := range []struct {
		name  string
		limit time.Duration
		try   func(n int, stop context.CancelCauseFunc) error
		tries int
		says  string // "": nothing
	}{
		{"a command that fails at first", time.Minute, func(n int, _ context.CancelCauseFunc) error {
			if n < 3 {
				return command(n)
			}
			return nil
		}, 3, ""},
		{"the last error is told", time.Second, func(n int, _ context.CancelCauseFunc) error { return command(n) }, 4, "try 4: docker exec: EOF"},
		{"no time at all is one try", 0, func(n int, _ context.CancelCauseFunc) error { return command(n) }, 1, "try 1: docker exec: EOF"},
		{"what is no command's failure", time.Minute, func(int, context.CancelCauseFunc) error { return io.ErrUnexpectedEOF }, 1, "unexpected EOF"},
		{"an interruption", time.Minute, func(n int, stop context.CancelCauseFunc) error { stop(interrupted); return command(n) }, 1, "interrupted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithCancelCause(t.Context())
				defer stop(nil)
				tries, end := 0, time.Now().Add(c.limit)
				err := Retry(ctx, c.limit, func(left time.Duration) error {
					if tries++; left != max(time.Second, time.Until(end).Round(time.Second)) {
						t.Errorf("%v are said to be left of %v", left, time.Until(end))
					}
					return c.try(tries, stop)
				})
				says := ""
				if err != nil {
					says = err.Error()
				}
				if says != c.says || tries != c.tries {
					t.Errorf("%d tries, %q", tries, says)
				}
			})
		})
	}
}
