// Package command holds the verbs of kubectl ai, one file a verb. A verb
// turns strings into values (Complete), checks them without any input or
// output (Validate) and hands them to the domain packages (Run).
package command

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/term"
)

// Factory makes what verbs need, when they need it: --help reads neither a
// kubeconfig nor the payload.
type Factory struct {
	Streams term.Streams
	// Flags are kubectl's connection flags: --kubeconfig, --context, -n.
	Flags *genericclioptions.ConfigFlags
	// Payload holds the Linux programs that run in pods and nodes, under
	// linux-<arch>/<program>. A bare `go install` carries none.
	Payload fs.FS
	// Version is what `version` prints, for example v0.1.0.
	Version string
}

// Cache returns the user's cache folder of kubectl-ai, made when missing.
func (f *Factory) Cache() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the user's cache folder: %w", err)
	}
	dir := filepath.Join(base, "kubectl-ai")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make the cache folder: %w", err)
	}
	return dir, nil
}

// RESTConfig returns the client configuration of a context. The flags decide
// where context is empty. Client-side throttling is off: API priority and
// fairness is the server's own and better informed.
func (f *Factory) RESTConfig(context string) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	if f.Flags.KubeConfig != nil && *f.Flags.KubeConfig != "" {
		rules.ExplicitPath = *f.Flags.KubeConfig
	}
	overrides := &clientcmd.ConfigOverrides{}
	if context == "" && f.Flags.Context != nil {
		context = *f.Flags.Context
	}
	overrides.CurrentContext = context
	if as := f.Flags.Impersonate; as != nil {
		overrides.AuthInfo.Impersonate = *as
	}
	if timeout := f.Flags.Timeout; timeout != nil && *timeout != "0" {
		overrides.Timeout = *timeout
	}
	if context == inCluster {
		if raw, err := rules.Load(); err == nil && raw.Contexts[inCluster] == nil {
			return f.podConfig()
		}
	}
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides).ClientConfig()
	if err != nil {
		return nil, &explain.ContextError{Context: context, Err: err}
	}
	return f.tuned(config), nil
}

// inCluster is the context of a job that runs in the cluster that it changes:
// its service account is who it is. A kubeconfig's own context of that name
// comes first.
const inCluster = "in-cluster"

func (f *Factory) podConfig() (*rest.Config, error) {
	config, err := rest.InClusterConfig()
	if err != nil {
		return nil, &explain.ContextError{Context: inCluster, Err: err}
	}
	if as := f.Flags.Impersonate; as != nil {
		config.Impersonate.UserName = *as
	}
	return f.tuned(config), nil
}

func (f *Factory) tuned(config *rest.Config) *rest.Config {
	config.QPS = -1
	config.UserAgent = "kubectl-ai/" + f.Version
	return config
}

// elsewhere returns the factory for an environment other than the one that
// --context and -n are about.
func (f *Factory) elsewhere() *Factory {
	own := *f
	own.Flags = &genericclioptions.ConfigFlags{KubeConfig: f.Flags.KubeConfig, Impersonate: f.Flags.Impersonate, Timeout: f.Flags.Timeout}
	return &own
}

// contextNamespace returns the namespace of a context of the kubeconfig, as
// `kubectl config set-context --namespace` sets it, else "default".
func (f *Factory) contextNamespace(context string) string {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	if f.Flags.KubeConfig != nil {
		rules.ExplicitPath = *f.Flags.KubeConfig
	}
	config, err := rules.Load()
	if err != nil || config.Contexts[context] == nil {
		return metav1.NamespaceDefault // what is wrong is said by what needs it
	}
	return cmp.Or(config.Contexts[context].Namespace, metav1.NamespaceDefault)
}

// Namespace returns the namespace that -n names, or "".
func (f *Factory) Namespace() string {
	if f.Flags.Namespace == nil {
		return ""
	}
	return *f.Flags.Namespace
}
