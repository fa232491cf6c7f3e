package store

import (
	"bytes"
	"maps"
	"slices"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// bookSet is the books of a batch, by institution.
type bookSet map[escrow.InstitutionID]*escrow.Books

// batchNeeds is what a batch needs of the books of its institutions.
type batchNeeds = map[escrow.InstitutionID]escrow.Needs

// sorted returns the institutions in the order in which their journals are locked.
func sorted(needs batchNeeds) []escrow.InstitutionID {
	return slices.SortedFunc(maps.Keys(needs), escrow.InstitutionID.Compare)
}

func (s bookSet) list() []*escrow.Books {
	return slices.SortedFunc(maps.Values(s), func(a, b *escrow.Books) int {
		idA, idB := a.InstitutionID(), b.InstitutionID()
		return bytes.Compare(idA[:], idB[:])
	})
}

// The functions below put a loaded row into its institution's books.

// loadHead leaves the books as they are where they were made at this end.
func (s bookSet) loadHead(r row) error {
	var h head
	if err := scanHead(r, &h); err != nil {
		return err
	}
	if known := s[h.institution]; !known.Exists() || !sameHead(known.Head, h.Head) {
		s[h.institution] = escrow.NewBooks(h.institution, h.Head, true)
	}
	return nil
}

func (s bookSet) loadInstitution(r row) error {
	var i escrow.Institution
	if err := scanInstitution(r, &i); err != nil {
		return err
	}
	s[i.ID].Institutions.Load(i.ID, i)
	return nil
}

func (s bookSet) loadKey(r row) error {
	var k escrow.APIKey
	if err := scanKey(r, &k); err != nil {
		return err
	}
	s[k.InstitutionID].Keys.Load(k.ID, k)
	return nil
}

func (s bookSet) loadPolicy(r row) error {
	var p escrow.Policy
	if err := scanPolicy(r, &p); err != nil {
		return err
	}
	s[p.InstitutionID].Policies.Load(p.Region, p)
	return nil
}

func (s bookSet) loadTemplate(r row) error {
	var t escrow.AssetTemplate
	if err := scanTemplate(r, &t); err != nil {
		return err
	}
	s[t.InstitutionID].Templates.Load(t.ID, t)
	return nil
}

func (s bookSet) loadAsset(r row) error {
	var a escrow.Asset
	if err := scanAsset(r, &a); err != nil {
		return err
	}
	s[a.InstitutionID].Assets.Load(a.ID, a)
	return nil
}

func (s bookSet) loadPosition(r row) error {
	var p escrow.Position
	if err := scanPosition(r, &p); err != nil {
		return err
	}
	s[p.InstitutionID].Positions.Load(p.ID, p)
	return nil
}

// loadEvent adds an entry to the events of its position, which was loaded before.
func (s bookSet) loadEvent(r row) error {
	var e escrow.Entry
	if err := scanEntry(r, &e); err != nil {
		return err
	}
	books := s[e.InstitutionID]
	if id, event, ok := e.PositionEvent(); ok {
		if p, ok := books.Positions.Get(id); ok {
			p.Events = append(p.Events, event)
			books.Positions.Load(id, p)
		}
	}
	return nil
}

func (s bookSet) loadRecord(r row) error {
	var record ownedRecord
	if err := scanRecord(r, &record); err != nil {
		return err
	}
	s[record.institution].Records.Load(record.Key, record.Record)
	return nil
}
