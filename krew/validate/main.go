// validate checks krew manifests by every rule that krew and krew-index have,
// and with -archives what the archives of a folder hold. It prints a line for
// each rule that is broken and exits 1 then. With -install it puts a plugin
// that keeps them all where krew would put it.
//
// usage: validate [-archives DIR [-install ROOT]] MANIFEST...
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime"

	"github.com/kubectl-ai/kubectl-ai/krew/manifest"
)

func main() {
	archives := flag.String("archives", "", "folder that has the archives of the manifests")
	root := flag.String("install", "", "krew's folder, whose bin is on PATH: install there for this system")
	flag.Parse()
	if flag.NArg() == 0 || *root != "" && *archives == "" {
		flag.Usage()
		os.Exit(2)
	}
	failed := false
	for _, file := range flag.Args() {
		if err := validate(file, *archives, *root); err != nil {
			fmt.Fprintf(os.Stderr, "%s:\n%v\n", file, err)
			failed = true
		}
	}
	if failed {
		os.Exit(1)
	}
}

func validate(file, archives, root string) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	p, err := manifest.Parse(file, raw)
	if err != nil || archives == "" {
		return err
	}
	var broken []error
	for _, platform := range p.Spec.Platforms {
		archive, err := os.ReadFile(filepath.Join(archives, path.Base(platform.URI)))
		if err == nil {
			err = manifest.CheckArchive(platform, archive)
		}
		broken = append(broken, err)
	}
	if err := errors.Join(broken...); err != nil || root == "" {
		return err
	}
	link, err := p.Install(root, manifest.Target{OS: runtime.GOOS, Arch: runtime.GOARCH}, archives)
	if err == nil {
		fmt.Println(link)
	}
	return err
}
