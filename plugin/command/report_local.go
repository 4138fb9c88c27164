package command

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/redact"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/journal"
	"github.com/kubectl-ai/kubectl-ai/plugin/report"
	"github.com/kubectl-ai/kubectl-ai/sandbox/cluster"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/control"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// reporter asks the other commands for what they know.
type reporter struct {
	*ReportOptions
	f    *Factory
	mask *redact.Masker

	bundle    *rendered // nil: there is none in the folder, or unfit
	unfit     error     // why the bundle that is there cannot be rendered
	context   string
	namespace string

	*connectedReport // nil: no cluster answers
}

// findPlace decides where to look, as commands do: the bundle's environment,
// else where kubectl would look.
func (b *reporter) findPlace() {
	s := &site{f: b.f, cmd: b.cmd}
	b.bundle, b.context, b.namespace = s.place()
	if b.bundle == nil {
		if _, err := os.Stat(filepath.Join(b.Dir, project.FileName)); err == nil {
			_, b.unfit = s.bundle()
		}
	}
	b.context = cmp.Or(b.context, currentContext(b.f), defaultSandbox)
	b.namespace = cmp.Or(b.namespace, "default")
}

// local are the parts that need no cluster.
func (b *reporter) local() []report.Part {
	parts := []report.Part{
		{Name: "doctor", Read: b.doctor},
		{Name: "versions", Read: b.versions},
		{Name: "kubeconfig", Read: b.kubeconfig},
		{Name: "sandboxes", Read: b.sandboxes},
	}
	if b.unfit != nil {
		parts = append(parts, report.Part{Name: "bundle", Read: func(context.Context, *report.Files) error { return b.unfit }})
	}
	if b.bundle != nil {
		parts = append(parts,
			report.Part{Name: "bundle", Read: b.manifests},
			report.Part{Name: "code", Read: b.code},
			report.Part{Name: "generations", Read: b.generations},
			report.Part{Name: "releases", Read: b.releases})
	}
	return parts
}

func (b *reporter) doctor(ctx context.Context, files *report.Files) error {
	o := &DoctorOptions{cmd: b.cmd}
	list := findingList{}
	for _, f := range o.examine(ctx, b.f) {
		list.Findings = append(list.Findings, findingView{explain.FindingID(f.Check), f})
	}
	var out bytes.Buffer
	err := list.table(&out, 0)
	files.Add("doctor.txt", out.String())
	return err
}

func (b *reporter) versions(ctx context.Context, files *report.Files) error {
	var out bytes.Buffer
	line := func(name, format string, args ...any) { _, _ = fmt.Fprintf(&out, name+": "+format+"\n", args...) }
	line("kubectl-ai", "%s %s/%s %s, called as %s", b.f.Version, runtime.GOOS, runtime.GOARCH, runtime.Version(), b.f.Streams.Called.Name())
	line("kubectl", "%s", examineKubectl(ctx, nil).Detail)
	if b.connectedReport != nil {
		line("cluster", "%s, context %s", b.server, b.context)
	}
	s, err := openSandboxes(ctx, b.f)
	if err == nil {
		e := s.Engine
		line("engine", "%s %s, %s, cgroup v%d, rootless %v, %d CPUs, %d MiB", e.Name, e.Version, e.Arch, e.CgroupVersion, e.Rootless, e.CPUs, e.MemoryBytes>>20)
	}
	files.Add("versions.txt", out.String())
	return err
}

// contextOutline is a context of a kubeconfig without credentials.
type contextOutline struct {
	Name      string `json:"name"`
	Cluster   string `json:"cluster"`
	Server    string `json:"server"`
	Namespace string `json:"namespace,omitempty"`
	User      string `json:"user"` // how it says who it is
}

func (b *reporter) kubeconfig(_ context.Context, files *report.Files) error {
	raw, err := b.f.Flags.ToRawKubeConfigLoader().RawConfig()
	if err != nil {
		return err
	}
	var outline struct {
		CurrentContext string           `json:"currentContext"`
		Contexts       []contextOutline `json:"contexts"`
	}
	outline.CurrentContext = raw.CurrentContext
	for _, name := range slices.Sorted(maps.Keys(raw.Contexts)) {
		c := raw.Contexts[name]
		o := contextOutline{Name: name, Cluster: c.Cluster, Namespace: c.Namespace, User: "nobody"}
		if known := raw.Clusters[c.Cluster]; known != nil {
			o.Server = serverOutline(known)
		}
		if u := raw.AuthInfos[c.AuthInfo]; u != nil {
			o.User = userOutline(u)
		}
		outline.Contexts = append(outline.Contexts, o)
	}
	return b.document(files, "kubeconfig.yaml", outline)
}

func serverOutline(c *api.Cluster) string {
	u, err := url.Parse(c.Server)
	if err != nil {
		return "no URL"
	}
	out := u.Scheme + "://" + u.Host
	if c.InsecureSkipTLSVerify {
		out += ", certificate not checked"
	}
	if c.ProxyURL != "" {
		out += ", by a proxy"
	}
	return out
}

func userOutline(u *api.AuthInfo) string {
	var how []string
	add := func(is bool, what string) {
		if is {
			how = append(how, what)
		}
	}
	add(len(u.ClientCertificateData) > 0 || u.ClientCertificate != "", "client certificate")
	add(u.Token != "" || u.TokenFile != "", "token")
	add(u.Username != "", "password")
	if u.Exec != nil {
		how = append(how, "program "+filepath.Base(u.Exec.Command))
	}
	if u.AuthProvider != nil {
		how = append(how, "auth provider "+u.AuthProvider.Name)
	}
	return cmp.Or(strings.Join(how, ", "), "nothing")
}

// learnKubeconfig has what the kubeconfig knows of credentials hidden: errors
// may repeat it.
func (b *reporter) learnKubeconfig() {
	raw, err := b.f.Flags.ToRawKubeConfigLoader().RawConfig()
	if err != nil {
		return // its part says so
	}
	for _, u := range raw.AuthInfos {
		for _, value := range []string{u.Token, u.Password, string(u.ClientKeyData)} {
			b.mask.LearnValue(value)
		}
	}
}

func (b *reporter) sandboxes(ctx context.Context, files *report.Files) error {
	s, err := openSandboxes(ctx, b.f)
	if err != nil {
		return err
	}
	all, err := s.List(ctx)
	if err != nil {
		return err
	}
	list := sandboxList{APIVersion: outputVersion, Kind: "SandboxList", Items: []sandboxView{}}
	var errs []error
	for _, c := range all {
		view := viewOf(c)
		if c.State != cluster.Stopped {
			statuses, err := cluster.NodeStatuses(ctx, c)
			errs = append(errs, err)
			view.join(statuses)
		}
		list.Items = append(list.Items, view)
		if nodes := equipped(c); len(nodes) > 0 && c.State != cluster.Stopped {
			reports, err := askNodes(ctx, nodes, func(ctx context.Context, n cluster.Node) (model.Report, error) { return control.List(ctx, n) })
			if err == nil {
				err = b.document(files, "gpus/"+c.Name+".yaml", viewGPUs(reports, nil, nil))
			}
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, b.document(files, "sandboxes.yaml", list))...)
}

// manifests are the project file and what each environment renders. ConfigMaps
// may hold code: their longer values are there by digest.
func (b *reporter) manifests(_ context.Context, files *report.Files) error {
	p := b.bundle.project
	raw, err := os.ReadFile(filepath.Join(p.Dir, project.FileName))
	if err == nil {
		files.Add("bundle/"+project.FileName, string(raw))
	}
	errs := []error{err}
	for _, name := range slices.Sorted(maps.Keys(p.Environments)) {
		f := b.f
		if name != b.Environment {
			f = f.elsewhere()
		}
		r, err := render(f, b.Dir, name)
		if err != nil {
			errs = append(errs, fmt.Errorf("environment %s: %w", name, err))
			continue
		}
		var out bytes.Buffer
		for _, obj := range r.objects {
			b.mask.Learn(obj)
			content := b.mask.Object(obj).DeepCopy().Object
			if obj.GetKind() == "ConfigMap" {
				withoutCode(content)
			}
			raw, err := yaml.Marshal(b.mask.Value(content))
			errs = append(errs, err)
			_, _ = fmt.Fprintf(&out, "---\n%s", raw)
		}
		files.Add("bundle/"+name+".yaml", out.String())
	}
	return errors.Join(errs...)
}

// configLine is how long a value of a ConfigMap is that is shown. Chosen: a
// setting has a line or a few, a program more.
const configLine = 400

func withoutCode(object map[string]any) {
	for _, field := range []string{"data", "binaryData"} {
		values, _ := object[field].(map[string]any)
		for key, v := range values {
			if text := fmt.Sprint(v); len(text) > configLine {
				values[key] = fmt.Sprintf("left out: %d bytes, sha256:%x", len(text), sha256.Sum256([]byte(text)))
			}
		}
	}
}

func (b *reporter) code(ctx context.Context, files *report.Files) error {
	index, err := scan(ctx, b.f, b.bundle.project.Code[0])
	if err != nil {
		return err
	}
	var out bytes.Buffer
	_, _ = fmt.Fprintf(&out, "%s, %s, %d bytes\n", index.Digest(), plural(len(index), "file"), index.Size())
	for _, e := range index {
		_, _ = fmt.Fprintf(&out, "%9d  %x  %s\n", e.Size, e.Sum[:6], e.Path)
	}
	files.Add("bundle/code.txt", out.String())
	return nil
}

// lastGenerations is how many are told. Chosen.
const lastGenerations = 30

func (b *reporter) generations(_ context.Context, files *report.Files) error {
	j, err := openJournal(b.f, b.bundle, b.context)
	if err != nil {
		return err
	}
	all, err := j.List()
	return errors.Join(err, b.document(files, "generations.yaml", append([]journal.Generation{}, all[max(0, len(all)-lastGenerations):]...)))
}

// releases are an outline of what environments record.
func (b *reporter) releases(ctx context.Context, files *report.Files) error {
	r, err := render(b.f.elsewhere(), b.Dir, project.Sandbox)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range (&target{rendered: r, connection: &connection{}}).elsewhere(b.f) {
		if e.Releases == nil {
			continue
		}
		found, err := e.Releases(ctx)
		if err != nil {
			errs = append(errs, fmt.Errorf("environment %s: %w", e.Environment, err))
			continue
		}
		errs = append(errs, b.document(files, "releases/"+e.Environment+".yaml", found))
	}
	return errors.Join(errs...)
}

// document adds a value as YAML, without what its fields say is secret.
func (b *reporter) document(files *report.Files, name string, value any) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	var plain any
	if err := json.Unmarshal(raw, &plain); err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	out, err := yaml.Marshal(b.mask.Value(plain))
	files.Add(name, string(out))
	return err
}

// addTable adds what a table prints.
func addTable(files *report.Files, name string, table func(io.Writer) error) error {
	var out bytes.Buffer
	err := table(&out)
	files.Add(name, out.String())
	return err
}

func clockTime(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}
