package scaffold_test

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-ai/kubectl-ai/kustomize/bundle"
	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/scaffold"
)

// renderIn builds kustomizations of a folder, as the command does.
func renderIn(root string) func(string) ([]*unstructured.Unstructured, error) {
	return func(dir string) ([]*unstructured.Unstructured, error) {
		return bundle.Render(filepath.Join(root, dir), bundle.Options{})
	}
}

// copied returns a copy of a project of testdata, named as it is.
func copied(t *testing.T, name string) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), filepath.Base(name))
	if err := os.CopyFS(root, os.DirFS(filepath.Join("testdata", name))); err != nil {
		t.Fatal(err)
	}
	return root
}

// Every shape of project: what is found out, that the result renders in both
// environments, and which container gets the code.
func TestProjectsOfEveryShape(t *testing.T) {
	for _, c := range []struct {
		project         string
		files           string // new ones, without those that every project gets
		command         string
		where           string
		image, mount    string
		code            string
		target          string
		needs           string
		missing         string // a part of the only statement
		findings        []string
		adopted         string
		fromKustomize   bool
		productionParts []string
		golden          bool // all that is written is in testdata/PROJECT.golden
	}{
		{project: "script", command: "python3 train.py", where: "train.py:42 (by its name)", image: "python:3.11-slim"},
		{project: "package", command: "python3 -m sentiment", where: "src/sentiment/__main__.py:12 (a package with a __main__)", image: "python:3.11-slim"},
		{
			project: "torchrun", files: "Dockerfile base/service.yaml", command: "torchrun --max-restarts 3 train.py --batch-size 64", where: "launch.sh:5",
			image: "torchrun:1", needs: "torch, numpy", missing: "image torchrun:1 has to be built, with torch, numpy",
			findings:        []string{"ranks 2 pods, in production 2 with 8 processes each launch.sh:5", "framework PyTorch train.py:5", "GPU 1 for each pod train.py:16", "requirements 2 packages requirements.txt"},
			productionParts: []string{"name: PET_NPROC_PER_NODE\n          value: \"8\"", "nvidia.com/gpu: 8"},
		},
		{
			project: "dockerfile", command: "python fit.py --steps 50", where: "Dockerfile:12", image: "dockerfile:1", mount: "/workspace", code: "src",
			adopted: "Dockerfile", missing: "image dockerfile:1 has to be built", findings: []string{"runtime image dockerfile:1 Dockerfile, on python:3.11-slim"},
		},
		{
			project: "kustomize", fromKustomize: true, files: "deploy/overlays/sandbox/kustomization.yaml", command: "python3 train.py", where: "Job/team-pi/trainer in deploy/base",
			image: "python:3.11-slim", mount: "/code", target: "Job/team-pi/trainer", adopted: "deploy/base/kustomization.yaml deploy/overlays/prod/kustomization.yaml",
			findings: []string{"overlay of sandbox deploy/overlays/sandbox new, on deploy/base", "overlay of production deploy/overlays/prod a kustomization that was there"},
		},
		{project: "monorepo/vision", command: "python3 train.py", where: "train.py:13 (by its name)", image: "python:3.11-slim"},
		{
			project: "requirements", files: "Dockerfile", command: "python3 main.py", where: "main.py:16 (by its name)", image: "requirements:1",
			needs: "scikit-learn, pandas, featurestore, pyyaml", missing: "image requirements:1 has to be built, with scikit-learn, pandas, featurestore, pyyaml",
		},
		{
			project: "uv", files: "Dockerfile", command: "python forecast.py --steps 200", where: "Makefile:5", image: "uv:1",
			needs: "numpy, tqdm", missing: "image uv:1 has to be built, with numpy, tqdm",
		},
		{
			project: "console", command: "python3 -c import sys; from spam.cli import main; sys.exit(main())", where: "pyproject.toml:13 (script spam-train)", image: "python:3.11-slim",
			golden: true,
		},
		{
			project: "deepspeed", files: "Dockerfile base/service.yaml", command: "torchrun finetune.py --deepspeed configs/zero2.json --epochs 3", where: "launch.sh:4",
			image: "deepspeed:1", needs: "torch, deepspeed", missing: "image deepspeed:1 has to be built, with torch, deepspeed",
			findings:        []string{"ranks 2 pods, in production 2 with 4 processes each launch.sh:4", "launcher torchrun in place of deepspeed, which starts other nodes by ssh launch.sh:4"},
			productionParts: []string{"name: PET_NPROC_PER_NODE\n          value: \"4\"", "nvidia.com/gpu: 4"}, golden: true,
		},
		{
			project: "pipenv", files: "Dockerfile", command: "python3 train.py", where: "train.py:4 (by its name)", image: "pipenv:1",
			needs: "numpy, scikit-learn", missing: "image pipenv:1 has to be built, with numpy, scikit-learn", findings: []string{"requirements 2 packages Pipfile"}, golden: true,
		},
		{
			project: "poetry", files: "Dockerfile", command: "python3 -c import sys; from digits.main import cli; sys.exit(cli.run())", where: "pyproject.toml:15 (script digits)", image: "poetry:1",
			needs: "numpy", missing: "image poetry:1 has to be built, with numpy", golden: true,
		},
	} {
		t.Run(c.project, func(t *testing.T) {
			root := copied(t, c.project)
			name := filepath.Base(root)
			before := tree(t, root)
			plan, err := scaffold.Make(os.DirFS(root), scaffold.Options{Name: name, Render: renderIn(root)})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, tree(t, root)); diff != "" {
				t.Fatalf("Make wrote: %s", diff)
			}
			if err := plan.Write(root); err != nil {
				t.Fatal(err)
			}
			if c.golden {
				compare(t, c.project, plan)
			}
			always := []string{project.FileName}
			if !c.fromKustomize {
				always = append(always, "base/job.yaml", "base/kustomization.yaml", "overlays/production/kustomization.yaml", "overlays/production/namespace.yaml", "overlays/sandbox/kustomization.yaml")
			}
			want := append(always, strings.Fields(c.files)...)
			slices.Sort(want)
			if diff := cmp.Diff(want, plan.Paths()); diff != "" {
				t.Errorf("files: %s", diff)
			}
			after := tree(t, root)
			for file, content := range before {
				if after[file] != content {
					t.Errorf("%s was changed", file)
				}
			}
			found := map[string]scaffold.Finding{}
			var lines []string
			for _, f := range plan.Findings {
				found[f.What] = f
				lines = append(lines, f.What+" "+f.Value+" "+f.Where)
			}
			if got := found["entry point"]; got.Value != c.command || got.Where != c.where {
				t.Errorf("entry point %+v", got)
			}
			for _, line := range c.findings {
				if !slices.Contains(lines, line) {
					t.Errorf("not found: %s\nin %s", line, strings.Join(lines, "\n"))
				}
			}
			if plan.Image != c.image || scaffold.Names(plan.Needs) != c.needs || strings.Join(plan.Adopted, " ") != c.adopted {
				t.Errorf("image %s, needs %s, adopted %v", plan.Image, scaffold.Names(plan.Needs), plan.Adopted)
			}
			if c.missing == "" && len(plan.Missing) > 0 || c.missing != "" && !slices.Equal(plan.Missing, []string{c.missing}) {
				t.Errorf("missing: %q", plan.Missing)
			}

			p, err := project.Load(root)
			if err != nil {
				t.Fatal(err)
			}
			if want := filepath.Join(root, c.code); p.Name != name || p.Code[0].Path != want {
				t.Errorf("project %s with the code %s, want %s", p.Name, p.Code[0].Path, want)
			}
			for _, environment := range []string{project.Sandbox, project.Production} {
				env, err := p.Environment(environment)
				if err != nil {
					t.Fatal(err)
				}
				objects, err := bundle.Render(env.Overlay, bundle.Options{})
				if err != nil {
					t.Fatal(err)
				}
				targets, err := workload.Select(objects, p.Code[0].MountPath, p.Code[0].Targets)
				if err != nil {
					t.Fatal(err)
				}
				wantTarget, wantMount := c.target, c.mount
				if wantTarget == "" {
					wantTarget = "Job/" + name + "/trainer"
				}
				if wantMount == "" {
					wantMount = "/app"
				}
				if len(targets) != 1 || targets[0].String() != wantTarget || targets[0].MountPath != wantMount {
					t.Fatalf("%s: the code goes to %v", environment, targets)
				}
				container := targets[0].Container
				if argv := strings.Join(append(container.Command(), container.Args()...), " "); argv != c.command || container.Image() != c.image {
					t.Errorf("%s: %s runs %s", environment, container.Image(), argv)
				}
				if environment == project.Production {
					text := manifests(t, objects)
					for _, part := range c.productionParts {
						if !strings.Contains(text, part) {
							t.Errorf("production has not %q:\n%s", part, text)
						}
					}
				}
			}

			if _, err := scaffold.Make(os.DirFS(root), scaffold.Options{Name: name, Render: renderIn(root)}); !errors.As(err, new(*scaffold.ExistsError)) {
				t.Errorf("a second time: %v", err)
			}
		})
	}
}

var update = flag.Bool("update", false, "write the golden files")

// compare compares the files of a plan with those that were read once.
func compare(t *testing.T, project string, plan *scaffold.Plan) {
	t.Helper()
	var b strings.Builder
	for _, f := range plan.Files {
		fmt.Fprintf(&b, "-- %s --\n%s", f.Path, f.Content)
	}
	golden := filepath.Join("testdata", project+".golden")
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("run with -update, and read what changed (-file +written):\n%s", diff)
	}
}

// What cannot be a bundle yet says what it lacks.
func TestWhatIsMissingIsSaid(t *testing.T) {
	make := func(t *testing.T, project string) error {
		t.Helper()
		_, err := scaffold.Make(os.DirFS(filepath.Join("testdata", project)), scaffold.Options{Name: project})
		return err
	}
	t.Run("notebook", func(t *testing.T) {
		var e *scaffold.NotebookError
		if err := make(t, "notebook"); !errors.As(err, &e) {
			t.Fatal(err)
		}
		want := &scaffold.NotebookError{
			Notebooks: []string{"train.ipynb"}, Needs: []string{"pandas", "scikit-learn"},
			Magics: []string{"train.ipynb cell 2: %pip install scikit-learn pandas", "train.ipynb cell 2: !mkdir -p data"},
		}
		if diff := cmp.Diff(want, e); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("monorepo", func(t *testing.T) {
		var e *scaffold.MonorepoError
		if err := make(t, "monorepo"); !errors.As(err, &e) {
			t.Fatal(err)
		}
		want := []scaffold.Finding{{What: "project", Value: "ranking", Where: "python3 main.py"}, {What: "project", Value: "vision", Where: "python3 train.py"}}
		if diff := cmp.Diff(want, e.Projects); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("nocode", func(t *testing.T) {
		var e *scaffold.NoCodeError
		if err := make(t, "nocode"); !errors.As(err, &e) || len(e.Has) != 3 {
			t.Fatal(err)
		}
	})
}

const trains = "def f():\n    loss = optimizer = 1\n\nif __name__ == \"__main__\":\n    f()\n"

// Rules that no whole project shows.
func TestRules(t *testing.T) {
	type files map[string]string
	const pair = "import torch.distributed as dist\ndist.init_process_group()\n" + trains
	for _, c := range []struct {
		name    string
		files   files
		entry   string
		command string
		want    error  // its type
		says    string // a part of the error, or of what is found and planned
	}{
		{name: "one script with a guard and a loop", files: files{"tools/fit.py": trains, "lib.py": "x = 1\n"}, command: "python3 tools/fit.py", says: "a __main__ guard and a training loop"},
		{name: "two of them", files: files{"tools/fit.py": trains, "tools/tune.py": trains}, want: &scaffold.AmbiguousError{}, says: "tools/fit.py, tools/tune.py"},
		{name: "two of them, one is named", files: files{"tools/fit.py": trains, "tools/tune.py": trains}, entry: "tools/tune.py", command: "python3 tools/tune.py"},
		{name: "a module is named", files: files{"pkg/__init__.py": "", "pkg/fit.py": trains}, entry: "pkg.fit", command: "python3 -m pkg.fit"},
		{name: "something is named that is not there", files: files{"fit.py": trains}, entry: "fot.py", want: &scaffold.EntryError{}, says: `"fot.py"`},
		{name: "two of them, a Makefile starts one", files: files{"tools/fit.py": trains, "tools/tune.py": trains, "Makefile": "train:\n\t@python3 tools/fit.py --lr $(LR)\n"}, command: "python3 tools/fit.py --lr $(LR)", says: "Makefile:2 leaves $LR to its caller"},
		{name: "scripts of tests do not count", files: files{"fit.py": trains, "tests/train.py": trains, "test_train.py": trains}, command: "python3 fit.py"},
		{name: "a library alone", files: files{"lib.py": "def add(a, b):\n    return a + b\n"}, want: &scaffold.NoEntryError{}, says: "lib.py"},
		{name: "a converted notebook has no guard", files: files{"look.py": "loss = 1\nfor epoch in range(3):\n    pass\n"}, command: "python3 look.py"},
		{name: "a module of a package", files: files{"pkg/__init__.py": "", "pkg/train.py": trains}, command: "python3 -m pkg.train"},
		{name: "several train.py are several projects", files: files{"a/train.py": trains, "b/train.py": trains}, want: &scaffold.MonorepoError{}, says: "a (python3 train.py), b (python3 train.py)"},
		{name: "one project in a folder below", files: files{"README.md": "x", "ml/pyproject.toml": "", "ml/train.py": trains}, want: &scaffold.MonorepoError{}, says: "in a folder below: ml"},
		{name: "a virtual environment is no code", files: files{"train.py": trains, "ve/pyvenv.cfg": "", "ve/lib/train.py": trains, ".tox/train.py": trains}, command: "python3 train.py"},
		{name: "ranks by the code", files: files{"train.py": pair}, command: "python3 train.py", says: "ranks 2 pods train.py:2"},
		{name: "packages by the imports", files: files{"train.py": "import yaml, os.path\nfrom PIL import Image\nfrom .x import y\ntry:\n    import wandb\nexcept ImportError:\n    pass\n" + trains}, command: "python3 train.py", says: "RUN pip install --no-cache-dir pyyaml pillow"},
		{name: "modules of the project are no packages", files: files{"train.py": "import util.io\nfrom data import load\n" + trains, "util/io.py": "import numpy\n", "data.py": ""}, command: "python3 train.py", says: "RUN pip install --no-cache-dir numpy"},
		{name: "only what the entry reaches", files: files{"train.py": trains, "serve.py": "import flask\n"}, command: "python3 train.py", says: "the code needs no package"},
		{name: "conda", files: files{"train.py": "import numpy\n" + trains, "environment.yml": "dependencies:\n- python=3.12\n- conda-forge::numpy>=2\n- pip:\n  - torch==2.5\n"}, command: "python3 train.py", says: "micromamba install"},
		{name: "poetry", files: files{"train.py": trains, "poetry.lock": "", "pyproject.toml": "[tool.poetry.dependencies]\npython = \"^3.12\"\nnumpy = \"^2\"\n"}, command: "python3 train.py", says: "COPY pyproject.toml poetry.lock"},
		{name: "Poetry 2 with packages of PEP 621", files: files{"train.py": trains, "poetry.lock": "", "pyproject.toml": "[project]\nname = \"p\"\ndependencies = [\"numpy\"]\n"}, command: "python3 train.py", says: "poetry install --only main"},
		{name: "Poetry without a lock", files: files{"train.py": trains, "pyproject.toml": "[tool.poetry.dependencies]\nnumpy = \"^2\"\n"}, command: "python3 train.py", says: "COPY pyproject.toml ./\nRUN pip install --no-cache-dir poetry"},
		{name: "Pipenv without a lock", files: files{"train.py": trains, "Pipfile": "[packages]\ntorch = \"*\"\n[requires]\npython_full_version = \"3.13.1\"\n"}, command: "python3 train.py", says: "FROM python:3.13-slim\nWORKDIR /runtime\nCOPY Pipfile ./\nRUN pip install --no-cache-dir pipenv && \\\n    pipenv lock && pipenv requirements"},
		{name: "a Pipfile that is none", files: files{"train.py": trains, "Pipfile": "[packages]\nnumpy =\n"}, want: &scaffold.SyntaxError{}, says: "Pipfile:"},
		{name: "a declared script whose module has a guard", files: files{"pkg/__init__.py": "", "pkg/fit.py": trains, "pkg/other.py": trains, "pyproject.toml": "[project.scripts]\nfit = \"pkg.fit:f\"\n"}, command: "python3 -m pkg.fit", says: "pyproject.toml:2 (script fit)"},
		{name: "two declared scripts, one is named for it", files: files{"a.py": trains, "b.py": trains, "pyproject.toml": "[project.scripts]\nshow = \"a:f\"\ntrain = \"b:f\"\n"}, command: "python3 -c import sys; from b import f; sys.exit(f())", says: "script train"},
		{name: "declared scripts that do not train", files: files{"pkg/__init__.py": "", "pkg/cli.py": "def main():\n    pass\n", "fit.py": trains, "pyproject.toml": "[project.scripts]\np = \"pkg.cli:main\"\n"}, command: "python3 fit.py"},
		{name: "a declared script of another package", files: files{"fit.py": trains, "pyproject.toml": "[project.scripts]\np = \"elsewhere.cli:main\"\n"}, command: "python3 fit.py"},
		{name: "a launch line before declared scripts", files: files{"train.py": trains, "run.sh": "python3 train.py --lr 1\n", "pkg/__init__.py": trains, "pyproject.toml": "[project.scripts]\np = \"pkg:f\"\n"}, command: "python3 train.py --lr 1"},
		{name: "a deepspeed line of a Makefile", files: files{"train.py": trains, "Makefile": "train:\n\tdeepspeed --num_gpus=8 train.py --lr $(LR)\n"}, command: "torchrun train.py --lr $(LR)", says: "in production 1 with 8 processes each Makefile:2"},
		{name: "a deepspeed line of the README", files: files{"train.py": trains, "README.md": "Run `deepspeed --include localhost:0,1 --no_local_rank train.py --deepspeed ds.json`.\n"}, command: "torchrun train.py --deepspeed ds.json", says: "torchrun in place of deepspeed"},
		{name: "a deepspeed line of a module", files: files{"pkg/__init__.py": "", "pkg/fit.py": trains, "run.sh": "deepspeed --num_nodes 4 --module pkg.fit --x 1\n"}, command: "torchrun -m pkg.fit --x 1", says: "value: 4}"},
		{name: "ranks by deepspeed in the code", files: files{"train.py": "import deepspeed\ndeepspeed.init_distributed()\n" + trains}, command: "python3 train.py", says: "ranks 2 pods train.py:2"},
		{name: "Python by .python-version", files: files{"train.py": trains, ".python-version": "3.13.1\n"}, command: "python3 train.py", says: "runtime image python:3.13-slim the code needs no package; Python as in .python-version"},
		{name: "an accelerate line of the README", files: files{"train.py": trains, "README.md": "Run `accelerate launch --multi_gpu --num_machines 2 --num_processes 16 --mixed_precision bf16 train.py --lr 3e-4`.\n"}, command: "accelerate launch --num_processes $(NUM_PROCESSES) --num_machines $(WORLD_SIZE) --machine_rank $(RANK) --main_process_ip $(MASTER_ADDR) --main_process_port $(MASTER_PORT) --mixed_precision bf16 train.py --lr 3e-4", says: "in production 2 with 8 processes each README.md:1"},
		{name: "accelerate counts the processes of all machines, for a laptop", files: files{"train.py": trains, "run.sh": "accelerate launch --num_machines 4 --num_processes 4 train.py\n"}, command: "accelerate launch --num_processes $(NUM_PROCESSES) --num_machines $(WORLD_SIZE) --machine_rank $(RANK) --main_process_ip $(MASTER_ADDR) --main_process_port $(MASTER_PORT) train.py", says: "- {name: NUM_PROCESSES, value: \"2\"}"},
		{name: "and for production", files: files{"train.py": trains, "run.sh": "accelerate launch --num_machines 4 --num_processes 4 train.py\n"}, command: "accelerate launch --num_processes $(NUM_PROCESSES) --num_machines $(WORLD_SIZE) --machine_rank $(RANK) --main_process_ip $(MASTER_ADDR) --main_process_port $(MASTER_PORT) train.py", says: "env/0/value, value: \"4\"}"},
		{name: "a python line of the README is an example", files: files{"train.py": trains, "README.md": "    python train.py --lr 1\n"}, command: "python3 train.py"},
		{name: "torch.distributed.run of nodes", files: files{"train.py": trains, "run.sh": "N=4\npython3 -m torch.distributed.run --nnodes ${N} --nproc-per-node=${GPUS:-2} train.py > log 2>&1\n"}, command: "python3 -m torch.distributed.run train.py", says: "value: 4}"},
		{name: "a Dockerfile that only copies is its base", files: files{"Dockerfile": "FROM python:3.12-slim\nENV A=b C='d e'\nWORKDIR /srv\nCOPY . .\nCMD python train.py\n", "train.py": trains}, command: "python train.py", says: "image: python:3.12-slim"},
		{name: "its variables too", files: files{"Dockerfile": "FROM python:3.12-slim\nENV A=b C='d e'\nWORKDIR /srv\nCOPY . .\nCMD python train.py\n", "train.py": trains}, command: "python train.py", says: "- {name: C, value: d e}"},
		{name: "and what it does not bring", files: files{"Dockerfile": "FROM python:3.12-slim\nWORKDIR /srv\nCOPY . .\nCMD python train.py\n", "train.py": "import torch\n" + trains}, command: "python train.py", says: "image python:3.12-slim is Python alone and has not: torch"},
		{name: "a Dockerfile that runs a shell", files: files{"Dockerfile": "FROM x\nWORKDIR /srv\nCMD python prep.py && python train.py\n", "train.py": trains}, command: "/bin/sh -c python prep.py && python train.py"},
		{name: "a Dockerfile's script that is not there", files: files{"Dockerfile": "FROM x\nCMD [\"python\", \"fit.py\"]\n", "train.py": trains}, command: "python fit.py", says: "Dockerfile:2 starts fit.py, which the code does not have"},
		{name: "packages below the code's place", files: files{"Dockerfile": "FROM x\nWORKDIR /app\nCOPY pyproject.toml uv.lock ./\nRUN uv sync --frozen\nCOPY . .\nCMD [\"python\", \"train.py\"]\n", "train.py": trains}, command: "python train.py", says: "/app/.venv, which the code's volume covers"},
		{name: "a Dockerfile without a command", files: files{"Dockerfile": "FROM nvidia/cuda:12.6.2-runtime-ubuntu24.04\nRUN apt-get update\n", "train.py": trains}, command: "python3 train.py", says: "GPU 1 for each pod Dockerfile:1"},
		{name: "a Dockerfile's unknown instruction", files: files{"Dockerfile": "FROM x\nBOIL water\n", "train.py": trains}, want: &scaffold.SyntaxError{}, says: "Dockerfile:2: BOIL is no instruction"},
		{name: "a Dockerfile's list in single quotes", files: files{"Dockerfile": "FROM x\nCMD ['python', 'train.py']\n", "train.py": trains}, want: &scaffold.SyntaxError{}, says: "Dockerfile:2: CMD ['python', 'train.py'] is no JSON"},
		{name: "a Dockerfile without FROM", files: files{"Dockerfile": "CMD a\n", "train.py": trains}, want: &scaffold.SyntaxError{}, says: "Dockerfile:1: CMD before FROM"},
		{name: "broken requirements", files: files{"requirements.txt": "numpy\ntorch => 2\n", "train.py": trains}, want: &scaffold.SyntaxError{}, says: `requirements.txt:2: "torch => 2"`},
		{name: "broken pyproject", files: files{"pyproject.toml": "[project]\nname = \n", "train.py": trains}, want: &scaffold.SyntaxError{}, says: "pyproject.toml:3: expecting a value"},
		{name: "broken environment", files: files{"environment.yml": "dependencies:\n- '=1'\n", "train.py": trains}, want: &scaffold.SyntaxError{}, says: "environment.yml:2: "},
		{name: "a broken notebook", files: files{"a.ipynb": "{"}, want: &scaffold.SyntaxError{}, says: "a.ipynb: no notebook"},
		{name: "a folder in the way", files: files{"train.py": trains, "base/model.py": "x = 1\n"}, want: &scaffold.ExistsError{}, says: "base/"},
		{name: "a bundle already", files: files{"train.py": trains, "kubectl-ai.yaml": ""}, want: &scaffold.ExistsError{}, says: "kubectl-ai.yaml"},
		{name: "nothing at all", files: files{}, want: &scaffold.NoCodeError{}, says: "it is empty"},
		{name: "shell words are kept whole", files: files{"train.py": trains, "run.sh": "python3 train.py --name 'a b' --when \"yes: no\" # on\n"}, command: "python3 train.py --name a b --when yes: no", says: `command: [python3, train.py, --name, a b, --when, 'yes: no']`},
	} {
		t.Run(c.name, func(t *testing.T) {
			fsys := fstest.MapFS{}
			for name, content := range c.files {
				fsys[name] = &fstest.MapFile{Data: []byte(content)}
			}
			plan, err := scaffold.Make(fsys, scaffold.Options{Name: "p", Entry: c.entry})
			if c.want != nil {
				if err == nil || reflect.TypeOf(c.want) != reflect.TypeOf(err) || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%T: %v", err, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var text strings.Builder
			command := ""
			for _, f := range plan.Findings {
				text.WriteString(f.What + " " + f.Value + " " + f.Where + "\n")
				if f.What == "entry point" {
					command = f.Value
				}
			}
			for _, f := range plan.Files {
				text.Write(f.Content)
			}
			text.WriteString(strings.Join(plan.Missing, "\n"))
			if command != c.command || !strings.Contains(text.String(), c.says) {
				t.Errorf("%s\nwants %q in\n%s", command, c.says, &text)
			}
		})
	}
}

// manifests writes objects as YAML.
func manifests(t *testing.T, objects []*unstructured.Unstructured) string {
	t.Helper()
	var b strings.Builder
	for _, obj := range objects {
		raw, err := yaml.Marshal(obj.Object)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(raw)
	}
	return b.String()
}

// tree returns the files below a folder with their contents.
func tree(t *testing.T, root string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			files[name+"/"] = ""
			return err
		}
		raw, err := os.ReadFile(filepath.Join(root, name))
		files[name] = string(raw)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
