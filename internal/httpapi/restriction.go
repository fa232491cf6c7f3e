package httpapi

import "github.com/escrowgrid/escrowgrid/internal/escrow"

// What a restricted key sees. Lists are narrowed by the store, and commands are checked under the
// lock; here is what is asked for by name.

// position returns a position that the caller may see, without its events. One that is hidden is
// refused like one that is not there.
func (c *call) position(institution escrow.InstitutionID, id escrow.PositionID) (escrow.Position, error) {
	within := c.caller.rights.Restriction
	position, err := c.server.engine.Position(c.context(), institution, id)
	if err != nil || !within.IsNarrow() {
		return position, err
	}

	var of escrow.TemplateID
	if len(within.TemplateIDs) > 0 {
		asset, err := c.server.engine.Asset(c.context(), institution, position.AssetID)
		if err != nil {
			return escrow.Position{}, err
		}
		of = asset.TemplateID
	}
	if !within.SeesPosition(position, of) {
		return escrow.Position{}, escrow.Errorf(escrow.CodePositionNotFound, "There is no position %s.", id)
	}
	return position, nil
}

// checkLedger refuses the ledger of a position that the caller may not see, and that of all to a
// restricted caller.
func (c *call) checkLedger(institution escrow.InstitutionID, subject string) error {
	if !c.caller.rights.Restriction.IsNarrow() {
		return nil
	}
	var id escrow.PositionID
	if err := id.UnmarshalText([]byte(subject)); err != nil {
		return escrow.Errorf(escrow.CodeKeyRestricted,
			"The ledger is that of the whole institution, and the API key is restricted to a part of it: "+
				"name a positionId.")
	}
	_, err := c.position(institution, id)
	return err
}

// checkHolder refuses what is held about a holder to a caller who may not see all of it.
func (c *call) checkHolder(reference string) error {
	within := c.caller.rights.Restriction
	if len(within.TemplateIDs) > 0 || len(within.AssetIDs) > 0 || !within.SeesHolder(reference) {
		return escrow.KeyRestricted()
	}
	return nil
}
