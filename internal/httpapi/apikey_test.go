package httpapi_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
)

func TestAKeysSecretIsShownOnce(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		keys := "/institutions/" + b.ID + "/api-keys"
		created := b.Admin.Post(t, keys, fields{"label": " payments ", "role": "read_only", "expiresAt": s.clock.at(time.Hour)}.String()).Want(t, 201)
		secret := created.Text("apiKey")
		if created.Text("label") != "payments" || created.Text("role") != "read_only" || created.Text("institutionId") != b.ID || !strings.HasPrefix(secret, "egk_") {
			t.Errorf("the key is %s", created)
		}
		s.As(secret).Get(t, "/positions").Want(t, 200)
		rotated := b.Admin.Post(t, keys+"/"+created.Text("id")+"/rotate", "").Want(t, 201).Text("apiKey")
		for _, path := range []string{keys, keys + "?includeRevoked=true", "/audit-events", "/institutions/" + b.ID} {
			text := string(b.Admin.Get(t, path).Want(t, 200).Body)
			for _, shown := range []string{secret, rotated, "apiKey", "hash"} {
				if strings.Contains(text, shown) {
					t.Errorf("%s shows %q: %s", path, shown, text)
				}
			}
		}
	})
}

func TestARepeatedCreationShowsTheSameSecret(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		keys := "/institutions/" + b.ID + "/api-keys"
		for name, r := range map[string]apitest.Request{
			"creation": {Path: keys, Body: newKey(b).String()},
			"rotation": {Path: keys + "/" + aKey(t, b)[0] + "/rotate", Body: `{"overlapSeconds": 60}`},
		} {
			t.Run(name, func(t *testing.T) {
				r.Method, r.Headers = http.MethodPost, []string{"Idempotency-Key: " + name}
				first := b.Admin.Send(t, r).Want(t, 201)
				same(t, first, b.Admin.Send(t, r))
				s.As(first.Text("apiKey")).Get(t, "/positions").Want(t, 200)
				// The secret is shown to whom it was shown.
				s.As(s.key(t, b.ID, "admin")).Send(t, r).Refused(t, 422, "idempotency_key_reused")
				s.Send(t, r).Refused(t, 422, "idempotency_key_reused")
				if shown := strings.Contains(string(s.As(first.Text("apiKey")).Send(t, r).Body), first.Text("apiKey")); shown {
					t.Error("the secret is shown to another key")
				}
			})
		}
	})
}

func TestRevocation(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		keys := "/institutions/" + b.ID + "/api-keys"
		created := b.Admin.Post(t, keys, newKey(b).String()).Want(t, 201)
		id, key := created.Text("id"), s.As(created.Text("apiKey"))
		key.Post(t, "/positions", b.claim().String()).Want(t, 201)
		revoked := b.Admin.Post(t, keys+"/"+id+"/revoke", "").Want(t, 200)
		if revoked.Text("revokedAt") == "" {
			t.Errorf("the key is %s", revoked)
		}
		key.Get(t, "/positions").Refused(t, 401, "invalid_api_key")
		key.Post(t, "/positions", b.claim().String()).Refused(t, 401, "invalid_api_key")
		entries := len(s.journal(t, b))
		if again := b.Admin.Post(t, keys+"/"+id+"/revoke", "").Want(t, 200); string(again.Body) != string(revoked.Body) || len(s.journal(t, b)) != entries {
			t.Errorf("revoked again, the key is %s, and was %s", again, revoked)
		}
		b.Admin.Post(t, keys+"/"+id+"/rotate", "").Refused(t, 409, "api_key_inactive")
		again := b.Admin.Post(t, keys, newKey(b).String()).Want(t, 201).Text("id")
		successor := b.Admin.Post(t, keys+"/"+again+"/rotate", `{"overlapSeconds":60}`).Want(t, 201).Text("id")
		refused := b.Admin.Post(t, keys+"/"+again+"/rotate", `{"overlapSeconds":60}`)
		refused.Refused(t, 409, "api_key_rotated")
		if !strings.Contains(refused.Problem(t).Detail, successor) {
			t.Errorf("the refusal does not name the successor: %s", refused)
		}
		if list := b.Admin.Get(t, keys); !strings.Contains(string(list.Body), `"rotatedTo":"`+successor+`"`) {
			t.Errorf("the list does not tell the successor: %s", list)
		}
		if slices.Contains(b.Admin.Get(t, keys).Texts(t, "id"), id) || slices.Contains(b.Admin.Get(t, keys+"?includeRevoked=false").Texts(t, "id"), id) {
			t.Error("the list has a revoked key")
		}
		if !slices.Contains(b.Admin.Get(t, keys+"?includeRevoked=true").Texts(t, "id"), id) {
			t.Error("the list with revoked keys lacks one")
		}
		t.Run("a key can revoke itself", func(t *testing.T) {
			own := b.Admin.Post(t, keys, newKey(b).String()).Want(t, 201)
			s.As(own.Text("apiKey")).Post(t, keys+"/"+own.Text("id")+"/revoke", "").Want(t, 200)
			s.As(own.Text("apiKey")).Post(t, keys+"/"+own.Text("id")+"/revoke", "").Refused(t, 401, "invalid_api_key")
		})
	})
}

func TestRotation(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		keys := "/institutions/" + b.ID + "/api-keys"
		expiresAt := s.clock.at(48 * time.Hour)
		rotate := func(body string) (old, replacement apitest.Answer) {
			t.Helper()
			old = b.Admin.Post(t, keys, newKey(b).with("expiresAt", expiresAt).String()).Want(t, 201)
			replacement = b.Admin.Post(t, keys+"/"+old.Text("id")+"/rotate", body).Want(t, 201)
			if replacement.Text("label") != old.Text("label") || replacement.Text("role") != old.Text("role") || replacement.Text("expiresAt") != expiresAt {
				t.Errorf("the key %s was replaced by %s", old, replacement)
			}
			s.As(replacement.Text("apiKey")).Post(t, "/positions", b.claim().String()).Want(t, 201)
			return old, replacement
		}
		for _, body := range []string{"", "{}", `{"overlapSeconds": 0}`} {
			old, _ := rotate(body)
			s.As(old.Text("apiKey")).Get(t, "/positions").Refused(t, 401, "invalid_api_key")
			s.As(old.Text("apiKey")).Post(t, "/positions", b.claim().String()).Refused(t, 401, "invalid_api_key")
		}
		old, _ := rotate(`{"overlapSeconds": 3600}`)
		s.As(old.Text("apiKey")).Post(t, "/positions", b.claim().String()).Want(t, 201)
		s.clock.advance(61 * time.Minute)
		s.As(old.Text("apiKey")).Get(t, "/positions").Refused(t, 401, "invalid_api_key")
		s.As(old.Text("apiKey")).Post(t, "/positions", b.claim().String()).Refused(t, 401, "invalid_api_key")
		// An overlap does not lengthen a life.
		old, replacement := rotate(`{"overlapSeconds": 2592000}`)
		s.clock.advance(48 * time.Hour)
		for _, key := range []apitest.Answer{old, replacement} {
			s.As(key.Text("apiKey")).Get(t, "/positions").Refused(t, 401, "invalid_api_key")
		}
	})
}
