package scaffold

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// Launch is a command line that starts training.
type Launch struct {
	Program []string // python3; torchrun, also for deepspeed; accelerate launch; python3 -m torch.distributed.run
	Flags   []string // of the program, without those that say how many there are
	Module  bool
	Script  string // or a module's name
	Args    []string
	// Nodes and Processes are how many the line asks for, 0: it does not say.
	// Processes are those of a node.
	Nodes, Processes int
	Where            string
	Unset            []string // variables that nothing sets
	DeepSpeed        bool     // the line has DeepSpeed's own launcher
}

// Launchers that start several processes themselves.
const (
	launcherTorchrun   = "torchrun"
	launcherAccelerate = "accelerate"
	launcherNone       = ""
)

// Launcher names what starts the processes of a pod.
func (l *Launch) Launcher() string {
	switch {
	case l.Program[0] == "accelerate":
		return launcherAccelerate
	case l.Program[0] == "torchrun", len(l.Program) == 3:
		return launcherTorchrun
	}
	return launcherNone
}

// sizing are flags that say how many processes there are and where they meet:
// in a cluster the bundle says that.
var sizing = []string{
	"nnodes", "nproc_per_node", "node_rank", "master_addr", "master_port", "standalone", "rdzv_backend", "rdzv_endpoint", "rdzv_id", "rdzv_conf",
	"num_processes", "num_machines", "machine_rank", "main_process_ip", "main_process_port", "multi_gpu", "rdzv_backend", "same_network",
}

// deepSpeedSwitches are flags of DeepSpeed's launcher without a value. None of
// its flags is one of torchrun's (deepspeed/launcher/runner.py).
var deepSpeedSwitches = []string{"force_multi", "no_python", "no_local_rank", "save_pid", "elastic_training", "bind_cores_to_rank", "no_ssh_check", "no_ssh"}

// switches are flags of the launchers without a value.
var switches = []string{"standalone", "multi_gpu", "same_network", "use_env", "no_python", "run_path", "cpu", "tpu", "mps", "debug", "quiet", "use_deepspeed", "use_fsdp", "dynamo_use_dynamic"}

var assignment = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=`)

// ParseLaunch reads the words of a command line. exists tells scripts, whose
// place ends a launcher's flags. It returns nil for what starts no Python.
func ParseLaunch(words []string, exists func(string) bool) *Launch {
	words = unwrapped(words)
	if len(words) == 0 {
		return nil
	}
	l := &Launch{}
	switch base := path.Base(words[0]); {
	case base == "torchrun":
		l.Program, words = []string{"torchrun"}, words[1:]
	case base == "deepspeed":
		// It starts other nodes by ssh, which pods do not have. A script that
		// DeepSpeed can start reads the variables that torchrun sets too.
		l.Program, l.DeepSpeed, words = []string{"torchrun"}, true, words[1:]
	case base == "accelerate" && len(words) > 1 && words[1] == "launch":
		l.Program, words = []string{"accelerate", "launch"}, words[2:]
	case isPython(base) && len(words) > 2 && words[1] == "-m" && strings.HasPrefix(words[2], "torch.distributed."):
		l.Program, words = []string{base, "-m", words[2]}, words[3:]
	case isPython(base):
		l.Program = []string{base}
		words = words[1:]
		for len(words) > 0 && strings.HasPrefix(words[0], "-") && words[0] != "-m" {
			if words[0] == "-c" {
				return nil
			}
			l.Flags, words = append(l.Flags, words[0]), words[1:]
		}
		if len(words) > 1 && words[0] == "-m" {
			l.Module, words = true, words[1:]
		}
		if len(words) == 0 {
			return nil
		}
		l.Script, l.Args = words[0], words[1:]
		return l
	default:
		return nil
	}
	for len(words) > 0 && strings.HasPrefix(words[0], "-") {
		words = l.flag(words, exists)
	}
	if len(words) == 0 {
		return nil
	}
	l.Script, l.Args = words[0], words[1:]
	if l.Launcher() == launcherAccelerate && l.Nodes > 1 {
		l.Processes /= l.Nodes // there it is of all machines together
	}
	return l
}

// flag takes one flag of a launcher, with its value.
func (l *Launch) flag(words []string, exists func(string) bool) (rest []string) {
	name, value, joined := strings.Cut(strings.TrimLeft(words[0], "-"), "=")
	name = strings.ReplaceAll(name, "-", "_")
	taken := words[:1]
	if words[0] == "-m" || name == "module" {
		l.Module = true
		return words[1:]
	}
	// A flag that is not known has a value, unless the script follows.
	bare := slices.Contains(switches, name) || l.DeepSpeed && slices.Contains(deepSpeedSwitches, name)
	if !joined && !bare && len(words) > 1 && !exists(words[1]) && !strings.HasPrefix(words[1], "-") {
		value, taken = words[1], words[:2]
	}
	rest = words[len(taken):]
	switch name {
	case "nnodes":
		_, most, ranged := strings.Cut(value, ":") // MIN:MAX of elastic runs
		if ranged {
			value = most
		}
		l.Nodes = count(value)
	case "num_machines", "num_nodes":
		l.Nodes = count(value)
	case "nproc_per_node", "num_processes", "num_gpus":
		l.Processes = count(value)
	}
	if !slices.Contains(sizing, name) && !l.DeepSpeed {
		l.Flags = append(l.Flags, taken...)
	}
	return rest
}

func count(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > 4096 {
		return 0 // gpu, auto, or a variable
	}
	return n
}

func isPython(base string) bool {
	return base == "python" || base == "python3" || regexp.MustCompile(`^python3\.\d+$`).MatchString(base)
}

// unwrapped takes off what stands before the program: assignments, and programs
// that run another one.
func unwrapped(words []string) []string {
	for len(words) > 0 {
		switch base := path.Base(words[0]); {
		case assignment.MatchString(words[0]), slices.Contains([]string{"exec", "time", "nohup", "env", "srun", "sudo", "command"}, base):
			words = words[1:]
		case (base == "uv" || base == "poetry" || base == "pipenv" || base == "pdm") && len(words) > 2 && words[1] == "run":
			words = words[2:]
			for len(words) > 0 && strings.HasPrefix(words[0], "-") {
				words = words[1:]
			}
			if len(words) > 0 && strings.HasSuffix(words[0], ".py") {
				words = append([]string{"python3"}, words...)
			}
		default:
			return words
		}
	}
	return words
}

// variables is a shell's environment. What nothing sets stays as a reference
// that Kubernetes expands from the container's env: $(NAME).
type variables struct {
	set     map[string]string
	unknown bool // references stay; else they are empty
}

// Get implements shell.EnvGetter.
func (v *variables) Get(name string) (string, bool) {
	if value, ok := v.set[name]; ok {
		return value, true
	}
	if !v.unknown || !variableName.MatchString(name) {
		return "", false
	}
	return "$(" + name + ")", true
}

// Keys implements shell.EnvGetter.
func (v *variables) Keys() []string {
	var out []string
	for k := range v.set {
		out = append(out, k)
	}
	return out
}

var (
	setLine      = regexp.MustCompile(`^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*[:?]?=\s*(.*?)\s*$`)
	variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	withDefault  = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*):?-([^}]*)\}`) // the lexer loses what stands before it
	reference    = regexp.MustCompile(`\$\(([A-Za-z_][A-Za-z0-9_]*)\)`)
	makeRef      = regexp.MustCompile(`\$\(([A-Za-z_][A-Za-z0-9_]*)\)`)
	starts       = regexp.MustCompile(`\b(torchrun|deepspeed|accelerate\s+launch|python[0-9.]*)\s`)
	backquote    = regexp.MustCompile("`([^`]+)`")
)

// ParseLaunches finds the lines of a script, a Makefile or a README that start
// Python.
func ParseLaunches(file string, raw []byte, exists func(string) bool) (found []*Launch) {
	vars := &variables{set: map[string]string{}, unknown: true}
	isMake := strings.EqualFold(path.Base(file), "makefile")
	isText := strings.HasPrefix(strings.ToLower(path.Base(file)), "readme")
	lines := strings.Split(string(raw), "\n")
	for i := 0; i < len(lines); i++ {
		first, line := i+1, strings.TrimRight(lines[i], " \t\r")
		for strings.HasSuffix(line, `\`) && i+1 < len(lines) {
			i++
			line = strings.TrimSuffix(line, `\`) + " " + strings.TrimSpace(strings.TrimRight(lines[i], "\r"))
		}
		if isMake {
			line = makeRef.ReplaceAllString(line, "${$1}")
		}
		if m := setLine.FindStringSubmatch(line); m != nil && !isText && !starts.MatchString(m[2]+" ") {
			if value, _, err := shell.NewLex('\\').ProcessWord(m[2], &variables{set: vars.set}); err == nil {
				vars.set[m[1]] = value
			}
			continue
		}
		line = strings.TrimLeft(line, " \t@-$>")
		if isText {
			if m := backquote.FindStringSubmatch(line); m != nil {
				line = m[1]
			}
		}
		if strings.HasPrefix(line, "#") || !starts.MatchString(line) {
			continue
		}
		line = withDefault.ReplaceAllStringFunc(line, func(word string) string {
			m := withDefault.FindStringSubmatch(word)
			if value, ok := vars.set[m[1]]; ok {
				return value
			}
			return m[2]
		})
		words, err := shell.NewLex('\\').ProcessWords(line, vars)
		if err != nil {
			continue // a line that goes on, or no command at all
		}
		for _, part := range commands(words) {
			if l := ParseLaunch(part, exists); l != nil && (exists(l.Script) || l.Module) {
				l.Where = fmt.Sprintf("%s:%d", file, first)
				l.Unset = references(slices.Concat(l.Flags, l.Args))
				found = append(found, l)
			}
		}
	}
	return found
}

// references are the variables that words leave to the container's env.
func references(words []string) (names []string) {
	for _, m := range reference.FindAllStringSubmatch(strings.Join(words, " "), -1) {
		if !slices.Contains(names, m[1]) {
			names = append(names, m[1])
		}
	}
	return names
}

// commands divides words at what ends a command in a shell.
func commands(words []string) (out [][]string) {
	var current []string
	for _, w := range words {
		switch {
		case slices.Contains([]string{"&&", "||", ";", "|", "&"}, w):
			out, current = append(out, current), nil
		case strings.HasSuffix(w, ";"):
			out, current = append(out, append(current, strings.TrimSuffix(w, ";"))), nil
		case strings.HasPrefix(w, ">"), strings.HasPrefix(w, "2>"), strings.HasPrefix(w, "<"), strings.HasPrefix(w, "#"):
			return append(out, current) // the rest says where output goes, or why
		case w != "": // "$@" without any
			current = append(current, w)
		}
	}
	return append(out, current)
}

// launches are those of the project's scripts, Makefile and README, in this
// order, each one's own.
func (s *survey) launches() (out []*Launch) {
	order := func(name string) int {
		switch {
		case strings.HasPrefix(strings.ToLower(path.Base(name)), "readme"):
			return 2
		case strings.EqualFold(path.Base(name), "makefile"):
			return 1
		}
		return 0
	}
	texts := slices.Clone(s.texts)
	slices.SortStableFunc(texts, func(a, b string) int {
		if d := order(a) - order(b); d != 0 {
			return d
		}
		return strings.Count(a, "/") - strings.Count(b, "/")
	})
	for _, name := range texts {
		raw, err := fs.ReadFile(s.fsys, name)
		if err != nil || len(raw) > mostBytes {
			continue
		}
		out = append(out, ParseLaunches(name, raw, func(f string) bool { return s.files[path.Clean(f)] })...)
	}
	return out
}
