package userpool

import (
	"bytes"
	"context"
	"slices"
	"strings"

	"usher/internal/argon2id"
	"usher/internal/db"
	"usher/internal/srp"
)

// What is stored of passwords is the choice of each pool, by the tag usher:password-storage:
//
//   - srp, the default: the SRP verifier alone, sealed. Plain passwords are checked against it too. A slow hash beside it
//     would protect nothing, since who has the key guesses at the verifier.
//   - argon2id: a slow hash alone, sealed, for pools that never use SRP, which then fails as a wrong password does.
//   - srp+argon2id: both, so that users can be moved elsewhere with their passwords.
//
// A change takes effect for each user when he next sets a password or sends it in plain to sign in. So do the hashes that
// imported users bring along.

const (
	tagPasswordStorage = "usher:password-storage"

	storageSRP      = "srp"
	storageArgon2id = "argon2id"
	storageBoth     = "srp+argon2id"
)

func checkPasswordStorage(tags map[string]string) error {
	storage, ok := tags[tagPasswordStorage]
	if ok && !slices.Contains([]string{storageSRP, storageArgon2id, storageBoth}, storage) {
		return errPasswordStorage
	}
	return nil
}

// storesPassword tells what the pool stores of passwords.
func (p *pool) storesPassword() (verifier, hash bool) {
	storage := p.Settings.UserPoolTags[tagPasswordStorage]
	return storage != storageArgon2id, storage == storageArgon2id || storage == storageBoth
}

// storePassword makes what the pool stores of a password.
func (s *Service) storePassword(ctx context.Context, p *pool, u *user, plain string) (w password, err error) {
	verifier, hash := p.storesPassword()
	if verifier {
		var plainVerifier []byte
		w.salt, plainVerifier = srp.NewVerifier(p.name(), u.Username, plain)
		w.verifier = s.verifiers.Seal(plainVerifier, verifierOwner(p.ID, u.Sub))
	}
	if hash {
		err = s.auth.hashing.do(ctx, func(m *argon2id.Memory) { w.hash = s.sealHash(p, u, newHash(m, plain)) })
	}
	return w, err
}

// sealHash seals a hash of a user's password. It is not mistaken for a verifier.
func (s *Service) sealHash(p *pool, u *user, text string) []byte {
	return s.verifiers.Seal([]byte(text), hashOwner(p.ID, u.Sub))
}

func (s *Service) openHash(p *pool, u *user, sealed []byte) (string, error) {
	text, err := s.verifiers.Open(sealed, hashOwner(p.ID, u.Sub))
	return string(text), err
}

func hashOwner(pool, sub string) []byte { return []byte(pool + "|" + sub + "|hash") }

// current is the password that the user has.
func (u *user) current() oldPassword { return oldPassword{u.Salt, u.Verifier, u.Doc.V.Hash} }

// isPassword reports whether plain is a password that the user has or had.
func (s *Service) isPassword(ctx context.Context, p *pool, u *user, stored oldPassword, plain string) (ok bool, err error) {
	if stored.Verifier != nil {
		verifier, err := s.openVerifier(p.ID, u.Sub, stored.Verifier)
		if err != nil {
			return false, err
		}
		return srp.CheckPassword(p.name(), u.Username, plain, stored.Salt, verifier), nil
	}
	text, err := s.openHash(p, u, stored.Hash)
	if err != nil {
		return false, err
	}
	check, err := parseHash(algorithmOf(text), text)
	if err != nil {
		return false, err
	}
	err = s.auth.hashing.do(ctx, func(m *argon2id.Memory) { ok = check(m, plain) })
	return ok, err
}

// isSignInPassword is isUserPassword for who is not signed in: it does the work of the pool's storage for a user without a
// password, too. An imported user who has not signed in yet can be told apart by the time that his hash takes.
func (s *Service) isSignInPassword(ctx context.Context, p *pool, u *user, plain string) (bool, error) {
	if u.hasPassword() {
		return s.isUserPassword(ctx, p, u, plain)
	}
	if verifier, _ := p.storesPassword(); !verifier {
		return false, s.auth.hashing.do(ctx, func(m *argon2id.Memory) { newHash(m, plain) })
	}
	salt, verifier, err := s.verifierOf(p, u)
	if err != nil {
		return false, err
	}
	srp.CheckPassword(p.name(), u.Username, plain, salt, verifier)
	return false, nil
}

// restorePassword stores the user's password, which he has just proven, in the way of the pool if it is not.
func (s *Service) restorePassword(ctx context.Context, p *pool, u *user, plain string) error {
	verifier, hash := p.storesPassword()
	own := false
	if u.Doc.V.Hash != nil {
		text, err := s.openHash(p, u, u.Doc.V.Hash)
		if err != nil {
			return err
		}
		own = strings.HasPrefix(text, ownHash)
	}
	if verifier == (u.Verifier != nil) && hash == own && hash == (u.Doc.V.Hash != nil) {
		return nil
	}
	w, err := s.storePassword(ctx, p, u, plain)
	if err != nil {
		return err
	}
	proven := u.current()
	_, err = s.updateFound(ctx, p, u, func(_ *db.Tx, u *user) error {
		if now := u.current(); bytes.Equal(now.Verifier, proven.Verifier) && bytes.Equal(now.Hash, proven.Hash) {
			u.Salt, u.Verifier, u.Doc.V.Hash = w.salt, w.verifier, w.hash
		}
		return nil
	})
	return err
}
