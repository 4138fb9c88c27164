package bundle

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/types"
)

// RemoteError says that a bundle takes something from another machine.
type RemoteError struct {
	File  string // the kustomization
	Entry string // what it names, such as https://github.com/…
}

func (e *RemoteError) Error() string {
	return fmt.Sprintf("%s takes %s from another machine", e.File, e.Entry)
}

// local returns a *RemoteError when a kustomization at dir, or one that it
// leads to, names what kustomize would fetch by HTTP or git. What cannot be
// read or parsed is left to kustomize, which says so.
func local(dir string, seen map[string]bool) error {
	if seen[dir] {
		return nil // a circle, which kustomize names
	}
	seen[dir] = true
	for _, name := range konfig.RecognizedKustomizationFileNames() {
		file := filepath.Join(dir, name)
		raw, err := os.ReadFile(file)
		var k types.Kustomization
		if err != nil || k.Unmarshal(raw) != nil {
			continue
		}
		for _, entry := range entriesOf(&k) {
			path := filepath.Join(dir, entry)
			if filepath.IsAbs(entry) {
				path = entry
			}
			info, err := os.Stat(path)
			switch {
			case err == nil && info.IsDir():
				if err := local(path, seen); err != nil {
					return err
				}
			case errors.Is(err, fs.ErrNotExist) && remote.MatchString(entry):
				return &RemoteError{File: file, Entry: entry}
			}
		}
	}
	return nil
}

// remote is what kustomize takes for a URL or a git repository: a scheme, an
// SSH address, a known host, or a query for a version.
var remote = regexp.MustCompile(`(?i)^[a-z][a-z0-9+.-]*:(//|:)|^[\w.-]+@[\w.-]+:|^(www\.)?(github|gitlab|bitbucket)\.(com|org)[/:]|^gh:|^[\w.-]+\.[a-z]+/.*//|\?(ref|version)=|\.git(/|$)`)

// entriesOf returns all that a kustomization names outside of itself.
func entriesOf(k *types.Kustomization) []string {
	var out []string
	for _, list := range [][]string{k.Resources, k.Components, k.Crds, k.Configurations, k.Generators, k.Transformers, k.Validators} {
		for _, entry := range list {
			if !strings.Contains(entry, "\n") { // not one that is written in place
				out = append(out, entry)
			}
		}
	}
	for _, p := range k.Patches {
		out = append(out, p.Path)
	}
	for _, r := range k.Replacements {
		out = append(out, r.Path)
	}
	out = append(out, k.OpenAPI["path"])
	for i := range k.ConfigMapGenerator {
		out = append(out, sources(k.ConfigMapGenerator[i].KvPairSources)...)
	}
	for i := range k.SecretGenerator {
		out = append(out, sources(k.SecretGenerator[i].KvPairSources)...)
	}
	return out
}

// sources are the files of a generator, without the keys before them.
func sources(s types.KvPairSources) []string {
	out := append([]string{}, s.EnvSources...)
	for _, f := range s.FileSources {
		if _, file, ok := strings.Cut(f, "="); ok {
			f = file
		}
		out = append(out, f)
	}
	return append(out, s.EnvSource)
}
