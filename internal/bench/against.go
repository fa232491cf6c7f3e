package bench

import (
	"context"
	"fmt"
)

// oldAndNew starts both servers on a store, each on a database of its own. The old one comes
// first, so that a ratio is the new server's figure divided by the old one's.
func (b *bench) oldAndNew(ctx context.Context, store string) ([]*subject, error) {
	var subjects []*subject
	for _, server := range []struct{ age, program string }{
		{age: "old", program: b.config.Against},
		{age: "new", program: b.config.Server},
	} {
		version, err := serverVersion(ctx, server.program)
		if err != nil {
			return nil, err
		}

		s, err := b.open(ctx, setup{
			name:    fmt.Sprintf("%s, %s", server.age, version),
			program: server.program,
			store:   store,
		})
		if err != nil {
			return nil, err
		}
		subjects = append(subjects, s)
	}
	return subjects, nil
}

// pairsAgainst compares how many pairs per second two servers finish.
func (b *bench) pairsAgainst(ctx context.Context) error {
	for _, store := range b.stores() {
		subjects, err := b.oldAndNew(ctx, store)
		if err != nil {
			return err
		}

		var contenders []contender
		for _, s := range subjects {
			contenders = append(contenders, s.inLoop(someConnections, s.createAndFund))
		}
		err = b.compareWrites(ctx, Comparison{
			Name: "pairs, new server against old, " + store + ", 50 connections",
			Unit: "pairs/s",
			Goal: b.config.Goal,
		}, contenders...)
		if err != nil {
			return err
		}
	}
	return nil
}

// readsAgainst compares how many positions per second two servers read.
func (b *bench) readsAgainst(ctx context.Context) error {
	for _, store := range b.stores() {
		subjects, err := b.oldAndNew(ctx, store)
		if err != nil {
			return err
		}

		var contenders []contender
		for _, s := range subjects {
			ids, err := b.fill(ctx, s, readPositions)
			if err != nil {
				return err
			}
			contenders = append(contenders, s.inLoop(someConnections, s.get(ids)))
		}
		err = b.compare(ctx, Comparison{
			Name: "GET a position, new server against old, " + store + ", 50 connections",
			Unit: "requests/s",
			Goal: b.config.Goal,
		}, contenders...)
		if err != nil {
			return err
		}
	}
	return nil
}
