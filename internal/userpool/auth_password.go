package userpool

import (
	"context"

	"usher/internal/api/cognitoidp"
)

// signInWithPassword is USER_PASSWORD_AUTH and ADMIN_USER_PASSWORD_AUTH: the password itself is sent.
func (a *signIn) signInWithPassword(ctx context.Context) (*outcome, error) {
	name, err := a.param("USERNAME")
	if err != nil {
		return nil, err
	}
	password, err := a.param("PASSWORD")
	if err != nil {
		return nil, err
	}
	if err := a.provePassword(ctx, name, password); err != nil {
		return nil, err
	}
	return a.proceed(ctx)
}

// provePassword returns nil if password is that of the user called name. Every attempt costs the same work, whoever the
// user is.
func (a *signIn) provePassword(ctx context.Context, name, password string) error {
	leave, err := a.auth.attempts.enter(ctx, a.pool.ID+"/"+a.pool.key(name))
	if err != nil {
		return err
	}
	defer leave()
	if migrated, err := a.identifyOrMigrate(ctx, name, password); err != nil || migrated {
		return err
	}
	return a.concealMigration(ctx, a.checkPassword(ctx, password))
}

// checkPassword returns nil if password is that of the user whom the sign-in has admitted, and counts it if not. The caller
// is in the gate.
func (a *signIn) checkPassword(ctx context.Context, password string) error {
	ok, err := a.isSignInPassword(ctx, a.pool, a.user, password)
	if err != nil {
		return err
	}
	if err := a.resetRequired(ok); err != nil {
		return err
	}
	if !ok {
		return a.failed(ctx)
	}
	if err := a.restorePassword(ctx, a.pool, a.user, password); err != nil {
		return err
	}
	return a.passed(ctx)
}

// resetRequired is the answer for a user who must set a new password by ForgotPassword: the same for every password, unless
// the client hides who exists, when only the former password earns it.
func (a *signIn) resetRequired(proven bool) error {
	if a.user.Status == cognitoidp.UserStatusTypeResetRequired && (proven || !a.client.hidesUsers()) {
		return errResetRequired
	}
	return nil
}

// verifierOf returns the salt and the verifier of a user's password for SRP. A user without one, and one who does not exist, has a
// verifier that no password fits, so that the work is the same.
func (s *Service) verifierOf(p *pool, u *user) (salt, verifier []byte, err error) {
	if u.invented() {
		_, err = s.openVerifier("", "", s.decoyVerifier)
		return u.Salt, u.fakeVerifier, err
	}
	if u.Verifier == nil {
		fake := p.fake(u.Username)
		return fake.Salt, fake.Verifier, nil
	}
	verifier, err = s.openVerifier(p.ID, u.Sub, u.Verifier)
	return u.Salt, verifier, err
}
