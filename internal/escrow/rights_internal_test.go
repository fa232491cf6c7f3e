package escrow

import "testing"

// A command that gives rights and is confined does not exist yet. The first one is judged as all others.
func TestARestrictedActorGivesNothingThatIsLessRestricted(t *testing.T) {
	t.Parallel()
	holders := func(references ...string) Restriction { return Restriction{HolderReferences: references} }
	admin, _ := RoleAdmin.builtIn()
	for _, test := range []struct {
		name  string
		has   Restriction
		gives Restriction
		want  Code
	}{
		{"who is not restricted gives anything", Restriction{}, Restriction{}, ""},
		{"and narrower", Restriction{}, holders("a"), ""},
		{"the same", holders("a", "b"), holders("b", "a"), ""},
		{"narrower", holders("a", "b"), holders("a"), ""},
		{"wider", holders("a"), holders("a", "b"), CodeKeyRestricted},
		{"other", holders("a"), Restriction{AssetIDs: []AssetID{{1}}}, CodeKeyRestricted},
		{"without restriction", holders("a"), Restriction{}, CodeKeyRestricted},
	} {
		b := NewBooks(InstitutionID{1}, Head{}, true)
		rights := Rights{Permissions: admin.Permissions, Restriction: test.has}
		for _, command := range []Command{
			CreateKey{APIKey{Role: RoleAdmin, Restriction: test.gives}},
			CreateKey{APIKey{Permissions: permissionSet(PermissionKeysRead), Restriction: test.gives}},
			RotateKey{old: KeyID{1}},
		} {
			b.Keys.Load(KeyID{1}, APIKey{ID: KeyID{1}, Role: RoleAdmin, Restriction: test.gives})
			var got Code
			if refusal := b.checkGiving(rights, command); refusal != nil {
				got = refusal.Code
			}
			if got != test.want {
				t.Errorf("%s, with %T: the refusal is %q, want %q", test.name, command, got, test.want)
			}
		}
	}
}
