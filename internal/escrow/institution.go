package escrow

import "time"

// Institution is a tenant: a bank, fund or enterprise.
type Institution struct {
	ID        InstitutionID
	Name      string
	Regions   []Region
	Verticals []Vertical
	CreatedAt time.Time
}

// InstitutionInput is what a client gives to make an institution.
type InstitutionInput struct {
	Name      string
	Regions   []string
	Verticals *[]string
}

// CreateInstitution is the operator's command that makes a tenant and opens its
// journal. Its Request names no institution.
type CreateInstitution struct {
	name      string
	regions   []Region
	verticals []Vertical
}

// NewCreateInstitution checks the input. Without verticals the institution is
// active in all of them.
func NewCreateInstitution(in InstitutionInput) (CreateInstitution, Faults) {
	var faults Faults
	command := CreateInstitution{
		name:      faults.text("name", in.Name),
		regions:   words(&faults, "regions", in.Regions, Regions()),
		verticals: Verticals(),
	}
	if in.Verticals != nil {
		command.verticals = words(&faults, "verticals", *in.Verticals, Verticals())
	}
	return command, faults
}

// Needs implements Command.
func (CreateInstitution) Needs() Needs { return Needs{} }

func (c CreateInstitution) decide(_ *Books, _ Request, s stamp) (event, *Error) { //nolint:unparam // Of Command.
	return institutionCreated{
		ID:        InstitutionID(s.id),
		Name:      c.name,
		Regions:   c.regions,
		Verticals: c.verticals,
	}, nil
}

// KindInstitutionCreated is the kind of the entry that opens an institution's journal.
const KindInstitutionCreated Kind = "INSTITUTION_CREATED"

var institutionEventKinds = []eventKind{
	{kind: KindInstitutionCreated, decode: decodeEvent[institutionCreated]},
	{kind: KindHistoryAccepted, decode: decodeEvent[historyAccepted]},
}

type institutionCreated struct {
	ID        InstitutionID `json:"id"`
	Name      string        `json:"name"`
	Regions   []Region      `json:"regions"`
	Verticals []Vertical    `json:"verticals"`
}

func (e institutionCreated) kind() Kind      { return KindInstitutionCreated }
func (e institutionCreated) subject() string { return e.ID.String() }

func (e institutionCreated) resource(b *Books, _ Entry) Resource { return b.Institutions.mustGet(e.ID) }

func (e institutionCreated) apply(b *Books, entry Entry) error {
	b.Institutions.Put(e.ID, Institution{
		ID:        e.ID,
		Name:      e.Name,
		Regions:   e.Regions,
		Verticals: e.Verticals,
		CreatedAt: entry.At,
	})
	return nil
}
