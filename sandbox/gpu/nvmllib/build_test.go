package nvmllib

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

var update = flag.Bool("update", false, "write the generated files")

// flags are those of the Makefile; a test compares them.
var flags = []string{
	"-std=c11", "-D_GNU_SOURCE", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden", "-fno-stack-protector",
	"-nostdlib", "-Wl,-soname,libnvidia-ml.so.1", "-Wl,-z,now,-z,relro,-z,noexecstack", "-Wl,--build-id=none", "-s",
}

// libraryDir is where the library was built, "" before.
var libraryDir string

// library builds the library once for all tests, with the state in the working
// folder of the program that opens it. It returns the folder it is in, or ""
// when this machine has no compiler.
var library = sync.OnceValues(func() (string, error) {
	if _, err := exec.LookPath("gcc"); err != nil {
		return "", nil
	}
	sources, err := filepath.Glob("c/*.c")
	if err != nil {
		return "", err
	}
	if libraryDir, err = os.MkdirTemp("", "nvmllib"); err != nil {
		return "", err
	}
	args := slices.Concat(flags, sources, []string{`-DSTATE_PATH="` + model.BinaryFile + `"`, "-o", filepath.Join(libraryDir, Name)})
	if runtime.GOARCH == "arm64" {
		args = append(args, "-mno-outline-atomics")
	}
	if out, err := exec.Command("gcc", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("gcc: %w\n%s", err, out)
	}
	return libraryDir, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if libraryDir != "" {
		_ = os.RemoveAll(libraryDir)
	}
	os.Exit(code)
}

// built returns the folder of the library, or "" and says so where it cannot be
// built here.
func built(t *testing.T) string {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Log("the library is for Linux")
		return ""
	}
	dir, err := library()
	if err != nil {
		t.Fatal(err)
	}
	if dir == "" {
		t.Log("no gcc here: the library was not built")
	}
	return dir
}

// nvmlHeader is the nvml.h that go-nvml carries.
func nvmlHeader(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/NVIDIA/go-nvml").Output()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), "pkg", "nvml", "nvml.h"))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// declaration is a function of nvml.h that returns nvmlReturn_t; nvmlErrorString
// alone returns something else.
var declaration = regexp.MustCompile(`nvmlReturn_t\s+DECLDIR\s+(nvml\w+)\s*\(`)

// declared returns the names that an nvml.h declares, sorted.
func declared(header string) []string {
	var names []string
	for _, m := range declaration.FindAllStringSubmatch(header, -1) {
		names = append(names, m[1])
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// functionsHeader is the content of functions.h.
func functionsHeader(names []string) string {
	out := &strings.Builder{}
	out.WriteString("/* The functions that nvml.h declares. Made by\n * go test ./sandbox/gpu/nvmllib -run Function -update from go-nvml's. */\n")
	for _, name := range names {
		fmt.Fprintf(out, "FUNCTION(%s)\n", name)
	}
	return out.String()
}

func TestEveryFunctionOfTheHeaderIsThere(t *testing.T) {
	names := declared(nvmlHeader(t))
	if len(names) < 400 || !slices.Contains(names, "nvmlInit") || !slices.Contains(names, "nvmlDeviceGetCount_v2") {
		t.Fatalf("%d functions read from nvml.h", len(names))
	}
	if *update {
		if err := os.WriteFile("c/functions.h", []byte(functionsHeader(names)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	content, err := os.ReadFile("c/functions.h")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(functionsHeader(names), string(content)); diff != "" {
		t.Errorf("go-nvml has another nvml.h; run with -update (-want +file):\n%s", diff)
	}
	dir := built(t)
	if dir == "" {
		return
	}
	exported := symbols(t, dir, "--defined-only")
	if diff := cmp.Diff(slices.Sorted(slices.Values(append(names, "nvmlErrorString"))), exported); diff != "" {
		t.Errorf("exported symbols (-want +got):\n%s", diff)
	}
}

// What it needs of a C library is what both kinds have, of any version.
func TestItNeedsPOSIXAlone(t *testing.T) {
	dir := built(t)
	if dir == "" {
		return
	}
	want := []string{
		"calloc", "clock_gettime", "close", "free", "getenv", "lseek", "memcmp", "memcpy", "memset", "mmap", "munmap", "open", "poll", "read", "readlink",
		"sched_getaffinity", "strcmp", "strcspn", "strlen", "strncmp", "strnlen",
	}
	for _, symbol := range symbols(t, dir, "--undefined-only") {
		if !slices.Contains(want, symbol) {
			t.Errorf("needs %s", symbol)
		}
	}
	out, err := exec.Command("readelf", "-d", filepath.Join(dir, Name)).CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	if text := string(out); strings.Contains(text, "NEEDED") || !strings.Contains(text, "soname: ["+Name+"]") {
		t.Errorf("it is linked against a library, or has another name:\n%s", text)
	}
}

func symbols(t *testing.T, dir, which string) []string {
	t.Helper()
	out, err := exec.Command("nm", "-D", which, filepath.Join(dir, Name)).Output()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		names = append(names, fields[len(fields)-1])
	}
	slices.Sort(names)
	return names
}

// NVIDIA's own header in place of ours: the compiler then compares every
// function's type, every struct and every number with those that programs are
// compiled against.
func TestItIsWhatTheHeaderDeclares(t *testing.T) {
	if built(t) == "" {
		return
	}
	// go-nvml wraps handles in structs, for Go's sake.
	wrapped := regexp.MustCompile(`typedef struct\s*\{\s*(struct \w+\s*\*)\s*handle;\s*\}\s*(\w+);`)
	header := wrapped.ReplaceAllString(nvmlHeader(t), "typedef $1 $2;")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "nvml.h"), []byte(header), 0o644); err != nil {
		t.Fatal(err)
	}
	sources, err := filepath.Glob("c/*.c")
	if err != nil {
		t.Fatal(err)
	}
	for _, source := range sources {
		if filepath.Base(source) == "refuse.c" { // it declares them without arguments
			continue
		}
		args := append(slices.DeleteFunc(slices.Clone(flags), func(f string) bool { return strings.HasPrefix(f, "-Wl") || f == "-shared" }),
			"-fsyntax-only", "-Wno-deprecated-declarations", "-DNVML_NO_UNVERSIONED_FUNC_DEFS", "-DNVML_HEADER_GIVEN", "-include", filepath.Join(dir, "nvml.h"), source)
		if out, err := exec.Command("gcc", args...).CombinedOutput(); err != nil {
			t.Errorf("%s:\n%s", source, out)
		}
	}
}

func TestFlagsAreTheMakefiles(t *testing.T) {
	content, err := os.ReadFile("../../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	joined := strings.Join(strings.Fields(strings.ReplaceAll(string(content), "\\\n", " ")), " ")
	if want := strings.Join(flags, " "); !strings.Contains(joined, want) {
		t.Errorf("the Makefile does not build with %s", want)
	}
}

// golden is a node with two H100.
func golden(t *testing.T) model.State {
	t.Helper()
	content, err := os.ReadFile("../model/testdata/h100x2.json")
	if err != nil {
		t.Fatal(err)
	}
	s, err := model.Decode(content)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func decode(t *testing.T, line string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(line), into); err != nil {
		t.Fatalf("%v in %q", err, line)
	}
}
