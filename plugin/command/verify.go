package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/observe"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/session"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/wire"
)

// VerifyOptions are the arguments of `verify`.
type VerifyOptions struct {
	Dir     string
	To      string
	Output  string
	Timeout time.Duration
	Keys    []string // files
}

// verification is what `verify -o json` prints.
type verification struct {
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"`
	Local      tree.Digest    `json:"local"`
	Ranks      []verifiedRank `json:"ranks"`
}

type verifiedRank struct {
	Name        string            `json:"name"`
	Rank        int               `json:"rank"`
	Generation  uint64            `json:"generation"`
	TreeDigest  tree.Digest       `json:"treeDigest"`
	Same        bool              `json:"same"`
	Differences []wire.Difference `json:"differences,omitempty"`
}

// NewCmdVerify returns `kubectl ai verify`.
func NewCmdVerify(f *Factory) *cobra.Command {
	o := &VerifyOptions{}
	cmd := &cobra.Command{
		Use:   "verify [DIR] [--to ENVIRONMENT]",
		Short: "Hash the code where it runs, and compare it with what it should be",
		Long: `Every rank of dev hashes its files from disk. The digests are compared with the code
on this machine; what differs is named. It may run while dev is connected.

With --to it asks that environment whether it still runs its current release. No
agent runs there: the images in live objects and those that nodes report for their
containers are compared with the record, every byte of the pushed images is
downloaded and hashed, and ConfigMaps that hold code are hashed again, down to the
tree digest that the release carries since the laptop. With --key all that holds the
code must have provenance that one of the keys signed, with the digests of the release.

Nothing is changed. Exit code 5: something differs.`,
		Example: `  kubectl ai verify samples/digits
  kubectl ai verify --to production -o json | jq '.findings[] | select(.verdict == "differs")'
  kubectl ai verify --to production --key keys/ci.pub`,
		Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Dir = dirArg(args)
			if err := checkOutput(o.Output); err != nil {
				return err
			}
			if o.To != "" {
				return o.release(cmd.Context(), f)
			}
			if len(o.Keys) > 0 {
				return explain.Usagef("--key is about a release: name its environment with --to")
			}
			return o.Run(cmd.Context(), f)
		},
	}
	addOutput(cmd, &o.Output)
	addEnvironment(cmd, &o.To)
	cmd.Flags().Lookup("to").Usage = "environment whose current release is verified, such as production"
	cmd.Flags().StringArrayVar(&o.Keys, "key", nil, "with --to: public key (PEM) that may have signed the release; may be repeated")
	_ = cmd.MarkFlagFilename("key")
	cmd.Flags().DurationVar(&o.Timeout, "timeout", time.Minute, "how long the ranks may take; with --to: all together")
	return cmd
}

// Run verifies all ranks at once.
func (o *VerifyOptions) Run(ctx context.Context, f *Factory) error {
	t, err := openTarget(ctx, f, o.Dir, project.Sandbox, &allowance{reads: true})
	if err != nil {
		return err
	}
	index, err := scan(ctx, f, t.project.Code[0])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	report, err := t.verify(ctx, index.Digest())
	if err != nil {
		return err
	}
	names := make([]string, len(report.Ranks))
	for i, r := range report.Ranks {
		names[i] = "rank/" + r.Name
	}
	if err := printAs(f.Streams.Out, o.Output, report, names, report.table); err != nil {
		return err
	}
	return report.err()
}

// verify asks all ranks that run to hash what they have, at once, and compares
// it with the code on this machine.
func (t *target) verify(ctx context.Context, local tree.Digest) (*verification, error) {
	ranks, err := t.ranks(ctx)
	if err != nil {
		return nil, err
	}
	report := &verification{APIVersion: outputVersion, Kind: "Verification", Local: local, Ranks: make([]verifiedRank, len(ranks))}
	var group errgroup.Group
	for i, r := range ranks {
		group.Go(func() error {
			v, err := session.Verify(ctx, t.dial(), r)
			if err != nil {
				return err
			}
			report.Ranks[i] = verifiedRank{Name: r.Name, Rank: r.Index, Generation: v.Generation, TreeDigest: v.Digest, Same: v.Digest == report.Local, Differences: v.Differences}
			return nil
		})
	}
	return report, group.Wait()
}

// err names the ranks that differ.
func (v *verification) err() error {
	var differing []string
	for _, r := range v.Ranks {
		if !r.Same {
			differing = append(differing, r.Name)
		}
	}
	if len(differing) == 0 {
		return nil
	}
	return &explain.DiffersError{What: strings.Join(differing, ", "), From: "the code on this machine (" + v.Local.Short() + ")"}
}

func (v *verification) table(w io.Writer) error { return v.write(w, tree.Digest.String) }

// write is the table with digests in full, or short to fit a terminal.
func (v *verification) write(w io.Writer, digest func(tree.Digest) string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintf(t, "WHERE\tGENERATION\tDIGEST\tSAME\n")
	_, _ = fmt.Fprintf(t, "this machine\t\t%s\t\n", digest(v.Local))
	for _, r := range v.Ranks {
		_, _ = fmt.Fprintf(t, "%s\t%d\t%s\t%t\n", rankName(session.Rank{Name: r.Name, Index: r.Rank}), r.Generation, digest(r.TreeDigest), r.Same)
		for _, d := range r.Differences {
			_, _ = fmt.Fprintf(t, "  %s\t\t%s\t\n", d.Path, d.What)
		}
	}
	return t.Flush()
}

// errNoRanks says that nothing of the bundle runs.
var errNoRanks = errors.New("no rank of the bundle runs: kubectl ai dev starts it")

// ranks returns the ranks that run now, by their number.
func (t *target) ranks(ctx context.Context) ([]session.Rank, error) {
	s := t.selection()
	pods, err := t.client.CoreV1().Pods(s.Namespace).List(ctx, metav1.ListOptions{LabelSelector: s.Selector})
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	var ranks []session.Rank
	for i := range pods.Items {
		if pods.Items[i].Status.Phase == corev1.PodRunning && pods.Items[i].DeletionTimestamp == nil {
			for _, r := range observe.Ranks(&pods.Items[i], s.Annotation) {
				ranks = append(ranks, sessionRank(r))
			}
		}
	}
	if len(ranks) == 0 {
		return nil, errNoRanks
	}
	slices.SortFunc(ranks, func(a, b session.Rank) int { return a.Index - b.Index })
	return ranks, nil
}
