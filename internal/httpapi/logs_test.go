package httpapi_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
)

func TestNoSecretIsLogged(t *testing.T) {
	s := serve(t, onSQLite(t), nil)
	b := s.bank(t)
	keys := "/institutions/" + b.ID + "/api-keys"
	created := b.Admin.Post(t, keys, newKey(b).String(), "Idempotency-Key: repeat").Want(t, 201)
	b.Admin.Post(t, keys, newKey(b).String(), "Idempotency-Key: repeat").Want(t, 201)
	rotated := b.Admin.Post(t, keys+"/"+created.Text("id")+"/rotate", "").Want(t, 201)
	const mistyped, elsewhere = "egk_mistyped-secret", "Bearer-secret"
	s.As(mistyped).Get(t, "/positions").Want(t, 401)
	s.As("").Get(t, "/positions", "Authorization: Bearer "+elsewhere).Want(t, 401)
	s.As("").Get(t, "/positions?apiKey="+mistyped).Want(t, 401)
	b.Admin.Get(t, "/positions?apiKey="+b.Admin.Key).Want(t, 422)
	b.Admin.Get(t, "/assets/"+b.Admin.Key).Want(t, 404)
	b.Admin.Get(t, "/"+b.Admin.Key).Want(t, 404)
	b.Admin.Post(t, "/positions", b.claim().with("metadata", fields{"secret": "in-the-metadata"}).String()).Want(t, 201)
	b.Admin.Send(t, apitest.Request{Method: "SECRETMETHOD", Path: "/positions"}).Want(t, 405)
	s.As(metricsKey).Get(t, "/metrics").Want(t, 200)
	for _, secret := range []string{
		rootKey, metricsKey, b.Admin.Key, b.ReadOnly.Key, created.Text("apiKey"), rotated.Text("apiKey"), mistyped, elsewhere, "egk_", "in-the-metadata", "SECRETMETHOD",
	} {
		if strings.Contains(s.logs.String(), secret) {
			t.Errorf("the log tells %q", secret)
		}
	}
}

func TestWhatIsLoggedOfARequest(t *testing.T) {
	s := serve(t, onSQLite(t), nil)
	b := s.bank(t)
	admin := b.Admin.Get(t, "/institutions/"+b.ID+"/api-keys").Text("data.0.id")
	b.Admin.Get(t, "/assets/"+b.Asset, "X-Request-Id: found").Want(t, 200)
	b.Admin.Get(t, "/assets/x", "X-Request-Id: missing").Want(t, 404)
	s.As("").Get(t, "/assets/x", "X-Request-Id: nobody").Want(t, 401)
	s.Get(t, "/nothing", "X-Request-Id: nowhere").Want(t, 404)
	want := map[string]map[string]any{
		"found":   {"method": http.MethodGet, "route": "/assets/{id}", "status": 200.0, "actor": admin, "institution_id": b.ID, "client": "127.0.0.1"},
		"missing": {"route": "/assets/{id}", "status": 404.0, "actor": admin, "code": "asset_not_found"},
		"nobody":  {"route": "/assets/{id}", "status": 401.0, "actor": "unknown", "code": "unauthorized", "institution_id": nil},
		"nowhere": {"route": "unmatched", "status": 404.0, "actor": "root", "code": "route_not_found", "institution_id": nil},
	}
	// What machines ask every few seconds is worth a line only where it fails.
	for _, probe := range []string{"/health", "/ready", "/metrics"} {
		s.Get(t, probe, "X-Request-Id: probe-"+probe[1:]).Want(t, 200)
		if line := s.logged(t, "probe-"+probe[1:]); line["level"] != "DEBUG" || line["route"] != probe {
			t.Errorf("%s is logged as %v", probe, line)
		}
	}
	s.As("").Get(t, "/metrics", "X-Request-Id: refused").Want(t, 401)
	if line := s.logged(t, "refused"); line["level"] != "INFO" {
		t.Errorf("a refused probe is logged as %v", line)
	}
	for id, attributes := range want {
		logged := s.logged(t, id)
		for name, value := range attributes {
			if logged[name] != value {
				t.Errorf("of %s, %s is logged as %v, want %v", id, name, logged[name], value)
			}
		}
		if duration, ok := logged["duration_ms"].(float64); !ok || duration <= 0 || logged["level"] != "INFO" || logged["msg"] != "request" {
			t.Errorf("%s is logged as %v", id, logged)
		}
	}
}

// logged returns the attributes of a request's line, which is written after its
// answer.
func (s *service) logged(t *testing.T, requestID string) (attributes map[string]any) {
	t.Helper()
	eventually(t, requestID+" is logged", func() bool {
		for line := range strings.Lines(s.logs.String()) {
			attributes = nil
			if err := json.Unmarshal([]byte(line), &attributes); err == nil && attributes["request_id"] == requestID {
				return true
			}
		}
		return false
	})
	return attributes
}
