package apply

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

// late lists a version once it was asked anew so many times.
type late struct {
	meta.ResettableRESTMapper
	asked int
	from  map[string]int // by version
}

func (l *late) Reset() { l.asked++ }

func (l *late) RESTMapping(gk schema.GroupKind, versions ...string) (*meta.RESTMapping, error) {
	if l.asked < l.from[versions[0]] {
		return nil, &meta.NoKindMatchError{GroupKind: gk, SearchedVersions: versions}
	}
	return &meta.RESTMapping{GroupVersionKind: gk.WithVersion(versions[0])}, nil
}

func TestAKindIsAwaitedUntilDiscoveryListsIt(t *testing.T) {
	crd := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte("{kind: CustomResourceDefinition, spec: {group: shapes.example, names: {kind: Experiment}, versions: [{name: v1, served: true}, {name: v2, served: true}, {name: v0, served: false}]}}"), &crd.Object); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		from map[string]int
		want int // looks; 0: until patience ends
	}{
		{"there at once", nil, 1},
		{"one version comes later; one that is not served is not awaited", map[string]int{"v2": 4, "v0": 99}, 4},
		{"never", map[string]int{"v1": 1 << 30}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mapper := &late{from: c.from}
				client, began := &Client{Mapper: mapper}, time.Now()
				if err := client.discovered(t.Context(), crd); err != nil {
					t.Fatal(err)
				}
				switch waited := time.Since(began); {
				case c.want > 0 && mapper.asked != c.want:
					t.Errorf("asked %d times, want %d", mapper.asked, c.want)
				case c.want == 0 && (waited < discoveryPatience || waited > 2*discoveryPatience):
					t.Errorf("gave up after %v", waited)
				}
			})
		})
	}
	t.Run("the context ends it", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := (&Client{Mapper: &late{from: map[string]int{"v1": 99}}}).discovered(ctx, crd); !errors.Is(err, context.Canceled) {
			t.Errorf("err = %v", err)
		}
	})
}
