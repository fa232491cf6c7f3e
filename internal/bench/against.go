package bench

import (
	"context"
	"fmt"
)

// oldAndNew starts both servers on a store, each on a database of its own: first the one that
// is measured against, then the one that is measured, so that the ratio is new by old.
func (b *bench) oldAndNew(ctx context.Context, store string) ([]*subject, error) {
	var subjects []*subject
	for _, server := range []struct{ age, program string }{{"old", b.config.Against}, {"new", b.config.Server}} {
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

// pairsAgainst measures positions that are made and funded by one server and by another.
func (b *bench) pairsAgainst(ctx context.Context) error {
	for _, store := range b.stores() {
		subjects, err := b.oldAndNew(ctx, store)
		if err != nil {
			return err
		}

		var contenders []contender
		for _, s := range subjects {
			contenders = append(contenders, inLoop(s.name, s.addresses(), someConnections, s, s.pair))
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

// readsAgainst measures reading positions from one server and from another.
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
			contenders = append(contenders, inLoop(s.name, s.addresses(), someConnections, s, s.get(ids)))
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
