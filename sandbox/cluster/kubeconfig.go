package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// LockedError says that another program holds the lock of a kubeconfig file,
// or died while it held it.
type LockedError struct{ Lock string }

func (e *LockedError) Error() string {
	return fmt.Sprintf("the kubeconfig is locked by %s", e.Lock)
}

// addContext merges the entries of a private kubeconfig into the user's. The
// current context stays as it is unless switchTo says otherwise.
func (m *Manager) addContext(ctx context.Context, private, name string, switchTo bool) error {
	added, err := clientcmd.LoadFromFile(private)
	if err != nil {
		return fmt.Errorf("read the new kubeconfig: %w", err)
	}
	target := m.kubeconfigFor(ContextName(name))
	return editKubeconfig(ctx, target, func(config *api.Config) bool {
		merge(config, added, ContextName(name), switchTo)
		return true
	})
}

// removeContext removes the entries of a sandbox from every file of the
// user's kubeconfig. A current context that pointed there is unset.
func (m *Manager) removeContext(ctx context.Context, name string) error {
	var errs []error
	for _, file := range m.kubeconfigs() {
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		errs = append(errs, editKubeconfig(ctx, file, func(config *api.Config) bool {
			return remove(config, ContextName(name))
		}))
	}
	return errors.Join(errs...)
}

// merge copies one context with its cluster and user, all of one name.
func merge(into, from *api.Config, name string, switchTo bool) {
	into.Clusters[name] = from.Clusters[name]
	into.AuthInfos[name] = from.AuthInfos[name]
	fresh := from.Contexts[name]
	if old := into.Contexts[name]; old != nil && old.Namespace != "" && fresh.Namespace == "" {
		fresh.Namespace = old.Namespace // the user's choice survives a restart
	}
	into.Contexts[name] = fresh
	if switchTo {
		into.CurrentContext = name
	}
}

// remove deletes those entries and says whether there were any.
func remove(config *api.Config, name string) bool {
	_, cluster := config.Clusters[name]
	_, user := config.AuthInfos[name]
	_, context := config.Contexts[name]
	current := config.CurrentContext == name
	delete(config.Clusters, name)
	delete(config.AuthInfos, name)
	delete(config.Contexts, name)
	if current {
		config.CurrentContext = ""
	}
	return cluster || user || context || current
}

// kubeconfigs are the files that make the user's kubeconfig.
func (m *Manager) kubeconfigs() []string {
	if m.Kubeconfig != "" {
		return []string{m.Kubeconfig}
	}
	return clientcmd.NewDefaultClientConfigLoadingRules().GetLoadingPrecedence()
}

// kubeconfigFor is the file to write an entry to: the one that has it, else
// the first that exists, else the last of the list, as kubectl does.
func (m *Manager) kubeconfigFor(name string) string {
	files := m.kubeconfigs()
	first := ""
	for _, file := range files {
		config, err := clientcmd.LoadFromFile(file)
		if err != nil {
			continue
		}
		if config.Contexts[name] != nil {
			return file
		}
		if first == "" {
			first = file
		}
	}
	if first == "" && len(files) > 0 {
		first = files[len(files)-1]
	}
	return first
}

// editKubeconfig changes a file under the lock that kubectl and kind respect,
// and in one step: a reader sees the old file or the new one.
func editKubeconfig(ctx context.Context, file string, edit func(*api.Config) bool) (err error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("make the folder of %s: %w", file, err)
	}
	unlock, err := lock(ctx, file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	target, mode := file, fs.FileMode(0o600)
	if resolved, err := filepath.EvalSymlinks(file); err == nil {
		target = resolved
	}
	config := api.NewConfig()
	switch info, statErr := os.Stat(target); {
	case statErr == nil:
		mode = info.Mode().Perm()
		if config, err = clientcmd.LoadFromFile(target); err != nil {
			return fmt.Errorf("read kubeconfig %s: %w", file, err)
		}
	case !errors.Is(statErr, fs.ErrNotExist):
		return fmt.Errorf("read kubeconfig %s: %w", file, statErr)
	}
	if !edit(config) {
		return nil
	}
	content, err := clientcmd.Write(*config)
	if err != nil {
		return fmt.Errorf("encode kubeconfig: %w", err)
	}
	if err := replaceFile(target, content, mode); err != nil {
		return fmt.Errorf("write kubeconfig %s: %w", file, err)
	}
	return nil
}

// replaceFile writes a file beside its place and moves it there.
func replaceFile(path string, content []byte, mode fs.FileMode) error {
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	_, err = temp.Write(content)
	err = errors.Join(err, temp.Chmod(mode), temp.Sync(), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	return nil
}

// lockWait bounds how long another program may hold the lock.
const lockWait = 5 * time.Second

// lock takes FILE.lock as client-go does.
func lock(ctx context.Context, file string) (unlock func() error, err error) {
	path := file + ".lock"
	deadline := time.NewTimer(lockWait)
	defer deadline.Stop()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL, 0)
		if err == nil {
			return func() error { return os.Remove(path) }, f.Close()
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("lock the kubeconfig: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-deadline.C:
			return nil, &LockedError{Lock: path}
		case <-again.C:
		}
	}
}
