package store

import (
	"errors"
	"fmt"
	"os"
	"sync"
)

// serverByte is locked by the process that has a database open. Like partialByte, it is beyond
// anything that SQLite stores or locks by itself.
const serverByte int64 = 1<<62 + 2

var (
	// ErrInUse means that another process has the database file open.
	ErrInUse = errors.New("the database is in use by another EscrowGrid process")
	// ErrMoved means that the database's file, or one of those beside it, is no longer where this
	// process opened it: removed, moved, or replaced by another. What would be written now, nobody
	// would find.
	ErrMoved = errors.New("the database is no longer where it was opened")
)

// place is where an SQLite database was opened. Its file is locked itself, and not its name: a
// second process is refused whatever has become of the names.
type place struct {
	// file is the database, locked until it is closed.
	file *os.File
	// names are the database's and of what SQLite keeps beside it.
	names []placed
	moved chan struct{} // closed when one of them was found to have moved
	once  sync.Once
}

// placed is a name with the file that it had when the database was opened.
type placed struct {
	path  string
	about os.FileInfo
}

// claimPlace makes the file where there is none, readable by its owner alone, and locks it.
func claimPlace(path string) (_ *place, err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // The operator says where.
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close())
		}
	}()

	locked, err := tryLock(file, serverByte)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if !locked {
		return nil, fmt.Errorf("%w: %s", ErrInUse, path)
	}
	p := &place{file: file, moved: make(chan struct{})}
	if err := p.note(path); err != nil {
		return nil, err
	}
	// It may have been replaced before it was locked.
	if about, err := file.Stat(); err != nil || !os.SameFile(about, p.names[0].about) {
		return nil, errors.Join(fmt.Errorf("%w: %s", ErrMoved, path), err)
	}
	return p, nil
}

// note remembers which file a name has.
func (p *place) note(path string) error {
	about, err := os.Stat(path)
	if err == nil {
		p.names = append(p.names, placed{path, about})
	}
	return err
}

// check returns ErrMoved, as of a database that is not available, once anything has moved. A nil
// place is that of a database in memory.
func (p *place) check() error {
	if p == nil {
		return nil
	}
	for _, name := range p.names {
		if !isAt(name.path, name.about) {
			p.once.Do(func() { close(p.moved) })
		}
	}
	select {
	case <-p.moved:
		return kinded{ErrUnavailable, fmt.Errorf("%w: %s", ErrMoved, p.names[0].path)}
	default:
		return nil
	}
}

// hasMoved tells of a database that has moved by closing the channel.
func (p *place) hasMoved() <-chan struct{} {
	if p == nil {
		return nil
	}
	return p.moved
}

func (p *place) release() error {
	if p == nil {
		return nil
	}
	return p.file.Close()
}
