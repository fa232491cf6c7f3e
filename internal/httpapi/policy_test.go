package httpapi_test

import "testing"

func TestPolicies(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		path := "/institutions/" + b.ID + "/policies/EU_UK"
		b.ReadOnly.Get(t, path).Refused(t, 404, "policy_not_found")
		set := b.Admin.Put(t, path, `{"position": {"minAmount": 0.50, "maxAmount": "1000000000000000", "allowedCurrencies": ["eur", "GBP"]}}`).Want(t, 200)
		if got := set.Text("position"); got != `{"allowedCurrencies":["EUR","GBP"],"maxAmount":"1000000000000000","minAmount":"0.5"}` {
			t.Errorf("the rules are %s", got)
		}
		if set.Text("region") != "EU_UK" || set.Text("institutionId") != b.ID || set.Text("createdAt") != set.Text("updatedAt") {
			t.Errorf("the policy is %s", set)
		}
		replaced := b.Admin.Put(t, path, `{"position": {"maxAmount": 0}}`).Want(t, 200)
		if replaced.Text("position") != `{"maxAmount":"0"}` || replaced.Text("createdAt") != set.Text("createdAt") || replaced.Text("updatedAt") <= set.Text("updatedAt") {
			t.Errorf("replaced, the policy is %s", replaced)
		}
		if read := b.ReadOnly.Get(t, path).Want(t, 200); string(read.Body) != string(replaced.Body) {
			t.Errorf("it is read as %s", read)
		}
		b.Admin.Put(t, path, `{"position": {"minAmount": 2, "maxAmount": "1.9999"}}`).Refused(t, 422, "invalid_input", "position.minAmount")
		b.Admin.Put(t, path, `{"position": {"minAmount": 2, "maxAmount": "2.0000"}}`).Want(t, 200)
	})
}

// What is forgotten must not take every rule away.
func TestAPolicyHasItsRules(t *testing.T) {
	s := serve(t, onSQLite(t), nil)
	b := s.bank(t)
	path := "/institutions/" + b.ID + "/policies/US"
	b.Admin.Put(t, path, `{}`).Refused(t, 422, "invalid_input", "position")
	b.Admin.Put(t, path, `{"position": null}`).Refused(t, 422, "invalid_input", "position")
	b.Admin.Get(t, path).Refused(t, 404, "policy_not_found")
}
