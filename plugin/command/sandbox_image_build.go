package command

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/term"
	"github.com/kubectl-ai/kubectl-ai/sandbox/engine"
	"github.com/kubectl-ai/kubectl-ai/sandbox/nodeimage"
	"github.com/kubectl-ai/kubectl-ai/sandbox/runtimeimage"
)

// What `sandbox image build` builds.
const (
	imageNode   = "node"
	imagePython = "python"
)

// SandboxImageBuildOptions are the flags of `sandbox image build`.
type SandboxImageBuildOptions struct {
	What     string
	Tag      string
	CacheDir string
	Mirror   string
	Packages []string

	term.Streams
}

func newCmdSandboxImageBuild(f *Factory) *cobra.Command {
	o := &SandboxImageBuildOptions{Streams: f.Streams}
	cmd := &cobra.Command{
		Use:   "build [node|python]",
		Short: "Build a node image, or a Python image, from source",
		Long: `Build an image into the container engine of this machine, without any registry.

  node    (default) what sandbox nodes are made of: Kubernetes ` + nodeimage.Kubernetes + `, containerd,
          runc, etcd, CoreDNS and a storage class, compiled from their Go modules
          on a Debian 12 root, with the base files of kind. ` + "`sandbox create`" + ` uses it by
          itself when kind's own image is not here. The first time takes about a
          quarter of an hour on two cores.
  python  Debian's Python 3.11 with its whole standard library, under the name of
          the image that samples ask for, and a label that says so. A pulled image of
          that name is left as it is.

Needs Linux, go, gcc with libseccomp-dev, debootstrap and root the first time. What
is made is kept in the cache folder (1.1 GB) under the name of what it is made of;
an image that is up to date is not built again.

Exit codes: 0 the image is there, 1 failed, 2 usage, 3 something is missing on this
machine, 130 interrupted.`,
		Example: `  sudo --preserve-env=HOME kubectl ai sandbox image build
  kubectl ai sandbox image build python --package python3-numpy --tag my-runtime:1
  GOPROXY=https://proxy.example kubectl ai sandbox image build --mirror http://deb.example/debian`,
		Args:      atMostOne,
		ValidArgs: []string{imageNode, imagePython},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.Complete(f, args); err != nil {
				return err
			}
			if err := o.Validate(); err != nil {
				return err
			}
			return o.Run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Tag, "tag", "", "name of the image (default "+nodeimage.DefaultTag+" or "+runtimeimage.Python+")")
	flags.StringVar(&o.CacheDir, "cache-dir", "", "folder for what is made (default nodeimage in the user's cache folder of kubectl-ai)")
	flags.StringVar(&o.Mirror, "mirror", "", "Debian mirror, a URL (default debootstrap's)")
	flags.StringArrayVar(&o.Packages, "package", nil, "one more Debian package for a Python image; repeat for more")
	return cmd
}

// Complete finds the names that were not given.
func (o *SandboxImageBuildOptions) Complete(f *Factory, args []string) error {
	o.What = imageNode
	if len(args) == 1 {
		o.What = args[0]
	}
	if o.Tag == "" {
		o.Tag = nodeimage.DefaultTag
		if o.What == imagePython {
			o.Tag = runtimeimage.Python
		}
	}
	if o.CacheDir != "" {
		return nil
	}
	cache, err := f.Cache()
	o.CacheDir = filepath.Join(cache, "nodeimage")
	return err
}

// Validate checks the flags.
func (o *SandboxImageBuildOptions) Validate() error {
	switch o.What {
	case imagePython:
	case imageNode:
		if len(o.Packages) > 0 {
			return explain.Usagef("--package is for a Python image: kubectl ai sandbox image build python --package %s", o.Packages[0])
		}
	default:
		return explain.Usagef("no image is called %q: node or python, please", o.What)
	}
	if err := nodeimage.CheckTag(o.Tag); err != nil {
		return explain.Usagef("--tag %s: %w", o.Tag, err)
	}
	return nil
}

// Run builds the image and prints its name.
func (o *SandboxImageBuildOptions) Run(ctx context.Context) error {
	e, err := engine.Detect(ctx)
	if err != nil {
		return err
	}
	progress := term.NewProgress(o.Streams)
	if o.What == imagePython {
		b := &runtimeimage.Builder{Engine: e, Cache: o.CacheDir, Mirror: o.Mirror, Reporter: progress}
		built, err := b.Build(ctx, o.Tag, o.Packages...)
		return o.print(o.Tag, built, err)
	}
	b := &nodeimage.Builder{Engine: e, Cache: o.CacheDir, Mirror: o.Mirror, Reporter: progress}
	result, err := b.Build(ctx, o.Tag)
	return o.print(o.Tag, result.Built, err)
}

func (o *SandboxImageBuildOptions) print(tag string, built bool, err error) error {
	if err != nil {
		return err
	}
	did := "is up to date"
	if built {
		did = "built"
	}
	_, err = fmt.Fprintf(o.Out, "image/%s %s\n", tag, did)
	return err
}
