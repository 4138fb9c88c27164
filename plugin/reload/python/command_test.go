package python

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/supervise"
)

func TestCommandsAreTakenApartAsTheInterpreterDoes(t *testing.T) {
	dir := tree(t, map[string]string{
		"run":     "#!/usr/bin/env python3\n",
		"split":   "#!/usr/bin/env -S python3 -u -B\n",
		"direct":  "#! /opt/venv/bin/python3.12 -u\n",
		"shell":   "#!/bin/sh\n",
		"no-line": "#!/usr/bin/python3",
		"binary":  "\x7fELF",
	})
	type parts struct {
		Interpreter string
		Options     []string
		Kind        kind
		Program     string
		Args        []string
	}
	for _, c := range []struct {
		argv string
		want parts
		err  string
	}{
		{argv: "python train.py --lr 1", want: parts{"python", nil, script, "train.py", []string{"--lr", "1"}}},
		{argv: "/venv/bin/python3.13t -u train.py", want: parts{"/venv/bin/python3.13t", []string{"-u"}, script, "train.py", nil}},
		{argv: "/usr/bin/env python3 -m pkg.train -x", want: parts{"python3", nil, module, "pkg.train", []string{"-x"}}},
		{argv: "python3 -uBm train", want: parts{"python3", []string{"-u", "-B"}, module, "train", nil}},
		{argv: "python3 -mtrain", want: parts{"python3", nil, module, "train", nil}},
		{argv: "python3 -OO -Wignore -X dev -c print() -c", want: parts{"python3", []string{"-O", "-O", "-W", "ignore", "-X", "dev"}, code, "print()", []string{"-c"}}},
		{argv: "python3 --check-hash-based-pycs never -- train.py -u", want: parts{"python3", []string{"--check-hash-based-pycs", "never"}, script, "train.py", []string{"-u"}}},
		{argv: "./run a", want: parts{"python3", nil, script, dir + "/run", []string{"a"}}},
		{argv: "./split a", want: parts{"python3", []string{"-u", "-B"}, script, dir + "/split", []string{"a"}}},
		{argv: dir + "/direct", want: parts{"/opt/venv/bin/python3.12", []string{"-u"}, script, dir + "/direct", []string{}}},
		{argv: "python3", err: "given no program"},
		{argv: "python3 -u", err: "given no program"},
		{argv: "python3 -", err: "option - is not"},
		{argv: "python3 -i train.py", err: "option -i is not"},
		{argv: "python3 -xu train.py", err: "option -x is not"},
		{argv: "python3 --help", err: "option --help is not"},
		{argv: "python3 -W", err: "option -W has no value"},
		{argv: "python2 train.py", err: "not Python"},
		{argv: "pythonic train.py", err: "not Python"},
		{argv: "/usr/bin/env X=1 python3 train.py", err: "not Python"},
		{argv: "./shell", err: "not Python"},
		{argv: "./no-line", err: "not Python"},
		{argv: "./binary", err: "not Python"},
		{argv: "./gone", err: "not Python"},
		{argv: "env", err: "not Python"},
	} {
		t.Run(c.argv, func(t *testing.T) {
			got, err := parse(supervise.Spec{Argv: strings.Fields(c.argv), Dir: dir, Env: os.Environ()})
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("err = %v, want %q", err, c.err)
				}
				if strings.Contains(c.err, "not Python") != errors.Is(err, ErrNotPython) {
					t.Errorf("err = %v: is it ErrNotPython?", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, parts{got.interpreter, got.options, got.kind, got.program, got.args}, cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTheCheckerKnowsAShellThatStartsWithPython(t *testing.T) {
	for _, c := range []struct {
		argv []string
		want string // empty: ErrNotPython
	}{
		{[]string{"sh", "-c", "exec python3.11 train.py $X"}, "python3.11"},
		{[]string{"/bin/bash", "-ec", "python train.py && echo done"}, "python"},
		{[]string{"sh", "-c", ". /venv/bin/activate; python train.py"}, ""},
		{[]string{"sh", "-c", "PATH=/venv/bin python train.py"}, ""},
		{[]string{"sh", "-c", ""}, ""},
		{[]string{"sh", "-c", "exec"}, ""},
		{[]string{"sh", "train.sh", "python train.py"}, ""},
		{nil, ""},
	} {
		got, err := checker(supervise.Spec{Argv: c.argv, Dir: "/", Env: os.Environ()})
		if got != c.want || (c.want == "") != errors.Is(err, ErrNotPython) {
			t.Errorf("%q: %q, %v; want %q", c.argv, got, err, c.want)
		}
	}
}
