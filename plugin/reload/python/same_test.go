package python

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// facts prints what a program can see of how it was started.
const facts = `
import os, signal, sys
print(sys.argv, getattr(sys, "orig_argv", None) is not None)
print(sys.path)
print(__name__, __doc__, __package__, __spec__ and __spec__.name, type(__loader__).__name__, getattr(__loader__, "path", None), sorted(globals()))
print(globals().get("__file__"), globals().get("__cached__"), __builtins__)
print(sys.modules["__main__"].__dict__ is globals())
print(os.getcwd(), os.getpid() == os.getpgrp(), os.getppid())
print(sorted(os.environ.items()))
print(sys.stdin.read() == "", os.readlink("/proc/self/fd/0"), sorted(f for f in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd/" + f)))
print(os.popen("env | grep -av ^_= | LC_ALL=C sort | cksum").read())
print(sys.flags, sys.executable, sys.prefix, getattr(sys, "pycache_prefix", None))
print([(s, str(signal.getsignal(s))) for s in range(1, 32) if s not in (9, 19)])
print([l for l in open("/proc/self/status") if l.startswith(("SigB", "SigI", "SigC", "SigP", "Shd", "Threads"))])
print(sys.stdout.line_buffering, sys.stdout.encoding, sys.stderr.errors)
print(open("/proc/self/comm").read(), os.umask(0o22))
`

// programs are run both ways. Each is a file of its name, started as
// `python <file> one "two three"` unless argv says otherwise.
var programs = []struct {
	name, source string
	argv         []string // behind the interpreter
}{
	{name: "facts.py", source: facts},
	{name: "facts_m.py", source: facts, argv: []string{"-m", "facts_m", "-x"}},
	{name: "pkg/__main__.py", source: facts, argv: []string{"-m", "pkg", "a"}},
	{name: "-c", source: facts, argv: []string{"-c", facts, "a"}},
	{name: "link.py"}, // to deep/linked.py
	{name: "deep/linked.py", source: "import sibling\n" + facts},
	{name: "deep/sibling.py", source: "x = 1\n"},
	{name: "exit.py", source: "raise SystemExit\n"},
	{name: "exit3.py", source: "import sys; sys.exit(3)\n"},
	{name: "exit-text.py", source: "import sys; sys.exit('so long')\n"},
	{name: "exit-big.py", source: "import sys; sys.exit(300)\n"},
	{name: "exit_now.py", source: "import os; print('lost'); os._exit(4)\n"},
	{name: "raises.py", source: "def f():\n    1 / 0\ntry:\n    f()\nexcept Exception:\n    raise KeyError('x')\n"},
	{name: "raises-group.py", source: "class E(BaseException): pass\nraise E('unusual') from OSError(2, 'no')\n"},
	{name: "interrupted.py", source: "raise KeyboardInterrupt\n"},
	{name: "broken.py", source: "x = 1\ndef f(:\n"},
	{name: "broken_import.py", source: "import broken\n"},
	{name: "latin.py", source: "# coding: latin-1\nprint(ascii('\xe9'))\n"},
	{name: "hook.py", source: "import sys\nsys.excepthook = lambda k, v, tb: print('hook', k, v, tb.tb_frame.f_code.co_name, tb.tb_lineno)\n1 / 0\n"},
	{name: "-c raises", argv: []string{"-c", "x = 1\ndef f():\n    raise ValueError(x)\nf()\n"}},
	{name: "-c broken", argv: []string{"-c", "x = = 1"}},
	{name: "-m raises", argv: []string{"-m", "raises"}},
	{name: "-m missing", argv: []string{"-m", "no_such_module"}},
	{name: "-m missing in package", argv: []string{"-m", "deep"}},
	{name: "term.py", source: "import os, signal; os.kill(os.getpid(), signal.SIGTERM)\n"},
	{name: "segv.py", source: "import os, signal; os.kill(os.getpid(), signal.SIGKILL)\n"},
	{name: "at_exit.py", source: "import atexit, threading, time\natexit.register(print, 'at exit')\nt = threading.Thread(target=lambda: (time.sleep(0.05), print('thread')))\nprint('end', end='')\nt.start()\n"},
	{name: "closed.py", source: "import sys, os\nprint('x'); os.close(1)\n"},
	{name: "main_thread.py", source: "import threading, signal, sys\nprint(threading.current_thread() is threading.main_thread(), threading.active_count())\nsignal.signal(signal.SIGALRM, lambda *a: sys.exit(9)); signal.alarm(1); signal.pause()\n"},
	{name: "spawn.py", source: "import multiprocessing as m, os\ndef f(x): return x * x\nif __name__ == '__main__':\n    for way in ('spawn', 'fork', 'forkserver'):\n        with m.get_context(way).Pool(2) as p: print(way, p.map(f, range(5)))\n"},
	{name: "child.py", source: "import subprocess, sys\nprint(subprocess.run([sys.executable, '-c', 'import os; print(sorted(os.listdir(\"/proc/self/fd\"))[:4])'], stdout=subprocess.PIPE).stdout)\n"},
	{name: "warn.py", source: "import warnings\nwarnings.warn('one')\nwarnings.warn('two', DeprecationWarning)\nx = 1 is 1\n"},
	{name: "pickled.py", source: "import pickle\nclass C: pass\nprint(pickle.loads(pickle.dumps(C())).__class__ is C, C)\n"},
	{name: "async.py", source: "import asyncio\nasync def f():\n    p = await asyncio.create_subprocess_exec('sh', '-c', 'exit 6')\n    return await p.wait()\nprint(asyncio.run(f()) if hasattr(asyncio, 'run') else 6)\n"},
	{name: "annotated.py", source: "from __future__ import annotations\nx: int = 1\nprint(__annotations__)\n"},
	{name: "doc.py", source: "'''Words.'''\nprint(__doc__)\n"},
}

// TestAForkedRunIsAColdOne compares all that is seen of each program.
func TestAForkedRunIsAColdOne(t *testing.T) {
	interpreter := python(t)
	if interpreter == "" {
		return
	}
	files := map[string]string{}
	for _, p := range programs {
		if p.source != "" {
			files[p.name] = p.source
		}
	}
	for _, options := range [][]string{nil, {"-u", "-B"}, {"-I", "-W", "error::DeprecationWarning"}} {
		dir := tree(t, files)
		if err := os.Symlink("deep/linked.py", filepath.Join(dir, "link.py")); err != nil {
			t.Fatal(err)
		}
		argv := append([]string{interpreter}, options...)
		env := environment("PYTHONPATH=.:/nowhere", "EMPTY=", "GREEK=λ", "RAW=\xff")
		b := newBench(t, dir, append(argv, "facts.py"), env, []string{"json", "logging", "random", "multiprocessing", "asyncio"}).settled()
		b.env = append(env, "KUBECTL_AI_GENERATION=7", "PYTHONPYCACHEPREFIX="+t.TempDir())
		for _, p := range programs {
			if options != nil && !strings.Contains(p.source, facts) {
				continue // what options change is among the facts
			}
			behind := p.argv
			if behind == nil {
				behind = []string{p.name, "one", "two three"}
			}
			t.Run(p.name, func(t *testing.T) {
				b.t = t
				spec := b.spec(append(argv[:len(argv):len(argv)], behind...)...)
				if diff := cmp.Diff(b.cold(spec), b.forked(spec)); diff != "" {
					t.Errorf("%v: cold and forked differ:\n%s", options, diff)
				}
			})
		}
	}
}
