package bundle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/apiclient"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
)

// Progress is told how many entries are written, of how many. It may be nil.
type Progress func(done, total int64)

func (p Progress) tell(done, total int64) {
	if p != nil {
		p(done, max(done, total))
	}
}

// FromStore writes the bundle of an institution's journal in a database. A server may
// write to it meanwhile: the bundle ends where the journal ended at the beginning. The values of the
// private members that are redacted are left out.
func FromStore(
	ctx context.Context, s *store.Store, of escrow.InstitutionID, path string, now time.Time,
	redacted []string, progress Progress,
) (err error) {
	head, found, err := s.Head(ctx, of)
	if err != nil {
		return err
	}
	if !found || of.IsZero() {
		return fmt.Errorf("there is no institution %s", of)
	}

	w, err := Create(ctx, path, of, now, redacted)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()

	for w.last < head.Sequence {
		if err := addStoredEntries(ctx, w, s, of, head.Sequence); err != nil {
			return err
		}
		progress.tell(w.last, head.Sequence)
	}
	if err := addStoredCheckpoints(ctx, w, s, of); err != nil {
		return err
	}

	keys, err := s.CheckpointKeys(ctx)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if err := w.AddKey(ctx, key.VerifierKey); err != nil {
			return err
		}
	}
	return w.Finish()
}

// addStoredEntries adds the next page of a journal's entries, at most up to a sequence.
func addStoredEntries(
	ctx context.Context, w *Writer, s *store.Store, of escrow.InstitutionID, upTo int64,
) error {
	entries, err := s.StoredPage(ctx, of, w.last, upTo)
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		return fmt.Errorf("entry %d is missing in the journal", w.last+1)
	}

	for _, entry := range entries {
		if err := w.AddEntry(ctx, entry); err != nil {
			return err
		}
	}
	return nil
}

func addStoredCheckpoints(ctx context.Context, w *Writer, s *store.Store, of escrow.InstitutionID) error {
	page := escrow.PageRequest{Limit: escrow.MaxPageSize}
	for {
		checkpoints, err := s.Checkpoints(ctx, of, page)
		if err != nil {
			return err
		}

		for _, c := range checkpoints.Items {
			if err := w.AddCheckpoint(ctx, c.Size, c.At, c.Note); err != nil {
				return err
			}
			page.After = new(escrow.SequenceCursor(c.Size))
		}
		if !checkpoints.More {
			return nil
		}
	}
}

// Server is a server, with the key that its API is asked with.
type Server struct {
	apiclient.Client
	Key string
}

// journalPath is where a server shows an institution's journal, and what belongs to it.
func journalPath(of escrow.InstitutionID, rest string) string {
	return "/institutions/" + of.String() + "/journal" + rest
}

// listedEntry is an entry as a server lists it.
type listedEntry struct {
	Sequence int64       `json:"sequence"`
	Kind     escrow.Kind `json:"kind"`
	At       time.Time   `json:"at"`
	Body     string      `json:"body"`
	// Private has the openings of private members, where they were asked for.
	Private escrow.Openings `json:"private"`
}

// stored is the entry as a database stores it: some parts are in its body alone.
func (e listedEntry) stored() (store.StoredEntry, error) {
	var parts struct {
		Actor   string `json:"actor"`
		Subject string `json:"subject"`
	}
	if err := json.Unmarshal([]byte(e.Body), &parts); err != nil {
		return store.StoredEntry{}, fmt.Errorf("entry %d: %w", e.Sequence, err)
	}

	return store.StoredEntry{
		Sequence: e.Sequence,
		At:       e.At,
		Actor:    parts.Actor,
		Kind:     e.Kind,
		Subject:  parts.Subject,
		Body:     []byte(e.Body),
		Openings: e.openings(),
	}, nil
}

// openings are those of the entry; none, where it has none.
func (e listedEntry) openings() escrow.Openings {
	if e.Private == nil {
		return escrow.Openings{}
	}
	return e.Private
}

// listedCheckpoint is a checkpoint as a server lists it.
type listedCheckpoint struct {
	Size int64     `json:"size"`
	At   time.Time `json:"at"`
	Note string    `json:"note"`
}

// LastSequence returns the sequence of the last entry of an institution's journal.
func (s Server) LastSequence(ctx context.Context, of escrow.InstitutionID) (int64, error) {
	var page struct{ Data []listedEntry }
	err := s.Call(ctx, s.Key, http.MethodGet, journalPath(of, "?order=desc&limit=1"), nil, &page)
	if err != nil {
		return 0, err
	}
	if len(page.Data) == 0 {
		return 0, fmt.Errorf("the journal of %s is empty", of)
	}
	if last := page.Data[0].Sequence; last < 1 || last > maxEntries {
		return 0, fmt.Errorf("the server says that the last entry of %s is %d, as of no journal", of, last)
	}
	return page.Data[0].Sequence, nil
}

// The bounds of lists whose length a server does not tell before. They are far above what
// any has.
const (
	maxKeys         = 10_000
	maxInstitutions = 1_000_000
	maxEntries      = 1_000_000_000_000
)

// CheckpointKeys returns the public keys that the server says sign checkpoints.
func (s Server) CheckpointKeys(ctx context.Context) (keys []string, err error) {
	type key struct {
		VerifierKey string `json:"verifierKey"`
	}
	err = apiclient.List(ctx, s.Client, s.Key, "/keys", url.Values{}, maxKeys, func(k key) error {
		keys = append(keys, k.VerifierKey)
		return nil
	})
	return keys, err
}

// Institutions returns the institutions that the key may read.
func (s Server) Institutions(ctx context.Context) (ids []escrow.InstitutionID, err error) {
	type institution struct {
		ID escrow.InstitutionID `json:"id"`
	}
	query := url.Values{}
	err = apiclient.List(ctx, s.Client, s.Key, "/institutions", query, maxInstitutions, func(i institution) error {
		if len(ids) > 0 && i.ID.Compare(ids[len(ids)-1]) <= 0 {
			return fmt.Errorf("the server lists institution %s in the wrong place, or twice", i.ID)
		}
		ids = append(ids, i.ID)
		return nil
	})
	return ids, err
}

// FromServer writes the bundle of an institution's journal as a server shows it to the
// root key, or to an admin's. It ends where the journal ended at the beginning. The values of the
// private members that are redacted are left out; where all are, the server is not asked for any.
func FromServer(
	ctx context.Context, s Server, of escrow.InstitutionID, path string, now time.Time,
	redacted []string, progress Progress,
) (err error) {
	last, err := s.LastSequence(ctx, of)
	if err != nil {
		return err
	}

	w, err := Create(ctx, path, of, now, redacted)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()

	if err := s.writeEntries(ctx, w, of, last, progress); err != nil {
		return err
	}
	if err := s.writeCheckpoints(ctx, w, of); err != nil {
		return err
	}

	keys, err := s.CheckpointKeys(ctx)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if err := w.AddKey(ctx, key); err != nil {
			return err
		}
	}
	return w.Finish()
}

// errEnough ends a list that goes on with what came meanwhile.
var errEnough = errors.New("the rest is not needed")

// writeEntries writes a journal's entries up to a sequence.
func (s Server) writeEntries(
	ctx context.Context, w *Writer, of escrow.InstitutionID, last int64, progress Progress,
) error {
	path, query := journalPath(of, ""), url.Values{}
	if len(w.redacted) < len(escrow.PrivateMembers()) {
		query.Set("include", "private")
	}
	err := apiclient.List(ctx, s.Client, s.Key, path, query, math.MaxInt64, func(e listedEntry) error {
		stored, err := e.stored()
		if err != nil {
			return err
		}

		progress.tell(e.Sequence, last)
		if err := w.AddEntry(ctx, stored); err != nil {
			return err
		}
		if w.last == last {
			return errEnough
		}
		return nil
	})
	if err == nil {
		return fmt.Errorf("entry %d is missing in the journal, which the server says has %d", w.last+1, last)
	}
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// writeCheckpoints writes the checkpoints of the entries that were written.
func (s Server) writeCheckpoints(ctx context.Context, w *Writer, of escrow.InstitutionID) error {
	var size int64
	path := journalPath(of, "/checkpoints")
	err := apiclient.List(ctx, s.Client, s.Key, path, url.Values{}, math.MaxInt64, func(c listedCheckpoint) error {
		switch {
		case c.Size <= size:
			return fmt.Errorf("the server lists the checkpoint of %d entries in the wrong place, or twice", c.Size)
		case c.Size > w.last:
			return errEnough
		}

		size = c.Size
		return w.AddCheckpoint(ctx, c.Size, c.At, []byte(c.Note))
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}
