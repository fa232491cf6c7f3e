package httpapi_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
)

// business is an institution with two templates, three assets and positions of two holders on each.
type business struct {
	bank
	// template is another than the bank's own. First is on the bank's template, as the bank's asset
	// is; second is on the other one.
	template, first, second string
	// positions are by asset and holder.
	positions map[[2]string]string
}

func (s *service) business(t *testing.T) business {
	t.Helper()
	of := business{bank: s.bank(t), positions: make(map[[2]string]string)}
	of.template = of.bank.template(t, templateOf("CONSTR_ESCROW"))
	of.first, of.second = of.asset(t, of.Template), of.asset(t, of.template)
	for _, asset := range []string{of.Asset, of.first, of.second} {
		for _, holder := range []string{"Ann", "Bob"} {
			claim := of.claim().with("assetId", asset).with("holderReference", holder)
			of.positions[[2]string{asset, holder}] = of.Admin.Post(t, "/positions", claim.String()).Want(t, 201).Text("id")
		}
	}
	return of
}

// restricted makes an admin key that is.
func (b business) restricted(t *testing.T, s *service, restriction fields) apitest.Client {
	t.Helper()
	return s.As(b.keyOf(t, newKey(b.bank).with("restrict", restriction)))
}

// seen are the positions on some assets, of some holders.
func (b business) seen(assets, holders []string) (ids []string) {
	for at, id := range b.positions {
		if slices.Contains(assets, at[0]) && slices.Contains(holders, at[1]) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func TestARestrictedKeySeesItsPart(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.business(t)
		both, all := []string{"Ann", "Bob"}, []string{b.Asset, b.first, b.second}
		for name, test := range map[string]struct {
			restriction             fields
			templates, assets, rows []string
		}{
			"to a template": {
				fields{"templateIds": []string{b.template}}, []string{b.template}, []string{b.second}, b.seen([]string{b.second}, both),
			},
			"to two templates": {
				fields{"templateIds": []string{b.template, b.Template}}, []string{b.Template, b.template}, all, b.seen(all, both),
			},
			"to an asset": {
				fields{"assetIds": []string{b.first}}, []string{b.Template, b.template}, []string{b.first}, b.seen([]string{b.first}, both),
			},
			"to a holder": {
				fields{"holderReferences": []string{"Bob"}}, []string{b.Template, b.template}, all, b.seen(all, []string{"Bob"}),
			},
			"to two holders on two assets": {
				fields{"holderReferences": both, "assetIds": []string{b.Asset, b.second}},
				[]string{b.Template, b.template},
				[]string{b.Asset, b.second},
				b.seen([]string{b.Asset, b.second}, both),
			},
			"to a holder on a template": {
				fields{"holderReferences": []string{"Ann"}, "templateIds": []string{b.Template}},
				[]string{b.Template},
				[]string{b.Asset, b.first},
				b.seen([]string{b.Asset, b.first}, []string{"Ann"}),
			},
			"to an asset that is not of the template": {
				fields{"assetIds": []string{b.first}, "templateIds": []string{b.template}}, []string{b.template}, nil, nil,
			},
		} {
			t.Run(name, func(t *testing.T) {
				key := b.restricted(t, s, test.restriction)
				slices.Sort(test.templates)
				slices.Sort(test.assets)
				for path, want := range map[string][]string{
					"/asset-templates": test.templates, "/assets": test.assets, "/positions": test.rows, "/positions?order=desc": test.rows,
					"/positions?state=CREATED,FUNDED": test.rows, "/positions?updatedFrom=2020-01-01T00:00:00Z": test.rows, "/positions?limit=1": test.rows,
				} {
					got := key.Walk(t, path, "id")
					slices.Sort(got)
					if !slices.Equal(got, want) {
						t.Errorf("%s lists %v, want %v", path, got, want)
					}
				}
				for _, id := range b.positions {
					answers := []apitest.Answer{
						key.Get(t, "/positions/"+id), key.Get(t, "/positions/"+id+"/statement"), key.Get(t, "/ledger-events?positionId="+id),
					}
					for _, answer := range answers {
						if slices.Contains(test.rows, id) {
							answer.Want(t, 200)
						} else {
							answer.Refused(t, 404, "position_not_found")
						}
					}
					if !slices.Contains(test.rows, id) {
						key.Get(t, "/positions/"+id+"/disclosure?sequence=1").Refused(t, 404, "position_not_found")
						key.Post(t, "/positions/"+id+"/transition", step("FUNDED").String()).Refused(t, 404, "position_not_found")
						key.Post(t, "/positions/"+id+"/erase", "{}").Refused(t, 404, "position_not_found")
					}
				}
				for _, id := range all {
					if answer := key.Get(t, "/assets/"+id); slices.Contains(test.assets, id) {
						answer.Want(t, 200)
					} else {
						answer.Refused(t, 404, "asset_not_found")
						key.Post(t, "/positions", b.claim().with("assetId", id).with("holderReference", "Ann").String()).Refused(t, 404, "asset_not_found")
						key.Post(t, "/assets/"+id+"/close", "").Refused(t, 404, "asset_not_found")
					}
				}
				// What is of the whole institution has no part of it.
				of := "/institutions/" + b.ID
				for _, path := range []string{
					"/audit-events", "/ledger-events", "/erasures", of + "/api-keys", of + "/journal", of + "/balances", of + "/statements", "/holders/Cid/data",
				} {
					if answer := key.Get(t, path); answer.Status != 200 || path != "/holders/Cid/data" {
						answer.Refused(t, 403, "key_restricted")
					}
				}
				key.Post(t, "/erasures", `{"holderReference": "Ann"}`).Refused(t, 403, "key_restricted")
				key.Put(t, of+"/policies/US", newPolicy(b.bank).String()).Refused(t, 403, "key_restricted")
				key.Put(t, of+"/roles/clerk", newRole(b.bank).String()).Refused(t, 403, "key_restricted")
				key.Post(t, of+"/api-keys", newKey(b.bank).String()).Refused(t, 403, "key_restricted")
			})
		}
	})
}

func TestAHolderSeesWhatIsHeldAboutIt(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.business(t)
		bob := b.restricted(t, s, fields{"holderReferences": []string{"Bob"}})
		if got := bob.Get(t, "/holders/Bob/data").Want(t, 200); got.Text("positionCount") != "3" {
			t.Errorf("what is held about the holder is %s", got)
		}
		bob.Get(t, "/holders/Ann/data").Refused(t, 403, "key_restricted")
		narrower := b.restricted(t, s, fields{"holderReferences": []string{"Bob"}, "assetIds": []string{b.first}})
		narrower.Get(t, "/holders/Bob/data").Refused(t, 403, "key_restricted")
	})
}

func TestARestrictedKeyMovesItsPart(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.business(t)
		claim := func(asset, holder, amount string) fields {
			return b.claim().with("assetId", asset).with("holderReference", holder).with("amount", amount)
		}
		key := b.restricted(t, s, fields{
			"templateIds": []string{b.template}, "holderReferences": []string{"Ann"}, "maxAmount": fields{"usd": "500", "EUR": 1},
		})
		key.Post(t, "/positions", claim(b.second, "Ann", "500.01").String()).Refused(t, 403, "key_restricted")
		key.Post(t, "/positions", claim(b.second, "Bob", "1").String()).Refused(t, 403, "key_restricted")
		key.Post(t, "/positions", claim(b.first, "Ann", "1").String()).Refused(t, 404, "asset_not_found")
		made := key.Post(t, "/positions", claim(b.second, "Ann", "500.00").String()).Want(t, 201).Text("id")
		key.Post(t, "/positions/"+made+"/transition", step("FUNDED").String()).Want(t, 200)
		key.Post(t, "/positions/"+made+"/transition", step("RELEASED").String()).Want(t, 200)

		large := b.Admin.Post(t, "/positions", claim(b.second, "Ann", "900").String()).Want(t, 201).Text("id")
		key.Post(t, "/positions/"+large+"/transition", step("FUNDED").String()).Refused(t, 403, "key_restricted")
		b.Admin.Post(t, "/positions/"+large+"/transition", step("FUNDED").String()).Want(t, 200)
		key.Post(t, "/positions/"+large+"/transition", step("CANCELLED").String()).Refused(t, 403, "key_restricted")
		key.Post(t, "/positions/"+large+"/transition", step("PARTIALLY_RELEASED").with("amount", "500.01").String()).Refused(t, 403, "key_restricted")
		key.Post(t, "/positions/"+large+"/transition", step("PARTIALLY_RELEASED").with("amount", "500").String()).Want(t, 200)

		results := key.Post(t, "/positions/batch", batchOf(
			claim(b.second, "Ann", "1"), claim(b.second, "Ann", "501"), claim(b.Asset, "Ann", "1"), claim(b.second, "Bob", "1")).String()).Want(t, 200).Results(t, 4)
		for i, want := range []string{"", "key_restricted", "asset_not_found", "key_restricted"} {
			if got := codeOf(results[i]); got != want {
				t.Errorf("item %d was refused with %q, want %q", i, got, want)
			}
		}
		other := b.positions[[2]string{b.Asset, "Ann"}]
		results = key.Post(t, "/positions/transitions/batch", batchOf(
			step("FUNDED").with("positionId", b.positions[[2]string{b.second, "Bob"}]), step("FUNDED").with("positionId", other),
			step("CANCELLED").with("positionId", b.positions[[2]string{b.second, "Ann"}])).String()).Want(t, 200).Results(t, 3)
		for i, want := range []string{"position_not_found", "position_not_found", ""} {
			if got := codeOf(results[i]); got != want {
				t.Errorf("item %d was refused with %q, want %q", i, got, want)
			}
		}
	})
}

// codeOf is the code of an item's refusal, or empty.
func codeOf(item apitest.Result) string {
	if item.Error == nil {
		return ""
	}
	return item.Error.Code
}

func TestAKeyComesFromItsNetworks(t *testing.T) {
	for name, databaseURL := range map[string]string{"sqlite": onSQLite(t), "postgres": pgtest.Shared(t).NewDatabase(t)} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, databaseURL, func(c *settings) { c.Proxies = proxies("127.0.0.0/8") })
			b := s.bank(t)
			key := s.As(b.keyOf(t, newKey(b).with("allowedNetworks", []string{"192.0.2.0/24", "2001:db8::7"})))
			for from, allowed := range map[string]bool{
				"192.0.2.9": true, "::ffff:192.0.2.9": true, "192.0.3.1": false, "2001:db8::7": true, "2001:db8::8": false, "unknown": false,
			} {
				header := "X-Forwarded-For: " + from
				if answer := key.Get(t, "/positions", header); allowed {
					answer.Want(t, 200)
					key.Post(t, "/positions", b.claim().String(), header).Want(t, 201)
				} else {
					answer.Refused(t, 403, "address_not_allowed")
					key.Post(t, "/positions", b.claim().String(), header).Refused(t, 403, "address_not_allowed")
				}
			}
		})
	}
}

func TestTheLastUseOfAKeyIsTold(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		keys := "/institutions/" + b.ID + "/api-keys"
		unused := aKey(t, b)[0]
		b.ReadOnly.Get(t, "/positions").Want(t, 200)
		var list struct {
			Data []struct{ ID, Role, LastUsedAt, LastUsedFrom string }
		}
		b.Admin.Get(t, keys).Want(t, 200).Decode(t, &list)
		for _, key := range list.Data {
			address, err := netip.ParseAddr(key.LastUsedFrom)
			if used := key.ID != unused; used != (key.LastUsedAt != "") || used != (err == nil && address.IsLoopback()) {
				t.Errorf("the last use of the %s key %s was at %q from %q", key.Role, key.ID, key.LastUsedAt, key.LastUsedFrom)
			}
		}
	})
}
