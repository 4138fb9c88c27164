package project

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
)

// What a promotion to several clusters does when one of them fails.
const (
	Rollback = "rollback" // brings back what the clusters of this run had
	Stop     = "stop"     // leaves them as they are
)

// Cluster is one of several clusters of an environment.
type Cluster struct {
	Name    string
	Context string
	// UID is that of the cluster's kube-system namespace, by which it is known
	// whatever a kubeconfig calls it; "": it is not pinned.
	UID string
}

// Wave is a group of clusters that are promoted to before the next group.
type Wave struct {
	Clusters    []string
	Parallelism int           // how many at once
	Soak        time.Duration // how long all have to stay well afterwards
	Gates       []Gate        // after it, before the next wave
}

type clusterFile struct {
	Name    string `yaml:"name"`
	Context string `yaml:"context"`
	UID     string `yaml:"uid"`
}

type waveFile struct {
	Clusters    []string   `yaml:"clusters"`
	Parallelism *int       `yaml:"parallelism"`
	Soak        string     `yaml:"soak"`
	Gates       []gateFile `yaml:"gates"`
}

// fleet is what an environment's entry says of clusters, gates and a canary.
type fleet struct {
	ClusterUID string        `yaml:"clusterUID"`
	Clusters   []clusterFile `yaml:"clusters"`
	Waves      []waveFile    `yaml:"waves"`
	OnFailure  string        `yaml:"onFailure"`
	Gates      []gateFile    `yaml:"gates"`
	Canary     *canaryFile   `yaml:"canary"`
}

// read fills the environment.
func (f fleet) read(env *Environment, metrics []Metric) (err error) {
	env.ClusterUID, env.OnFailure = f.ClusterUID, f.OnFailure
	if env.Gates, err = readGates(f.Gates, metrics, Sandbox); err != nil {
		return err
	}
	if f.Canary != nil {
		if env.Canary, err = f.Canary.read(metrics); err != nil {
			return err
		}
	}
	switch {
	case len(f.Clusters) == 0 && (len(f.Waves) > 0 || f.OnFailure != ""):
		return errors.New("waves and onFailure need clusters")
	case len(f.Clusters) == 0:
		return nil
	case env.Context != "" || f.ClusterUID != "":
		return errors.New("with clusters, each of them has its own context and uid")
	}
	for i, c := range f.Clusters {
		switch {
		case len(validation.IsDNS1123Label(c.Name)) > 0:
			return fmt.Errorf("clusters[%d].name %q: want a name such as eu-1", i, c.Name)
		case c.Context == "":
			return fmt.Errorf("clusters[%d].context is missing", i)
		case slices.ContainsFunc(env.Clusters, func(o Cluster) bool { return o.Name == c.Name || o.Context == c.Context }):
			return fmt.Errorf("clusters[%d]: name or context %s is there twice", i, c.Name)
		}
		env.Clusters = append(env.Clusters, Cluster(c))
	}
	if env.Canary != nil && slices.ContainsFunc(env.Canary.Steps, func(s CanaryStep) bool {
		return slices.ContainsFunc(s.Gates, func(g Gate) bool { return g.Approvals > 0 })
	}) {
		return errors.New("canary: approval in a step is for an environment of one cluster; several are asked by the gates of a wave")
	}
	switch env.OnFailure {
	case "":
		env.OnFailure = Rollback
	case Rollback, Stop:
	default:
		return fmt.Errorf("onFailure %q: want %s or %s", env.OnFailure, Rollback, Stop)
	}
	return f.readWaves(env, metrics)
}

// readWaves has every cluster in one wave; without waves all are in one.
func (f fleet) readWaves(env *Environment, metrics []Metric) error {
	var missing []string
	for _, c := range env.Clusters {
		missing = append(missing, c.Name)
	}
	if len(f.Waves) == 0 {
		env.Waves = []Wave{{Clusters: missing, Parallelism: 1}}
		return nil
	}
	for i, w := range f.Waves {
		wave := Wave{Clusters: w.Clusters, Parallelism: 1}
		if len(w.Clusters) == 0 {
			return fmt.Errorf("waves[%d].clusters is missing", i)
		}
		for _, name := range w.Clusters {
			at := slices.Index(missing, name)
			if at < 0 {
				return fmt.Errorf("waves[%d]: %s is no cluster of the environment, or in a wave already", i, name)
			}
			missing = slices.Delete(missing, at, at+1)
		}
		if w.Parallelism != nil {
			if wave.Parallelism = *w.Parallelism; wave.Parallelism < 1 {
				return fmt.Errorf("waves[%d].parallelism %d: 1 or more, please", i, wave.Parallelism)
			}
		}
		var err error
		if wave.Soak, err = readSoak(w.Soak); err != nil {
			return fmt.Errorf("waves[%d].%w", i, err)
		}
		if wave.Gates, err = readGates(w.Gates, metrics, ""); err != nil {
			return fmt.Errorf("waves[%d].%w", i, err)
		}
		env.Waves = append(env.Waves, wave)
	}
	if len(missing) > 0 {
		return fmt.Errorf("waves: %s is in none of them", strings.Join(missing, ", "))
	}
	return nil
}
