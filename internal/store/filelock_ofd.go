//go:build linux || darwin

package store

import (
	"errors"
	"io"
	"syscall"
)

// lockByte takes a lock that belongs to the open file description. One that belongs to the
// process would be gone as soon as SQLite closed any of its own descriptors of the file.
func lockByte(descriptor uintptr, offset int64) (locked bool, err error) {
	lock := syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart, Start: offset, Len: 1}
	err = syscall.FcntlFlock(descriptor, setDescriptionLock, &lock)
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) {
		return false, nil
	}
	return err == nil, err
}
