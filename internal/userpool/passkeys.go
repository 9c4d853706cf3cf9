package userpool

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"usher/internal/api/cognitoidp"
	"usher/internal/db"
)

// Passkeys: a signed-in user registers a key pair of an authenticator, which from then on is a first factor of his in
// USER_AUTH.
//
// Source: Amazon Cognito developer guide, "Authentication flows", "Passkey sign-in"; API reference of the operations.

const (
	maxPasskeys = 20 // of a user

	// registrationLife is how long a challenge of StartWebAuthnRegistration can be answered: the time of the browser, and some
	// more for the user who lets it try again.
	registrationLife = 5 * time.Minute
)

// passkey is a row of user_passkeys.
type passkey struct {
	ID             string // base64url
	RelyingParty   string
	PublicKey      []byte // COSE_Key; sealed as stored
	Counter        int64
	BackupEligible bool
	Attachment     string
	Transports     string
	Created        int64
}

const passkeyColumns = `credential_id, relying_party, public_key, counter, backup_eligible, attachment, transports, created`

// passkeyOwner is what the public key of a passkey is sealed for.
func passkeyOwner(p *pool, sub, id string) []byte { return []byte(p.ID + "|" + sub + "|" + id) }

func (k *passkey) descriptor() credentialDescriptor {
	return credentialDescriptor{ID: k.ID, Type: publicKeyType, Transports: strings.Fields(k.Transports)}
}

// friendlyName is the name by which users tell their passkeys apart.
func (k *passkey) friendlyName() string {
	switch k.Attachment {
	case "platform":
		return "Platform passkey"
	case "cross-platform":
		return "Roaming passkey"
	}
	return "Passkey"
}

// passkeysOf reads the passkeys that u has for a relying party, the oldest first.
func (s *Service) passkeysOf(ctx context.Context, p *pool, u *user, relyingParty string) ([]passkey, error) {
	return db.All[passkey](ctx, s.DB, `SELECT `+passkeyColumns+` FROM user_passkeys WHERE pool_id = $1 AND sub = $2 AND relying_party = $3
		ORDER BY created, credential_id`, p.ID, u.Sub, relyingParty)
}

// hasPasskey reports whether u has a passkey for the pool's relying party.
func (p *pool) hasPasskey(u *user) bool {
	rp, ok := p.relyingParty()
	return ok && u.Doc.V.Passkeys[rp.id] > 0
}

// countPasskey notes in the user's own row, which sign-ins read anyway, that he has more or fewer passkeys.
func (u *user) countPasskey(relyingParty string, change int) {
	if u.Doc.V.Passkeys == nil {
		u.Doc.V.Passkeys = map[string]int{}
	}
	u.Doc.V.Passkeys[relyingParty] += change
	if u.Doc.V.Passkeys[relyingParty] <= 0 {
		delete(u.Doc.V.Passkeys, relyingParty)
	}
}

func (u *user) passkeyCount() (n int) {
	for _, of := range u.Doc.V.Passkeys {
		n += of
	}
	return n
}

// verifiesUsers reports whether the passkeys of u must verify him, by a PIN or his body, and not only see that he is there.
func (p *pool) verifiesUsers(u *user) bool {
	c := p.mfa.WebAuthn
	return c != nil && deref(c.UserVerification) == cognitoidp.UserVerificationTypeRequired || u.mfa().Passkey
}

func (p *pool) userVerification(u *user) string {
	if p.verifiesUsers(u) {
		return cognitoidp.UserVerificationTypeRequired
	}
	return cognitoidp.UserVerificationTypePreferred
}

// passkeysCanBeMFA reports whether a passkey that verifies its user can stand for both factors.
func passkeysCanBeMFA(m *mfaSettings) bool {
	return m.WebAuthn != nil && deref(m.WebAuthn.FactorConfiguration) == cognitoidp.WebAuthnFactorConfigurationTypeMultiFactorWithUserVerification
}

// passkeyIsMFA reports whether a passkey of u stands for both factors: the pool allows it, and it is turned on for him.
func (p *pool) passkeyIsMFA(u *user) bool { return passkeysCanBeMFA(&p.mfa) && u.mfa().Passkey }

// registration is the state of a registration under way. It travels as its own challenge, sealed, so that nothing is
// written before there is a passkey.
type registration struct {
	ID                              [16]byte
	Pool, Client, Sub, RelyingParty string
	Expires                         int64 // µs
}

func (s *Service) sealRegistration(r registration) []byte {
	var w packer
	w.bytes(r.ID[:])
	w.text(r.Pool)
	w.text(r.Client)
	w.text(r.Sub)
	w.text(r.RelyingParty)
	w.number(r.Expires)
	return s.Seal.Box(boxRegistration).Seal(w, nil)
}

func (s *Service) openRegistration(challenge string) (r registration, err error) {
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(challenge)
	if err != nil {
		return r, errPasskeyChallenge.With(err)
	}
	plain, err := s.Seal.Box(boxRegistration).Open(sealed, nil)
	if err != nil {
		return r, errPasskeyChallenge.With(err)
	}
	u := unpacker{rest: plain}
	copy(r.ID[:], u.bytes())
	r.Pool, r.Client, r.Sub, r.RelyingParty, r.Expires = u.text(), u.text(), u.text(), u.text(), u.number()
	if !u.done() || s.Now().UnixMicro() >= r.Expires {
		return r, errPasskeyChallenge
	}
	return r, nil
}

// StartWebAuthnRegistration returns what the browser of the signed-in user needs to make a passkey.
func (s *Service) StartWebAuthnRegistration(ctx context.Context, in *cognitoidp.StartWebAuthnRegistrationRequest) (*cognitoidp.StartWebAuthnRegistrationResponse, error) {
	b := bearerFrom(ctx)
	if !b.pool.allowsFirst(firstWebAuthn) {
		return nil, errPasskeysOff
	}
	rp, ok := b.pool.relyingParty()
	if !ok {
		return nil, errNoRelyingParty
	}
	if b.user.passkeyCount() >= maxPasskeys {
		return nil, errLimit("passkeys", maxPasskeys)
	}
	keys, err := s.passkeysOf(ctx, b.pool, b.user, rp.id)
	if err != nil {
		return nil, err
	}
	exclude := make([]credentialDescriptor, len(keys))
	for i := range keys {
		exclude[i] = credentialDescriptor{ID: keys[i].ID, Type: publicKeyType}
	}
	r := registration{Pool: b.pool.ID, Client: b.client.ID, Sub: b.user.Sub, RelyingParty: rp.id, Expires: s.Now().Add(registrationLife).UnixMicro()}
	rand.Read(r.ID[:])
	options, err := json.Marshal(creationOptions{
		RP: creationRP{rp.id, rp.id}, User: creationUser{[]byte(b.user.Sub), b.user.Username, b.user.Username},
		Challenge: s.sealRegistration(r), PubKeyCredParams: passkeyAlgorithms, Timeout: passkeyTimeout, ExcludeCredentials: exclude,
		AuthenticatorSelection: authenticatorSelection{true, "required", b.pool.userVerification(b.user)},
	})
	if err != nil {
		return nil, err
	}
	return &cognitoidp.StartWebAuthnRegistrationResponse{CredentialCreationOptions: options}, nil
}

// CompleteWebAuthnRegistration stores the passkey that was made for a challenge of StartWebAuthnRegistration. Each challenge
// makes one.
func (s *Service) CompleteWebAuthnRegistration(ctx context.Context, in *cognitoidp.CompleteWebAuthnRegistrationRequest) (*cognitoidp.CompleteWebAuthnRegistrationResponse, error) {
	b := bearerFrom(ctx)
	p := b.pool
	if !p.allowsFirst(firstWebAuthn) {
		return nil, errPasskeysOff
	}
	created, err := parseCreation(in.Credential)
	if err != nil {
		return nil, err
	}
	challenge := created.Response.CollectedClientData.Challenge
	r, err := s.openRegistration(challenge)
	if err != nil {
		return nil, err
	}
	rp, ok := p.relyingParty()
	switch {
	case r.Pool != p.ID || r.Sub != b.user.Sub:
		return nil, errPasskeyChallenge
	case r.Client != b.client.ID:
		return nil, errPasskeyClient
	case !ok || r.RelyingParty != rp.id:
		return nil, errRelyingParty
	}
	k, err := rp.checkCreation(created, challenge, p.verifiesUsers(b.user))
	if err != nil {
		return nil, err
	}
	k.Created = s.now()
	_, err = s.updateFound(ctx, p, b.user, func(tx *db.Tx, u *user) error {
		if err := useSession(ctx, tx, session{ID: r.ID, Expires: r.Expires}); err == error(errSessionUsed) {
			return errPasskeyChallenge
		} else if err != nil {
			return err
		}
		if u.passkeyCount() >= maxPasskeys {
			return errLimit("passkeys", maxPasskeys)
		}
		u.countPasskey(k.RelyingParty, 1)
		err := db.Changed(tx.ExecContext(ctx, `INSERT INTO user_passkeys (pool_id, sub, `+passkeyColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
			ON CONFLICT DO NOTHING`, p.ID, u.Sub, k.ID, k.RelyingParty, s.passkeys.Seal(k.PublicKey, passkeyOwner(p, u.Sub, k.ID)), k.Counter, k.BackupEligible,
			k.Attachment, k.Transports, k.Created))
		if errors.Is(err, db.ErrConflict) {
			return errPasskeyExists
		}
		return err
	})
	if errors.Is(err, cognitoidp.ErrUserNotFound) {
		err = errAccessToken.With(err) // deleted meanwhile
	}
	return nil, err
}

// ListWebAuthnCredentials lists the passkeys of the signed-in user, of all relying parties, the oldest first.
func (s *Service) ListWebAuthnCredentials(ctx context.Context, in *cognitoidp.ListWebAuthnCredentialsRequest) (*cognitoidp.ListWebAuthnCredentialsResponse, error) {
	b := bearerFrom(ctx)
	limit := int32(maxPasskeys)
	if n := deref(in.MaxResults); n > 0 {
		limit = n
	}
	page, err := s.openPage(in.NextToken, &limit, "ListWebAuthnCredentials", b.pool.ID, b.user.Sub)
	if err != nil {
		return nil, err
	}
	created, _ := strconv.ParseInt(page.after(0), 10, 64) // 0 on the first page
	rows, err := db.All[passkey](ctx, s.DB, `SELECT `+passkeyColumns+` FROM user_passkeys WHERE pool_id = $1 AND sub = $2 AND (created, credential_id) > ($3, $4)
		ORDER BY created, credential_id LIMIT $5`, b.pool.ID, b.user.Sub, created, page.after(1), page.fetch())
	if err != nil {
		return nil, err
	}
	out := &cognitoidp.ListWebAuthnCredentialsResponse{Credentials: []cognitoidp.WebAuthnCredentialDescription{}}
	rows, out.NextToken = cut(page, rows, func(k *passkey) []string { return []string{strconv.FormatInt(k.Created, 10), k.ID} })
	for i := range rows {
		k := &rows[i]
		out.Credentials = append(out.Credentials, cognitoidp.WebAuthnCredentialDescription{
			CredentialId: &k.ID, FriendlyCredentialName: new(k.friendlyName()), RelyingPartyId: &k.RelyingParty, AuthenticatorAttachment: optional(k.Attachment),
			AuthenticatorTransports: append([]string{}, strings.Fields(k.Transports)...), CreatedAt: new(timeOf(k.Created)),
		})
	}
	return out, nil
}

// DeleteWebAuthnCredential deletes a passkey of the signed-in user. Tokens that it was signed in with stay good.
func (s *Service) DeleteWebAuthnCredential(ctx context.Context, in *cognitoidp.DeleteWebAuthnCredentialRequest) (*cognitoidp.DeleteWebAuthnCredentialResponse, error) {
	b := bearerFrom(ctx)
	_, err := s.updateFound(ctx, b.pool, b.user, func(tx *db.Tx, u *user) error {
		relyingParty, err := db.One[string](ctx, tx, `DELETE FROM user_passkeys WHERE pool_id = $1 AND sub = $2 AND credential_id = $3 RETURNING relying_party`,
			b.pool.ID, u.Sub, *in.CredentialId)
		if errors.Is(err, db.ErrNotFound) {
			return errPasskeyNotFound
		} else if err != nil {
			return err
		}
		u.countPasskey(relyingParty, -1)
		return nil
	})
	if errors.Is(err, cognitoidp.ErrUserNotFound) {
		err = errAccessToken.With(err)
	}
	return nil, err
}
