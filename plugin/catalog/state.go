package catalog

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/kubectl-ai/kubectl-ai/kustomize/components"
	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
)

// State says what a cluster has of a component.
type State string

// The states of a form of a component in a namespace.
const (
	Installed State = "installed" // objects of the component are there
	Absent    State = "absent"    // none are there, and the form would be taken
	Blocked   State = "blocked"   // none are there, and a kind is not served
)

// Standing is the state of a component's form, and why.
type Standing struct {
	State   State  `json:"state"`
	Variant string `json:"variant"`
	// Versions are those in which the form writes the kinds of others, such
	// as kafka.strimzi.io/v1.
	Versions []string `json:"versions,omitempty"`
	// Missing are the kinds that the cluster does not serve in that version.
	Missing []components.Need `json:"missing,omitempty"`
	// Objects is how many of the component are in the namespace, of whatever
	// form.
	Objects int `json:"objects,omitempty"`
}

// parallel is how many kinds are listed at once. Chosen.
const parallel = 8

// Forms says which form of a component is meant: that in the map, else the
// default.
type Forms struct {
	Taken   map[string]string
	Default string
}

// Of returns the form of a component, which it has.
func (f Forms) Of(c components.Component) string {
	for _, folder := range []string{f.Taken[c.Name], f.Default} {
		if _, err := c.Variant(folder); err == nil {
			return folder
		}
	}
	return components.Production
}

// Taken returns which form of which component an overlay takes.
func Taken(dir string) (map[string]string, error) {
	file, raw, err := kustomizationOf(dir)
	if err != nil {
		return nil, err
	}
	entries, _, err := componentsOf(raw)
	if err != nil {
		return nil, &KustomizationError{File: file, Err: err}
	}
	taken := map[string]string{}
	for _, entry := range entries {
		folder, form := path.Split(path.Clean(entry))
		taken[path.Base(folder)] = form
	}
	return taken, nil
}

// States returns the state of each component's form in a namespace, by the
// component's name. Discovery says what is served; what is there, a list by
// label for each kind that any form has.
func States(ctx context.Context, client *apply.Client, namespace string, list []components.Component, forms Forms) (map[string]Standing, error) {
	client.Mapper.Reset() // what was served hours ago is no answer here
	out := map[string]Standing{}
	kinds := map[schema.GroupVersionKind]bool{}
	for _, c := range list {
		for _, v := range c.Variants {
			objects, err := c.Render(v.Folder)
			if err != nil {
				return nil, err
			}
			chosen := v.Folder == forms.Of(c)
			standing := Standing{State: Absent, Variant: v.Folder}
			for _, obj := range objects {
				gvk := obj.GroupVersionKind()
				kinds[gvk] = true
				if !chosen || scheme.Scheme.Recognizes(gvk) {
					continue
				}
				if version := gvk.GroupVersion().String(); !slices.Contains(standing.Versions, version) {
					standing.Versions = append(standing.Versions, version)
				}
				missing, err := unserved(client, gvk, v)
				if err != nil {
					return nil, err
				}
				if missing != nil && !slices.Contains(standing.Missing, *missing) {
					standing.State, standing.Missing = Blocked, append(standing.Missing, *missing)
				}
			}
			if chosen {
				out[c.Name] = standing
			}
		}
	}
	found, err := count(ctx, client, namespace, kinds)
	if err != nil {
		return nil, err
	}
	for name, n := range found {
		if standing, ok := out[name]; ok {
			standing.State, standing.Objects = Installed, n
			out[name] = standing
		}
	}
	return out, nil
}

// unserved returns the need behind a kind that the cluster does not serve.
func unserved(client *apply.Client, gvk schema.GroupVersionKind, v components.Variant) (*components.Need, error) {
	_, _, err := client.Resource(gvk)
	var no *apply.UnservedError
	if err == nil || !errors.As(err, &no) {
		return nil, err
	}
	for _, n := range v.Needs {
		if n.GroupKind() == gvk.GroupKind() {
			return &n, nil
		}
	}
	return &components.Need{Group: gvk.Group, Kind: gvk.Kind}, nil
}

// count returns how many objects of each component a namespace has. Kinds
// outside of namespaces are not asked for: few may list them.
func count(ctx context.Context, client *apply.Client, namespace string, kinds map[schema.GroupVersionKind]bool) (map[string]int, error) {
	var mu sync.Mutex
	found := map[string]int{}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for gvk := range kinds {
		gvr, namespaced, err := client.Resource(gvk)
		var no *apply.UnservedError
		if errors.As(err, &no) || err == nil && !namespaced {
			continue
		}
		if err != nil {
			return nil, errors.Join(err, group.Wait())
		}
		group.Go(func() error {
			list, err := client.Metadata.Resource(gvr).Namespace(namespace).List(ctx, metav1.ListOptions{LabelSelector: components.Label})
			if err != nil {
				return fmt.Errorf("list %s: %w", gvr.GroupResource(), err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, item := range list.Items {
				found[item.GetLabels()[components.Label]]++
			}
			return nil
		})
	}
	return found, group.Wait()
}
