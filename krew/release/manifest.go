package main

import (
	"bytes"
	"fmt"
	"regexp"
	"text/template"
)

// semver is what krew accepts as a version: a leading v and no build metadata
// surprises (https://semver.org).
var semver = regexp.MustCompile(`^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?$`)

var manifestTemplate = template.Must(template.New("ai.yaml").Parse(`apiVersion: krew.googlecontainertools.github.com/v1alpha2
kind: Plugin
metadata:
  name: ai
spec:
  version: {{.Version}}
  homepage: https://github.com/kubectl-ai/kubectl-ai
  shortDescription: AI training code from laptop to production
  description: |
    A GPU sandbox on the laptop (kind, with real or simulated GPUs), hot reload
    of training code into the running pods of a kustomize bundle, and promotion
    of the same bundle with exactly that code to production clusters.
  caveats: |
    Another plugin is named kubectl-ai as well. If both are installed, the one
    that comes first on PATH answers; kubectl plugin list shows which.
    Sandboxes need Docker, Podman or nerdctl.
  platforms:
{{- range .Platforms}}
  - selector:
      matchLabels:
        os: {{.OS}}
        arch: {{.Arch}}
    uri: {{$.Base}}/{{$.Version}}/{{.Archive}}
    sha256: "{{index $.Sums .}}"
    bin: {{.Binary}}
{{- end}}
`))

// Manifest renders the krew manifest of a version from the archives'
// SHA-256 sums.
func Manifest(version, base string, sums map[Platform]string) ([]byte, error) {
	if !semver.MatchString(version) {
		return nil, fmt.Errorf("version %q is no semantic version with a leading v", version)
	}
	for _, p := range Platforms {
		if sums[p] == "" {
			return nil, fmt.Errorf("no archive for %s/%s", p.OS, p.Arch)
		}
	}
	var buf bytes.Buffer
	err := manifestTemplate.Execute(&buf, struct {
		Version, Base string
		Platforms     []Platform
		Sums          map[Platform]string
	}{version, base, Platforms, sums})
	return buf.Bytes(), err
}
