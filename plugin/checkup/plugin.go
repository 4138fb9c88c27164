package checkup

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"

	"github.com/kubectl-ai/kubectl-ai/plugin/setup"
	"github.com/kubectl-ai/kubectl-ai/sandbox/doctor"
)

// Path judges which program kubectl runs for the plugin's name. found are
// those on PATH, program is where this one is, and lacking are verbs that have
// no link of their own by which kubectl would find them all the same.
func Path(found []setup.Program, program string, lacking []string) doctor.Finding {
	const check = "PATH"
	name := strings.TrimSuffix(filepath.Base(program), ".exe")
	switch {
	case len(found) == 0:
		return warn(check, fmt.Sprintf("export PATH=%q", filepath.Dir(program)+":$PATH"), "no %s on it: kubectl does not find this one, %s", name, program)
	case !found[0].Ours && len(lacking) == 0:
		return ok(check, "%s is another plugin, and every verb of this one has a link", found[0].Path)
	case !found[0].Ours:
		return warn(check, program+" setup --coexist", "%s comes first, and is another plugin: verbs of this one are not found, such as %s", found[0].Path, lacking[0])
	}
	for _, other := range found[1:] {
		if !other.Ours {
			return ok(check, "%s wins over another plugin, %s", found[0].Path, other.Path)
		}
	}
	return ok(check, "%s", found[0].Path)
}

// Completion judges the link by which kubectl completes.
func Completion(l setup.Link) doctor.Finding {
	const check = "completion"
	switch l.State {
	case setup.Present:
		return ok(check, "%s", l.Path)
	case setup.Taken:
		return ok(check, "%s, which setup did not write", l.Path)
	case setup.Stale:
		return warn(check, "kubectl ai setup", "%s leads to nothing, or to another version", l.Path)
	}
	return warn(check, "kubectl ai setup", "kubectl does not complete what follows kubectl ai")
}

// FirstCompleting is the kubectl that asks plugins for completion
// (kubernetes/kubernetes#105867).
const FirstCompleting = "1.26.0"

// KubectlVersion reads what `kubectl version --client -o json` prints.
func KubectlVersion(out []byte) (*version.Version, error) {
	var printed struct {
		ClientVersion struct {
			GitVersion string `json:"gitVersion"`
		} `json:"clientVersion"`
	}
	if err := json.Unmarshal(out, &printed); err != nil {
		return nil, fmt.Errorf("read its version: %w", err)
	}
	return version.ParseGeneric(printed.ClientVersion.GitVersion)
}

// Kubectl judges kubectl: where it is, its version or why there is none, and
// the server's version, nil where none was asked. kubectl supports servers one
// minor version older and newer (kubernetes.io, "Version Skew Policy").
func Kubectl(path string, v *version.Version, err error, server *version.Version) doctor.Finding {
	const check = "kubectl"
	const install = "https://kubernetes.io/docs/tasks/tools"
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return warn(check, install, "not on PATH: this program works without it, as kubectl-ai")
	case err != nil:
		return warn(check, path+" version --client", "%s: %v", path, err)
	case v.LessThan(version.MustParseGeneric(FirstCompleting)):
		return warn(check, install, "%s is v%s: completion of plugins needs v1.26; all else works", path, v)
	case server != nil && (v.Major() != server.Major() || distance(v.Minor(), server.Minor()) > 1):
		return warn(check, install, "%s is v%s and the server v%s: kubectl supports one minor version of difference; kubectl ai asks only for what both have", path, v, server)
	}
	return ok(check, "%s, v%s", path, v)
}

func distance(a, b uint) uint {
	if a > b {
		return a - b
	}
	return b - a
}
