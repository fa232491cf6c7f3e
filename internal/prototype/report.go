package prototype

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/escrowgrid/escrowgrid/internal/visible"
)

// Kind is what sort of thing of the prototype a line is about.
type Kind string

// The kinds, in the order in which they are imported.
const (
	Institutions Kind = "institution"
	Templates    Kind = "asset_template"
	Assets       Kind = "asset"
	Positions    Kind = "position"
	Events       Kind = "position_event"
	Policies     Kind = "policy"
	Keys         Kind = "api_key"
	LedgerEvents Kind = "ledger_event"
	AuditEvents  Kind = "audit_event"
	OnchainQueue Kind = "onchain_operation"
)

var kinds = []Kind{
	Institutions, Templates, Assets, Positions, Events, Policies, Keys, LedgerEvents, AuditEvents, OnchainQueue,
}

// Outcome is what became of a thing.
type Outcome string

// The outcomes. Every thing has a line with one of the first three; Changed is a further line on
// something that was taken, for each part of it that was not taken as it is.
const (
	Taken    Outcome = "taken"
	LeftOut  Outcome = "left_out"
	Replaced Outcome = "replaced"
	Changed  Outcome = "changed"
)

// Line tells what became of one thing, or of a part of it.
type Line struct {
	Kind    Kind    `json:"kind"`
	ID      string  `json:"id"`
	Outcome Outcome `json:"outcome"`
	// NewID is what the thing is known by now; of an event, its position.
	NewID string `json:"newId,omitempty"`
	// Earlier says that an earlier run has taken it.
	Earlier bool `json:"earlier,omitempty"`
	// Code names the reason, a word for each, and Message tells it.
	Code    string `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
}

// Summary counts lines.
type Summary struct {
	counts  map[Kind]map[Outcome]int
	reasons map[reason]*examples
}

// reason is a reason that lines have in common.
type reason struct {
	outcome Outcome
	kind    Kind
	code    string
}

// examples are how often there is a reason, and the first lines with it.
type examples struct {
	count int
	first []Line
}

// maxExamples bounds the lines that a summary shows of a reason.
const maxExamples = 3

func newSummary() *Summary {
	return &Summary{counts: make(map[Kind]map[Outcome]int), reasons: make(map[reason]*examples)}
}

func (s *Summary) add(l Line) {
	if s.counts[l.Kind] == nil {
		s.counts[l.Kind] = make(map[Outcome]int)
	}
	s.counts[l.Kind][l.Outcome]++
	if l.Code == "" {
		return
	}

	why := reason{l.Outcome, l.Kind, l.Code}
	if s.reasons[why] == nil {
		s.reasons[why] = &examples{}
	}
	s.reasons[why].count++
	if found := s.reasons[why]; len(found.first) < maxExamples {
		found.first = append(found.first, l)
	}
}

// Count returns how many things of a kind had an outcome.
func (s *Summary) Count(kind Kind, outcome Outcome) int { return s.counts[kind][outcome] }

// LeftOut returns how many things were left out.
func (s *Summary) LeftOut() (count int) {
	for _, outcomes := range s.counts {
		count += outcomes[LeftOut]
	}
	return count
}

// Write writes the counts of each kind, and the reasons with examples.
func (s *Summary) Write(out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\ttaken\tchanged in part\treplaced\tleft out\t")
	for _, kind := range kinds {
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t\n", kind, s.Count(kind, Taken), s.Count(kind, Changed),
			s.Count(kind, Replaced), s.Count(kind, LeftOut))
	}
	if err := table.Flush(); err != nil {
		return err
	}

	for _, part := range []struct {
		outcome Outcome
		heading string
	}{
		{LeftOut, "Left out:"},
		{Changed, "Taken, but changed in part:"},
		{Replaced, "Not taken, as something else takes its place:"},
	} {
		s.writeReasons(out, part.outcome, part.heading)
	}
	return nil
}

func (s *Summary) writeReasons(out io.Writer, outcome Outcome, heading string) {
	var found []reason
	for why := range s.reasons {
		if why.outcome == outcome {
			found = append(found, why)
		}
	}
	slices.SortFunc(found, func(a, b reason) int {
		return cmp.Or(slices.Index(kinds, a.kind)-slices.Index(kinds, b.kind), strings.Compare(a.code, b.code))
	})
	if len(found) == 0 {
		return
	}

	fmt.Fprintf(out, "\n%s\n", heading)
	for _, why := range found {
		about := s.reasons[why]
		fmt.Fprintf(out, "  %d × %s, %s\n", about.count, why.kind, why.code)
		for _, line := range about.first {
			fmt.Fprintf(out, "      %s: %s\n", visible.Line(line.ID), visible.Line(line.Message))
		}
		if more := about.count - len(about.first); more > 0 {
			fmt.Fprintf(out, "      … and %d more\n", more)
		}
	}
}
