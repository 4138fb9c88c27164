package command

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/net/http/httpproxy"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubectl-ai/kubectl-ai/plugin/checkup"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/setup"
	"github.com/kubectl-ai/kubectl-ai/sandbox/cluster"
	"github.com/kubectl-ai/kubectl-ai/sandbox/doctor"
)

// examinePlugin looks at how kubectl and this program find each other, and at
// what they write to.
func (o *DoctorOptions) examinePlugin(ctx context.Context, f *Factory, server *version.Version) []doctor.Finding {
	var findings []doctor.Finding
	root := o.cmd.Root()
	if m, err := setup.ThisMachine(os.Args[0], root.Name()); err == nil {
		findings = append(findings, checkup.Path(m.Programs(m.File), m.Program, m.Lacking(verbs(root))), checkup.Completion(m.Completion()))
	}
	findings = append(findings, examineKubectl(ctx, server))
	cache, err := f.Cache()
	if err == nil {
		err = setup.CanMake(cache)
	}
	return append(findings, checkup.Cache(cache, err), examineKubeconfig(f), examineProxy(f))
}

// kubectlTime is how long kubectl may take to say its version.
const kubectlTime = 5 * time.Second

func examineKubectl(ctx context.Context, server *version.Version) doctor.Finding {
	path, err := exec.LookPath("kubectl")
	if err != nil {
		return checkup.Kubectl("", nil, exec.ErrNotFound, nil)
	}
	ctx, cancel := context.WithTimeout(ctx, kubectlTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "version", "--client", "-o", "json")
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		return checkup.Kubectl(path, nil, fmt.Errorf("does not say its version: %w", err), nil)
	}
	v, err := checkup.KubectlVersion(out)
	return checkup.Kubectl(path, v, err, server)
}

// examineKubeconfig looks whether the file that gets a sandbox's context can
// be written.
func examineKubeconfig(f *Factory) doctor.Finding {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	file := rules.GetDefaultFilename()
	if given := f.Flags.KubeConfig; given != nil && *given != "" {
		file = *given
	}
	err := setup.CanMake(filepath.Dir(file))
	if info, statErr := os.Stat(file); err == nil && statErr == nil && info.IsDir() {
		err = fmt.Errorf("%s: is a folder", file)
	}
	return checkup.Kubeconfig(file, err)
}

// examineProxy looks at the proxy that this program, the engine and nodes
// would take from the environment.
func examineProxy(f *Factory) doctor.Finding {
	env := httpproxy.FromEnvironment()
	address := env.HTTPSProxy
	if address == "" {
		address = env.HTTPProxy
	}
	if u, err := url.Parse(address); err == nil {
		address = u.Redacted()
	}
	raw, err := f.Flags.ToRawKubeConfigLoader().RawConfig()
	if err != nil {
		return checkup.Proxy(address, env.NoProxy, nil)
	}
	var through []string
	ask := env.ProxyFunc()
	for _, name := range environmentNamesOf(raw.Clusters) {
		server, err := url.Parse(raw.Clusters[name].Server)
		if err != nil || raw.Clusters[name].ProxyURL != "" {
			continue
		}
		ip := net.ParseIP(server.Hostname())
		if proxy, err := ask(server); err == nil && proxy != nil && ip != nil && ip.IsPrivate() {
			through = append(through, server.Hostname())
		}
	}
	return checkup.Proxy(address, env.NoProxy, through)
}

// examineBundle renders the bundle in this folder, if there is one.
func examineBundle(f *Factory) []doctor.Finding {
	const here = "."
	if _, err := os.Stat(project.FileName); err != nil {
		return nil
	}
	p, err := project.Load(here)
	if err != nil {
		return checkup.Bundle(here, map[string]error{project.Sandbox: err}, []string{project.Sandbox})
	}
	broken := map[string]error{}
	for name := range p.Environments {
		if _, err := render(f, here, name); err != nil {
			broken[name] = err
		}
	}
	return checkup.Bundle(p.Dir, broken, environmentNamesOf(p.Environments))
}

// mend does what is safe and the user's own.
func (o *DoctorOptions) mend(ctx context.Context, f *Factory) error {
	m, err := setup.ThisMachine(os.Args[0], o.cmd.Root().Name())
	if err == nil {
		written, err := m.Mend(verbs(o.cmd.Root()))
		for _, l := range written {
			f.Streams.Talk("fixed: wrote %s -> %s", l.Path, l.Target)
		}
		if err != nil {
			f.Streams.Talk("links were not written: %v", err)
		}
	}
	s, err := openSandboxes(ctx, f)
	if err != nil {
		return nil // the findings say so
	}
	left, err := s.Leftovers(ctx)
	if err != nil {
		return nil
	}
	var errs []error
	for _, c := range left.Unfinished {
		if !o.Yes {
			if err := f.Streams.Confirm(ctx, "Delete sandbox "+c.Name+", whose making was cut short, and everything in it?"); err != nil {
				f.Streams.Talk("sandbox %s stays: %v", c.Name, err)
				continue
			}
		}
		err := s.DeleteUnfinished(ctx, c.Name)
		switch {
		case errors.Is(err, cluster.ErrExists):
			f.Streams.Talk("sandbox %s stays: %v", c.Name, err)
		case err != nil:
			errs = append(errs, err)
		default:
			f.Streams.Talk("fixed: deleted sandbox %s", c.Name)
		}
	}
	return errors.Join(errs...)
}
