package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"

	"github.com/kubectl-ai/kubectl-ai/plugin/clientset"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ai/kubectl-ai/plugin/drift/exporter"
	"github.com/kubectl-ai/kubectl-ai/plugin/forward"
)

// bucketName is what an ObjectBucketClaim of the component storage, and the
// ConfigMap and the Secret that it makes, are called.
const bucketName = "storage"

// saveModel brings a model out of the bucket of the environment.
func (o *RunOptions) saveModel(ctx context.Context, f *Factory, digest string) error {
	t, err := openTarget(ctx, f, o.Dir, o.Environment, &o.allow)
	if err != nil {
		return err
	}
	bucket, err := openBucket(ctx, t.config, t.client, t.namespace)
	if err != nil {
		return err
	}
	content, err := bucket.Model(ctx, digest)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.SaveModel, 0o755); err != nil {
		return fmt.Errorf("save the model: %w", err)
	}
	// The digest comes last: what it names is there.
	for _, file := range []struct {
		name    string
		content []byte
	}{{"model.json", content}, {"model.env", []byte("MODEL_DIGEST=" + digest + "\n")}} {
		path := filepath.Join(o.SaveModel, file.name)
		if err := replaceFile(path, file.content, 0o644); err != nil {
			return fmt.Errorf("save the model: %w", err)
		}
		_, _ = fmt.Fprintln(f.Streams.ErrOut, "wrote "+path)
	}
	return nil
}

// replaceFile writes a file as a whole or not at all.
func replaceFile(path string, content []byte, mode fs.FileMode) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	_, err = temporary.Write(content)
	err = errors.Join(err, temporary.Chmod(mode), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		_ = os.Remove(temporary.Name())
	}
	return err
}

// openBucket finds the bucket of a namespace: by a pod of its Service where it
// is in the cluster, else by its address.
func openBucket(ctx context.Context, config *rest.Config, client clientset.Interface, namespace string) (*exporter.Bucket, error) {
	at, err := client.CoreV1().ConfigMaps(namespace).Get(ctx, bucketName, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("find the bucket: %w", err)
	}
	keys, err := client.CoreV1().Secrets(namespace).Get(ctx, bucketName, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("find the keys of the bucket: %w", err)
	}
	host, port := at.Data["BUCKET_HOST"], at.Data["BUCKET_PORT"]
	bucket := &exporter.Bucket{
		Endpoint: "http://" + host + ":" + port, Name: at.Data["BUCKET_NAME"], Region: at.Data["BUCKET_REGION"],
		AccessKey: string(keys.Data["AWS_ACCESS_KEY_ID"]), SecretKey: string(keys.Data["AWS_SECRET_ACCESS_KEY"]),
	}
	service, err := client.CoreV1().Services(namespace).Get(ctx, host, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return bucket, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find the bucket: %w", err)
	}
	bucket.Client, err = servicePod(ctx, config, client, service, port)
	return bucket, err
}

// servicePod is the way to a pod behind a port of a Service.
func servicePod(ctx context.Context, config *rest.Config, client clientset.Interface, service *corev1.Service, port string) (*http.Client, error) {
	pods, err := client.CoreV1().Pods(service.Namespace).List(ctx, metav1.ListOptions{LabelSelector: labels.SelectorFromSet(service.Spec.Selector).String()})
	if err != nil {
		return nil, fmt.Errorf("find the pods of Service/%s: %w", service.Name, err)
	}
	pod := answering(pods.Items)
	j := slices.IndexFunc(service.Spec.Ports, func(p corev1.ServicePort) bool { return fmt.Sprint(p.Port) == port })
	if pod == nil || j < 0 {
		return nil, fmt.Errorf("no pod of Service/%s serves port %s", service.Name, port)
	}
	target := service.Spec.Ports[j].TargetPort
	number := int32(target.IntValue()) // 0 for a name
	for _, c := range pod.Spec.Containers {
		for _, p := range c.Ports {
			if p.Name != "" && p.Name == target.StrVal {
				number = p.ContainerPort
			}
		}
	}
	return forward.Client(forward.Dialer(config, client, service.Namespace), pod.Name, number), nil
}
