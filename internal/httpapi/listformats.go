package httpapi

import (
	"encoding/csv"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// listFormatQuery is the parameter that chooses the format of a list that is there as CSV, too.
type listFormatQuery struct {
	Format string `query:"format" doc:"The format of the answer. When left out, the Accept header chooses, and JSON is the default." enum:"json,csv"`
}

// listFormat returns the type of content that a list is asked for as.
func (c *call) listFormat(query listFormatQuery) (contentType string, err error) {
	return c.format(query.Format, web.ContentTypeJSON, contentTypeCSV)
}

// formatTypes are the types of content by what the parameter format calls them. Which of these can be
// asked for is a tag of the query.
var formatTypes = map[string]string{
	"json":    web.ContentTypeJSON,
	"csv":     contentTypeCSV,
	"html":    contentTypeHTML,
	"camt053": contentTypeXML,
}

// format returns which of the types that are offered is asked for, by the parameter format or else by
// the Accept header; the first, where neither prefers any. Where there is none that the client takes,
// that is refused: whoever reads tables can do nothing with JSON. What is there in one format alone is
// answered in it, whatever the client takes, as RFC 9110, 12.5.1 allows.
func (c *call) format(parameter string, offered ...string) (contentType string, err error) {
	c.writer.Header().Add("Vary", "Accept")
	if contentType, ok := formatTypes[parameter]; ok {
		return contentType, nil
	}

	contentType = web.PreferredType(c.request.Header["Accept"], offered...)
	if contentType == "" {
		return "", escrow.Errorf(codeNotAcceptable, "Accept takes none of what this is there as: %s.",
			strings.Join(offered, ", "))
	}
	return contentType, nil
}

// offer has the answer saved as a file of a name.
func (c *call) offer(file string) {
	c.writer.Header().Set("Content-Disposition", `attachment; filename="`+file+`"`)
}

// pathWith is the request's path and query with another value of a parameter, as what continues an
// answer has it.
func (c *call) pathWith(parameter, value string) string {
	query := c.request.URL.Query()
	query.Set(parameter, value)
	return c.request.URL.EscapedPath() + "?" + query.Encode()
}

// csvOf is how the items of a list are written as rows of CSV.
type csvOf[T any] struct {
	// name is that of the file.
	name   string
	header []string
	row    func(T) []string
}

// checkCSV notes what a list as CSV has no place for.
func (l listRequest) checkCSV(faults *escrow.Faults) {
	if l.page.Count {
		faults.Add("count", "is not there in CSV")
	}
}

// listedCSV answers a page of a list as CSV, row by row. The path of the next page is in the Link
// header.
func listedCSV[T any](
	c *call, list listRequest, page escrow.Page[T], table csvOf[T], cursor func(T) escrow.Cursor,
) reply {
	c.offer(table.name + ".csv")
	answer := reply{status: http.StatusOK, contentType: contentTypeCSV + "; charset=utf-8"}
	if next := nextCursor(page, len(page.Items), cursor); next != nil {
		answer.next = c.pathWith("cursor", list.cursorText(*next))
	}

	answer.stream = func(w io.Writer) error {
		rows := newCSV(w)
		if err := rows.Write(table.header); err != nil {
			return err
		}
		for _, item := range page.Items {
			if err := rows.Write(table.row(item)); err != nil {
				return err
			}
		}
		rows.Flush()
		return rows.Error()
	}
	return answer
}

// newCSV writes rows as RFC 4180 has them. It ends lines with both characters, and some
// spreadsheets insist on it.
func newCSV(w io.Writer) *csv.Writer {
	rows := csv.NewWriter(w)
	rows.UseCRLF = true
	return rows
}

// positionsCSV has the members of a position, as view shows it, by their names, but for its events. Of the
// approvals that wait on it there are the ids, with spaces between them.
func positionsCSV(view func(escrow.Position) positionView) csvOf[escrow.Position] {
	row := func(p escrow.Position) []string {
		v := view(p)
		return []string{
			v.ID.String(), v.InstitutionID.String(), v.AssetID.String(),
			plainCell(v.HolderReference), plainCell(v.ExternalReference),
			string(v.Currency), v.Amount, v.Funded, v.Released, v.Refunded, v.Held, v.OnHold, v.Available,
			string(v.State), strconv.FormatInt(v.Version, 10), orNone(v.ExpiresAt), plainCell(string(v.Metadata)),
			v.CreatedAt.String(), v.UpdatedAt.String(), idsOf(v.PendingApprovals),
		}
	}
	return csvOf[escrow.Position]{name: "positions", header: positionColumns(), row: row}
}

func positionColumns() []string {
	return []string{
		"id", "institutionId", "assetId", "holderReference", "externalReference", "currency", "amount", "funded",
		"released", "refunded", "held", "onHold", "available", "state", "version", "expiresAt", "metadata", "createdAt",
		"updatedAt", "pendingApprovals",
	}
}

// ledgerCSV has the members of an entry of the ledger by their names.
var ledgerCSV = csvOf[escrow.Entry]{
	name: "ledger-events",
	header: []string{
		"id", "sequence", "kind", "positionId", "fromState", "toState", "currency", "amount", "reason", "metadata",
		"actor", "requestId", "at", "approvalId", "approvedBy", "breakGlass",
	},
	row: func(e escrow.Entry) []string {
		v := viewLedgerEvent(e)
		var from string
		if v.FromState != nil {
			from = string(*v.FromState)
		}
		return append([]string{
			v.ID.String(), strconv.FormatInt(v.Sequence, 10), string(v.Kind), v.PositionID.String(),
			from, string(v.ToState), string(v.Currency), v.Amount,
			plainCell(v.Reason), plainCell(string(v.Metadata)),
			v.Actor.String(), plainCell(v.RequestID), v.At.String(),
		}, cellsOf(v.Approval)...)
	},
}
