package python

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/supervise"
)

// fakeCUDA is as much of torch as is asked.
const fakeCUDA = "class cuda:\n    is_initialized = staticmethod(lambda: %s)\n    _is_in_bad_fork = staticmethod(lambda: %s)\n"

// TestWhatAForkCannotBeStartsCold has each reason once: the run is a cold
// one, and the log says why, once.
func TestWhatAForkCannotBeStartsCold(t *testing.T) {
	interpreter := python(t)
	if interpreter == "" {
		return
	}
	replace := func(a, b string) string {
		return strings.ReplaceAll(strings.Replace(fakeCUDA, "%s", a, 1), "%s", b)
	}
	for _, c := range []struct {
		name    string
		preload []string
		modules map[string]string // importable, beside the code
		code    map[string]string // beside train.py
		env     []string          // of the runs alone
		argv    []string          // of the runs, behind the interpreter
		want    string
	}{
		{name: "a module is missing", preload: []string{"json", "no_such_module"}, want: "import no_such_module: ModuleNotFoundError: No module named 'no_such_module'"},
		{name: "a module raises", preload: []string{"bad"}, modules: map[string]string{"bad.py": "raise OSError('two\\nlines')"}, want: "import bad: OSError: two lines"},
		{name: "a module exits", preload: []string{"bad"}, modules: map[string]string{"bad.py": "raise SystemExit(3)"}, want: "import bad: SystemExit: 3"},
		{name: "a module ends the process", preload: []string{"bad"}, modules: map[string]string{"bad.py": "import os; os._exit(3)"}, want: "ended with code 3 while it imported"},
		{name: "CUDA is initialised", preload: []string{"torch"}, modules: map[string]string{"torch.py": replace("True", "False")}, want: "a preloaded module initialised CUDA"},
		{name: "CUDA was asked", preload: []string{"torch"}, modules: map[string]string{"torch.py": replace("False", "True")}, want: "a preloaded module used CUDA"},
		{name: "a Python thread", preload: []string{"bad"}, modules: map[string]string{"bad.py": "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True, name='worker').start()"}, want: "started threads: worker"},
		{name: "a native thread", preload: []string{"bad"}, modules: map[string]string{"bad.py": "import _thread, time\n_thread.start_new_thread(time.sleep, (600,))\ntime.sleep(0.1)"}, want: "started threads that a fork does not stop: python"},
		{name: "a fork that hangs", preload: []string{"bad"}, modules: map[string]string{"bad.py": "import os, time\nos.register_at_fork(after_in_child=lambda: time.sleep(600))"}, want: "a fork of the preloaded modules hangs"},
		{name: "a module of the code", preload: []string{"part"}, code: map[string]string{"part.py": "x = 1"}, env: nil, want: "preloaded module part lies in the code"},
		{name: "the code has a file of that name", preload: []string{"json"}, code: map[string]string{"json.py": "x = 1"}, want: "json.py stands before the module json, which is loaded already"},
		{name: "the code has a package of that name", preload: []string{"json"}, code: map[string]string{"json/__init__.py": "x = 1"}, want: "json stands before the module json"},
		{name: "another environment", preload: []string{"json"}, env: []string{"OMP_NUM_THREADS=2"}, want: "OMP_NUM_THREADS is not what it was"},
		{name: "a folder as the program", preload: []string{"json"}, code: map[string]string{"app/__main__.py": "print('cold')"}, argv: []string{"app"}, want: "app is no file"},
		{name: "bytecode as the program", preload: []string{"json"}, code: map[string]string{"app.pyc": "\x00\x00"}, argv: []string{"app.pyc"}, want: "app.pyc is no source"},
		{name: "no program", preload: []string{"json"}, argv: []string{"gone.py"}, want: "gone.py is no file"},
		{name: "interactive", preload: []string{"json"}, argv: []string{"-i", "train.py"}, want: "option -i is not for a fork"},
		{name: "a zero byte", preload: []string{"json"}, argv: []string{"train.py", "\x00"}, want: "holds a zero byte"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := tree(t, map[string]string{"train.py": "import json\nprint('cold')\n"})
			write(t, dir, c.code)
			path := site(t, c.modules)
			if _, ok := c.code["part.py"]; ok {
				path += ":" + dir
			}
			env := environment(path)
			b := newBench(t, dir, []string{interpreter, "train.py"}, env, c.preload).settled()
			argv := []string{"train.py"}
			if c.argv != nil {
				argv = c.argv
			}
			spec := b.spec(append([]string{interpreter}, argv...)...)
			spec.Env = append(env[:len(env):len(env)], c.env...)
			if _, err := b.fork(spec); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("err = %v, want %q", err, c.want)
			}
			want := b.cold(spec)
			for range 2 {
				if got := b.seen(func() *supervise.Process { return b.Start(spec) }); got != want {
					t.Errorf("a run that starts cold: %+v, want %+v", got, want)
				}
			}
			if n := b.log.count(c.want); n != 1 {
				t.Errorf("the log says it %d times:\n%s", n, b.log)
			}
		})
	}
}

func TestCommandsThatAreNotPythonStartCold(t *testing.T) {
	dir := tree(t, nil)
	b := newBench(t, dir, []string{"sh", "-c", "exit 3"}, environment(), []string{"json"})
	for range 2 {
		if got := b.seen(func() *supervise.Process { return b.Start(b.spec("sh", "-c", "exit 3")) }); got.Exit.Code != 3 {
			t.Errorf("exit = %+v", got)
		}
	}
	if b.log.count("the command is not Python") != 1 {
		t.Errorf("the log says:\n%s", b.log)
	}
	quiet := newBench(t, dir, []string{"sh", "-c", "exit 3"}, environment(), nil)
	if got := quiet.seen(func() *supervise.Process { return quiet.Start(quiet.spec("sh", "-c", "exit 3")) }); got.Exit.Code != 3 || quiet.log.String() != "" {
		t.Errorf("without modules: %+v, and the log says %s", got, quiet.log)
	}
	missing := newBench(t, dir, []string{dir + "/.venv/bin/python", "train.py"}, environment(), []string{"json"}).settled()
	missing.Start(missing.spec(dir+"/.venv/bin/python", "train.py"))
	if missing.log.count("the interpreter lies in the code") != 1 {
		t.Errorf("the log says:\n%s", missing.log)
	}
}

func TestALostForkServerStartsAnewAtMostThreeTimes(t *testing.T) {
	interpreter := python(t)
	if interpreter == "" {
		return
	}
	dir := tree(t, map[string]string{"train.py": "import slow\nprint(slow.loaded_by)\n"})
	env := environment(site(t, map[string]string{"slow.py": slow}))
	b := newBench(t, dir, []string{interpreter, "train.py"}, env, []string{"slow"}).settled()
	spec := b.spec(interpreter, "train.py")
	servers := map[string]bool{}
	for range lives {
		var server string
		until(t, "runs are forked from another one", func() bool {
			server = strings.TrimSpace(b.seen(func() *supervise.Process {
				p, err := b.fork(spec)
				if err != nil {
					p = supervise.Start(b.spec("/no/such/program"))
				}
				return p
			}).Output)
			if server == "" {
				return false
			}
			return !servers[server]
		})
		servers[server] = true
		pid, err := strconv.Atoi(server)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if got := b.seen(func() *supervise.Process { return b.Start(spec) }); got.Exit.Code != 0 {
			t.Errorf("a run without its fork server: %+v", got)
		}
	}
	until(t, "it is given up", func() bool { return b.log.count("was lost 3 times") == 1 })
}

func TestTheListMayChange(t *testing.T) {
	interpreter := python(t)
	if interpreter == "" {
		return
	}
	dir := tree(t, map[string]string{"train.py": "import sys\nprint('json' in sys.modules, 'email' in sys.modules)\n"})
	b := newBench(t, dir, []string{interpreter, "train.py"}, environment(), []string{"json"}).settled()
	spec := b.spec(interpreter, "train.py")
	b.Preload([]string{"json"}) // the same
	if got := b.forked(spec).Output; got != "True False\n" {
		t.Errorf("output = %q", got)
	}
	b.Preload([]string{"email"})
	if _, err := b.fork(spec); err == nil || !strings.Contains(err.Error(), "still importing email") {
		t.Errorf("err = %v, want that it is still importing", err)
	}
	if got := b.settled().forked(spec).Output; got != "False True\n" {
		t.Errorf("output = %q", got)
	}
	b.Preload(nil)
	if got := b.seen(func() *supervise.Process { return b.Start(spec) }); got.Output != "False False\n" {
		t.Errorf("without a list: %+v", got)
	}
}

func TestAScriptThatComesWithTheCode(t *testing.T) {
	interpreter := python(t)
	if interpreter == "" {
		return
	}
	dir := tree(t, nil)
	b := newBench(t, dir, []string{"./train"}, environment(), []string{"json"})
	write(t, dir, map[string]string{"train": "#!" + interpreter + " -u\nimport sys\nprint(sys.argv, 'json' in sys.modules)\n"})
	if err := os.Chmod(dir+"/train", 0o755); err != nil {
		t.Fatal(err)
	}
	spec := b.spec("./train", "x")
	if got := b.seen(func() *supervise.Process { return b.Start(spec) }); !strings.Contains(got.Output, "False") {
		t.Errorf("the first run: %+v, want a cold one", got)
	}
	if got := b.settled().forked(spec).Output; got != "['"+dir+"/train', 'x'] True\n" {
		t.Errorf("output = %q", got)
	}
	// Another first line needs another interpreter.
	write(t, dir, map[string]string{"train": "#!" + interpreter + "\nimport sys\nprint(sys.argv, 'json' in sys.modules)\n"})
	if got := b.seen(func() *supervise.Process { return b.Start(spec) }); !strings.Contains(got.Output, "False") {
		t.Errorf("output = %q, want that of a cold run", got.Output)
	}
	if got := b.settled().forked(spec); !strings.Contains(got.Output, "True") {
		t.Errorf("output = %q", got.Output)
	}
}
