package scaffold_test

import (
	"errors"
	"os"
	"path"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/kubectl-ai/kubectl-ai/plugin/scaffold"
)

// A mistake of a user's file is a *SyntaxError with that file, never a panic
// or another kind of error.
func named(t *testing.T, file string, err error) {
	t.Helper()
	var e *scaffold.SyntaxError
	if err != nil && (!errors.As(err, &e) || e.File != file || e.Msg == "" || e.Line < 0) {
		t.Errorf("%T: %v", err, err)
	}
}

func seed(f *testing.F, files ...string) {
	f.Helper()
	for _, name := range files {
		raw, err := os.ReadFile(path.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
}

func FuzzDockerfile(f *testing.F) {
	seed(f, "dockerfile/Dockerfile")
	f.Add([]byte("# escape=`\nARG A=x\nFROM ${A}:${B:-1} AS a\nFROM a\nCOPY --from=0 /x /y\nCOPY <<E /z\nhi\nE\nWORKDIR ../..\nCMD a b"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := scaffold.ParseDockerfile("Dockerfile", raw)
		named(t, "Dockerfile", err)
		if err == nil && (c.Base == "" || c.Workdir != "" && !path.IsAbs(c.Workdir)) {
			t.Errorf("base %q, workdir %q", c.Base, c.Workdir)
		}
	})
}

func FuzzRequirements(f *testing.F) {
	seed(f, "requirements/requirements.txt", "torchrun/requirements.txt")
	f.Fuzz(func(t *testing.T, raw []byte) {
		list, _, err := scaffold.ParseRequirements("requirements.txt", raw)
		named(t, "requirements.txt", err)
		for _, p := range list {
			if p.Name == "" || strings.ContainsAny(p.Name, " \n=<>[];#@") || p.Name != strings.ToLower(p.Name) {
				t.Errorf("package %q", p.Name)
			}
		}
	})
}

func FuzzPyproject(f *testing.F) {
	seed(f, "package/pyproject.toml", "uv/pyproject.toml", "console/pyproject.toml", "poetry/pyproject.toml")
	f.Add([]byte("[tool.poetry.dependencies]\npython = \"^3.12\"\n'a.b' = 1\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, err := scaffold.ParsePyproject(raw)
		named(t, "pyproject.toml", err)
	})
}

func FuzzPipfile(f *testing.F) {
	seed(f, "pipenv/Pipfile")
	f.Add([]byte("[packages]\n'a b' = 1\n[requires]\npython_version = 3\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := scaffold.ParsePipfile(raw)
		named(t, "Pipfile", err)
		for _, p := range p.Packages {
			if p.Name == "" || strings.ContainsAny(p.Name, " \n=<>[];#@") {
				t.Errorf("package %q", p.Name)
			}
		}
	})
}

func FuzzEnvironment(f *testing.F) {
	f.Add([]byte("dependencies:\n- python=3.12\n- conda-forge::numpy>=2\n- pip:\n  - torch==2.5\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, _, err := scaffold.ParseEnvironment("environment.yml", raw)
		named(t, "environment.yml", err)
	})
}

func FuzzNotebook(f *testing.F) {
	seed(f, "notebook/train.ipynb")
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, _, err := scaffold.ParseNotebook("a.ipynb", raw)
		named(t, "a.ipynb", err)
	})
}

// Scripts are read for what can be read in them: all of Make holds, whatever
// is in them.
func FuzzLaunchLinesAndPython(f *testing.F) {
	for _, name := range []string{"torchrun/launch.sh", "deepspeed/launch.sh", "uv/Makefile", "script/README.md"} {
		raw, err := os.ReadFile(path.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw, []byte(trains))
	}
	f.Fuzz(func(t *testing.T, lines, code []byte) {
		fsys := fstest.MapFS{"train.py": {Data: code}, "run.sh": {Data: lines}, "Makefile": {Data: lines}, "README.md": {Data: lines}}
		plan, err := scaffold.Make(fsys, scaffold.Options{Name: "p"})
		if err != nil {
			t.Fatal(err)
		}
		if len(plan.Files) < 6 || plan.Image == "" {
			t.Errorf("%+v", plan)
		}
	})
}
