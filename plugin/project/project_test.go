package project

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const head = "apiVersion: kubectl-ai.dev/v1alpha1\nkind: Project\n"

func bundle(t *testing.T, file string, folders ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "My_Bundle")
	for _, f := range append(folders, ".") {
		if err := os.MkdirAll(filepath.Join(dir, f), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if file != "" {
		if err := os.WriteFile(filepath.Join(dir, FileName), []byte(file), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestABundleWithoutAFileFollowsTheConventions(t *testing.T) {
	dir := bundle(t, "", "src", "overlays/sandbox", "overlays/production")
	p, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := &Project{
		Name: "my-bundle", Dir: dir,
		Code:   []Code{{Path: filepath.Join(dir, "src")}},
		Reload: Reload{StopSignal: "TERM", GracePeriod: 10 * time.Second},
		Environments: map[string]Environment{
			"sandbox":    {Name: "sandbox", Overlay: filepath.Join(dir, "overlays/sandbox"), CodeFormats: []string{FormatLayer, FormatConfigMap}},
			"production": {Name: "production", Overlay: filepath.Join(dir, "overlays/production"), CodeFormats: []string{FormatLayer, FormatConfigMap}},
		},
	}
	if diff := cmp.Diff(want, p); diff != "" {
		t.Error(diff)
	}
}

func TestMistakesInTheFileAreNamedWithTheirLine(t *testing.T) {
	for _, c := range []struct{ name, file, want string }{
		{"unknown field", head + "metadata: {name: p}\ncode:\n- path: src\n  mountpath: /app\n", ":6: unknown field mountpath"},
		{"wrong type", head + "code: src\n", ":3: "},
		{"not YAML", head + "code: [\n", ": "},
		{"another kind", "apiVersion: v1\nkind: Pod\n", ":1: want apiVersion kubectl-ai.dev/v1alpha1"},
		{"relative mountPath", head + "code:\n- {path: src, mountPath: app}\n", "code[0].mountPath \"app\" is not absolute"},
		{"unknown code format", head + "environments: {production: {codeFormat: zip}}\n", "environments.production.codeFormat \"zip\""},
		{"no image", head + "agent: {image: \"Not An Image\"}\n", "agent.image \"Not An Image\" is no image"},
		{"bad duration", head + "reload: {gracePeriod: soon}\n", "reload.gracePeriod \"soon\""},
		{"no place for checkpoints", head + "reload: {checkpoint: {signal: USR1}}\n", "reload.checkpoint.path \"\""},
		{"checkpoints outside of the code", head + "reload: {checkpoint: {path: ../out}}\n", "reload.checkpoint.path \"../out\""},
		{"a signal that asks for nothing", head + "reload: {checkpoint: {path: out, signal: KILL}}\n", "reload.checkpoint.signal \"KILL\""},
		{"no time for checkpoints", head + "reload: {checkpoint: {path: out, timeout: 0s}}\n", "reload.checkpoint.timeout \"0s\""},
		{"no module", head + "reload:\n  preload:\n  - torch\n  - torch;os\n", ":6: reload.preload \"torch;os\" is no module's name"},
		{"no module, in brackets", head + "reload: {preload: [torch, -m]}\n", ":3: reload.preload \"-m\""},
		{"a module twice", head + "reload: {preload: [torch, torch]}\n", ":3: reload.preload names torch twice"},
		{"a module that is none", head + "reload: {preload: [torch, {a: b}]}\n", ":3: "},
		{"one module without brackets", head + "reload: {preload: torch}\n", ":3: "},
		{"bad name", head + "metadata: {name: A_b}\n", "metadata.name \"A_b\""},
		{"a pattern that is a tag to YAML", head + "code:\n- path: src\n  ignore:\n  - '*.o'\n  - !keep.o\n", ":7: code[0].ignore: quote the pattern: \"!keep.o\""},
		{"a pattern that is a list", head + "code:\n- path: src\n  ignore: [[a]]\n", ":5: code[0].ignore: want a list of patterns"},
		{"two documents", head + "---\n" + head, "more than one YAML document"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Load(bundle(t, c.file, "src"))
			var mistake *FileError
			if !errors.As(err, &mistake) {
				t.Fatalf("err = %v, want *FileError", err)
			}
			if !strings.Contains(err.Error(), FileName+c.want) && !strings.Contains(err.Error(), c.want) {
				t.Errorf("err = %q, want it to contain %q", err, c.want)
			}
		})
	}
}

func TestPatternsKnowTheirLines(t *testing.T) {
	p, err := Load(bundle(t, head+"code:\n- path: src\n  ignore:\n  - &x '*.o'\n  - \"!keep.o\"\n  - 4913\n\n  - *x\n", "src"))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(Code{Path: filepath.Join(p.Dir, "src"), Ignore: []string{"*.o", "!keep.o", "4913", "*.o"}, IgnoreLines: []int{6, 7, 8, 6}}, p.Code[0]); d != "" {
		t.Error(d)
	}
}

func TestMissingPartsAreTypedErrors(t *testing.T) {
	var noCode *NoCodeError
	if _, err := Load(bundle(t, head+"code: [{path: gone}]\n")); !errors.As(err, &noCode) {
		t.Errorf("missing code folder: err = %v", err)
	}
	p, err := Load(bundle(t, "", "overlays/staging"))
	if err != nil {
		t.Fatal(err)
	}
	var unknown *UnknownEnvironmentError
	if _, err := p.Environment("production"); !errors.As(err, &unknown) || !cmp.Equal(unknown.Known, []string{"staging"}) {
		t.Errorf("unknown environment: err = %v", err)
	}
}

func TestModulesToPreload(t *testing.T) {
	p, err := Load(bundle(t, head+"reload: {preload: [torch, torch.distributed, _x1]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"torch", "torch.distributed", "_x1"}, p.Reload.Preload); diff != "" {
		t.Error(diff)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(head + "code: [{path: src}]\nenvironments: {a: {context: x}}\n"))
	f.Add([]byte(head + "reload: {preload: [&a torch, *a, null]}\n"))
	f.Add([]byte(head + "metrics: [{name: m, goal: minimize, threshold: 1}]\nenvironments: {a: {clusters: [{name: b, context: c}], waves: [{clusters: [b], gates: [{metric: m}, {approval: [x]}]}]}}\n"))
	f.Add([]byte(head + "data: {schema: {columns: [{name: x, type: array, length: 64, min: 0, max: 16}, {name: label, type: string}]}, labels: [a, b], split: {heldOut: 0.25, seed: 7}}\n"))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		parsed, err := parse(FileName, raw)
		if err == nil {
			_, _ = parsed.project("/bundle", FileName)
		}
	})
}

func TestCheckpoint(t *testing.T) {
	p, err := Load(bundle(t, head+"reload: {checkpoint: {path: out/ckpt, signal: sigusr2, timeout: 5m}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if want := (Checkpoint{Path: "out/ckpt", Signal: "USR2", Timeout: 5 * time.Minute}); p.Reload.Checkpoint != want {
		t.Errorf("%+v, want %+v", p.Reload.Checkpoint, want)
	}
	if p, err = Load(bundle(t, head+"reload: {checkpoint: {path: /data/ckpt}}\n")); err != nil || p.Reload.Checkpoint != (Checkpoint{Path: "/data/ckpt", Signal: "USR1", Timeout: time.Minute}) {
		t.Errorf("defaults: %+v, %v", p, err)
	}
}
