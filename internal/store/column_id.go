package store

import "github.com/escrowgrid/escrowgrid/internal/escrow"

// uuidColumn holds an id.
func uuidColumn[K escrow.IDKind](id *escrow.ID[K]) value { return uuidValue[K]{id} }

type uuidValue[K escrow.IDKind] struct{ variable *escrow.ID[K] }

func (v uuidValue[K]) sqlType() sqlType          { return sqlUUID }
func (v uuidValue[K]) write(to parameters) error { to.id(*v.variable); return nil }
func (v uuidValue[K]) destination() any          { return (*[16]byte)(v.variable) }
func (v uuidValue[K]) scanned() error            { return nil }
func (v uuidValue[K]) written() content          { return content{text: v.variable.String()} }

// optionalIDColumn holds the zero id as NULL.
func optionalIDColumn[K escrow.IDKind](id *escrow.ID[K]) value {
	return &optionalIDValue[K]{variable: id}
}

type optionalIDValue[K escrow.IDKind] struct {
	variable *escrow.ID[K]
	id       *[16]byte
}

func (v *optionalIDValue[K]) sqlType() sqlType { return sqlUUID }

func (v *optionalIDValue[K]) write(to parameters) error {
	if v.variable.IsZero() {
		to.null()
	} else {
		to.id(*v.variable)
	}
	return nil
}

func (v *optionalIDValue[K]) destination() any { return &v.id }

func (v *optionalIDValue[K]) scanned() error {
	*v.variable = escrow.ID[K]{}
	if v.id != nil {
		*v.variable = *v.id
	}
	return nil
}

func (v *optionalIDValue[K]) written() content {
	if v.variable.IsZero() {
		return content{null: true}
	}
	return content{text: v.variable.String()}
}

// stored implements looseValue: an id of zeros is read as none.
func (v *optionalIDValue[K]) stored() content {
	if v.id == nil {
		return content{null: true}
	}
	return content{text: escrow.ID[K](*v.id).String()}
}
