package escrow

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// This file reads of entries what rules are held against, and whether they are what was asked for.

// AuditPlace is where something stands among assets: the asset of a position, the template of an asset, and the
// region of a template; what does not apply is zero.
type AuditPlace struct {
	Asset    AssetID
	Template TemplateID
	Region   Region
}

// Place returns what an entry tells of where its subject stands; ok is false where it tells nothing.
func (e Entry) Place() (place AuditPlace, ok bool) {
	switch event := e.event.(type) {
	case positionCreated:
		place.Asset = event.AssetID
	case assetCreated:
		place.Template = event.TemplateID
	case templateCreated:
		place.Region = event.Region
	default:
		return place, false
	}
	return place, true
}

// AuditPlaces lists the positions and the assets whose places an ApprovalAudit asks for with an entry, as far as
// rules ask for assets.
func (e Entry) AuditPlaces() (subjects []string) {
	facts, _ := e.ruleFacts()
	all := []ruleFacts{facts}
	if asked, ok := e.event.(approvalRequested); ok {
		parts, _ := asked.parts() // Next tells what is wrong with them.
		for _, part := range parts {
			all = append(all, part.facts)
		}
	}

	for _, facts := range all {
		switch {
		case !isOfAsset(facts.permission):
		case !facts.asset.IsZero():
			subjects = append(subjects, facts.asset.String())
		case facts.subject != "":
			subjects = append(subjects, facts.subject)
		}
	}
	return subjects
}

func isOfAsset(permission Permission) bool {
	return slices.ContainsFunc(ruled, func(known ruledPermission) bool {
		return known.permission == permission && known.ofAsset
	})
}

// at returns the facts with where their position stands: all of it where that is a position, and the template and
// its region where it is an asset.
func (f ruleFacts) at(places map[string]AuditPlace) ruleFacts {
	if !isOfAsset(f.permission) {
		return f
	}
	name := f.subject
	if !f.asset.IsZero() {
		name = f.asset.String()
	}
	if place, known := places[name]; known {
		f.template, f.region = place.Template, place.Region
		if f.asset.IsZero() {
			f.asset = place.Asset
		}
	}
	return f
}

// ruleFacts returns what rules are held against of an entry; ok is false for one that is under none.
func (e Entry) ruleFacts() (facts ruleFacts, ok bool) {
	facts.subject = e.Subject
	switch event := e.event.(type) {
	case positionCreated:
		facts.permission, facts.asset = PermissionPositionsCreate, event.AssetID
		if _, step, ok := e.PositionEvent(); ok {
			facts.amount = moneyOf(step)
		}
	case positionStateChanged:
		facts.permission = event.To.rules().permission
		if _, step, ok := e.PositionEvent(); ok {
			facts.amount = moneyOf(step)
		}

	case holdLifted:
		var reader storedReader
		facts.permission, facts.amount = PermissionHoldsLift, reader.money(event.Amount, event.Currency)

	case policySet:
		facts.permission, facts.region = PermissionPoliciesSet, event.Region
	case templateCreated:
		facts.permission = PermissionTemplatesCreate
	case templateUpdated, templateClosed:
		facts.permission = PermissionTemplatesUpdate
	case assetCreated:
		facts.permission = PermissionAssetsCreate
	case assetUpdated, assetClosed:
		facts.permission = PermissionAssetsUpdate

	case keyCreated, keyUpdated:
		facts.permission = PermissionKeysManage
	case keyRotated:
		facts.permission, facts.subject = PermissionKeysManage, event.Replaces.String()
	case userRestored:
		facts.permission = PermissionUsersManage
	case roleSet:
		facts.permission = PermissionRolesManage
	case providerSet:
		facts.permission = PermissionIdentitySet
	case approvalRulesSet:
		facts.permission = PermissionRulesSet
	default:
		return facts, false
	}
	return facts, true
}

// askedPart is a part of what an approval was asked for: the whole of it, or an item of its batch.
type askedPart struct {
	form   form
	facts  ruleFacts
	amount string
}

// parts returns the parts of what is asked for, or tells where what it is said to be about is not what it is.
func (e approvalRequested) parts() ([]askedPart, error) {
	forms := []writtenCommand{e.Command}
	if batch, ok := e.Command.form.(batchForm); ok {
		forms = batch.Items
	}
	subjects, err := e.subjectsOf(InstitutionID{})
	if err != nil {
		return nil, err
	}
	if len(forms) != len(subjects) {
		return nil, fmt.Errorf("it is about %d subjects, and its command about %d", len(subjects), len(forms))
	}

	parts := make([]askedPart, len(forms))
	for i, written := range forms {
		s := subjects[i]
		facts := ruleFacts{permission: s.Permission, subject: s.Subject, amount: s.Amount, holds: s.Holds}
		asked := ruleFacts{}
		switch f := written.form.(type) {
		case createPositionForm:
			asked.permission, facts.asset = PermissionPositionsCreate, f.AssetID
			if f.Amount != e.Subjects[i].Amount || f.Currency != e.Subjects[i].Currency {
				return nil, fmt.Errorf("it is about %s %s, and its command is not",
					e.Subjects[i].Amount, e.Subjects[i].Currency)
			}
		case transitionForm:
			asked.permission, asked.subject = f.ToState.rules().permission, f.PositionID.String()
		case liftHoldForm:
			asked.permission, asked.subject = PermissionHoldsLift, f.PositionID.String()
		case policyForm:
			asked.permission, asked.subject = PermissionPoliciesSet, PolicySubject(f.Region)
			facts.region = f.Region
		default:
			asked.permission, asked.subject = factsOfForm(f)
		}
		if facts.permission != asked.permission || facts.subject != asked.subject {
			return nil, fmt.Errorf("it is about %s on %q, and its command is not", facts.permission, facts.subject)
		}
		parts[i] = askedPart{form: written.form, facts: facts, amount: e.Subjects[i].Amount}
	}
	return parts, nil
}

// factsOfForm returns the permission and the subject of a written command that rules ask no more of.
func factsOfForm(written form) (Permission, string) {
	switch f := written.(type) {
	case createTemplateForm:
		return PermissionTemplatesCreate, ""
	case updateTemplateForm:
		return PermissionTemplatesUpdate, f.ID.String()
	case closeTemplateForm:
		return PermissionTemplatesUpdate, f.ID.String()

	case createAssetForm:
		return PermissionAssetsCreate, ""
	case updateAssetForm:
		return PermissionAssetsUpdate, f.ID.String()
	case closeAssetForm:
		return PermissionAssetsUpdate, f.ID.String()

	case createKeyForm:
		return PermissionKeysManage, ""
	case rotateKeyForm:
		return PermissionKeysManage, f.ID.String()
	case updateKeyForm:
		return PermissionKeysManage, f.ID.String()
	case restoreUserForm:
		return PermissionUsersManage, f.ID.String()
	case roleForm:
		return PermissionRolesManage, RoleSubject(f.Name)
	case providerForm:
		return PermissionIdentitySet, ProviderSubject
	case rulesForm:
		return PermissionRulesSet, RulesSubject
	}
	return "", ""
}

// carriedOut says of each written command which kind of entry it makes, and which members the two have in common: each
// has the same value, or stands in neither.
var carriedOut = map[commandType]struct {
	kind    Kind
	members []string
}{
	"position.create":       {KindPositionCreated, []string{"assetId", "currency", "amount"}},
	"position.transition":   {KindPositionStateChanged, []string{"toState"}},
	"hold.lift":             {KindHoldLifted, []string{"holdId"}},
	"policy.set":            {KindPolicySet, []string{"region", "position"}},
	"asset_template.create": {KindTemplateCreated, []string{"code", "name", "vertical", "region", "config"}},
	"asset_template.update": {KindTemplateUpdated, []string{"id"}},
	"asset_template.close":  {KindTemplateClosed, []string{"id"}},
	"asset.create":          {KindAssetCreated, []string{"templateId"}},
	"asset.update":          {KindAssetUpdated, []string{"id"}},
	"asset.close":           {KindAssetClosed, []string{"id"}},
	"api_key.create": {
		KindKeyCreated, []string{"role", "permissions", "restrict", "allowedNetworks", "hash", "expiresAt"},
	},
	"api_key.rotate": {KindKeyRotated, []string{"hash"}},
	"api_key.update": {KindKeyUpdated, []string{"id"}},
	"user.restore":   {KindUserRestored, []string{"id"}},
	"role.set":       {KindRoleSet, []string{"name", "permissions"}},
	"identity_provider.set": {
		KindProviderSet, []string{"issuer", "clientId", "audience", "claims", "roleByGroup"},
	},
	"approval_rules.set": {KindApprovalRulesSet, []string{"rules"}},
}

// makes reports whether an entry is what the part was asked for. What is private of it is not compared: the
// commitments of the two are others.
func (p askedPart) makes(entry Entry) bool {
	facts, _ := entry.ruleFacts()
	amount := ""
	if facts.amount.Amount > 0 {
		amount = facts.amount.Format()
	}
	isIt := p.facts.permission == facts.permission && p.amount == amount &&
		(amount == "" || p.facts.amount.Currency.Code == facts.amount.Currency.Code) &&
		(p.facts.subject == "" || p.facts.subject == facts.subject)
	if !isIt {
		return false
	}

	asked, askedErr := jsonMembers(p.form)
	carried, carriedErr := jsonMembers(entry.event)
	var name commandType
	if askedErr != nil || carriedErr != nil || json.Unmarshal(asked["type"], &name) != nil {
		return false
	}
	known := carriedOut[name]
	return known.kind == entry.Kind && !slices.ContainsFunc(known.members, func(member string) bool {
		return !bytes.Equal(asked[member], carried[member])
	})
}

// jsonMembers returns the members of what is written as a JSON object.
func jsonMembers(written any) (members map[string]json.RawMessage, err error) {
	text, err := marshal(written)
	if err != nil {
		return nil, err
	}
	err = json.Unmarshal(text, &members)
	return members, err
}
