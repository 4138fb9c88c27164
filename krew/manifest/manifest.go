// Package manifest reads, checks and writes the manifests by which krew
// installs a plugin. The checks are those that krew makes before an install
// (internal/index/validation) and those that krew-index makes before it takes
// a manifest (cmd/validate-krew-manifest); krew itself cannot be a dependency,
// as its module declares another path than it is served under.
package manifest

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Plugin is a manifest, krew.googlecontainertools.github.com/v1alpha2.
type Plugin struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Metadata   Metadata `json:"metadata"`
	Spec       Spec     `json:"spec"`
}

// Metadata names the plugin. A dash in the name is an underscore in the name
// of the installed program.
type Metadata struct {
	Name string `json:"name"`
}

// Spec says what the plugin is and where it comes from.
type Spec struct {
	Version          string     `json:"version"` // semantic, with a leading v
	Homepage         string     `json:"homepage,omitempty"`
	ShortDescription string     `json:"shortDescription"` // a line
	Description      string     `json:"description,omitempty"`
	Caveats          string     `json:"caveats,omitempty"` // printed after an install
	Platforms        []Platform `json:"platforms"`
}

// Platform is an archive and the systems that it is for.
type Platform struct {
	URI      string                `json:"uri"`
	SHA256   string                `json:"sha256"` // of the archive
	Selector *metav1.LabelSelector `json:"selector"`
	// Files is what is taken from the archive; all of it where there are none.
	Files []FileOperation `json:"files,omitempty"`
	// Bin is the program that is linked into PATH, a path among the files.
	Bin string `json:"bin"`
}

// FileOperation copies files of the archive, a glob, into a folder.
type FileOperation struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Target is a system that krew knows, by the names of GOOS and GOARCH.
type Target struct{ OS, Arch string }

func (t Target) String() string { return t.OS + "/" + t.Arch }

// Targets are those that a release is made for.
var Targets = []Target{
	{"linux", "amd64"},
	{"linux", "arm64"},
	{"darwin", "amd64"},
	{"darwin", "arm64"},
	{"windows", "amd64"},
	{"windows", "arm64"},
}

// supported are those that krew-index takes a platform for.
var supported = append([]Target{{"linux", "arm"}, {"linux", "386"}, {"windows", "386"}, {"linux", "ppc64le"}, {"linux", "s390x"}}, Targets...)
