package bench

import (
	"context"
	"fmt"
)

// instances measures servers that share a database, with all load on one institution
// and with the load spread over many.
func (b *bench) instances(ctx context.Context) error {
	for _, spread := range []struct {
		name    string
		tenants int
	}{
		{name: "one institution", tenants: 1},
		{name: "20 institutions", tenants: 20},
	} {
		var contenders []contender
		for _, servers := range []int{1, 3} {
			s, err := b.open(ctx, setup{
				name:    fmt.Sprintf("%d servers", servers),
				store:   onPostgreSQL,
				servers: servers,
				tenants: spread.tenants,
			})
			if err != nil {
				return err
			}
			contenders = append(contenders, s.inLoop(manyConnections, s.createAndFund))
		}

		err := b.compareWrites(ctx, Comparison{
			Name: "pairs by servers on one PostgreSQL, " + spread.name + ", 200 connections",
			Unit: "pairs/s",
		}, contenders...)
		if err != nil {
			return err
		}
	}
	return nil
}
