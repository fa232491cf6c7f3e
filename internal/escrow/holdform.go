package escrow

var holdFormTypes = []formType{{"hold.lift", decodeForm[liftHoldForm]}}

type liftHoldForm struct {
	typed

	PositionID PositionID  `json:"positionId"`
	HoldID     HoldID      `json:"holdId"`
	Reason     privateText `json:"reason,omitzero"`
}

// written implements approvable.
func (c LiftHold) written() form {
	return liftHoldForm{
		typed: typed{"hold.lift"}, PositionID: c.position, HoldID: c.hold, Reason: textMember(c.reason),
	}
}

// concerns implements approvable. It is the position, with whose data those of the approval are erased.
func (c LiftHold) concerns() string { return c.position.String() }

func (f liftHoldForm) each(do func(string, *private)) form {
	do("reason", &f.Reason.private)
	return f
}

func (f liftHoldForm) command() (Command, error) {
	return made(NewLiftHold(f.PositionID, f.HoldID, f.Reason.value))
}

func (c LiftHold) facts(b *Books) ruleFacts {
	p, _ := b.Positions.Get(c.position)
	hold, _ := b.Holds.Get(c.hold)
	facts := b.factsOfAsset(p.AssetID)
	facts.permission, facts.subject = c.permission(), c.concerns()
	facts.amount = hold.freed(p)
	return facts
}
