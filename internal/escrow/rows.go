package escrow

import (
	"iter"
	"slices"
)

// Rows holds rows of one table by key and remembers which of them are new or
// changed. The zero value is ready for use.
type Rows[K comparable, V any] struct {
	rows    map[K]*row[V]
	created []K
	updated []K
	// saved is what rollBack goes by: the savepoints that are set, the latest last.
	saved []savedRows[K, V]
}

type row[V any] struct {
	value V
	// stored: the row is in the database as well; touched: it is in created or
	// updated.
	stored, touched bool
}

// savedRows is a savepoint of rows: how many were created and updated, and what each Put
// since then has replaced.
type savedRows[K comparable, V any] struct {
	created, updated int
	replaced         []replacedRow[K, V]
}

// replacedRow is a row before a Put; there was none where before is not known.
type replacedRow[K comparable, V any] struct {
	key    K
	before row[V]
	known  bool
}

// Load puts a row that the database has.
func (r *Rows[K, V]) Load(key K, value V) { r.set(key, &row[V]{value: value, stored: true}) }

// Get returns a row; ok is false where there is none.
func (r *Rows[K, V]) Get(key K) (value V, ok bool) {
	if row, ok := r.rows[key]; ok {
		return row.value, true
	}
	return value, false
}

// mustGet returns a row that is known to be there, because it was just put.
func (r *Rows[K, V]) mustGet(key K) V { return r.rows[key].value }

// Put makes or replaces a row.
func (r *Rows[K, V]) Put(key K, value V) {
	known, ok := r.rows[key]
	if latest := len(r.saved) - 1; latest >= 0 {
		r.saved[latest].note(key, known)
	}

	if !ok {
		known = &row[V]{}
		r.set(key, known)
	}
	known.value = value

	switch {
	case known.touched:
	case known.stored:
		r.updated = append(r.updated, key)
	default:
		r.created = append(r.created, key)
	}
	known.touched = true
}

// forget drops a row, as if it had never been loaded or put. There must be no savepoint.
func (r *Rows[K, V]) forget(key K) {
	delete(r.rows, key)
	isIt := func(other K) bool { return other == key }
	r.created, r.updated = slices.DeleteFunc(r.created, isIt), slices.DeleteFunc(r.updated, isIt)
}

// Created returns the rows that the database does not have yet, oldest first.
func (r *Rows[K, V]) Created() []V { return r.values(r.created) }

// Updated returns the rows that the database has in an older form.
func (r *Rows[K, V]) Updated() []V { return r.values(r.updated) }

// All returns every row that was loaded or put, in no order.
func (r *Rows[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for key, row := range r.rows {
			if !yield(key, row.value) {
				return
			}
		}
	}
}

// Len returns how many rows were loaded or put.
func (r *Rows[K, V]) Len() int { return len(r.rows) }

// Changed reports whether a row was put.
func (r *Rows[K, V]) Changed() bool { return len(r.created)+len(r.updated) > 0 }

// save sets a savepoint: from here on the rows note what Put replaces, until rollBack or
// release. There can be one within another.
func (r *Rows[K, V]) save() {
	r.saved = append(r.saved, savedRows[K, V]{created: len(r.created), updated: len(r.updated)})
}

// release leaves the rows as they are, without the latest savepoint.
func (r *Rows[K, V]) release() {
	released := r.popSaved()
	if outer := len(r.saved) - 1; outer >= 0 {
		r.saved[outer].replaced = append(r.saved[outer].replaced, released.replaced...)
	}
}

// rollBack puts the rows back to where they were at the latest savepoint.
func (r *Rows[K, V]) rollBack() {
	saved := r.popSaved()
	for _, change := range slices.Backward(saved.replaced) {
		if change.known {
			*r.rows[change.key] = change.before
		} else {
			delete(r.rows, change.key)
		}
	}

	r.created, r.updated = r.created[:saved.created], r.updated[:saved.updated]
}

func (r *Rows[K, V]) popSaved() savedRows[K, V] {
	latest := len(r.saved) - 1
	saved := r.saved[latest]
	r.saved = r.saved[:latest]
	return saved
}

func (s *savedRows[K, V]) note(key K, before *row[V]) {
	change := replacedRow[K, V]{key: key, known: before != nil}
	if change.known {
		change.before = *before
	}
	s.replaced = append(s.replaced, change)
}

func (r *Rows[K, V]) set(key K, entry *row[V]) {
	if r.rows == nil {
		r.rows = make(map[K]*row[V])
	}
	r.rows[key] = entry
}

func (r *Rows[K, V]) values(keys []K) []V {
	values := make([]V, len(keys))
	for i, key := range keys {
		values[i] = r.rows[key].value
	}
	return values
}
