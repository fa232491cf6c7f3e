package escrow

import (
	"cmp"
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"github.com/escrowgrid/escrowgrid/internal/money"
)

// MaxRestricted bounds each list of a Restriction, and a key's allowed networks: a list of positions
// is read on one index for each.
const MaxRestricted = MaxFilterValues

// Restriction narrows a key to a part of its institution's business. What is empty does not
// restrict, and of what is not each must allow: a key for a template and a holder is for the
// holder's positions on assets of that template.
type Restriction struct {
	TemplateIDs []TemplateID `json:"templateIds,omitempty"`
	AssetIDs    []AssetID    `json:"assetIds,omitempty"`
	// HolderReferences are private: they can be about persons.
	HolderReferences []string `json:"holderReferences,omitempty"`
	// MaxAmount is the most that one command may create a position of, or move, by currency. The
	// key creates and moves no positions of other currencies.
	MaxAmount map[money.Code]money.Decimal `json:"maxAmount,omitempty"`
}

// IsZero reports whether nothing is restricted.
func (r Restriction) IsZero() bool {
	return len(r.TemplateIDs) == 0 && len(r.AssetIDs) == 0 && len(r.HolderReferences) == 0 && len(r.MaxAmount) == 0
}

// IsNarrow reports whether a part of the positions is hidden.
func (r Restriction) IsNarrow() bool {
	return len(r.TemplateIDs) > 0 || len(r.AssetIDs) > 0 || len(r.HolderReferences) > 0
}

// SeesTemplate reports whether an asset template, and what is made of it, is for the key.
func (r Restriction) SeesTemplate(id TemplateID) bool {
	return len(r.TemplateIDs) == 0 || slices.Contains(r.TemplateIDs, id)
}

// SeesAsset reports whether an asset of a template is for the key.
func (r Restriction) SeesAsset(id AssetID, of TemplateID) bool {
	return r.SeesTemplate(of) && (len(r.AssetIDs) == 0 || slices.Contains(r.AssetIDs, id))
}

// SeesPosition reports whether a position on an asset of a template is for the key. The template
// counts only where TemplateIDs has any.
func (r Restriction) SeesPosition(p Position, of TemplateID) bool {
	return r.SeesAsset(p.AssetID, of) && r.SeesHolder(p.HolderReference)
}

// SeesHolder reports whether what a holder has is for the key. What was erased is nobody's, and so
// only for keys of all holders.
func (r Restriction) SeesHolder(reference string) bool {
	return len(r.HolderReferences) == 0 || reference != "" && slices.Contains(r.HolderReferences, reference)
}

// Contains reports whether another restriction allows nothing that this one does not.
func (r Restriction) Contains(other Restriction) bool {
	return narrower(r.TemplateIDs, other.TemplateIDs) && narrower(r.AssetIDs, other.AssetIDs) &&
		narrower(r.HolderReferences, other.HolderReferences) && lower(r.MaxAmount, other.MaxAmount)
}

// narrower reports whether a list allows nothing that another one does not.
func narrower[T comparable](list, other []T) bool {
	if len(list) == 0 {
		return true
	}
	return len(other) > 0 && !slices.ContainsFunc(other, func(one T) bool { return !slices.Contains(list, one) })
}

// lower reports whether no bound is above that of another, nor missing there.
func lower(bounds, other map[money.Code]money.Decimal) bool {
	if len(bounds) == 0 {
		return true
	}
	for code, bound := range other {
		if own, ok := bounds[code]; !ok || bound.Compare(own) > 0 {
			return false
		}
	}
	return len(other) > 0
}

// restricted is the refusal of what a key's restriction does not allow.
func restricted(format string, args ...any) *Error { return Errorf(CodeKeyRestricted, format, args...) }

// KeyRestricted refuses a restricted key where the whole institution is concerned.
func KeyRestricted() *Error {
	return restricted("This is about the whole institution, and the API key is restricted to a part of it.")
}

// checkAmount refuses an amount above the bound of its currency, and each of a currency without one.
func (r Restriction) checkAmount(currency money.Currency, amount money.Amount) *Error {
	if len(r.MaxAmount) == 0 {
		return nil
	}
	bound, ok := r.MaxAmount[currency.Code]
	if !ok {
		return restricted("The API key is not for amounts in %s.", currency)
	}
	if amount.Compare(currency, bound) > 0 {
		return restricted("The API key is for amounts of at most %s %s.", bound, currency)
	}
	return nil
}

// confined is a command that a restricted key can be used for: it checks itself. All others concern
// the whole institution: its keys, roles and policies, and templates, which are the bounds of
// restrictions and not within them.
type confined interface {
	// checkRestriction refuses what the restriction does not allow. What it hides is refused as what
	// is not there, and before everything else, so that nothing tells the two apart.
	checkRestriction(b *Books, within Restriction) *Error
}

// checkRestriction refuses a command of an actor whose rights do not reach as far.
func (b *Books) checkRestriction(rights Rights, command Command) *Error {
	if rights.Restriction.IsZero() {
		return nil
	}
	if c, ok := command.(confined); ok {
		return c.checkRestriction(b, rights.Restriction)
	}
	return KeyRestricted()
}

// sees reports whether a position of the books is for a restricted key.
func (b *Books) sees(within Restriction, p Position) bool {
	var of TemplateID
	if len(within.TemplateIDs) > 0 {
		asset, ok := b.Assets.Get(p.AssetID)
		if !ok {
			return false // Its asset was not asked for, so nobody has looked.
		}
		of = asset.TemplateID
	}
	return within.SeesPosition(p, of)
}

func (c CreateAsset) checkRestriction(_ *Books, within Restriction) *Error {
	if !within.SeesTemplate(c.template) {
		return Errorf(CodeTemplateNotFound, "There is no asset template %s.", c.template)
	}
	if len(within.AssetIDs) > 0 {
		return restricted("The API key is for the assets that it names, and for no new ones.")
	}
	return within.checkAssets()
}

func (c UpdateAsset) checkRestriction(b *Books, within Restriction) *Error {
	return cmp.Or(b.checkVisible(c.asset, within), within.checkAssets())
}

func (c CloseAsset) checkRestriction(b *Books, within Restriction) *Error {
	return cmp.Or(b.checkVisible(c.Asset, within), within.checkAssets())
}

// checkAssets refuses to change assets to a key of some holders: others have positions on them, too.
func (r Restriction) checkAssets() *Error {
	if len(r.HolderReferences) > 0 {
		return restricted("The API key is for the positions of its holders, and changes no assets.")
	}
	return nil
}

// checkVisible refuses an asset that is not there, or not for the key.
func (b *Books) checkVisible(id AssetID, within Restriction) *Error {
	if asset, ok := b.Assets.Get(id); !ok || !within.SeesAsset(id, asset.TemplateID) {
		return Errorf(CodeAssetNotFound, "There is no asset %s.", id)
	}
	return nil
}

func (c CreatePosition) checkRestriction(b *Books, within Restriction) *Error {
	if refusal := b.checkVisible(c.asset, within); refusal != nil {
		return refusal
	}
	if !within.SeesHolder(c.holderReference) {
		return restricted("The API key is not for positions of this holder.")
	}
	return within.checkAmount(c.currency, c.amount)
}

func (c TransitionPosition) checkRestriction(b *Books, within Restriction) *Error {
	if refusal := b.checkSeen(c.position, within); refusal != nil {
		return refusal
	}
	p := b.Positions.mustGet(c.position)
	moved, refusal := c.moved(p)
	if refusal != nil {
		moved = 0 // Nothing will move: decide tells why, after what comes first.
	}
	return within.checkAmount(p.Currency, moved)
}

func (c ErasePosition) checkRestriction(b *Books, within Restriction) *Error {
	return b.checkSeen(c.position, within)
}

func (c PlaceHold) checkRestriction(b *Books, within Restriction) *Error {
	return b.checkSeen(c.position, within)
}

func (c LiftHold) checkRestriction(b *Books, within Restriction) *Error {
	return b.checkSeen(c.position, within)
}

// checkSeen refuses a position that is not there, or not for the key.
func (b *Books) checkSeen(position PositionID, within Restriction) *Error {
	if p, ok := b.Positions.Get(position); !ok || !b.sees(within, p) {
		return Errorf(CodePositionNotFound, "There is no position %s.", position)
	}
	return nil
}

// What became of a holder's positions is counted over all of them, whatever their amounts.
func (RecordErasure) checkRestriction(_ *Books, within Restriction) *Error {
	if within.IsNarrow() {
		return KeyRestricted()
	}
	return nil
}

// RestrictionInput is what a client gives to restrict a key; what is nil does not restrict.
type RestrictionInput struct {
	TemplateIDs      *[]string
	AssetIDs         *[]string
	HolderReferences *[]string
	MaxAmount        map[string]money.Digits
}

// restriction reads a restriction that may be missing (nil).
func (f *Faults) restriction(field string, in *RestrictionInput) (r Restriction) {
	if in == nil {
		return r
	}
	r = Restriction{
		TemplateIDs: listOf(f, field+".templateIds", in.TemplateIDs, requiredID[templateKind]),
		AssetIDs:    listOf(f, field+".assetIds", in.AssetIDs, requiredID[assetKind]),
		HolderReferences: listOf(f, field+".holderReferences", in.HolderReferences,
			func(f *Faults, field, text string) string { return f.text(field, text) }),
	}

	r.MaxAmount = f.amountBounds(field+".maxAmount", in.MaxAmount)

	if in.TemplateIDs == nil && in.AssetIDs == nil && in.HolderReferences == nil && len(in.MaxAmount) == 0 {
		f.Add(field, "must restrict something, or be left out")
	}
	return r
}

// amountBounds reads bounds by currency, which may be missing (nil).
func (f *Faults) amountBounds(field string, in map[string]money.Digits) (bounds map[money.Code]money.Decimal) {
	if len(in) > 0 {
		bounds = make(map[money.Code]money.Decimal, len(in))
	}
	for _, code := range slices.Sorted(maps.Keys(in)) {
		place := field + "." + code
		currency := f.currency(place, code)
		bound := f.bound(place, new(in[code]))

		if bound == nil || currency.Code == "" {
			continue
		}
		if _, twice := bounds[currency.Code]; twice {
			f.Add(place, "must not name %s twice", currency)
		}
		bounds[currency.Code] = *bound
	}
	return bounds
}

// listOf reads a list of 1 to MaxRestricted different values that may be missing (nil).
func listOf[T comparable](
	f *Faults, field string, texts *[]string, read func(f *Faults, field, text string) T,
) (list []T) {
	if texts == nil {
		return nil
	}
	if len(*texts) == 0 || len(*texts) > MaxRestricted {
		f.Add(field, "must have 1 to %d elements, or be left out", MaxRestricted)
		return nil
	}

	for _, text := range *texts {
		one := read(f, field, text)
		if slices.Contains(list, one) {
			f.Add(field, "must not name %q twice", text)
		}
		list = append(list, one)
	}
	return list
}

// restrictionState is a Restriction as a key's entries carry it, without the holder references,
// which are a private member of their own.
type restrictionState struct {
	TemplateIDs []TemplateID                 `json:"templateIds,omitempty"`
	AssetIDs    []AssetID                    `json:"assetIds,omitempty"`
	MaxAmount   map[money.Code]money.Decimal `json:"maxAmount,omitempty"`
}

func (r Restriction) state() *restrictionState {
	if len(r.TemplateIDs) == 0 && len(r.AssetIDs) == 0 && len(r.MaxAmount) == 0 {
		return nil
	}
	return &restrictionState{r.TemplateIDs, r.AssetIDs, r.MaxAmount}
}

// restriction puts the parts together that an entry has apart.
func (s *restrictionState) restriction(holders privateObject) (r Restriction, err error) {
	if s != nil {
		r = Restriction{TemplateIDs: s.TemplateIDs, AssetIDs: s.AssetIDs, MaxAmount: s.MaxAmount}
		if r.IsZero() {
			return r, errors.New("a restriction that restricts nothing")
		}
	}

	switch {
	case holders.unknown():
		// A key whose holders are not known is for none: no position has this reference.
		r.HolderReferences = []string{""}
	case holders.value != "":
		err = json.Unmarshal([]byte(holders.value), &r.HolderReferences)
		if err == nil && len(r.HolderReferences) == 0 {
			err = errors.New("a restriction to no holders")
		}
	}
	return r, err
}

// referencesMember is the private member of some references.
func referencesMember(references []string) privateObject {
	if len(references) == 0 {
		return privateObject{}
	}
	text, _ := marshal(references) // Texts have no faults.
	return objectMember(text)
}
