package store

// A group reads the positions that have the unique references of its new ones. Which references
// must be unique is known once the templates are in the books, so this comes after the rest; a
// group without any runs no statement for it.

const withReference = "institution_id = $1 AND unique_in = $2 AND external_reference = $3"

var (
	positionByReference  = "SELECT " + positionTable.list + " FROM positions WHERE " + withReference
	positionsByReference = "SELECT " + positionTable.list + ` FROM
		unnest($1::uuid[], $2::uuid[], $3::text[]) AS n (institution_id, unique_in, external_reference)
		JOIN positions USING (institution_id, unique_in, external_reference)`
)

// loadReferenced puts a position that was found by its reference into its institution's books.
func (g groupBooks) loadReferenced(r row) error {
	p, err := positionTable.scan(r)
	if err == nil {
		g[p.InstitutionID].LoadReferenced(p)
	}
	return err
}

// referencesToRead are the unique references of a group's new positions, as arguments of
// positionsByReference: those at the same place belong together.
type referencesToRead struct {
	owners, templates [][16]byte
	texts             []string
}

// references returns the unique references that are to be read, as far as the books tell.
func (g groupBooks) references(needs groupNeeds) (read referencesToRead) {
	for _, of := range inLockOrder(needs) {
		rows := needs[of]
		for _, unique := range g[of].UniqueReferences(&rows) {
			read.owners = append(read.owners, idArg(of))
			read.templates = append(read.templates, idArg(unique.Template))
			read.texts = append(read.texts, unique.Text)
		}
	}
	return read
}
