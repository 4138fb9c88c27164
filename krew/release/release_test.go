package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/kubectl-ai/kubectl-ai/krew/manifest"
)

// The archive of every target keeps krew's rules, and is the same bytes when
// packed again.
func TestArchives(t *testing.T) {
	for _, target := range manifest.Targets {
		files := []manifest.File{{Name: "LICENSE", Mode: 0o644, Content: []byte("licence")}, {Name: program(target), Mode: 0o755, Content: []byte("program")}}
		first, err := pack(target, files)
		if err != nil {
			t.Fatal(err)
		}
		second, err := pack(target, files)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first, second) {
			t.Errorf("%s: two runs give different bytes", archiveName(target))
		}
		platform := manifest.Platform{URI: "https://example.com/" + archiveName(target), SHA256: fmt.Sprintf("%x", sha256.Sum256(first)), Bin: program(target)}
		if err := manifest.CheckArchive(platform, first); err != nil {
			t.Error(err)
		}
	}
}

func TestOnlyKnownPlatformsAreReleased(t *testing.T) {
	if got, err := chosen(""); err != nil || len(got) != len(manifest.Targets) {
		t.Errorf("all: %v, %v", got, err)
	}
	if got, err := chosen("linux/amd64,darwin/arm64"); err != nil || len(got) != 2 {
		t.Errorf("two: %v, %v", got, err)
	}
	if _, err := chosen("plan9/amd64"); err == nil {
		t.Error("plan9 was accepted")
	}
}
