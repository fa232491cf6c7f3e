package escrow

import (
	"cmp"
	"fmt"
)

// This file rebuilds the rows of books from the entries of a journal.

// Reapply applies the next entry that was read from a journal. Over all entries
// of a journal, from the first, it rebuilds the institution's rows. Books that were loaded with
// ReapplyNeeds go on where they stand. The operator's take the first entry of any journal, which
// opens it.
func (b *Books) Reapply(entry Entry) error {
	if _, opens := entry.event.(institutionCreated); opens && entry.Sequence == 1 && b.institutionID.IsZero() {
		return b.append(entry)
	}
	if entry.InstitutionID != b.institutionID || entry.Sequence != b.Head.Sequence+1 {
		return fmt.Errorf("entry %d of %s cannot follow entry %d of %s",
			entry.Sequence, entry.InstitutionID, b.Head.Sequence, b.institutionID)
	}
	return b.append(entry)
}

// rewriting is an event that changes rows which earlier entries made.
type rewriting interface{ rewrites() Needs }

// ReapplyNeeds names the rows that Reapply changes for some entries, unless they make them.
func ReapplyNeeds(entries []Entry) Needs {
	var merged Needs
	for _, entry := range entries {
		if event, ok := entry.event.(rewriting); ok {
			merged.add(event.rewrites())
		}

		if entry.Kind.movesMoney() {
			merged.Rules = true
			merged.Moves = append(merged.Moves, entry.Actor.String(), movesOfInstitution)
			if !entry.Actor.Key.IsZero() {
				merged.Keys = append(merged.Keys, entry.Actor.Key)
			}
		}
	}
	merged.distinct()
	return merged
}

// ReapplyLacks names what Reapply changes beside ReapplyNeeds, as the books tell that have these: the
// moves of keys that were rotated. It is nil where that is nothing.
func (b *Books) ReapplyLacks(entries []Entry) *Needs {
	origins := make(map[KeyID]KeyID)
	for _, entry := range entries {
		if rotated, ok := entry.event.(keyRotated); ok {
			origins[rotated.ID] = rotated.Origin
		}
	}

	var lacks Needs
	for _, entry := range entries {
		key, _ := b.Keys.Get(entry.Actor.Key)
		if origin := cmp.Or(key.Origin, origins[entry.Actor.Key]); entry.Kind.movesMoney() && !origin.IsZero() {
			lacks.Moves = append(lacks.Moves, origin.String())
		}
	}
	lacks.distinct()
	lacks.remove(ReapplyNeeds(entries))
	if lacks.isEmpty() {
		return nil
	}
	return &lacks
}
