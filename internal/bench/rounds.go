package bench

import (
	"context"
	"fmt"
)

// contender is one side of a comparison.
type contender struct {
	name string
	// subject is the one whose processor time and memory are read; nil is none.
	subject *subject
	// run runs a round, and returns its figure, or unmeasured.
	run func(ctx context.Context, t turn) (figure float64, did load, err error)
}

// inLoop is a contender that carries out work on connections as often as it can.
// Its figure is in pieces of work per second.
func inLoop(name string, addresses []string, connections int, s *subject, do work) contender {
	return contender{name: name, subject: s, run: func(ctx context.Context, t turn) (float64, load, error) {
		did, err := closedLoop(ctx, addresses, connections, t, do)
		return did.rate(), did, err
	}}
}

// tally adds up what the rounds of a contender did.
type tally struct {
	// cpu is in seconds.
	cpu     float64
	done    int64
	latency *histogram
}

// compare gives each contender its turn, round by round, so that whatever else the machine
// does affects all of them. A shorter turn before the first round warms them up. compare prints
// the figures and adds them to those of the run.
func (b *bench) compare(ctx context.Context, c Comparison, contenders ...contender) error {
	c.Experiment, c.Conditions = b.experiment, b.conditions
	c.Contenders = make([]Contender, len(contenders))
	tallies := make([]tally, len(contenders))
	for i, one := range contenders {
		c.Contenders[i].Name, tallies[i].latency = one.name, newHistogram()
		if _, _, err := one.run(ctx, b.config.turn().warmUp()); err != nil {
			return fmt.Errorf("%s, %s: %w", c.Name, one.name, err)
		}
	}

	for round := range b.config.Rounds {
		for i, one := range contenders {
			b.progress.say(c.Name, fmt.Sprintf("%s, round %d of %d", one.name, round+1, b.config.Rounds))
			if err := one.round(ctx, b.config.turn(), &c.Contenders[i], &tallies[i]); err != nil {
				return fmt.Errorf("%s, %s: %w", c.Name, one.name, err)
			}
		}
	}
	b.progress.done()

	for i, t := range tallies {
		if t.done > 0 {
			c.Contenders[i].CPU = 1e6 * t.cpu / float64(t.done)
		}
		c.Contenders[i].Latency = percentiles(t.latency)
	}
	c = c.finished()
	c.write(b.config.Out)
	b.figures.Comparisons = append(b.figures.Comparisons, c)
	return nil
}

// round runs a round of a contender, and adds its outcome to the contender's figures and tally.
func (c contender) round(ctx context.Context, t turn, figures *Contender, sum *tally) error {
	before, err := c.usage(ctx)
	if err != nil {
		return err
	}
	figure, did, err := c.run(ctx, t)
	if err != nil {
		return err
	}
	after, err := c.usage(ctx)
	if err != nil {
		return err
	}

	figures.Rounds = append(figures.Rounds, figure)
	figures.Memory = after.memory
	figures.Shed += did.shed

	sum.cpu += after.cpu - before.cpu
	sum.done += did.done
	if did.latency != nil {
		sum.latency.Merge(did.latency)
	}
	return nil
}

// compareWrites is compare for contenders that write. It then checks that everything that
// their servers have acknowledged is in the ledgers.
func (b *bench) compareWrites(ctx context.Context, c Comparison, contenders ...contender) error {
	if err := b.compare(ctx, c, contenders...); err != nil {
		return err
	}

	for _, one := range contenders {
		if one.subject == nil {
			continue
		}
		if err := one.subject.checkLedger(ctx); err != nil {
			return err
		}
	}
	return nil
}

// usage is that of the contender's subject, and zero without one.
func (c contender) usage(ctx context.Context) (usage, error) {
	if c.subject == nil {
		return usage{}, nil
	}
	return c.subject.usage(ctx)
}

// percentiles returns latencies in milliseconds by percentile; nil when there are none.
func percentiles(latency *histogram) map[string]float64 {
	if latency.TotalCount() == 0 {
		return nil
	}

	values := make(map[string]float64)
	for name, q := range map[string]float64{"50": 50, "90": 90, "99": 99, "99.9": 99.9, "100": 100} {
		values[name] = float64(latency.ValueAtQuantile(q)) / 1000
	}
	return values
}
