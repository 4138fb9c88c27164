package retrain

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// The label by which a rule asks for a new model, and its value.
const (
	LabelAction   = "action"
	ActionRetrain = "retrain"
)

// Alert is one alert, in the fields that both forms have.
type Alert struct {
	Status   string            `json:"status"` // of the webhook alone: firing or resolved
	Labels   map[string]string `json:"labels"`
	StartsAt time.Time         `json:"startsAt"`
	EndsAt   time.Time         `json:"endsAt"` // zero, or in the future: it fires
}

// asks says whether the alert fires and wants a new model.
func (a Alert) asks(now time.Time) bool {
	return a.Labels[LabelAction] == ActionRetrain && a.Status != "resolved" && (a.EndsAt.IsZero() || a.EndsAt.After(now))
}

// key names the alert for as long as it fires: what it is about, and since when.
func (a Alert) key() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(a.Labels)) {
		fmt.Fprintf(&b, "%q=%q,", name, a.Labels[name])
	}
	fmt.Fprint(&b, a.StartsAt.UTC().Format(time.RFC3339Nano))
	return b.String()
}

// first is the alert of a group that fires longest, of those that ask.
func first(alerts []Alert, now time.Time) (Alert, bool) {
	asking := slices.DeleteFunc(slices.Clone(alerts), func(a Alert) bool { return !a.asks(now) })
	if len(asking) == 0 {
		return Alert{}, false
	}
	return slices.MinFunc(asking, func(a, b Alert) int {
		if c := a.StartsAt.Compare(b.StartsAt); c != 0 {
			return c
		}
		return strings.Compare(a.key(), b.key())
	}), true
}

// readAlerts reads what Prometheus posts to an Alertmanager.
func readAlerts(body []byte) ([]Alert, error) {
	var alerts []Alert
	if err := json.Unmarshal(body, &alerts); err != nil {
		return nil, err
	}
	return alerts, checkAlerts(alerts)
}

// readWebhook reads an Alertmanager's webhook.
func readWebhook(body []byte) ([]Alert, error) {
	var message struct {
		Version string  `json:"version"`
		Alerts  []Alert `json:"alerts"`
	}
	if err := json.Unmarshal(body, &message); err != nil {
		return nil, err
	}
	if message.Version != "4" {
		return nil, fmt.Errorf("version %q of the webhook: want 4", message.Version)
	}
	return message.Alerts, checkAlerts(message.Alerts)
}

func checkAlerts(alerts []Alert) error {
	for _, a := range alerts {
		if a.Labels["alertname"] == "" {
			return errors.New("an alert without the label alertname")
		}
		if a.StartsAt.IsZero() {
			return fmt.Errorf("alert %s has no startsAt", a.Labels["alertname"])
		}
	}
	return nil
}
