package escrow_test

import (
	"strings"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

func TestWhatThingsAreCalledCanBeCorrected(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	template := d.template(escrow.ConstructionEscrow, `{"currency":"USD"}`)
	asset := d.asset(template)
	key := d.key(escrow.RoleAdmin, nil)
	name := new(" Harbour ")

	d.accept(valid(escrow.NewUpdateInstitution(name, []int64{1})))
	d.accept(valid(escrow.NewUpdateTemplate(template, name, nil)))
	d.accept(valid(escrow.NewUpdateAsset(asset, escrow.AssetChange{Label: name}, []int64{9, 1})))
	d.accept(valid(escrow.NewUpdateKey(key, name, nil)))
	institution, _ := d.books.Institutions.Get(d.books.InstitutionID())
	made, _ := d.books.Templates.Get(template)
	on, _ := d.books.Assets.Get(asset)
	for what, is := range map[string]struct {
		name    string
		version int64
	}{
		"institution": {institution.Name, institution.Version}, "template": {made.Name, made.Version},
		"asset": {on.Label, on.Version}, "key": {d.getKey(key).Label, d.getKey(key).Version},
	} {
		if is.name != "Harbour" || is.version != 2 {
			t.Errorf("the %s is %q in version %d", what, is.name, is.version)
		}
	}

	// What is so already, or is left out, makes no entry.
	entries := len(d.books.Entries)
	for _, same := range []*string{nil, name} {
		d.accept(valid(escrow.NewUpdateInstitution(same, nil)))
		d.accept(valid(escrow.NewUpdateTemplate(template, same, nil)))
		d.accept(valid(escrow.NewUpdateAsset(asset, escrow.AssetChange{Label: same}, nil)))
		d.accept(valid(escrow.NewUpdateKey(key, same, nil)))
	}
	if len(d.books.Entries) != entries {
		t.Error("changes of nothing are in the journal")
	}

	one := []int64{1}
	d.refuse(valid(escrow.NewUpdateInstitution(name, one)), escrow.CodeVersionMismatch)
	d.refuse(valid(escrow.NewUpdateTemplate(template, name, one)), escrow.CodeVersionMismatch)
	d.refuse(valid(escrow.NewUpdateAsset(asset, escrow.AssetChange{}, one)), escrow.CodeVersionMismatch)
	d.refuse(valid(escrow.NewUpdateKey(key, name, []int64{})), escrow.CodeVersionMismatch)
	d.refuse(valid(escrow.NewUpdateTemplate(escrow.TemplateID{1}, name, nil)), escrow.CodeTemplateNotFound)
	d.refuse(valid(escrow.NewUpdateAsset(escrow.AssetID{1}, escrow.AssetChange{}, nil)), escrow.CodeAssetNotFound)
	d.refuse(valid(escrow.NewUpdateKey(escrow.KeyID{1}, name, nil)), escrow.CodeKeyNotFound)
	_, faults := escrow.NewUpdateAsset(asset, escrow.AssetChange{Label: new(" ")}, nil)
	checkFaults(t, faults, "label is required")
	d.checkReplay()
}

func TestWhatIsClosedTakesNothingNew(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	template := d.template(escrow.ConstructionEscrow, `{"currency":"USD"}`)
	asset := d.asset(template)
	held, created := d.position(asset, "10", "USD"), d.position(asset, "10", "USD")
	d.accept(transition(held, escrow.StateFunded, ""))
	key := d.key(escrow.RoleAdmin, nil)

	for range 2 { // The second time changes nothing.
		d.accept(escrow.CloseTemplate{Template: template})
		d.accept(escrow.CloseAsset{Asset: asset})
	}
	made, _ := d.books.Templates.Get(template)
	on, _ := d.books.Assets.Get(asset)
	if made.ClosedAt == nil || made.Version != 2 || on.ClosedAt == nil || on.Version != 2 {
		t.Errorf("closed they are %+v and %+v", made, on)
	}
	d.refuse(valid(escrow.NewCreateAsset(escrow.AssetInput{TemplateID: template.String(), Label: "a"})), escrow.CodeTemplateClosed)
	d.refuse(newPosition(asset, "10", "USD", nil), escrow.CodeAssetClosed)
	d.refuse(escrow.CloseTemplate{Template: escrow.TemplateID{1}}, escrow.CodeTemplateNotFound)
	d.refuse(escrow.CloseAsset{Asset: escrow.AssetID{1}}, escrow.CodeAssetNotFound)

	if refusal := d.refusal(escrow.CloseInstitution{}, escrow.CodeInstitutionHoldsMoney); !strings.Contains(refusal.Detail, held.String()) {
		t.Errorf("the refusal does not name a position: %s", refusal)
	}
	d.accept(transition(held, escrow.StateReleased, "")) // What there is goes on.
	d.actor = escrow.ActorKey(key)
	d.refuse(escrow.CloseInstitution{}, escrow.CodePermissionMissing)
	d.actor = escrow.ActorRoot()
	d.accept(escrow.CloseInstitution{})
	d.accept(escrow.CloseInstitution{})
	d.checkReplay()

	for _, command := range []escrow.Command{
		newPosition(asset, "10", "USD", nil), transition(created, escrow.StateFunded, ""), newRotation(key, 0),
		valid(escrow.NewUpdateInstitution(new("x"), nil)), valid(escrow.NewSetPolicy("US", rules("", ""))),
	} {
		d.refuse(command, escrow.CodeInstitutionClosed)
	}
	d.accept(transition(created, escrow.StateCancelled, ""))
	d.accept(escrow.RevokeKey{Key: key})
}

// Of the stored positions that hold money one is loaded: whether there are others is open
// once that one has moved in the same group.
func TestAnInstitutionWhoseMoneyMovesIsNotClosed(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	id := d.position(d.escrow(), "10", "USD")
	d.accept(transition(id, escrow.StateFunded, ""))
	d.books.Positions.Load(id, d.get(id))
	d.accept(transition(id, escrow.StateReleased, ""))
	d.refuse(escrow.CloseInstitution{}, escrow.CodeInstitutionHoldsMoney)
}
