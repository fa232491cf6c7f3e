package escrow

// Institution is a tenant: a bank, fund or enterprise.
type Institution struct {
	ID        InstitutionID
	Name      string
	Regions   []Region
	Verticals []Vertical
	Upkeep
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

// permission implements single.
func (CreateInstitution) permission() Permission { return PermissionInstitutionsCreate }

func (c CreateInstitution) decide(_ *Books, _ Request, s stamp) (event, *Error) { //nolint:unparam // Of Command.
	return institutionCreated{newInstitutionState(Institution{
		ID:        InstitutionID(s.id),
		Name:      c.name,
		Regions:   c.regions,
		Verticals: c.verticals,
		Upkeep:    createdAt(s.at),
	})}, nil
}

// UpdateInstitution changes what an institution is called.
type UpdateInstitution struct {
	name      *string
	ifVersion []int64
}

// NewUpdateInstitution checks the input: a name, or nil to leave it. The versions are those
// that the institution may have; nil is any.
func NewUpdateInstitution(name *string, ifVersion []int64) (UpdateInstitution, Faults) {
	var faults Faults
	return UpdateInstitution{name: faults.change("name", name), ifVersion: ifVersion}, faults
}

// Needs implements Command.
func (UpdateInstitution) Needs() Needs { return Needs{Institution: true} }

// permission implements single.
func (UpdateInstitution) permission() Permission { return PermissionInstitutionsUpdate }

func (c UpdateInstitution) decide(b *Books, _ Request, _ stamp) (event, *Error) {
	before := b.institution()
	if refusal := checkVersion(c.ifVersion, before.Version, "institution"); refusal != nil {
		return nil, refusal
	}

	after := before
	after.Name = changed(before.Name, c.name)
	if after.Name == before.Name {
		return unchanged{name: before.ID.String(), state: before}, nil
	}
	after.Version++
	return institutionUpdated{newInstitutionState(after)}, nil
}

// CloseInstitution ends an institution's work, once nothing is held for it: what it has
// stays there to be read. Closing a closed one changes nothing.
type CloseInstitution struct{}

// Needs implements Command.
func (CloseInstitution) Needs() Needs { return Needs{Institution: true, HoldingPosition: true} }

// permission implements single.
func (CloseInstitution) permission() Permission { return PermissionInstitutionsUpdate }

func (CloseInstitution) decide(b *Books, _ Request, s stamp) (event, *Error) {
	institution := b.institution()
	if institution.ClosedAt != nil {
		return unchanged{name: institution.ID.String(), state: institution}, nil
	}
	for id, p := range b.Positions.All() {
		if p.Held > 0 {
			return nil, Errorf(CodeInstitutionHoldsMoney,
				"The institution holds money, such as %s %s of %s.", p.Held.Format(p.Currency), p.Currency, id)
		}
	}
	// Of the stored positions that hold money one was loaded, and it may have moved since.
	if len(b.Positions.Updated()) > 0 {
		return nil, Errorf(CodeInstitutionHoldsMoney, "The institution's positions are moving; try again.")
	}

	institution.ClosedAt = &s.at
	institution.Version++
	return institutionClosed{newInstitutionState(institution)}, nil
}

// The kinds of entry that record what became of an institution.
const (
	// KindInstitutionCreated is the first of every journal.
	KindInstitutionCreated Kind = "INSTITUTION_CREATED"
	KindInstitutionUpdated Kind = "INSTITUTION_UPDATED"
	KindInstitutionClosed  Kind = "INSTITUTION_CLOSED"
)

var institutionEventKinds = []eventKind{
	{kind: KindInstitutionCreated, decode: decodeEvent[institutionCreated]},
	{kind: KindInstitutionUpdated, decode: decodeEvent[institutionUpdated]},
	{kind: KindInstitutionClosed, decode: decodeEvent[institutionClosed]},
	{kind: KindHistoryAccepted, decode: decodeEvent[historyAccepted]},
}

// institutionState is an institution as its entries carry it: whole.
type institutionState struct {
	ID        InstitutionID `json:"id"`
	Name      string        `json:"name"`
	Regions   []Region      `json:"regions"`
	Verticals []Vertical    `json:"verticals"`
	upkeepState
}

type (
	institutionCreated struct{ institutionState }
	institutionUpdated struct{ institutionState }
	institutionClosed  struct{ institutionState }
)

func newInstitutionState(i Institution) institutionState {
	return institutionState{
		ID:          i.ID,
		Name:        i.Name,
		Regions:     i.Regions,
		Verticals:   i.Verticals,
		upkeepState: i.Upkeep.state(),
	}
}

func (institutionCreated) kind() Kind      { return KindInstitutionCreated }
func (institutionUpdated) kind() Kind      { return KindInstitutionUpdated }
func (institutionClosed) kind() Kind       { return KindInstitutionClosed }
func (e institutionState) subject() string { return e.ID.String() }

func (institutionUpdated) rewrites() Needs { return Needs{Institution: true} }
func (institutionClosed) rewrites() Needs  { return Needs{Institution: true} }

func (e institutionState) resource(b *Books, _ Entry) Resource { return b.Institutions.mustGet(e.ID) }

func (e institutionState) apply(b *Books, _ Entry) error {
	upkeep, err := e.upkeep()
	if err != nil {
		return err
	}

	b.Institutions.Put(e.ID, Institution{
		ID:        e.ID,
		Name:      e.Name,
		Regions:   e.Regions,
		Verticals: e.Verticals,
		Upkeep:    upkeep,
	})
	return nil
}

func (e institutionClosed) apply(b *Books, entry Entry) error {
	b.Head.Closed = entry.Sequence
	return e.institutionState.apply(b, entry)
}
