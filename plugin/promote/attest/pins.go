package attest

import (
	"path"
	"regexp"
	"strings"

	"github.com/pelletier/go-toml"
)

// pin is a Python package in one version.
type pin struct {
	Name    string // normalised (PEP 503)
	Version string
	// Conditional says that a marker decides whether it is wanted.
	Conditional bool
}

// pinsOf returns what reads the pins of a file; nil: nothing does.
func pinsOf(p string) func([]byte) []pin {
	switch path.Base(p) {
	case "requirements.txt":
		return requirements
	case "uv.lock":
		return uvLock
	}
	return nil
}

// exact is a requirement of one version and no other: name, extras, == or ===
// and a version without a wildcard, then a marker, options or nothing (PEP 508,
// pip's requirements file format).
var exact = regexp.MustCompile(`^([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?:\[[^\]]*\])?\s*\(?\s*===?\s*([A-Za-z0-9][A-Za-z0-9.!+_-]*)\s*\)?\s*(;.*)?$`)

// requirements reads pip's format. Lines that name no exact version, options
// and files that are included say nothing.
func requirements(raw []byte) []pin {
	text := strings.ReplaceAll(string(raw), "\r\n", "\n")
	text = strings.ReplaceAll(text, "\\\n", " ")
	var out []pin
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		line, _, _ = strings.Cut(line, " #")
		line, _, _ = strings.Cut(line, " --") // options of the requirement, such as hashes
		m := exact.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		out = append(out, pin{Name: normal(m[1]), Version: m[2], Conditional: m[3] != ""})
	}
	return out
}

// uvLock reads uv's lock file. It holds the packages of all platforms and
// groups, so none of them is sure to be wanted; what is no release of a
// registry, such as the project itself, is not one.
func uvLock(raw []byte) []pin {
	var file struct {
		Package []struct {
			Name    string `toml:"name"`
			Version string `toml:"version"`
			Source  struct {
				Registry string `toml:"registry"`
			} `toml:"source"`
		} `toml:"package"`
	}
	if err := toml.Unmarshal(raw, &file); err != nil {
		return nil // it is listed as a file, and pins nothing that can be told
	}
	var out []pin
	for _, p := range file.Package {
		if p.Name != "" && p.Version != "" && p.Source.Registry != "" {
			out = append(out, pin{Name: normal(p.Name), Version: p.Version, Conditional: true})
		}
	}
	return out
}

var separators = regexp.MustCompile(`[-_.]+`)

func normal(name string) string {
	return strings.ToLower(separators.ReplaceAllString(name, "-"))
}
