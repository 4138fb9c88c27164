package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"sigs.k8s.io/kind/pkg/apis/config/defaults"

	"github.com/kubectl-ai/kubectl-ai/sandbox/engine"
	"github.com/kubectl-ai/kubectl-ai/sandbox/nodeimage"
	"github.com/kubectl-ai/kubectl-ai/sandbox/runtimeimage"
)

const (
	// answerTimeout is how long a registry may take to say that it has an image.
	answerTimeout = 20 * time.Second
	// pullTimeout is how long the image may then take to come.
	pullTimeout = 10 * time.Minute
)

// errSilent is the cause of a pull that no registry answered in time.
var errSilent = errors.New("no registry answered")

// puller pulls images until a registry does not answer, and then no more.
type puller struct {
	engine   *engine.Engine
	progress interface {
		Note(format string, args ...any)
	}
	// answer is how long a registry may take to say something; 0 means
	// answerTimeout.
	answer time.Duration
	silent bool
}

// have says whether the engine has an image that a registry gave, pulling it
// if it must. One that was built here is none: it may have to be built again.
func (p *puller) have(ctx context.Context, ref string) (bool, error) {
	id, err := p.engine.ImageID(ctx, ref)
	if err != nil {
		return false, err
	}
	if id != "" {
		out, err := p.engine.Run(ctx, nil, "image", "inspect", "--format", "{{json .Config.Labels}}", ref)
		return !strings.Contains(string(out), runtimeimage.LabelFrom), err
	}
	return p.pull(ctx, ref)
}

func (p *puller) pull(ctx context.Context, ref string) (bool, error) {
	if p.silent {
		return false, nil
	}
	limited, cancel := context.WithTimeoutCause(ctx, pullTimeout, errSilent)
	defer cancel()
	limited, give := context.WithCancelCause(limited)
	answer := time.AfterFunc(cmp.Or(p.answer, answerTimeout), func() { give(errSilent) })
	defer answer.Stop()
	err := p.engine.Stream(limited, nil, &firstByte{then: func() { answer.Stop() }}, "pull", ref)
	var failed *engine.CommandError
	switch {
	case err == nil:
		p.progress.Note("pulled %s", ref)
		return true, nil
	case errors.Is(err, errSilent), errors.As(err, &failed):
		p.silent = true
		p.progress.Note("%s cannot be pulled and is built: %v", ref, err)
		return false, nil
	}
	return false, err
}

// firstByte calls then when a registry has answered: an engine says nothing
// on stdout before.
type firstByte struct {
	once sync.Once
	then func()
}

func (f *firstByte) Write(b []byte) (int, error) {
	if len(bytes.TrimSpace(b)) > 0 {
		f.once.Do(f.then)
	}
	return len(b), nil
}

// node makes sure of a node image. kind's own is for cgroup v2: newer ones
// refuse to start on v1.
func node(ctx context.Context, p *puller, b *nodeimage.Builder, tag string) error {
	if tag == nodeimage.DefaultTag && p.engine.CgroupVersion == 2 {
		built, err := p.engine.ImageID(ctx, tag)
		if err != nil {
			return err
		}
		if built == "" {
			if pulled, err := p.have(ctx, defaults.Image); err != nil || pulled {
				return err
			}
		}
	}
	_, err := b.Build(ctx, tag)
	return err
}
