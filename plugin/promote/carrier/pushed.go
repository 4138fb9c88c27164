package carrier

// Pushed returns the images that Push brings to a registry: until then nobody
// finds them there.
func (r *Result) Pushed() map[string]bool {
	out := map[string]bool{}
	for _, p := range r.pushes {
		out[p.ref.String()] = true
	}
	return out
}
