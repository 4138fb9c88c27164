package command

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/programimage"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/attach"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/execstream"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/session"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// AttachOptions are the arguments of `attach`.
type AttachOptions struct {
	Pod       string
	Container string
	Dir       string
	Into      string
	Signal    string
	Once      bool
	Timeout   time.Duration
	Output    string

	allow allowance
}

// NewCmdAttach returns `kubectl ai attach`.
func NewCmdAttach(f *Factory) *cobra.Command {
	o := &AttachOptions{}
	cmd := &cobra.Command{
		Use:   "attach POD[/CONTAINER] [DIR]",
		Short: "Bring every save into a container that runs already; nothing is restarted",
		Long: `Keeps a folder in a running container the same as the code on this machine. The
container's own process goes on: it finds each save under the same paths, as one
complete tree, and is told of it by --signal, where it catches that one. When it
reads the code again is its own affair.

The pod needs no preparation, and its manifest is not touched. The agent is put
beside the code through exec, so the container has to have sh with head, wc,
chmod and mv, and a folder of code that its user may write to, such as an
emptyDir: code on the container's own filesystem goes with the container. Files
that are there under the names of the code make way, to .kubectl-ai/data in that
folder. What is missing is named, and nothing is changed then.

Ctrl-C detaches; the code stays until the pod is deleted. A cluster that is no
sandbox takes --allow-context.`,
		Example: `  kubectl ai attach serve-6c9f7 -n digits --signal HUP
  kubectl ai attach notebook-0/jupyter samples/digits --into /home/me/src --once`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return explain.Usagef("name the pod, and the folder of the bundle if it is another than this one")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Pod, o.Container, _ = strings.Cut(strings.TrimPrefix(args[0], "pod/"), "/")
			o.Dir = dirArg(args[1:])
			if err := o.Validate(); err != nil {
				return err
			}
			return o.Run(cmd.Context(), f)
		},
	}
	cmd.Flags().StringVar(&o.Into, "into", "", "folder in the container; empty: the project's code[].mountPath, else the container's workingDir")
	cmd.Flags().StringVar(&o.Signal, "signal", "", "signal that tells process 1 of new code, such as HUP; empty: none")
	cmd.Flags().BoolVar(&o.Once, "once", false, "bring the code as it is now, print the receipt and exit")
	cmd.Flags().DurationVar(&o.Timeout, "timeout", time.Minute, "with --once: how long it may take")
	cmd.Flags().StringVarP(&o.Output, "output", "o", "", "json: receipts as JSON lines on stdout")
	o.allow.addFlag(cmd)
	completeWords(cmd, "output", "json")
	completeWords(cmd, "signal", "HUP", "USR1", "USR2")
	return cmd
}

// Validate checks the flags.
func (o *AttachOptions) Validate() error {
	o.Signal = strings.TrimPrefix(strings.ToUpper(o.Signal), "SIG")
	if o.Into != "" && !strings.HasPrefix(o.Into, "/") {
		return explain.Usagef("--into %s: an absolute path, please", o.Into)
	}
	switch o.Signal {
	case "", "HUP", "USR1", "USR2", "INT", "WINCH", "CONT", "URG":
	default:
		return explain.Usagef("--signal %s: HUP, USR1, USR2, INT, WINCH, CONT or URG; a signal that ends the process restarts the container", o.Signal)
	}
	return checkOneOf("output", o.Output, "", "json")
}

// Run attaches and follows the code.
func (o *AttachOptions) Run(ctx context.Context, f *Factory) error {
	p, err := project.Load(o.Dir)
	if err != nil {
		return err
	}
	env, err := p.Environment(project.Sandbox)
	if err != nil {
		env = project.Environment{} // a folder of code will do
	}
	c, err := connect(ctx, f, sandboxContext(f, env), "", &o.allow)
	if err != nil {
		return err
	}
	namespace := cmp.Or(f.Namespace(), env.Namespace, f.contextNamespace(c.context))
	pod, err := c.client.CoreV1().Pods(namespace).Get(ctx, o.Pod, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read the pod: %w", err)
	}
	into, err := attach.Find(pod, o.Container, cmp.Or(o.Into, p.Code[0].MountPath), o.Signal)
	if err != nil {
		return err
	}
	a := &attachment{f: f, o: o, c: c, into: into, code: p.Code[0], exec: &execstream.Dialer{Config: c.config, Client: c.client, Namespace: namespace}}
	if a.agent, err = into.Prepare(ctx, a.exec, a.program); err != nil {
		return err
	}
	told := "nobody is told"
	if o.Signal != "" {
		told = "process 1 is told by SIG" + o.Signal
	}
	f.Streams.Talk("attached to %s: code is synced to %s, %s; nothing is started or restarted", into, into.Into, told)
	if o.Once {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.Timeout)
		defer cancel()
	}
	err = a.run(ctx)
	if errors.Is(context.Cause(ctx), explain.Interrupted) && !o.Once {
		f.Streams.Talk("detached: the code stays in %s as it is until the pod is deleted", into)
		return nil
	}
	return err
}

// attachment follows the code on this machine into one container.
type attachment struct {
	f     *Factory
	o     *AttachOptions
	c     *connection
	code  project.Code
	into  *attach.Container
	exec  *execstream.Dialer
	agent string // its path in the container, for the first time
	last  tree.Index
	fails string // why it could not be dialled again
}

// program returns the agent for an architecture.
func (a *attachment) program(arch string) ([]byte, error) {
	return programimage.Agent.Content(a.f.Payload, arch)
}

// run serves until ctx ends, or until --once has its receipt.
func (a *attachment) run(parent context.Context) error {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	host, _ := os.Hostname()
	gang := session.NewGang(a.dial, fmt.Sprintf("pid %d on %s", os.Getpid(), host), session.Events{
		Delivered: func(d session.Delivery) {
			if a.delivered(d); a.o.Once {
				cancel(errDelivered)
			}
		},
		Refused: func(_ *session.Version, err error) {
			a.f.Streams.Talk("not delivered, the code there stays as it is: %v", err)
		},
		Lost: func(_ session.Rank, err error) {
			a.f.Streams.Talk("lost %s: %v; connecting again", a.into, err)
		},
		Notice: func(_ session.Rank, text string) { a.f.Streams.Talk("%s: %s", a.into, text) },
	})
	out, cache := leftOut{}, session.NewCache(cacheBytes)
	follower := &session.Follower{
		Root: a.code.Path, Tree: treeOptions(a.code), Cache: cache,
		Scanned: func(s *tree.Scanner) { out.say(a.f, s) },
		Trouble: func(err error) {
			if err != nil {
				a.f.Streams.Talk("not delivered: %v", err)
			}
		},
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return gang.Run(ctx) })
	group.Go(func() error { return follower.Run(ctx, gang) })
	gang.Add(ctx, session.Rank{ID: string(a.into.Pod.UID) + "/" + a.into.Name, Name: a.into.String(), Index: -1})
	err := group.Wait()
	switch {
	case errors.Is(context.Cause(ctx), errDelivered):
		return nil
	case err != nil:
		return err
	}
	return context.Cause(parent)
}

// dial reaches the agent, and brings it anew where a restarted container has
// lost it. A pod that is gone is the end.
func (a *attachment) dial(ctx context.Context, _ session.Rank) (io.ReadWriteCloser, error) {
	stream, err := a.dialOnce(ctx)
	said := ""
	if err != nil {
		said = err.Error()
	}
	if said != "" && said != a.fails && ctx.Err() == nil {
		a.f.Streams.Talk("%s cannot be reached: %s", a.into, said)
	}
	a.fails = said
	return stream, err
}

func (a *attachment) dialOnce(ctx context.Context) (io.ReadWriteCloser, error) {
	pod, err := a.c.client.CoreV1().Pods(a.into.Pod.Namespace).Get(ctx, a.into.Pod.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err) || err == nil && (pod.UID != a.into.Pod.UID || pod.Status.Phase != corev1.PodRunning):
		return nil, &attach.UnfitError{Where: a.into.String(), Kind: attach.Gone, Detail: "the pod is gone"}
	case err != nil:
		return nil, err
	}
	agent := a.agent
	if a.agent = ""; agent == "" {
		if agent, err = a.into.Prepare(ctx, a.exec, a.program); err != nil {
			return nil, err
		}
	}
	return a.into.Dial(ctx, a.exec, agent)
}

// delivered prints the receipt of a generation.
func (a *attachment) delivered(d session.Delivery) {
	changes := d.Version.Index.Diff(a.last)
	a.last = d.Version.Index
	a.f.Streams.Talk("gen %d · %s · %s · synced to %s", d.Generation, files(changes.Len()), d.Version.Digest.Short(), a.into.Into)
	for _, r := range d.Receipts {
		switch {
		case a.o.Output == "json":
			if line, err := json.Marshal(r); err == nil {
				_, _ = fmt.Fprintf(a.f.Streams.Out, "%s\n", line)
			}
		case a.o.Once:
			_, _ = fmt.Fprintf(a.f.Streams.Out, "receipt: %s has %s\n", a.into, r.TreeDigest)
		}
	}
}
