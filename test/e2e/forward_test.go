//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// forwarded waits until dev says where a port of a pod is reachable.
func (d *devRun) forwarded(pod string, port int) string {
	d.t.Helper()
	way := regexp.MustCompile(fmt.Sprintf(`(?m)^(127\.0\.0\.1:\d+)( \(\d+ is in use here\))? → %s:%d \(http\)$`, pod, port))
	var address string
	eventually(d.t, time.Minute, func() error {
		m := way.FindStringSubmatch(d.stderr.String())
		if m == nil {
			return fmt.Errorf("dev has not said where port %d of %s is", port, pod)
		}
		address = m[1]
		return nil
	})
	return address
}

// get waits until a file is served with a content.
func get(t *testing.T, url, want string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	eventually(t, time.Minute, func() error {
		answer, err := client.Get(url)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if err == nil && string(body) != want {
			err = fmt.Errorf("%s: %s, %q, want %q", url, answer.Status, body, want)
		}
		return err
	})
}

func TestDevForwardsThePortsOfRank0(t *testing.T) {
	const ns, port = "forward", 18080
	files := job(ns, 2, fmt.Sprintf("        ports: [{name: http, containerPort: %d}]\n", port))
	files["base/job.yaml"] = strings.Replace(files["base/job.yaml"], "[python3, train.py]", fmt.Sprintf(`[python3, -m, http.server, "%d"]`, port), 1)
	dir := bundle(t, sandboxName, ns, files)
	dev := startDev(t, dir)
	dev.next(2, 3*time.Minute)

	zero := pods(t, sandboxName, ns, "app="+ns)["0"]
	at := dev.forwarded(zero, port)
	get(t, "http://"+at+"/generation.txt", "generation 0\n")
	save(t, filepath.Join(dir, "src/generation.txt"), "generation 1\n")
	dev.next(2, 30*time.Second)
	get(t, "http://"+at+"/generation.txt", "generation 1\n") // the process is another, the pod the same

	kubectl(t, sandboxName, "delete", "pod", "-n", ns, zero, "--wait=false")
	var next string
	eventually(t, time.Minute, func() error {
		if next = pods(t, sandboxName, ns, "app="+ns)["0"]; next == "" || next == zero {
			return fmt.Errorf("no other pod has rank 0 yet")
		}
		return nil
	})
	if again := dev.forwarded(next, port); again != at {
		t.Errorf("the new pod is at %s, the one before was at %s", again, at)
	}
	get(t, "http://"+at+"/generation.txt", "generation 1\n")

	dev.stop()
	if c, err := net.Dial("tcp", at); err == nil {
		_ = c.Close()
		t.Error("the port is open after dev has ended")
	}
	dev = startDev(t, "--forward=false", dir)
	dev.next(2, time.Minute)
	if s := dev.stderr.String(); strings.Contains(s, "→") {
		t.Errorf("ports are forwarded with --forward=false: %s", s)
	}
}
