package verify

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/apiclient"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/verify/bundle"
)

// Server verifies the journals that a server shows to a key, which is the root key or one
// of an admin, and compares the positions that it shows with them. What is read is kept
// in a directory while it is needed; the directory must be empty.
func Server(ctx context.Context, s bundle.Server, directory string, config Config) (Report, error) {
	institutions, err := s.Institutions(ctx)
	if err != nil {
		return Report{}, err
	}
	v, err := newVerification(ctx, config, nil, s.CheckpointKeys)
	if err != nil {
		return Report{}, err
	}

	for _, of := range institutions {
		if err := v.verifyShown(ctx, s, of, directory); err != nil {
			return v.report, err
		}
	}
	v.findKeptOfNoJournal()
	v.judgeTails(true)
	return v.report, nil
}

// verifyShown verifies what a server shows of one institution.
func (v *verification) verifyShown(
	ctx context.Context, s bundle.Server, of escrow.InstitutionID, directory string,
) (err error) {
	listPath, bundlePath := filepath.Join(directory, "positions"), filepath.Join(directory, "bundle")
	defer func() {
		err = errors.Join(err, os.RemoveAll(listPath), os.RemoveAll(bundlePath))
	}()

	// The journal is read after the positions, so it tells of all that they were.
	known, err := s.LastSequence(ctx, of)
	if err != nil {
		return err
	}
	if err := writePositions(ctx, s, of, known, listPath); err != nil {
		return err
	}
	b, err := v.readBundle(ctx, s, of, bundlePath)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()

	chain, err := v.readBundledChain(ctx, b)
	if err != nil {
		return err
	}

	list, err := os.Open(listPath) //nolint:gosec // It was just written.
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, list.Close()) }()

	accounted, err := compareRows(ctx, v, of, known, shownPositions(list))
	if err != nil || chain.broken {
		return err
	}
	entries, err := b.CountPositionEntries(ctx, known)
	if err == nil && accounted.count != entries {
		err = v.findUnshown(ctx, s, b, known)
	}
	return err
}

// readBundle reads an institution's journal from a server into a bundle, which is then
// the one that is verified.
func (v *verification) readBundle(
	ctx context.Context, s bundle.Server, of escrow.InstitutionID, path string,
) (*bundle.Bundle, error) {
	// Each entry is worked on thrice: here, in order of the journal, and of the positions.
	before := v.done.Load()
	err := bundle.FromServer(ctx, s, of, path, time.Now(), nil, func(done, total int64) {
		if v.config.Progress != nil {
			v.config.Progress(before+done, before+3*total)
		}
	})
	if err != nil {
		return nil, err
	}

	b, err := bundle.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	v.journal, v.total = b, before+3*b.Last
	v.done.Add(b.Last)
	return b, nil
}

// shownPosition is a position as a server shows it.
type shownPosition struct {
	id      escrow.PositionID
	version int64
	columns []field
}

// notShown are the columns of positions that the API does not show: the request names the
// institution, the retained amount and where the reference is unique follow from the asset's
// template, the size of the history from the events, the decimals are those of the amounts' texts, and
// of holds no more is shown than what is on hold.
var notShown = []string{
	"institution_id", "retained", "unique_in", "history_bytes", "decimals", "holds", "whole_holds", "held_back",
}

// UnmarshalJSON reads the columns of a position out of the members of the same names.
func (p *shownPosition) UnmarshalJSON(text []byte) error {
	var header struct {
		ID      escrow.PositionID `json:"id"`
		Version int64             `json:"version"`
	}
	var members map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(text, &header), json.Unmarshal(text, &members)); err != nil {
		return err
	}

	*p = shownPosition{id: header.ID, version: header.Version, columns: columnsShown(escrow.Position{})}
	for i := range p.columns {
		column := &p.columns[i]
		member := members[memberName(column.Name)]

		column.Value, column.Null = "", member == nil
		if member == nil {
			continue
		}
		if json.Unmarshal(member, &column.Value) != nil {
			column.Value = string(member) // No string: a number, or metadata.
		}
	}
	return nil
}

// memberName is the API's name of a column: "assetId" of "asset_id".
func memberName(column string) string {
	words := strings.Split(column, "_")
	for i, word := range words[1:] {
		words[i+1] = strings.ToUpper(word[:1]) + word[1:]
	}
	return strings.Join(words, "")
}

// columnsShown returns the columns of a position that the API shows, with amounts as it
// writes them.
func columnsShown(p escrow.Position) []field {
	row, _ := store.RowOf(p)
	columns := slices.DeleteFunc(row.Columns, func(c field) bool { return slices.Contains(notShown, c.Name) })
	columns = append(columns, field{Name: "on_hold"}, field{Name: "available"})

	amounts := map[string]money.Amount{
		"amount":    p.Amount,
		"funded":    p.Funded,
		"released":  p.Released,
		"refunded":  p.Refunded,
		"held":      p.Held,
		"on_hold":   p.OnHold(),
		"available": p.Available(),
	}
	for i := range columns {
		if amount, ok := amounts[columns[i].Name]; ok {
			columns[i].Value = amount.Format(p.Currency)
		}
	}
	return columns
}

// comeMeanwhile is how many positions may come at least while they are listed.
const comeMeanwhile = 1_000_000

// writePositions writes the positions that a server shows to a file, one after the other.
// Their journal had the entries up to known before, and each has one at least.
func writePositions(
	ctx context.Context, s bundle.Server, of escrow.InstitutionID, known int64, path string,
) (err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // The caller says where.
	if err != nil {
		return err
	}
	buffered := bufio.NewWriter(file)
	defer func() { err = errors.Join(err, buffered.Flush(), file.Close()) }()

	query := url.Values{"institutionId": {of.String()}}
	most := known + max(known, comeMeanwhile)
	return apiclient.List(ctx, s.Client, s.Key, "/positions", query, most, func(position json.RawMessage) error {
		_, err := buffered.Write(append(position, '\n'))
		return err
	})
}

// shownPositions compares the positions that writePositions wrote.
func shownPositions(list *os.File) comparison[shownPosition] {
	decoder := json.NewDecoder(bufio.NewReader(list))

	return comparison[shownPosition]{
		name: "positions",
		page: func(context.Context, escrow.PageRequest) (page escrow.Page[shownPosition], err error) {
			for len(page.Items) < rowPage && decoder.More() {
				var position shownPosition
				if err := decoder.Decode(&position); err != nil {
					return page, err
				}
				page.Items = append(page.Items, position)
			}
			page.More = decoder.More()
			return page, nil
		},
		cursor:  func(p shownPosition) *escrow.Cursor { return new(escrow.IDCursor(p.id)) },
		subject: func(p shownPosition) string { return p.id.String() },
		version: func(p shownPosition) int64 { return p.version },
		fields:  func(p shownPosition) []field { return p.columns },
		rebuild: func(_ shownPosition, history []escrow.Entry) (shownPosition, error) {
			p, err := rebuildPosition(history)
			return shownPosition{columns: columnsShown(p)}, err
		},
	}
}

// findUnshown names the first position in a journal that the server does not show.
func (v *verification) findUnshown(ctx context.Context, s bundle.Server, b *bundle.Bundle, known int64) error {
	for entry, err := range v.entriesUpTo(ctx, b.Institution, known) {
		if err != nil {
			return err
		}
		if entry.Kind != escrow.KindPositionCreated {
			continue
		}

		path := "/positions/" + entry.Subject + "?institutionId=" + b.Institution.String()
		err := s.Call(ctx, s.Key, http.MethodGet, path, nil, nil)
		if refusal, ok := errors.AsType[*apiclient.Error](err); ok && refusal.Status == http.StatusNotFound {
			v.differ(b.Institution, "positions "+entry.Subject, nothing,
				fmt.Sprintf("a position, as entry %d tells of it", entry.Sequence))
			return nil
		}
		if err != nil {
			return err
		}
	}

	v.differ(b.Institution, "the positions that are listed", "not all that are there", "each once")
	return nil
}
