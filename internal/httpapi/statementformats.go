package httpapi

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // for machines that have no time zones, such as a container
	"unicode/utf8"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// The formats of statements beside JSON: CSV for spreadsheets, a page for people and their
// printers, and ISO 20022's camt.053 for the bookkeeping of others.
const (
	contentTypeCSV  = "text/csv"
	contentTypeHTML = "text/html"
	contentTypeXML  = "application/xml"
)

// statementFormat is how a statement is asked for.
type statementFormat struct {
	contentType string
	// zone is nil where times are to be in UTC alone.
	zone *time.Location
}

// statementFormat reads how a statement is asked for, by the parameters, or else by the Accept
// header. A statement of an account, which that of a position is not, is there as XML, too.
func (c *call) statementFormat(name, timeZone string, account bool) (format statementFormat, err error) {
	format.zone = readZone(&c.faults, timeZone)

	// XML is the last: a browser takes it as well as a page.
	offered := []string{web.ContentTypeJSON, contentTypeCSV, contentTypeHTML}
	if account {
		offered = append(offered, contentTypeXML)
	}
	format.contentType, err = c.format(name, offered...)
	return format, err
}

// readZone reads the zone of a page's times; nil where none is given.
func readZone(faults *escrow.Faults, name string) *time.Location {
	if name == "" {
		return nil
	}
	zone, err := time.LoadLocation(name)
	if err != nil || zone == time.Local {
		faults.Add("timeZone", "must be an IANA time zone, such as Europe/Berlin")
	}
	return zone
}

// statementDocument is a statement in all of its formats.
type statementDocument struct {
	json any
	// of is the id of the position or of the institution that it is about.
	of          fmt.Stringer
	institution escrow.InstitutionID

	Title string
	About []particular
	// From is nil for the beginning of the journal. A position's statement is of its whole
	// life, and has no period: To is nil.
	From, To, ContinuesAt *timestamp
	Final                 bool
	StatementFields
}

// answerStatement answers a statement in a format.
func (s *server) answerStatement(c *call, format statementFormat, document statementDocument) (reply, error) {
	// JSON and CSV name the institution by its id, which programs know.
	var institution escrow.Institution
	if format.contentType == contentTypeHTML || format.contentType == contentTypeXML {
		var err error
		if institution, err = s.engine.Institution(c.context(), document.institution); err != nil {
			return reply{}, err
		}
	}

	var content []byte
	var err error
	switch format.contentType {
	case contentTypeCSV:
		content, err = document.csv()
		c.offerStatement(document, "csv")
	case contentTypeXML:
		content, err = document.camt053(institution, time.Now())
		c.offerStatement(document, "xml")
	case contentTypeHTML:
		content, err = document.page(institution, format.zone, time.Now())
		c.writer.SecurePage(pagePolicy)
	default:
		return ok(document.json), nil
	}
	return reply{status: http.StatusOK, raw: content, contentType: format.contentType + "; charset=utf-8"}, err
}

// offerStatement has a browser keep the answer as a file. The sequence in its name tells two
// statements of one period apart.
func (c *call) offerStatement(document statementDocument, extension string) {
	c.offer(fmt.Sprintf("statement-%s-%d.%s", document.of, document.Sequence, extension))
}

// plainCell is a text that a client has chosen, as a cell of CSV. A spreadsheet takes one that begins
// like a formula for one, and carries it out; behind an apostrophe it is text (OWASP, CSV Injection).
func plainCell(text string) string {
	first, _ := utf8.DecodeRuneInString(text)
	if strings.ContainsRune("=+-@\t\r\n＝＋－＠", first) && text != "" {
		return "'" + text
	}
	return text
}

// csv writes the document as RFC 4180 has it.
func (d statementDocument) csv() ([]byte, error) {
	rows := [][]string{{
		"record", "currency", "account", "sequence", "entryId", "at", "positionId", "fromState", "toState",
		"debit", "credit", "amount", "holderReference", "assetId", "assetLabel", "reason",
		"actor", "approvalId", "approvedBy", "breakGlass",
	}}
	empty := make([]string, 8)
	balances := func(record, sequence string, at *timestamp, all []balanceView) {
		for _, of := range all {
			for _, b := range of.accounts() {
				rows = append(rows, append([]string{
					record, string(of.Currency), string(b.account), sequence, "", orNone(at),
					"", "", "", "", "", b.balance,
				}, empty...))
			}
		}
	}

	balances("opening", "", d.From, d.Opening)
	for _, m := range d.Movements {
		rows = append(rows, append([]string{
			"movement", string(m.Currency), "", strconv.FormatInt(m.Sequence, 10), m.EntryID.String(),
			m.At.String(), m.PositionID.String(), string(m.FromState), string(m.ToState),
			string(m.Debit), string(m.Credit), m.Amount,
			plainCell(m.HolderReference), m.AssetID.String(), plainCell(m.AssetLabel), plainCell(m.Reason),
			m.Actor.String(),
		}, cellsOf(m.Approval)...))
	}
	balances("closing", strconv.FormatInt(d.Sequence, 10), d.To, d.Closing)
	if d.ContinuesAt != nil {
		rows = append(rows, append([]string{
			"continues", "", "", "", "", d.ContinuesAt.String(), "", "", "", "", "", "",
		}, empty...))
	}

	var content bytes.Buffer
	err := newCSV(&content).WriteAll(rows)
	return content.Bytes(), err
}

// orNone is "" where there is no time.
func orNone(at *timestamp) string {
	if at == nil {
		return ""
	}
	return at.String()
}

// accountBalance is what one account has, as a text with the currency's decimals.
type accountBalance struct {
	account escrow.Account
	balance string
}

// accounts lists the balances in the order of the accounts.
func (v balanceView) accounts() []accountBalance {
	return []accountBalance{
		{account: escrow.AccountHolder, balance: v.Holder},
		{account: escrow.AccountEscrow, balance: v.Escrow},
		{account: escrow.AccountBeneficiary, balance: v.Beneficiary},
		{account: escrow.AccountRefund, balance: v.Refund},
	}
}
