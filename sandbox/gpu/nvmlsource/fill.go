package nvmlsource

import (
	"reflect"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// fill gives every call that a mock leaves nil an answer: zero values and
// ERROR_NOT_SUPPORTED, as old hardware answers calls it does not know. A mock
// would panic instead. mocks are pointers to go-nvml's mock structs, whose
// functions are the fields that end in Func.
func fill(mocks ...any) {
	for _, m := range mocks {
		v := reflect.ValueOf(m).Elem()
		for _, f := range v.Fields() {
			if f.Kind() == reflect.Func && f.CanSet() && f.IsNil() {
				f.Set(reflect.MakeFunc(f.Type(), refuse(f.Type())))
			}
		}
	}
}

var returnType = reflect.TypeFor[nvml.Return]()

func refuse(t reflect.Type) func([]reflect.Value) []reflect.Value {
	results := make([]reflect.Value, t.NumOut())
	for i := range results {
		results[i] = reflect.Zero(t.Out(i))
		if t.Out(i) == returnType {
			results[i] = reflect.ValueOf(nvml.ERROR_NOT_SUPPORTED)
		}
	}
	return func([]reflect.Value) []reflect.Value { return results }
}
