package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	kind "sigs.k8s.io/kind/pkg/cluster"

	"github.com/kubectl-ai/kubectl-ai/sandbox/nodeimage/flock"
)

// Options say what sandbox to make. The zero value is one node without GPUs
// named "ai".
type Options struct {
	Name  string
	Nodes int    // 0 means 1
	Image string // node image; "" chooses one
	// Config is the user's own; then Nodes is its number of nodes, and Image
	// is for nodes of it that name none.
	Config *UserConfig
	GPUs   GPUs
	// Mounts of each node, the control plane first: the files of the driver
	// where its GPUs are this machine's.
	Mounts [][]Mount
	// Registry is the port of the local registry on this machine; 0 = none.
	Registry int
	// Wait bounds how long nodes may take to become ready; 0 waits not.
	Wait time.Duration
	// Retain keeps what there is of a sandbox that failed.
	Retain bool
	// SwitchContext makes the new context the user's current one.
	SwitchContext bool
	// Version of kubectl ai, for the mark.
	Version string
	// Provision steps run once the nodes are ready; each reports its own
	// steps. Their failure is a failure of Create.
	Provision []func(ctx context.Context, c Cluster, nodes []Node, r Reporter) error
}

// leftoverTimeout bounds the removal of what a failed Create made.
const leftoverTimeout = time.Minute

// Create makes a sandbox and adds its context to the user's kubeconfig. It
// returns *NameError, *ExistsError, *ImageError or *CreateError. When ctx
// ends meanwhile, everything made so far is removed and the cause of ctx
// returned.
func (m *Manager) Create(ctx context.Context, o Options) (Cluster, error) {
	if o.Name == "" {
		o.Name = DefaultName
	}
	o.Nodes = max(o.Nodes, 1)
	if o.Config != nil {
		o.Nodes = o.Config.Nodes()
	}
	if err := CheckName(o.Name); err != nil {
		return Cluster{}, err
	}
	unlock, err := lockName(ctx, o.Name)
	if err != nil {
		return Cluster{}, err
	}
	defer unlock()
	if err := m.checkNew(ctx, o.Name); err != nil {
		return Cluster{}, err
	}
	image, err := m.findImages(ctx, o)
	if err != nil {
		return Cluster{}, err
	}
	if image.why != "" {
		m.reporter().Note("node image %s (Kubernetes %s, %s)", image.ref, image.kubernetes, image.why)
	}
	in := configInput{
		name: o.Name, image: image.ref, nodes: o.Nodes,
		kubernetes: image.kubernetes, cgroupVersion: m.Engine.CgroupVersion, mounts: o.Mounts, user: o.Config,
	}
	if delay, ok := o.Config.statusDelay(); ok && delay > time.Second {
		m.reporter().Note("nodeStatusUpdateFrequency is yours: a change of GPUs shows after up to %v", delay)
	}
	if o.Config.ownNetwork() && o.Wait > 0 {
		m.reporter().Note("the pod network is yours: nodes become ready once it is there, and are not waited for")
		o.Wait = 0
	}
	if o.Registry != 0 {
		if in.registryConfig, err = m.lacksRegistryHosts(ctx, image.ref); err != nil {
			return Cluster{}, err
		}
	}
	hadNetwork, err := m.hasNetwork(ctx)
	if err != nil {
		return Cluster{}, err
	}
	mark := Mark{
		Name: o.Name, Created: time.Now().UTC().Truncate(time.Second), By: o.Version,
		Image: image.ref, Kubernetes: image.kubernetes, GPUs: o.GPUs, Registry: o.Registry, OwnNetwork: !hadNetwork,
		Unfinished: true,
	}
	removed := &removal{manager: m, name: o.Name, gone: map[string]bool{}}
	made, phase, err := m.build(ctx, o, in, mark, removed)
	if err == nil {
		return made, nil
	}
	switch {
	case isInterruption(ctx):
	case phase == provisioning: // what failed there explains itself
		err = fmt.Errorf("create sandbox %q: %w", o.Name, err)
	default:
		err = m.diagnose(ctx, o.Name, phase, err)
	}
	m.reporter().End(err)
	return Cluster{}, m.abandon(ctx, o, mark, removed, err)
}

// lockName keeps others of this user from making a sandbox of the same name
// meanwhile: each would take the other's containers for its own. It returns
// *ExistsError while one does.
func lockName(ctx context.Context, name string) (unlock func(), err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	waiting, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	return flock.Lock(waiting, filepath.Join(cache, "kubectl-ai", "making", name), func() {
		stop(&ExistsError{Name: name, Making: true})
	})
}

// provisioning is the phase of the caller's own steps.
const provisioning = "provision"

// checkNew refuses a name that is taken.
func (m *Manager) checkNew(ctx context.Context, name string) error {
	_, err := m.Get(ctx, name)
	var notFound *NotFoundError
	var notOurs *NotOursError
	switch {
	case err == nil:
		return &ExistsError{Name: name, Ours: true}
	case errors.As(err, &notOurs):
		return &ExistsError{Name: name}
	case errors.As(err, &notFound):
		return nil
	}
	return err
}

// build makes the cluster and returns the phase that failed.
func (m *Manager) build(ctx context.Context, o Options, in configInput, mark Mark, removed *removal) (made Cluster, phase string, err error) {
	private, err := os.MkdirTemp("", "kubectl-ai-")
	if err != nil {
		return Cluster{}, "make a private folder", err
	}
	defer func() { _ = os.RemoveAll(private) }()
	config := filepath.Join(private, "kubeconfig")

	if phase, err = m.runKind(ctx, config, in, mark, removed); err != nil {
		return Cluster{}, phase, err
	}
	if made, err = m.complete(ctx, o.Name, &mark); err != nil {
		return Cluster{}, "read the new cluster", err
	}
	control, ok := Primary(made.Nodes)
	if !ok {
		return Cluster{}, "read the new cluster", errors.New("no node with the control plane's role")
	}
	if o.Nodes > 1 && !o.Config.ownNetwork() {
		if phase, err := m.route(ctx, control, made.Nodes, &mark); err != nil {
			return Cluster{}, phase, err
		}
	}
	if o.Wait > 0 {
		if err := m.step("Wait for the nodes", func() error { return waitReady(ctx, o.Name, control, o.Nodes, o.Wait, false) }); err != nil {
			return Cluster{}, "wait for the nodes", err
		}
	}
	made.Mark = mark
	for _, provision := range o.Provision {
		if err := provision(ctx, made, made.Nodes, m.reporter()); err != nil {
			return Cluster{}, provisioning, err
		}
	}
	made.Mark.Unfinished = false
	if err := m.writeMark(ctx, made, made.Mark); err != nil {
		return Cluster{}, "mark the nodes", err
	}
	if err := m.addContext(ctx, config, o.Name, o.SwitchContext); err != nil {
		return Cluster{}, "write the kubeconfig", err
	}
	return made, "", nil
}

// route sets the routes between nodes where nobody else does, and notes them
// in the mark.
func (m *Manager) route(ctx context.Context, control Node, nodes []Node, mark *Mark) (phase string, err error) {
	needed, err := needsRoutes(ctx, control)
	if err != nil || !needed {
		return "look for a network daemon", err
	}
	return "route between the nodes", m.step("Route between the nodes", func() error {
		if mark.Routes, err = podNetworks(ctx, control, len(nodes)); err != nil {
			return err
		}
		return setRoutes(ctx, nodes, mark.Routes)
	})
}

// complete fills the mark with what is known once the nodes run.
func (m *Manager) complete(ctx context.Context, name string, mark *Mark) (Cluster, error) {
	found, err := m.kindClusters(ctx, name)
	if err != nil {
		return Cluster{}, err
	}
	if len(found) == 0 {
		return Cluster{}, fmt.Errorf("the containers of %q are gone", name)
	}
	mark.Addresses = addresses(found[0].containers)
	return found[0], nil
}

// runKind runs kind's Create, which knows no context, and makes it one that
// can be cancelled: its containers are removed under it, whereupon the
// command it waits for fails and it returns.
func (m *Manager) runKind(ctx context.Context, kubeconfig string, in configInput, mark Mark, removed *removal) (string, error) {
	logger := &phases{reporter: m.reporter()}
	logger.nodesUp = func() {
		// A process that is killed from here on leaves a sandbox that
		// `delete` recognises. What fails here fails again, and loudly, at
		// the end of Create.
		if found, err := m.kindClusters(ctx, in.name); err == nil && len(found) == 1 {
			_ = m.writeMark(ctx, found[0], mark)
		}
	}
	provider := kind.NewProvider(m.kindProvider(), kind.ProviderWithLogger(logger))
	var err error // belongs to the goroutine until done is closed
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = provider.Create(in.name,
			kind.CreateWithV1Alpha4Config(kindConfig(in)),
			kind.CreateWithKubeconfigPath(kubeconfig),
			kind.CreateWithRetain(true), // we look at what failed, then remove it
			kind.CreateWithDisplayUsage(false),
			kind.CreateWithDisplaySalutation(false),
		)
	}()
	select {
	case <-done:
		return logger.current(), err
	case <-ctx.Done():
	}
	logger.mute()
	m.reporter().End(context.Cause(ctx))
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), leftoverTimeout)
	defer cancel()
	removed.until(limited, done)
	return logger.current(), context.Cause(ctx)
}

// abandon removes what a failed or interrupted Create has left, and returns
// err joined with what could not be removed.
func (m *Manager) abandon(ctx context.Context, o Options, mark Mark, removed *removal, err error) error {
	if errors.Is(err, ErrExists) { // another create of that name came first
		return err
	}
	if o.Retain && !isInterruption(ctx) {
		var failure *CreateError
		if errors.As(err, &failure) {
			failure.Retained = true
		}
		m.reporter().Note("kept as --retain asks: kubectl ai sandbox delete --name %s removes it", o.Name)
		found, findErr := m.kindClusters(ctx, o.Name)
		if findErr == nil && len(found) == 1 {
			findErr = m.writeMark(ctx, found[0], mark)
		}
		return errors.Join(err, findErr)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leftoverTimeout)
	defer cancel()
	m.reporter().Start("Remove what was made so far")
	cleanup := removed.stragglers(ctx, o.Nodes)
	cleanup = errors.Join(cleanup, m.release(ctx, mark))
	if mark.OwnNetwork {
		cleanup = errors.Join(cleanup, m.removeNetwork(ctx))
	}
	cleanup = errors.Join(cleanup, m.removeContext(ctx, o.Name))
	m.reporter().End(cleanup)
	return errors.Join(err, cleanup)
}

// isInterruption says whether it was the context that ended the work.
func isInterruption(ctx context.Context) bool { return ctx.Err() != nil }

func (m *Manager) kindProvider() kind.ProviderOption {
	switch m.Engine.Name {
	case "podman":
		return kind.ProviderWithPodman()
	case "nerdctl":
		return kind.ProviderWithNerdctl(filepath.Base(m.Engine.Bin))
	}
	return kind.ProviderWithDocker()
}
