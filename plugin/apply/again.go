package apply

import (
	"context"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	utilnet "k8s.io/apimachinery/pkg/util/net"
)

// A write is tried so often, and rests so long before the second try, twice as
// long before each further one. Chosen: etcd elects a leader within a second.
const (
	tries     = 4
	firstRest = 250 * time.Millisecond
)

// Again sends a write, and once more while the server or the way to it is away
// for a moment: it restarts, or its etcd changes leaders. client-go does so only
// where the server names a time, and sends no write twice over a connection that
// broke. The first try may have been done though its answer was lost, which the
// caller has to bear.
func Again[T any](ctx context.Context, send func() (T, error)) (T, error) {
	rest := firstRest
	for try := 1; ; try++ {
		out, err := send()
		if try == tries || !away(err) {
			return out, err
		}
		timer := time.NewTimer(rest)
		select {
		case <-ctx.Done():
			timer.Stop()
			return out, context.Cause(ctx)
		case <-timer.C:
		}
		rest *= 2
	}
}

// away says whether an error is of a server that is not there for a moment.
func away(err error) bool {
	switch {
	case err == nil:
		return false
	case utilnet.IsConnectionRefused(err), utilnet.IsConnectionReset(err), utilnet.IsHTTP2ConnectionLost(err), utilnet.IsProbableEOF(err):
		return true
	case apierrors.IsServerTimeout(err), apierrors.IsServiceUnavailable(err):
		return true
	}
	return apierrors.IsInternalError(err) && strings.Contains(err.Error(), "etcdserver") // leader changed, request timed out
}
