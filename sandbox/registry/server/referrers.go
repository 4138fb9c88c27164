package server

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// referrers answers what refers to a manifest (distribution specification,
// "Listing Referrers"). The handler lists the type of each configuration; here
// it is the manifest's own artifactType, where it has one, which is also what
// clients filter by.
func (s *Server) referrers(w http.ResponseWriter, r *http.Request, repo string) {
	answer := &held{header: http.Header{}, code: http.StatusOK}
	s.inner.ServeHTTP(answer, r)
	var list v1.IndexManifest
	if answer.code != http.StatusOK || json.Unmarshal(answer.body.Bytes(), &list) != nil {
		answer.send(w)
		return
	}
	only := r.URL.Query().Get("artifactType")
	listed := []v1.Descriptor{}
	for _, d := range list.Manifests {
		if content, err := os.ReadFile(s.stored.path(repo, d.Digest.String())); err == nil {
			_, body, _ := bytes.Cut(content, []byte("\n"))
			var m struct {
				ArtifactType string `json:"artifactType"`
			}
			if json.Unmarshal(body, &m) == nil && m.ArtifactType != "" {
				d.ArtifactType = m.ArtifactType
			}
		}
		if only == "" || d.ArtifactType == only {
			listed = append(listed, d)
		}
	}
	list.Manifests = listed
	raw, err := json.Marshal(list)
	if err != nil {
		fail(w, http.StatusInternalServerError, "UNKNOWN", err.Error())
		return
	}
	if only != "" {
		answer.header.Set("OCI-Filters-Applied", "artifactType")
	}
	answer.header.Del("Content-Length")
	answer.body = *bytes.NewBuffer(raw)
	answer.send(w)
}

// held is an answer that is looked at before it goes.
type held struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (k *held) Header() http.Header         { return k.header }
func (k *held) Write(p []byte) (int, error) { return k.body.Write(p) }
func (k *held) WriteHeader(code int)        { k.code = code }

func (k *held) send(w http.ResponseWriter) {
	for name, values := range k.header {
		w.Header()[name] = values
	}
	w.WriteHeader(k.code)
	_, _ = w.Write(k.body.Bytes()) // the client went away
}

// referrersRepo returns the repository of a request for referrers; "": it is
// another request.
func referrersRepo(r *http.Request) string {
	path, ok := strings.CutPrefix(r.URL.Path, "/v2/")
	i := strings.LastIndex(path, "/referrers/")
	if !ok || i < 0 || r.Method != http.MethodGet {
		return ""
	}
	return path[:i]
}
