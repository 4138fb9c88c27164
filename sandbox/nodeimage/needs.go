package nodeimage

import (
	"go/version"
	"os"

	"github.com/kubectl-ai/kubectl-ai/sandbox/nodeimage/child"
)

// minGo is what the modules ask for.
const minGo = "go1.26"

var needGo = child.Need{Name: minGo, For: "compiling Kubernetes", Install: "https://go.dev/dl, or: sudo apt-get install golang"}

var needLinux = child.Need{Name: "Linux", For: "building images", Install: "build on a Linux machine, then: docker save there, docker load here"}

// goNeeds asks for a newer Go.
func goNeeds(t toolchain) []child.Need {
	if version.Compare(t.Version, minGo) >= 0 || !version.IsValid(t.Version) { // a development version is new enough
		return nil
	}
	return []child.Need{needGo}
}

// seccompLibraries are where Debian and others put the static library that
// runc links.
var seccompLibraries = []string{
	"/usr/lib/x86_64-linux-gnu/libseccomp.a", "/usr/lib/aarch64-linux-gnu/libseccomp.a", "/usr/lib64/libseccomp.a", "/usr/lib/libseccomp.a", "/usr/local/lib/libseccomp.a",
}

// cgoNeeds is what runc is compiled with.
func cgoNeeds() []child.Need {
	var needs []child.Need
	for _, program := range []string{"gcc", "pkg-config"} {
		if !child.Found(program) {
			needs = append(needs, child.Need{Name: program, For: "compiling runc", Install: "sudo apt-get install " + program + " libc6-dev"})
		}
	}
	for _, path := range seccompLibraries {
		if _, err := os.Stat(path); err == nil {
			return needs
		}
	}
	return append(needs, child.Need{Name: "libseccomp.a", For: "compiling runc", Install: "sudo apt-get install libseccomp-dev"})
}

// rootNeeds asks for root, as which containerd runs.
func rootNeeds() []child.Need {
	if os.Geteuid() == 0 {
		return nil
	}
	return []child.Need{{Name: "root", For: "packing the components' images", Install: "sudo --preserve-env=HOME kubectl ai sandbox image build"}}
}
