package httpapi_test

import (
	"strings"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
)

// What was mistyped is corrected, by whoever has seen what there is.
func TestNamesAndLabelsAreCorrected(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		asset := b.Admin.Post(t, "/assets", `{"templateId":"`+b.Template+`","label":"Towr","metadata":{"site":7,"floors":{"low":1}}}`).Want(t, 201)
		key := b.Admin.Post(t, "/institutions/"+b.ID+"/api-keys", newKey(b).String()).Want(t, 201)
		if asset.Header.Get("Etag") != `"1"` {
			t.Errorf("the asset's tag is %s", asset.Header.Get("Etag"))
		}
		entries := len(s.journal(t, b))
		for path, test := range map[string]struct {
			as          apitest.Client
			patch, want string
		}{
			"/institutions/" + b.ID:                                 {s.Client, `{"name":" Meridian "}`, `"name":"Meridian"`},
			"/asset-templates/" + b.Template:                        {b.Admin, `{"name":"Towers"}`, `"name":"Towers"`},
			"/assets/" + asset.Text("id"):                           {b.Admin, `{"label":"Tower","metadata":{"site":null,"floors":{"high":9}}}`, `"label":"Tower","metadata":{"floors":{"low":1,"high":9}}`},
			"/institutions/" + b.ID + "/api-keys/" + key.Text("id"): {b.Admin, `{"label":"reporting"}`, `"label":"reporting"`},
		} {
			patch := func(body string, headers ...string) apitest.Answer {
				return test.as.Send(t, apitest.Request{Method: "PATCH", Path: path, Body: body, Headers: headers})
			}
			patch(test.patch, `If-Match: "2"`).Refused(t, 412, "version_mismatch")
			first := patch(test.patch, `If-Match: "1"`, "Content-Type: application/merge-patch+json", "Idempotency-Key: "+path).Want(t, 200)
			if !strings.Contains(string(first.Body), test.want) || first.Header.Get("Etag") != `"2"` || !strings.Contains(string(first.Body), `"version":2`) {
				t.Errorf("%s is answered with %s %s", path, first.Header.Get("Etag"), first)
			}
			again := patch(test.patch, `If-Match: "1"`, "Content-Type: application/merge-patch+json", "Idempotency-Key: "+path).Want(t, 200)
			if string(again.Body) != string(first.Body) {
				t.Errorf("%s again is answered with %s", path, again)
			}
			if same := patch(test.patch).Want(t, 200); path != "/institutions/"+b.ID+"/api-keys/"+key.Text("id") && string(same.Body) != string(first.Body) {
				t.Errorf("%s with nothing new is answered with %s", path, same)
			}
			patch(`{}`).Want(t, 200)
			if gone := patch(`{"label":null,"name":null}`); gone.Status != 422 || !strings.Contains(string(gone.Body), "must not be null") {
				t.Errorf("%s without a name is answered with %s", path, gone)
			}
			patch(`{"createdAt":"2027-01-01T00:00:00Z"}`).Refused(t, 422, "invalid_input", "createdAt")
			patch(`{"label":"\u202e","name":""}`).Refused(t, 422, "invalid_input", "label", "name")
			patch(`[]`, "Content-Type: application/json-patch+json").Refused(t, 415, "unsupported_media_type")
			if !strings.Contains(path, "api-keys") {
				if got := test.as.Get(t, path); string(got.Body) != string(first.Body) || got.Header.Get("Etag") != `"2"` {
					t.Errorf("%s is read as %s", path, got)
				}
			}
		}
		if got := len(s.journal(t, b)); got != entries+4 {
			t.Errorf("the journal has %d new entries, want 4", got-entries)
		}

		other := s.bank(t)
		for _, path := range []string{"/asset-templates/" + b.Template, "/assets/" + asset.Text("id")} {
			other.Admin.Send(t, apitest.Request{Method: "PATCH", Path: path, Body: `{}`}).Want(t, 404)
			b.ReadOnly.Send(t, apitest.Request{Method: "PATCH", Path: path, Body: `{}`}).Refused(t, 403, "permission_missing")
			b.Admin.Send(t, apitest.Request{Method: "PATCH", Path: path + "0", Body: `{}`}).Want(t, 404)
		}
		b.Admin.Send(t, apitest.Request{Method: "PATCH", Path: "/institutions/" + b.ID, Body: `{"name":"x"}`}).Refused(t, 403, "permission_missing")
	})
}

// What is closed can be read, and takes nothing new; an institution once nothing is held.
func TestClosing(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		open, held := b.position(t).Text("id"), b.position(t, "FUNDED").Text("id")
		for range 2 {
			if closed := b.Admin.Post(t, "/asset-templates/"+b.Template+"/close", "").Want(t, 200); closed.Text("closedAt") == "" {
				t.Errorf("the closed template is %s", closed)
			}
			if closed := b.Admin.Post(t, "/assets/"+b.Asset+"/close", "").Want(t, 200); closed.Text("closedAt") == "" {
				t.Errorf("the closed asset is %s", closed)
			}
		}
		b.Admin.Post(t, "/assets", `{"templateId":"`+b.Template+`","label":"Tower"}`).Refused(t, 409, "asset_template_closed")
		b.Admin.Post(t, "/positions", b.claim().String()).Refused(t, 409, "asset_closed")
		b.Admin.Post(t, "/positions/batch", `{"items":[`+b.claim().String()+`],"atomic":true}`).Refused(t, 422, "batch_refused")

		end := "/institutions/" + b.ID + "/close"
		if refused := s.Post(t, end, ""); refused.Problem(t).Code != "institution_holds_money" || !strings.Contains(refused.Problem(t).Detail, held) {
			t.Errorf("with money held it is answered with %s", refused)
		}
		b.transition(t, held, step("RELEASED")).Want(t, 200)
		b.Admin.Post(t, end, "").Refused(t, 403, "permission_missing")
		closed := s.Post(t, end, "").Want(t, 200)
		if again := s.Post(t, end, "").Want(t, 200); closed.Text("closedAt") == "" || string(again.Body) != string(closed.Body) {
			t.Errorf("the closed institution is %s, and then %s", closed, again)
		}

		b.transition(t, open, step("FUNDED")).Refused(t, 409, "institution_closed")
		b.Admin.Post(t, "/institutions/"+b.ID+"/api-keys", newKey(b).String()).Refused(t, 409, "institution_closed")
		b.Admin.Get(t, "/positions/"+held).Want(t, 200)
		if got := b.Admin.Get(t, "/institutions/"+b.ID).Want(t, 200); string(got.Body) != string(closed.Body) {
			t.Errorf("it is read as %s", got)
		}
		b.transition(t, open, step("CANCELLED")).Want(t, 200)
	})
}
