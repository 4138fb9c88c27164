package nodeimage

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/kubectl-ai/kubectl-ai/sandbox/nodeimage/layer"
)

// proxyPrograms are what kube-proxy runs; a root of Debian's around them
// would make its image three times as large.
var proxyPrograms = []string{
	"usr/sbin/xtables-nft-multi", "usr/sbin/xtables-legacy-multi", "usr/sbin/nft", "usr/sbin/conntrack", "usr/bin/kmod",
}

// iptablesNames are names under which xtables-nft-multi is called.
var iptablesNames = []string{
	"iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore",
}

// proxyFiles says which files of a Debian root kube-proxy may need.
func proxyFiles(name string) bool {
	return slices.Contains(proxyPrograms, name) || isLibrary(name)
}

func isLibrary(name string) bool {
	return (strings.HasPrefix(name, "usr/lib/") || strings.HasPrefix(name, "usr/lib64/")) && strings.Contains(path.Base(name), ".so")
}

// proxyTools picks from a Debian root the programs of kube-proxy, the
// extensions that iptables loads by itself, and the libraries of them all.
func proxyTools(root map[string]layer.Entry) ([]layer.Entry, error) {
	start := slices.Clone(proxyPrograms)
	for name := range root {
		if path.Base(path.Dir(name)) == "xtables" && strings.HasSuffix(name, ".so") {
			start = append(start, name)
		}
	}
	picked, err := withLibraries(root, start)
	if err != nil {
		return nil, err
	}
	for _, dir := range []string{"bin", "sbin", "lib", "lib64"} { // merged, as in Debian
		picked = append(picked, layer.Entry{Path: dir, Mode: fs.ModeSymlink, Target: "usr/" + dir})
	}
	for _, name := range iptablesNames {
		legacy := strings.Replace(name, "tables", "tables-legacy", 1)
		picked = append(picked,
			layer.Entry{Path: "usr/sbin/" + name, Mode: fs.ModeSymlink, Target: "xtables-nft-multi"},
			layer.Entry{Path: "usr/sbin/" + legacy, Mode: fs.ModeSymlink, Target: "xtables-legacy-multi"})
	}
	return append(picked,
		layer.Entry{Path: "usr/sbin/modprobe", Mode: fs.ModeSymlink, Target: "../bin/kmod"},
		layer.Entry{Path: "run", Mode: fs.ModeDir | 0o755},
		layer.Entry{Path: "usr/lib64", Mode: fs.ModeDir | 0o755},
	), nil
}

// withLibraries returns the named files with the libraries that they and
// these in turn name, and the loader.
func withLibraries(root map[string]layer.Entry, names []string) ([]layer.Entry, error) {
	byBase := map[string]string{}
	for name := range root {
		if onLoaderPath, err := path.Match("usr/lib/*-linux-gnu*/*", name); err == nil && onLoaderPath {
			byBase[path.Base(name)] = name
		}
	}
	done := map[string]bool{}
	var picked []layer.Entry
	for len(names) > 0 {
		name := names[0]
		names = names[1:]
		if done[name] {
			continue
		}
		done[name] = true
		e, ok := root[name]
		if !ok {
			return nil, fmt.Errorf("the Debian root has no %s", name)
		}
		picked = append(picked, e)
		if e.Mode&fs.ModeSymlink != 0 {
			names = append(names, resolve(name, e.Target))
			continue
		}
		needed, loader, err := libraries(e.Content)
		if err != nil {
			return nil, fmt.Errorf("read the libraries of %s: %w", name, err)
		}
		if loader != "" {
			names = append(names, resolve(name, loader))
		}
		for _, lib := range needed {
			found, ok := byBase[lib]
			if !ok {
				return nil, fmt.Errorf("%s needs %s, which the Debian root lacks", name, lib)
			}
			names = append(names, found)
		}
	}
	return picked, nil
}

// resolve follows a link, as merged /usr has it.
func resolve(name, target string) string {
	if !path.IsAbs(target) {
		target = path.Join("/", path.Dir(name), target)
	}
	target = strings.TrimPrefix(target, "/")
	if !strings.HasPrefix(target, "usr/") {
		target = "usr/" + target
	}
	return target
}

// libraries are the base names of the libraries that an ELF file names, and
// the path of the loader that a program names.
func libraries(content []byte) (needed []string, loader string, err error) {
	f, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		return nil, "", err
	}
	if needed, err = f.ImportedLibraries(); err != nil {
		return nil, "", err
	}
	if s := f.Section(".interp"); s != nil {
		name, err := s.Data()
		if err != nil {
			return nil, "", err
		}
		loader = string(bytes.TrimRight(name, "\x00"))
	}
	return needed, loader, nil
}
