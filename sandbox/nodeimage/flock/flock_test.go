//go:build unix

package flock

import (
	"context"
	"errors"
	"testing"
)

func TestTheSecondWaitsForTheFirst(t *testing.T) {
	t.Parallel()
	dir := t.TempDir() + "/cache"
	first, err := Lock(t.Context(), dir, func() { t.Error("nobody has the lock") })
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan struct{}, 2)
	got := make(chan error, 1)
	go func() {
		unlock, err := Lock(t.Context(), dir, func() { told <- struct{}{} })
		if err == nil {
			unlock()
		}
		got <- err
	}()
	<-told
	select {
	case err := <-got:
		t.Fatalf("it did not wait: %v", err)
	default:
	}
	first()
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	if len(told) > 0 {
		t.Error("it told twice")
	}
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	unlock, err := Lock(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	cause := errors.New("Ctrl-C")
	ctx, cancel := context.WithCancelCause(t.Context())
	if _, err := Lock(ctx, dir, func() { cancel(cause) }); !errors.Is(err, cause) {
		t.Errorf("got %v, want the cause", err)
	}
}
