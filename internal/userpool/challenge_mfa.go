package userpool

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"usher/internal/api/cognitoidp"
	"usher/internal/db"
	"usher/internal/ids"
)

// codeMFA is what codes of a second factor are for. They are kept in the session that asks for them and live as long.
var codeMFA = codeKind{purpose: "mfa", send: limit{"send-mfa", 20}}

// secondFactor leads a sign-in whose first factor is proven on: to the second factor, to the proof that the device is one of
// the user's, or to tokens.
func (a *signIn) secondFactor(ctx context.Context) (*outcome, error) {
	if a.device == nil {
		if err := a.bringDevice(ctx, a.user.Sub); err != nil {
			return nil, err
		}
	}
	var step mfaStep
	if !a.mfaProven {
		var err error
		if step, err = a.pool.mfaStep(a.user); err != nil {
			return nil, err
		}
	}
	if a.device != nil && a.device.Remembered && step.challenge != cognitoidp.ChallengeNameTypeMfaSetup && (step.challenge == "" || a.pool.devicesReplaceMFA()) {
		return a.askForDevice()
	}
	switch step.challenge {
	case "":
		return a.complete(ctx)
	case cognitoidp.ChallengeNameTypeSelectMfaType:
		return a.offerChoice(step, "MFAS_CAN_CHOOSE")
	case cognitoidp.ChallengeNameTypeMfaSetup:
		return a.offerChoice(step, "MFAS_CAN_SETUP")
	}
	return a.askFor(ctx, step.challenge, nil)
}

// offerChoice is the challenge to choose a factor, or to set one up.
func (a *signIn) offerChoice(step mfaStep, parameter string) (*outcome, error) {
	choices, err := json.Marshal(step.choices)
	if err != nil {
		return nil, err
	}
	st := a.newSession(step.challenge)
	st.Choices = step.choices
	return &outcome{challenge: step.challenge, session: a.sealSession(a.pool, a.client, st), params: map[string]string{
		"USER_ID_FOR_SRP": a.user.Username, parameter: string(choices),
	}}, nil
}

// askFor is the challenge to prove a factor. It takes the place of answered, if that is not nil.
func (a *signIn) askFor(ctx context.Context, factor string, answered *session) (*outcome, error) {
	u := a.user
	if factor != factorTOTP {
		attr := addressOf(factor)
		return a.sendFactorCode(ctx, factor, delivery{attr, u.attributes()[attr]}, a.newSession(factor), answered)
	}
	if answered != nil {
		if err := a.DB.Tx(ctx, func(tx *db.Tx) error { return useSession(ctx, tx, *answered) }); err != nil {
			return nil, err
		}
	}
	params := map[string]string{"USER_ID_FOR_SRP": u.Username}
	if name := u.mfa().TOTPName; name != "" {
		params["FRIENDLY_DEVICE_NAME"] = name
	}
	return &outcome{challenge: factor, session: a.challengeSession(factor), params: params}, nil
}

// sendFactorCode sends a code and asks for it. st is the session that will hold it; answered, if not nil, is used up.
func (a *signIn) sendFactorCode(ctx context.Context, factor string, to delivery, st session, answered *session) (*outcome, error) {
	code := ids.Code()
	st.Challenge, st.To, st.Code = factor, to, a.pool.keys.codeHash(a.user.Sub, codeMFA, code)
	var w wording
	err := a.askSignInWords(ctx, codeMFA, &w)
	if err != nil {
		return nil, err
	}
	err = a.DB.Tx(ctx, func(tx *db.Tx) error {
		if answered != nil {
			if err := useSession(ctx, tx, *answered); err != nil {
				return err
			}
		}
		if err := a.spend(ctx, tx, a.pool, a.user.Sub, codeMFA.send); err != nil {
			return err
		}
		return a.sendSignInCode(ctx, tx, a.pool, a.user, codeMFA, to, code, w)
	})
	if errors.Is(err, cognitoidp.ErrLimitExceeded) {
		err = errTooManyCodes // sign-in has no LimitExceededException
	}
	if err != nil {
		return nil, err
	}
	details := to.details()
	return &outcome{challenge: factor, session: a.sealSession(a.pool, a.client, st), params: map[string]string{
		"USER_ID_FOR_SRP": a.user.Username, "CODE_DELIVERY_DELIVERY_MEDIUM": *details.DeliveryMedium, "CODE_DELIVERY_DESTINATION": *details.Destination,
	}}, nil
}

// answerChoice is the answer to SELECT_MFA_TYPE.
func (a *signIn) answerChoice(ctx context.Context, st session) (*outcome, error) {
	choice, err := a.param("ANSWER")
	if err != nil {
		return nil, err
	}
	if choice == "EMAIL_MFA" {
		choice = factorEmail
	}
	if err := a.resume(ctx, a.DB, st); err != nil {
		return nil, err
	}
	if !slices.Contains(st.Choices, choice) || !a.pool.usable(a.user, choice) {
		return nil, errMFAChoice
	}
	return a.askFor(ctx, choice, &st)
}

// codeParameters names the answers to the challenges of factors.
var codeParameters = map[string]string{factorSMS: "SMS_MFA_CODE", factorTOTP: "SOFTWARE_TOKEN_MFA_CODE", factorEmail: "EMAIL_OTP_CODE"}

// answerFactor is the answer to SMS_MFA, SOFTWARE_TOKEN_MFA and, as a second factor, EMAIL_OTP: the code, or a recovery code.
func (a *signIn) answerFactor(ctx context.Context, st session) (*outcome, error) {
	code, err := a.param(codeParameters[st.Challenge])
	if err != nil {
		return nil, err
	}
	if err := a.resume(ctx, a.DB, st); err != nil {
		return nil, err
	}
	recovery, recovers := a.pool.recoveryCode(code)
	err = a.guess(ctx, st, func(tx *db.Tx) (refusal, err error) {
		if recovers && !st.Setup {
			taken, err := a.takeRecoveryCode(ctx, tx, a.pool, a.user.Sub, recovery)
			if err == nil && !taken {
				refusal = errFactorMismatch
			}
			return refusal, err
		}
		if st.Challenge == factorTOTP {
			return a.checkTOTP(ctx, tx, a.pool, a.user, code)
		}
		return a.checkSentCode(ctx, tx, st, code)
	})
	if err != nil {
		return nil, err
	}
	return a.complete(ctx)
}

// checkSentCode takes the code that st waits for. It proves possession of the address that it went to, which is verified
// from then on.
func (a *signIn) checkSentCode(ctx context.Context, tx *db.Tx, st session, code string) (refusal, err error) {
	if len(st.Code) == 0 || subtle.ConstantTimeCompare(st.Code, a.pool.keys.codeHash(st.Sub, codeMFA, code)) != 1 {
		return errFactorMismatch, nil
	}
	u, err := a.userBySub(ctx, tx, a.pool, st.Sub)
	if err != nil {
		return nil, err
	}
	attr, value := st.To.attribute, u.attributes()[st.To.attribute]
	switch {
	case st.Setup:
		if step, err := a.pool.mfaStep(u); err != nil || step.challenge != cognitoidp.ChallengeNameTypeMfaSetup || !slices.Contains(step.choices, st.Challenge) {
			return errSession, nil
		}
		u.mfa().enable(st.Challenge, true)
	case value != st.To.target:
		return errSession, nil // the address has changed since
	case u.verified(attr):
		return nil, nil
	}
	u.set(attr, st.To.target)
	u.set(attr+"_verified", "true")
	u.MoveAliases = true
	a.user = u
	return nil, a.saveUser(ctx, tx, a.pool, u)
}

// answerSetup is the answer to MFA_SETUP: nothing but the session of VerifySoftwareToken, or an e-mail address.
func (a *signIn) answerSetup(ctx context.Context, st session) (*outcome, error) {
	if err := a.resume(ctx, a.DB, st); err != nil {
		return nil, err
	}
	if st.Done {
		err := a.DB.Tx(ctx, func(tx *db.Tx) error {
			if err := useSession(ctx, tx, st); err != nil {
				return err
			}
			u, err := a.userBySub(ctx, tx, a.pool, st.Sub)
			if err != nil {
				return err
			}
			if !u.mfa().TOTP {
				return errSession // an administrator has taken it away
			}
			a.user = u
			u.mfa().enable(factorTOTP, true)
			return a.saveRow(ctx, tx, a.pool, u)
		})
		if err != nil {
			return nil, err
		}
		return a.complete(ctx)
	}
	email := a.params["EMAIL"]
	if email == "" {
		email = a.params["email"]
	}
	switch {
	case email == "":
		return nil, errSetupUnverified
	case !slices.Contains(st.Choices, factorEmail):
		return nil, errMFAChoice
	}
	if used, err := isUsed(ctx, a.DB, st); err != nil {
		return nil, err
	} else if used {
		return nil, errSessionUsed
	}
	if err := checkValue(a.pool.schema[attrEmail], email); err != nil {
		return nil, err
	}
	next := a.newSession(factorEmail)
	next.Setup = true
	return a.sendFactorCode(ctx, factorEmail, delivery{attrEmail, email}, next, nil)
}

// guess checks an answer that could be guessed. Wrong ones are counted for the user, those of first factors apart, whatever session they are in and
// however often the password is proven in between; after five the next has to wait, as in lockedUntil. A right one uses
// st up. refusal is what check has against the answer.
func (a *signIn) guess(ctx context.Context, st session, check func(tx *db.Tx) (refusal, err error)) error {
	leave, err := a.auth.attempts.enter(ctx, a.pool.ID+"/"+st.Sub+"/code")
	if err != nil {
		return err
	}
	defer leave()
	failed := mfaFailures
	if st.First {
		failed = firstFailures
	}
	var refusal error
	err = a.DB.Tx(ctx, func(tx *db.Tx) error {
		refusal = nil
		if used, err := isUsed(ctx, tx, st); err != nil {
			return err
		} else if used {
			return errSessionUsed
		}
		row, err := db.One[rateRow](ctx, tx, `SELECT count, expires FROM user_rates WHERE pool_id = $1 AND sub = $2 AND kind = $3`, a.pool.ID, st.Sub, failed)
		if err != nil && !errors.Is(err, db.ErrNotFound) {
			return err
		}
		now, failedAt := a.Now(), time.UnixMicro(row.Expires-failuresKept)
		failures := failuresAt(row.Count, failedAt, now)
		if now.Before(lockedUntil(failures, failedAt)) {
			return errLockedOut
		}
		if refusal, err = check(tx); err != nil {
			return err
		}
		if refusal != nil {
			_, err := tx.ExecContext(ctx, `INSERT INTO user_rates (pool_id, sub, kind, count, expires) VALUES ($1, $2, $3, $4, $5)
				ON CONFLICT (pool_id, sub, kind) DO UPDATE SET count = excluded.count, expires = excluded.expires`,
				a.pool.ID, st.Sub, failed, failures+1, now.UnixMicro()+failuresKept)
			return err
		}
		if row.Count > 0 {
			if _, err := tx.ExecContext(ctx, `DELETE FROM user_rates WHERE pool_id = $1 AND sub = $2 AND kind = $3`, a.pool.ID, st.Sub, failed); err != nil {
				return err
			}
		}
		return useSession(ctx, tx, st)
	})
	if err == nil {
		err = refusal
	}
	return err
}

// Kinds of user_rates that count wrong factors.
const (
	mfaFailures   = "mfa"
	firstFailures = "first-factor"
)
