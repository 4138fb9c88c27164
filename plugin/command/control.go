package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/wire"
)

// controlRequest is what another command asks of a dev that runs on this
// machine, as one line of JSON on its socket.
type controlRequest struct {
	Back    uint64        `json:"back"`    // deliver this generation once more
	Timeout time.Duration `json:"timeout"` // ns, how long all ranks may take
}

// controlAnswer is the line that comes back.
type controlAnswer struct {
	Error    string         `json:"error,omitempty"`
	Receipts []wire.Receipt `json:"receipts,omitempty"`
}

// controlSocket returns where dev listens. The name is short, because a
// socket's path is bounded to about a hundred bytes.
func controlSocket(f *Factory, r *rendered, context string) (string, error) {
	cache, err := f.Cache()
	if err != nil {
		return "", err
	}
	path := filepath.Join(cache, "run", place(r, context)+".sock")
	if len(path) > 100 {
		path = filepath.Join(os.TempDir(), fmt.Sprintf("kubectl-ai-%d-%s.sock", os.Getuid(), place(r, context)))
	}
	return path, os.MkdirAll(filepath.Dir(path), 0o700)
}

// serveControl answers requests until ctx ends. That it cannot listen costs
// nothing but the convenience, and is said.
func serveControl(ctx context.Context, path string, answer func(context.Context, controlRequest) controlAnswer) error {
	if conn, err := net.Dial("unix", path); err == nil {
		_ = conn.Close()
		return nil // a dev that runs holds the ranks; this one is refused there
	}
	_ = os.Remove(path) // of a dev that was killed
	listener, err := net.Listen("unix", path)
	if err != nil {
		return fmt.Errorf("listen for kubectl ai back: %w", err)
	}
	defer context.AfterFunc(ctx, func() { _ = listener.Close() })()
	defer func() { _ = listener.Close() }()
	var requests sync.WaitGroup
	defer requests.Wait()
	for {
		conn, err := listener.Accept()
		if err != nil {
			return nil
		}
		requests.Go(func() {
			defer func() { _ = conn.Close() }()
			_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
			defer context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Now()) })() // the answer still goes out
			var request controlRequest
			if json.NewDecoder(conn).Decode(&request) == nil {
				_ = json.NewEncoder(conn).Encode(answer(ctx, request))
			}
		})
	}
}

// errNoDev says that no dev of the bundle runs on this machine.
var errNoDev = errors.New("no dev runs")

// askDev sends a request to the dev that runs. It returns errNoDev.
func askDev(ctx context.Context, path string, request controlRequest) (controlAnswer, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return controlAnswer{}, errNoDev
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	var answer controlAnswer
	if err := json.NewEncoder(conn).Encode(request); err != nil {
		return answer, errNoDev
	}
	if err := json.NewDecoder(conn).Decode(&answer); err != nil {
		return answer, fmt.Errorf("the dev that runs has not answered: %w", err)
	}
	return answer, nil
}
