package watch

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestChangesWakeTheLooker(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "a"), 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	changed := make(chan struct{}, 1)
	done := make(chan error, 1)
	go func() { done <- Watch(ctx, root, changed, func(s string) { t.Log(s) }) }()
	defer func() { cancel(); <-done }()
	wait := func(what string) {
		t.Helper()
		select {
		case <-changed:
		case <-time.After(20 * time.Second):
			t.Fatalf("%s woke nobody", what)
		}
	}
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"a file", func() error { return os.WriteFile(filepath.Join(root, "x"), nil, 0o644) }},
		{"a file in a folder", func() error { return os.WriteFile(filepath.Join(root, "a/x"), nil, 0o644) }},
		{"a new folder", func() error { return os.MkdirAll(filepath.Join(root, "b/c"), 0o755) }},
		{"a file in a new folder", func() error { return os.WriteFile(filepath.Join(root, "b/c/x"), nil, 0o644) }},
		{"a rename", func() error { return os.Rename(filepath.Join(root, "b"), filepath.Join(root, "d")) }},
		{"a removal", func() error { return os.RemoveAll(filepath.Join(root, "d")) }},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		wait(step.name)
	}
}
