package escrow

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// Whatever was put into any of the tables, and appended, books that are led back
// to a savepoint are those in which none of it was done, down to what tells a
// store which rows to write; and they go on as those do.
func TestUndoneBooksAreAsIfNothingHadBeenDone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		undone, never := newScribble(), newScribble()
		for _, put := range drawPuts(t, "loaded and put before") {
			undone.put(put)
			never.put(put)
		}
		saved := undone.books.save()
		for range rapid.IntRange(0, 3).Draw(t, "within") {
			inner := undone.books.save()
			for _, put := range drawPuts(t, "within, kept or undone") {
				undone.put(put)
			}
			if rapid.Bool().Draw(t, "kept") {
				undone.books.release()
			} else {
				undone.books.rollBack(inner)
			}
		}
		for _, put := range drawPuts(t, "undone") {
			undone.put(put)
		}
		undone.books.rollBack(saved)
		undone.moves = never.moves
		undone.compare(t, never, "after undo")
		for _, put := range drawPuts(t, "put after") {
			undone.put(put)
			never.put(put)
		}
		undone.compare(t, never, "some changes later")
	})
}

func TestKeptBooksAreAsIfTheyHadNotBeenSaved(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		kept, never := newScribble(), newScribble()
		kept.books.save()
		for _, put := range drawPuts(t, "put") {
			kept.put(put)
			never.put(put)
		}
		kept.books.release()
		kept.compare(t, never, "after keep")
	})
}

// What is undone within a savepoint leaves that one as it was: kept, all else that was done since is kept.
func TestSavepointsStandWithinOthers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		books, never := newScribble(), newScribble()
		books.books.save()
		for range rapid.IntRange(1, 4).Draw(t, "savepoints") {
			inner, moves := books.books.save(), books.moves
			kept := rapid.Bool().Draw(t, "kept")
			for _, put := range drawPuts(t, "within") {
				books.put(put)
				if kept {
					never.put(put)
				}
			}
			if kept {
				books.books.release()
				continue
			}
			books.books.rollBack(inner)
			books.moves = moves
		}
		books.books.release()
		books.compare(t, never, "after all")
	})
}

func TestEveryTableOfTheBooksCanBeUndone(t *testing.T) {
	t.Parallel()
	tables := 0
	for field := range reflect.TypeFor[Books]().Fields() {
		if strings.HasPrefix(field.Type.Name(), "Rows[") {
			tables++
		}
	}
	if listed := len((&Books{}).tables()); listed != tables || tables == 0 {
		t.Errorf("%d of %d tables can be undone", listed, tables)
	}
}

// scribble is books into which anything is put.
type scribble struct {
	books *Books
	moves int64
}

func newScribble() *scribble {
	s := &scribble{books: NewBooks(InstitutionID{1}, Head{}, true)}
	for n := range byte(3) {
		s.load(n)
	}
	return s
}

// load puts rows that the database has.
func (s *scribble) load(n byte) {
	b, text := s.books, "loaded"
	b.Institutions.Load(InstitutionID{n}, Institution{Name: text})
	b.Keys.Load(KeyID{n}, APIKey{Label: text})
	b.Providers.Load(InstitutionID{n}, IdentityProvider{ClientID: text})
	b.Users.Load(UserID{n}, User{Email: text})
	b.Secrets.Load(SecretName{Subject: fmt.Sprint(n)}, SealedSecret{SealedUnder: text})
	b.Roles.Load(RoleName(fmt.Sprint(n)), Role{Version: int64(len(text))})
	b.Policies.Load(Region(fmt.Sprint(n)), Policy{Region: Region(text)})
	b.Templates.Load(TemplateID{n}, AssetTemplate{Name: text})
	b.Assets.Load(AssetID{n}, Asset{Label: text})
	b.Positions.Load(PositionID{n}, Position{HolderReference: text})
	b.Erasures.Load(ErasureID{n}, Erasure{Open: int64(len(text))})
	b.Records.Load(fmt.Sprint(n), Record{Subject: text})
	b.Rules.Load(InstitutionID{n}, ApprovalRules{Version: int64(len(text))})
	b.Approvals.Load(ApprovalID{n}, Approval{Version: int64(len(text))})
	b.Subjects.Load(fmt.Sprint(n), ApprovalSubject{Subject: text})
	b.Moves.Load(fmt.Sprint(n), RecentMoves{Of: text})
	b.Holds.Load(HoldID{n}, Hold{Kind: HoldKind(text)})
}

// scribbled is one change: a row of a table, or an entry.
type scribbled struct {
	Table int
	Key   byte
	Text  string
}

func drawPuts(t *rapid.T, label string) []scribbled {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) scribbled {
		return scribbled{rapid.IntRange(0, 17).Draw(t, "table"), byte(rapid.IntRange(0, 5).Draw(t, "key")), rapid.StringN(0, 3, 3).Draw(t, "text")}
	}), 0, 30).Draw(t, label)
}

func (s *scribble) put(change scribbled) {
	b, n, text := s.books, change.Key, change.Text
	switch change.Table {
	case 0:
		b.Institutions.Put(InstitutionID{n}, Institution{Name: text})
	case 1:
		b.Keys.Put(KeyID{n}, APIKey{Label: text})
	case 2:
		b.Policies.Put(Region(fmt.Sprint(n)), Policy{Region: Region(text)})
	case 3:
		b.Templates.Put(TemplateID{n}, AssetTemplate{Name: text})
	case 4:
		b.Assets.Put(AssetID{n}, Asset{Label: text})
	case 5:
		b.Positions.Put(PositionID{n}, Position{HolderReference: text})
	case 6:
		b.Records.Put(fmt.Sprint(n), Record{Subject: text})
	case 7:
		b.Erasures.Put(ErasureID{n}, Erasure{Open: int64(len(text))})
	case 8:
		b.Roles.Put(RoleName(fmt.Sprint(n)), Role{Version: int64(len(text))})
	case 9:
		b.Providers.Put(InstitutionID{n}, IdentityProvider{ClientID: text})
	case 10:
		b.Users.Put(UserID{n}, User{Email: text})
	case 11:
		b.Secrets.Put(SecretName{Subject: fmt.Sprint(n)}, SealedSecret{SealedUnder: text})
	case 12:
		b.Rules.Put(InstitutionID{n}, ApprovalRules{Version: int64(len(text))})
	case 13:
		b.Approvals.Put(ApprovalID{n}, Approval{Version: int64(len(text))})
	case 14:
		b.Subjects.Put(fmt.Sprint(n), ApprovalSubject{Subject: text})
	case 15:
		b.Moves.Put(fmt.Sprint(n), RecentMoves{Of: text})
	case 17:
		b.Holds.Put(HoldID{n}, Hold{Kind: HoldKind(text)})
	case 16:
		s.moves++
		b.Head = Head{Sequence: s.moves, At: time.UnixMicro(s.moves)}
		b.Entries = append(b.Entries, Entry{Sequence: s.moves, Subject: text})
	}
}

func (s *scribble) compare(t *rapid.T, other *scribble, when string) {
	t.Helper()
	everything := cmp.Options{cmp.Exporter(func(reflect.Type) bool { return true }), cmpopts.EquateEmpty()}
	if diff := cmp.Diff(other.books, s.books, everything); diff != "" {
		t.Fatalf("%s: books in which nothing was done (-) and others (+) differ:\n%s", when, diff)
	}
}
