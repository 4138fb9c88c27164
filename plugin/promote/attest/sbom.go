package attest

import (
	"bytes"
	"fmt"
	"net/url"
	"slices"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

const (
	// sbomName is how provenance calls the bill of materials.
	sbomName = "sbom.cdx.json"
	// declaredIn and linkTo are properties of components: the file that pins a
	// package's version, and where a symbolic link leads.
	declaredIn = "kubectl-ai.dev:declared-in"
	linkTo     = "kubectl-ai.dev:link-to"
)

// SBOM lists what a carrier and its pods are made of: the files of the tree,
// the runtime images, and the packages whose versions the tree pins. content
// returns that of a file. What is inside the runtime images is not listed, and
// said to be incomplete.
func (b Build) SBOM(index tree.Index, content func(tree.Entry) ([]byte, error)) (Document, error) {
	root := cdx.Component{BOMRef: "code", Type: cdx.ComponentTypeApplication, Name: b.Project, Version: b.Tree.String()}
	components := b.images()
	images := make([]cdx.BOMReference, 0, len(components))
	for _, c := range components {
		images = append(images, cdx.BOMReference(c.BOMRef))
	}
	pinned, err := packages(index, content)
	if err != nil {
		return Document{}, err
	}
	components = append(components, pinned...)
	uses := make([]string, 0, len(components))
	for _, c := range components {
		uses = append(uses, c.BOMRef)
	}
	components = append(components, files(index)...)
	bom := cdx.BOM{
		BOMFormat: cdx.BOMFormat, Version: 1,
		Metadata: &cdx.Metadata{
			Component: &root,
			Tools:     &cdx.ToolsChoice{Components: &[]cdx.Component{{Type: cdx.ComponentTypeApplication, Name: "kubectl-ai", Version: b.Version}}},
		},
		Components:   &components,
		Dependencies: &[]cdx.Dependency{{Ref: root.BOMRef, Dependencies: &uses}},
	}
	if len(images) > 0 {
		bom.Compositions = &[]cdx.Composition{{Aggregate: cdx.CompositionAggregateIncomplete, Assemblies: &images}}
	}
	var out bytes.Buffer
	if err := cdx.NewBOMEncoder(&out, cdx.BOMFileFormatJSON).SetEscapeHTML(false).EncodeVersion(&bom, cdx.SpecVersion1_6); err != nil {
		return Document{}, fmt.Errorf("write the bill of materials: %w", err)
	}
	return Document{Type: TypeSBOM, MediaType: TypeSBOM, Content: out.Bytes()}, nil
}

// images are the runtime images, each once.
func (b Build) images() []cdx.Component {
	var out []cdx.Component
	for _, r := range b.Runtimes {
		c := cdx.Component{BOMRef: "image:" + r.Image, Type: cdx.ComponentTypeContainer, Name: r.Image, Version: r.Digest}
		if r.Ref != "" {
			c.PackageURL = imageURL(r.Ref)
		}
		if !slices.ContainsFunc(out, func(o cdx.Component) bool { return o.BOMRef == c.BOMRef }) {
			out = append(out, c)
		}
	}
	return out
}

// imageURL is the package URL of an image by digest (purl-spec, type oci).
func imageURL(ref string) string {
	repository, digest, _ := strings.Cut(ref, "@")
	name := repository[strings.LastIndex(repository, "/")+1:]
	return fmt.Sprintf("pkg:oci/%s@%s?repository_url=%s", strings.ToLower(name), url.QueryEscape(digest), url.QueryEscape(repository))
}

func files(index tree.Index) []cdx.Component {
	var out []cdx.Component
	for _, e := range index {
		c := cdx.Component{BOMRef: "file:" + e.Path, Type: cdx.ComponentTypeFile, Name: e.Path}
		if e.Kind == tree.Link {
			c.Properties = &[]cdx.Property{{Name: linkTo, Value: e.Target}}
		} else {
			c.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: fmt.Sprintf("%x", e.Sum[:])}}
		}
		out = append(out, c)
	}
	return out
}

// packages are those that the tree pins, by name and version, each once.
func packages(index tree.Index, content func(tree.Entry) ([]byte, error)) ([]cdx.Component, error) {
	found := map[string]*cdx.Component{}
	for _, e := range index {
		read := pinsOf(e.Path)
		if read == nil || e.Kind == tree.Link {
			continue
		}
		raw, err := content(e)
		if err != nil {
			return nil, fmt.Errorf("list the packages of %s: %w", e.Path, err)
		}
		for _, p := range read(raw) {
			id := "pkg:pypi/" + p.Name + "@" + url.QueryEscape(p.Version)
			c := found[id]
			if c == nil {
				c = &cdx.Component{BOMRef: id, Type: cdx.ComponentTypeLibrary, Name: p.Name, Version: p.Version, PackageURL: id, Scope: cdx.ScopeOptional, Properties: &[]cdx.Property{}}
				found[id] = c
			}
			if !p.Conditional {
				c.Scope = cdx.ScopeRequired
			}
			from := cdx.Property{Name: declaredIn, Value: e.Path}
			if !slices.Contains(*c.Properties, from) {
				*c.Properties = append(*c.Properties, from)
			}
		}
	}
	var out []cdx.Component
	for _, c := range found {
		out = append(out, *c)
	}
	slices.SortFunc(out, func(a, b cdx.Component) int { return strings.Compare(a.BOMRef, b.BOMRef) })
	return out, nil
}
