package store

import (
	"slices"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// bookTables is the one list of the tables of the books, in the order in which a group's
// rows are written: those before which others refer to come first. Writing, loading, the
// row cache, grants, verification and the conformance suite go through it.
var bookTables = []bookTable{
	institutionRows, keyRows, providerRows, userRows, roleRows, policyRows, templateRows, assetRows, positionRows,
	holdRows, erasureRows, secretRows, rulesRows, approvalRows, subjectRows, movesRows, recordRows,
}

// bookTable is a table of the books, whatever its rows are.
type bookTable interface {
	tableInfo
	BookTable

	// writeChanges writes the rows that were created or updated in the books of a group.
	writeChanges(sink changeSink, group []*escrow.Books) error

	// loadEach loads what is needed of one institution's rows, a statement a row.
	loadEach(read rowReader, needs *booksNeeds, group groupBooks)
	// loadAll loads what is needed of a group's rows, a statement for all of them.
	loadAll(read rowReader, needs []booksNeeds, group groupBooks)

	// isMissed reports whether rows are needed that must be in the database.
	isMissed(needs *escrow.Needs) bool
	// fill puts those rows that are remembered into the books, and takes them out of the
	// needs.
	fill(recall recallRow, books *escrow.Books, needs *escrow.Needs)
	// keep remembers the rows of books that were committed.
	keep(remember rememberRow, books *escrow.Books, needs *escrow.Needs)

	// audited reports whether the journal tells of each of the table's rows by its subject, and rebuilt
	// whether its entries make them, in whatever way.
	audited() bool
	rebuilt() bool
}

// rowReader runs a reading statement, now or later, and calls scan for each row.
type rowReader func(sql string, args []any, scan func(row) error)

// rowsOf is a table of the books: rows of type V by keys of type K, which stand in the
// table as rows of type R.
type rowsOf[K comparable, V, R any] struct {
	*table[R]

	// in is where the books have the rows, and key is a row's key there.
	in  func(*escrow.Books) *escrow.Rows[K, V]
	key func(V) K
	// pack makes a row of the table, unpack is the other way.
	pack   func(escrow.InstitutionID, V) R
	unpack func(R) (escrow.InstitutionID, V)

	// A command needs all of an institution's rows, or those that it names: one of the
	// two is set.
	whole func(*escrow.Needs) *bool
	named func(*escrow.Needs) *[]K
	// keys and allNamed, the statement that reads rows by any number of keys, go with
	// named.
	keys     keysOf[K]
	allNamed string
	// with is what comes with each row.
	with []companion[K]
	// also is further rows that a command can need beside those that it names; nil where there
	// are none.
	also *furtherRows

	// cached tells whether a row is small enough to be remembered. It is nil for a table
	// whose rows change without a move of the journal's head.
	cached func(V) bool
	// remembersNone says that a row which is needed and not there is remembered as such.
	remembersNone bool
	// isWhole, where it is set, reports whether what comes with a row is remembered too,
	// and loads it.
	isWhole func(recall recallRow, books *escrow.Books, value V) bool

	// subject is how the journal names a row; nil where it tells of none.
	subject func(V) string
	// derived says that the journal makes the rows nevertheless: verification compares them by themselves.
	derived bool
}

// companion is other rows that come with a row of a key: statements that read them for
// one key and for any number.
type companion[K comparable] struct {
	each, all string
	keys      keysOf[K]
	load      func(groupBooks) func(row) error
}

// furtherRows are rows of an institution that nobody names. They are read each time: the row
// cache does not know which of them there are.
type furtherRows struct {
	needed func(*escrow.Needs) bool
	// each reads those of one institution, all those of any number.
	each, all string
	// texts are further arguments of the statements, for each of what is needed; nil where an
	// institution is all that they are told.
	texts func(*escrow.Needs) [][]string
	// ids is what takes the place of texts where the further argument is an id.
	ids func(*escrow.Needs) [][16]byte
}

// argsEach are the arguments of each statement for one institution.
func (f *furtherRows) argsEach(of [16]byte, needs *escrow.Needs) (calls [][]any) {
	if f.ids != nil {
		for _, id := range f.ids(needs) {
			calls = append(calls, []any{of, id})
		}
		return calls
	}

	if f.texts == nil {
		return [][]any{{of}}
	}
	for _, texts := range f.texts(needs) {
		args := []any{of}
		for _, text := range texts {
			args = append(args, text)
		}
		calls = append(calls, args)
	}
	return calls
}

// argsAll are the arguments of the statement for the institutions of a group; nil where none of them
// needs it. What stands at the same place of each belongs together.
func (f *furtherRows) argsAll(needs []booksNeeds) (args []any) {
	var owners, ids [][16]byte
	var columns [][]string
	for i := range needs {
		of, rows := idArg(needs[i].of), &needs[i].rows
		if !f.needed(rows) {
			continue
		}
		if f.ids != nil {
			named := f.ids(rows)
			owners, ids = append(owners, slices.Repeat([][16]byte{of}, len(named))...), append(ids, named...)
			continue
		}
		if f.texts == nil {
			owners = append(owners, of)
			continue
		}
		for _, texts := range f.texts(rows) {
			owners = append(owners, of)
			if columns == nil {
				columns = make([][]string, len(texts))
			}
			for j, text := range texts {
				columns[j] = append(columns[j], text)
			}
		}
	}

	if len(owners) == 0 {
		return nil
	}
	args = []any{owners}
	if f.ids != nil {
		return append(args, ids)
	}
	for _, column := range columns {
		args = append(args, column)
	}
	return args
}

// keysOf is how keys are given to statements, and places in lists.
type keysOf[K comparable] struct {
	sqlType sqlType
	one     func(K) any
	many    func([]K) any
	cursor  func(K) escrow.Cursor
	parse   func(subject string) (K, error)
	of      func(id [16]byte) K
}

// idKeysOf are ids, of the kind of the one that is given.
func idKeysOf[K escrow.IDKind](escrow.ID[K]) keysOf[escrow.ID[K]] {
	return keysOf[escrow.ID[K]]{
		sqlType: sqlUUID,
		one:     func(id escrow.ID[K]) any { return idArg(id) },
		many:    func(ids []escrow.ID[K]) any { return idArgs(ids) },
		cursor:  escrow.IDCursor[K],
		parse:   escrow.ParseID[K],
		of:      func(id [16]byte) escrow.ID[K] { return id },
	}
}

// textKeys are texts.
func textKeys() keysOf[string] {
	return keysOf[string]{
		sqlType: sqlText,
		one:     func(text string) any { return text },
		many:    func(texts []string) any { return texts },
	}
}

// newRows completes a table of the books.
func newRows[K comparable, V, R any](t rowsOf[K, V, R]) *rowsOf[K, V, R] {
	if t.named != nil {
		pair := names(partsOf(t.layout, keyPart), "")
		t.allNamed = "SELECT " + t.list + " FROM unnest($1::uuid[], $2::" + string(t.keys.sqlType) + "[])" +
			" AS n (" + pair + ") JOIN " + t.name + " USING (" + pair + ")"
	} else {
		t.allNamed = "SELECT " + t.list + " FROM " + t.name + " WHERE " + t.layout[0].name + " = ANY ($1::uuid[])"
	}
	return &t
}

// asIs packs and unpacks rows that stand in the table as they do in the books.
func asIs[V any](_ escrow.InstitutionID, value V) V { return value }

func (t *rowsOf[K, V, R]) writeChanges(sink changeSink, group []*escrow.Books) error {
	var created, updated []R
	for _, books := range group {
		of, rows := books.InstitutionID(), t.in(books)
		created = t.appendPacked(created, of, rows.Created())
		updated = t.appendPacked(updated, of, rows.Updated())
	}
	if err := insert(sink, t.table, created); err != nil {
		return err
	}
	return update(sink, t.table, updated)
}

func (t *rowsOf[K, V, R]) appendPacked(rows []R, of escrow.InstitutionID, values []V) []R {
	rows = slices.Grow(rows, len(values))
	for _, value := range values {
		rows = append(rows, t.pack(of, value))
	}
	return rows
}

// load puts a row that was read into its institution's books.
func (t *rowsOf[K, V, R]) load(group groupBooks) func(row) error {
	return func(r row) error {
		read, err := t.scan(r)
		if err != nil {
			return err
		}
		of, value := t.unpack(read)
		t.in(group[of]).Load(t.key(value), value)
		return nil
	}
}

func (t *rowsOf[K, V, R]) loadEach(read rowReader, needs *booksNeeds, group groupBooks) {
	load, institution := t.load(group), idArg(needs.of)
	if t.whole != nil {
		if *t.whole(&needs.rows) {
			read(t.byOwner, []any{institution}, load)
		}
		return
	}

	for _, key := range *t.named(&needs.rows) {
		read(t.byKey, []any{institution, t.keys.one(key)}, load)
		for _, c := range t.with {
			read(c.each, []any{institution, c.keys.one(key)}, c.load(group))
		}
	}
	if t.also != nil && t.also.needed(&needs.rows) {
		for _, args := range t.also.argsEach(institution, &needs.rows) {
			read(t.also.each, args, load)
		}
	}
}

func (t *rowsOf[K, V, R]) loadAll(read rowReader, needs []booksNeeds, group groupBooks) {
	t.loadFurther(read, needs, group)

	// The key at each place belongs to the institution at the same place.
	var owners [][16]byte
	var keys []K
	for i := range needs {
		of, rows := idArg(needs[i].of), &needs[i].rows
		if t.whole != nil {
			if *t.whole(rows) {
				owners = append(owners, of)
			}
			continue
		}
		for _, key := range *t.named(rows) {
			owners, keys = append(owners, of), append(keys, key)
		}
	}
	switch {
	case len(owners) == 0:
		return
	case t.whole != nil:
		read(t.allNamed, []any{owners}, t.load(group))
		return
	}

	read(t.allNamed, []any{owners, t.keys.many(keys)}, t.load(group))
	for _, c := range t.with {
		read(c.all, []any{owners, c.keys.many(keys)}, c.load(group))
	}
}

// loadFurther loads the further rows of those institutions of a group that need them.
func (t *rowsOf[K, V, R]) loadFurther(read rowReader, needs []booksNeeds, group groupBooks) {
	if t.also == nil {
		return
	}
	if args := t.also.argsAll(needs); args != nil {
		read(t.also.all, args, t.load(group))
	}
}

// tableInfo is what grants and searches by institution take of a table.
type tableInfo interface {
	Name() string
	// ownerColumn is the first column of the key.
	ownerColumn() string
	privileges() string
}

func (t *table[T]) Name() string        { return t.name }
func (t *table[T]) ownerColumn() string { return t.layout[0].name }
func (t *table[T]) privileges() string  { return t.grant }

// otherTables are those that are not the books'.
var otherTables = []tableInfo{
	headTable, entryTable, checkpointTable, tileTable, checkpointKeyTable, securityEventTable, leaseTable, copyTable,
	keyUseTable, sessionTable,
}
