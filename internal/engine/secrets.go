package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/vault"
)

const (
	// secretsPage is how many secrets are sealed anew before the next are read.
	secretsPage = 100
	// maxRotations bounds how often RotateSecrets goes through all.
	maxRotations = 3
	// maxUnopened bounds the secrets that RotateSecrets tells of by themselves.
	maxUnopened = 10
)

// place is where a secret is sealed for: it opens nowhere else.
func place(of escrow.InstitutionID, name escrow.SecretName) vault.Place {
	name = name.SealedFor()
	return vault.Place{Kind: string(name.Kind), Institution: of.String(), Row: name.Subject}
}

// sealed returns a request with its command's secret sealed, if it has one.
func (e *Engine) sealed(request escrow.Request) (escrow.Request, error) {
	command, ok := request.Command.(escrow.Sealing)
	if !ok {
		return request, nil
	}
	name, secret, ok := command.Secret()
	if !ok {
		return request, nil
	}
	if e.config.Keyring == nil {
		return request, escrow.NoEncryptionKey()
	}

	sealed := e.config.Keyring.Seal(place(request.Institution, name), []byte(secret))
	under, err := vault.KeyID(sealed)
	if err != nil {
		return request, store.Failure(err)
	}
	request.Command = command.WithSealed(sealed, under)
	return request, nil
}

// ClientSecret returns the secret of the client that the platform is to an institution's identity provider,
// as IdentityProvider has returned it, empty where it is a public client. It is CodeTokenIssuerUnknown where
// another provider, or none, has taken its place or anything of it was changed: what one issuer was told is
// never told to another. It is CodeEncryptionKeyMissing where the keyring does not have the key of the secret,
// and CodeInternal where the secret is gone or was sealed for another place: somebody has changed the database.
func (e *Engine) ClientSecret(ctx context.Context, provider escrow.IdentityProvider) (string, error) {
	if !provider.HasSecret {
		return "", nil
	}
	of, name := provider.InstitutionID, escrow.ClientSecretName()
	kept, found, err := e.store.Secret(ctx, of, name)
	if err != nil {
		return "", err
	}

	// The provider is asked for after its secret, and anew, so that the two belong together.
	current, err := e.store.IdentityProvider(WithSnapshot(ctx), of)
	switch {
	case escrow.ErrorCode(err) == escrow.CodeProviderNotFound:
		return "", escrow.UnknownIssuer()
	case err != nil:
		return "", err
	case current.Version != provider.Version:
		return "", escrow.UnknownIssuer()
	case !found:
		return "", store.Failure(fmt.Errorf("the secret %s of %s in %s is gone", name.Kind, name.Subject, of))
	case e.config.Keyring == nil:
		return "", escrow.NoEncryptionKey()
	}

	secret, err := e.config.Keyring.Open(place(of, name), kept.Sealed)
	if errors.Is(err, vault.ErrUnknownKey) {
		return "", escrow.Wrap(escrow.CodeEncryptionKeyMissing, err,
			"The server does not have the encryption key of the client's secret: the operator has to give it, or, "+
				"where it is lost, the secret has to be set again.")
	}
	return string(secret), store.Failure(err)
}

// CheckSecrets returns an error that names the ids of the keys under which secrets are kept and which the
// keyring does not have: the server was given another than the one before it, and must not start. It
// is to be asked before anything is served.
func (e *Engine) CheckSecrets(ctx context.Context) error {
	under, err := e.store.SecretKeys(ctx)
	if err != nil {
		return err
	}

	var missing []string
	for _, id := range under {
		if e.config.Keyring == nil || !e.config.Keyring.Has(id) {
			missing = append(missing, id)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("the database has secrets that are sealed under encryption keys which the server was not "+
			"given: %s", strings.Join(missing, ", "))
	}
	return nil
}

// RotateSecrets seals all secrets anew that are not sealed under the first key of the keyring, so that the
// others can be taken out of it, and returns how many it has. Servers with both keys can run meanwhile,
// and it can be run again. What cannot be opened is left as it is and told of in the error.
func (e *Engine) RotateSecrets(ctx context.Context) (rotated int, err error) {
	// A secret that has waited can come to its place, sealed as it was, behind the one who rotates.
	for range maxRotations {
		changed, err := e.rotateOnce(ctx)
		rotated += changed
		if err != nil || changed == 0 {
			return rotated, err
		}
	}
	return rotated, nil
}

// rotateOnce goes once through all secrets that are to be sealed anew.
func (e *Engine) rotateOnce(ctx context.Context) (rotated int, err error) {
	under, err := e.store.SecretKeys(ctx)
	if err != nil {
		return 0, err
	}
	if e.config.Keyring == nil {
		return 0, escrow.NoEncryptionKey()
	}

	var failed []error
	for _, id := range under {
		if id == e.config.Keyring.IDs()[0] {
			continue
		}
		for after := (store.OwnedSecret{}); ; {
			page, err := e.store.SecretsUnder(ctx, id, after, secretsPage)
			if err != nil {
				return rotated, err
			}
			for _, secret := range page {
				changed, err := e.sealAnew(ctx, secret)
				if err != nil {
					failed = append(failed, err)
				}
				if changed {
					rotated++
				}
			}
			if len(page) < secretsPage {
				break
			}
			after = page[len(page)-1]
		}
	}

	if more := len(failed) - maxUnopened; more > 0 {
		failed = append(failed[:maxUnopened], fmt.Errorf("and %d more", more))
	}
	return rotated, errors.Join(failed...)
}

// sealAnew seals a secret anew, and reports whether it has: a command can have changed it meanwhile.
func (e *Engine) sealAnew(ctx context.Context, kept store.OwnedSecret) (bool, error) {
	at := place(kept.InstitutionID, kept.SecretName)
	secret, err := e.config.Keyring.Open(at, kept.Sealed)
	if err != nil {
		return false, fmt.Errorf("the secret %s of %s in %s %w", kept.Kind, kept.Subject, kept.InstitutionID, err)
	}
	sealed := e.config.Keyring.Seal(at, secret)
	under, err := vault.KeyID(sealed)
	if err != nil {
		return false, err
	}
	return e.store.SealAnew(ctx, kept, sealed, under)
}
