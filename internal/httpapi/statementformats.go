package httpapi

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // for the page
	"encoding/base64"
	"encoding/csv"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2/negotiation"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// The formats of statements beside JSON: CSV for spreadsheets, and a page for people
// and their printers.
const (
	contentTypeCSV  = "text/csv"
	contentTypeHTML = "text/html"
)

// statementFormat returns the content type of the format that a statement is asked for in,
// by the parameter, or else by the Accept header; empty where that has none of the three.
func (c *call) statementFormat(format string) string {
	switch format {
	case "":
		accept := strings.ToLower(strings.Join(c.request.Header.Values("Accept"), ","))
		return negotiation.SelectQValue(accept, []string{web.ContentTypeJSON, contentTypeCSV, contentTypeHTML})
	case "csv":
		return contentTypeCSV
	case "html":
		return contentTypeHTML
	case "json":
	default:
		c.faults.Add("format", "must be json, csv or html")
	}
	return web.ContentTypeJSON
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

// particular is a line at the head of a page; one without a value is left out.
type particular struct{ Name, Value string }

// answerStatement answers a statement in the format of a content type; in JSON where it is
// empty.
func (s *server) answerStatement(c *call, contentType string, document statementDocument) (reply, error) {
	switch contentType {
	case contentTypeCSV:
		// The sequence in the name tells two statements of one period apart.
		content, err := document.csv()
		c.writer.Header().Set("Content-Disposition",
			fmt.Sprintf(`attachment; filename="statement-%s-%d.csv"`, document.of, document.Sequence))
		return reply{status: http.StatusOK, raw: content, contentType: "text/csv; charset=utf-8"}, err

	case contentTypeHTML:
		// The other formats name the institution by its id, which programs know.
		institution, err := s.engine.Institution(c.context(), document.institution)
		if err != nil {
			return reply{}, err
		}
		content, err := document.page(institution)
		c.writer.SecurePage(statementPolicy)
		return reply{status: http.StatusOK, raw: content, contentType: "text/html; charset=utf-8"}, err
	}
	return ok(document.json), nil
}

// csv writes the document as RFC 4180 has it. No text that a client chose is in it, such as
// a holder's reference: a spreadsheet would carry out one that begins like a formula.
func (d statementDocument) csv() ([]byte, error) {
	rows := [][]string{{
		"record", "currency", "account", "sequence", "entryId", "at", "positionId", "fromState", "toState",
		"debit", "credit", "amount",
	}}
	balances := func(record, sequence string, at *timestamp, all []balanceView) {
		for _, of := range all {
			for _, b := range of.accounts() {
				rows = append(rows, []string{
					record, string(of.Currency), string(b.account), sequence, "", orNone(at),
					"", "", "", "", "", b.balance,
				})
			}
		}
	}

	balances("opening", "", d.From, d.Opening)
	for _, m := range d.Movements {
		rows = append(rows, []string{
			"movement", string(m.Currency), "", strconv.FormatInt(m.Sequence, 10), m.EntryID.String(),
			m.At.String(), m.PositionID.String(), string(m.FromState), string(m.ToState),
			string(m.Debit), string(m.Credit), m.Amount,
		})
	}
	balances("closing", strconv.FormatInt(d.Sequence, 10), d.To, d.Closing)
	if d.ContinuesAt != nil {
		rows = append(rows, []string{"continues", "", "", "", "", d.ContinuesAt.String(), "", "", "", "", "", ""})
	}

	// RFC 4180 ends lines with both characters, and some spreadsheets insist on it.
	var content bytes.Buffer
	writer := csv.NewWriter(&content)
	writer.UseCRLF = true
	err := writer.WriteAll(rows)
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

//go:embed assets/statement.html.tmpl
var statementText string

var statementPage = template.Must(template.New("statement").Parse(statementText))

// statementPolicy lets the page have its own style, which stands in it, and nothing else.
var statementPolicy = func() string {
	_, rest, _ := strings.Cut(statementText, "<style>")
	style, _, _ := strings.Cut(rest, "</style>")
	hash := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) + "'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}()

// currencySection is the part of a page about one currency.
type currencySection struct {
	Currency                   money.Currency
	Balances                   []balanceLine
	OpeningTotal, ClosingTotal string
	Movements                  []movementView
}

// balanceLine is a row of the table of balances.
type balanceLine struct {
	Account          escrow.Account
	Opening, Closing string
}

// page makes a page that needs no other file, with a section for each currency.
func (d statementDocument) page(institution escrow.Institution) ([]byte, error) {
	movements := make(map[money.Currency][]movementView)
	for _, m := range d.Movements {
		movements[m.Currency] = append(movements[m.Currency], m)
	}

	sections := make([]currencySection, len(d.Closing))
	for i, closing := range d.Closing {
		opening := d.Opening[i]
		section := currencySection{
			Currency:     closing.Currency,
			OpeningTotal: opening.Total,
			ClosingTotal: closing.Total,
			Movements:    movements[closing.Currency],
		}
		// Opening and closing balances are of the same currencies, in the same order.
		after := closing.accounts()
		for j, before := range opening.accounts() {
			section.Balances = append(section.Balances, balanceLine{
				Account: before.account,
				Opening: before.balance,
				Closing: after[j].balance,
			})
		}
		sections[i] = section
	}

	var page bytes.Buffer
	err := statementPage.Execute(&page, struct {
		statementDocument
		Institution escrow.Institution
		Sections    []currencySection
	}{statementDocument: d, Institution: institution, Sections: sections})
	return page.Bytes(), err
}
