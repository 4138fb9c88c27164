package cluster

import (
	"context"
	"os"
	"slices"
	"strings"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// Leftovers are what is left of clusters that were cut short or removed by
// other means.
type Leftovers struct {
	Unfinished    []Cluster // sandboxes whose making was cut short, or goes on
	NoContext     []string  // sandboxes that are whole, and in no kubeconfig that is read
	Unmarked      []string  // clusters of which no node ever ran
	StaleContexts []string  // of kind clusters that are gone
	Locks         []string  // of kubeconfigs
}

// Leftovers looks for them. It changes nothing.
func (m *Manager) Leftovers(ctx context.Context) (Leftovers, error) {
	var l Leftovers
	contexts := map[string]*api.Context{}
	local := map[string]bool{} // contexts whose API server is on this machine
	for _, file := range m.kubeconfigs() {
		if _, err := os.Lstat(file + ".lock"); err == nil {
			l.Locks = append(l.Locks, file+".lock")
		}
		config, err := clientcmd.LoadFromFile(file)
		if err != nil {
			continue // not there, or not ours to judge
		}
		for name, c := range config.Contexts {
			contexts[name] = c
			if server := config.Clusters[c.Cluster]; server != nil {
				local[name] = isLocal(server.Server)
			}
		}
	}
	all, err := m.kindClusters(ctx, "")
	if err != nil {
		return l, err
	}
	there := map[string]bool{}
	for _, c := range all {
		there[ContextName(c.Name)] = true
		mark, err := m.readMark(ctx, c)
		if err != nil {
			return l, err
		}
		switch {
		case mark == nil && c.State == Stopped && c.neverRan():
			l.Unmarked = append(l.Unmarked, c.Name)
		case mark == nil || contexts[ContextName(c.Name)] != nil:
		case mark.Unfinished:
			c.Mark = *mark
			l.Unfinished = append(l.Unfinished, c)
		default: // another KUBECONFIG may have it
			l.NoContext = append(l.NoContext, c.Name)
		}
	}
	for name := range contexts {
		if strings.HasPrefix(name, ContextName("")) && local[name] && !there[name] {
			l.StaleContexts = append(l.StaleContexts, name)
		}
	}
	slices.Sort(l.StaleContexts)
	return l, nil
}

// neverRan says whether no container of a cluster was ever started.
func (c Cluster) neverRan() bool {
	for _, container := range c.containers {
		if !container.Started.IsZero() {
			return false
		}
	}
	return true
}

// isLocal says whether an API server is one that kind publishes.
func isLocal(server string) bool {
	for _, host := range []string{"https://127.0.0.1:", "https://localhost:", "https://0.0.0.0:", "https://[::1]:"} {
		if strings.HasPrefix(server, host) {
			return true
		}
	}
	return false
}

// NodeImage returns the image that the next sandbox would be made from, and
// whether it is here.
func (m *Manager) NodeImage(ctx context.Context) (ref string, here bool, err error) {
	image, err := m.chooseImage(ctx, "")
	if err != nil {
		return "", false, err
	}
	id, err := m.Engine.ImageID(ctx, image.ref)
	return image.ref, id != "", err
}
