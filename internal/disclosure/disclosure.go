// Package disclosure keeps one entry on a position in a file, with what shows that it is in a
// signed journal, and with as many of its private values as somebody else is to know. Of other
// entries the file has nothing but hashes. docs/personal-data.md describes it for readers in any
// language.
package disclosure

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/jsonwriter"
	"github.com/escrowgrid/escrowgrid/internal/translog"
)

// What a disclosure says first: what it is, and in which version of its form.
const (
	Format  = "escrowgrid-disclosure"
	Version = 1
)

// MaxSize bounds a disclosure, in bytes. The largest that a server makes has some 200 kB: metadata
// as JSON in a text.
const MaxSize = 1 << 20

// ErrNone means that a file is not a disclosure, or one of a version that is not known.
var ErrNone = fmt.Errorf("is no disclosure of version %d", Version)

// Disclosure is one entry on a position, with what shows that it is in a signed journal.
type Disclosure struct {
	// Body is the entry's.
	Body []byte
	// Members shows private values of the entry; it may be empty.
	Members escrow.Openings
	// Proof is the audit path from the entry to the root hash of the checkpoint.
	Proof []translog.Hash
	// Note is a checkpoint that covers the entry, as it was signed.
	Note []byte
}

// Text returns the disclosure as its file has it: a line of JSON without white space. There is no
// other way to write it.
func (d Disclosure) Text() ([]byte, error) {
	// Nothing is written as an empty object, and not as null.
	members, err := d.Members.Without(nil).Text()
	if err != nil {
		return nil, err
	}

	o := jsonwriter.Begin(nil)
	o.Text("format", Format)
	o.Number("version", Version)
	o.Text("entry", string(d.Body))
	o.Raw("members", members)
	proof := []byte("[")
	for i, hash := range d.Proof {
		if i > 0 {
			proof = append(proof, ',')
		}
		proof = jsonwriter.AppendText(proof, hash.String())
	}
	o.Raw("proof", append(proof, ']'))
	o.Text("checkpoint", string(d.Note))
	return append(o.End(), '\n'), nil
}

// file is what Text writes, to be read.
type file struct {
	Format     string          `json:"format"`
	Version    int64           `json:"version"`
	Entry      string          `json:"entry"`
	Members    escrow.Openings `json:"members"`
	Proof      []translog.Hash `json:"proof"`
	Checkpoint string          `json:"checkpoint"`
}

// Parse reads a disclosure, whose text may have another end of line or none. What is in it is for
// Verify.
func Parse(text []byte) (Disclosure, error) {
	if len(text) > MaxSize {
		return Disclosure{}, fmt.Errorf("%w: it has more than %d bytes", ErrNone, MaxSize)
	}
	text = bytes.TrimRight(text, "\r\n")

	var f file
	if err := json.Unmarshal(text, &f); err != nil {
		return Disclosure{}, fmt.Errorf("%w: %w", ErrNone, err)
	}
	if f.Format != Format || f.Version != Version {
		return Disclosure{}, ErrNone
	}
	d := Disclosure{
		Body:    []byte(f.Entry),
		Members: f.Members,
		Proof:   f.Proof,
		Note:    []byte(f.Checkpoint),
	}

	// Two readers could take what is written in another way for different things.
	written, err := d.Text()
	if err != nil || !bytes.Equal(bytes.TrimSuffix(written, []byte("\n")), text) {
		return Disclosure{}, fmt.Errorf("%w: it is not written as a server writes it", ErrNone)
	}
	return d, nil
}

// Proven is what a disclosure shows.
type Proven struct {
	// Entry has the private values that are disclosed, and no others.
	Entry escrow.Entry
	// Checkpoint is the one that covers the entry.
	Checkpoint translog.Checkpoint
	// Keys are the trusted keys that have signed it.
	Keys []string
}

// Verify returns what the disclosure shows to those who trust some public keys. An error is why it
// shows nothing.
func (d Disclosure) Verify(trusted translog.Verifiers) (Proven, error) {
	entry, err := escrow.ParseOpened(d.Body, d.Members)
	if err == nil {
		err = entry.Check()
	}
	if err == nil {
		err = checkStep(entry)
	}
	if err != nil {
		return Proven{}, fmt.Errorf("its entry is none on a position that a server writes: %w", err)
	}
	if err := entry.CheckPrivate(); err != nil {
		return Proven{}, fmt.Errorf("a private value is another: %w", err)
	}

	checkpoint, keys, err := trusted.OpenSigned(d.Note)
	if err != nil {
		return Proven{}, err
	}
	of, err := checkpoint.Institution()
	if err == nil && of != entry.InstitutionID {
		err = fmt.Errorf("the checkpoint is of the journal of %s, and the entry of that of %s", of, entry.InstitutionID)
	}
	if err == nil && checkpoint.At.IsZero() {
		err = errors.New("the checkpoint does not say when it was signed")
	}
	if err != nil {
		return Proven{}, err
	}

	leaf := translog.LeafHash(entry.Body)
	err = translog.CheckInclusion(d.Proof, checkpoint.Size, checkpoint.Root, entry.Sequence, leaf)
	if err != nil {
		return Proven{}, fmt.Errorf("the entry is not among those that were signed: %w", err)
	}
	return Proven{Entry: entry, Checkpoint: checkpoint, Keys: keys}, nil
}

// checkStep returns an error where an entry is on no position, or tells of no step that any position
// can take. Whether this one could have taken it, its other entries say.
func checkStep(entry escrow.Entry) error {
	if !entry.Kind.OfPosition() {
		return fmt.Errorf("it is of the kind %s", entry.Kind)
	}
	if entry.Kind == escrow.KindPositionCreated {
		created, err := escrow.ResourceOf([]escrow.Entry{entry})
		if err != nil {
			return err
		}
		position, ok := created.(escrow.Position)
		if !ok {
			return errors.New("it creates no position")
		}
		return position.CheckMoney()
	}

	if isHold, err := entry.CheckHold(); isHold {
		return err
	}
	_, step, isStep := entry.PositionEvent()
	if !entry.Erases() && (!isStep || !slices.Contains(step.From.Next(), step.To)) {
		return errors.New("no position can take this step")
	}
	return nil
}
