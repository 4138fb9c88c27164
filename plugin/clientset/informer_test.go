package clientset_test

import (
	"context"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/kubectl-ai/kubectl-ai/plugin/clientset"
)

// refusing is an API server that takes no connections.
type refusing struct{}

var refused = &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}

func (refusing) List(context.Context, metav1.ListOptions) (*corev1.PodList, error) {
	return nil, refused
}

func (refusing) Watch(context.Context, metav1.ListOptions) (watch.Interface, error) {
	return nil, refused
}

// An informer ends with its context, whatever it waits for.
func TestAnInformerEndsWhileNobodyAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		informer := clientset.Informer(refusing{}, "", &corev1.Pod{})
		// The default one rests by the time of another clock than the bubble's.
		if err := informer.SetWatchErrorHandlerWithContext(func(context.Context, *cache.Reflector, error) {}); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			informer.RunWithContext(ctx)
			close(ended)
		}()
		time.Sleep(20 * time.Second) // in the bubble's time
		cancel()
		synctest.Wait() // no time passes
		select {
		case <-ended:
		default:
			t.Error("it goes on")
		}
	})
}
