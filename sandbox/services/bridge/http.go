package bridge

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
)

// answer writes what a handler returns: a value as JSON, nothing as 204, an
// error in the form of Strimzi's bridge.
func answer(w http.ResponseWriter, r *http.Request, f func(*http.Request) (any, error)) {
	value, err := f(r)
	kind := control
	if strings.HasSuffix(r.URL.Path, "/records") && err == nil {
		kind = jsonRecords
	}
	switch {
	case err != nil:
		said := clientError(err)
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(said.Code)
		_ = json.NewEncoder(w).Encode(said) // the client went away
	case value == nil:
		w.WriteHeader(http.StatusNoContent)
	default:
		w.Header().Set("Content-Type", kind)
		_ = json.NewEncoder(w).Encode(value) // the client went away
	}
}

// read decodes a request's body. An option that is not known is an error.
func read(r *http.Request, kind string, into any) error {
	if got, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || got != kind {
		return &Error{http.StatusUnsupportedMediaType, "Content-Type: want " + kind}
	}
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	err := decoder.Decode(into)
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return &Error{http.StatusRequestEntityTooLarge, "the request is larger than 10 MiB"}
	case errors.Is(err, io.EOF):
		return errEmpty
	case err != nil:
		return &Error{http.StatusUnprocessableEntity, "read the request: " + err.Error()}
	}
	return nil
}

// errEmpty is a request without a body.
var errEmpty = &Error{http.StatusUnprocessableEntity, "read the request: it has no body"}
