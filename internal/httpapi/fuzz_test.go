package httpapi_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/escrowgrid/escrowgrid/internal/httpapi"
	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
)

// wire is a request as it goes over the wire, with whatever is in it.
type wire struct {
	method, path, query, key string
	headers                  []string
	body                     []byte
}

// impatient makes a server that does not wait long for a body that a header
// promises and that does not come. For a head, which comes, it does.
func impatient(c *settings) { c.server.ReadTimeout, c.server.ReadHeaderTimeout = time.Second, patience }

// send writes a request and returns its answer, nil where the connection broke. No request whatever makes the
// server fail, and each is answered.
func (s *service) send(t rapid.TB, r wire) *http.Response {
	t.Helper()
	// A line's end would begin another header: what is sent stays one request.
	oneLine := strings.NewReplacer("\r", "", "\n", "")
	var request bytes.Buffer
	fmt.Fprintf(&request, "%s %s?%s HTTP/1.1\r\nHost: localhost\r\nX-API-KEY: %s\r\n", oneLine.Replace(r.method), oneLine.Replace(r.path),
		oneLine.Replace(r.query), r.key)
	for _, header := range r.headers {
		request.WriteString(oneLine.Replace(header) + "\r\n")
	}
	fmt.Fprintf(&request, "Content-Length: %d\r\nConnection: close\r\n\r\n", len(r.body))
	request.Write(r.body)

	connection, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://")) //nolint:noctx // It has a deadline.
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	if err := connection.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	// The server may answer and close before it has read all.
	_, _ = connection.Write(request.Bytes())
	reader := bufio.NewReader(connection)
	for {
		response, err := http.ReadResponse(reader, &http.Request{Method: r.method})
		if errors.Is(err, syscall.ECONNRESET) {
			return nil // See below; the log would tell of a panic.
		}
		if err != nil {
			t.Fatalf("%q is not answered: %v", request.Bytes(), err)
		}
		if response.StatusCode == http.StatusContinue {
			continue
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		// To what is no HTTP, net/http answers and closes before it has read all.
		if err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Fatalf("%q: the answer breaks off: %v", request.Bytes(), err)
		}
		if fault := faultOf(response, body); fault != "" {
			t.Fatalf("%q is answered with %s %q: %s", request.Bytes(), response.Status, body, fault)
		}
		return response
	}
}

// faultOf says what no answer may be like, or "".
func faultOf(response *http.Response, body []byte) string {
	if response.StatusCode >= http.StatusInternalServerError {
		return "the server failed"
	}
	// Without a request id it is the answer of net/http, to what is no HTTP.
	id := response.Header.Get("X-Request-Id")
	if response.StatusCode < http.StatusBadRequest || id == "" || len(body) == 0 {
		return ""
	}
	var problem struct {
		Status          int
		Code, RequestID string
	}
	if err := json.Unmarshal(body, &problem); err != nil {
		return err.Error()
	}
	for _, kind := range httpapi.ErrorKinds() {
		if string(kind.Code) == problem.Code && kind.Status == response.StatusCode && kind.Status == problem.Status &&
			(problem.RequestID == id || response.Header.Get("Idempotent-Replayed") != "") {
			return ""
		}
	}
	return "it is not in the table of errors"
}

// hostile are texts that have broken other servers.
var hostile = []string{
	"", " ", "\x00", "\xff", "\u0085", "\ufeff", "%00", "%ff", "%", "%zz", "'", `"`, `\`, "`", ";", "--", "/*", "' OR 1=1 --", "$1", "?1", "{id}", "{}", "[]", "null",
	"../../etc/passwd", "..", "//", "<script>", "${jndi:ldap://x}", "%s%n", "-0", "NaN", "Infinity", "1e999999", "9223372036854775808", "-9223372036854775808",
	"99999999999999999999999999", "0x10", "१२३", "𝟙", "💰", "\u202e", "\u2028", "e\u0301", "ﷺ", "İ", "ß", "2027-02-30T00:00:00Z", "9999-12-31T23:59:59.999999999Z",
	"0000-00-00T00:00:00Z", "inst_00000000000000000000000000", "pos_7zzzzzzzzzzzzzzzzzzzzzzzzz", "key_", "root", "system", "policy/US", "true", "AAAAAAAAAAAAAAAAAAAAAA",
	"_____________________w", strings.Repeat("a", 256), strings.Repeat("é", 1001), strings.Repeat("9", 400),
}

func FuzzRequest(f *testing.F) {
	s := serve(f, "sqlite::memory:", impatient)
	b := s.bank(f)
	position := b.position(f).Text("id")
	for _, route := range contractTable {
		method, path, _ := strings.Cut(route.route, " ")
		body := ""
		if route.body != nil {
			body = strings.ReplaceAll(route.body(b).String(), anyPosition, position)
		}
		f.Add(method, path, "", []byte(body), "Idempotency-Key: x")
		f.Add(method, strings.ReplaceAll(path, "{id}", b.ID), "institutionId="+b.ID, []byte(body), "If-Match: \"1\"")
	}
	for _, text := range hostile {
		f.Add("GET", "/positions", "holderReference="+url.QueryEscape(text)+"&cursor="+text, []byte(text), "X-Request-Id: "+text)
		f.Add("POST", "/positions", text, []byte(b.claim().with("holderReference", text).String()), "Idempotency-Key: "+text)
		f.Add("POST", "/positions/batch", "", []byte(batchOf(b.claim().with("currency", text), b.claim()).with("atomic", true).String()), "Idempotency-Key: "+text)
		f.Add("POST", "/positions/transitions/batch", "", []byte(batchOf(step("FUNDED").with("positionId", text)).String()), "X-Request-Id: "+text)
		f.Add("PUT", "/institutions/"+b.ID+"/policies/"+text, "", []byte(text), "X-Forwarded-For: "+text)
		f.Add(text, "/"+text, text, []byte(text), text+": "+text)
	}
	for _, header := range []string{"Transfer-Encoding: chunked", "Expect: 100-continue", "Content-Length: 1", "Upgrade: h2c", "Host: other", "Content-Encoding: gzip"} {
		f.Add("POST", "/positions", "", []byte(b.claim().String()), header)
	}
	f.Fuzz(func(t *testing.T, method, path, query string, body []byte, header string) {
		s.send(t, wire{method, path, query, b.Admin.Key, []string{"Content-Type: application/json", header}, body})
		s.send(t, wire{method, path, query, rootKey, []string{"Content-Type: application/json", header}, body})
	})
}

// Requests that are nearly right, a tenth of which makes something, reach further
// than those of FuzzRequest.
func TestNoRequestMakesTheServerFail(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { testRandomRequests(t, serve(t, onSQLite(t), impatient)) })
	t.Run("postgres", func(t *testing.T) { testRandomRequests(t, serve(t, pgtest.Shared(t).NewDatabase(t), impatient)) })
}

func testRandomRequests(t *testing.T, s *service) {
	t.Helper()
	b, from := s.bank(t), s.issuer(t)
	b.provider = providerOf(from.Issuer, fields{"staff": "admin"})
	aProvider(t, b)
	all := forms(t, b)
	tokens := []string{
		from.token(t, staff, nil),
		// For the provider as the forms set it.
		from.token(t, nil, fields{"aud": "api", "client_id": "c", "realm": fields{"roles": staff}}),
	}
	session := s.console(s.cookie(t, b.Admin.Post(t, "/sessions", "").Want(t, 201)))
	session[1] = "Origin: http://localhost"
	known := []string{
		aUser(t, b)[0], aSession(t, b)[0],
		b.ID, b.Template, b.Asset, b.position(t, "FUNDED").Text("id"), b.position(t).Text("id"), b.position(t, ways["RELEASED"]...).Text("id"), aKey(t, b)[0], anApproval(t, b)[0], "SG", "docs.js",
	}
	// What is closed would take nothing of what the others make.
	table := slices.DeleteFunc(slices.Clone(contractTable), func(route agreed) bool { return strings.HasSuffix(route.route, "/close") })
	table = append(table, agreed{route: "GET /auth/login"}, agreed{route: "GET /auth/callback"}, agreed{route: "GET /auth/callback/{id}"})
	commands := slices.DeleteFunc(slices.Clone(table), func(route agreed) bool { return route.body == nil })
	slices.Reverse(commands) // What comes first is drawn more often.
	creations := slices.DeleteFunc(slices.Clone(commands), func(route agreed) bool { return route.status != http.StatusCreated })
	keys := []string{b.Admin.Key, b.Admin.Key, b.Admin.Key, b.Admin.Key, b.Admin.Key, b.Admin.Key, rootKey, rootKey, "session", "session", "token", b.ReadOnly.Key, "x"}
	statuses, sent := make(map[int]int), 0
	rapid.Check(t, func(t *rapid.T) {
		draw := drawing{t, known}
		for range 10 {
			routes := rapid.SampledFrom([][]agreed{commands, creations, table}).Draw(t, "routes")
			route := rapid.SampledFrom(routes).Draw(t, "route")
			r := wire{key: rapid.SampledFrom(keys).Draw(t, "key")}
			switch r.key {
			case "session":
				r.key, r.headers = "", slices.Clone(session)
			case "token":
				r.key, r.headers = "", []string{rapid.SampledFrom(tokens).Draw(t, "token")}
			}
			if route.takes == root && r.key == b.Admin.Key {
				r.key = rootKey
			}
			var path string
			r.method, path, _ = strings.Cut(route.route, " ")
			for part := range strings.SplitSeq(path[1:], "/") {
				if strings.HasPrefix(part, "{") {
					part = url.PathEscape(draw.id(r.path+"/"+part, b))
				}
				r.path += "/" + part
			}
			r.query = draw.query()
			if route.body != nil {
				r.body = draw.body(all, route.route)
			}
			for range rapid.SampledFrom([]int{0, 0, 0, 0, 0, 1, 2}).Draw(t, "headers") {
				name := rapid.SampledFrom([]string{"Idempotency-Key", "If-Match", "If-None-Match", "X-Request-Id", "Content-Type", "Origin", "X-Forwarded-For", "Authorization", "Cookie", "X-Institution-Id", "Sec-Fetch-Site", "Dry-Run"}).Draw(t, "header")
				r.headers = append(r.headers, name+": "+draw.text("header"))
			}
			r.headers = append([]string{"Content-Type: application/json"}, r.headers...)
			sent++
			if answer := s.send(t, r); answer != nil {
				statuses[answer.StatusCode]++
			}
		}
	})
	t.Logf("the answers by status: %v", statuses)
	// Requests that are all refused at the door would show nothing.
	if made := statuses[http.StatusCreated]; made < sent/40 {
		t.Errorf("%d of %d requests made something, which is too few", made, sent)
	}
	for _, status := range []int{200, 400, 403, 404, 422} {
		if statuses[status] == 0 {
			t.Errorf("none of the requests was answered with %d: %v", status, statuses)
		}
	}
	// Metadata can have numbers that no float has, which the check against the document cannot read.
	s.Check = nil
	s.journal(t, b)
}

// drawing draws parts of requests.
type drawing struct {
	t     *rapid.T
	known []string
}

func (d drawing) text(label string) string {
	return rapid.OneOf(rapid.SampledFrom(d.known), rapid.SampledFrom(d.known), rapid.SampledFrom(hostile), rapid.String()).Draw(d.t, label)
}

// id draws what stands for a part of a path, which is mostly of the right kind.
func (d drawing) id(part string, b bank) string {
	if rapid.SampledFrom([]bool{false, false, true}).Draw(d.t, "wrong") {
		return d.text("id")
	}
	prefix := "none"
	switch {
	case strings.HasPrefix(part, "/institutions/{"):
		return b.ID
	case strings.HasSuffix(part, "{keyId}"):
		prefix = "key_"
	case strings.HasSuffix(part, "{userId}"):
		prefix = "usr_"
	case strings.HasSuffix(part, "{sessionId}"), strings.HasPrefix(part, "/sessions/"):
		prefix = "ses_"
	case strings.HasSuffix(part, "{region}"):
		return "SG" // Not that of the claims, or one policy would have all others refused.
	case strings.HasPrefix(part, "/asset-templates/"):
		prefix = "tmpl_"
	case strings.HasPrefix(part, "/assets/"):
		prefix = "ast_"
	case strings.HasPrefix(part, "/approvals/"):
		prefix = "apr_"
	case strings.HasPrefix(part, "/positions/"):
		prefix = "pos_"
	}
	right := []string{"docs.js"}
	for _, id := range d.known {
		if strings.HasPrefix(id, prefix) {
			right = append(right, id)
		}
	}
	return rapid.SampledFrom(right).Draw(d.t, "right")
}

func (d drawing) query() string {
	names := []string{
		"limit", "cursor", "order", "createdFrom", "createdTo", "institutionId", "assetId", "holderReference", "externalReference", "state", "currency", "include",
		"templateId", "positionId", "kind", "actor", "subject", "outcome", "includeRevoked", "includeSuspended", "from", "to", "format", "sequence", "members",
		"returnTo", "code", "error", "status", "for", "breakGlass",
	}
	parts := make([]string, rapid.SampledFrom([]int{0, 0, 0, 0, 1, 2, 5}).Draw(d.t, "parameters"))
	for i := range parts {
		value := d.text("value")
		if rapid.SampledFrom([]bool{true, true, true, true, false}).Draw(d.t, "escaped") {
			value = url.QueryEscape(value)
		}
		parts[i] = rapid.SampledFrom(names).Draw(d.t, "name") + "=" + value
	}
	return strings.ReplaceAll(strings.Join(parts, "&"), " ", "%20")
}

// body draws a body: right, with a wrong value, or damaged.
func (d drawing) body(all []form, route string) []byte {
	var fitting []form
	for _, form := range all {
		if form.route == route {
			fitting = append(fitting, form)
		}
	}
	form := rapid.SampledFrom(fitting).Draw(d.t, "form")
	object := form.valid
	for range rapid.SampledFrom([]int{0, 0, 0, 1, 3}).Draw(d.t, "changes") {
		field := rapid.SampledFrom(slices.Sorted(maps.Keys(form.kinds))).Draw(d.t, "field")
		object = object.with(field, raw(d.value(3)))
	}
	body := []byte(object.String())
	if !rapid.SampledFrom([]bool{false, false, false, true}).Draw(d.t, "damaged") {
		return body
	}
	switch rapid.SampledFrom([]string{"cut", "spoilt", "longer"}).Draw(d.t, "damage") {
	case "cut":
		body = body[:rapid.IntRange(0, len(body)).Draw(d.t, "end")]
	case "spoilt":
		body[rapid.IntRange(0, len(body)-1).Draw(d.t, "place")] = rapid.Byte().Draw(d.t, "byte")
	case "longer":
		body = append(body, d.text("tail")...)
	}
	return body
}

// value draws JSON.
func (d drawing) value(depth int) string {
	kinds := []string{"text", "text", "number", "word"}
	if depth > 0 {
		kinds = append(kinds, "array", "object")
	}
	switch rapid.SampledFrom(kinds).Draw(d.t, "kind") {
	case "number":
		return rapid.SampledFrom([]string{"0", "-0", "1", "-1", "0.01", "1e3", "1E999999", "1e-999999", "9223372036854775807", "9223372036854775808", "1000", strings.Repeat("7", 400)}).Draw(d.t, "number")
	case "word":
		return rapid.SampledFrom([]string{"null", "true", "false"}).Draw(d.t, "word")
	case "array":
		return "[" + d.value(depth-1) + "," + d.value(depth-1) + "]"
	case "object":
		return fields{strings.ToValidUTF8(d.text("name"), ""): raw(d.value(depth - 1))}.String()
	}
	text, err := json.Marshal(strings.ToValidUTF8(d.text("text"), ""))
	if err != nil {
		d.t.Fatal(err)
	}
	return string(text)
}
