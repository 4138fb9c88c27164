package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// ErrVersion says that a state was written by another version of ai-gpu.
var ErrVersion = errors.New("unknown version of the GPU state")

// Write puts the state into dir: as StateFile, and as BinaryFile for programs
// that read it through NVML.
func Write(dir string, s State) error {
	text, err := Encode(s)
	if err != nil {
		return err
	}
	records, err := EncodeBinary(s)
	if err != nil {
		return err
	}
	if err := WriteFile(dir, BinaryFile, records); err != nil {
		return err
	}
	return WriteFile(dir, StateFile, text)
}

// WriteFile puts a file into dir, which it makes when missing. Readers see the
// old content or the new one, never a mix (rename(2), POSIX).
func WriteFile(dir, name string, content []byte) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the folder of the GPU state: %w", err)
	}
	f, err := os.CreateTemp(dir, name+".*")
	if err != nil {
		return fmt.Errorf("write the GPU state: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(content)
	// Pods read it under any user.
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err != nil {
		return fmt.Errorf("write the GPU state: %w", err)
	}
	if err := os.Rename(f.Name(), filepath.Join(dir, name)); err != nil {
		return fmt.Errorf("write the GPU state: %w", err)
	}
	return nil
}

// Read returns the state in the first of the folders that holds one. It
// returns an error that is fs.ErrNotExist when none does, and ErrVersion.
func Read(dirs ...string) (State, error) {
	var errs []error
	for _, dir := range dirs {
		content, err := os.ReadFile(filepath.Join(dir, StateFile))
		if errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
			continue
		}
		if err != nil {
			return State{}, fmt.Errorf("read the GPU state: %w", err)
		}
		return Decode(content)
	}
	return State{}, fmt.Errorf("read the GPU state: %w", errors.Join(errs...))
}

// Encode makes the JSON of a state.
func Encode(s State) ([]byte, error) {
	s.Version = StateVersion
	content, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the GPU state: %w", err)
	}
	return append(content, '\n'), nil
}

// Decode reads the JSON of a state. It returns ErrVersion for another version.
func Decode(content []byte) (State, error) {
	var s State
	if err := json.Unmarshal(content, &s); err != nil {
		return State{}, fmt.Errorf("decode the GPU state: %w", err)
	}
	if s.Version != StateVersion {
		return State{}, fmt.Errorf("%w: %q, this program knows %q", ErrVersion, s.Version, StateVersion)
	}
	return s, nil
}

func itoa(i int) string { return strconv.Itoa(i) }
