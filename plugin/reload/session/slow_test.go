package session_test

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/session"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/wire"
)

// slowRank takes a frame each pause and answers nothing before the last.
func slowRank(stream net.Conn, pause time.Duration) {
	defer func() { _ = stream.Close() }()
	in, out := wire.NewReader(stream), wire.NewWriter(stream)
	for {
		m, err := in.Read()
		if err != nil {
			return
		}
		switch m := m.(type) {
		case *wire.Hello:
			err = out.Send(&wire.Welcome{Version: wire.MaxVersion})
		case *wire.Prepare:
			time.Sleep(pause)
			if !m.More {
				err = out.Send(&wire.Staged{Generation: m.Generation, Digest: m.Root}, &wire.Running{Receipt: wire.Receipt{Generation: m.Generation, TreeDigest: m.Root}})
			}
		}
		if err != nil {
			return
		}
	}
}

// A first delivery over a slow line, or to a slow disk, takes longer than a
// silent rank is waited for.
func TestARankThatTakesALargeDeliveryIsNotLost(t *testing.T) {
	const pause, lost = 200 * time.Millisecond, 500 * time.Millisecond
	dir := t.TempDir()
	content := make([]byte, 8<<20) // some 10 frames, 4 times as long as lost
	_, _ = rand.NewChaCha8([32]byte{}).Read(content)
	if err := os.WriteFile(filepath.Join(dir, "large"), content, 0o644); err != nil {
		t.Fatal(err)
	}
	index, err := tree.Scan(t.Context(), dir, tree.Options{})
	if err != nil {
		t.Fatal(err)
	}
	dial := func(context.Context, session.Rank) (io.ReadWriteCloser, error) {
		laptop, rank := net.Pipe()
		go slowRank(rank, pause)
		return laptop, nil
	}
	outcome := make(chan error, 10)
	gang := session.NewGang(dial, "test", session.Events{
		Delivered: func(session.Delivery) { outcome <- nil },
		Refused:   func(_ *session.Version, err error) { outcome <- err },
		Lost:      func(_ session.Rank, err error) { outcome <- err },
	})
	gang.Heartbeat.Every, gang.Heartbeat.Lost = lost/3, lost
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	done := make(chan error, 1)
	go func() { done <- gang.Run(ctx) }()
	gang.Add(ctx, session.Rank{ID: "0"})
	gang.Publish(ctx, session.NewVersion(dir, index, session.NewCache(1<<20)))
	start := time.Now()
	if err := <-outcome; err != nil {
		t.Errorf("%v, after %v", err, time.Since(start))
	} else if took := time.Since(start); took < 2*lost {
		t.Errorf("the delivery took %v: too short to tell", took)
	}
	cancel()
	<-done
}
