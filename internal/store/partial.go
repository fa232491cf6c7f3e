package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Partial is a file that grows beside the path that it gets when it is complete. So a file at
// that path is always whole, even after a power failure.
type Partial struct {
	final string
	file  *os.File
}

// NewPartial makes the file for a path where there must be none yet. It is empty, its owner
// alone can read it, and no other process takes it for its own. A file that a process left
// which was killed is replaced; while another process writes it, and where it is none that
// such a process leaves, NewPartial fails. The file must be closed.
func NewPartial(final string) (_ *Partial, err error) {
	if err := checkVacant(final); err != nil {
		return nil, err
	}

	p := &Partial{final: final}
	if about, err := os.Lstat(p.Path()); err == nil && !about.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is in the way, and is no file", p.Path())
	}
	if p.file, err = os.OpenFile(p.Path(), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, err
	}
	if err := p.claim(); err != nil {
		return nil, errors.Join(err, p.file.Close())
	}
	return p, nil
}

// claim locks the file, and empties it where it is what a killed process left.
func (p *Partial) claim() error {
	locked, err := tryLock(p.file, partialByte)
	if err != nil {
		return err
	}
	about, err := p.file.Stat()
	if err != nil {
		return err
	}
	// Whoever had the lock until a moment ago may have completed the file, or removed it.
	if !locked || !isAt(p.Path(), about) {
		return fmt.Errorf("another process is writing %s", p.Path())
	}

	if err := p.checkLeftover(); err != nil {
		return err
	}
	// SQLite would roll a journal back into the new file.
	if err := p.removeCompanions(); err != nil {
		return err
	}
	return errors.Join(p.file.Truncate(0), p.file.Chmod(0o600))
}

// checkLeftover refuses a file that is none of SQLite's: somebody else may need it. What
// SQLite did not get to write reads as zeros.
func (p *Partial) checkLeftover() error {
	const magic = "SQLite format 3\x00"
	begin := make([]byte, len(magic))
	n, err := p.file.ReadAt(begin, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if begin = begin[:n]; len(bytes.Trim(begin, "\x00")) > 0 && string(begin) != magic {
		return fmt.Errorf("%s is in the way, and is not what a backup or an export leaves", p.Path())
	}
	return nil
}

// Path is where the file is until it is complete.
func (p *Partial) Path() string { return p.final + ".partial" }

// Finish puts the complete file on the disk and at its path. Nobody may have it open.
func (p *Partial) Finish() error {
	// Another process may have made them meanwhile.
	if err := checkVacant(p.final); err != nil {
		return err
	}
	if err := p.file.Sync(); err != nil {
		return err
	}
	if err := os.Rename(p.Path(), p.final); err != nil {
		return err
	}

	// A power failure could still lose the new name, which is in the directory.
	directory, err := os.Open(filepath.Dir(p.final))
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}

// Close removes the file, unless it is finished, and what SQLite made beside it.
func (p *Partial) Close() error {
	err := p.removeCompanions()
	if about, statErr := p.file.Stat(); statErr == nil && isAt(p.Path(), about) {
		err = errors.Join(err, os.Remove(p.Path()))
	}
	return errors.Join(err, p.file.Close())
}

// companions are what SQLite puts behind the name of a database, for the files beside it.
func companions() []string { return []string{"-journal", "-wal", "-shm"} }

// checkVacant returns an error where there is a file at a path, or one beside it that SQLite
// would take for the new database's own: it would play another's log or journal into it.
func checkVacant(path string) error {
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s exists already", path)
	}
	for _, suffix := range companions() {
		if _, err := os.Lstat(path + suffix); !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%s is there without its database: move it away, it may have what a server wrote last",
				path+suffix)
		}
	}
	return nil
}

func (p *Partial) removeCompanions() (err error) {
	for _, suffix := range companions() {
		if removed := os.Remove(p.Path() + suffix); !errors.Is(removed, os.ErrNotExist) {
			err = errors.Join(err, removed)
		}
	}
	return err
}
