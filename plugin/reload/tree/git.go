package tree

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// settings are what git's configuration says about ignoring.
type settings struct {
	excludesFile string // full path; "" for none
	ignoreCase   bool
}

// errNoGit says that nobody can be asked what is tracked.
var errNoGit = errors.New("git is not on PATH")

// located are the variables with which a hook tells git where the repository
// is: ours is found from the folder of the code.
var located = []string{
	"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX", "GIT_NAMESPACE",
	"GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_INTERNAL_SUPER_PREFIX",
}

// git runs git in a folder and returns what it prints. It takes no locks.
func git(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"--no-optional-locks", "-C", dir}, args...)...)
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if !slices.Contains(located, name) {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "LC_ALL=C")
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	cmd.WaitDelay = time.Second // a daemon that git started may keep the pipes
	err := cmd.Run()
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay): // it ended well
		return out.String(), nil
	case errors.Is(err, exec.ErrNotFound):
		return "", errNoGit
	}
	if first, _, _ := strings.Cut(strings.TrimSpace(said.String()), "\n"); first != "" {
		return "", errors.New(strings.TrimPrefix(first, "fatal: "))
	}
	return "", err
}

// lsFiles returns the tracked files below dir, a zero byte after each.
func lsFiles(ctx context.Context, dir string) (string, error) {
	return git(ctx, dir, "ls-files", "-z", "--", ".")
}

// readSettings asks git. Without an answer the defaults hold.
func readSettings(ctx context.Context, w worktree) (settings, error) {
	s := settings{excludesFile: configHome("ignore")}
	// A key without a line in any file makes git exit with 1.
	out, _ := git(ctx, w.top, "config", "-z", "--path", "--get-regexp", `^core\.(excludesfile|ignorecase)$`)
	if ctx.Err() != nil {
		return s, ctx.Err()
	}
	for entry := range strings.SplitSeq(out, "\x00") {
		key, value, has := strings.Cut(entry, "\n")
		switch key {
		case "core.excludesfile":
			s.excludesFile = value
			if value != "" && !filepath.IsAbs(value) {
				s.excludesFile = filepath.Join(w.top, value)
			}
		case "core.ignorecase":
			s.ignoreCase = !has || slices.Contains([]string{"true", "yes", "on", "1"}, strings.ToLower(value))
		}
	}
	return s, nil
}

// configHome returns a file in the user's folder of git, or "".
func configHome(name string) string {
	if dir := os.Getenv("XDG_CONFIG_HOME"); dir != "" {
		return filepath.Join(dir, "git", name)
	}
	if home := os.Getenv("HOME"); home != "" {
		return filepath.Join(home, ".config", "git", name)
	}
	return ""
}

// configFiles are those whose change lets git be asked again. What they
// include, and the system's own file elsewhere than in /etc, counts when a
// scanner starts.
func configFiles(w worktree) []string {
	files := []string{filepath.Join(w.common, "config"), filepath.Join(w.gitDir, "config.worktree"), "/etc/gitconfig"}
	if global := os.Getenv("GIT_CONFIG_GLOBAL"); global != "" {
		return append(files, global)
	}
	if f := configHome("config"); f != "" {
		files = append(files, f)
	}
	if home := os.Getenv("HOME"); home != "" {
		files = append(files, filepath.Join(home, ".gitconfig"))
	}
	return files
}
