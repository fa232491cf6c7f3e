//go:build !linux && !darwin && !windows

package store

import (
	"errors"
	"fmt"
)

// lockByte has no lock to take: those that these systems have are lost as soon as SQLite
// closes any of its own descriptors of the file.
func lockByte(uintptr, int64) (locked bool, err error) {
	return false, fmt.Errorf("SQLite files are for Linux, macOS and Windows: %w", errors.ErrUnsupported)
}
