package userpool

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"usher/internal/api/cognitoidp"
	"usher/internal/db"
)

// Time-based one-time passwords (RFC 6238): six digits for each step of 30 seconds, HMAC-SHA-1. A code is good one step
// before and after its own, and once: none is accepted up to the step of the last one.
const (
	totpStep       = 30 // seconds
	totpSecretSize = 32 // bytes: 52 characters of base32, as on AWS
	totpSlack      = 1  // steps
)

var totpText = base32.StdEncoding.WithPadding(base32.NoPadding)

// softwareToken is a row of user_software_tokens.
type softwareToken struct {
	Secret  []byte
	Step    int64
	Pending []byte
}

func (s *Service) softwareToken(ctx context.Context, q db.Querier, p *pool, sub string) (softwareToken, error) {
	t, err := db.One[softwareToken](ctx, q, `SELECT secret, step, pending FROM user_software_tokens WHERE pool_id = $1 AND sub = $2`, p.ID, sub)
	if errors.Is(err, db.ErrNotFound) {
		return t, nil
	}
	return t, err
}

// matchTOTP returns the step that code is of, later than last if there is one; false if it is of none that counts now.
func matchTOTP(secret []byte, code string, last int64, now time.Time) (step int64, ok bool) {
	for i := now.Unix()/totpStep - totpSlack; i <= now.Unix()/totpStep+totpSlack; i++ {
		match, err := hotp.ValidateCustom(code, uint64(i), totpText.EncodeToString(secret), hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
		if err == nil && match {
			step, ok = i, true
			if i > last {
				break
			}
		}
	}
	return step, ok
}

// checkTOTP takes a code of the user's authenticator app; refusal is what is wrong with it.
func (s *Service) checkTOTP(ctx context.Context, tx *db.Tx, p *pool, u *user, code string) (refusal, err error) {
	t, err := s.softwareToken(ctx, tx, p, u.Sub)
	if err != nil {
		return nil, err
	}
	if t.Secret == nil {
		return errSoftwareTokenGone, nil
	}
	secret, err := s.totpSecrets.Open(t.Secret, verifierOwner(p.ID, u.Sub))
	if err != nil {
		return nil, err
	}
	step, ok := matchTOTP(secret, code, t.Step, s.Now())
	switch {
	case !ok:
		return errTOTPMismatch, nil
	case step <= t.Step:
		return errTOTPUsed, nil
	}
	_, err = tx.ExecContext(ctx, `UPDATE user_software_tokens SET step = $3 WHERE pool_id = $1 AND sub = $2`, p.ID, u.Sub, step)
	return nil, err
}

// enrolment is the call of a user who sets up an authenticator app: signed in, or while signing in.
type enrolment struct {
	signIn
	bearer  *bearer  // nil while signing in
	session *session // nil if signed in
}

// enrol finds out who calls AssociateSoftwareToken or VerifySoftwareToken: an access token or a session says it.
func (s *Service) enrol(ctx context.Context, accessToken, sessionText *string) (*enrolment, error) {
	e := &enrolment{signIn: signIn{Service: s}}
	switch {
	case accessToken != nil:
		ctx, err := s.Bearer(ctx, *accessToken)
		if err != nil {
			return nil, err
		}
		e.bearer = bearerFrom(ctx)
		e.client, e.pool = e.bearer.client, e.bearer.pool
	case sessionText != nil:
		st, err := s.unsealSession(*sessionText)
		if err != nil {
			return nil, err
		}
		if st.Challenge != cognitoidp.ChallengeNameTypeMfaSetup || st.Done || !slices.Contains(st.Choices, factorTOTP) {
			return nil, errSession
		}
		e.session = &st
		if e.client, e.pool, err = s.client(ctx, st.Client); errors.Is(err, cognitoidp.ErrResourceNotFound) {
			return nil, errSession
		} else if err != nil {
			return nil, err
		}
	default:
		return nil, errMissingParameter("AccessToken")
	}
	if e.pool.mfaMode() == cognitoidp.UserPoolMfaTypeOff || !e.pool.offers(factorTOTP) {
		return nil, errSoftwareTokenOff
	}
	return e, nil
}

// current reads the user who enrols. While signing in he must not have a second factor yet: a password alone must never
// replace one.
func (e *enrolment) current(ctx context.Context, tx *db.Tx) (*user, error) {
	if e.bearer != nil {
		return e.userBySub(ctx, tx, e.pool, e.bearer.user.Sub)
	}
	u, err := e.userOfSignIn(ctx, tx, e.pool, *e.session)
	if err != nil {
		return nil, err
	}
	if used, err := isUsed(ctx, tx, *e.session); err != nil {
		return nil, err
	} else if used {
		return nil, errSessionUsed
	}
	if step, err := e.pool.mfaStep(u); err != nil || !slices.Contains(step.choices, factorTOTP) || step.challenge != cognitoidp.ChallengeNameTypeMfaSetup {
		return nil, errSession
	}
	return u, nil
}

// renewed is the session that takes the place of the one that the call was made with.
func (e *enrolment) renewed(u *user, done bool) *string {
	if e.session == nil {
		return nil
	}
	st := *e.session
	st.Done, st.Expires = done, 0
	return new(e.sealSession(e.pool, e.client, st))
}

// AssociateSoftwareToken returns a new secret for an authenticator app. It counts once VerifySoftwareToken has seen a code
// of it; a former one stays until then.
func (s *Service) AssociateSoftwareToken(ctx context.Context, in *cognitoidp.AssociateSoftwareTokenRequest) (*cognitoidp.AssociateSoftwareTokenResponse, error) {
	e, err := s.enrol(ctx, in.AccessToken, in.Session)
	var u *user
	secret := make([]byte, totpSecretSize)
	rand.Read(secret)
	if err == nil {
		err = s.DB.Tx(ctx, func(tx *db.Tx) (err error) {
			if u, err = e.current(ctx, tx); err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, `INSERT INTO user_software_tokens (pool_id, sub, step, pending) VALUES ($1, $2, 0, $3)
				ON CONFLICT (pool_id, sub) DO UPDATE SET pending = excluded.pending`, e.pool.ID, u.Sub, s.totpSecrets.Seal(secret, verifierOwner(e.pool.ID, u.Sub)))
			return err
		})
	}
	for _, undeclared := range []error{cognitoidp.ErrUserNotFound, cognitoidp.ErrUserNotConfirmed, cognitoidp.ErrPasswordResetRequired} {
		if errors.Is(err, undeclared) {
			err = errAccessToken.With(err)
		}
	}
	if err != nil {
		return nil, err
	}
	return &cognitoidp.AssociateSoftwareTokenResponse{SecretCode: new(totpText.EncodeToString(secret)), Session: e.renewed(u, false)}, nil
}

// VerifySoftwareToken takes the first code of an authenticator app, which is the user's from then on. Who is signed in
// turns the factor on by SetUserMFAPreference; who is signing in answers MFA_SETUP with the session.
func (s *Service) VerifySoftwareToken(ctx context.Context, in *cognitoidp.VerifySoftwareTokenRequest) (*cognitoidp.VerifySoftwareTokenResponse, error) {
	e, err := s.enrol(ctx, in.AccessToken, in.Session)
	if err != nil {
		return nil, err
	}
	if in.FriendlyDeviceName != nil && !isName(*in.FriendlyDeviceName) {
		return nil, errFriendlyName
	}
	var u *user
	err = s.DB.Tx(ctx, func(tx *db.Tx) (err error) {
		if u, err = e.current(ctx, tx); err != nil {
			return err
		}
		t, err := s.softwareToken(ctx, tx, e.pool, u.Sub)
		if err != nil {
			return err
		}
		if t.Pending == nil {
			return errNoPendingToken
		}
		secret, err := s.totpSecrets.Open(t.Pending, verifierOwner(e.pool.ID, u.Sub))
		if err != nil {
			return err
		}
		step, ok := matchTOTP(secret, *in.UserCode, 0, s.Now())
		if !ok {
			return errEnrolMismatch
		}
		if e.session != nil {
			if err := useSession(ctx, tx, *e.session); err != nil {
				return err
			}
		}
		u.mfa().TOTP, u.mfa().TOTPName = true, deref(in.FriendlyDeviceName)
		if err := s.saveRow(ctx, tx, e.pool, u); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE user_software_tokens SET secret = pending, pending = NULL, step = $3 WHERE pool_id = $1 AND sub = $2`, e.pool.ID, u.Sub, step)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &cognitoidp.VerifySoftwareTokenResponse{Status: new(cognitoidp.VerifySoftwareTokenResponseTypeSuccess), Session: e.renewed(u, true)}, nil
}

// AdminDeleteSoftwareToken takes the authenticator app from a user, who then has to set up another where the pool requires
// MFA.
func (s *Service) AdminDeleteSoftwareToken(ctx context.Context, in *cognitoidp.AdminDeleteSoftwareTokenRequest) (*cognitoidp.AdminDeleteSoftwareTokenResponse, error) {
	return nil, s.changeUser(ctx, in.UserPoolId, in.Username, func(tx *db.Tx, p *pool, u *user) error {
		t, err := s.softwareToken(ctx, tx, p, u.Sub)
		if err != nil {
			return err
		}
		if t.Secret == nil && t.Pending == nil {
			return errNoTokenToDelete
		}
		u.mfa().enable(factorTOTP, false)
		u.mfa().TOTP, u.mfa().TOTPName = false, ""
		_, err = tx.ExecContext(ctx, `DELETE FROM user_software_tokens WHERE pool_id = $1 AND sub = $2`, p.ID, u.Sub)
		return err
	})
}

// maxName bounds the names that users give to their devices and apps, in bytes.
const maxName = 1024

// isName reports whether text can be the name of a device.
func isName(text string) bool {
	return len(text) <= maxName && utf8.ValidString(text) && !strings.ContainsRune(text, 0)
}
