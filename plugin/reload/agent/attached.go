package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/supervise"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/wire"
)

// Attached says that the container runs without the agent: code is kept in
// the mount as ever, but no process is started or stopped. Whoever runs there
// finds each generation under the same paths, and is told by a signal.
type Attached struct {
	PID    int            // of the process that is told; 1 in a container
	Signal syscall.Signal // 0: nobody is told
	Name   string         // of the signal, such as HUP
}

// Names on the volume, besides those of generations.
const (
	lockFile = tree.Reserved + "/lock" // held by the agent that is connected
	toldFile = tree.Reserved + "/told" // the last generation that was told of
)

// errHeld says that another agent holds the volume.
var errHeld = errors.New("another client is attached")

// Attach opens the volume and serves one client on a stream until it goes.
// c.Attached is set.
func Attach(ctx context.Context, c Config, stream net.Conn) error {
	c.Heartbeat = c.Heartbeat.OrDefault()
	release, err := hold(ctx, c)
	if errors.Is(err, errHeld) {
		defer func() { _ = stream.Close() }()
		if _, err := wire.NewReader(stream).Read(); err != nil {
			return err
		}
		return wire.NewWriter(stream).Send(wire.Refuse(0, &wire.BusyError{Owner: "kubectl ai attach"}))
	}
	if err != nil {
		return err
	}
	defer release()
	a, err := New(c)
	if err != nil {
		return err
	}
	a.rest = time.AfterFunc(restAfter, debug.FreeOSMemory)
	defer a.rest.Stop()
	a.settle = time.AfterFunc(settleAfter, a.settleNow)
	defer a.settle.Stop()
	a.serve(ctx, stream)
	return nil
}

// hold takes the volume's lock, which the kernel frees with the process. An
// earlier stream of the same client may hold it until its silence is noticed;
// who holds it for longer is another one.
func hold(ctx context.Context, c Config) (release func(), err error) {
	path := filepath.Join(c.Mount, lockFile)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	patience := time.NewTimer(c.Heartbeat.Lost)
	defer patience.Stop()
	for {
		err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = lock.Close() }, nil
		}
		if errors.Is(err, unix.EWOULDBLOCK) {
			select {
			case <-tick.C:
				continue
			case <-patience.C:
				err = errHeld
			case <-ctx.Done():
				err = context.Cause(ctx)
			}
		}
		_ = lock.Close()
		return nil, err
	}
}

// tellLocked takes the place of a start: the current generation is under the
// paths of the mount. It is told of once; the caller holds the mutex.
func (a *Agent) tellLocked(m wire.Commit, received, staged time.Time) {
	number, digest := a.store.Current()
	a.receipt = &wire.Receipt{
		Generation: number, TreeDigest: digest, Run: m.Run,
		Pod: a.Pod, PodUID: a.PodUID, Container: a.Container, Rank: -1, CWD: a.Mount,
		Received: received, Staged: staged, Committed: time.Now(),
	}
	told, text := filepath.Join(a.Mount, toldFile), strconv.FormatUint(number, 10)
	if last, err := os.ReadFile(told); err == nil && string(last) == text {
		return
	}
	if a.Attached.Signal != 0 {
		if err := a.Attached.tell(); err != nil {
			if a.owner != nil {
				_ = a.owner.out.Send(&wire.Notice{Text: fmt.Sprintf("the code is there, and nobody was told: %v", err)})
			}
			return
		}
	}
	_ = os.WriteFile(told, []byte(text), 0o644)
}

// tell sends the signal. The kernel drops one that the first process of a
// container does not catch, and ends any other process by it.
func (t *Attached) tell() error {
	catches, err := supervise.Catches(t.PID, t.Signal)
	if err != nil {
		return err
	}
	if !catches {
		return fmt.Errorf("process %d does not catch SIG%s", t.PID, t.Name)
	}
	return syscall.Kill(t.PID, t.Signal)
}
