package store

import (
	"errors"

	"golang.org/x/sys/windows"
)

// lockByte takes a lock that belongs to the handle.
func lockByte(handle uintptr, offset int64) (locked bool, err error) {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	place := windows.Overlapped{Offset: uint32(offset), OffsetHigh: uint32(offset >> 32)}
	err = windows.LockFileEx(windows.Handle(handle), flags, 0, 1, 0, &place)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return false, nil
	}
	return err == nil, err
}
