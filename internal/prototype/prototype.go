// Package prototype imports the database of EscrowGrid's prototype, the TAAS platform in
// TypeScript. Everything that can be said here is said by commands of the domain, which keep its
// rules: the journals tell what was imported, when, and of what. What cannot be said is reported.
package prototype

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
	"github.com/escrowgrid/escrowgrid/internal/store"
)

// Config is what an import needs. Fields without a note must be set.
type Config struct {
	// Source is the URL of the prototype's database, which the import only reads.
	Source string
	// Target is a migrated database. What an earlier run has imported into it is not made again.
	Target *store.Store
	Now    func() time.Time
	// Random gives the random bits of ids and secrets; crypto/rand.Reader in production.
	Random io.Reader
	// Released is how much of a position was released while it was PARTIALLY_RELEASED, by the
	// prototype's ids: the prototype does not know.
	Released map[string]money.Digits
	// KeepReferences lets a position keep the externalReference that it has. Its old id is then
	// in its metadata alone.
	KeepReferences bool
	// Keys keeps the secrets of new API keys; nil where none are to be made.
	Keys *KeyFile
	// Report is told every line, and may be nil.
	Report func(Line) error
	// Progress, unless it is nil, is told how many positions are done of how many.
	Progress func(done, total int64)
}

// Import imports all institutions of a database, one after the other. What the prototype's data
// lack is left out and reported, and is no error: an import that is run again, once that is mended,
// makes what is missing and nothing twice.
func Import(ctx context.Context, config Config) (_ *Summary, err error) {
	from, err := openSource(ctx, config.Source)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, from.close(ctx)) }()

	i := &importer{
		config:  config,
		from:    from,
		to:      &target{store: config.Target, now: config.Now, random: config.Random},
		summary: newSummary(),
	}
	if err := i.to.readMade(ctx); err != nil {
		return nil, err
	}
	return i.summary, i.all(ctx)
}

// importer is an import that is under way.
type importer struct {
	config  Config
	from    *source
	to      *target
	summary *Summary
	// actors are who made positions and their transitions, by position and state.
	actors map[[2]string]string

	done, total int64
}

func (i *importer) all(ctx context.Context) error {
	total, err := rows[struct{ Count int64 }](ctx, i.from, "SELECT count(*) FROM positions")
	if err != nil {
		return err
	}
	i.total = total[0].Count
	if err := i.audit(ctx); err != nil {
		return err
	}

	institutions, err := i.from.institutions(ctx)
	if err != nil {
		return err
	}
	for _, row := range institutions {
		if err := i.institution(ctx, row); err != nil {
			return err
		}
	}
	waiting, err := i.from.onchain(ctx)
	if err != nil {
		return err
	}
	for _, operation := range waiting {
		err := i.report(Line{
			Kind: OnchainQueue, ID: operation.ID, Outcome: Replaced, Code: "no_chain",
			Message: "EscrowGrid writes to no chain; checkpoints of the transparency log prove its journals",
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// audit reads who did what, and reports that the audit trail itself stays behind.
func (i *importer) audit(ctx context.Context) error {
	i.actors = make(map[[2]string]string)
	return i.from.eachAudit(ctx, func(page []auditRow) error {
		for _, row := range page {
			actor := "root"
			if row.KeyID != nil {
				actor = *row.KeyID
			}
			switch {
			case row.ResourceID == nil:
			case row.Action == "POSITION_CREATED":
				i.actors[[2]string{*row.ResourceID, string(escrow.StateCreated)}] = actor
			case row.Action == "POSITION_TRANSITIONED" && row.State != nil:
				i.actors[[2]string{*row.ResourceID, *row.State}] = actor
			}

			err := i.report(Line{
				Kind: AuditEvents, ID: row.ID, Outcome: Replaced, Code: "old_audit_trail",
				Message: "a journal tells what happened in it; keep the old database for what happened before",
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func (i *importer) report(lines ...Line) error {
	for _, line := range lines {
		i.summary.add(line)
		if i.config.Report == nil {
			continue
		}
		if err := i.config.Report(line); err != nil {
			return err
		}
	}
	return nil
}

// result reports what became of a thing that was to be made. One that was refused is left out.
func (i *importer) result(w *wanted) error {
	if refusal := refusalOf(w.err); refusal != nil {
		return i.report(leftOut(w.kind, w.id, string(refusal.Code), told(refusal)))
	}
	if w.err != nil {
		return w.err
	}
	taken := Line{Kind: w.kind, ID: w.id, Outcome: Taken, NewID: w.subject, Earlier: w.earlier}
	return i.report(append([]Line{taken}, w.notes...)...)
}

// makeAll makes things in the books of an institution, reports on each, and tells of those that
// were taken.
func (i *importer) makeAll(
	ctx context.Context, of escrow.InstitutionID, things []*wanted, taken func(w *wanted) error,
) error {
	if err := i.to.makeAll(ctx, of, things); err != nil {
		return err
	}

	for _, w := range things {
		if err := i.result(w); err != nil {
			return err
		}
		if w.err != nil || taken == nil {
			continue
		}
		if err := taken(w); err != nil {
			return err
		}
	}
	return nil
}

func leftOut(kind Kind, id, code, message string) Line {
	return Line{Kind: kind, ID: id, Outcome: LeftOut, Code: code, Message: message}
}

func changed(kind Kind, id, code, message string) Line {
	return Line{Kind: kind, ID: id, Outcome: Changed, Code: code, Message: message}
}

// told is a refusal for people: its faults, where it has any.
func told(refusal *escrow.Error) string {
	if len(refusal.Faults) == 0 {
		return refusal.Detail
	}
	faults := make([]string, len(refusal.Faults))
	for n, fault := range refusal.Faults {
		faults[n] = fault.Field + " " + fault.Message
	}
	return strings.Join(faults, "; ")
}
