package httpapi

import (
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// holderDataQuery asks for what is held about a holder. An answer is bounded by its limit and by
// the request's time.
type holderDataQuery struct {
	tenantQuery
	zoneQuery
	Format string `query:"format" doc:"The format of the answer. When left out, the Accept header chooses, and JSON is the default." enum:"json,html"`
	Limit  int64  `query:"limit" doc:"The largest number of positions and approvals to return." minimum:"1" maximum:"10000" default:"10000"`
	Cursor string `query:"cursor" doc:"Where to go on: the nextCursor of the answer before."`
}

// HolderDataFields is what an answer about a holder has beside the positions and approvals.
type HolderDataFields struct {
	InstitutionID   escrow.InstitutionID `json:"institutionId"`
	HolderReference string               `json:"holderReference"`
	IssuedAt        timestamp            `json:"issuedAt" doc:"When the answer was begun. What is written from then on may be in it or not."`
	PositionCount   int64                `json:"positionCount" doc:"How many positions the holder has, in all answers together." minimum:"0"`
	ApprovalCount   int64                `json:"approvalCount" doc:"How many approvals ask for positions of the holder and have created none, in all answers together; 10001 for more than 10000." minimum:"0"`
	Balances        []balanceView        `json:"balances" nullable:"false" doc:"What all positions of the holder have together: one of each currency, in order of code."`
	Retention       int64                `json:"retentionSeconds" doc:"How long a position or an approval is kept after its last change, before it can be erased: RETENTION_PERIOD." minimum:"0"`
	Storage         []storageView        `json:"storage" nullable:"false" doc:"Where the data is kept, and how long."`
	Erasures        []erasureView        `json:"erasures" nullable:"false" doc:"The institution's last erasures of holders, newest first, at most 100. They do not say whose data they took: this holder's may be among them."`
}

// storageView is a place that data is kept in.
type storageView struct {
	Place string `json:"place"`
	Holds string `json:"holds" doc:"What it has of the data."`
	Until string `json:"until" doc:"How long it has that."`
}

// holderDataView is what is held about a holder, for the API's description.
type holderDataView struct {
	HolderDataFields
	Positions  []positionView     `json:"positions" nullable:"false" doc:"In order of creation, each with all of its events, and the approvals that wait on it."`
	Approvals  []heldApprovalView `json:"approvals" nullable:"false" doc:"What was asked for the holder and not made: it waits, was rejected or withdrawn, has expired or failed. In the order in which it was asked for, behind the last of the positions."`
	Pagination pagination         `json:"pagination"`
}

var getHolderDataOperation = operation{
	Operation: web.Operation{
		ID: "getHolderData", Tag: "Erasure", Summary: "Get everything that is held about a holder",
		Query: holderDataQuery{}, Answer: holderDataView{}, OtherTypes: []string{contentTypeHTML},
	},
	refusals: codes{codeNotAcceptable},
}

// getHolderData answers everything that is held about a holder, whom there need not be: that
// nothing is held is an answer, too.
func (s *server) getHolderData(c *call) (reply, error) {
	query := queryOf[holderDataQuery](c)
	contentType, err := c.format(query.Format, web.ContentTypeJSON, contentTypeHTML)
	if err != nil {
		return reply{}, err
	}
	zone := readZone(&c.faults, query.TimeZone)
	holder, faults := escrow.ReadHolderReference(c.request.PathValue("reference"))
	c.faults.Merge(faults)

	// A cursor of one holder's data is none of another's.
	asked := pageQuery{Limit: query.Limit, Cursor: query.Cursor}
	list := asked.read(&c.faults, "data of the holder "+holder)
	institution, err := c.institution()
	if err == nil {
		err = c.checkHolder(holder)
	}
	if err != nil {
		return reply{}, err
	}

	fields, err := s.holderDataFields(c, institution, holder)
	if err != nil {
		return reply{}, err
	}
	data := holderData{HolderDataFields: fields, call: c, list: list}
	if contentType != contentTypeHTML {
		return reply{status: http.StatusOK, contentType: web.ContentTypeJSON, stream: data.writeJSON}, nil
	}
	of, err := s.engine.Institution(c.context(), institution)
	if err != nil {
		return reply{}, err
	}
	c.writer.SecurePage(pagePolicy)
	return reply{
		status: http.StatusOK, contentType: contentTypeHTML + "; charset=utf-8",
		stream: func(w io.Writer) error { return data.writePage(w, of, zone) },
	}, nil
}

// maxShownErasures bounds the erasures of an answer about a holder.
const maxShownErasures = 100

// holderDataFields reads what an answer about a holder has beside the positions and approvals.
func (s *server) holderDataFields(
	c *call, institution escrow.InstitutionID, holder string,
) (fields HolderDataFields, err error) {
	fields = HolderDataFields{
		InstitutionID:   institution,
		HolderReference: holder,
		IssuedAt:        timestamp(s.engine.Now()),
		Retention:       int64(s.config.RetentionPeriod / time.Second),
		Storage:         storageOf(s.engine.StoreName(), s.config.RetentionPeriod),
		Erasures:        []erasureView{},
	}

	totals, err := s.engine.HolderTotals(c.context(), institution, holder)
	if err != nil {
		return fields, err
	}
	fields.PositionCount = totals.Positions
	asked, err := s.engine.Approvals(c.context(), institution,
		escrow.ApprovalFilter{HolderReference: holder}, escrow.PageRequest{Limit: 1, Count: true})
	if err != nil {
		return fields, err
	}
	fields.ApprovalCount = int64(*asked.Count)
	fields.Balances = viewBalances(&totals.Balances, totals.Balances.Currencies())
	erasures, err := s.engine.Erasures(c.context(), institution,
		escrow.PageRequest{Limit: maxShownErasures, Descending: true})
	for _, e := range erasures.Items {
		fields.Erasures = append(fields.Erasures, viewErasure(e))
	}
	return fields, err
}

// storageOf lists where a store keeps the data of a holder, and how long.
func storageOf(storeName string, retention time.Duration) []storageView {
	erasable, ended := "erased on request, from the end of a position on", "its own end"
	if retention > 0 {
		erasable = "erased on request, " + inDays(retention) + " after the end of a position at the earliest"
		ended = inDays(retention) + " after its own end at the earliest"
	}

	places := []storageView{{
		Place: "database",
		Holds: "the positions, and the entries of the journal about them: all that is listed here",
		Until: erasable,
	}, {
		Place: "approvals",
		Holds: "what commands that take an approval say, and the comments on them: those that were never carried " +
			"out are listed here, and GET /approvals lists all, with subject those of a position",
		Until: "erased with the position; that of a position which was never created is erased on request, " + ended,
	}, {
		Place: "idempotency records",
		Holds: "a hash of each request that had an Idempotency-Key, and none of its texts",
		Until: "24 hours after the request",
	}}
	if storeName == "postgres" {
		places = append(places, storageView{
			Place: "rows that were replaced, write-ahead log and replicas of the database",
			Holds: "what the database had",
			Until: "until the tables are written anew, the log is recycled, and replicas have followed",
		})
	}
	return append(places, storageView{
		Place: "backups, exports, copies and bundles",
		Holds: "what the database had when they were made",
		Until: "as long as whoever made them keeps them",
	})
}

// inDays writes a duration for people.
func inDays(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d == day:
		return "1 day"
	case d%day == 0:
		return strconv.FormatInt(int64(d/day), 10) + " days"
	}
	return d.String()
}
