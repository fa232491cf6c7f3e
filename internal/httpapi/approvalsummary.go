package httpapi

import (
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

// This file tells people what an approval is about.

// totals add up amounts by permission and currency, in the order in which they come.
type totals struct {
	sums   []*big.Int
	counts []totalView
	units  []money.Currency
}

func newTotals() *totals { return &totals{} }

// add adds an amount. The sum of a batch can be more than one amount can.
func (t *totals) add(permission escrow.Permission, amount money.Money) {
	for i := range t.counts {
		if t.counts[i].Permission == permission && t.counts[i].Currency == amount.Currency.Code {
			t.sums[i].Add(t.sums[i], big.NewInt(int64(amount.Amount)))
			t.counts[i].Count++
			return
		}
	}
	t.sums = append(t.sums, big.NewInt(int64(amount.Amount)))
	t.units = append(t.units, amount.Currency)
	t.counts = append(t.counts, totalView{Permission: permission, Currency: amount.Currency.Code, Count: 1})
}

func (t *totals) views() []totalView {
	views := []totalView{}
	for i, view := range t.counts {
		view.Amount = money.FormatSum(t.sums[i], t.units[i].Decimals)
		views = append(views, view)
	}
	return views
}

// writtenView is what the summaries tell of a command. Of each type of command some members are there.
type writtenView struct {
	Type            string              `json:"type"`
	ID              string              `json:"id"`
	PositionID      string              `json:"positionId"`
	HoldID          string              `json:"holdId"`
	ToState         string              `json:"toState"`
	AssetID         string              `json:"assetId"`
	HolderReference string              `json:"holderReference"`
	Region          string              `json:"region"`
	Position        policyRulesView     `json:"position"`
	Code            string              `json:"code"`
	Name            *string             `json:"name"`
	TemplateID      string              `json:"templateId"`
	Label           string              `json:"label"`
	Metadata        *escrow.Metadata    `json:"metadata"`
	Role            string              `json:"role"`
	Permissions     []escrow.Permission `json:"permissions"`
	OverlapSeconds  int64               `json:"overlapSeconds"`
	Items           []struct {
		Type string `json:"type"`
	} `json:"items"`
	Rules []struct {
		ID string `json:"id"`
	} `json:"rules"`
	Issuer      string            `json:"issuer"`
	ClientID    string            `json:"clientId"`
	SetsSecret  bool              `json:"setsSecret"`
	RoleByGroup map[string]string `json:"roleByGroup"`
}

// summaryOf says in a sentence what a command does, as its written form tells.
func summaryOf(command []byte, subjects []subjectView, sums []totalView) (string, error) {
	var c writtenView
	if err := jsonv2.Unmarshal(command, &c); err != nil {
		return "", fmt.Errorf("summarize a command: %w", err)
	}
	amount := ""
	if len(sums) == 1 {
		amount = sums[0].Amount + " " + string(sums[0].Currency)
	}

	switch noun, _, _ := strings.Cut(c.Type, "."); noun {
	case "position", "positions":
		return c.positionSummary(subjects, sums, amount), nil
	case "hold":
		return fmt.Sprintf("Lift the hold %s on up to %s of %s.", c.HoldID, amount, c.PositionID), nil
	case "api_key", "user", "role", "identity_provider":
		return c.rightsSummary(), nil
	}
	return c.configurationSummary(), nil
}

// positionSummary is that of a command on positions.
func (c writtenView) positionSummary(subjects []subjectView, sums []totalView, amount string) string {
	switch c.Type {
	case "position.create":
		return fmt.Sprintf("Create a position of %s on %s%s.", amount, c.AssetID, quoted(" for ", c.HolderReference))
	case "positions.batch":
		counts := make([]string, len(sums))
		for i, sum := range sums {
			counts[i] = fmt.Sprintf("%s %d (%s %s)", verbOf(sum.Permission), sum.Count, sum.Amount, sum.Currency)
		}
		if len(counts) == 0 {
			counts = []string{"move no money"}
		}
		return fmt.Sprintf("All or none of %d commands on positions: %s.", len(c.Items), strings.Join(counts, ", "))
	}

	verb := "cancel"
	if len(subjects) > 0 {
		verb = verbOf(subjects[0].Permission)
	}
	verb = strings.ToUpper(verb[:1]) + verb[1:]
	if amount != "" {
		return fmt.Sprintf("%s %s of %s (%s).", verb, amount, c.PositionID, c.ToState)
	}
	return fmt.Sprintf("%s %s (%s).", verb, c.PositionID, c.ToState)
}

// verbOf is what a command on a position with a permission does.
func verbOf(p escrow.Permission) string { return strings.TrimPrefix(string(p), "positions.") }

// rightsSummary is that of a command on who may do what.
func (c writtenView) rightsSummary() string {
	permissions := join(c.Permissions)
	if permissions == "" {
		permissions = "none"
	}

	switch c.Type {
	case "api_key.create":
		if c.Role != "" {
			return fmt.Sprintf("Create an API key%s with the role %s.", quoted(" ", c.Label), c.Role)
		}
		return fmt.Sprintf("Create an API key%s with the permissions %s.", quoted(" ", c.Label), permissions)
	case "api_key.rotate":
		if c.OverlapSeconds == 0 {
			return fmt.Sprintf("Replace the API key %s, which ends at once.", c.ID)
		}
		return fmt.Sprintf("Replace the API key %s, which lives on for %d seconds.", c.ID, c.OverlapSeconds)
	case "api_key.update":
		return fmt.Sprintf("Rename the API key %s%s.", c.ID, quoted(" to ", c.Label))
	case "user.restore":
		return fmt.Sprintf("Let the user %s in again.", c.ID)
	case "role.set":
		return fmt.Sprintf("Set the permissions of the role %s: %s.", deref(c.Name), permissions)
	case "identity_provider.set":
		client := c.ClientID
		if c.SetsSecret {
			client += " and a new secret of it"
		}
		return fmt.Sprintf("Let people in whom %s vouches for, with the client %s: %s.", c.Issuer, client, c.groups())
	}
	return c.Type + "."
}

// groups says which groups get which roles.
func (c writtenView) groups() string {
	if len(c.RoleByGroup) == 0 {
		return "no group has a role"
	}
	pairs := make([]string, 0, len(c.RoleByGroup))
	for _, group := range slices.Sorted(maps.Keys(c.RoleByGroup)) {
		pairs = append(pairs, fmt.Sprintf("%q has the role %s", group, c.RoleByGroup[group]))
	}
	return strings.Join(pairs, ", ")
}

// configurationSummary is that of a command that sets up what positions are claims on, or rules.
func (c writtenView) configurationSummary() string {
	switch c.Type {
	case "policy.set":
		return fmt.Sprintf("Set the policy for %s: %s.", c.Region, describePolicy(c.Position))
	case "asset_template.create":
		return fmt.Sprintf("Create the asset template%s (%s, %s).", quoted(" ", deref(c.Name)), c.Code, c.Region)
	case "asset_template.update":
		return fmt.Sprintf("Rename the asset template %s%s.", c.ID, quoted(" to ", deref(c.Name)))
	case "asset_template.close":
		return fmt.Sprintf("Close the asset template %s.", c.ID)

	case "asset.create":
		return fmt.Sprintf("Create the asset%s of %s.", quoted(" ", c.Label), c.TemplateID)
	case "asset.update":
		changes := "metadata"
		if c.Label != "" && c.Metadata != nil {
			changes = "label and metadata"
		} else if c.Label != "" {
			changes = "label"
		}
		return fmt.Sprintf("Change the %s of the asset %s.", changes, c.ID)
	case "asset.close":
		return fmt.Sprintf("Close the asset %s.", c.ID)

	case "approval_rules.set":
		names := make([]string, len(c.Rules))
		for i, rule := range c.Rules {
			names[i] = rule.ID
		}
		if len(names) == 0 {
			return "Set no approval rules: nothing takes an approval any more."
		}
		return fmt.Sprintf("Set the approval rules: %s.", strings.Join(names, ", "))
	}
	return c.Type + "."
}

func describePolicy(rules policyRulesView) string {
	var parts []string
	if rules.MinAmount != "" {
		parts = append(parts, "amounts from "+rules.MinAmount)
	}
	if rules.MaxAmount != "" {
		parts = append(parts, "amounts up to "+rules.MaxAmount)
	}

	if len(rules.AllowedCurrencies) > 0 {
		codes := make([]string, len(rules.AllowedCurrencies))
		for i, code := range rules.AllowedCurrencies {
			codes[i] = string(code)
		}
		parts = append(parts, "the currencies "+strings.Join(codes, ", "))
	}

	if len(parts) == 0 {
		return "no bounds"
	}
	return strings.Join(parts, ", ")
}

// quoted is a text of a client's in quotes, after what leads to it; nothing where the text is not there.
func quoted(before, text string) string {
	if text == "" {
		return ""
	}
	return before + strconv.Quote(text)
}

func deref(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}
