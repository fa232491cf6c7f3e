package engine

import (
	"context"

	"github.com/escrowgrid/escrowgrid/internal/store"
)

// watchHistory looks for journals that have lost entries.
func (e *Engine) watchHistory(ctx context.Context) {
	e.every(ctx, e.config.HistoryInterval, func(ctx context.Context) {
		lost, err := e.store.CheckHistory(ctx)
		if err == nil {
			e.metrics.historyLost.Set(float64(lost))
		}
		e.dutyFailed(dutyHistory, err)
	})
}

// historyLost is called with each journal that has lost entries.
func (e *Engine) historyLost(lost store.LostHistory) {
	// The keys and users that are remembered may be lost with them.
	e.keys.Purge()
	e.users.Purge()
	e.issuers.Purge()
	e.log.Error("the database has gone back: a journal has lost entries that were acknowledged; "+
		"its institution is halted until escrowgrid accept-history opens it",
		"institution_id", lost.Institution, "seen", lost.Seen.Sequence, "head", lost.Head.Sequence)
}
