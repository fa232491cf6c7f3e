package store

import (
	"errors"
	"sync"
	"syscall"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// gatheringVFS is the operating system's files, except that it writes pages clean, see
// cleanFile, and gathers what SQLite appends to its write-ahead log until that must be on the
// disk. SQLite makes two system calls for each page of a transaction, a hundred for a group;
// gathered, they are one. No commit is known to anybody before its Sync.
type gatheringVFS struct{ vfs.VFSFilename }

// gatheringVFSName is the name by which SQLite opens a gatheringVFS.
const gatheringVFSName = "gathering"

var registerGatheringVFS = sync.OnceValue(func() error {
	system, ok := vfs.Find("os").(vfs.VFSFilename)
	if !ok {
		return errors.New("sqlite: the operating system's files are not there")
	}
	vfs.Register(gatheringVFSName, gatheringVFS{system})
	return nil
})

// OpenFilename implements vfs.VFSFilename.
func (v gatheringVFS) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	file, opened, err := v.VFSFilename.OpenFilename(name, flags)
	switch {
	case err != nil:
	case flags&vfs.OPEN_WAL != 0:
		file = &gatheringFile{File: file}
	case flags&vfs.OPEN_MAIN_DB != 0:
		file = &cleanFile{File: file}
	}
	return file, opened, err
}

// maxGathered bounds what is gathered, in bytes; groups are some 100 KB.
const maxGathered = 1 << 20

// gatheringFile is one connection's handle of the log. Everything but a write that
// follows the one before it writes down what was gathered first.
type gatheringFile struct {
	vfs.File
	gathered []byte
	offset   int64
}

// Unwrap implements vfs.FileUnwrap.
func (f *gatheringFile) Unwrap() vfs.File { return f.File }

// WriteAt implements io.WriterAt. An error may be that of an earlier write.
func (f *gatheringFile) WriteAt(content []byte, offset int64) (int, error) {
	if offset != f.offset+int64(len(f.gathered)) || len(f.gathered)+len(content) > maxGathered {
		if err := f.flush(); err != nil {
			return 0, err
		}
		f.offset = offset
	}
	f.gathered = append(f.gathered, content...)
	return len(content), nil
}

// flush writes down what was gathered. What could not be written is given up:
// SQLite rolls the transaction back.
func (f *gatheringFile) flush() error {
	gathered, offset := f.gathered, f.offset
	f.gathered, f.offset = f.gathered[:0], f.offset+int64(len(f.gathered))
	if len(gathered) == 0 {
		return nil
	}
	_, err := f.File.WriteAt(gathered, offset)
	// It is a write that failed, whatever SQLite asked for. That the disk is full is told apart.
	if errors.Is(err, syscall.ENOSPC) {
		return vfs.SystemError(err, sqlite3.FULL)
	}
	return vfs.SystemError(err, sqlite3.IOERR_WRITE)
}

// ReadAt implements io.ReaderAt.
func (f *gatheringFile) ReadAt(content []byte, offset int64) (int, error) {
	if err := f.flush(); err != nil {
		return 0, err
	}
	return f.File.ReadAt(content, offset)
}

// Sync implements vfs.File.
func (f *gatheringFile) Sync(flags vfs.SyncFlag) error {
	if err := f.flush(); err != nil {
		return err
	}
	return f.File.Sync(flags)
}

// Truncate implements vfs.File.
func (f *gatheringFile) Truncate(size int64) error {
	if err := f.flush(); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

// Size implements vfs.File.
func (f *gatheringFile) Size() (int64, error) {
	if err := f.flush(); err != nil {
		return 0, err
	}
	return f.File.Size()
}

// Close implements io.Closer.
func (f *gatheringFile) Close() error {
	return errors.Join(f.flush(), f.File.Close())
}
