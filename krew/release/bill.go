package main

import (
	"bytes"
	"debug/buildinfo"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// billOfMaterials lists the modules of a program and of the Linux programs
// that it carries (CycloneDX 1.6), each once, by what the linker noted in
// them. They are the same for every platform. It carries neither a time nor a
// random serial number, so that two of one tree are the same bytes.
func billOfMaterials(version string, binary []byte) ([]byte, error) {
	modules := map[string]string{}
	info, err := buildinfo.Read(bytes.NewReader(binary))
	if err != nil {
		return nil, err
	}
	note(modules, info)
	carried, err := filepath.Glob("bin/linux-*/*")
	if err != nil {
		return nil, err
	}
	for _, file := range carried {
		if filepath.Ext(file) == ".1" {
			continue // C, all of it ours
		}
		info, err := buildinfo.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		note(modules, info)
	}
	root := cdx.Component{BOMRef: "kubectl-ai", Type: cdx.ComponentTypeApplication, Name: "kubectl-ai", Version: version}
	components := []cdx.Component{{BOMRef: "go", Type: cdx.ComponentTypeFramework, Name: "go", Version: info.GoVersion}}
	uses := []string{"go"}
	for _, path := range slices.Sorted(maps.Keys(modules)) {
		url := "pkg:golang/" + path + "@" + modules[path]
		components = append(components, cdx.Component{BOMRef: url, Type: cdx.ComponentTypeLibrary, Name: path, Version: modules[path], PackageURL: url})
		uses = append(uses, url)
	}
	bom := cdx.BOM{
		BOMFormat: cdx.BOMFormat, Version: 1,
		Metadata: &cdx.Metadata{Component: &root}, Components: &components,
		Dependencies: &[]cdx.Dependency{{Ref: root.BOMRef, Dependencies: &uses}},
	}
	var out bytes.Buffer
	err = cdx.NewBOMEncoder(&out, cdx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false).EncodeVersion(&bom, cdx.SpecVersion1_6)
	return out.Bytes(), err
}

// note adds what a program is made of. All are of one go.mod, so a module has
// one version.
func note(modules map[string]string, info *buildinfo.BuildInfo) {
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		modules[m.Path] = m.Version
	}
}

// carries says whether the Linux programs are there to be carried.
func carries() error {
	for _, arch := range []string{"amd64", "arm64"} {
		if _, err := os.Stat("cmd/kubectl-ai/payload/programs/linux-" + arch + ".tar.zst"); err != nil {
			return fmt.Errorf("the programs for linux/%s are missing, which `make release` makes first: %w", arch, err)
		}
	}
	return nil
}
