package apply

import (
	"errors"

	"github.com/kubectl-ai/kubectl-ai/plugin/redact"
)

// objection takes secrets out of what the server said.
func objection(mask *redact.Masker, err error) error {
	var object *ObjectError
	if errors.As(err, &object) {
		object.text = mask.Known(object.Err.Error())
	}
	return err
}
