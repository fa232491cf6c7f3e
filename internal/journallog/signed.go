package journallog

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/translog"
)

// SignedCheckpoint is the greatest tree of a journal that a checkpoint is known to have
// been signed of.
type SignedCheckpoint struct {
	Institution escrow.InstitutionID
	Size        int64
	Root        translog.Hash
	// At is the checkpoint's time, which is that of the last entry or later.
	At time.Time
}

// Signed remembers what was signed of each journal, outside the database: one that goes
// back forgets its checkpoints, and another root of the same size must never be signed. It
// is safe for concurrent use.
//
// In a file each checkpoint is a line of four words: the institution, the size in entries,
// the root in base64, and the time. Later lines of an institution replace earlier ones.
type Signed struct {
	mu    sync.Mutex
	known map[escrow.InstitutionID]SignedCheckpoint
	path  string // empty where it is remembered in memory alone
}

func newSigned(path string) *Signed {
	return &Signed{known: make(map[escrow.InstitutionID]SignedCheckpoint), path: path}
}

// OpenSigned reads what a file remembers, which it makes if it is missing. Without a path,
// what is signed is remembered until the process ends. Servers may share a file.
func OpenSigned(path string) (*Signed, error) {
	s := newSigned(path)
	if path == "" {
		return s, nil
	}

	lines, cut, err := s.read(path)
	if err != nil {
		return nil, err
	}
	if cut >= 0 {
		if err := os.Truncate(path, cut); err != nil {
			return nil, err
		}
	}
	if lines > 2*len(s.known)+maxReplacedLines {
		err = s.rewrite(path)
	} else {
		err = s.append("") // A path that cannot be written to shows at once.
	}
	return s, err
}

// append adds a line to the file, and waits until it is on the disk. The file may have been
// replaced by a shorter one since the last line.
func (s *Signed) append(line string) error {
	file, err := os.OpenFile(s.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(line)
	return errors.Join(err, file.Sync(), file.Close())
}

// maxReplacedLines is how many replaced lines a file may have before it is written anew.
const maxReplacedLines = 1000

// ReadSigned reads what a server's file remembers; nothing where there is none.
func ReadSigned(path string) (*Signed, error) {
	s := newSigned("")
	_, _, err := s.read(path)
	return s, err
}

// read reads a file and counts its lines. A line that was cut off while it was written is
// of a checkpoint that was not signed; cut is where it begins, or negative.
func (s *Signed) read(path string) (lines int, cut int64, err error) {
	text, err := os.ReadFile(path) //nolint:gosec // The operator says where.
	if errors.Is(err, os.ErrNotExist) {
		return 0, -1, nil
	}
	if err != nil {
		return 0, -1, err
	}

	cut = -1
	whole := text[:bytes.LastIndexByte(text, '\n')+1]
	if len(whole) < len(text) {
		cut = int64(len(whole))
	}
	for line := range strings.Lines(string(whole)) {
		lines++
		checkpoint, err := parseSigned(line)
		if err != nil {
			return lines, cut, fmt.Errorf("%s, line %d: %w", path, lines, err)
		}
		s.known[checkpoint.Institution] = checkpoint
	}
	return lines, cut, nil
}

func parseSigned(line string) (c SignedCheckpoint, err error) {
	words := strings.Fields(line)
	if len(words) != 4 {
		return c, errors.New("it takes an institution, a size, a root and a time")
	}

	root, rootErr := base64.StdEncoding.DecodeString(words[2])
	if rootErr == nil && copy(c.Root[:], root) != len(root) || len(root) != len(c.Root) {
		rootErr = errors.New("the root is not one of 32 bytes")
	}
	var sizeErr, timeErr error
	c.Size, sizeErr = strconv.ParseInt(words[1], 10, 64)
	c.At, timeErr = time.Parse(time.RFC3339Nano, words[3])
	return c, errors.Join(c.Institution.UnmarshalText([]byte(words[0])), sizeErr, rootErr, timeErr)
}

func (c SignedCheckpoint) line() string {
	return fmt.Sprintf("%s %d %s %s\n", c.Institution, c.Size,
		base64.StdEncoding.EncodeToString(c.Root[:]), escrow.FormatTime(c.At))
}

// rewrite writes a file with a line for each journal in the place of a longer one.
func (s *Signed) rewrite(path string) error {
	var lines strings.Builder
	for _, checkpoint := range s.All() {
		lines.WriteString(checkpoint.line())
	}

	next, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = next.WriteString(lines.String())
	err = errors.Join(err, next.Sync(), next.Close())
	if err == nil {
		err = os.Rename(next.Name(), path)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(next.Name()))
	}
	return err
}

// All returns what is remembered of every journal, in order of institution.
func (s *Signed) All() []SignedCheckpoint {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.known), func(a, b SignedCheckpoint) int {
		return a.Institution.Compare(b.Institution)
	})
}

// Last returns what is remembered of a journal: the zero value where nothing is.
func (s *Signed) Last(institution escrow.InstitutionID) SignedCheckpoint {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[institution]
}

// Note remembers a checkpoint before it is signed, or one that another server has signed.
// It is on the disk when Note returns. A smaller one than is remembered, or another root of
// its size, is refused.
func (s *Signed) Note(c SignedCheckpoint) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.known[c.Institution]
	switch {
	case c.Size == last.Size && c.Root == last.Root:
		return nil
	case c.Size <= last.Size:
		return fmt.Errorf("a checkpoint of %d entries with another root than now was signed before", last.Size)
	}

	if s.path != "" {
		if err := s.append(c.line()); err != nil {
			return err
		}
	}
	s.known[c.Institution] = c
	return nil
}
