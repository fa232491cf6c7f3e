package store

import (
	"context"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

var userTable = newTable("users", func(u *escrow.User) []column {
	return []column{
		key("institution_id", uuidColumn(&u.InstitutionID)),
		key("id", uuidColumn(&u.ID)),
		fixed("issuer", textColumn(&u.Issuer)),
		// It is about a person, and so can be NULL once that can be erased.
		fixed("subject", optionalTextColumn(&u.Subject)),
		changing("display_name", optionalTextColumn(&u.DisplayName)),
		changing("email", optionalTextColumn(&u.Email)),
		fixed("joined_at", timeColumn(&u.JoinedAt)),
		changing("updated_at", timeColumn(&u.UpdatedAt)),
		changing("suspended_at", optionalTimeColumn(&u.SuspendedAt)),
		changing("suspensions", bigintColumn(&u.Suspensions)),
		changing("version", bigintColumn(&u.Version)),
	}
})

// Those who join name no id, but who they are.
var userRows = newRows(rowsOf[escrow.UserID, escrow.User, escrow.User]{
	table:  userTable,
	in:     func(b *escrow.Books) *escrow.Rows[escrow.UserID, escrow.User] { return &b.Users },
	key:    func(u escrow.User) escrow.UserID { return u.ID },
	pack:   asIs[escrow.User],
	unpack: func(u escrow.User) (escrow.InstitutionID, escrow.User) { return u.InstitutionID, u },
	named:  func(n *escrow.Needs) *[]escrow.UserID { return &n.Users },
	also: &furtherRows{
		needed: func(n *escrow.Needs) bool { return len(n.Identities) > 0 },
		each:   userByIdentity,
		all: "SELECT " + userTable.list + " FROM unnest($1::uuid[], $2::text[], $3::text[])" +
			" AS n (institution_id, issuer, subject) JOIN users USING (institution_id, issuer, subject)",
		texts: func(n *escrow.Needs) (texts [][]string) {
			for _, identity := range n.Identities {
				texts = append(texts, []string{identity.Issuer, identity.Subject})
			}
			return texts
		},
	},
	keys:    idKeysOf(escrow.UserID{}),
	cached:  remembersAll[escrow.User],
	subject: func(u escrow.User) string { return u.ID.String() },
})

var userByIdentity = "SELECT " + userTable.list +
	" FROM users WHERE institution_id = $1 AND issuer = $2 AND subject = $3"

// User returns one user of an institution, or CodeUserNotFound.
func (s *Store) User(ctx context.Context, institution escrow.InstitutionID, id escrow.UserID) (escrow.User, error) {
	u, found, err := recallOr(ctx, s, institution, id, userRows.cached, func() (escrow.User, bool, error) {
		return one(ctx, s.database, userTable.byKey, []any{idArg(institution), idArg(id)}, userTable.scan)
	})
	return must(u, found, err, escrow.CodeUserNotFound, "user", id)
}

// UserByIdentity returns the user of an institution who is called so; found is false where there is none.
func (s *Store) UserByIdentity(
	ctx context.Context, institution escrow.InstitutionID, identity escrow.Identity,
) (user escrow.User, found bool, err error) {
	return one(ctx, s.database, userByIdentity,
		[]any{idArg(institution), identity.Issuer, identity.Subject}, userTable.scan)
}

// Users returns a page of an institution's users, in the order in which they have joined.
func (s *Store) Users(
	ctx context.Context, institution escrow.InstitutionID, filter escrow.UserFilter, page escrow.PageRequest,
) (escrow.Page[escrow.User], error) {
	l := listOf(userTable, "id")
	l.where("institution_id = %s", idArg(institution))
	if !filter.IncludeSuspended {
		l.where("suspended_at IS NULL")
	}
	return idPage(ctx, s.database, l, filter.Period, page, userTable.scan)
}
