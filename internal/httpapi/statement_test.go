package httpapi_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/csv"
	"fmt"
	"html"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
)

// statement is what a statement's JSON has.
type statement struct {
	InstitutionID, PositionID, AssetID, HolderReference, ExternalReference, Currency, State string
	From, ContinuesAt                                                                       *string
	To                                                                                      string
	Final                                                                                   bool
	Sequence                                                                                int
	Opening, Closing                                                                        []balance
	Movements                                                                               []movement
	Checkpoint                                                                              *struct {
		Origin, RootHash, At, Note string
		Size                       int
	}
}

type balance struct{ Currency, Holder, Escrow, Beneficiary, Refund, Total string }

type movement struct {
	Sequence                                                                     int
	EntryID, At, PositionID, FromState, ToState, Debit, Credit, Currency, Amount string
	HolderReference, AssetID, AssetLabel, Reason, Actor                          string
}

func (b balance) String() string {
	return strings.Join([]string{b.Currency, b.Holder, b.Escrow, b.Beneficiary, b.Refund, b.Total}, " ")
}

func (m movement) String() string {
	return strings.Join([]string{m.FromState, m.ToState, m.Debit, m.Credit, m.Currency, m.Amount}, " ")
}

func texts[T fmt.Stringer](list []T) []string {
	all := []string{}
	for _, item := range list {
		all = append(all, item.String())
	}
	return all
}

// statement reads the statement of a query.
func (b bank) statement(t *testing.T, query string) (of statement) {
	t.Helper()
	answer := b.ReadOnly.Get(t, "/institutions/"+b.ID+"/statements"+query).Want(t, 200)
	answer.Decode(t, &of)
	link := answer.Header.Get("Link")
	if (link != "") != (of.ContinuesAt != nil) {
		t.Errorf("%s continues at %v, and its Link is %q", query, of.ContinuesAt, link)
	}
	return of
}

// in is a claim in another currency, on an asset of its own.
func (b bank) in(tb testing.TB, currency string) bank {
	tb.Helper()
	b.Asset = b.asset(tb, b.template(tb, templateOf("CONSTR_ESCROW").with("config", fields{"currency": currency})))
	return b
}

// trade moves money in three currencies: of a position in dollars, of one in yen and one
// in dinars, in a journal with more that moves nothing.
func (b bank) trade(t *testing.T) {
	t.Helper()
	b.position(t, "FUNDED", "PARTIALLY_RELEASED", "CANCELLED")
	b.position(t, "CANCELLED")
	for currency, amount := range map[string]string{"JPY": "5000", "KWD": "1.005"} {
		other := b.in(t, currency)
		position := b.Admin.Post(t, "/positions", other.claim().with("currency", currency).with("amount", amount).String()).Want(t, 201).Text("id")
		for _, state := range []string{"FUNDED", "RELEASED"} {
			b.transition(t, position, step(state)).Want(t, 200)
		}
	}
}

func TestAStatementTellsWhatHasMoved(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		if empty := b.statement(t, ""); len(empty.Opening)+len(empty.Closing)+len(empty.Movements) != 0 || empty.Sequence != 5 || !empty.Final {
			t.Errorf("before any movement the statement is %+v", empty)
		}
		b.trade(t)
		whole := b.statement(t, "")
		wantClosing := []string{"JPY -5000 0 5000 0 0", "KWD -1.005 0.000 1.005 0.000 0.000", "USD -1000.00 0.00 10.00 990.00 0.00"}
		if got := texts(whole.Closing); !slices.Equal(got, wantClosing) {
			t.Errorf("it closes with%s", lines(got))
		}
		wantOpening := []string{"JPY 0 0 0 0 0", "KWD 0.000 0.000 0.000 0.000 0.000", "USD 0.00 0.00 0.00 0.00 0.00"}
		if got := texts(whole.Opening); !slices.Equal(got, wantOpening) {
			t.Errorf("it opens with%s", lines(got))
		}
		wantMovements := []string{
			"CREATED FUNDED HOLDER ESCROW USD 1000.00", "FUNDED PARTIALLY_RELEASED ESCROW BENEFICIARY USD 10.00",
			"PARTIALLY_RELEASED CANCELLED ESCROW REFUND USD 990.00",
		}
		if got := texts(whole.Movements); !slices.Equal(got[:3], wantMovements) || len(got) != 7 {
			t.Errorf("the movements are%s", lines(got))
		}
		// They are those of the ledger.
		ledger := eventsOf(t, b.ReadOnly.Get(t, "/ledger-events?kind=POSITION_STATE_CHANGED"))
		ledger = slices.DeleteFunc(ledger, func(e event) bool { return e.Amount == "" })
		for i, m := range whole.Movements {
			if e := ledger[i]; m.EntryID != e.ID || m.Sequence != e.Sequence || m.At != e.At || m.PositionID != e.PositionID || m.Amount != e.Amount {
				t.Errorf("the movement %+v is of the event %+v", m, e)
			}
		}
		if whole.InstitutionID != b.ID || whole.From != nil || whole.ContinuesAt != nil || len(ledger) != 7 {
			t.Errorf("the whole statement is %+v", whole)
		}
		if want := len(s.journal(t, b)); whole.Sequence != want {
			t.Errorf("it covers %d entries of %d", whole.Sequence, want)
		}
	})
}

func TestAStatementOfAPeriod(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		b.trade(t)
		whole := b.statement(t, "")
		third := whole.Movements[2]
		// The beginning is within the period, the end is not.
		before, after := b.statement(t, "?to="+third.At), b.statement(t, "?from="+third.At)
		if got := slices.Concat(texts(before.Movements), texts(after.Movements)); !slices.Equal(got, texts(whole.Movements)) || len(before.Movements) != 2 {
			t.Errorf("before %s there is%s", third.At, lines(texts(before.Movements)))
		}
		if before.To != third.At || before.From != nil || *after.From != third.At || before.Sequence != third.Sequence-1 || !before.Final {
			t.Errorf("up to the third movement it is %+v", before)
		}
		if want := []string{"USD -1000.00 990.00 10.00 0.00 0.00"}; !slices.Equal(texts(before.Closing), want) || texts(after.Opening)[2] != want[0] {
			t.Errorf("before the third movement there is%s\nand then%s", lines(texts(before.Closing)), lines(texts(after.Opening)))
		}
		// Times of another offset are the same times.
		at, err := time.Parse(time.RFC3339, third.At)
		if err != nil {
			t.Fatal(err)
		}
		elsewhere := at.In(time.FixedZone("", 5*3600)).Format("2006-01-02T15:04:05.000000-07:00")
		if got := b.statement(t, "?to="+strings.ReplaceAll(elsewhere, "+", "%2B")); got.To != third.At || len(got.Movements) != 2 {
			t.Errorf("up to %s it is %+v", elsewhere, got)
		}
		if later := b.statement(t, "?from="+third.At+"&to="+s.clock.at(time.Hour)); later.Final || len(later.Movements) != 5 {
			t.Errorf("up to a time to come it is %+v", later)
		}
	})
}

// next follows the Link of an answer.
func next(t *testing.T, client apitest.Client, answer apitest.Answer) (following apitest.Answer, ok bool) {
	t.Helper()
	link := answer.Header.Get("Link")
	if link == "" {
		return apitest.Answer{}, false
	}
	found := regexp.MustCompile(`^<([^>]+)>; rel="next"$`).FindStringSubmatch(link)
	if found == nil {
		t.Fatalf("the Link is %q", link)
	}
	return client.Get(t, found[1], answer.Request.Headers...).Want(t, 200), true
}

func TestAStatementIsContinuedByItsLink(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		b.trade(t)
		whole := b.statement(t, "")
		end := whole.Movements[6].At
		var movements []string
		closing := texts(b.statement(t, "?to="+whole.Movements[0].At).Closing)
		answer, more := b.ReadOnly.Get(t, "/institutions/"+b.ID+"/statements?limit=2&to="+end).Want(t, 200), true
		for count := 0; more && count < 5; count++ {
			var part statement
			answer.Decode(t, &part)
			for _, line := range texts(part.Opening) {
				// A currency in which nothing has moved before opens with nothing.
				if !slices.Contains(closing, line) && !regexp.MustCompile(`^\w+( 0(\.0+)?){5}$`).MatchString(line) {
					t.Errorf("part %d opens with %s after%s", count, line, lines(closing))
				}
			}
			if isLast := count == 2; isLast != (part.ContinuesAt == nil) || !isLast && *part.ContinuesAt != part.To || len(part.Movements) != 2 || isLast && part.To != end {
				t.Errorf("part %d is %+v", count, part)
			}
			closing, movements = texts(part.Closing), append(movements, texts(part.Movements)...)
			answer, more = next(t, b.ReadOnly, answer)
		}
		if !slices.Equal(movements, texts(whole.Movements[:6])) {
			t.Errorf("the parts have%s\nthe whole%s", lines(movements), lines(texts(whole.Movements)))
		}
	})
}

func TestAStatementOfAPosition(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		claim := b.claim().with("externalReference", "contract 7")
		id := b.Admin.Post(t, "/positions", claim.String()).Want(t, 201).Text("id")
		read := func(client apitest.Client, query string) (of statement) {
			client.Get(t, "/positions/"+id+"/statement"+query).Want(t, 200).Decode(t, &of)
			return of
		}
		nothing := []string{"USD 0.00 0.00 0.00 0.00 0.00"}
		if created := read(b.ReadOnly, ""); !slices.Equal(texts(created.Opening), nothing) || !slices.Equal(texts(created.Closing), nothing) || len(created.Movements) != 0 {
			t.Errorf("of a new position it is %+v", created)
		}
		b.position(t, "FUNDED") // Of another position nothing is told.
		for _, state := range []string{"FUNDED", "PARTIALLY_RELEASED"} {
			b.transition(t, id, step(state)).Want(t, 200)
		}
		of := read(s.Client, "?institutionId="+b.ID)
		want := []string{"CREATED FUNDED HOLDER ESCROW USD 1000.00", "FUNDED PARTIALLY_RELEASED ESCROW BENEFICIARY USD 10.00"}
		if got := texts(of.Movements); !slices.Equal(got, want) {
			t.Errorf("the movements are%s", lines(got))
		}
		if !slices.Equal(texts(of.Opening), nothing) || !slices.Equal(texts(of.Closing), []string{"USD -1000.00 990.00 10.00 0.00 0.00"}) {
			t.Errorf("it opens with %v and closes with %v", of.Opening, of.Closing)
		}
		about := []string{of.InstitutionID, of.PositionID, of.AssetID, of.HolderReference, of.ExternalReference, of.Currency, of.State}
		if want := []string{b.ID, id, b.Asset, "ACME-4711", "contract 7", "USD", "PARTIALLY_RELEASED"}; !slices.Equal(about, want) {
			t.Errorf("it is about%s", lines(about))
		}
		if of.Sequence != of.Movements[1].Sequence {
			t.Errorf("its last entry is %d", of.Sequence)
		}
	})
}

func TestAStatementRestsOnACheckpoint(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		position := b.position(t, "FUNDED").Text("id")
		read := func() []statement {
			var of statement
			b.ReadOnly.Get(t, "/positions/"+position+"/statement").Want(t, 200).Decode(t, &of)
			return []statement{b.statement(t, ""), of}
		}
		for _, of := range read() {
			if of.Checkpoint != nil {
				t.Errorf("before any is signed the checkpoint is %+v", of.Checkpoint)
			}
		}
		s.signCheckpoints()
		earlier := s.auditor(t, b).checkpoint(t, "")
		b.position(t)
		s.signCheckpoints()
		later := s.auditor(t, b).checkpoint(t, "")
		for i, want := range []int64{later.Size, earlier.Size} {
			if of := read()[i]; of.Checkpoint == nil || int64(of.Checkpoint.Size) != want {
				t.Errorf("the statement up to entry %d rests on %+v, want the checkpoint of %d", of.Sequence, of.Checkpoint, want)
			}
		}
		opened, err := s.auditor(t, b).verifiers.Open([]byte(read()[1].Checkpoint.Note))
		if err != nil || opened != earlier || read()[1].Checkpoint.RootHash != earlier.Root.String() {
			t.Errorf("the checkpoint %+v opens as %+v, %v", read()[1].Checkpoint, opened, err)
		}
	})
}

func TestFormatsOfStatements(t *testing.T) {
	s := serve(t, onSQLite(t), nil)
	b := s.bank(t)
	position := b.position(t, "FUNDED").Text("id")
	const (
		json = "application/json"
		csv  = "text/csv; charset=utf-8"
		page = "text/html; charset=utf-8"
		xml  = "application/xml; charset=utf-8"
	)
	for _, test := range []struct{ query, accept, want string }{
		{"", "", json},
		{"?format=json", "text/csv", json},
		{"?format=csv", "", csv},
		{"?format=html", "application/json", page},
		{"", "text/csv", csv},
		{"", "Text/HTML", page},
		{"", "*/*", json},
		{"?format=camt053", "text/html", xml},
		{"", "application/xml", xml},
		{"", "text/csv;q=0.5, Application/XML", xml},
		{"", "application/json, text/csv", json},
		{"", "text/csv;q=0.5, text/html;q=0.9", page},
		{"", "application/json;q=0, */*", csv},
		{"", "text/html;q=0.1, application/json", json},
		{"", "text/html, application/xml", page},
		{"", "text/*;q=0.5, text/html", page},
		{"", "*/*;q=0.1, text/csv;q=0, application/*;q=0", page},
		{"", "image/gif, *; q=.2, */*; q=.2", json},
		{"?format=json", "application/json;q=0", json},
		{"", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", page},
	} {
		for _, path := range []string{"/institutions/" + b.ID + "/statements", "/positions/" + position + "/statement"} {
			if test.want == xml && strings.HasPrefix(path, "/positions/") {
				continue // A position is no account.
			}
			answer := b.ReadOnly.Get(t, path+test.query, "Accept: "+test.accept).Want(t, 200)
			if got := answer.Header.Get("Content-Type"); got != test.want {
				t.Errorf("%s of the Accept %q is answered with %q, want %q", path+test.query, test.accept, got, test.want)
			}
			file := answer.Header.Get("Content-Disposition")
			if isFile := regexp.MustCompile(`^attachment; filename="statement-(inst|pos)_[0-9a-z]{26}-\d+\.(csv|xml)"$`).MatchString(file); isFile != (test.want == csv || test.want == xml) || !isFile && file != "" {
				t.Errorf("%s as %s is the file %q", path, test.want, file)
			}
		}
	}
	for _, accept := range []string{"application/json;q=0", "*/*;q=0", "text/csv;q=0, text/html;q=0", "image/png", "json"} {
		for _, path := range []string{"/institutions/" + b.ID + "/statements", "/positions/" + position + "/statement"} {
			b.ReadOnly.Get(t, path, "Accept: "+accept).Refused(t, 406, "not_acceptable")
		}
	}
	b.ReadOnly.Get(t, "/positions/"+position+"/statement", "Accept: application/xml").Refused(t, 406, "not_acceptable")
	head := b.ReadOnly.Send(t, apitest.Request{Method: http.MethodHead, Path: "/positions/" + position + "/statement", Headers: []string{"Accept: text/csv"}}).Want(t, 200)
	if head.Header.Get("Content-Type") != csv || len(head.Body) != 0 {
		t.Errorf("HEAD is answered with %q, %q", head.Header.Get("Content-Type"), head.Body)
	}
}

// As CSV a statement says the same as in JSON.
func TestAStatementAsCSV(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		b.trade(t)
		from := b.statement(t, "").Movements[1].At
		for _, query := range []string{"?from=" + from, "?limit=2&from=" + from} {
			of := b.statement(t, query)
			answer := b.ReadOnly.Get(t, "/institutions/"+b.ID+"/statements"+query+"&format=csv").Want(t, 200)
			got, err := csv.NewReader(strings.NewReader(string(answer.Body))).ReadAll()
			if err != nil {
				t.Fatal(err)
			}
			want := [][]string{{"record", "currency", "account", "sequence", "entryId", "at", "positionId", "fromState", "toState", "debit", "credit", "amount", "holderReference", "assetId", "assetLabel", "reason", "actor", "approvalId", "approvedBy", "breakGlass"}}
			balances := func(record, sequence, at string, all []balance) {
				for _, b := range all {
					for i, account := range []string{"HOLDER", "ESCROW", "BENEFICIARY", "REFUND"} {
						amount := []string{b.Holder, b.Escrow, b.Beneficiary, b.Refund}[i]
						want = append(want, []string{record, b.Currency, account, sequence, "", at, "", "", "", "", "", amount, "", "", "", "", "", "", "", ""})
					}
				}
			}
			balances("opening", "", from, of.Opening)
			for _, m := range of.Movements {
				want = append(want, []string{"movement", m.Currency, "", fmt.Sprint(m.Sequence), m.EntryID, m.At, m.PositionID, m.FromState, m.ToState, m.Debit, m.Credit, m.Amount, m.HolderReference, m.AssetID, m.AssetLabel, m.Reason, m.Actor, "", "", ""})
				if m.HolderReference != "ACME-4711" || m.AssetLabel != "Harbour Tower" {
					t.Errorf("the movement is %+v", m)
				}
			}
			balances("closing", fmt.Sprint(of.Sequence), of.To, of.Closing)
			if of.ContinuesAt != nil {
				want = append(want, []string{"continues", "", "", "", "", *of.ContinuesAt, "", "", "", "", "", "", "", "", "", "", "", "", "", ""})
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: wanted (-) and given (+):\n%s", query, diff)
			}
			following, more := next(t, b.ReadOnly, answer)
			if more != (of.ContinuesAt != nil) || more && following.Header.Get("Content-Type") != "text/csv; charset=utf-8" {
				t.Errorf("%s is followed by %s", query, following)
			}
		}
		// What a client has written is text, which a spreadsheet must not take for a formula.
		for _, text := range []string{"=HYPERLINK(1)", "+1", "-1", "@SUM(1)", "＝1", "plain, \"text\""} {
			position := b.Admin.Post(t, "/positions", b.claim().with("holderReference", text).String()).Want(t, 201).Text("id")
			b.transition(t, position, step("FUNDED").with("reason", text)).Want(t, 200)
			answer := b.ReadOnly.Get(t, "/positions/"+position+"/statement?format=csv").Want(t, 200)
			rows, err := csv.NewReader(bytes.NewReader(answer.Body)).ReadAll()
			want := strings.TrimPrefix("'"+text, "'p")
			if strings.HasPrefix(text, "p") {
				want = text
			}
			if err != nil || rows[5][12] != want || rows[5][15] != want || rows[6][11] != "-1000.00" {
				t.Errorf("the rows of %q are %q, %v", text, rows, err)
			}
		}
	})
}

// figure is an amount as a page shows it, with its thousands apart.
func figure(amount string) string {
	whole, decimals, found := strings.Cut(strings.Replace(amount, "-", "\u2212", 1), ".")
	if digits := strings.TrimLeft(whole, "\u2212"); len(digits) > 3 {
		whole = strings.TrimSuffix(whole, digits) + digits[:len(digits)-3] + "," + digits[len(digits)-3:]
	}
	if found {
		whole += "." + decimals
	}
	return regexp.QuoteMeta(whole)
}

// A page shows times as they are where its reader is, with UTC beside them.
func TestAPageShowsTimesOfAZone(t *testing.T) {
	s := serve(t, onSQLite(t), nil)
	b := s.bank(t)
	b.position(t, "FUNDED")
	at, err := time.Parse(time.RFC3339, b.statement(t, "").Movements[0].At)
	if err != nil {
		t.Fatal(err)
	}
	page := string(b.ReadOnly.Get(t, "/institutions/"+b.ID+"/statements?format=html&timeZone=Asia/Kolkata").Want(t, 200).Body)
	local := at.In(time.FixedZone("IST", 5*3600+1800))
	want := local.Format(time.DateOnly) + `<span class="small">` + local.Format("15:04:05 MST") + `</span><span class="small">` + at.Format("2006-01-02 15:04:05 UTC</span>")
	if !strings.Contains(page, want) || !strings.Contains(page, "<dt>Times are in</dt><dd>Asia/Kolkata</dd>") {
		t.Errorf("the page does not have %q: %s", want, page)
	}
}

// pageOf is the text of a page, which has its own style and nothing active.
func pageOf(t *testing.T, answer apitest.Answer) string {
	t.Helper()
	text := string(answer.Body)
	_, style, _ := strings.Cut(text, "<style>")
	style, _, _ = strings.Cut(style, "</style>")
	hash := sha256.Sum256([]byte(style))
	policy := answer.Header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'; style-src 'sha256-"+base64.StdEncoding.EncodeToString(hash[:])+"'") {
		t.Errorf("%s: the policy %q forbids the page's own style", answer.Request.Path, policy)
	}
	if active := regexp.MustCompile(`<(script|img|link|iframe|object)|(?i:javascript:)| on\w+=| style=`).FindString(text); active != "" {
		t.Errorf("%s has %q", answer.Request.Path, active)
	}
	return text
}

func TestAStatementAsAPage(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		b.trade(t)
		s.signCheckpoints()
		claim := b.claim().with("holderReference", "<script>alert(1)</script>").with("externalReference", `"><img src=x>`)
		position := b.Admin.Post(t, "/positions", claim.String()).Want(t, 201).Text("id")
		b.transition(t, position, step("FUNDED").with("reason", "as agreed")).Want(t, 200)
		of := b.statement(t, "")
		page := func(path string) string { return pageOf(t, b.ReadOnly.Get(t, path).Want(t, 200)) }
		whole := page("/institutions/" + b.ID + "/statements?format=html")
		for _, m := range of.Movements {
			if !regexp.MustCompile(fmt.Sprintf(`<tr><td><time datetime=%q>[^<]{10}<span class="small">[^<]{12}</span></time></td><td[^>]*>%d</td><td>%s<span[^>]*>%s</span><span[^>]*>%s</span><span[^>]*>by %s</span></td><td[^>]*>%s</td><td[^>]*>%s</td><td>%s</td><td[^>]*>%s</td></tr>`,
				m.At, m.Sequence, regexp.QuoteMeta(html.EscapeString(m.HolderReference)), m.AssetLabel, m.PositionID, m.Actor, m.Debit, m.Credit, m.Reason, figure(m.Amount))).MatchString(whole) {
				t.Errorf("the page does not have the movement %+v", m)
			}
		}
		for _, b := range of.Closing {
			for account, amount := range map[string]string{"HOLDER": b.Holder, "ESCROW": b.Escrow, "BENEFICIARY": b.Beneficiary, "REFUND": b.Refund} {
				if !regexp.MustCompile(`<tr><th scope="row">` + account + `</th><td[^>]*>[0.]+</td><td[^>]*>` + figure(amount) + `</td></tr>`).MatchString(whole) {
					t.Errorf("the page does not have that %s %s closes with %s", b.Currency, account, amount)
				}
			}
		}
		for _, want := range []string{"Meridian Bank", b.ID, `datetime="` + of.To, "<dt>Issued by</dt><dd>Meridian Bank</dd>", "<dt>Currencies</dt><dd>JPY, KWD, USD</dd>", "<dt>Times are in</dt><dd>UTC</dd>", "No checkpoint of the journal covers this statement yet"} {
			if !strings.Contains(whole, want) {
				t.Errorf("the page does not have %q", want)
			}
		}
		s.signCheckpoints()
		checkpoint := s.auditor(t, b).checkpoint(t, "")
		own := page("/positions/" + position + "/statement?format=html")
		for _, want := range []string{
			"&lt;script&gt;alert(1)&lt;/script&gt;", "&gt;&lt;img src=x&gt;", position, b.Asset, "Meridian Bank", "1,000.00", "<dt>Asset</dt><dd>Harbour Tower</dd>",
			fmt.Sprintf("the first %d entries", checkpoint.Size), strings.ReplaceAll(checkpoint.Root.String(), "+", "&#43;"),
		} {
			if !strings.Contains(own, want) {
				t.Errorf("the page of the position does not have %q", want)
			}
		}
		first := b.statement(t, "?limit=1")
		if cut := page("/institutions/" + b.ID + "/statements?format=html&limit=1"); strings.Count(cut, `datetime="`+*first.ContinuesAt) < 2 {
			t.Errorf("the page does not tell that it continues at %s", *first.ContinuesAt)
		}
		const notFinal = "This statement is not final"
		if later := page("/institutions/" + b.ID + "/statements?format=html&to=" + s.clock.at(time.Hour)); !strings.Contains(later, notFinal) || strings.Contains(whole+own, notFinal) {
			t.Error("the pages do not tell which of them is not final")
		}
	})
}

func TestQueriesOfStatementsAreChecked(t *testing.T) {
	s := serve(t, onSQLite(t), nil)
	b := s.bank(t)
	position := b.position(t).Text("id")
	const noon, later = "2027-01-31T12:00:00Z", "2027-01-31T12:00:00.000001Z"
	for query, want := range map[string][]string{
		"?from=" + later + "&to=" + noon:  {"from"},
		"?from=" + noon + "&to=" + noon:   {"from"},
		"?from=yesterday&to=2027-01-31":   {"from", "to"},
		"?from=yesterday&to=" + noon:      {"from"},
		"?limit=0":                        {"limit"},
		"?limit=10001":                    {"limit"},
		"?limit=-1&format=xml&cursor=x":   {"limit", "format", "cursor"},
		"?format=CSV":                     {"format"},
		"?createdFrom=" + noon:            {"createdFrom"},
		"?from=" + noon + "&from=" + noon: {"from"},
		"?institutionId=" + b.ID:          {"institutionId"},
	} {
		b.Admin.Get(t, "/institutions/"+b.ID+"/statements"+query).Refused(t, 422, "invalid_input", want...)
	}
	for query, want := range map[string][]string{
		"?format=pdf": {"format"}, "?format=camt053": {"format"}, "?timeZone=Local": {"timeZone"}, "?timeZone=../etc/passwd": {"timeZone"}, "?timeZone=Mars": {"timeZone"}, "?from=" + noon: {"from"}, "?limit=1": {"limit"}, "?institutionId=x&format=pdf": {"institutionId", "format"},
	} {
		b.Admin.Get(t, "/positions/"+position+"/statement"+query).Refused(t, 422, "invalid_input", want...)
	}
	s.Get(t, "/positions/"+position+"/statement").Refused(t, 422, "invalid_input", "institutionId")
	b.statement(t, "?limit=10000&from="+noon+"&to="+later)
}
