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
	"time"

	"github.com/escrowgrid/escrowgrid/internal/apiclient"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/verify/bundle"
)

// Server verifies the journals that a server shows to a key, which is the root key or one
// of an admin, and compares the positions that it shows with them. What is read is kept
// in a directory, which must be empty, while it is needed.
func Server(ctx context.Context, s bundle.Server, directory string, config Config) (Report, error) {
	institutions, err := s.Institutions(ctx)
	if err != nil {
		return Report{}, err
	}
	v, err := begin(ctx, config, nil, s.LogKeys)
	if err != nil {
		return Report{}, err
	}
	for _, of := range institutions {
		if err := v.shown(ctx, s, of, directory); err != nil {
			return v.report, err
		}
	}
	v.differHeld()
	return v.report, nil
}

// shown verifies what a server shows of one institution.
func (v *verification) shown(ctx context.Context, s bundle.Server, of escrow.InstitutionID, directory string) (err error) {
	// What the positions are read to be, the journal that is read after them explains.
	known, err := s.End(ctx, of)
	if err != nil {
		return err
	}
	listPath, bundlePath := filepath.Join(directory, "positions"), filepath.Join(directory, "bundle")
	defer func() {
		err = errors.Join(err, os.RemoveAll(listPath), os.RemoveAll(bundlePath))
	}()
	if err := keepPositions(ctx, s, of, listPath); err != nil {
		return err
	}
	before := v.done.Load()
	err = bundle.FromServer(ctx, s, of, bundlePath, time.Now(), func(done, total int64) {
		if v.config.Progress != nil {
			v.config.Progress(before+done, before+3*total)
		}
	})
	if err != nil {
		return err
	}
	b, err := bundle.Open(ctx, bundlePath)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	v.journal, v.total = b, before+3*b.Last
	v.done.Add(b.Last)
	chain, err := v.bundled(ctx, b)
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
	steps, err := b.CountSteps(ctx, known)
	if err == nil && accounted != steps {
		err = v.findUnshown(ctx, s, b, known)
	}
	return err
}

// shownPosition is a position as a server shows it.
type shownPosition struct {
	ID                escrow.PositionID `json:"id"`
	AssetID           string            `json:"assetId"`
	HolderReference   string            `json:"holderReference"`
	ExternalReference string            `json:"externalReference"`
	Currency          string            `json:"currency"`
	Amount            string            `json:"amount"`
	Funded            string            `json:"funded"`
	Released          string            `json:"released"`
	Refunded          string            `json:"refunded"`
	Held              string            `json:"held"`
	State             string            `json:"state"`
	Version           int64             `json:"version"`
	ExpiresAt         string            `json:"expiresAt"`
	Metadata          json.RawMessage   `json:"metadata"`
	CreatedAt         string            `json:"createdAt"`
	UpdatedAt         string            `json:"updatedAt"`
}

// keepPositions writes the positions that a server shows to a file, one after the other.
func keepPositions(ctx context.Context, s bundle.Server, of escrow.InstitutionID, path string) (err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // The caller says where.
	if err != nil {
		return err
	}
	buffered := bufio.NewWriter(file)
	defer func() { err = errors.Join(err, buffered.Flush(), file.Close()) }()
	query := url.Values{"institutionId": {of.String()}}
	return apiclient.List(ctx, s.Client, s.Key, "/positions", query, func(position json.RawMessage) error {
		_, err := buffered.Write(append(position, '\n'))
		return err
	})
}

// shownPositions compares what keepPositions has written.
func shownPositions(list *os.File) table[shownPosition] {
	decoder := json.NewDecoder(bufio.NewReader(list))
	return table[shownPosition]{
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
		cursor:  func(p shownPosition) escrow.Cursor { return escrow.IDCursor(p.ID) },
		subject: func(p shownPosition) string { return p.ID.String() },
		version: func(p shownPosition) int64 { return p.Version },
		fields: func(p shownPosition) []field {
			return []field{
				{"version", fmt.Sprint(p.Version)},
				{"state", p.State},
				{"currency", p.Currency},
				{"amount", p.Amount},
				{"funded", p.Funded},
				{"released", p.Released},
				{"refunded", p.Refunded},
				{"held", p.Held},
				{"holderReference", p.HolderReference},
				{"externalReference", p.ExternalReference},
				{"assetId", p.AssetID},
				{"metadata", string(p.Metadata)},
				{"expiresAt", p.ExpiresAt},
				{"createdAt", p.CreatedAt},
				{"updatedAt", p.UpdatedAt},
			}
		},
		rebuild: func(_ shownPosition, history []escrow.Entry) (shownPosition, error) {
			p, err := resource(escrow.Position{}, history)
			return shownPosition{
				ID: p.ID, AssetID: p.AssetID.String(), HolderReference: p.HolderReference, ExternalReference: p.ExternalReference,
				Currency: string(p.Currency), Amount: p.Amount.Format(p.Currency), Funded: p.Funded.Format(p.Currency),
				Released: p.Released.Format(p.Currency), Refunded: p.Refunded.Format(p.Currency), Held: p.Held.Format(p.Currency),
				State: string(p.State), Version: p.Version, ExpiresAt: optionalTime(p.ExpiresAt), Metadata: json.RawMessage(p.Metadata),
				CreatedAt: escrow.FormatTime(p.CreatedAt), UpdatedAt: escrow.FormatTime(p.UpdatedAt),
			}, err
		},
	}
}

// findUnshown names the first position in a journal that the server does not show.
func (v *verification) findUnshown(ctx context.Context, s bundle.Server, b *bundle.Bundle, known int64) error {
	for entry, err := range entriesUpTo(ctx, b, b.Institution, known) {
		if err != nil {
			return err
		}
		if entry.Kind != escrow.KindPositionCreated {
			continue
		}
		err := s.Call(ctx, s.Key, http.MethodGet, "/positions/"+entry.Subject+"?institutionId="+b.Institution.String(), nil, nil)
		if refusal, ok := errors.AsType[*apiclient.Error](err); ok && refusal.Status == http.StatusNotFound {
			v.differ(b.Institution, "positions "+entry.Subject, nothing, fmt.Sprintf("a position, as entry %d tells of it", entry.Sequence))
			return nil
		}
		if err != nil {
			return err
		}
	}
	v.differ(b.Institution, "the positions that are listed", "not all that are there", "each once")
	return nil
}
