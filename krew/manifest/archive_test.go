package manifest

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"os"
	"strings"
	"testing"
)

func tarball(t *testing.T, names ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	compress := gzip.NewWriter(&out)
	w := tar.NewWriter(compress)
	for _, name := range names {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(name)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := compress.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zipped(t *testing.T, names ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, name := range names {
		entry, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := entry.Write([]byte(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func of(uri string, archive []byte, files ...FileOperation) Platform {
	return Platform{URI: "https://example.com/" + uri, SHA256: fmt.Sprintf("%x", sha256.Sum256(archive)), Bin: "kubectl-ai", Files: files}
}

func TestAnArchiveIsChecked(t *testing.T) {
	whole := tarball(t, "LICENSE", "kubectl-ai")
	folder := tarball(t, "v1/LICENSE", "v1/kubectl-ai")
	other := of("a.tar.gz", whole)
	other.SHA256 = strings.Repeat("0", 64)
	for name, c := range map[string]struct {
		p       Platform
		archive []byte
		broken  Rule // "": none
	}{
		"good":               {of("a.tar.gz", whole), whole, ""},
		"good zip":           {of("a.zip", zipped(t, "COPYING.txt", "kubectl-ai")), zipped(t, "COPYING.txt", "kubectl-ai"), ""},
		"moved out":          {of("a.tar.gz", folder, FileOperation{"v1/*", "."}), folder, ""},
		"another sum":        {other, whole, Sum},
		"no licence":         {of("a.tar.gz", tarball(t, "kubectl-ai")), tarball(t, "kubectl-ai"), License},
		"licence stays":      {of("a.tar.gz", folder, FileOperation{"v1/kubectl-ai", "."}), folder, License},
		"no program":         {of("a.tar.gz", folder), folder, BinThere},
		"nothing to move":    {of("a.tar.gz", whole, FileOperation{"v2/*", "."}), whole, Unpacks},
		"cut short":          {of("a.tar.gz", whole[:len(whole)/2]), whole[:len(whole)/2], Unpacks},
		"leaves the folder":  {of("a.tar.gz", tarball(t, "../x")), tarball(t, "../x"), Unpacks},
		"zip under tar name": {of("a.tar.gz", zipped(t, "LICENSE")), zipped(t, "LICENSE"), Unpacks},
	} {
		err := CheckArchive(c.p, c.archive)
		if (c.broken == "") != (err == nil) || c.broken != "" && !breaks(err, c.broken) {
			t.Errorf("%s: %v, want %q", name, err, c.broken)
		}
	}
}

func TestAnInstallLinksTheProgramAlone(t *testing.T) {
	archive := tarball(t, "LICENSE", "kubectl-ai")
	list := archives()
	for i := range list {
		list[i].SHA256 = fmt.Sprintf("%x", sha256.Sum256(archive))
	}
	raw, err := Render(PublicIndex, "v1.2.3", "https://example.com", list)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Parse(PublicIndex+".yaml", raw)
	if err != nil {
		t.Fatal(err)
	}
	root, dist := t.TempDir(), t.TempDir()
	if err := os.WriteFile(dist+"/kubectl-ai_linux_arm64.tar.gz", archive, 0o600); err != nil {
		t.Fatal(err)
	}
	link, err := p.Install(root, Target{"linux", "arm64"}, dist)
	if err != nil {
		t.Fatal(err)
	}
	if content, err := os.ReadFile(link); err != nil || string(content) != "kubectl-ai" {
		t.Errorf("%s: %q, %v", link, content, err)
	}
	linked, err := os.ReadDir(root + "/bin")
	if err != nil || len(linked) != 1 || linked[0].Name() != "kubectl-ai_train" {
		t.Errorf("on PATH: %v, %v", linked, err)
	}
	if _, err := p.Install(t.TempDir(), Target{"linux", "riscv64"}, dist); err == nil {
		t.Error("installed on a system that the manifest does not name")
	}
	if err := os.WriteFile(dist+"/kubectl-ai_linux_arm64.tar.gz", archive[1:], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Install(t.TempDir(), Target{"linux", "arm64"}, dist); err == nil {
		t.Error("installed an archive of another sum")
	}
}
