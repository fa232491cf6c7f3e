package store

import "os"

// partialByte is locked by the process that writes a file which is not complete. It is beyond
// anything that SQLite stores or locks by itself, so it need not be there, and the file is
// read and written as ever.
const partialByte int64 = 1<<62 + 1

// tryLock locks a byte of a file until the file is closed, or the process ends in whatever
// way. It reports whether it could: another process, or another descriptor of this one, may
// have the lock. It is the file that is locked and not its name, so nobody opens the gate by
// removing a name or by giving the file another.
func tryLock(file *os.File, offset int64) (locked bool, err error) {
	return lockByte(file.Fd(), offset)
}

// isAt reports whether a path still names an open file.
func isAt(path string, open os.FileInfo) bool {
	now, err := os.Stat(path)
	return err == nil && os.SameFile(open, now)
}
