package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/kubectl-ai/kubectl-ai/plugin/clientset"
	"github.com/spf13/cobra"

	"github.com/kubectl-ai/kubectl-ai/plugin/demo"
	"github.com/kubectl-ai/kubectl-ai/sandbox/cluster"
	"github.com/kubectl-ai/kubectl-ai/sandbox/engine"
)

// DemoOptions are the arguments of `demo`.
type DemoOptions struct {
	Dir        string
	Name       string
	Production string
	Teardown   bool
	Yes        bool
}

// NewCmdDemo returns `kubectl ai demo`.
func NewCmdDemo(f *Factory) *cobra.Command {
	o := &DemoOptions{}
	cmd := &cobra.Command{
		Use:   "demo [DIR]",
		Short: "Go through the whole life of a model, from two empty clusters to production",
		Long: `Makes two sandboxes and a bundle in DIR (digits-demo by default), and goes through
the life of a model that reads digits: data from a Kafka topic, checked and split by
hash; training on two ranks; validation on what was held out; serving; monitoring;
then users who ask something else, the alert that Prometheus fires, the run that
retrains, and the promotion of what came out of it to the second cluster.

Every step is a command that is shown before it runs, and that you can type. The
local twins of Kafka, S3 and Prometheus are small programs in pods; the GPUs are
simulated. It takes a few minutes and 4 GiB of memory.

Clusters and bundle stay, and the same command goes on with them. --teardown deletes
the clusters, those that are there; the folder is yours.`,
		Example: `  kubectl ai demo
  kubectl ai demo --teardown`,
		Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Dir = "digits-demo"
			if len(args) > 0 {
				o.Dir = args[0]
			}
			return o.Run(cmd.Context(), f)
		},
	}
	cmd.Flags().StringVar(&o.Name, "name", "ai", "sandbox to work in, made when missing")
	cmd.Flags().StringVar(&o.Production, "production-name", "ai-production", "sandbox that is the production cluster, made when missing")
	cmd.Flags().BoolVar(&o.Teardown, "teardown", false, "delete both clusters and do nothing else")
	cmd.Flags().BoolVarP(&o.Yes, "yes", "y", false, "with --teardown: do not ask")
	return cmd
}

// Run goes through the demo, or deletes its clusters.
func (o *DemoOptions) Run(ctx context.Context, f *Factory) error {
	if o.Teardown {
		return o.teardown(ctx, f)
	}
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	e, err := engine.Detect(ctx)
	if err != nil {
		return err
	}
	d := &demo.Demo{
		Dir: filepath.Clean(o.Dir), Sandbox: o.Name, Production: o.Production, Program: program,
		Cluster: demoCluster{factory: f, engine: e}, Out: f.Streams.Out, ErrOut: f.Streams.ErrOut,
	}
	return d.Run(ctx)
}

// teardown deletes the clusters, those that are there: the demo may have been
// left before it made both.
func (o *DemoOptions) teardown(ctx context.Context, f *Factory) error {
	s, err := openSandboxes(ctx, f)
	if err != nil {
		return err
	}
	var doomed []cluster.Cluster
	for _, name := range []string{o.Name, o.Production} {
		c, err := s.Get(ctx, name)
		var notFound *cluster.NotFoundError
		switch {
		case errors.As(err, &notFound):
			f.Streams.Talk("no sandbox %q", name)
		case err != nil:
			return err
		default:
			doomed = append(doomed, c)
		}
	}
	if len(doomed) == 0 {
		return nil
	}
	return deleteSandboxes(ctx, f, s, doomed, o.Yes)
}

// demoCluster answers what the demo asks besides commands.
type demoCluster struct {
	factory *Factory
	engine  *engine.Engine
}

// Held implements demo.Cluster.
func (c demoCluster) Held(ctx context.Context, image string) (bool, error) {
	id, err := c.engine.ImageID(ctx, image)
	return id != "", err
}

// Alerts implements demo.Cluster: Prometheus' own API, through the API server.
func (c demoCluster) Alerts(ctx context.Context, kubeContext, namespace string) ([]string, error) {
	config, err := c.factory.RESTConfig(kubeContext)
	if err != nil {
		return nil, err
	}
	client, err := clientset.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	raw, err := client.CoreV1().Services(namespace).ProxyGet("http", "prometheus", "9090", "/api/v1/alerts", nil).DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask Prometheus: %w", err)
	}
	var answer struct {
		Data struct {
			Alerts []struct {
				State  string            `json:"state"`
				Labels map[string]string `json:"labels"`
			} `json:"alerts"`
		} `json:"data"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return nil, fmt.Errorf("read what Prometheus says: %w", err)
	}
	var firing []string
	for _, a := range answer.Data.Alerts {
		if a.State == "firing" {
			firing = append(firing, a.Labels["alertname"])
		}
	}
	return firing, nil
}
