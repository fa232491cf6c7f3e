package escrow

// This file tells what is read to hold a request against approval rules, and to decide on an approval. Much
// of that is known only once other rows are, so that a request is executed again with what it lacked. It
// ends: each time a request asks for rows that the ones before have named, along chains of a bounded length.

// MaxAttempts bounds how often a request is executed for the rows that it lacks: the approval first, then
// who has to do with it and what its command needs, then those behind them, each one maker or rotation
// further.
const MaxAttempts = 3 + max(maxKeyLine, maxRotations)

// commandsOf returns the single commands that a command is composed of, without those of which none
// could be made.
func commandsOf(command Command) (commands []single) {
	switch c := command.(type) {
	case PositionBatch:
		for _, item := range c.items {
			if item.refusal == nil {
				commands = append(commands, item.command)
			}
		}
	case single:
		commands = append(commands, c)
	}
	return commands
}

// RulesHint says what an institution has that its commands may have to be held against. Where it is wrong,
// a request is executed once more, or has read too much.
type RulesHint struct {
	// Rules says that there are approval rules or approvals that are pending; Windows, that a rule has a
	// window; Pending, that an approval is pending.
	Rules, Windows, Pending bool
}

// RulesHint is right until the books change. They must have the rules, where there are any.
func (b *Books) RulesHint() RulesHint {
	rules, _ := b.Rules.Get(b.institutionID)
	return RulesHint{
		Rules:   b.Head.Rules != 0 || b.Head.Approvals != 0,
		Windows: rules.haveWindow(),
		Pending: b.Head.Approvals != 0,
	}
}

// addNeedsOfRules adds what is read to hold a request against approval rules, as far as it is known
// beforehand.
func (r Request) addNeedsOfRules(hint RulesHint, needs *Needs) {
	needs.Rules = needs.Rules || hint.Rules
	if !hint.Windows && !hint.Pending {
		return
	}
	for _, command := range commandsOf(r.Command) {
		if _, moves := command.(TransitionPosition); moves && hint.Windows {
			needs.Moves = append(needs.Moves, r.Actor.String(), movesOfInstitution)
		}
		if c, ok := command.(approvable); ok && hint.Pending && c.concerns() != "" {
			needs.PendingOn = append(needs.PendingOn, c.concerns())
		}
	}
}

// lacks returns what the books must have beside to tell which holds a request meets, to hold it against the
// approval rules of the institution, or to carry out what it approves; nil where they have all.
func (b *Books) lacks(r Request) *Needs {
	var needs Needs
	b.addLackingHolds(r.Command, &needs)
	// No rule is about what the system does by the clock.
	if (b.Head.Rules != 0 || b.Head.Approvals != 0) && r.Actor != ActorSystem() {
		b.addLacking(r, &needs)
		if c, ok := r.Command.(deciding); ok {
			b.addLackingOfApproval(r, c.decides(), &needs)
		}
		// Mostly there is nothing more than what the hint has asked for.
		needs.Rules = needs.Rules && !r.Hint.Rules
	}
	if needs.isEmpty() {
		return nil
	}

	needs.distinct()
	needs.remove(r.Needs())
	if needs.isEmpty() {
		return nil
	}
	return &needs
}

// addLackingHolds adds the holds on the positions that a command moves or erases.
func (b *Books) addLackingHolds(command Command, needs *Needs) {
	switch c := command.(type) {
	case TransitionPosition:
		b.addHoldsOn(c.position, needs)
	case ErasePosition:
		b.addHoldsOn(c.position, needs)
	case PositionBatch:
		for _, item := range c.items {
			if item.refusal == nil {
				b.addLackingHolds(item.command, needs)
			}
		}
	}
}

func (b *Books) addHoldsOn(position PositionID, needs *Needs) {
	if p, ok := b.Positions.Get(position); ok && p.Holds > 0 {
		needs.HoldsOn = append(needs.HoldsOn, position)
	}
}

func (b *Books) addLacking(r Request, needs *Needs) {
	r.addNeedsOfRules(b.RulesHint(), needs)
	if len(needs.Moves) > 0 {
		needs.Moves = append(needs.Moves, b.movesOf(r.Actor))
	}
	rules, _ := b.Rules.Get(b.institutionID)
	if rules.askForAssets() {
		b.addAssetsOf(r.Command, needs)
	}
}

// addAssetsOf adds the assets that a command concerns, as far as the books tell.
func (b *Books) addAssetsOf(command Command, needs *Needs) {
	for _, command := range commandsOf(command) {
		switch c := command.(type) {
		case TransitionPosition:
			b.addAssetOf(c.position, needs)
		case LiftHold:
			b.addAssetOf(c.position, needs)
		case CreatePosition:
			b.addAsset(c.asset, needs)
		}
	}
}

func (b *Books) addAssetOf(position PositionID, needs *Needs) {
	if p, ok := b.Positions.Get(position); ok {
		b.addAsset(p.AssetID, needs)
	}
}

func (b *Books) addAsset(id AssetID, needs *Needs) {
	if _, there := b.Assets.Get(id); !there {
		needs.Assets = append(needs.Assets, id)
	}
}

// addLackingOfApproval adds what is read to decide on an approval: who all who have to do with it are,
// and what its command needs.
func (b *Books) addLackingOfApproval(r Request, id ApprovalID, needs *Needs) {
	a, ok := b.Approvals.Get(id)
	if !ok || a.Status != ApprovalPending {
		return
	}
	needs.add(b.ApproverNeeds(r, a))

	command, err := a.command()
	if _, approves := r.Command.(ApproveApproval); !approves || err != nil {
		return // Whoever carries the command out says what is wrong with it.
	}
	needs.add(command.Needs())
	b.addLackingHolds(command, needs)
	b.addLacking(Request{Actor: a.Maker, Command: command}, needs)
	b.addAssetsOf(command, needs) // A restriction of its maker can be to some.
}
