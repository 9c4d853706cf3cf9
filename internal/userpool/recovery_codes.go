package userpool

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"usher/internal/api/cognitoidp"
	"usher/internal/awsapi"
	"usher/internal/db"
	"usher/internal/ids"
)

// Recovery codes stand in for a second factor that is not at hand: in pools with the tag usher:recovery-codes a user can have
// ten of them, each good once, as the answer to SMS_MFA, SOFTWARE_TOKEN_MFA or EMAIL_OTP. They are guessed at no faster than
// other codes. Who has no second factor any more has none.

const tagRecoveryCodes = "usher:recovery-codes"

const (
	recoveryCodes     = 10
	recoveryCodeFresh = 15 * time.Minute // after a sign-in, within which a user can have codes
)

// recoveryCodesIssued limits how often a user has new codes.
var recoveryCodesIssued = limit{"recovery-codes", 5}

func checkRecoveryCodesTag(tags map[string]string) error {
	if v, ok := tags[tagRecoveryCodes]; ok && v != "true" {
		return errTagNotTrue(tagRecoveryCodes)
	}
	return nil
}

// takesRecoveryCodes reports whether users can sign in with recovery codes.
func (p *pool) takesRecoveryCodes() bool {
	return p.Settings.UserPoolTags[tagRecoveryCodes] == "true" && p.mfaMode() != cognitoidp.UserPoolMfaTypeOff
}

// hasSecondFactor reports whether u is asked for a second factor that he has.
func (p *pool) hasSecondFactor(u *user) bool {
	step, err := p.mfaStep(u)
	return err == nil && step.challenge != "" && step.challenge != cognitoidp.ChallengeNameTypeMfaSetup
}

// recoveryCode returns an answer as recovery codes are kept; false if it is none in the form of them, or the pool takes none.
// The case of letters, the hyphens, and what letters and digits are easily taken for each other do not matter.
func (p *pool) recoveryCode(answer string) (string, bool) {
	if len(answer) > 2*ids.RecoveryCodeLength || !p.takesRecoveryCodes() {
		return "", false
	}
	code := strings.NewReplacer("-", "", " ", "", "o", "0", "i", "1", "l", "1").Replace(strings.ToLower(answer))
	return code, len(code) == ids.RecoveryCodeLength
}

func (k *poolKeys) recoveryCodeHash(sub, code string) []byte {
	return k.mac("recovery-code", sub, code)
}

// takeRecoveryCode uses up a recovery code of a user; false if he has no such code.
func (s *Service) takeRecoveryCode(ctx context.Context, tx *db.Tx, p *pool, sub, code string) (bool, error) {
	hashes, err := db.All[[]byte](ctx, tx, `SELECT hash FROM user_recovery_codes WHERE pool_id = $1 AND sub = $2`, p.ID, sub)
	if err != nil {
		return false, err
	}
	want, found := p.keys.recoveryCodeHash(sub, code), 0
	for _, hash := range hashes {
		found |= subtle.ConstantTimeCompare(hash, want)
	}
	if found == 0 {
		return false, nil
	}
	awsapi.Annotate(ctx, "second_factor", "recovery code")
	return true, db.Changed(tx.ExecContext(ctx, `DELETE FROM user_recovery_codes WHERE pool_id = $1 AND sub = $2 AND hash = $3`, p.ID, sub, want))
}

// issueRecoveryCodes gives a user new codes in place of those that he has. find reads him in the transaction.
func (s *Service) issueRecoveryCodes(ctx context.Context, p *pool, find func(tx *db.Tx) (*user, error)) ([]string, error) {
	if !p.takesRecoveryCodes() {
		return nil, errNoRecoveryCodes
	}
	codes := make([]string, recoveryCodes)
	for i := range codes {
		codes[i] = ids.RecoveryCode()
	}
	return codes, s.DB.Tx(ctx, func(tx *db.Tx) error {
		u, err := find(tx)
		if err != nil {
			return err
		}
		if !p.hasSecondFactor(u) {
			return errNothingToRecover
		}
		if err := dropRecoveryCodes(ctx, tx, p, u.Sub); err != nil {
			return err
		}
		for _, code := range codes {
			plain, _ := p.recoveryCode(code)
			if _, err := tx.ExecContext(ctx, `INSERT INTO user_recovery_codes (pool_id, sub, hash) VALUES ($1, $2, $3)`,
				p.ID, u.Sub, p.keys.recoveryCodeHash(u.Sub, plain)); err != nil {
				return err
			}
		}
		return nil
	})
}

func dropRecoveryCodes(ctx context.Context, tx *db.Tx, p *pool, sub string) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM user_recovery_codes WHERE pool_id = $1 AND sub = $2`, p.ID, sub)
	return err
}

// IssueRecoveryCodes gives a user new recovery codes, for an operator.
func (s *Service) IssueRecoveryCodes(ctx context.Context, poolID, name string) ([]string, error) {
	p, err := s.pool(ctx, poolID)
	if err != nil {
		return nil, err
	}
	return s.issueRecoveryCodes(ctx, p, func(tx *db.Tx) (*user, error) { return s.findUser(ctx, tx, p, name) })
}

// RecoveryCodes serves users themselves: with an access token in the Authorization header, GET tells how many codes they
// have left and POST gives them new ones, soon after a sign-in only. AWS has no operation for it.
func (s *Service) RecoveryCodes() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", "*") // the token is the permission, and is not sent by itself
		h.Set("Cache-Control", "no-store")
		if r.Method == http.MethodOptions {
			h.Set("Access-Control-Allow-Methods", "GET, POST")
			h.Set("Access-Control-Allow-Headers", "Authorization")
			return
		}
		h.Set("Content-Type", "application/json")
		out, err := s.ownRecoveryCodes(r)
		if told, ok := errors.AsType[*awsapi.Error](err); ok {
			w.WriteHeader(told.Status)
			out = map[string]any{"__type": told.Code, "message": told.Message}
		} else if err != nil {
			s.Log.ErrorContext(r.Context(), "recovery codes", "error", err)
			w.WriteHeader(http.StatusInternalServerError)
			out = map[string]any{"__type": "InternalErrorException"}
		}
		json.NewEncoder(w).Encode(out)
	})
}

func (s *Service) ownRecoveryCodes(r *http.Request) (map[string]any, error) {
	text, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return nil, errAccessToken
	}
	ctx, err := s.Bearer(r.Context(), text)
	if err != nil {
		return nil, err
	}
	b := bearerFrom(ctx)
	if r.Method != http.MethodPost {
		left, err := db.One[int](ctx, s.DB, `SELECT count(*) FROM user_recovery_codes WHERE pool_id = $1 AND sub = $2`, b.pool.ID, b.user.Sub)
		return map[string]any{"left": left}, err
	}
	if s.Now().Sub(b.token.AuthTime) > recoveryCodeFresh {
		return nil, errSignInNotFresh
	}
	codes, err := s.issueRecoveryCodes(ctx, b.pool, func(tx *db.Tx) (*user, error) {
		if err := s.spend(ctx, tx, b.pool, b.user.Sub, recoveryCodesIssued); err != nil {
			return nil, err
		}
		return s.userBySub(ctx, tx, b.pool, b.user.Sub)
	})
	if err != nil {
		return nil, err
	}
	return map[string]any{"codes": codes}, nil
}
