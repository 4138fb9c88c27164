package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/attest"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/carrier"
	"github.com/kubectl-ai/kubectl-ai/plugin/term"
)

// untilMetric is --until metric: the workloads have started, and what their
// code reports is good enough.
const untilMetric = "metric"

// PromotionOptions are the flags that promote and rollback share.
type PromotionOptions struct {
	Dir      string
	To       string
	Yes      bool
	DryRun   bool
	Timeout  time.Duration
	Grace    time.Duration
	Replace  string
	Adopt    []string
	Prune    []string
	PruneMax int // percent of the inventory
	TakeOver []string
	Cluster  []string
	Output   string

	// What promote alone has.
	Until     string
	Atomic    bool
	ApproveBy []string
}

// PromoteOptions are the arguments of `promote`.
type PromoteOptions struct {
	PromotionOptions
	Rerun        bool
	NoCanary     bool
	From         string // environment whose release is promoted; empty: the code as it is here
	Unproven     bool
	OtherRuntime bool
	Into         string // a folder or oci://…; empty: the cluster
	WithSecrets  bool
	SignKey      string
	signer       *attest.SigningKey // nil: nothing is signed
}

// NewCmdPromote returns `kubectl ai promote`.
func NewCmdPromote(f *Factory) *cobra.Command {
	o := &PromoteOptions{}
	cmd := &cobra.Command{
		Use:   "promote [DIR] --to ENVIRONMENT",
		Short: "Take a bundle, with the code that ran in the sandbox, to another cluster",
		Long: `Packages the code, renders the environment's overlay with images by digest, checks
whether it can work there, shows the difference, asks, applies it server-side,
waits until all ranks are ready, prunes what the bundle no longer holds, and
records the release.

The code is that of a generation which all ranks of the sandbox proved to run, as
it is here now: its contents are taken from the journal that dev keeps on this
machine. A run of the sandbox that ended well (kubectl ai run) proves its code as
well; the folder's, which is the same, is taken then. Code that neither names is
refused, and so is a runtime image other than the one that it ran in. --unproven takes
the folder's code all the same, and --other-runtime the image; the record of the
release says so.

It goes the first of the ways in codeFormat of kubectl-ai.yaml that the cluster can
take: layer (on the runtime image), imageVolume (an image of its own, mounted) or
configMap; layer, then configMap unless the file says otherwise. Mounted code is
read-only: a program that wrote beside its code under dev is refused.

A Job gets a name made of what it runs, so that another template is another run
and the same one is none. An earlier Job that still runs is left running, unless
--replace says that it gives way; a finished one stays for two releases. Namespaces,
CRDs and volume claims are never pruned unasked. Objects that no release made are
refused, and so are fields that another manager owns, unless --take-over names him.
The same bundle again writes nothing.

How the code was packaged (SLSA provenance) and what it is made of (a CycloneDX bill
of materials: files, runtime images, packages that requirements.txt or uv.lock pin)
are attached to its images in their registry. --sign-key signs the provenance, which
names the bill of materials by digest. A ConfigMap has signed provenance alone, as
an annotation. Images that are released already are signed without a new release.

The environment's gates in kubectl-ai.yaml (a metric that the code reported, a
command, a signature, approval) are asked before anything is pushed or applied. With several
clusters all of them are checked first; then one wave after the other gets the
release, and the next one only when the one before has stayed well for its soak
time and passed its gates. When one fails, the clusters that were changed go back
(onFailure: stop leaves them), and the same command later does what is missing.

Where the environment has a canary, a Deployment whose pods change gets a second one
beside it, <name>-canary, with the next pods and a growing part of the traffic: step by
step the weights of the HTTPRoute are set, the pods have to stay well for the soak time,
and the step's gates are asked. Only then is the Deployment itself changed. When
something refuses, fails or is interrupted, the traffic goes back and the canary is
removed. Rollbacks go without one.

With --into the objects are written as files instead, for those whose clusters are
changed by Git alone: one file an object and a kustomization that lists them, the
same bytes for the same objects. Flux and Argo CD are told not to prune runs, claims
and namespaces.

Exit codes: 1 the release did not come up (the current one stays what it was),
2 usage, 3 the target is not ready or not the one that is pinned, 4 not permitted,
5 a gate refused, or nothing proves the code or its runtime image, 124 --timeout
ran out.`,
		Example: `  kubectl ai promote samples/digits --to production
  kubectl ai promote --to production --dry-run
  kubectl ai promote --from staging --to production
  kubectl ai promote --to production --into ../fleet/production
  kubectl ai promote --to production --yes -o json | jq .treeDigest`,
		Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Dir = dirArg(args)
			if err := o.Validate(); err != nil {
				return err
			}
			return o.Run(cmd.Context(), f)
		},
	}
	o.addFlags(cmd)
	cmd.Flags().StringVar(&o.From, "from", "", "environment whose current release is promoted, its code and images as they are there, instead of the code here")
	cmd.Flags().BoolVar(&o.Rerun, "rerun", false, "run finished Jobs of the bundle again")
	cmd.Flags().BoolVar(&o.NoCanary, "no-canary", false, "change served workloads at once, without the steps of the environment's canary")
	cmd.Flags().StringVar(&o.Until, "until", string(apply.UntilStarted), "what to wait for: started (all ranks are ready), complete (what ends by itself has ended well) or metric (the code has reported every metric of kubectl-ai.yaml that has a threshold, and meets it)")
	cmd.Flags().BoolVar(&o.Atomic, "atomic", false, "bring the current release back when the new one does not come up; after a first release, remove what it made but what may hold data")
	cmd.Flags().StringArrayVar(&o.ApproveBy, "approve-by", nil, "name of somebody who approves, for the record; may be repeated")
	completeWords(cmd, "until", string(apply.UntilStarted), string(apply.UntilComplete), untilMetric)
	cmd.Flags().BoolVar(&o.Unproven, "unproven", false, "promote code that no receipts of the sandbox name; the release says so")
	cmd.Flags().BoolVar(&o.OtherRuntime, "other-runtime", false, "promote to another runtime image than the code ran in; the release says so")
	cmd.Flags().StringVar(&o.Into, "into", "", "folder, or oci://registry/name:tag, that gets the objects as files for Flux, Argo CD or kubectl apply; no cluster is asked or changed")
	cmd.Flags().BoolVar(&o.WithSecrets, "with-secrets", false, "with --into: write the bundle's Secrets too, in plain")
	cmd.Flags().StringVar(&o.SignKey, "sign-key", "", "private key that signs the provenance of the code: PEM (PKCS#8), ECDSA on P-256 or Ed25519; - is stdin (default: $"+signKeyVariable+")")
	_ = cmd.MarkFlagFilename("sign-key")
	addEvents(cmd, f)
	return cmd
}

func (o *PromotionOptions) addFlags(cmd *cobra.Command) {
	addEnvironment(cmd, &o.To)
	cmd.Flags().BoolVarP(&o.Yes, "yes", "y", false, "do not ask before the cluster is changed")
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "show what would change, and push and apply nothing")
	cmd.Flags().DurationVar(&o.Timeout, "timeout", 10*time.Minute, "how long the workloads may take to be where they should be, and before that earlier runs to give way")
	cmd.Flags().DurationVar(&o.Grace, "unschedulable-grace", apply.DefaultGrace, "how long a pod may fit on no node; more where nodes are made on demand")
	cmd.Flags().StringVar(&o.Replace, "replace", string(promote.ReplaceKeep), "what becomes of earlier runs of a workload that have not ended: keep (they run on), after-finish (wait for their end before anything is applied), suspend (they go on when their release comes back) or kill (delete them)")
	completeWords(cmd, "replace", promote.Replacements...)
	cmd.Flags().StringArrayVar(&o.Adopt, "adopt", nil, "Kind/name of an object that exists and becomes the release's; may be repeated")
	cmd.Flags().StringArrayVar(&o.Prune, "prune-also", nil, "Kind/name of an object that left the bundle and would be kept, such as a running Job; may be repeated")
	cmd.Flags().IntVar(&o.PruneMax, "prune-max", 30, "how many percent of the release's objects may be deleted because they left the bundle; three may always")
	cmd.Flags().StringArrayVar(&o.TakeOver, "take-over", nil, "field manager, such as kubectl-edit, whose fields become the release's where they conflict; may be repeated")
	addCluster(cmd, &o.Cluster)
	addOutput(cmd, &o.Output)
}

// addCluster adds the flag that chooses among the clusters of an environment.
func addCluster(cmd *cobra.Command, names *[]string) {
	cmd.Flags().StringArrayVar(names, "cluster", nil, "name of one of the environment's clusters; may be repeated (default: all, where that can be)")
}

func addEnvironment(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVar(to, "to", "", "environment of the bundle, such as production")
}

// Validate checks the flags, all of them.
func (o *PromotionOptions) Validate() error {
	var errs []error
	if o.To == "" {
		errs = append(errs, errors.New("--to is missing: name the environment, such as --to production"))
	}
	if o.Timeout <= 0 {
		errs = append(errs, fmt.Errorf("--timeout %v: more than 0, please", o.Timeout))
	}
	if o.Grace < 0 {
		errs = append(errs, fmt.Errorf("--unschedulable-grace %v: 0 or more, please", o.Grace))
	}
	if o.PruneMax < 1 || o.PruneMax > 100 {
		errs = append(errs, fmt.Errorf("--prune-max %d: 1 to 100, please", o.PruneMax))
	}
	switch apply.Until(o.Until) {
	case "", apply.UntilStarted, apply.UntilComplete, untilMetric:
	default:
		errs = append(errs, fmt.Errorf("--until %s: %s, %s or %s, please", o.Until, apply.UntilStarted, apply.UntilComplete, untilMetric))
	}
	if o.Replace != "" && !slices.Contains(promote.Replacements, o.Replace) {
		errs = append(errs, fmt.Errorf("--replace %s: %s, please", o.Replace, strings.Join(promote.Replacements, ", ")))
	}
	if err := errors.Join(errs...); err != nil {
		return explain.Usagef("%w", err)
	}
	return checkOutput(o.Output)
}

// open connects to the environment's clusters, after it is clear that somebody
// answers the question before the first write.
func (o *PromotionOptions) open(ctx context.Context, f *Factory) ([]*production, error) {
	if !o.Yes && !o.DryRun && !f.Streams.InTerminal() {
		return nil, fmt.Errorf("ask before %s is changed: %w", o.To, term.ErrNoTerminal)
	}
	all, err := openClusters(ctx, f, o.Dir, o.To, o.Cluster)
	if err != nil {
		return nil, err
	}
	until, metrics := apply.Until(o.Until), []project.Metric(nil)
	if until == untilMetric {
		if until, metrics = apply.UntilStarted, all[0].project.Targets(); len(metrics) == 0 {
			return nil, explain.Usagef("--until metric: %s gives no metric a threshold", project.FileName)
		}
	}
	for _, p := range all {
		p.Options = promote.Options{Adopt: o.Adopt, PruneAlso: o.Prune, PruneMax: o.PruneMax, TakeOver: o.TakeOver, Replace: promote.Replacement(o.Replace), Timeout: o.Timeout, Wait: apply.WaitOptions{Grace: max(o.Grace, time.Nanosecond), Until: until}, Metrics: metrics}
		if p.env.InSandbox {
			p.Options.Beside = []string{devManager}
		}
	}
	return all, nil
}

// Run promotes.
func (o *PromoteOptions) Run(ctx context.Context, f *Factory) error {
	if err := o.readSignKey(f); err != nil {
		return err
	}
	if o.Into != "" {
		return o.write(ctx, f)
	}
	all, err := o.open(ctx, f)
	if err != nil {
		return err
	}
	members, err := o.members(ctx, f, all)
	if err != nil {
		return err
	}
	if all[0].cluster != "" {
		return (&fleet{PromotionOptions: o.PromotionOptions, members: members}).run(ctx, f)
	}
	return all[0].run(ctx, f, o.PromotionOptions, members[0].bundle, members[0].carried)
}

// members makes the bundle for each cluster: with the code as it was proven
// here, or as it runs in another environment.
func (o *PromoteOptions) members(ctx context.Context, f *Factory, all []*production) ([]*member, error) {
	if o.From != "" {
		return o.again(ctx, f, all)
	}
	found, err := all[0].findCode(ctx, f, o) // once: all clusters get the same
	if err != nil {
		return nil, err
	}
	all[0].progress.Start("Package the code, " + found.code.Digest().Short())
	members, err := o.pack(ctx, f, all, found)
	all[0].progress.End(err)
	return members, err
}

// pack makes a bundle with the code in it for each cluster.
func (o *PromoteOptions) pack(ctx context.Context, f *Factory, all []*production, found *foundCode) ([]*member, error) {
	if err := shareArchitectures(ctx, all); err != nil {
		return nil, err
	}
	var members []*member
	for _, p := range all {
		o.prepare(f, p)
		b, carried, err := p.pack(ctx, f, o, found.copy())
		if err != nil {
			return nil, p.in(err)
		}
		members = append(members, &member{production: p, bundle: b, carried: carried})
	}
	return members, nil
}

// pack makes the bundle with the code in it.
func (p *production) pack(ctx context.Context, f *Factory, o *PromoteOptions, found *foundCode) (promote.Bundle, *carrier.Result, error) {
	carried, err := p.carry(ctx, f, found)
	if err != nil {
		return promote.Bundle{}, nil, err
	}
	if err := p.compare(f, o, found, carried); err != nil {
		return promote.Bundle{}, nil, err
	}
	if err := p.attest(f, found, carried, o.signer); err != nil {
		return promote.Bundle{}, nil, err
	}
	digest := found.code.Digest()
	promote.Mark(p.targets, p.project.Name, digest)
	p.objects = append(p.objects, carried.Objects...)
	return promote.Bundle{Objects: p.objects, Tree: digest.String(), Images: carried.Images, Pushed: carried.Pushed(), Evidence: found.evidence}, carried, nil
}
