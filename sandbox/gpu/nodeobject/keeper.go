package nodeobject

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"time"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// Keeper keeps a Node object's labels and sends its Events. Fields are set
// before Run.
type Keeper struct {
	Node       string
	Kubeconfig string            // DefaultKubeconfig
	Labels     map[string]string // as model.State.Labels makes them
	Log        *slog.Logger
	// Period is how often the labels are looked at; 10 s unless given.
	Period time.Duration

	events chan event
	client *client
	last   string // what was logged last
}

const (
	period     = 10 * time.Second
	firstRetry = 250 * time.Millisecond
	// maxEvents are kept while the API server is away; more are dropped, as
	// the kubelet drops its own.
	maxEvents = 64
	// maxTries bounds how often an Event is sent.
	maxTries = 8
)

// New returns the keeper of a Node.
func New(node, kubeconfig string, labels map[string]string, log *slog.Logger) *Keeper {
	return &Keeper{Node: node, Kubeconfig: kubeconfig, Labels: labels, Log: log, Period: period, events: make(chan event, maxEvents)}
}

// Event sends an Event about the Node as soon as Run can. Warning tells its
// type.
func (k *Keeper) Event(warning bool, reason, message string) {
	select {
	case k.events <- newEvent(k.Node, warning, reason, message):
	default:
		k.Log.Warn("too many events, one is dropped", "reason", reason, "message", message)
	}
}

// Run keeps the labels and sends Events until ctx ends. An API server that is
// away is waited for.
func (k *Keeper) Run(ctx context.Context) error {
	retry := firstRetry
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-k.events:
			k.send(ctx, e)
		case <-timer.C:
			if k.say(k.label(ctx)) {
				retry = firstRetry
				timer.Reset(k.Period)
			} else {
				timer.Reset(retry)
				retry = min(2*retry, k.Period)
			}
		}
	}
}

// send tries an Event several times, unless the server refuses it for good; a
// 429 is a server that is busy.
func (k *Keeper) send(ctx context.Context, e event) {
	pause := firstRetry
	for range maxTries {
		err := k.call(ctx, http.MethodPost, "/api/v1/namespaces/"+e.Metadata["namespace"]+"/events", "application/json", e, &struct{}{})
		var refused *StatusError
		if k.say(err) || errors.As(err, &refused) && refused.Code < http.StatusInternalServerError && refused.Code != http.StatusTooManyRequests {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause *= 2
	}
}

// label puts labels right that are missing or differ, and removes those of
// other GPUs. The time when labels were made differs with every start, and is
// left alone while the others are right.
func (k *Keeper) label(ctx context.Context) error {
	var node struct {
		Metadata struct {
			Labels map[string]string `json:"labels"`
		} `json:"metadata"`
	}
	path := "/api/v1/nodes/" + k.Node
	if err := k.call(ctx, http.MethodGet, path, "", nil, &node); err != nil {
		return fmt.Errorf("read the labels of the node: %w", err)
	}
	patch := difference(node.Metadata.Labels, k.Labels)
	if len(patch) == 0 {
		return nil
	}
	body := map[string]any{"metadata": map[string]any{"labels": patch}}
	if err := k.call(ctx, http.MethodPatch, path, "application/merge-patch+json", body, &struct{}{}); err != nil {
		return fmt.Errorf("label the node: %w", err)
	}
	k.Log.Info("labelled the node", "changed", len(patch))
	return nil
}

const timestamp = "nvidia.com/gfd.timestamp"

// difference returns the merge patch that makes have what it should be: nil
// for a label that has to go.
func difference(have, want map[string]string) map[string]*string {
	patch := map[string]*string{}
	for key, value := range want {
		if got, ok := have[key]; !ok || got != value && key != timestamp {
			patch[key] = &value
		}
	}
	for key := range maps.Keys(have) {
		if _, ok := want[key]; !ok && model.OwnsLabel(key) {
			patch[key] = nil
		}
	}
	if len(patch) > 0 {
		if at, ok := want[timestamp]; ok {
			patch[timestamp] = &at
		}
	}
	return patch
}

// call opens the kubeconfig if need be, and again after a failure.
func (k *Keeper) call(ctx context.Context, method, path, contentType string, body, answer any) error {
	if k.client == nil {
		c, err := open(k.Kubeconfig)
		if err != nil {
			return err
		}
		k.client = c
	}
	err := k.client.call(ctx, method, path, contentType, body, answer)
	if err != nil {
		k.client.http.CloseIdleConnections()
		k.client = nil
	}
	return err
}

// say logs an error once, not at every try, and returns whether there is none.
func (k *Keeper) say(err error) bool {
	if err == nil {
		k.last = ""
		return true
	}
	if text := err.Error(); text != k.last && !errors.Is(err, context.Canceled) {
		k.Log.Info("the node object cannot be written yet", "error", err)
		k.last = text
	}
	return false
}
