//go:build linux || darwin

package store

import "syscall"

// FreeSpace is how many bytes of a directory's file system can be written without
// privileges.
func FreeSpace(directory string) (free int64, ok bool) {
	var system syscall.Statfs_t
	if err := syscall.Statfs(directory, &system); err != nil {
		return 0, false
	}
	return int64(system.Bavail) * int64(system.Bsize), true //nolint:unconvert // The types differ between systems; no disk has 2^63 bytes.
}
