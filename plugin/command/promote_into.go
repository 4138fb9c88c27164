package command

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/carrier"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/gitops"
	"github.com/kubectl-ai/kubectl-ai/plugin/term"
)

// ociScheme is how --into names an artifact and not a folder.
const ociScheme = "oci://"

// intoReport is what `promote --into -o json` prints.
type intoReport struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Into is the folder, or the artifact by digest.
	Into       string            `json:"into"`
	TreeDigest string            `json:"treeDigest"`
	Images     map[string]string `json:"images"`
	Files      []string          `json:"files"`
	// Written says what changed in a folder.
	Written *gitops.Written `json:"written,omitempty"`
}

// write promotes into files: the code is packaged and pushed as ever, and what
// would be applied is written for somebody else to apply. The environment's
// cluster is not asked, so it may be one that nobody reaches from here.
func (o *PromoteOptions) write(ctx context.Context, f *Factory) error {
	r, err := render(f, o.Dir, o.To)
	if err != nil {
		return err
	}
	p := &production{rendered: r, progress: term.NewProgress(f.Streams), arches: []string{}, detached: true}
	var tag name.Tag
	ref, artifact := strings.CutPrefix(o.Into, ociScheme)
	if artifact {
		if tag, err = name.NewTag(ref); err != nil {
			return explain.Usagef("--into %s: want oci://registry/name:tag: %w", o.Into, err)
		}
	}
	found, err := p.findCode(ctx, f, o)
	if err != nil {
		return err
	}
	p.progress.Start("Package the code, " + found.code.Digest().Short())
	b, carried, err := p.pack(ctx, f, o, found)
	p.progress.End(err)
	if err != nil {
		return err
	}
	if err := promote.Detached(b, p.project.Name, p.namespace); err != nil {
		return err
	}
	files, err := gitops.Of(b.Objects, gitops.Options{Secrets: o.WithSecrets})
	if err != nil {
		return err
	}
	report := intoReport{APIVersion: outputVersion, Kind: "Written", Into: o.Into, TreeDigest: b.Tree, Images: b.Images, Files: files.Names()}
	if o.DryRun {
		f.Streams.Talk("%d files for %s, code %s; nothing was pushed or written", len(files), o.Into, b.Tree)
		return printAs(f.Streams.Out, o.Output, report, report.Files, report.list)
	}
	if _, err := p.askGates(ctx, f, o.PromotionOptions, &promote.Plan{Tree: b.Tree}, carried); err != nil {
		return err
	}
	// What the files name has to be there when somebody applies them.
	if err := p.push(ctx, carried, b.Evidence); err != nil {
		return err
	}
	if artifact {
		img, err := files.Artifact(map[string]string{"org.opencontainers.image.revision": b.Tree, "org.opencontainers.image.title": p.project.Name})
		if err != nil {
			return err
		}
		digest, err := gitops.Push(ctx, img, tag)
		if err != nil {
			return err
		}
		report.Into = ociScheme + digest.String()
		f.Streams.Talk("%d files are in %s, code %s", len(files), report.Into, b.Tree)
		return printAs(f.Streams.Out, o.Output, report, []string{report.Into}, func(w io.Writer) error {
			_, err := fmt.Fprintln(w, report.Into)
			return err
		})
	}
	written, err := files.Write(o.Into)
	if err != nil {
		return err
	}
	report.Written = &written
	f.Streams.Talk("%s: %d files written, %d removed, %d as they were; code %s", o.Into, len(written.Changed), len(written.Removed), written.Unchanged, b.Tree)
	return printAs(f.Streams.Out, o.Output, report, report.Files, report.list)
}

func (r intoReport) list(w io.Writer) error {
	list := r.Files
	if r.Written != nil {
		list = r.Written.Changed
	}
	for _, name := range list {
		if _, err := fmt.Fprintln(w, name); err != nil {
			return err
		}
	}
	return nil
}

// echo takes the word of the project file for it that the target mounts images:
// a target that is not asked cannot be tried.
type echo struct{}

func (echo) DryRunCreate(_ context.Context, obj *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	return obj, nil
}

// Nodes says that nobody knows them.
func (echo) Nodes(context.Context) ([]carrier.Node, error) { return nil, nil }
