package bench

import (
	"context"
	"fmt"
)

// contender is one of those whose rounds take turns.
type contender struct {
	name string
	// subject is whose processors and memory are read, nil for none.
	subject *subject
	// run runs a round, and returns the figure that is compared, or unmeasured.
	run func(ctx context.Context, t turn) (figure float64, did load, err error)
}

// inLoop is a contender that carries out work on connections as often as it can.
// Its figure is what of it was done in a second.
func inLoop(name string, addresses []string, connections int, s *subject, do work) contender {
	return contender{name, s, func(ctx context.Context, t turn) (float64, load, error) {
		did, err := closedLoop(ctx, addresses, connections, t, do)
		return did.rate(), did, err
	}}
}

// compare gives each contender its turn, round by round, so that what the machine
// does besides falls on all of them. A round before the first warms them up.
func (b *bench) compare(ctx context.Context, c Comparison, contenders ...contender) error {
	c.Experiment, c.Conditions = b.experiment, b.conditions
	c.Contenders = make([]Contender, len(contenders))
	latencies := make([]*histogram, len(contenders))
	cpu, done := make([]float64, len(contenders)), make([]int64, len(contenders))
	for i, one := range contenders {
		c.Contenders[i].Name, latencies[i] = one.name, newHistogram()
		if _, _, err := one.run(ctx, b.config.turn().warmUp()); err != nil {
			return fmt.Errorf("%s, %s: %w", c.Name, one.name, err)
		}
	}
	for round := range b.config.Rounds {
		for i, one := range contenders {
			b.progress.say(c.Name, fmt.Sprintf("%s, round %d of %d", one.name, round+1, b.config.Rounds))
			before, err := one.usage(ctx)
			if err != nil {
				return err
			}
			figure, did, err := one.run(ctx, b.config.turn())
			if err != nil {
				return fmt.Errorf("%s, %s: %w", c.Name, one.name, err)
			}
			after, err := one.usage(ctx)
			if err != nil {
				return err
			}
			c.Contenders[i].Rounds = append(c.Contenders[i].Rounds, figure)
			c.Contenders[i].Memory = after.memory
			cpu[i] += after.cpu - before.cpu
			done[i] += did.done
			c.Contenders[i].Shed += did.shed
			if did.latency != nil {
				latencies[i].Merge(did.latency)
			}
		}
	}
	b.progress.done()
	for i := range contenders {
		if done[i] > 0 {
			c.Contenders[i].CPU = 1e6 * cpu[i] / float64(done[i])
		}
		c.Contenders[i].Latency = percentiles(latencies[i])
	}
	c = c.finished()
	c.write(b.config.Out)
	b.figures.Comparisons = append(b.figures.Comparisons, c)
	return nil
}

// compareWrites is compare for contenders that write: all that their servers have
// acknowledged must be there afterwards.
func (b *bench) compareWrites(ctx context.Context, c Comparison, contenders ...contender) error {
	if err := b.compare(ctx, c, contenders...); err != nil {
		return err
	}
	for _, one := range contenders {
		if one.subject == nil {
			continue
		}
		if err := one.subject.account(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (c contender) usage(ctx context.Context) (usage, error) {
	if c.subject == nil {
		return usage{}, nil
	}
	return c.subject.usage(ctx)
}

// percentiles returns those of latencies in milliseconds, nil of none.
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
