package store

import (
	"context"
	"encoding/binary"
	"errors"

	"github.com/ncruces/go-sqlite3/util/vfsutil"
	"github.com/ncruces/go-sqlite3/vfs"
)

// What was erased must be in no file of SQLite's. Four places could keep it:
//
//   - the space of what was deleted: secure_delete overwrites it;
//   - the log beside the file, which keeps pages as they were: scrub has them written to the file,
//     and cuts the log off;
//   - the unused middle of a page: where pages are split, SQLite leaves copies of rows there that
//     it has moved, and neither overwrites nor reads them again. cleanFile does not write them;
//   - the writing connection's memory of pages, with such copies: scrub drops it, so that they are
//     not written to the log again.

// cleanFile is a database file into which the unused middle of no page is written.
type cleanFile struct {
	vfs.File

	page []byte
}

// mostCleanPages is how many pages a file can have for its pages to be told apart by their first
// byte. A page that is no node of a tree begins with the number of another page; below this
// number, that number's first byte is none that begins a node.
const mostCleanPages = 1 << 25

// The format of pages: https://www.sqlite.org/fileformat2.html, sections 1.3, 1.5 and 1.6.
const (
	fileHeaderSize = 100
	minPageSize    = 512
)

// WriteAt implements io.WriterAt. A whole page is cleaned; anything else is written as it is.
func (f *cleanFile) WriteAt(content []byte, offset int64) (int, error) {
	size := int64(len(content))
	if size < minPageSize || size&(size-1) != 0 || offset%size != 0 || offset/size >= mostCleanPages {
		return f.File.WriteAt(content, offset)
	}

	f.page = append(f.page[:0], content...)
	cleanPage(f.page, offset == 0)
	return f.File.WriteAt(f.page, offset)
}

// cleanPage overwrites what is between the places of a node's cells and the cells themselves. A
// page that is no node stays as it is.
func cleanPage(page []byte, isFirst bool) {
	header := 0
	if isFirst {
		header = fileHeaderSize
	}

	cells := header
	switch page[header] {
	case 0x02, 0x05: // An interior node has the number of its last child as well.
		cells += 12
	case 0x0a, 0x0d:
		cells += 8
	default:
		return
	}
	begin := cells + 2*int(binary.BigEndian.Uint16(page[header+3:]))
	end := int(binary.BigEndian.Uint16(page[header+5:]))
	if end == 0 {
		end = 1 << 16
	}
	if begin < end && end <= len(page) {
		clear(page[begin:end])
	}
}

// Unwrap implements vfs.FileUnwrap.
func (f *cleanFile) Unwrap() vfs.File { return f.File }

// SharedMemory implements vfs.FileSharedMemory.
func (f *cleanFile) SharedMemory() vfs.SharedMemory { return vfsutil.WrapSharedMemory(f.File) }

// LockState implements vfs.FileLockState.
func (f *cleanFile) LockState() vfs.LockLevel { return vfsutil.WrapLockState(f.File) }

// PersistWAL implements vfs.FilePersistWAL.
func (f *cleanFile) PersistWAL() bool { return vfsutil.WrapPersistWAL(f.File) }

// SetPersistWAL implements vfs.FilePersistWAL.
func (f *cleanFile) SetPersistWAL(keep bool) { vfsutil.WrapSetPersistWAL(f.File, keep) }

// PowersafeOverwrite implements vfs.FilePowersafeOverwrite.
func (f *cleanFile) PowersafeOverwrite() bool { return vfsutil.WrapPowersafeOverwrite(f.File) }

// SetPowersafeOverwrite implements vfs.FilePowersafeOverwrite.
func (f *cleanFile) SetPowersafeOverwrite(safe bool) { vfsutil.WrapSetPowersafeOverwrite(f.File, safe) }

// ChunkSize implements vfs.FileChunkSize.
func (f *cleanFile) ChunkSize(size int) { vfsutil.WrapChunkSize(f.File, size) }

// SizeHint implements vfs.FileSizeHint.
func (f *cleanFile) SizeHint(size int64) error { return vfsutil.WrapSizeHint(f.File, size) }

// HasMoved implements vfs.FileHasMoved.
func (f *cleanFile) HasMoved() (bool, error) { return vfsutil.WrapHasMoved(f.File) }

// scrubWait is how long, in milliseconds, a scrub waits for readers of older pages, while nobody
// can write.
const scrubWait = "200"

// rescrub tries a scrub again that readers have kept from its end.
func (s *sqlite) rescrub(ctx context.Context) error {
	if !s.unscrubbed.Load() {
		return nil
	}
	conn, err := takeConn(ctx, s.writer)
	if err != nil {
		return err
	}
	defer func() { s.writer <- conn }()
	return s.scrub(ctx, conn)
}

// scrub takes what was erased out of the log and the connection's memory. Readers of older pages can
// keep it from that: it is tried again with the next purge.
func (s *sqlite) scrub(ctx context.Context, conn *sqliteConn) error {
	if s.path == "" {
		return nil
	}
	s.unscrubbed.Store(true)

	if err := conn.run(ctx, "PRAGMA busy_timeout = "+scrubWait, nil, nil); err != nil {
		return err
	}
	var busy int64
	err := conn.run(ctx, "PRAGMA wal_checkpoint(TRUNCATE)", nil, func(r row) error {
		var pages, moved int64
		return r.Scan(&busy, &pages, &moved)
	})
	for _, pragma := range []string{"PRAGMA shrink_memory", "PRAGMA busy_timeout = " + busyTimeout} {
		err = errors.Join(err, conn.run(ctx, pragma, nil, nil))
	}
	if err == nil && busy == 0 {
		s.unscrubbed.Store(false)
	}
	return err
}
