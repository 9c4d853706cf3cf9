package userpool

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"usher/internal/api/cognitoidp"
	"usher/internal/db"
)

const userAttributePrefix = "userAttributes."

// requireNewPassword is the challenge for a user who has proven a temporary password. It asks for the required attributes
// that the user lacks, too.
func (a *signIn) requireNewPassword() (*outcome, error) {
	if a.deviceKey == "" {
		a.deviceKey = a.params["DEVICE_KEY"]
	}
	u := a.user
	if a.Now().After(time.UnixMicro(u.PasswordSet).Add(a.pool.temporaryPasswordLife())) {
		return nil, errTemporaryExpired
	}
	current := map[string]string{}
	for name, value := range u.attributes() {
		if name != "sub" && a.client.readable(name) {
			current[name] = value
		}
	}
	asked := []string{}
	for _, name := range a.pool.missingRequired(u) {
		asked = append(asked, userAttributePrefix+name)
	}
	attributes, err := json.Marshal(current)
	if err != nil {
		return nil, err
	}
	required, err := json.Marshal(asked)
	if err != nil {
		return nil, err
	}
	const challenge = cognitoidp.ChallengeNameTypeNewPasswordRequired
	return &outcome{challenge: challenge, session: a.challengeSession(challenge), params: map[string]string{
		"USER_ID_FOR_SRP":    u.Username,
		"requiredAttributes": string(required),
		"userAttributes":     string(attributes),
	}}, nil
}

// answerNewPassword is the answer to NEW_PASSWORD_REQUIRED. It confirms the user.
func (a *signIn) answerNewPassword(ctx context.Context, st session) (*outcome, error) {
	password, err := a.param("NEW_PASSWORD")
	if err != nil {
		return nil, err
	}
	if err := a.resume(ctx, a.DB, st); err != nil {
		return nil, err
	}
	if err := a.pool.checkPassword(password); err != nil {
		return nil, err
	}
	var sent []cognitoidp.AttributeType
	for name, value := range a.params {
		if attribute, ok := strings.CutPrefix(name, userAttributePrefix); ok {
			sent = append(sent, cognitoidp.AttributeType{Name: &attribute, Value: &value})
		}
	}
	values, err := a.pool.readAttributes(sent, a.client, a.user)
	if err != nil {
		return nil, err
	}
	stored, err := a.newPassword(ctx, a.pool, a.user, password) // before the transaction: it takes a while
	if err != nil {
		return nil, err
	}
	a.user, err = a.updateFound(ctx, a.pool, a.user, func(tx *db.Tx, u *user) error {
		if err := useSession(ctx, tx, st); err != nil {
			return err
		}
		if u.Status != cognitoidp.UserStatusTypeForceChangePassword || u.PasswordSet != st.Password {
			return errSession
		}
		for name, value := range values {
			if old := u.attributes()[name]; old != "" && old != value && deref(a.pool.schema[name].Required) {
				return cognitoidp.ErrNotAuthorized.Msg("Cannot modify an already provided %s", name)
			}
		}
		for name, value := range values {
			if value == "" {
				u.remove(name)
				continue
			}
			if (name == attrEmail || name == attrPhone) && value != u.attributes()[name] {
				u.set(name+"_verified", "false")
			}
			u.set(name, value)
		}
		if err := a.pool.checkRequired(u.attributes()); err != nil {
			return err
		}
		u.Status = cognitoidp.UserStatusTypeConfirmed
		u.setPassword(stored, a.now())
		return nil
	})
	if err != nil {
		return nil, err
	}
	a.passwordChosen = true
	return a.secondFactor(ctx)
}
