package attest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// Names that documents use for what is ours. They are URIs, as the
// specifications ask, and lead to words for people only.
const (
	statementType = "https://in-toto.io/Statement/v1"
	predicateType = "https://slsa.dev/provenance/v1"
	buildType     = "https://kubectl-ai.dev/promote/v1"
	builder       = "https://github.com/kubectl-ai/kubectl-ai"
)

// TreeAlgorithm is how digest sets name the digest of a code tree: a Merkle
// root, and the digest of no file.
const TreeAlgorithm = "kubectlAITree"

// Digests are digests of one thing, by algorithm, in lower-case hex.
type Digests map[string]string

// ImageDigests are those of an image whose digest is sha256:….
func ImageDigests(digest string) Digests {
	algorithm, value, _ := strings.Cut(digest, ":")
	return Digests{algorithm: value}
}

// Build is what is known of how a carrier was made.
type Build struct {
	Project string
	Version string // of kubectl-ai
	Format  string // layer, imageVolume or configMap
	Tree    tree.Digest
	// Generation is the one that the sandbox proved to run, and Run, where there
	// is none, the run that ended well; 0 and "": unproven.
	Generation uint64
	Run        string
	Runtimes   []Runtime
}

// Runtime is an image that the code runs in.
type Runtime struct {
	Image string // as the bundle names it
	// Ref is the image in its registry, by digest; "": it is not in one.
	Ref string
	// Digest is that of the image, or of its configuration where it was loaded
	// into a container engine; "": unknown.
	Digest string
}

// Subject is what a statement is about.
type Subject struct {
	Name   string  `json:"name,omitempty"`
	Digest Digests `json:"digest"`
}

// Statement is an in-toto Statement with SLSA provenance.
type Statement struct {
	Type          string    `json:"_type"`
	Subject       []Subject `json:"subject"`
	PredicateType string    `json:"predicateType"`
	Predicate     Predicate `json:"predicate"`
}

// Predicate is SLSA provenance, the parts of it that we write.
type Predicate struct {
	BuildDefinition BuildDefinition `json:"buildDefinition"`
	RunDetails      RunDetails      `json:"runDetails"`
}

// BuildDefinition is what went in.
type BuildDefinition struct {
	BuildType            string     `json:"buildType"`
	ExternalParameters   External   `json:"externalParameters"`
	InternalParameters   Internal   `json:"internalParameters"`
	ResolvedDependencies []Resource `json:"resolvedDependencies"`
}

// External is what the user asked for.
type External struct {
	Project    string `json:"project"`
	CodeFormat string `json:"codeFormat"`
	TreeDigest string `json:"treeDigest"`
}

// Internal is what kubectl ai found out: which generation of the sandbox the
// code is.
type Internal struct {
	Generation uint64 `json:"generation,omitempty"`
	Run        string `json:"run,omitempty"`
	Unproven   bool   `json:"unproven,omitempty"` // no rank proved to run it
}

// RunDetails is who made it, and what else came of it.
type RunDetails struct {
	Builder    Builder    `json:"builder"`
	Byproducts []Resource `json:"byproducts,omitempty"`
}

// Builder is kubectl ai.
type Builder struct {
	ID      string            `json:"id"`
	Version map[string]string `json:"version"`
}

// Resource is in-toto's ResourceDescriptor.
type Resource struct {
	Name      string  `json:"name,omitempty"`
	URI       string  `json:"uri,omitempty"`
	Digest    Digests `json:"digest,omitempty"`
	MediaType string  `json:"mediaType,omitempty"`
}

// Provenance says how an object that holds the code was made; name is what
// people call it, whatever registry it is in. sbom is its bill of materials;
// nil: it has none.
func (b Build) Provenance(carrier, name string, sbom *Document) (Document, error) {
	inside := []Resource{{Name: "code", Digest: Digests{TreeAlgorithm: fmt.Sprintf("%x", b.Tree[:])}}}
	for _, r := range b.Runtimes {
		resource := Resource{Name: r.Image}
		if r.Digest != "" {
			resource.Digest = ImageDigests(r.Digest)
		}
		if r.Ref != "" {
			resource.URI = "oci://" + r.Ref
		}
		if !slices.ContainsFunc(inside, func(o Resource) bool { return o.Name == resource.Name && maps.Equal(o.Digest, resource.Digest) }) {
			inside = append(inside, resource)
		}
	}
	statement := Statement{
		Type: statementType, Subject: []Subject{{Name: name, Digest: ClaimOf(carrier, b.Tree.String()).Digests}}, PredicateType: predicateType,
		Predicate: Predicate{
			BuildDefinition: BuildDefinition{
				BuildType:            buildType,
				ExternalParameters:   External{Project: b.Project, CodeFormat: b.Format, TreeDigest: b.Tree.String()},
				InternalParameters:   Internal{Generation: b.Generation, Run: b.Run, Unproven: b.Generation == 0 && b.Run == ""},
				ResolvedDependencies: inside,
			},
			RunDetails: RunDetails{Builder: Builder{ID: builder, Version: map[string]string{"kubectl-ai": b.Version}}},
		},
	}
	if sbom != nil {
		statement.Predicate.RunDetails.Byproducts = []Resource{{Name: sbomName, MediaType: sbom.Type, Digest: ImageDigests(sbom.Digest())}}
	}
	raw, err := json.Marshal(statement)
	if err != nil {
		return Document{}, fmt.Errorf("write the provenance: %w", err)
	}
	return Document{Type: TypeProvenance, MediaType: TypeProvenance, Content: raw}, nil
}

// ParseStatement reads a statement. It returns a *DocumentError for what is
// not provenance.
func ParseStatement(raw []byte) (Statement, error) {
	var s Statement
	err := decode(raw, &s)
	switch {
	case err != nil:
	case s.Type != statementType:
		err = fmt.Errorf("it is a %q", s.Type)
	case s.PredicateType != predicateType:
		err = fmt.Errorf("it is about %q", s.PredicateType)
	case len(s.Subject) == 0:
		err = errors.New("it is about nothing")
	}
	if err != nil {
		return Statement{}, &DocumentError{What: "statement of provenance", Err: err}
	}
	return s, nil
}

// SBOM returns the digest of the bill of materials that a statement answers
// for; "": none.
func (s Statement) SBOM() string {
	for _, r := range s.Predicate.RunDetails.Byproducts {
		if r.Name == sbomName && r.Digest["sha256"] != "" {
			return "sha256:" + r.Digest["sha256"]
		}
	}
	return ""
}
