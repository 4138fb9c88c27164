// Package clientset is the typed client of the API groups that the tool reads
// and writes as Go types: core, batch and authorization. client-go's own clientset links the
// client, the apply configurations and the informers of every group there is,
// which is 18 MB of a program that asks for three; everything else goes through
// the dynamic client.
package clientset

import (
	"fmt"

	authorizationv1 "k8s.io/client-go/kubernetes/typed/authorization/v1"
	batchv1 "k8s.io/client-go/kubernetes/typed/batch/v1"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
)

// Interface is a part of client-go's kubernetes.Interface, whose fake is one.
type Interface interface {
	CoreV1() corev1.CoreV1Interface
	BatchV1() batchv1.BatchV1Interface
	AuthorizationV1() authorizationv1.AuthorizationV1Interface
}

type clientset struct {
	core          *corev1.CoreV1Client
	batch         *batchv1.BatchV1Client
	authorization *authorizationv1.AuthorizationV1Client
}

// NewForConfig returns a client of the cluster that config names. The groups
// share one connection.
func NewForConfig(config *rest.Config) (Interface, error) {
	shared, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	core, err := corev1.NewForConfigAndClient(config, shared)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	batch, err := batchv1.NewForConfigAndClient(config, shared)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	authorization, err := authorizationv1.NewForConfigAndClient(config, shared)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	return &clientset{core, batch, authorization}, nil
}

func (c *clientset) CoreV1() corev1.CoreV1Interface    { return c.core }
func (c *clientset) BatchV1() batchv1.BatchV1Interface { return c.batch }
func (c *clientset) AuthorizationV1() authorizationv1.AuthorizationV1Interface {
	return c.authorization
}
