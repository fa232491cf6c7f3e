package prototype

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"maps"
	"regexp"
	"strings"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
)

// target is where an import writes. Every entry that it makes has a request id that names what it
// was made of, so the journals tell what is there already.
type target struct {
	store  *store.Store
	now    func() time.Time
	random io.Reader
	// made are the subjects of the entries of earlier runs and of this one, by request id.
	made map[string]string
}

// requestPrefix begins the request ids of imports.
const requestPrefix = "import:"

// safeID is an id of the prototype that can stand in a request id.
var safeID = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,96}$`)

// requestID names what an entry is made of.
func requestID(kind Kind, id string) string {
	if !safeID.MatchString(id) {
		hash := sha256.Sum256([]byte(id))
		id = "sha256-" + hex.EncodeToString(hash[:])
	}
	return requestPrefix + string(kind) + ":" + id
}

// readMade reads what earlier runs have made.
func (t *target) readMade(ctx context.Context) error {
	t.made = make(map[string]string)
	for of := (escrow.InstitutionID{}); ; {
		next, found, err := t.store.NextTenant(ctx, of)
		if err != nil || !found {
			return err
		}
		of = next

		page := escrow.PageRequest{Limit: escrow.MaxPageSize}
		for more := true; more; {
			entries, err := t.store.Entries(ctx, of, escrow.EntryFilter{}, page)
			if err != nil {
				return err
			}
			for _, entry := range entries.Items {
				if strings.HasPrefix(entry.RequestID, requestPrefix) {
					t.made[entry.RequestID] = entry.Subject
				}
				page.After = new(escrow.SequenceCursor(entry.Sequence))
			}
			more = entries.More
		}
	}
}

// work executes commands in a transaction. It may be run again, on books as they were before.
type work func(execute executor) error

// executor carries out a command of the operator for a thing of the prototype. A refusal is an
// *escrow.Error, and the books are as they were.
type executor func(kind Kind, id string, command escrow.Command) (escrow.Resource, error)

// commit runs work on the books of an institution, and commits what it has made.
func (t *target) commit(ctx context.Context, of escrow.InstitutionID, needs escrow.Needs, do work) error {
	err := t.attempt(ctx, of, needs, do)
	if errors.Is(err, store.ErrStale) {
		// Somebody else has written; the next attempt holds the lock.
		err = t.attempt(ctx, of, needs, do)
	}
	return err
}

func (t *target) attempt(ctx context.Context, of escrow.InstitutionID, needs escrow.Needs, do work) error {
	tx, err := t.store.Begin(ctx, map[escrow.InstitutionID]escrow.Needs{of: needs})
	if err != nil {
		return err
	}
	defer tx.Rollback(ctx)

	made := make(map[string]string)
	err = do(func(kind Kind, id string, command escrow.Command) (escrow.Resource, error) {
		stamp, err := t.stamp()
		if err != nil {
			return nil, err
		}
		outcome, err := tx.Books(of).Execute(escrow.Request{
			Institution: of,
			Actor:       escrow.ActorRoot(),
			RequestID:   requestID(kind, id),
			Command:     command,
		}, stamp)
		if err != nil {
			return nil, err
		}
		if outcome.Refusal != nil {
			return nil, outcome.Refusal
		}
		made[requestID(kind, id)] = outcome.Subject
		return outcome.Resource, nil
	})
	if err != nil {
		return err
	}

	if err := tx.Commit(ctx); err != nil {
		return err
	}
	maps.Copy(t.made, made)
	return nil
}

func (t *target) stamp() (stamp escrow.Stamp, err error) {
	var bits [16]byte
	if _, err := io.ReadFull(t.random, bits[:]); err != nil {
		return stamp, err
	}
	stamp.Now = t.now()
	for i, b := range bits {
		stamp.Random[i/8] = stamp.Random[i/8]<<8 | uint64(b)
	}
	_, err = io.ReadFull(t.random, stamp.Secret[:])
	return stamp, err
}

// wanted is a thing that one command makes.
type wanted struct {
	kind    Kind
	id      string
	command escrow.Command
	// notes are what is told of it when it is made.
	notes []Line
	// subject is what it is here, once it is made; earlier says that an earlier run has made it.
	subject string
	earlier bool
	// err is why it cannot be made.
	err error
}

// newWanted wants what a command makes, unless its input has faults.
func newWanted[C escrow.Command](kind Kind, id string, command C, faults escrow.Faults, notes []Line) *wanted {
	return &wanted{kind: kind, id: id, command: command, notes: notes, err: faults.Err()}
}

// makeAll makes things in one transaction, but for those of earlier runs. What is refused has the
// refusal in err.
func (t *target) makeAll(ctx context.Context, of escrow.InstitutionID, things []*wanted) error {
	var missing []*wanted
	var requests []escrow.Request
	for _, thing := range things {
		if thing.subject, thing.earlier = t.made[requestID(thing.kind, thing.id)]; thing.err == nil && !thing.earlier {
			missing = append(missing, thing)
			requests = append(requests, escrow.Request{Institution: of, Command: thing.command})
		}
	}
	if len(missing) == 0 {
		return nil
	}

	err := t.commit(ctx, of, escrow.MergeNeeds(requests), func(execute executor) error {
		for _, thing := range missing {
			_, thing.err = execute(thing.kind, thing.id, thing.command)
			if thing.err != nil && refusalOf(thing.err) == nil {
				return thing.err
			}
		}
		return nil
	})
	for _, thing := range missing {
		thing.subject = t.made[requestID(thing.kind, thing.id)]
	}
	return err
}
