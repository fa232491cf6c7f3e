package escrow

// SecretKind says what a sealed secret is.
type SecretKind string

// The kinds of sealed secrets: that of the client that the platform is to an institution's identity provider,
// and that of one which waits for approval.
const (
	SecretClientOfProvider SecretKind = "identity_provider_client"
	SecretWaitingClient    SecretKind = "identity_provider_client_waiting"
)

// SecretName names a sealed secret within its institution.
type SecretName struct {
	Kind SecretKind
	// Subject is how the journal names the resource that has the secret.
	Subject string
}

// SealedSecret is a secret that has to be known again, sealed under a key that is in no database. It
// stands beside the books and in no journal: of the resource that has it the entries tell that it
// has one, and are committed together with it.
type SealedSecret struct {
	SecretName

	// Sealed is nil where the secret was taken away.
	Sealed []byte
	// SealedUnder is the id of the key that it is sealed under, empty where it was taken away.
	SealedUnder string
}

// ClientSecretName names the secret of the client that the platform is to an identity provider.
func ClientSecretName() SecretName {
	return SecretName{Kind: SecretClientOfProvider, Subject: ProviderSubject}
}

// WaitingSecretName names the secret that waits for approval with an identity provider. There is one at most,
// as one approval at most waits for the same.
func WaitingSecretName() SecretName {
	return SecretName{Kind: SecretWaitingClient, Subject: ProviderSubject}
}

// SealedFor names where a secret is sealed for: one that waits opens where it is going to be, so that it can
// be put there as it is, by who has not the key.
func (n SecretName) SealedFor() SecretName {
	if n == WaitingSecretName() {
		return ClientSecretName()
	}
	return n
}

// Sealing is a command that comes with a secret which is to be kept. Whoever carries it out seals that
// first; carried out without that, it fails.
type Sealing interface {
	Command
	// Secret returns what is to be sealed, and for which place; ok is false where there is nothing.
	Secret() (name SecretName, secret string, ok bool)
	// WithSealed returns the command with its secret sealed, and without the secret itself.
	WithSealed(sealed []byte, under string) Command
}

// Secret implements Sealing.
func (c SetIdentityProvider) Secret() (name SecretName, secret string, ok bool) {
	if !c.setsSecret() {
		return name, "", false
	}
	return ClientSecretName(), *c.secret, c.sealed.Sealed == nil
}

// setsSecret reports whether the command comes with a secret.
func (c SetIdentityProvider) setsSecret() bool { return c.secret != nil && *c.secret != "" }

// WithSealed implements Sealing.
func (c SetIdentityProvider) WithSealed(sealed []byte, under string) Command {
	c.sealed = SealedSecret{SecretName: ClientSecretName(), Sealed: sealed, SealedUnder: under}
	c.secret = new("sealed") // There is one.
	return c
}

// NoEncryptionKey makes the refusal of a secret that cannot be sealed.
func NoEncryptionKey() *Error {
	return Errorf(CodeEncryptionKeyMissing,
		"The server has no encryption key, and keeps no secret without one; see ENCRYPTION_KEY.")
}

// secretKeeping is a command that changes a sealed secret.
type secretKeeping interface {
	// secretAfterwards returns the secret as it is once the command was carried out, in the books that
	// it has changed; ok is false where it stays as it was.
	secretAfterwards(b *Books) (secret SealedSecret, ok bool)
}

func (c SetIdentityProvider) secretAfterwards(b *Books) (SealedSecret, bool) {
	if c.sealed.Sealed != nil {
		return c.sealed, true
	}
	return clientSecretTakenAway(b)
}

func (RemoveIdentityProvider) secretAfterwards(b *Books) (SealedSecret, bool) {
	return clientSecretTakenAway(b)
}

// clientSecretTakenAway returns the client's secret without what is sealed, where the provider has
// none any more.
func clientSecretTakenAway(b *Books) (secret SealedSecret, ok bool) {
	provider := b.Providers.mustGet(b.institutionID)
	_, kept := b.Secrets.Get(ClientSecretName())
	return SealedSecret{SecretName: ClientSecretName()}, kept && !provider.HasSecret
}

// keepSecret keeps the secret of a command that was carried out.
func (b *Books) keepSecret(command single) {
	if keeping, ok := command.(secretKeeping); ok {
		if secret, changed := keeping.secretAfterwards(b); changed {
			b.Secrets.Put(secret.SecretName, secret)
		}
	}
}

// keepWaitingSecret keeps the secret that comes with what a request asks an approval for, or takes it away once
// the approval waits no more, however that has come.
func (b *Books) keepWaitingSecret(r Request, recorded event) error {
	var id ApprovalID
	switch e := recorded.(type) {
	case approvalRequested:
		if provider, ok := r.Command.(SetIdentityProvider); ok && provider.setsSecret() && !e.BreakGlass {
			waiting := provider.sealed
			waiting.SecretName = WaitingSecretName()
			b.Secrets.Put(waiting.SecretName, waiting)
		}
		return nil
	case approvalGiven:
		id = e.ID
	case approvalRejected:
		id = e.ID
	case approvalWithdrawn:
		id = e.ID
	case approvalExpired:
		id = e.ID
	case approvalFailed:
		id = e.ID
	default:
		return nil
	}

	a := b.Approvals.mustGet(id)
	if a.Status == ApprovalPending {
		return nil
	}
	sets, err := a.SetsSecret()
	if sets {
		b.Secrets.Put(WaitingSecretName(), SealedSecret{SecretName: WaitingSecretName()})
	}
	return err
}

// SetsSecret reports whether a secret comes with what the approval asks for; see WaitingSecretName.
func (a Approval) SetsSecret() (bool, error) {
	e, err := a.request()
	if err != nil {
		return false, err
	}
	provider, ok := e.Command.form.(providerForm)
	return ok && provider.SetsSecret, nil
}

// withWaitingSecret returns a command that was approved with the secret that has waited for that.
func (b *Books) withWaitingSecret(command Command) (Command, *Error) {
	provider, ok := command.(SetIdentityProvider)
	if !ok || !provider.setsSecret() {
		return command, nil
	}
	waiting, ok := b.Secrets.Get(WaitingSecretName())
	if !ok || waiting.Sealed == nil {
		return command, Errorf(CodeApprovalClosed, "The client's secret that was given with it is gone.")
	}
	return provider.WithSealed(waiting.Sealed, waiting.SealedUnder), nil
}
