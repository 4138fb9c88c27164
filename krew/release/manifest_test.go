package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// plugin has the fields of a krew manifest that its validation reads.
type plugin struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Spec struct {
		Version          string `json:"version"`
		Homepage         string `json:"homepage"`
		ShortDescription string `json:"shortDescription"`
		Description      string `json:"description"`
		Caveats          string `json:"caveats"`
		Platforms        []struct {
			Selector struct {
				MatchLabels map[string]string `json:"matchLabels"`
			} `json:"selector"`
			URI    string `json:"uri"`
			SHA256 string `json:"sha256"`
			Bin    string `json:"bin"`
		} `json:"platforms"`
	} `json:"spec"`
}

// check applies the rules of krew's own validation to a manifest, one line a
// rule.
func check(raw []byte, file string) error {
	var p plugin
	if err := yaml.UnmarshalStrict(raw, &p); err != nil {
		return err
	}
	var problems []error
	rule := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	rule(p.APIVersion == "krew.googlecontainertools.github.com/v1alpha2", "apiVersion %q", p.APIVersion)
	rule(p.Kind == "Plugin", "kind %q", p.Kind)
	rule(regexp.MustCompile(`^[\w-]+$`).MatchString(p.Metadata.Name), "name %q", p.Metadata.Name)
	rule(p.Metadata.Name == strings.TrimSuffix(path.Base(file), ".yaml"), "name %q is not the file's", p.Metadata.Name)
	rule(semver.MatchString(p.Spec.Version), "version %q", p.Spec.Version)
	short := p.Spec.ShortDescription
	rule(short != "" && !strings.ContainsAny(short, "\r\n") && len(short) <= 50, "shortDescription %q", short)
	rule(len(p.Spec.Platforms) > 0, "no platform")
	seen := map[string]bool{}
	for _, platform := range p.Spec.Platforms {
		labels := platform.Selector.MatchLabels
		key := labels["os"] + "/" + labels["arch"]
		rule(len(labels) == 2, "%s: selector has other keys", key)
		rule(slices.ContainsFunc(Platforms, func(p Platform) bool { return p.OS+"/"+p.Arch == key }), "%s: unsupported", key)
		rule(!seen[key], "%s: twice", key)
		seen[key] = true
		rule(strings.HasPrefix(platform.URI, "https://"), "%s: uri %q", key, platform.URI)
		rule(strings.HasSuffix(platform.URI, ".tar.gz") || strings.HasSuffix(platform.URI, ".zip"), "%s: archive type of %q", key, platform.URI)
		rule(regexp.MustCompile(`^[a-f0-9]{64}$`).MatchString(platform.SHA256), "%s: sha256 %q", key, platform.SHA256)
		rule(platform.Bin != "" && !strings.Contains(platform.Bin, ".."), "%s: bin %q", key, platform.Bin)
		rule((labels["os"] == "windows") == strings.HasSuffix(platform.Bin, ".exe"), "%s: bin %q", key, platform.Bin)
	}
	return errors.Join(problems...)
}

func sums() map[Platform]string {
	out := map[Platform]string{}
	for _, p := range Platforms {
		out[p] = strings.Repeat("a", 64)
	}
	return out
}

func TestManifestKeepsKrewsRules(t *testing.T) {
	manifest, err := Manifest("v1.2.3", "https://example.com/d", sums())
	if err != nil {
		t.Fatal(err)
	}
	if err := check(manifest, "ai.yaml"); err != nil {
		t.Error(err)
	}
}

func TestTheCommittedManifestKeepsKrewsRules(t *testing.T) {
	raw, err := os.ReadFile("../plugins/ai.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := check(raw, "ai.yaml"); err != nil {
		t.Error(err)
	}
}

func TestManifestRefusesWhatKrewWould(t *testing.T) {
	if _, err := Manifest("1.2.3", "https://example.com", sums()); err == nil {
		t.Error("a version without v was accepted")
	}
	missing := sums()
	delete(missing, Platforms[0])
	if _, err := Manifest("v1.2.3", "https://example.com", missing); err == nil {
		t.Error("a missing platform was accepted")
	}
}

// The archive of every platform holds the program under the manifest's name
// and the licence, and is the same bytes when packed again.
func TestArchives(t *testing.T) {
	for _, p := range Platforms {
		files := []file{{"LICENSE", 0o644, []byte("licence")}, {p.Binary(), 0o755, []byte("program")}}
		first, err := pack(p, files)
		if err != nil {
			t.Fatal(err)
		}
		second, err := pack(p, files)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first, second) {
			t.Errorf("%s: two runs give different bytes", p.Archive())
		}
		names, err := list(p, first)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(names, []string{"LICENSE", p.Binary()}) {
			t.Errorf("%s holds %v", p.Archive(), names)
		}
	}
}

func list(p Platform, archive []byte) ([]string, error) {
	var names []string
	if p.OS == "windows" {
		r, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
		if err != nil {
			return nil, err
		}
		for _, f := range r.File {
			names = append(names, f.Name)
		}
		return names, nil
	}
	zr, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return nil, err
	}
	r := tar.NewReader(zr)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return names, nil
		}
		if err != nil {
			return nil, err
		}
		names = append(names, h.Name)
	}
}
