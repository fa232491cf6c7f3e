package httpapi

import (
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

// A statement as camt.053.001.08, ISO 20022's BankToCustomerStatement: one Stmt of each currency, of
// the account ESCROW, which each movement credits or debits. The schema's elements are in its order,
// and those that it has and a journal has not are left out.

// The bounds of the schema's texts, in characters, and of the digits of its amounts.
const (
	max70Text     = 70
	max140Text    = 140
	max500Text    = 500
	maxXMLDigits  = 18
	noCurrency    = "XXX" // ISO 4217's code for none
	xmlCredit     = "CRDT"
	xmlDebit      = "DBIT"
	openingBooked = "OPBD"
	closingBooked = "CLBD"
)

type camt053 struct {
	XMLName    xml.Name           `xml:"urn:iso:std:iso:20022:tech:xsd:camt.053.001.08 Document"`
	MessageID  string             `xml:"BkToCstmrStmt>GrpHdr>MsgId"`
	CreatedAt  timestamp          `xml:"BkToCstmrStmt>GrpHdr>CreDtTm"`
	Statements []camt053Statement `xml:"BkToCstmrStmt>Stmt"`
}

type camt053Statement struct {
	ID             string           `xml:"Id"`
	CreatedAt      timestamp        `xml:"CreDtTm"`
	From           timestamp        `xml:"FrToDt>FrDtTm"`
	To             timestamp        `xml:"FrToDt>ToDtTm"`
	AccountID      string           `xml:"Acct>Id>Othr>Id"`
	AccountType    string           `xml:"Acct>Tp>Prtry"`
	Currency       string           `xml:"Acct>Ccy"`
	AccountName    string           `xml:"Acct>Nm"`
	Owner          string           `xml:"Acct>Ownr>Nm"`
	Balances       []camt053Balance `xml:"Bal"`
	Entries        []camt053Entry   `xml:"Ntry"`
	AdditionalInfo string           `xml:"AddtlStmtInf,omitempty"`
}

type camt053Amount struct {
	Currency string `xml:"Ccy,attr"`
	Amount   string `xml:",chardata"`
}

type camt053Balance struct {
	Code      string        `xml:"Tp>CdOrPrtry>Cd"`
	Amount    camt053Amount `xml:"Amt"`
	Indicator string        `xml:"CdtDbtInd"`
	At        timestamp     `xml:"Dt>DtTm"`
}

type camt053Entry struct {
	Reference      string             `xml:"NtryRef"`
	Amount         camt053Amount      `xml:"Amt"`
	Indicator      string             `xml:"CdtDbtInd"`
	Status         string             `xml:"Sts>Cd"`
	BookedAt       timestamp          `xml:"BookgDt>DtTm"`
	ValueAt        timestamp          `xml:"ValDt>DtTm"`
	EntryID        escrow.EntryID     `xml:"AcctSvcrRef"`
	Code           escrow.State       `xml:"BkTxCd>Prtry>Cd"`
	CodeIssuer     string             `xml:"BkTxCd>Prtry>Issr"`
	Details        camt053Transaction `xml:"NtryDtls>TxDtls"`
	AdditionalInfo string             `xml:"AddtlNtryInf"`
}

type camt053Transaction struct {
	PositionID escrow.PositionID `xml:"Refs>EndToEndId"`
	Parties    camt053Parties    `xml:"RltdPties"`
	Reason     *camt053Reason    `xml:"RmtInf"`
	Additional string            `xml:"AddtlTxInf"`
}

// camt053Parties names the holder, who pays in, is paid back, or whose money it was.
type camt053Parties struct {
	Debtor         *camt053Party `xml:"Dbtr"`
	UltimateDebtor *camt053Party `xml:"UltmtDbtr"`
	Creditor       *camt053Party `xml:"Cdtr"`
}

type camt053Party struct {
	Name string `xml:"Pty>Nm"`
}

// camt053Reason is a text in parts.
type camt053Reason struct {
	Parts []string `xml:"Ustrd"`
}

// MarshalText implements encoding.TextMarshaler.
func (t timestamp) MarshalText() ([]byte, error) { return t.AppendText(nil) }

// camt053 writes the statement of an institution as XML. Its error is that of an input where an amount
// has more digits than the schema takes.
func (d statementDocument) camt053(institution escrow.Institution, now time.Time) ([]byte, error) {
	created := timestamp(now.UTC().Truncate(time.Microsecond))
	document := camt053{
		MessageID: fmt.Sprintf("%d-%d", d.Sequence, now.UnixMicro()),
		CreatedAt: created,
	}
	// A message has one statement at least.
	opening, closing := d.Opening, d.Closing
	if len(closing) == 0 {
		opening = []balanceView{{Currency: noCurrency, Escrow: "0"}}
		closing = opening
	}

	for i, balance := range closing {
		statement := d.camt053Statement(institution, balance.Currency)
		statement.CreatedAt = created
		for _, b := range []camt053Balance{
			{Code: openingBooked, Amount: camt053Amount{Amount: opening[i].Escrow}, At: statement.From},
			{Code: closingBooked, Amount: camt053Amount{Amount: balance.Escrow}, At: statement.To},
		} {
			// What is held is never less than nothing.
			b.Amount.Currency, b.Indicator = string(balance.Currency), xmlCredit
			if digits := len(strings.ReplaceAll(b.Amount.Amount, ".", "")); digits > maxXMLDigits {
				var faults escrow.Faults
				faults.Add("format", "must be another: a balance in %s has more than %d digits, "+
					"which camt.053 cannot have", balance.Currency, maxXMLDigits)
				return nil, faults.Err()
			}
			statement.Balances = append(statement.Balances, b)
		}
		document.Statements = append(document.Statements, statement)
	}

	content, err := xml.MarshalIndent(document, "", " ")
	return append([]byte(xml.Header), append(content, '\n')...), err
}

// camt053Statement makes the statement of a currency, without its balances.
func (d statementDocument) camt053Statement(
	institution escrow.Institution, currency money.Code,
) camt053Statement {
	from := timestamp(institution.CreatedAt)
	if d.From != nil {
		from = *d.From
	}
	statement := camt053Statement{
		ID:             fmt.Sprintf("%s-%d-%d", currency, time.Time(from).Unix(), d.Sequence),
		From:           from,
		To:             *d.To,
		AccountID:      institution.ID.String(),
		AccountType:    string(escrow.AccountEscrow),
		Currency:       string(currency),
		AccountName:    cut("Escrow of "+institution.Name, max70Text),
		Owner:          cut(institution.Name, max140Text),
		AdditionalInfo: cut(d.camt053Info(), max500Text),
	}

	for _, m := range d.Movements {
		if m.Currency == currency {
			statement.Entries = append(statement.Entries, camt053EntryOf(m))
		}
	}
	return statement
}

// camt053Info says what the statement rests on, and whether it is all.
func (d statementDocument) camt053Info() string {
	var parts []string
	if d.ContinuesAt != nil {
		parts = append(parts, "The period goes on at "+d.ContinuesAt.String()+" in the next statement.")
	}
	if !d.Final {
		parts = append(parts, "Not final: until its end there can be more movements.")
	}
	if c := d.Checkpoint; c != nil {
		parts = append(parts,
			fmt.Sprintf("Signed checkpoint %s of %d entries, root hash %s.", c.Origin, c.Size, c.RootHash))
	}
	return strings.Join(parts, " ")
}

func camt053EntryOf(m movementView) camt053Entry {
	entry := camt053Entry{
		Reference:  fmt.Sprint(m.Sequence),
		Amount:     camt053Amount{Currency: string(m.Currency), Amount: m.Amount},
		Indicator:  xmlDebit,
		Status:     "BOOK",
		BookedAt:   m.At,
		ValueAt:    m.At,
		EntryID:    m.EntryID,
		Code:       m.ToState,
		CodeIssuer: "EscrowGrid",
		Details: camt053Transaction{
			PositionID: m.PositionID,
			Additional: cut(
				fmt.Sprintf("Asset %s (%s), holder %s", m.AssetID, m.AssetLabel, m.HolderReference), max500Text),
		},
		AdditionalInfo: cut(fmt.Sprintf("From %s to %s, by %s", m.Debit, m.Credit, m.people()), max500Text),
	}

	holder, parties := &camt053Party{cut(m.HolderReference, max140Text)}, &entry.Details.Parties
	switch m.Credit {
	case escrow.AccountEscrow:
		entry.Indicator, parties.Debtor = xmlCredit, holder
	case escrow.AccountRefund:
		parties.Creditor = holder
	case escrow.AccountHolder, escrow.AccountBeneficiary:
		parties.UltimateDebtor = holder
	}
	if m.Reason != "" {
		entry.Details.Reason = &camt053Reason{}
		for part := range slices.Chunk([]rune(m.Reason), max140Text) {
			entry.Details.Reason.Parts = append(entry.Details.Reason.Parts, string(part))
		}
	}
	return entry
}

// cut shortens a text to so many characters.
func cut(text string, most int) string {
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most-1]) + "…"
}
