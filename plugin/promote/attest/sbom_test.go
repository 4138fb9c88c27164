package attest

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

func TestPins(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"torch==2.1.0", "torch 2.1.0"},
		{"torch == 2.1.0+cu118  # the wheel of the cluster", "torch 2.1.0+cu118"},
		{"Foo_Bar.baz[a,b]===1!2.0rc1", "foo-bar-baz 1!2.0rc1"},
		{`numpy==1.26.4 ; python_version < "3.12"`, "numpy 1.26.4 if"},
		{"numpy==1.26.4 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb", "numpy 1.26.4"},
		{"numpy (==1.26.4)", "numpy 1.26.4"},
		{"numpy>=1.26", ""},
		{"numpy==1.26.*", ""},
		{"numpy==1.26,!=1.26.1", ""},
		{"numpy", ""},
		{"numpy @ https://example.com/numpy-1.26.4.whl", ""},
		{"-r other.txt", ""},
		{"-e .", ""},
		{"# torch==2.1.0", ""},
	} {
		got := ""
		for _, p := range requirements([]byte(c.line + "\r\n")) {
			if got = p.Name + " " + p.Version; p.Conditional {
				got += " if"
			}
		}
		if got != c.want {
			t.Errorf("%q: %q, want %q", c.line, got, c.want)
		}
	}
	lock := `version = 1
[[package]]
name = "digits"
version = "0.1.0"
source = { virtual = "." }
[[package]]
name = "torch"
version = "2.1.0"
source = { registry = "https://pypi.org/simple" }
wheels = [{ url = "https://example.com/t.whl", hash = "sha256:aa" }]
`
	if diff := cmp.Diff([]pin{{"torch", "2.1.0", true}}, uvLock([]byte(lock))); diff != "" {
		t.Error(diff)
	}
	if got := uvLock([]byte("= no TOML")); got != nil {
		t.Error(got)
	}
}

func TestTheBillOfMaterials(t *testing.T) {
	contents := map[string]string{
		"requirements.txt": "torch==2.1.0+cu118\nrequests>=2\n", "sub/requirements.txt": "torch==2.1.0+cu118\n", "train.py": "print(1)\n",
	}
	var index tree.Index
	for _, p := range []string{"link.py", "requirements.txt", "sub/requirements.txt", "train.py"} {
		e := tree.Entry{Path: p, Kind: tree.File, Size: int64(len(contents[p])), Sum: sha256.Sum256([]byte(contents[p]))}
		if p == "link.py" {
			e.Kind, e.Target = tree.Link, "train.py"
		}
		index = append(index, e)
	}
	b := build()
	b.Runtimes = append(b.Runtimes, Runtime{Image: "local:1", Digest: "sha256:bb"})
	content := func(e tree.Entry) ([]byte, error) { return []byte(contents[e.Path]), nil }
	doc, err := b.SBOM(index, content)
	if err != nil {
		t.Fatal(err)
	}
	again, err := b.SBOM(index, content)
	if err != nil || doc.Digest() != again.Digest() || doc.Type != TypeSBOM {
		t.Errorf("twice the same: %v", err)
	}
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(bytes.NewReader(doc.Content), cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	if bom.SpecVersion != cdx.SpecVersion1_6 || bom.SerialNumber != "" || bom.Metadata.Timestamp != "" || bom.Metadata.Component.Version != b.Tree.String() {
		t.Errorf("%s", doc.Content)
	}
	var got []string
	for _, c := range *bom.Components {
		line := string(c.Type) + " " + c.BOMRef
		if c.Hashes != nil {
			line += " " + (*c.Hashes)[0].Value[:8]
		}
		if c.Properties != nil {
			for _, p := range *c.Properties {
				line += " " + p.Value
			}
		}
		got = append(got, line)
	}
	want := []string{ // the sums are those of sha256sum
		"container image:python:3.11-slim", "container image:local:1",
		"library pkg:pypi/torch@2.1.0%2Bcu118 requirements.txt sub/requirements.txt",
		"file file:link.py train.py", "file file:requirements.txt 9bc8f8d4", "file file:sub/requirements.txt 3385c9dc", "file file:train.py cc421550",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if purl := (*bom.Components)[0].PackageURL; purl != "pkg:oci/python@sha256%3Aaa?repository_url=index.docker.io%2Flibrary%2Fpython" {
		t.Error(purl)
	}
	if purl := (*bom.Components)[1].PackageURL; purl != "" {
		t.Errorf("an image of no registry has the address %s", purl)
	}
	if c := (*bom.Compositions)[0]; c.Aggregate != cdx.CompositionAggregateIncomplete || !slices.Contains(*c.Assemblies, "image:local:1") {
		t.Errorf("%+v", c)
	}
}
