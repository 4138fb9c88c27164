package scaffold

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Package is a Python distribution, such as torch.
type Package struct {
	Name  string `json:"name"`  // normalized as in PEP 503
	Where string `json:"where"` // file:line
}

// Names puts packages into words.
func Names(packages []Package) string {
	var out []string
	for _, p := range packages {
		out = append(out, p.Name)
	}
	return some(out)
}

// Requirements are the packages that a project declares.
type Requirements struct {
	File                string // the one that decides
	Format              string
	Packages            []Package
	Python, PythonWhere string // minor version such as 3.12; "" where any will do
	Scripts             []Script
	locked              bool
}

// Formats of requirements, by what installs them.
const (
	formatPip       = "pip"       // requirements.txt
	formatUV        = "uv"        // pyproject.toml with uv.lock
	formatPoetry    = "poetry"    // pyproject.toml with tool.poetry
	formatPyproject = "pyproject" // pyproject.toml, PEP 621
	formatPipenv    = "pipenv"    // Pipfile
	formatConda     = "conda"     // environment.yml
)

// requirements reads what the project declares: the lock of uv, else
// requirements.txt, else pyproject.toml, else Pipfile, else environment.yml.
func requirements(fsys fs.FS) (r Requirements, err error) {
	var p Pyproject
	raw, err := read(fsys, "pyproject.toml")
	if err != nil {
		return r, err
	}
	if p, err = ParsePyproject(raw); err != nil {
		return r, err
	}
	r.Python, r.PythonWhere, r.Scripts = p.Python, "pyproject.toml", p.Scripts
	if raw, err = read(fsys, ".python-version"); err != nil {
		return r, err
	} else if v := minor.FindString(string(raw)); v != "" {
		r.Python, r.PythonWhere = v, ".python-version"
	}
	has := func(name string) bool { _, err := fs.Stat(fsys, name); return err == nil }
	if has("uv.lock") && p.Format == formatPyproject {
		r.File, r.Format, r.Packages = "uv.lock", formatUV, p.Packages
		return r, nil
	}
	if r.Packages, err = requirementsFile(fsys, "requirements.txt", nil); err != nil || len(r.Packages) > 0 {
		r.File, r.Format = "requirements.txt", formatPip
		return r, err
	}
	if len(p.Packages) > 0 {
		r.File, r.Format, r.Packages, r.locked = "pyproject.toml", p.Format, p.Packages, has("poetry.lock")
		if r.locked { // Poetry 2 takes packages of PEP 621 too
			r.Format = formatPoetry
		}
		return r, nil
	}
	if raw, err = read(fsys, "Pipfile"); err != nil {
		return r, err
	} else if raw != nil {
		f, err := ParsePipfile(raw)
		if err != nil {
			return r, err
		}
		r.File, r.Format, r.Packages, r.locked = "Pipfile", formatPipenv, f.Packages, has("Pipfile.lock")
		if f.Python != "" {
			r.Python, r.PythonWhere = f.Python, "Pipfile"
		}
		return r, nil
	}
	for _, name := range []string{"environment.yml", "environment.yaml"} {
		if raw, err = read(fsys, name); err != nil || raw == nil {
			continue
		}
		var python string
		if r.Packages, python, err = ParseEnvironment(name, raw); err != nil {
			return r, err
		}
		r.File, r.Format = name, formatConda
		if python != "" {
			r.Python, r.PythonWhere = python, name
		}
		break
	}
	return r, err
}

// read returns a file's content, nil where there is none.
func read(fsys fs.FS, name string) ([]byte, error) {
	raw, err := fs.ReadFile(fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the project: %w", err)
	}
	return raw, nil
}

func requirementsFile(fsys fs.FS, name string, from []string) ([]Package, error) {
	if slices.Contains(from, name) {
		return nil, nil
	}
	raw, err := read(fsys, name)
	if err != nil || raw == nil {
		return nil, err
	}
	list, includes, err := ParseRequirements(name, raw)
	if err != nil {
		return nil, err
	}
	for _, other := range includes {
		other = path.Join(path.Dir(name), other)
		if !fs.ValidPath(other) {
			continue // outside of the project
		}
		more, err := requirementsFile(fsys, other, append(from, name))
		if err != nil {
			return nil, err
		}
		list = append(list, more...)
	}
	return list, nil
}

var (
	// PEP 508: a name, extras, then a version, a URL or a marker.
	requirement  = regexp.MustCompile(`^([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?:\[[^\]]*\])?\s*(?:$|(?:[<>]|[=!~]=|[;@(]).*$)`)
	distribution = regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?$`)
	include      = regexp.MustCompile(`^(?:-r|--requirement)[ =]?\s*(\S+)`)
	egg          = regexp.MustCompile(`[#&]egg=([A-Za-z0-9._-]+)`)
	separators   = regexp.MustCompile(`[-_.]+`)
	minor        = regexp.MustCompile(`3\.\d{1,2}\b`)
)

func normal(name string) string { return strings.ToLower(separators.ReplaceAllString(name, "-")) }

// ParseRequirements reads pip's requirements file format. It returns the
// packages, and the files that -r includes. Its errors are *SyntaxError.
func ParseRequirements(file string, raw []byte) (list []Package, includes []string, err error) {
	lines := strings.Split(string(bytes.TrimPrefix(raw, []byte("\ufeff"))), "\n")
	for i := 0; i < len(lines); i++ {
		first, line := i+1, strings.TrimRight(lines[i], "\r")
		for strings.HasSuffix(line, `\`) && i+1 < len(lines) {
			i++
			line = strings.TrimSuffix(line, `\`) + strings.TrimRight(lines[i], "\r")
		}
		if at := strings.Index(" "+line, " #"); at >= 0 {
			line = line[:at]
		}
		line = strings.TrimSpace(line)
		where := fmt.Sprintf("%s:%d", file, first)
		switch {
		case line == "":
		case include.MatchString(line):
			includes = append(includes, include.FindStringSubmatch(line)[1])
		case strings.HasPrefix(line, "-"), strings.HasPrefix(line, "."), strings.HasPrefix(line, "/"):
			// An option of pip's, or a package of this machine.
		case strings.Contains(line, "://") && !strings.Contains(line, "@ "):
			if m := egg.FindStringSubmatch(line); m != nil {
				list = append(list, Package{normal(m[1]), where})
			}
		default:
			requirementOnly, _, _ := strings.Cut(line, " --")
			m := requirement.FindStringSubmatch(strings.TrimSpace(requirementOnly))
			if m == nil {
				return nil, nil, &SyntaxError{file, first, fmt.Sprintf("%q is no requirement such as torch>=2.4", line)}
			}
			list = append(list, Package{normal(m[1]), where})
		}
	}
	return list, includes, nil
}

// ParseEnvironment reads conda's environment.yml. Its errors are *SyntaxError.
func ParseEnvironment(file string, raw []byte) (list []Package, python string, err error) {
	var env struct {
		Dependencies []yaml.Node `yaml:"dependencies"`
	}
	if err := yaml.Unmarshal(raw, &env); err != nil {
		return nil, "", &SyntaxError{File: file, Msg: strings.TrimPrefix(err.Error(), "yaml: ")}
	}
	for _, node := range env.Dependencies {
		if node.Kind == yaml.MappingNode {
			var pip map[string][]string
			if err := node.Decode(&pip); err != nil {
				return nil, "", &SyntaxError{file, node.Line, "dependencies: want packages, or pip: with a list of them"}
			}
			for _, name := range slices.Sorted(maps.Keys(pip)) {
				more, _, err := ParseRequirements(file, []byte(strings.Join(pip[name], "\n")))
				var mistake *SyntaxError
				if errors.As(err, &mistake) {
					return nil, "", &SyntaxError{file, node.Line, name + ": " + mistake.Msg}
				}
				for _, p := range more {
					list = append(list, Package{p.Name, fmt.Sprintf("%s:%d", file, node.Line)})
				}
			}
			continue
		}
		// channel::name=version=build, or name>=version
		_, spec, found := strings.Cut(node.Value, "::")
		if !found {
			spec = node.Value
		}
		end := strings.IndexFunc(spec, func(r rune) bool { return strings.ContainsRune(" =<>!~[", r) })
		name := spec
		if end >= 0 {
			name = spec[:end]
		}
		switch name {
		case "":
			return nil, "", &SyntaxError{file, node.Line, fmt.Sprintf("dependencies: %q is no package such as numpy=2.1", node.Value)}
		case "python":
			python = minor.FindString(spec)
		case "pip":
		default:
			list = append(list, Package{normal(name), fmt.Sprintf("%s:%d", file, node.Line)})
		}
	}
	return list, python, nil
}

// defaultPython is the one that the samples run in.
const defaultPython = 11

var bound = regexp.MustCompile(`(>=|>|<=|<|==|~=|\^|~)?\s*3\.(\d{1,2})`)

// pythonVersion returns the minor version that a specifier (PEP 440, or
// Poetry's) asks for, "" where the default will do.
func pythonVersion(spec string) string {
	low, high, exact := 0, 99, false
	for _, m := range bound.FindAllStringSubmatch(spec, -1) {
		n, _ := strconv.Atoi(m[2]) // two digits
		switch m[1] {
		case ">=", "~=", "^", "~":
			low = n
		case ">":
			low = n
		case "<=":
			high = n
		case "<":
			high = n - 1
		default:
			low, high, exact = n, n, true
		}
	}
	switch {
	case exact, low > defaultPython:
		return fmt.Sprintf("3.%d", low)
	case high < defaultPython:
		return fmt.Sprintf("3.%d", high)
	}
	return ""
}

func pythonImage(version string) string {
	if version == "" {
		version = fmt.Sprintf("3.%d", defaultPython)
	}
	return "python:" + version + "-slim"
}

// dockerfile is one for the runtime image: the interpreter and the packages,
// without the code.
func (r Requirements) dockerfile(needs []Package) string {
	var install string
	switch r.Format {
	case formatPip:
		install = "COPY " + r.files() + " ./\nRUN pip install --no-cache-dir -r requirements.txt"
	case formatUV:
		install = "COPY " + r.files() + " ./\nRUN pip install --no-cache-dir uv && \\\n" +
			"    uv export --frozen --no-dev --no-emit-project -o requirements.txt && \\\n" +
			"    uv pip install --system --no-cache -r requirements.txt"
	case formatPoetry:
		install = "COPY " + r.files() + " ./\nRUN pip install --no-cache-dir poetry && \\\n" +
			"    POETRY_VIRTUALENVS_CREATE=false poetry install --only main --no-root --no-cache"
	case formatPipenv:
		lock := ""
		if !r.locked {
			lock = "pipenv lock && "
		}
		install = "COPY " + r.files() + " ./\nRUN pip install --no-cache-dir pipenv && \\\n" +
			"    " + lock + "pipenv requirements > requirements.txt && \\\n" +
			"    pip install --no-cache-dir -r requirements.txt"
	case formatPyproject:
		install = "COPY pyproject.toml ./\n" +
			`RUN python3 -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" > requirements.txt && \` + "\n" +
			"    pip install --no-cache-dir -r requirements.txt"
	case formatConda:
		return "# The runtime image: the packages of " + r.File + "; the code is not in it.\n" +
			"FROM mambaorg/micromamba:2\n" +
			"COPY " + r.File + " /tmp/environment.yml\n" +
			"RUN micromamba install --yes --name base --file /tmp/environment.yml && micromamba clean --all --yes\n" +
			"ENV PATH=/opt/conda/bin:$PATH\n"
	default:
		var names []string
		for _, p := range needs {
			names = append(names, p.Name)
		}
		install = "RUN pip install --no-cache-dir " + strings.Join(names, " ")
	}
	return "# The runtime image: Python and packages; the code is not in it.\n" +
		"FROM " + pythonImage(r.Python) + "\nWORKDIR /runtime\n" + install + "\n"
}

// files are those that installing takes, a change of which needs a new image.
func (r Requirements) files() string {
	switch {
	case r.Format == formatUV:
		return "pyproject.toml uv.lock"
	case r.Format == formatPoetry && r.locked:
		return "pyproject.toml poetry.lock"
	case r.Format == formatPipenv && r.locked:
		return "Pipfile Pipfile.lock"
	case r.Format == formatPip:
		var files []string // requirements.txt, and what it includes
		for _, p := range append([]Package{{Where: r.File}}, r.Packages...) {
			if file, _, _ := strings.Cut(p.Where, ":"); !slices.Contains(files, file) {
				files = append(files, file)
			}
		}
		return strings.Join(files, " ")
	}
	return r.File
}
