package store

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

// described is a table with a row that its columns are tied to.
type described struct {
	tableInfo

	row     reflect.Value
	columns []column
}

func describe[T any](t *table[T]) described {
	row := new(T)
	return described{tableInfo: t, row: reflect.ValueOf(row).Elem(), columns: t.columnsOf(row)}
}

func allDescribed() []described {
	return []described{
		describe(institutionTable), describe(keyTable), describe(providerTable), describe(userTable), describe(secretTable), describe(sessionTable), describe(roleTable), describe(keyUseTable), describe(policyTable), describe(templateTable), describe(assetTable),
		describe(positionTable), describe(holdTable), describe(erasureTable), describe(recordTable), describe(headTable), describe(entryTable), describe(checkpointTable),
		describe(rulesTable), describe(approvalTable), describe(subjectTable), describe(movesTable), describe(tileTable), describe(checkpointKeyTable), describe(securityEventTable), describe(leaseTable), describe(copyTable),
		describe(headMoves),
	}
}

func TestEveryTableIsDescribedHere(t *testing.T) {
	known := make(map[string]bool)
	for _, d := range allDescribed() {
		known[d.Name()] = true
	}
	for name := range grants() {
		if !known[name] && name != "goose_db_version" {
			t.Errorf("the columns of %s are not looked at", name)
		}
	}
}

// A field without a column would be lost between a write and the next read.
func TestEveryFieldHasAColumn(t *testing.T) {
	// Events are made of the journal's entries, which have all of them.
	without := []string{
		"positions.Events", "holds.Steps",
		// Entries that were read from elsewhere have them.
		"journal_entries.Openings",
		// A group that changes these moves its head's sequence as well.
		"journal_heads.FromClosed", "journal_heads.FromRules", "journal_heads.FromApprovals",
	}
	// These are named for what they are in their table.
	named := map[string]string{
		"journal_heads.At": "last_at", "journal_heads.FromSequence": "from_sequence", "journal_checkpoints.Institution": "institution_id",
		"journal_heads.FromAt": "from_at", "journal_heads.ToSequence": "to_sequence", "journal_heads.ToAt": "to_at",
		"journal_heads.Lost": "lost_sequence", "journal_heads.FromLost": "from_lost_sequence",
		"journal_heads.ToLost": "to_lost_sequence", "journal_heads.Closed": "closed_sequence",
		"journal_heads.ToClosed": "to_closed_sequence", "positions.CurrencyCode": "currency", "positions.CurrencyDecimals": "decimals",
		"journal_heads.Rules": "rules_sequence", "journal_heads.ToRules": "to_rules_sequence",
		"journal_heads.Approvals": "pending_approvals", "journal_heads.ToApprovals": "to_pending_approvals",
		"approval_subjects.AmountAmount": "amount", "approval_subjects.AmountCurrencyCode": "currency",
		"approval_subjects.AmountCurrencyDecimals": "decimals", "recent_moves.Of": "of_actor",
		"holds.AmountAmount": "amount", "holds.AmountCurrencyCode": "currency", "holds.AmountCurrencyDecimals": "decimals",
	}
	for _, d := range allDescribed() {
		byAddress := make(map[uintptr]string)
		fields := 0
		for _, c := range d.columns {
			if c.name == "entry_subject" {
				fields++ // It repeats the id.
				continue
			}
			byAddress[variableOf(c)] = c.name
		}
		for field, address := range fieldsOf(d.row, "", isHeadMove(d)) {
			name := d.Name() + "." + field
			want, ok := named[name]
			if !ok {
				want = snakeCase(field)
			}
			switch column, ok := byAddress[address]; {
			case slices.Contains(without, name):
				continue
			case !ok:
				t.Errorf("%s has no column", name)
			case column != want:
				t.Errorf("%s stands in the column %s, want %s", name, column, want)
			}
			fields++
		}
		if fields != len(d.columns) {
			t.Errorf("%s has %d columns for %d fields", d.Name(), len(d.columns), fields)
		}
	}
}

func isHeadMove(d described) bool { return d.row.Type() == reflect.TypeFor[headMove]() }

// variableOf is the address of the variable that a column is tied to.
func variableOf(c column) uintptr {
	return reflect.Indirect(reflect.ValueOf(c.value)).FieldByName("variable").Pointer()
}

// fieldsOf returns the addresses of a row's fields by name; those of what it is composed of
// are its own.
func fieldsOf(row reflect.Value, prefix string, opened bool) map[string]uintptr {
	fields := make(map[string]uintptr)
	for i := range row.NumField() {
		field := row.Type().Field(i)
		inner := ""
		if !field.Anonymous {
			inner = prefix + field.Name
		}
		composed := opened && field.Type.Kind() == reflect.Struct || field.Type == reflect.TypeFor[money.Currency]() || field.Type == reflect.TypeFor[money.Money]()
		if field.Anonymous || composed {
			maps.Copy(fields, fieldsOf(row.Field(i), inner, false))
			continue
		}
		fields[prefix+field.Name] = row.Field(i).Addr().Pointer()
	}
	return fields
}

// snakeCase is how a column is named: "institution_id" for InstitutionID.
func snakeCase(name string) string {
	var snake strings.Builder
	letters := []rune(name)
	for i, letter := range letters {
		if unicode.IsUpper(letter) && i > 0 && (unicode.IsLower(letters[i-1]) || i+1 < len(letters) && unicode.IsLower(letters[i+1])) {
			snake.WriteByte('_')
		}
		snake.WriteRune(unicode.ToLower(letter))
	}
	return snake.String()
}

// Updates take the keys' parameters first, and a row is looked for by them.
func TestKeysComeFirst(t *testing.T) {
	for _, d := range allDescribed() {
		for i, c := range d.columns[1:] {
			if c.part == keyPart && d.columns[i].part != keyPart || d.columns[0].part != keyPart {
				t.Errorf("%s: the key %s stands behind %s", d.Name(), c.name, d.columns[i].name)
			}
		}
	}
}

// rowsIn is the address of the table's rows in books, needIn that of what is needed of it.
func (t *rowsOf[K, V, R]) rowsIn(books *escrow.Books) uintptr {
	return reflect.ValueOf(t.in(books)).Pointer()
}

func (t *rowsOf[K, V, R]) needIn(needs *escrow.Needs) uintptr {
	if t.whole != nil {
		return reflect.ValueOf(t.whole(needs)).Pointer()
	}
	return reflect.ValueOf(t.named(needs)).Pointer()
}

// What the books have and the list of their tables lacks would be neither written nor
// loaded.
func TestEveryTableOfTheBooksIsInTheList(t *testing.T) {
	journal := []string{"Head", "Entries"} // They are written by themselves.
	books := escrow.NewBooks(escrow.InstitutionID{}, escrow.Head{}, true)
	listed := make(map[uintptr]bool)
	for _, table := range bookTables {
		listed[table.(interface{ rowsIn(*escrow.Books) uintptr }).rowsIn(books)] = true
	}
	fields := reflect.ValueOf(books).Elem()
	for i := range fields.NumField() {
		field := fields.Type().Field(i)
		if !field.IsExported() || slices.Contains(journal, field.Name) {
			continue
		}
		if !listed[fields.Field(i).Addr().Pointer()] {
			t.Errorf("the books' %s are in no table of the list", field.Name)
		}
	}
	if len(listed) != len(bookTables) {
		t.Errorf("%d tables are listed %d times", len(listed), len(bookTables))
	}
}

// What a command needs of the books and no table loads would be missing without a word.
func TestEveryNeedIsOfATable(t *testing.T) {
	var needs escrow.Needs
	fields := reflect.ValueOf(&needs).Elem()
	known := make(map[uintptr]bool)
	for _, table := range bookTables {
		known[table.(interface{ needIn(*escrow.Needs) uintptr }).needIn(&needs)] = true
	}
	for i := range fields.NumField() {
		field := fields.Field(i)
		if known[field.Addr().Pointer()] {
			continue
		}
		if field.Addr().Interface() == any(&needs.References) {
			continue // They are loaded once the templates tell which are unique.
		}
		// Further rows of a table are asked for by a switch, or by what they have.
		if field.Kind() == reflect.Slice {
			field.Set(reflect.MakeSlice(field.Type(), 1, 1))
		} else {
			field.SetBool(true)
		}
		isMissed := func(table bookTable) bool { return table.isMissed(&needs) }
		if !slices.ContainsFunc(bookTables, isMissed) {
			t.Errorf("what is needed of %s is loaded by no table", fields.Type().Field(i).Name)
		}
		field.SetZero()
	}
}

// The planner takes a partial index only for a query with its condition.
func TestConditionsAreThoseOfThePartialIndexes(t *testing.T) {
	for _, dialect := range []string{"postgres", "sqlite"} {
		var content []byte
		for _, name := range []string{"0001_initial.sql", "0008_holds.sql"} {
			one, err := migrations.ReadFile("migrations/" + dialect + "/" + name)
			if err != nil {
				t.Fatal(err)
			}
			content = append(content, one...)
		}
		for index, condition := range map[string]string{
			"journal_entries_kind ON journal_entries (institution_id, kind, sequence)": otherKinds,
			"positions_due ON positions (expires_at)":                                  "expires_at IS NOT NULL AND " + canExpire,
		} {
			want := fmt.Sprintf("CREATE INDEX %s\n    WHERE %s;", index, condition)
			if !strings.Contains(string(content), want) {
				t.Errorf("%s: no migration has\n%s", dialect, want)
			}
		}
	}
}
