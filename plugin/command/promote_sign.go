package command

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/attest"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/carrier"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/gate"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
)

// signKeyVariable names the key where no flag does: where it is differs from
// machine to machine, so it is not in the project file.
const signKeyVariable = "KUBECTL_AI_SIGN_KEY"

// readSignKey reads the key that signs, before anything is asked of a cluster.
// A release of another environment keeps the signatures that it has.
func (o *PromoteOptions) readSignKey(f *Factory) (err error) {
	path := o.SignKey
	switch {
	case path != "" && o.From != "":
		return explain.Usagef("--sign-key: the release of --from %s is not made here, and keeps the signatures that it has", o.From)
	case path == "" && o.From == "":
		path = os.Getenv(signKeyVariable)
	}
	if path == "" {
		return nil
	}
	var raw []byte
	if path == "-" {
		raw, err = io.ReadAll(io.LimitReader(f.Streams.In, 1<<20))
	} else {
		raw, err = os.ReadFile(path)
	}
	if err != nil {
		return &attest.KeyError{Path: path, Reason: "cannot be read", Err: err}
	}
	o.signer, err = attest.ParseSigningKey(path, raw)
	return err
}

// attest writes what there is to say of all that holds the code, and signs it
// where there is a key. It goes where the code goes.
func (p *production) attest(f *Factory, found *foundCode, carried *carrier.Result, signer *attest.SigningKey) error {
	for _, subject := range carrier.Subjects(carried.Format, carried.Code) {
		build := attest.Build{
			Project: p.project.Name, Version: f.Version, Format: carried.Format, Tree: found.code.Digest(),
			Generation: found.generation.Generation, Run: found.evidence.Run, Runtimes: runtimesOf(carried, subject),
		}
		sbom, err := build.SBOM(found.code.Index, found.code.Content)
		if err != nil {
			return err
		}
		provenance, err := build.Provenance(subject, nameOf(subject), &sbom)
		if err != nil {
			return err
		}
		if signer != nil {
			if provenance, err = signer.Sign(provenance); err != nil {
				return err
			}
		}
		goes, err := carried.Attach(subject, sbom, provenance)
		if err != nil {
			return err
		}
		for _, d := range goes {
			found.evidence.Carrier.Statements = append(found.evidence.Carrier.Statements, release.Statement{Of: subject, Type: d.Type, Digest: d.Digest(), KeyID: d.KeyID})
		}
	}
	return nil
}

// signable returns what holds the code that goes to clusters, each once, with
// what is said of it here and in its registry.
func signable(ctx context.Context, members []*member) ([]gate.Carrier, error) {
	var out []gate.Carrier
	for _, m := range members {
		if m.carried == nil {
			continue
		}
		for _, name := range carrier.Subjects(m.carried.Format, m.carried.Code) {
			if slices.ContainsFunc(out, func(c gate.Carrier) bool { return c.Name == name }) {
				continue
			}
			docs, err := m.carried.Documents(ctx, name)
			if err != nil {
				return nil, m.in(err)
			}
			out = append(out, gate.Carrier{Name: name, Documents: docs})
		}
	}
	return out, nil
}

// nameOf is what provenance calls an object: an image without its registry,
// which may change when a release goes on to another environment.
func nameOf(subject string) string {
	repository, _, _ := strings.Cut(subject, "@")
	parts := strings.Split(repository, "/")
	return strings.Join(parts[max(0, len(parts)-2):], "/")
}

// runtimesOf are the images that code in an object runs in: what a layer was
// put on, or what mounts it.
func runtimesOf(carried *carrier.Result, subject string) []attest.Runtime {
	var out []attest.Runtime
	for _, r := range carried.Runtimes {
		if carried.Format == carrier.FormatLayer && carried.Images[r.Target.String()] != subject {
			continue
		}
		runtime := attest.Runtime{Image: r.Image}
		switch {
		case r.Base != nil && r.Base.Ref != "":
			runtime.Ref = r.Base.Ref
			_, runtime.Digest, _ = strings.Cut(r.Base.Ref, "@")
		case r.Base != nil && len(r.Base.Digests) > 0:
			runtime.Digest = r.Base.Digests[0]
		default:
			_, runtime.Digest, _ = strings.Cut(r.Image, "@")
		}
		if !slices.Contains(out, runtime) {
			out = append(out, runtime)
		}
	}
	return out
}

// push brings the code to its registry. What a registry does not take is not in
// the record.
func (p *production) push(ctx context.Context, carried *carrier.Result, e *release.Evidence) error {
	if _, err := carried.Push(ctx, p.progress); err != nil {
		return err
	}
	forget(carried, e)
	return nil
}

// signAgain brings a signature to the registry for what is released already.
func (p *production) signAgain(ctx context.Context, f *Factory, o PromotionOptions, carried *carrier.Result) error {
	if o.DryRun || carried == nil || !carried.Signed() {
		return nil
	}
	sent, err := carried.Push(ctx, p.progress)
	if err == nil && sent > 0 {
		f.Streams.Talk("%sits signature is in the registry now", p.label())
	}
	return err
}

func forget(carried *carrier.Result, e *release.Evidence) {
	if e != nil {
		e.Carrier.Statements = slices.DeleteFunc(e.Carrier.Statements, func(s release.Statement) bool { return carried.Refused(s.Digest) })
	}
}

// moved are the statements of a release whose images have other names now.
func moved(statements []release.Statement, code []string) []release.Statement {
	out := slices.Clone(statements)
	for i, s := range out {
		_, digest, image := strings.Cut(s.Of, "@")
		for _, now := range code {
			if image && strings.HasSuffix(now, "@"+digest) {
				out[i].Of = now
			}
		}
	}
	return out
}

// signedBy says in a line who signed what holds the code.
func signedBy(statements []release.Statement) string {
	var ids []string
	for _, s := range statements {
		if s.KeyID != "" && !slices.Contains(ids, s.KeyID) {
			ids = append(ids, s.KeyID)
		}
	}
	if len(ids) == 0 {
		return "nobody"
	}
	return fmt.Sprintf("key %s", strings.Join(ids, ", "))
}
