package escrow

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/money"
)

// This file finds the approval rules that a command meets.

// ruleFacts is what rules are held against: of a command, or of one item of a batch. What the command
// does not concern is zero.
type ruleFacts struct {
	permission Permission
	// subject is how the journal names what the command changes; empty where it makes something.
	subject  string
	asset    AssetID
	template TemplateID
	region   Region
	// amount is what the command moves, or the amount of the position that it creates.
	amount money.Money
	// holds says that the amount is taken from what a position holds.
	holds bool
}

// factual is a command that rules can ask more of than its permission and its subject.
type factual interface {
	single
	facts(b *Books) ruleFacts
}

// factsOf returns what rules are held against of a request: of its command, or of each item of its batch
// that its actor may ask for.
func (b *Books) factsOf(r Request, s Stamp) (facts []ruleFacts, err error) {
	note := func(command single) {
		if can, ok := command.(approvable); ok {
			facts = append(facts, b.factsOfCommand(can))
		}
	}

	switch c := r.Command.(type) {
	case single:
		note(c)
	case PositionBatch:
		if c.erasesOnly() {
			return nil, nil
		}
		if c.repeatsPosition() {
			// What a later item moves is what earlier ones leave, so they are carried out to see it.
			before := b.save()
			if _, err := b.executeItems(r, c.items, s, note); err != nil {
				return nil, err
			}
			b.rollBack(before)
			return facts, nil
		}
		for _, item := range c.items {
			if b.checkItem(r.rights, item) == nil {
				note(item.command)
			}
		}
	}
	return facts, nil
}

// repeatsPosition reports whether two items of a batch are about the same position.
func (c PositionBatch) repeatsPosition() bool {
	seen := make(map[PositionID]bool, len(c.items))
	for _, item := range c.items {
		transition, ok := item.command.(TransitionPosition)
		if !ok || item.refusal != nil {
			continue
		}
		if seen[transition.position] {
			return true
		}
		seen[transition.position] = true
	}
	return false
}

func (b *Books) factsOfCommand(command approvable) ruleFacts {
	if c, ok := command.(factual); ok {
		return c.facts(b)
	}
	return ruleFacts{permission: command.permission(), subject: command.concerns()}
}

func (c CreatePosition) facts(b *Books) ruleFacts {
	facts := b.factsOfAsset(c.asset)
	facts.permission, facts.amount = c.permission(), money.Money{Amount: c.amount, Currency: c.currency}
	return facts
}

func (c TransitionPosition) facts(b *Books) ruleFacts {
	p, _ := b.Positions.Get(c.position)
	facts := b.factsOfAsset(p.AssetID)
	facts.permission, facts.subject = c.permission(), c.position.String()
	facts.holds = c.to.rules().debit == AccountEscrow
	if moved, refusal := c.moved(p); refusal == nil {
		facts.amount = money.Money{Amount: moved, Currency: p.Currency}
	}
	return facts
}

func (c SetPolicy) facts(*Books) ruleFacts {
	return ruleFacts{permission: c.permission(), subject: c.concerns(), region: c.region}
}

func (b *Books) factsOfAsset(id AssetID) ruleFacts {
	asset, _ := b.Assets.Get(id)
	template, _ := b.Templates.Get(asset.TemplateID)
	return ruleFacts{asset: id, template: asset.TemplateID, region: template.Region}
}

// concerns reports whether a rule is about what some facts tell, whatever the amount.
func (r ApprovalRule) concerns(f ruleFacts) bool {
	when := r.When
	return slices.Contains(r.On, f.permission) &&
		(when.TemplateID.IsZero() || when.TemplateID == f.template) &&
		(when.AssetID.IsZero() || when.AssetID == f.asset) &&
		(when.Region == "" || when.Region == f.region)
}

// haveWindow reports whether one of the rules has a window.
func (r ApprovalRules) haveWindow() bool {
	return slices.ContainsFunc(r.Rules, func(rule ApprovalRule) bool { return rule.When.Window > 0 })
}

// askForAssets reports whether one of the rules asks for what only an asset tells.
func (r ApprovalRules) askForAssets() bool {
	return slices.ContainsFunc(r.Rules, func(rule ApprovalRule) bool {
		when := rule.When
		return !when.TemplateID.IsZero() || !when.AssetID.IsZero() || when.Region != ""
	})
}

// checkPlaces refuses rules about a template or an asset that is not there, or that are about no asset at all:
// no command would ever meet them, and whoever has set them would believe that it does.
func (b *Books) checkPlaces(rules []ApprovalRule) *Error {
	for i, rule := range rules {
		place, when := fmt.Sprintf("rules[%d].when.", i), rule.When
		if !when.AssetID.IsZero() {
			asset, known := b.Assets.Get(when.AssetID)
			switch {
			case !known:
				return invalid(place+"assetId", "must be an asset of the institution")
			case !when.TemplateID.IsZero() && when.TemplateID != asset.TemplateID:
				return invalid(place+"assetId", "must be of the rule's template, and not of %s", asset.TemplateID)
			}
			when.TemplateID = asset.TemplateID
		}

		if when.TemplateID.IsZero() {
			continue
		}
		template, known := b.Templates.Get(when.TemplateID)
		switch {
		case !known:
			return invalid(place+"templateId", "must be an asset template of the institution")
		case when.Region != "" && when.Region != template.Region:
			return invalid(place+"region", "must be that of what the rule is about, %s", template.Region)
		}
	}
	return nil
}

// matching returns the rules that a command meets, or the items of a batch together, in their order:
// those that ask for somebody. Each item meets the first rule that is about it, and amounts are those
// of all items that a rule is about, so that a batch of small ones is a large one.
func (b *Books) matching(r Request, facts []ruleFacts, at time.Time) (met []ApprovalRule) {
	rules, _ := b.Rules.Get(b.institutionID)
	for _, rule := range rules.Rules {
		var about, others []ruleFacts
		reached := b.reached(rule, r.Actor, facts, at)
		for _, f := range facts {
			if rule.concerns(f) && (rule.When.AmountFrom == nil || reached[f.amount.Currency.Code]) {
				about = append(about, f)
			} else {
				others = append(others, f)
			}
		}

		if len(about) > 0 && len(rule.Require) > 0 {
			met = append(met, rule)
		}
		facts = others
	}
	return met
}

// reached returns the currencies whose amounts reach those from which a rule holds. What moved in the rule's
// window adds to what moves, and not to nothing.
func (b *Books) reached(rule ApprovalRule, actor Actor, facts []ruleFacts, at time.Time) map[money.Code]bool {
	sums := make(map[money.Currency]money.Amount)
	for _, f := range facts {
		if _, bounded := rule.When.AmountFrom[f.amount.Currency.Code]; bounded && rule.concerns(f) {
			sums[f.amount.Currency] = addCapped(sums[f.amount.Currency], f.amount.Amount)
		}
	}

	reached := make(map[money.Code]bool, len(sums))
	for currency, sum := range sums {
		if sum > 0 {
			sum = addCapped(sum, b.movedWithin(rule, actor, currency, at))
		}
		reached[currency.Code] = sum.Compare(currency, rule.When.AmountFrom[currency.Code]) >= 0
	}
	return reached
}

// movedWithin returns what was moved in a rule's window before a time, of a currency.
func (b *Books) movedWithin(rule ApprovalRule, actor Actor, currency money.Currency, at time.Time) money.Amount {
	if rule.When.Window == 0 {
		return 0
	}
	of := b.movesOf(actor)
	if rule.When.WindowScope == WindowOfInstitution {
		of = movesOfInstitution
	}
	moves, _ := b.Moves.Get(of)
	return moves.since(at.Add(-time.Duration(rule.When.Window)), rule.On, currency)
}

// addCapped adds amounts, and stays at the most there can be.
func addCapped(a, b money.Amount) money.Amount {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
