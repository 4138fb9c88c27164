package command

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/run"
	"github.com/kubectl-ai/kubectl-ai/plugin/run/admit"
	"github.com/kubectl-ai/kubectl-ai/plugin/run/why"
)

// explanation is what `why -o json` prints.
type explanation struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	why.Explanation
}

// NewCmdWhy returns `kubectl ai why`.
func NewCmdWhy(f *Factory) *cobra.Command {
	o := &RunsOptions{allow: allowance{reads: true}}
	cmd := &cobra.Command{
		Use:   "why RUN|POD",
		Short: "Say why a run or a pod does not run, or did not end well",
		Long: `Says, on one screen, what stands in the way and what helps. Of a run that waits: who
holds what it wants, since when, and which of them have to end; whether nodes could ever
hold it; quotas; a resource that no node has. Of one that was let go: what the scheduler,
the nodes or the server's admission say, and which ranks a gang lacks. Of one that
failed: how its first ranks ended, what the exit code or the end of the log means. Of one
that is not good enough: what refuses it. The first cause matters most; with -o json its
kind is a word that stays, such as memory, image, quota, shm or gang. Nothing is changed.`,
		Example: `  kubectl ai why k7x2mq
  kubectl ai why train-0-x7k2p -n team-a -o json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return explain.Usagef("%s wants the ID of a run or the name of a pod\nsee: kubectl ai runs list", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(o.Output); err != nil {
				return err
			}
			r, err := o.open(cmd.Context(), f)
			if err != nil {
				return err
			}
			e, err := r.why(cmd.Context(), strings.TrimPrefix(strings.TrimPrefix(args[0], "run/"), "pod/"))
			if err != nil {
				return err
			}
			view := explanation{outputVersion, "Explanation", e}
			return printAs(f.Streams.Out, o.Output, view, []string{e.Subject}, view.table)
		},
	}
	o.addFlags(cmd, f)
	return cmd
}

// why explains a run, or a pod where there is no run of that ID.
func (r *runSet) why(ctx context.Context, name string) (why.Explanation, error) {
	record, err := r.store.Get(ctx, name)
	var none *run.NotFoundError
	if errors.As(err, &none) {
		pod, podErr := r.client.CoreV1().Pods(r.namespace).Get(ctx, name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(podErr):
			return why.Explanation{}, err
		case podErr != nil:
			return why.Explanation{}, fmt.Errorf("read pod %s: %w", name, podErr)
		}
		seen, err := r.see(ctx)
		if err != nil {
			return why.Explanation{}, err
		}
		e := why.Pod(pod, seen, r.events(ctx))
		r.hear(ctx, "", &e)
		return e, nil
	}
	if err != nil {
		return why.Explanation{}, err
	}
	if record, err = r.refresh(ctx, record); err != nil {
		return why.Explanation{}, err
	}
	return r.whyRun(ctx, record)
}

// whyRun explains a run whose record is up to date.
func (r *runSet) whyRun(ctx context.Context, record run.Record) (why.Explanation, error) {
	seen, err := r.see(ctx)
	if err != nil {
		return why.Explanation{}, err
	}
	live, err := r.store.Look(ctx, &record)
	if err != nil {
		return why.Explanation{}, err
	}
	e := why.Run(record, live, seen, r.events(ctx))
	r.hear(ctx, record.ID, &e)
	return e, nil
}

// see reads what nodes, quotas and others hold, as far as that may be read.
func (r *runSet) see(ctx context.Context) (admit.Seen, error) {
	seen, blind, err := r.queue.See(ctx)
	if blind != nil {
		r.f.Streams.Talk("who holds what cannot be told: %v", blind)
	}
	return seen, err
}

// events are what was said of late in the namespace. They are extra: none
// where they may not be read.
func (r *runSet) events(ctx context.Context) []corev1.Event {
	list, err := r.client.CoreV1().Events(r.namespace).List(ctx, metav1.ListOptions{FieldSelector: "type=" + corev1.EventTypeWarning})
	if err != nil {
		return nil
	}
	killing, err := r.client.CoreV1().Events(r.namespace).List(ctx, metav1.ListOptions{FieldSelector: "reason=Killing"})
	if err != nil {
		return list.Items
	}
	return append(list.Items, killing.Items...)
}

// because says in a line why a run is as it is, and what helps; "" where that
// is not known. The context of whoever waited may be over.
func (r *runSet) because(ctx context.Context, record run.Record) (cause, next string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askingWhy)
	defer cancel()
	e, err := r.whyRun(ctx, record)
	if err != nil || e.Causes[0].Kind == why.KindNothing {
		return "", ""
	}
	return e.Causes[0].Message, e.Causes[0].Next
}

const (
	// askingWhy bounds what an error waits for its cause. Chosen.
	askingWhy = 10 * time.Second
	// heardLines is how much of a log is searched for what it ended of. Chosen.
	heardLines = int64(60)
)

// hear finds the last words of what failed: of the first container whose log
// says anything. id is the run's, "" for a pod alone.
func (r *runSet) hear(ctx context.Context, id string, e *why.Explanation) {
	for _, failed := range e.Failed() {
		log := r.lastWords(ctx, failed)
		if len(log) == 0 {
			log = r.keptWords(id, failed)
		}
		if len(log) > 0 {
			e.Hear(failed, log)
			return
		}
	}
}

// lastWords is the end of the log of a container that failed; none where it
// cannot be read.
func (r *runSet) lastWords(ctx context.Context, failed why.Failed) (out []string) {
	lines := heardLines
	log, err := r.client.CoreV1().Pods(r.namespace).GetLogs(failed.Pod, &corev1.PodLogOptions{Container: failed.Container, Previous: failed.Previous, TailLines: &lines}).Stream(ctx)
	if err != nil {
		return nil
	}
	defer func() { _ = log.Close() }()
	for scanner := bufio.NewScanner(log); scanner.Scan(); {
		out = append(out, heard(scanner.Text()))
	}
	return out
}

// keptWords is what was kept of it on this machine, where its pod is gone.
func (r *runSet) keptWords(id string, failed why.Failed) (out []string) {
	if r.copies == nil || id == "" {
		return nil
	}
	kept, err := r.copies.Read(id)
	if err != nil {
		return nil
	}
	for _, line := range kept {
		if line.Pod == failed.Pod && line.Container == failed.Container {
			out = append(out, heard(line.Text))
		}
	}
	return out[max(0, len(out)-int(heardLines)):]
}

// heard is a line as why shows it.
func heard(line string) string {
	return strings.ToValidUTF8(fmt.Sprintf("%.160s", line), "\uFFFD")
}

func (e explanation) table(w io.Writer) error {
	_, _ = fmt.Fprintf(w, "%s: %s\n", e.Subject, e.Phase)
	for _, c := range e.Causes {
		_, _ = fmt.Fprintf(w, "  %s\n", c.Message)
		if c.Next != "" {
			_, _ = fmt.Fprintf(w, "    next: %s\n", c.Next)
		}
	}
	if len(e.Holders) > 0 {
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(t, "  HOLDER\tHOLDS\tFOR\tFREED BY")
		for _, h := range e.Holders {
			_, _ = fmt.Fprintf(t, "  %s\t%s\t%s\t%s\n", h.Name, h.Holds, duration.HumanDuration(time.Since(h.Since)), dash(h.Frees))
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	for _, line := range e.Log {
		_, _ = fmt.Fprintf(w, "  | %s\n", line)
	}
	return nil
}
