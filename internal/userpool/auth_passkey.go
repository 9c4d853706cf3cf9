package userpool

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"

	"github.com/go-webauthn/webauthn/protocol"

	"usher/internal/db"
)

// Sign-in with a passkey: the challenge is in the session, and each is answered once, whatever the answer is worth. That is
// remembered like answered secret blocks, so that a sign-in writes nothing.

// passkeyChallengeSize is in bytes.
const passkeyChallengeSize = 32

// askPasskey is the challenge WEB_AUTHN. answered, if not nil, is used up.
func (a *signIn) askPasskey(ctx context.Context, name string, answered *session) (*outcome, error) {
	rp, _ := a.pool.relyingParty()
	keys, err := a.passkeysOf(ctx, a.pool, a.user, rp.id)
	if err != nil {
		return nil, err
	}
	if answered != nil {
		if err := a.useUp(ctx, *answered); err != nil {
			return nil, err
		}
	}
	allowed := []credentialDescriptor{}
	for i := range keys {
		allowed = append(allowed, keys[i].descriptor())
	}
	if a.user.invented() {
		allowed = append(allowed, a.pool.inventedPasskey(name))
	}
	st := a.firstSession(firstWebAuthn, name)
	st.Code, st.Proof = make([]byte, passkeyChallengeSize), a.auth.used.boot[:]
	rand.Read(st.Code)
	options, err := json.Marshal(requestOptions{
		Challenge: st.Code, Timeout: passkeyTimeout, RPID: rp.id, AllowCredentials: allowed, UserVerification: a.pool.userVerification(a.user),
	})
	if err != nil {
		return nil, err
	}
	return &outcome{challenge: firstWebAuthn, session: a.sealSession(a.pool, a.client, st), available: []string{firstWebAuthn},
		params: map[string]string{"CREDENTIAL_REQUEST_OPTIONS": string(options)}}, nil
}

// inventedPasskey is the passkey that an invented user is said to have. Ids of passkeys have the length that their
// authenticator likes.
func (p *pool) inventedPasskey(name string) credentialDescriptor {
	made := p.keys.mac("passkey", p.key(name))
	id := p.keys.mac("passkey id", p.key(name))[:[]int{16, 20, 32, 32}[made[0]%4]]
	return credentialDescriptor{ID: base64.RawURLEncoding.EncodeToString(id), Type: publicKeyType, Transports: []string{"hybrid", "internal"}}
}

// choosePasskey is the choice of WEB_AUTHN. A CREDENTIAL that comes with it cannot have signed anything yet.
func (a *signIn) choosePasskey(ctx context.Context, st session) (*outcome, error) {
	if err := a.resumeFirst(ctx, a.DB, st); err != nil {
		return nil, err
	}
	if !slices.Contains(a.available(st.Name), firstWebAuthn) {
		return nil, errFirstChoice
	}
	return a.askPasskey(ctx, st.Name, &st)
}

// answerPasskey is the answer to WEB_AUTHN.
func (a *signIn) answerPasskey(ctx context.Context, st session) (*outcome, error) {
	text, err := a.param("CREDENTIAL")
	if err != nil {
		return nil, err
	}
	assertion, err := parseAssertion(text)
	if err != nil {
		return nil, err
	}
	if err := a.resumeFirst(ctx, a.DB, st); err != nil {
		return nil, err
	}
	if !bytes.Equal(st.Proof, a.auth.used.boot[:]) {
		return nil, errSession // of a former process, which may have seen the answer
	}
	if err := a.auth.used.take(ctx, a.Now(), st.ID, st.Expires); err != nil {
		return nil, err
	}
	if err := a.provePasskey(ctx, st, assertion); err != nil {
		return nil, err
	}
	a.mfaProven = assertion.Response.AuthenticatorData.Flags.HasUserVerified() && a.pool.passkeyIsMFA(a.user)
	return a.proceed(ctx)
}

// provePasskey returns nil if one of the user's passkeys has signed the challenge in st, and he may still sign in by it.
func (a *signIn) provePasskey(ctx context.Context, st session, assertion *protocol.ParsedCredentialAssertionData) error {
	rp, ok := a.pool.relyingParty()
	k, err := a.findPasskey(ctx, a.user, assertion.ID)
	known := !errors.Is(err, db.ErrNotFound)
	if !known {
		k = &passkey{RelyingParty: rp.id, PublicKey: nobodysPasskey(), BackupEligible: assertion.Response.AuthenticatorData.Flags.HasBackupEligible()}
	} else if err != nil {
		return err
	}
	wrong := rp.checkAssertion(assertion, k, st.Sub, base64.RawURLEncoding.EncodeToString(st.Code), a.pool.verifiesUsers(a.user))
	switch {
	case wrong != nil:
		return errWrongPassword.With(wrong)
	case !known, !ok, a.user.invented(), !slices.Contains(a.pool.firstChallenges(a.user), firstWebAuthn):
		return errWrongPassword
	}
	return a.countSignature(ctx, k, int64(assertion.Response.AuthenticatorData.Counter))
}

func (a *signIn) findPasskey(ctx context.Context, u *user, id string) (*passkey, error) {
	k, err := db.One[passkey](ctx, a.DB, `SELECT `+passkeyColumns+` FROM user_passkeys WHERE pool_id = $1 AND sub = $2 AND credential_id = $3`, a.pool.ID, u.Sub, id)
	if err != nil {
		return nil, err
	}
	k.PublicKey, err = a.passkeys.Open(k.PublicKey, passkeyOwner(a.pool, u.Sub, k.ID))
	return &k, err
}

// countSignature keeps the signature counter of an authenticator that has one. One that does not grow is a sign that there
// are two with the same key, and which of them is the user's nobody knows: both are refused from then on until theirs is the
// higher one.
//
// Source: W3C, Web Authentication Level 3, section 6.1.1.
func (a *signIn) countSignature(ctx context.Context, k *passkey, counter int64) error {
	if counter == 0 && k.Counter == 0 {
		return nil
	}
	grown := true
	err := a.DB.Tx(ctx, func(tx *db.Tx) error {
		err := db.Changed(tx.ExecContext(ctx, `UPDATE user_passkeys SET counter = $4 WHERE pool_id = $1 AND sub = $2 AND credential_id = $3 AND counter < $4`,
			a.pool.ID, a.user.Sub, k.ID, counter))
		if grown = !errors.Is(err, db.ErrConflict); !grown {
			return nil
		}
		return err
	})
	if !grown {
		a.Log.WarnContext(ctx, "passkey refused: its signature counter did not grow, there may be a copy of it", "user_pool", a.pool.ID, "sub", a.user.Sub,
			"credential", k.ID, "counter", counter)
		return errWrongPassword
	}
	return err
}
