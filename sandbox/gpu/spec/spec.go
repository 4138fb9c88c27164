// Package spec says what GPUs a node is to have: what `sandbox create` is
// asked for, checks, and writes into the node, and ai-gpu there makes true.
package spec

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/mig"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// Path is where a node holds its Node.
const Path = "/etc/kubectl-ai/gpu.json"

// Allocation policies: which of the free GPUs a container gets.
const (
	Packed      = "packed"      // so that what stays free lies together
	Distributed = "distributed" // over the GPUs that are used least
)

// GPUs are the GPUs of a node, simulated or the machine's own. The zero value
// is none.
type GPUs struct {
	Profile string         `json:"profile"`
	Custom  *model.Profile `json:"custom,omitempty"` // a profile from a file
	Count   int            `json:"count"`
	// Devices of the machine, by address on the bus or UUID (see package
	// driver), or "all". Then nothing is simulated.
	Devices     []string      `json:"devices,omitempty"`
	MIG         mig.Layout    `json:"mig,omitzero"`
	MIGStrategy string        `json:"migStrategy,omitempty"`
	Sharing     model.Sharing `json:"sharing,omitzero"`
	Allocation  string        `json:"allocation,omitempty"`
	NUMA        bool          `json:"numa,omitempty"` // tell the kubelet on which NUMA node each is
}

// Node is the content of a node's file.
type Node struct {
	Cluster string `json:"cluster"` // enters the GPUs' identities
	Name    string `json:"name"`
	GPUs    GPUs   `json:"gpus"`
}

// MaxReplicas bounds how often a GPU is offered, as MPS does.
const MaxReplicas = 48

// Real tells whether the GPUs are the machine's own.
func (g GPUs) Real() bool { return len(g.Devices) > 0 }

// None tells whether the node has no GPUs.
func (g GPUs) None() bool { return g.Count == 0 && !g.Real() }

// Board returns the profile that is simulated.
func (g GPUs) Board() (model.Profile, error) {
	if g.Custom != nil {
		return *g.Custom, g.Custom.Check()
	}
	return model.LookupProfile(g.Profile)
}

// Check returns what cannot be, all of it: *model.UnknownProfileError,
// *model.CountError, *mig.UnknownProfileError, *mig.PlacementError and others.
func (g GPUs) Check() error {
	if g.Real() {
		return g.checkReal()
	}
	if g.Count == 0 {
		return nil
	}
	board, err := g.Board()
	if err != nil {
		return err
	}
	errs := []error{model.CheckCount(g.Count)}
	if !g.MIG.Empty() {
		if err := g.MIG.Check(board.Name, g.Count); err != nil {
			errs = append(errs, err)
		} else if g.MIGStrategy == model.MIGSingle {
			errs = append(errs, g.alike(board.Name))
		}
	}
	errs = append(errs, g.checkReplicas())
	if g.Sharing.Strategy == model.MPS && !g.MIG.Empty() {
		errs = append(errs, errors.New("MPS and MIG exclude each other"))
	}
	return errors.Join(errs...)
}

func (g GPUs) checkReplicas() error {
	if r := g.Sharing.Replicas; g.Sharing.Strategy != "" && (r < 2 || r > MaxReplicas) {
		return fmt.Errorf("%s with %d containers a GPU: 2 to %d, please", g.Sharing.Strategy, r, MaxReplicas)
	}
	return nil
}

// checkReal returns what cannot be of GPUs that are not simulated: they are
// offered as they are.
func (g GPUs) checkReal() error {
	errs := []error{g.checkReplicas()}
	if g.Count != 0 || g.Profile != "" || g.Custom != nil || !g.MIG.Empty() {
		errs = append(errs, errors.New("real GPUs have no profile, number or layout of one's own; MIG devices are made on the machine, with nvidia-smi"))
	}
	if g.Sharing.Strategy == model.MPS {
		errs = append(errs, errors.New("MPS on real GPUs needs its daemon, which sandboxes do not run; time-slicing does not"))
	}
	return errors.Join(errs...)
}

// alike returns an error unless all GPUs are cut, and into one profile: that
// is what the single strategy can offer.
func (g GPUs) alike(board string) error {
	first := ""
	for i := range g.Count {
		instances, err := g.MIG.Place(board, i)
		if err != nil {
			return err
		}
		if len(instances) == 0 {
			return fmt.Errorf("MIG strategy %s: GPU %d is whole, and all have to be cut alike", model.MIGSingle, i)
		}
		for _, instance := range instances {
			if first == "" {
				first = instance.Name
			}
			if instance.Name != first {
				return fmt.Errorf("MIG strategy %s: %s and %s, and all have to be alike", model.MIGSingle, first, instance.Name)
			}
		}
	}
	return nil
}

// Offered returns how many units of each resource the kubelet will have, as
// model.State.Units does of the GPUs themselves. What real GPUs come to, the
// driver alone knows.
func (g GPUs) Offered() map[string]int {
	offered := map[string]int{}
	if g.Count == 0 {
		return offered
	}
	board, err := g.Board()
	if err != nil {
		return offered
	}
	each := max(1, g.Sharing.Replicas)
	if g.MIGStrategy == model.MIGMixed {
		offered[model.Resource] = 0
	}
	for i := range g.Count {
		instances, err := g.MIG.Place(board.Name, i)
		if err != nil || len(instances) == 0 || g.MIGStrategy == "" || g.MIGStrategy == model.MIGNone {
			offered[model.Resource] += each
			continue
		}
		for _, instance := range instances {
			resource := model.Resource
			if g.MIGStrategy == model.MIGMixed {
				resource = model.MIGResource(instance.Name)
			}
			offered[resource] += each
		}
	}
	return offered
}

// Encode returns the content of a node's file.
func (n Node) Encode() ([]byte, error) {
	content, err := json.MarshalIndent(n, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the GPUs of %s: %w", n.Name, err)
	}
	return append(content, '\n'), nil
}

// Decode reads a node's file.
func Decode(content []byte) (Node, error) {
	var n Node
	if err := json.Unmarshal(content, &n); err != nil {
		return n, fmt.Errorf("decode the GPUs of this node: %w", err)
	}
	if n.Cluster == "" || n.Name == "" {
		return n, errors.New("decode the GPUs of this node: no cluster or no name")
	}
	return n, nil
}
