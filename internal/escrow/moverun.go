package escrow

// moveRun is a run of entries that may be those of one batch, whose parts are held against the rules by what was
// moved before the first of them.
type moveRun struct {
	actor       Actor
	requestID   string
	last, count int64
	moves       map[string]RecentMoves
}

// goesOn reports whether an entry may belong to the same batch as the ones before.
func (r *moveRun) goesOn(entry Entry) bool {
	return r.count > 0 && r.count < MaxBatchItems && entry.Sequence == r.last+1 && entry.Approval == nil &&
		entry.Actor == r.actor && entry.RequestID == r.requestID
}

// before returns the rules that an entry meets, with what was moved before its run.
func (r *moveRun) before(b *Books, entry Entry, facts ruleFacts) []ApprovalRule {
	moves := b.Moves
	if r.goesOn(entry) {
		b.Moves = Rows[string, RecentMoves]{}
		for of, before := range r.moves {
			b.Moves.Load(of, before)
		}
	}
	met := b.matching(Request{Actor: entry.Actor}, []ruleFacts{facts}, entry.At)
	b.Moves = moves
	return met
}

// follow notes an entry, before it is applied. Without rules there is nothing to note.
func (r *moveRun) follow(b *Books, entry Entry) {
	if b.Head.Rules == 0 {
		*r = moveRun{}
		return
	}

	if r.goesOn(entry) {
		r.last, r.count = entry.Sequence, r.count+1
		return
	}
	*r = moveRun{actor: entry.Actor, requestID: entry.RequestID, last: entry.Sequence, count: 1}
	r.moves = make(map[string]RecentMoves)
	for _, of := range []string{b.movesOf(entry.Actor), movesOfInstitution} {
		if moves, ok := b.Moves.Get(of); ok {
			r.moves[of] = moves
		}
	}
}
