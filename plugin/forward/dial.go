package forward

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/kubectl-ai/kubectl-ai/plugin/clientset"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"
)

// Dial opens a connection to a pod on which streams to its ports are made. A
// *ForbiddenError is permanent.
type Dial func(ctx context.Context, pod string) (httpstream.Connection, error)

// ForbiddenError says that neither transport may forward ports.
type ForbiddenError struct {
	Namespace string
	Err       error
}

func (e *ForbiddenError) Error() string {
	return fmt.Sprintf("create on pods/portforward is missing in namespace %s, and get for WebSocket", e.Namespace)
}

func (e *ForbiddenError) Unwrap() error { return e.Err }

// Dialer returns the Dial of a namespace: WebSocket first, SPDY where the
// server or a proxy cannot, or permits that alone.
func Dialer(config *rest.Config, client clientset.Interface, namespace string) Dial {
	return func(ctx context.Context, pod string) (httpstream.Connection, error) {
		url := client.CoreV1().RESTClient().Post().Resource("pods").Namespace(namespace).Name(pod).SubResource("portforward").URL()
		socket, err := portforward.NewSPDYOverWebsocketDialerForStreaming(url, config)
		if err != nil {
			return nil, err
		}
		conn, err := dialWithin(ctx, socket)
		if !httpstream.IsUpgradeFailure(err) && !httpstream.IsHTTPSProxyError(err) {
			return conn, err
		}
		refused := err
		if upgrade := (*httpstream.UpgradeFailureError)(nil); errors.As(err, &upgrade) {
			refused = upgrade.Cause // it does not unwrap to what the server said
		}
		transport, upgrader, err := spdy.RoundTripperFor(config)
		if err != nil {
			return nil, err
		}
		status := &status{RoundTripper: transport}
		conn, err = dialWithin(ctx, spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: status}, "POST", url))
		if err != nil && status.code.Load() == http.StatusForbidden && apierrors.IsForbidden(refused) {
			return nil, &ForbiddenError{namespace, refused}
		}
		return conn, err
	}
}

// dialWithin dials until ctx ends; a connection that comes later is closed.
func dialWithin(ctx context.Context, d httpstream.Dialer) (httpstream.Connection, error) {
	return within(ctx, func() (httpstream.Connection, error) {
		conn, _, err := d.Dial(portforward.PortForwardProtocolV1Name)
		return conn, err
	}, func(late httpstream.Connection) { _ = late.Close() })
}

// status keeps the status code of the one answer that passes through it, as
// client-go turns the answer into text.
type status struct {
	http.RoundTripper
	code atomic.Int64
}

func (s *status) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := s.RoundTripper.RoundTrip(r)
	if err == nil {
		s.code.Store(int64(answer.StatusCode))
	}
	return answer, err
}
