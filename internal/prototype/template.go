package prototype

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// template is an asset template that was taken.
type template struct {
	id escrow.TemplateID
	// tenorDays is how long a position may run, 0 where there is no bound.
	tenorDays int64
}

func (t *tenant) importTemplates(ctx context.Context, templates []templateRow) error {
	for page := range slices.Chunk(templates, pageSize) {
		var things []*wanted
		tenors := make(map[string]int64)
		for _, row := range page {
			if t.isLeftOut() {
				if err := t.report(missing(Templates, row.ID, Institutions, t.row.ID)); err != nil {
					return err
				}
				continue
			}

			config, notes, err := knownConfig(row)
			if err != nil {
				return err
			}
			command, faults := escrow.NewCreateTemplate(escrow.TemplateInput{
				Code: row.Code, Name: row.Name, Vertical: row.Vertical, Region: row.Region, Config: config,
			})
			things = append(things, newWanted(Templates, row.ID, command, faults, notes))
			tenors[row.ID] = tenorOf(config)
		}

		err := t.makeAll(ctx, t.id, things, func(w *wanted) error {
			made := template{tenorDays: tenors[w.id]}
			err := made.id.UnmarshalText([]byte(w.subject))
			t.templates[w.id] = made
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// knownConfig leaves out the members of a config that its code does not have, and bounds of 0, of
// which the prototype made nothing.
func knownConfig(row templateRow) (config []byte, notes []Line, err error) {
	var members map[string]json.RawMessage
	if json.Unmarshal(row.Config, &members) != nil {
		return row.Config, nil, nil //nolint:nilerr // The domain refuses it, and says why.
	}

	known := escrow.TemplateCode(row.Code).ConfigMembers()
	for _, name := range slices.Sorted(maps.Keys(members)) {
		// The prototype let any position have any reference, whatever a config said.
		isKnown := name != "uniqueExternalReference" &&
			slices.ContainsFunc(known, func(m escrow.ConfigMember) bool { return m.Name == name })
		isBound := name == "minAmount" || name == "maxAmount"
		switch {
		case len(known) > 0 && !isKnown:
			notes = append(notes, changed(Templates, row.ID, "config_member",
				fmt.Sprintf("config.%s, %s, means nothing here", name, members[name])))
		case isBound && isZero(members[name]):
			notes = append(notes, changed(Templates, row.ID, "config_bound_zero",
				"config."+name+" is 0, and no bound here"))
		default:
			continue
		}
		delete(members, name)
	}
	config, err = json.Marshal(members)
	return config, notes, err
}

func isZero(number json.RawMessage) bool {
	value, ok := new(big.Rat).SetString(string(number))
	return ok && value.Sign() == 0
}

func tenorOf(config []byte) int64 {
	var read struct{ MaxTenorDays int64 }
	if err := json.Unmarshal(config, &read); err != nil {
		return 0
	}
	return read.MaxTenorDays
}
