package userpool

import (
	"context"
	"crypto/rand"
	"math/big"
	"strings"
	"unicode/utf8"

	"usher/internal/api/cognitoidp"
)

// Characters that password policies tell apart ("Adding user pool password requirements").
const (
	digits  = "0123456789"
	lowers  = "abcdefghijklmnopqrstuvwxyz"
	uppers  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	symbols = "^$*.[]{}()?\"!@#%&/\\,><':;|_~`=+- "
)

// checkPassword checks a new password against the pool's policy and returns the first rule that it breaks.
func (p *pool) checkPassword(password string) error {
	policy := p.Settings.Policies.PasswordPolicy
	lacks := func(required *bool, class string) bool {
		return deref(required) && !strings.ContainsAny(password, class)
	}
	switch {
	case utf8.RuneCountInString(password) < int(deref(policy.MinimumLength)):
		return errPasswordShort
	case lacks(policy.RequireNumbers, digits):
		return errPasswordNumeric
	case lacks(policy.RequireLowercase, lowers):
		return errPasswordLower
	case lacks(policy.RequireUppercase, uppers):
		return errPasswordUpper
	case lacks(policy.RequireSymbols, symbols):
		return errPasswordSymbol
	}
	return nil
}

// generatePassword returns a password that satisfies the policy whatever it requires: at least 12 characters, one of each
// class. Characters that people confuse, or that would need escaping in a message, are left out.
func (p *pool) generatePassword() string {
	const (
		digits  = "23456789"
		lowers  = "abcdefghjkmnpqrstuvwxyz"
		uppers  = "ABCDEFGHJKLMNPQRSTUVWXYZ"
		symbols = "!@#%*+-_=?"
	)
	n := max(12, int(deref(p.Settings.Policies.PasswordPolicy.MinimumLength)))
	password := []byte{pick(digits), pick(lowers), pick(uppers), pick(symbols)}
	for len(password) < n {
		password = append(password, pick(digits+lowers+uppers))
	}
	for i := len(password) - 1; i > 0; i-- {
		j := below(i + 1)
		password[i], password[j] = password[j], password[i]
	}
	return string(password)
}

func pick(from string) byte { return from[below(len(from))] }

// below returns a random number from 0 to n-1, each equally likely.
func below(n int) int {
	i, err := rand.Int(rand.Reader, big.NewInt(int64(n)))
	if err != nil {
		panic(err) // crypto/rand.Reader does not fail
	}
	return int(i.Int64())
}

// password is what is stored of a password.
type password struct {
	salt, verifier []byte // the verifier is sealed
	hash           []byte // sealed
	history        []oldPassword
}

// newPassword makes what is stored of a password of the user, whose pool and sub it is sealed for. The work is done here,
// not in a transaction: use it before, and user.setPassword inside.
//
// It fails if the pool keeps a history of passwords and this one is in it: of as many as PasswordHistorySize says, the
// current one included.
func (s *Service) newPassword(ctx context.Context, p *pool, u *user, plain string) (password, error) {
	kept := int(deref(p.Settings.Policies.PasswordPolicy.PasswordHistorySize))
	var history []oldPassword
	if kept > 0 && u.hasPassword() {
		history = append([]oldPassword{u.current()}, u.Doc.V.History...)
	}
	history = history[:min(len(history), kept)]
	for _, old := range history {
		used, err := s.isPassword(ctx, p, u, old, plain)
		if err != nil {
			return password{}, err
		}
		if used {
			return password{}, errPasswordUsed
		}
	}
	stored, err := s.storePassword(ctx, p, u, plain)
	stored.history = history
	return stored, err
}

// setPassword gives the user a password and forgets failed attempts at the old one. now is in microseconds.
func (u *user) setPassword(w password, now int64) {
	u.Salt, u.Verifier, u.Doc.V.Hash, u.Doc.V.History = w.salt, w.verifier, w.hash, w.history
	u.PasswordSet, u.Failures, u.FailedAt = now, 0, 0
}

// isUserPassword reports whether plain is the user's password. It takes the same time for every password; a user without
// one has none that fits.
func (s *Service) isUserPassword(ctx context.Context, p *pool, u *user, plain string) (bool, error) {
	if !u.hasPassword() {
		return false, nil
	}
	return s.isPassword(ctx, p, u, u.current(), plain)
}

// openVerifier returns an SRP verifier as package srp takes it.
func (s *Service) openVerifier(pool, sub string, sealed []byte) ([]byte, error) {
	return s.verifiers.Open(sealed, verifierOwner(pool, sub))
}

func verifierOwner(pool, sub string) []byte { return []byte(pool + "|" + sub) }

// hasTemporaryPassword reports whether the user must choose a new password at the next sign-in.
func (u *user) hasTemporaryPassword() bool {
	return u.Status == cognitoidp.UserStatusTypeForceChangePassword
}
