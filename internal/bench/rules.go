package bench

import "context"

// approvalRule is what an institution's approval rules ask before positions are funded, of amounts that
// no benchmark moves.
type approvalRule struct {
	name, window string
	goal         float64
}

// rules measures how much approval rules slow the commands that they ask for nobody.
func (b *bench) rules(ctx context.Context) error {
	for _, store := range b.stores() {
		without, err := b.open(ctx, setup{name: "without rules", store: store})
		if err != nil {
			return err
		}

		for _, rule := range []approvalRule{
			{name: "under a rule for large amounts", goal: 0.95},
			{name: "under a rule for large amounts within a day", window: "24h"},
		} {
			with, err := b.open(ctx, setup{name: rule.name, store: store})
			if err != nil {
				return err
			}
			if err := with.setRule(ctx, rule); err != nil {
				return err
			}

			err = b.compareWrites(ctx, Comparison{
				Name: "pairs " + rule.name + ", " + store + ", 50 connections",
				Unit: "pairs/s",
				Goal: rule.goal,
			},
				without.inLoop(someConnections, without.createAndFund),
				with.inLoop(someConnections, with.createAndFund))
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// setRule sets a rule in all institutions, and makes the key that it asks for.
func (s *subject) setRule(ctx context.Context, rule approvalRule) error {
	when := map[string]any{"amountFrom": map[string]any{"USD": "1000000000000"}}
	if rule.window != "" {
		when["window"] = rule.window
	}
	on := []string{"positions.fund", "positions.release"}

	for i := range s.tenants {
		if err := s.tenants[i].AskChecker(ctx, s.servers[0], on, when); err != nil {
			return err
		}
	}
	return nil
}
