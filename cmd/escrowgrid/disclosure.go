package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/escrowgrid/escrowgrid/internal/disclosure"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/translog"
	"github.com/escrowgrid/escrowgrid/internal/visible"
)

// verifyDisclosure verifies one entry in a file of its own, and says what it shows.
func (c *verifyCommand) verifyDisclosure(out io.Writer) error {
	trusted, err := translog.NewVerifiers(c.PublicKeys...)
	if err != nil {
		return err
	}

	proven, err := readDisclosure(c.Disclosure, trusted)
	if err != nil {
		fmt.Fprintf(out, "FAILED: %s\nThe keys that you gave: %s\n",
			visible.Line(err.Error()), visible.Line(strings.Join(c.PublicKeys, ", ")))
		return err
	}
	lines, err := describeProven(proven)
	if err != nil {
		return err
	}

	fmt.Fprintln(out, "PASSED: the entry is in the journal that was signed.")
	for _, line := range lines {
		fmt.Fprintln(out, visible.Line(line))
	}
	return nil
}

// readDisclosure reads and verifies a file.
func readDisclosure(path string, trusted translog.Verifiers) (disclosure.Proven, error) {
	// A pipe would have this wait for ever.
	about, err := os.Stat(path)
	if err != nil {
		return disclosure.Proven{}, err
	}
	if !about.Mode().IsRegular() {
		return disclosure.Proven{}, fmt.Errorf("%s is not a file as such", path)
	}

	text, err := readBounded(path, disclosure.MaxSize)
	if err != nil {
		return disclosure.Proven{}, err
	}
	disclosed, err := disclosure.Parse(text)
	if err != nil {
		return disclosure.Proven{}, fmt.Errorf("%s %w", path, err)
	}
	return disclosed.Verify(trusted)
}

// disclosedEvent has what an entry on a position says in clear, as it stands there.
type disclosedEvent struct {
	AssetID            string
	Currency, Amount   string
	Retained           string
	ExpiresAt          string
	FromState, ToState string
	Entries            int64
	Kind, HoldID       string
}

// describeProven says in words what a disclosure shows. verify_bundle.py says the same.
func describeProven(p disclosure.Proven) ([]string, error) {
	entry, size := p.Entry, p.Checkpoint.Size
	details, err := entry.Details()
	if err != nil {
		return nil, err
	}
	var event disclosedEvent
	if err := json.Unmarshal(details, &event); err != nil {
		return nil, err
	}

	lines := []string{
		fmt.Sprintf("Entry %d of the journal of %s is %s, a %s, made at %s by %s.",
			entry.Sequence, entry.InstitutionID, entry.ID, entry.Kind, escrow.FormatTime(entry.At), entry.Actor),
		fmt.Sprintf("Position %s %s.", entry.Subject, event.happened(entry.Kind)),
	}
	openings := entry.Openings()
	for _, member := range slices.Sorted(maps.Keys(openings)) {
		lines = append(lines, fmt.Sprintf("Its %s is disclosed: %s", member, openings[member].Value))
	}
	if hidden := entry.Unknown(); len(hidden) > 0 {
		lines = append(lines, "It has, and does not disclose: "+strings.Join(hidden, ", "))
	}

	lines = append(lines, fmt.Sprintf("The checkpoint of %s, over %d entries, was signed at %s.",
		p.Checkpoint.Origin, size, escrow.FormatTime(p.Checkpoint.At)))
	for _, key := range p.Keys {
		fingerprint, err := translog.Fingerprint(key)
		if err != nil {
			return nil, err
		}
		lines = append(lines,
			fmt.Sprintf("It was signed with the key that you gave, %s, of the fingerprint %s.", key, fingerprint))
	}
	return lines, nil
}

// happened says what became of the position.
func (e disclosedEvent) happened(kind escrow.Kind) string {
	if kind == escrow.KindPositionCreated {
		said := fmt.Sprintf("was created on %s with %s %s", e.AssetID, e.Amount, e.Currency)
		if e.Retained != "" {
			said += fmt.Sprintf(", of which %s are retained", e.Retained)
		}
		if e.ExpiresAt != "" {
			said += ", until " + e.ExpiresAt
		}
		return said
	}
	if kind == escrow.KindPositionDataErased {
		return fmt.Sprintf("had what is private of it erased, after %d entries", e.Entries)
	}

	if kind == escrow.KindHoldPlaced || kind == escrow.KindHoldLifted {
		on := "all that it holds"
		if e.Amount != "" {
			on = e.Amount + " " + e.Currency
		}
		became := "placed"
		if kind == escrow.KindHoldLifted {
			became = "lifted"
		}
		return fmt.Sprintf("had the %s hold %s on %s %s", e.Kind, e.HoldID, on, became)
	}

	moved := "no money moved"
	if e.Amount != "" {
		moved = fmt.Sprintf("%s %s moved", e.Amount, e.Currency)
	}
	return fmt.Sprintf("went from %s to %s, and %s", e.FromState, e.ToState, moved)
}

// checkDisclosure returns a usageError where a flag has no meaning for a disclosure. It takes keys
// that are trusted: it brings none, as those who made it up would have.
func (c *verifyCommand) checkDisclosure() error {
	switch {
	case c.Disclosure == "":
		return nil
	case c.Bundle != "" || c.URL != "" || len(c.Checkpoints) > 0 || c.Signed != "" || c.Unsigned > 0:
		return &usageError{"--disclosure takes --public-key, and no other flag"}
	case len(c.PublicKeys) == 0:
		return &usageError{"--disclosure takes the log's public key with --public-key, from a source that you trust"}
	}
	return nil
}
