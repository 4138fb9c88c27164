package driver

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// libraryFolders are where distributions put the driver's 64-bit libraries.
var libraryFolders = []string{
	"/usr/lib64", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu",
	"/usr/lib/x86_64-linux-gnu/nvidia/current", "/usr/lib/aarch64-linux-gnu/nvidia/current",
	"/lib64", "/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/usr/lib", "/usr/lib64/nvidia",
}

// programs of the driver that pods may want, as NVIDIA's toolkit gives them.
var programs = []string{
	"nvidia-smi", "nvidia-debugdump", "nvidia-persistenced", "nvidia-cuda-mps-control", "nvidia-cuda-mps-server",
	"nvidia-imex", "nvidia-imex-ctl",
}

// files returns the driver's files below root, as paths of that root: the
// libraries that bear the version, programs, and the firmware that the
// libraries read. Links are left out: a container's own ldconfig makes them.
func files(root, version string) ([]string, error) {
	var found []string
	seen := map[string]bool{} // resolved: /lib64 is /usr/lib64
	add := func(pattern string) error {
		matches, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return fmt.Errorf("look for %s: %w", pattern, err)
		}
		for _, path := range matches {
			info, err := os.Lstat(path)
			if err != nil || !info.Mode().IsRegular() {
				continue
			}
			resolved, err := filepath.EvalSymlinks(path)
			if err != nil || seen[resolved] {
				continue
			}
			seen[resolved] = true
			found = append(found, "/"+strings.TrimPrefix(strings.TrimPrefix(path, root), "/"))
		}
		return nil
	}
	var patterns []string
	for _, dir := range libraryFolders {
		patterns = append(patterns, dir+"/lib*.so."+version, dir+"/vdpau/lib*.so."+version, dir+"/libnvidia-nvvm70.so.*")
	}
	for _, dir := range []string{"/usr/bin", "/usr/local/bin", "/usr/sbin"} {
		for _, program := range programs {
			patterns = append(patterns, dir+"/"+program)
		}
	}
	for _, dir := range []string{"/lib/firmware", "/usr/lib/firmware"} {
		patterns = append(patterns, dir+"/nvidia/"+version+"/*.bin")
	}
	for _, pattern := range patterns {
		if err := add(pattern); err != nil {
			return nil, err
		}
	}
	slices.Sort(found)
	return found, nil
}
