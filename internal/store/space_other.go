//go:build !linux && !darwin

package store

// FreeSpace is not known here.
func FreeSpace(string) (free int64, ok bool) { return 0, false }
