package trainer

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// maxKept bounds what is kept of a run, in bytes: some 600 reports of three
// metrics. Of more the older half goes; whoever read it before has it.
const maxKept = 96 << 10

// ConfigMaps keeps what is reported in the ConfigMaps of runs, which are there
// before their Jobs.
type ConfigMaps struct {
	Client    dynamic.Interface
	Namespace string
	Now       func() time.Time

	mu sync.Mutex // one write at a time: posts of a Job stay in order
}

// Keep adds a line with its time, later than that of any line before.
func (c *ConfigMaps) Keep(ctx context.Context, job string, line []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps := c.Client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}).Namespace(c.Namespace)
	for {
		object, err := maps.Get(ctx, ReportsName(job), metav1.GetOptions{})
		if apierrors.IsNotFound(err) || err == nil && object.GetLabels()[JobLabel] != job {
			return ErrNoRun
		}
		if err != nil {
			return fmt.Errorf("read ConfigMap/%s: %w", ReportsName(job), err)
		}
		before, _, err := unstructured.NestedString(object.Object, "data", ReportsKey)
		if err != nil {
			return err
		}
		after := add([]byte(before), c.Now(), line)
		if err := unstructured.SetNestedField(object.Object, string(after), "data", ReportsKey); err != nil {
			return err
		}
		_, err = maps.Update(ctx, object, metav1.UpdateOptions{FieldManager: Component})
		switch {
		case err == nil:
			return nil
		case !apierrors.IsConflict(err): // somebody labelled it: again
			return fmt.Errorf("write ConfigMap/%s: %w", ReportsName(job), err)
		}
	}
}

// add appends a line to what is kept.
func add(kept []byte, now time.Time, line []byte) []byte {
	if len(kept)+len(line) > maxKept {
		if i := bytes.IndexByte(kept[len(kept)/2:], '\n'); i >= 0 {
			kept = kept[len(kept)/2+i+1:]
		}
	}
	// Another server, with another clock, may have written what is there.
	last := kept[bytes.LastIndexByte(bytes.TrimSuffix(kept, []byte("\n")), '\n')+1:]
	stamp, _, _ := bytes.Cut(last, []byte(" "))
	if at, err := time.Parse(time.RFC3339Nano, string(stamp)); err == nil && !now.After(at) {
		now = at.Add(time.Nanosecond)
	}
	return fmt.Appendf(bytes.Clone(kept), "%s %s\n", now.UTC().Format(time.RFC3339Nano), line)
}
