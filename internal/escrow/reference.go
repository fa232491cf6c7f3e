package escrow

// External references that are unique in a template. The books know those of the positions
// that they have; the store loads those that a group's new positions could meet, and only for
// templates that ask for it.

// AssetReference is the external reference of a new position on an asset.
type AssetReference struct {
	Asset AssetID
	Text  string
}

// UniqueReference is an external reference that one position of a template has at most. A
// position keeps it in every state.
type UniqueReference struct {
	Template TemplateID
	Text     string
}

// references finds positions of the books by their unique references. One that is no longer in
// the books, because they were rolled back, has none.
type references map[UniqueReference]PositionID

// reference is the position's unique reference; zero where it has none.
func (p Position) reference() UniqueReference {
	if p.UniqueIn.IsZero() || p.ExternalReference == "" {
		return UniqueReference{}
	}
	return UniqueReference{Template: p.UniqueIn, Text: p.ExternalReference}
}

// UniqueReferences returns which of the references that are needed must be unique, as the
// templates in the books tell.
func (b *Books) UniqueReferences(needs *Needs) []UniqueReference {
	var unique []UniqueReference
	for _, needed := range needs.References {
		asset, _ := b.Assets.Get(needed.Asset)
		template, found := b.Templates.Get(asset.TemplateID)
		if found && template.Config.UniqueExternalReference {
			unique = append(unique, UniqueReference{Template: template.ID, Text: needed.Text})
		}
	}
	return unique
}

// LoadReferenced puts a position that the database has, and that was found by its unique
// reference.
func (b *Books) LoadReferenced(p Position) {
	b.Positions.Load(p.ID, p)
	b.noteReference(p)
}

func (b *Books) noteReference(p Position) {
	unique := p.reference()
	if unique == (UniqueReference{}) {
		return
	}
	if b.references == nil {
		b.references = make(references)
	}
	b.references[unique] = p.ID
}

// withReference returns the position of the books that has a unique reference.
func (b *Books) withReference(unique UniqueReference) (PositionID, bool) {
	id, noted := b.references[unique]
	if !noted {
		return id, false
	}
	p, found := b.Positions.Get(id)
	return id, found && p.reference() == unique
}

// checkReference refuses a new position whose external reference another one of the template
// has, and returns the template in which it is unique from then on; zero where it need not be. It
// names the other position where the restriction shows it.
func (b *Books) checkReference(template AssetTemplate, text string, within Restriction) (TemplateID, *Error) {
	if text == "" || !template.Config.UniqueExternalReference {
		return TemplateID{}, nil
	}

	other, taken := b.withReference(UniqueReference{Template: template.ID, Text: text})
	if !taken {
		return template.ID, nil
	}
	named := "Another position"
	if within.SeesPosition(b.Positions.mustGet(other), template.ID) {
		named = "The position " + other.String()
	}
	return TemplateID{}, Errorf(CodeExternalReference,
		"%s of the asset's template has this externalReference, which is unique there.", named)
}
