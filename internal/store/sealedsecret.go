package store

import (
	"context"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// OwnedSecret is a sealed secret with its institution.
type OwnedSecret struct {
	InstitutionID escrow.InstitutionID
	escrow.SealedSecret
}

var secretTable = newTable("secrets", func(s *OwnedSecret) []column {
	return []column{
		key("institution_id", uuidColumn(&s.InstitutionID)),
		key("kind", textColumn(&s.Kind)),
		key("subject", textColumn(&s.Subject)),
		changing("sealed", bytesColumn(&s.Sealed)),
		changing("sealed_under", textColumn(&s.SealedUnder)),
	}
}, onConflict("ON CONFLICT (institution_id, kind, subject) DO UPDATE SET sealed = excluded.sealed, "+
	"sealed_under = excluded.sealed_under")) // A copy that is gone on with meets older ones.

// Secrets are not remembered: they change without an entry where they are sealed anew.
var secretRows = newRows(rowsOf[escrow.SecretName, escrow.SealedSecret, OwnedSecret]{
	table: secretTable,
	in:    func(b *escrow.Books) *escrow.Rows[escrow.SecretName, escrow.SealedSecret] { return &b.Secrets },
	key:   func(s escrow.SealedSecret) escrow.SecretName { return s.SecretName },
	pack: func(of escrow.InstitutionID, s escrow.SealedSecret) OwnedSecret {
		return OwnedSecret{InstitutionID: of, SealedSecret: s}
	},
	unpack: func(s OwnedSecret) (escrow.InstitutionID, escrow.SealedSecret) {
		return s.InstitutionID, s.SealedSecret
	},
	whole: func(n *escrow.Needs) *bool { return &n.Secrets },
})

// Secret returns a sealed secret of an institution; found is false where there is none, or it was taken
// away.
func (s *Store) Secret(
	ctx context.Context, institution escrow.InstitutionID, name escrow.SecretName,
) (secret escrow.SealedSecret, found bool, err error) {
	owned, found, err := one(ctx, s.database, secretTable.byKey,
		[]any{idArg(institution), string(name.Kind), name.Subject}, secretTable.scan)
	return owned.SealedSecret, found && owned.Sealed != nil, err
}

// SecretNames returns the secrets that an institution's resources and pending approvals are said to have, and
// those that are kept, all as they are at one moment. An approval that cannot be read is said to have none.
func (s *Store) SecretNames(
	ctx context.Context, institution escrow.InstitutionID,
) (said, kept []escrow.SecretName, err error) {
	add := func(r row) (none struct{}, err error) {
		var kind, subject string
		var isKept int64
		var request []byte
		if err := r.Scan(&request, &kind, &subject, &isKept); err != nil {
			return none, err
		}

		name := escrow.SecretName{Kind: escrow.SecretKind(kind), Subject: subject}
		if isKept == 1 {
			kept = append(kept, name)
			return none, nil
		}
		if request != nil {
			if sets, err := (escrow.Approval{Request: request}).SetsSecret(); err != nil || !sets {
				return none, nil //nolint:nilerr // That it cannot be read is found elsewhere.
			}
		}
		said = append(said, name)
		return none, nil
	}

	client, waiting := escrow.ClientSecretName(), escrow.WaitingSecretName()
	_, err = all(ctx, s.database, secretNames,
		[]any{idArg(institution), string(client.Kind), client.Subject, string(waiting.Kind)}, add)
	return said, kept, Failure(err)
}

// The approvals come first, as it is their request that has a type. They are found as pendingOn finds them.
const secretNames = `SELECT a.request, $4 AS kind, s.subject, 0 AS kept
		FROM approval_subjects AS s JOIN approvals AS a ON a.institution_id = s.institution_id AND a.id = s.approval_id
		WHERE s.institution_id = $1 AND s.subject = $3 AND (a.status = 'PENDING') IS TRUE
	UNION ALL SELECT NULL, $2, $3, 0 FROM identity_providers WHERE institution_id = $1 AND has_secret = 1
	UNION ALL SELECT NULL, kind, subject, 1 FROM secrets WHERE institution_id = $1 AND sealed IS NOT NULL`

// SecretKeys returns the ids of the keys that secrets are sealed under, in order.
func (s *Store) SecretKeys(ctx context.Context) ([]string, error) {
	return all(ctx, s.database, keysInUse, nil, scanValue[string])
}

// No more is read than one row of each key, and one more: SQLite and PostgreSQL would read all of
// them for DISTINCT.
const keysInUse = `WITH RECURSIVE walked (id) AS (
		SELECT min(sealed_under) FROM secrets WHERE sealed_under > ''
		UNION ALL
		SELECT (SELECT min(sealed_under) FROM secrets WHERE sealed_under > walked.id) FROM walked WHERE walked.id IS NOT NULL
	) SELECT id FROM walked WHERE id IS NOT NULL`

// SecretsUnder returns secrets that are sealed under a key, at most limit, those after a secret in the
// order of their keys; the zero one is before all.
func (s *Store) SecretsUnder(
	ctx context.Context, key string, after OwnedSecret, limit int,
) ([]OwnedSecret, error) {
	return all(ctx, s.database, secretsUnder,
		[]any{key, idArg(after.InstitutionID), string(after.Kind), after.Subject, int64(limit)}, secretTable.scan)
}

var secretsUnder = "SELECT " + secretTable.list + ` FROM secrets
	WHERE sealed_under = $1 AND (institution_id, kind, subject) > ($2, $3, $4) ORDER BY institution_id, kind, subject LIMIT $5`

// SealAnew puts a secret that is sealed anew in the place of what was sealed before, and reports whether
// that was still there: a command can have changed the secret meanwhile.
func (s *Store) SealAnew(ctx context.Context, before OwnedSecret, sealed []byte, under string) (bool, error) {
	changed, err := s.database.exec(ctx, sealAnew, []any{
		sealed, under, idArg(before.InstitutionID), string(before.Kind), before.Subject, before.Sealed,
	})
	return changed > 0, Failure(err)
}

const sealAnew = `UPDATE secrets SET sealed = $1, sealed_under = $2
	WHERE institution_id = $3 AND kind = $4 AND subject = $5 AND sealed = $6`
