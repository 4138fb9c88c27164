package nodeimage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/kubectl-ai/kubectl-ai/sandbox/engine"
	"github.com/kubectl-ai/kubectl-ai/sandbox/nodeimage/child"
	"github.com/kubectl-ai/kubectl-ai/sandbox/nodeimage/debian"
	"github.com/kubectl-ai/kubectl-ai/sandbox/nodeimage/flock"
)

// Repository is that of node images built here.
const Repository = "kubectl-ai/node"

// DefaultTag is the image that sandboxes look for.
const DefaultTag = Repository + ":" + Kubernetes

// Labels of a node image.
const (
	LabelKey        = "dev.kubectl-ai.nodeimage"            // the content key
	LabelKubernetes = "dev.kubectl-ai.nodeimage.kubernetes" // v1.36.3
)

// CheckTag says whether an image can have that name.
func CheckTag(tag string) error {
	_, err := name.NewTag(tag)
	return err
}

// ErrArch says that the engine runs another architecture than this machine,
// whose programs cannot be compiled and tried here.
var ErrArch = errors.New("the engine runs another architecture")

// Reporter is told of the steps of a build.
type Reporter interface {
	Start(step string)
	Note(format string, args ...any)
	End(err error)
}

// Builder builds node images for an engine.
type Builder struct {
	Engine *engine.Engine
	// Cache is the folder that keeps what was made, 1.1 GB.
	Cache string
	// Mirror is Debian's; "" is debootstrap's choice.
	Mirror   string
	Reporter Reporter
}

// Result is what Build leaves in the engine.
type Result struct {
	Ref   string
	Key   string
	Built bool // false: it was there
}

// recipe changes when the same sources and settings are put together in
// another way.
const recipe = 1

// plan is a build with its parts named.
type plan struct {
	*Builder
	tools   toolchain
	sources []source
	root    debian.Root
	roots   debian.Cache
	key     string
}

// Build makes sure that the engine has a node image under a tag. It returns
// *child.MissingError before anything is done when something is missing that
// the build needs, and *child.Error when a program fails. When ctx ends, the
// programs that run are ended and the cause of ctx is returned; what is whole
// stays in the cache.
func (b *Builder) Build(ctx context.Context, tag string) (Result, error) {
	p, err := b.plan(ctx)
	if err != nil {
		return Result{}, err
	}
	result := Result{Ref: tag, Key: p.key}
	if found, err := p.tagExisting(ctx, tag); found || err != nil {
		return result, err
	}
	if err := p.check(); err != nil {
		return Result{}, err
	}
	unlock, err := flock.Lock(ctx, b.Cache, func() {
		b.Reporter.Note("another build works in %s; waiting for it", b.Cache)
	})
	if err != nil {
		return Result{}, err
	}
	defer unlock()
	work, err := os.MkdirTemp(b.Cache, "making-")
	if err != nil {
		return Result{}, fmt.Errorf("make a folder to work in: %w", err)
	}
	defer func() { _ = os.RemoveAll(work) }()
	p.sweep(work)
	if err := p.build(ctx, tag, work); err != nil {
		return Result{}, err
	}
	p.prune()
	p.removeUntagged(ctx)
	result.Built = true
	return result, nil
}

func (b *Builder) plan(ctx context.Context) (*plan, error) {
	tools, err := findGo(ctx)
	if err != nil {
		return nil, err
	}
	if tools.Arch != b.Engine.Arch {
		return nil, fmt.Errorf("%w: %s, this machine %s", ErrArch, b.Engine.Arch, tools.Arch)
	}
	p := &plan{
		Builder: b, tools: tools, sources: sources(), root: nodeRoot(tools.Arch),
		roots: debian.Cache{Dir: filepath.Join(b.Cache, "roots"), Mirror: b.Mirror},
	}
	return p, p.setKey()
}

// setKey names the plan: everything that the image is made of.
func (p *plan) setKey() error {
	files, err := ownFiles()
	if err != nil {
		return err
	}
	fragment, err := embedded.ReadFile("files/containerd.toml")
	if err != nil {
		return err
	}
	p.key = keyOf([]any{p.storeKey(), kindVersion, files, fragment})
	return nil
}

// storeKey names the layer of the components' images.
func (p *plan) storeKey() string {
	parts := []any{recipe, p.tools, p.root.Key(), helperTools, proxyPrograms, iptablesNames}
	for _, s := range p.sources {
		parts = append(parts, s.key(p.tools))
	}
	return keyOf(parts)
}

// store is where that layer lies in the cache.
func (p *plan) store() string {
	return filepath.Join(p.Cache, "layers", "images-"+p.storeKey()[:16]+".tar")
}

func (p *plan) hasStore() bool {
	_, err := os.Stat(p.store())
	return err == nil
}

// tagExisting tags the image if the engine has one of this key.
func (p *plan) tagExisting(ctx context.Context, tag string) (bool, error) {
	out, err := p.Engine.Run(ctx, nil, "images", "--no-trunc", "-q", "--filter", "label="+LabelKey+"="+p.key)
	if err != nil {
		return false, fmt.Errorf("look for the node image: %w", err)
	}
	ids := strings.Fields(string(out))
	if len(ids) == 0 {
		return false, nil
	}
	if id, err := p.Engine.ImageID(ctx, tag); err != nil || slices.Contains(ids, id) {
		return err == nil, err
	}
	if _, err := p.Engine.Run(ctx, nil, "tag", ids[0], tag); err != nil {
		return false, fmt.Errorf("tag the node image: %w", err)
	}
	return true, nil
}

// check returns *child.MissingError for what the build needs and this machine
// lacks. What is in the cache needs nothing.
func (p *plan) check() error {
	if runtime.GOOS != "linux" {
		return &child.MissingError{Needs: []child.Need{needLinux}}
	}
	needs := goNeeds(p.tools)
	for _, s := range p.sources {
		if s.Cgo && !s.compiled(p.Cache, p.tools) {
			needs = append(needs, cgoNeeds()...)
		}
	}
	if !p.roots.Has(p.root) {
		needs = append(needs, debian.Needs()...)
	} else if !p.hasStore() {
		needs = append(needs, rootNeeds()...)
	}
	if len(needs) > 0 {
		return &child.MissingError{Needs: needs}
	}
	return nil
}

// build makes what is not in the cache, then the image.
func (p *plan) build(ctx context.Context, tag, work string) error {
	if err := p.compile(ctx); err != nil {
		return err
	}
	if !p.roots.Has(p.root) {
		err := p.step("Make the Debian root", func() error {
			_, err := p.roots.Make(ctx, p.root)
			return err
		})
		if err != nil {
			return err
		}
	}
	if !p.hasStore() {
		if err := p.step("Pack the components' images", func() error { return p.makeStore(ctx, work) }); err != nil {
			return err
		}
	}
	return p.step("Load the image into "+p.Engine.Name, func() error { return p.assemble(ctx, tag, work) })
}

func (p *plan) compile(ctx context.Context) error {
	var todo []source
	for _, s := range p.sources {
		if !s.compiled(p.Cache, p.tools) {
			todo = append(todo, s)
		}
	}
	if len(todo) == len(p.sources) {
		p.Reporter.Note("compiling everything takes about a quarter of an hour on two cores; what is compiled is kept")
	}
	for i, s := range todo {
		step := fmt.Sprintf("Compile %s (%d of %d)", s.label(), i+1, len(todo))
		if err := p.step(step, func() error { return s.compile(ctx, p.Cache, p.tools) }); err != nil {
			return err
		}
	}
	return nil
}

// step runs one reported step.
func (p *plan) step(name string, do func() error) error {
	p.Reporter.Start(name)
	err := do()
	p.Reporter.End(err)
	return err
}

// programs are the compiled programs by name.
func (p *plan) programs() programs {
	all := programs{}
	for _, s := range p.sources {
		for _, one := range s.Programs {
			all[one.Name] = filepath.Join(s.dir(p.Cache, p.tools), one.Name)
		}
	}
	return all
}

// removeUntagged removes images of ours that lost their name to a newer one.
// The engine keeps those that a container is made of.
func (p *plan) removeUntagged(ctx context.Context) {
	images, err := List(ctx, p.Engine)
	if err != nil {
		return
	}
	for _, i := range images {
		if len(i.Refs) == 0 {
			_, _ = p.Engine.Run(ctx, nil, "rmi", i.ID)
		}
	}
}

// sweep removes what a killed build left; the caller has the lock.
func (p *plan) sweep(work string) {
	p.remove([]string{work}, "making-*", "bin/making-*")
}

// prune removes from the cache what this image is not made of: other
// versions. Nothing depends on it.
func (p *plan) prune() {
	keep := []string{p.store(), p.roots.Path(p.root)}
	for _, s := range p.sources {
		keep = append(keep, s.dir(p.Cache, p.tools))
	}
	p.remove(keep, "bin/*", "layers/*", "roots/root-"+p.root.Name+"-*")
}

// remove removes what matches in the cache but keep. What cannot be removed
// costs space and nothing else.
func (p *plan) remove(keep []string, patterns ...string) {
	for _, pattern := range patterns {
		matches, err := filepath.Glob(filepath.Join(p.Cache, pattern))
		if err != nil {
			continue
		}
		for _, m := range matches {
			if !slices.Contains(keep, m) {
				_ = os.RemoveAll(m)
			}
		}
	}
}
