package store

import "github.com/escrowgrid/escrowgrid/internal/escrow"

// actorColumn holds who acts, as the journal names them.
func actorColumn(actor *escrow.Actor) value { return &actorValue{variable: actor} }

type actorValue struct {
	variable *escrow.Actor
	text     string
}

func (v *actorValue) sqlType() sqlType          { return sqlText }
func (v *actorValue) write(to parameters) error { to.text(v.variable.String()); return nil }
func (v *actorValue) destination() any          { return &v.text }
func (v *actorValue) written() content          { return content{text: v.variable.String()} }

func (v *actorValue) scanned() (err error) {
	*v.variable, err = escrow.ParseActor(v.text)
	return err
}

// optionalActorColumn holds nobody as NULL.
func optionalActorColumn(actor *escrow.Actor) value { return &optionalActorValue{variable: actor} }

type optionalActorValue struct {
	variable *escrow.Actor
	text     *string
}

func (v *optionalActorValue) sqlType() sqlType { return sqlText }
func (v *optionalActorValue) write(to parameters) error {
	writeOptional(to, v.written().text)
	return nil
}
func (v *optionalActorValue) destination() any { return &v.text }

func (v *optionalActorValue) scanned() (err error) {
	*v.variable = escrow.Actor{}
	if v.text != nil {
		*v.variable, err = escrow.ParseActor(*v.text)
	}
	return err
}

func (v *optionalActorValue) written() content {
	if *v.variable == (escrow.Actor{}) {
		return content{null: true}
	}
	return content{text: v.variable.String()}
}

// idTextColumn repeats an id as the journal has it, for statements that look for entries.
func idTextColumn[K escrow.IDKind](id *escrow.ID[K]) value { return &idTextValue[K]{variable: id} }

type idTextValue[K escrow.IDKind] struct {
	variable *escrow.ID[K]
	text     string
}

func (v *idTextValue[K]) sqlType() sqlType          { return sqlText }
func (v *idTextValue[K]) write(to parameters) error { to.text(v.variable.String()); return nil }
func (v *idTextValue[K]) destination() any          { return &v.text }
func (v *idTextValue[K]) scanned() error            { return nil } // The id has its own column.
func (v *idTextValue[K]) written() content          { return content{text: v.variable.String()} }

// stored implements looseValue: whatever stands there is read.
func (v *idTextValue[K]) stored() content { return content{text: v.text} }
