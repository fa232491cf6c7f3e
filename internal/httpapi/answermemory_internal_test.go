package httpapi

import (
	"context"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// One institution's answers, however slowly they are read, leave room for another's.
func TestMemoryOfAnswersIsShared(t *testing.T) {
	m := newAnswerMemory(4 * escrow.MaxPageBytes)
	one, other := escrow.InstitutionID{1}, escrow.InstitutionID{2}
	busy, cancel := context.WithCancel(t.Context())
	cancel()
	var releases []func()
	for range 2 {
		release, err := m.reserve(t.Context(), one, escrow.MaxPageBytes)
		if err != nil {
			t.Fatal(err)
		}
		releases = append(releases, release)
	}
	if _, err := m.reserve(busy, one, escrow.MaxPageBytes); err == nil {
		t.Error("an institution has more than its share")
	}
	for range 2 {
		release, err := m.reserve(t.Context(), other, escrow.MaxPageBytes)
		if err != nil {
			t.Fatal(err)
		}
		releases = append(releases, release)
	}
	if _, err := m.reserve(busy, escrow.InstitutionID{3}, escrow.MaxPageBytes); err == nil {
		t.Error("all together have more than there is")
	}
	for _, release := range releases {
		release()
	}
	if _, err := m.reserve(t.Context(), one, 100*escrow.MaxPageBytes); err != nil || len(m.tenants) != 1 {
		t.Errorf("after all was given back: %v, and %d institutions are known", err, len(m.tenants))
	}
}
