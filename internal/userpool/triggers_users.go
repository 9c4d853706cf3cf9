package userpool

import (
	"context"

	"usher/internal/api/cognitoidp"
)

// Triggers of signing up and signing in (developer guide, "Pre sign-up", "Post confirmation", "Pre authentication" and "Post
// authentication Lambda trigger").

type preSignUpRequest struct {
	UserAttributes map[string]string `json:"userAttributes"`
	ValidationData map[string]string `json:"validationData"`
	ClientMetadata map[string]string `json:"clientMetadata"`
}

type preSignUpResponse struct {
	AutoConfirmUser bool `json:"autoConfirmUser"`
	AutoVerifyEmail bool `json:"autoVerifyEmail"`
	AutoVerifyPhone bool `json:"autoVerifyPhone"`
}

// preSignUp asks PreSignUp whether u, who is not stored yet, may come to be. values are the attributes that were asked for;
// exists is the error for a username that is taken, which is found out before.
func (s *Service) preSignUp(ctx context.Context, p *pool, source, client string, u *user, values map[string]string,
	validation []cognitoidp.AttributeType, metadata map[string]string, exists error) (preSignUpResponse, error) {
	var verdict preSignUpResponse
	t := p.Settings.LambdaConfig
	if t == nil || !s.configures(t.PreSignUp) {
		return verdict, nil
	}
	if err := s.taken(ctx, s.DB, p, u, exists); err != nil {
		return verdict, err
	}
	var data map[string]string
	for _, a := range validation {
		if data == nil {
			data = map[string]string{}
		}
		data[deref(a.Name)] = deref(a.Value)
	}
	if values == nil {
		values = map[string]string{}
	}
	err := s.call(ctx, p, occasion{trigger: triggerPreSignUp, source: source, function: t.PreSignUp, client: client, userName: u.Username},
		preSignUpRequest{values, data, metadata}, preSignUpResponse{}, &verdict)
	return verdict, err
}

// accept makes of a user who signs up what PreSignUp decided.
func (v preSignUpResponse) accept(u *user) error {
	for attr, verify := range map[string]bool{attrEmail: v.AutoVerifyEmail, attrPhone: v.AutoVerifyPhone} {
		if !verify {
			continue
		}
		if u.attributes()[attr] == "" {
			return errNothingToVerify(attr)
		}
		u.set(attr+"_verified", "true")
	}
	if v.AutoConfirmUser {
		u.Status = cognitoidp.UserStatusTypeConfirmed
	}
	return nil
}

type postConfirmationRequest struct {
	UserAttributes map[string]string `json:"userAttributes"`
	ClientMetadata map[string]string `json:"clientMetadata,omitempty"`
}

// Sources of PostConfirmation.
const (
	confirmSignUp         = "ConfirmSignUp"
	confirmForgotPassword = "ConfirmForgotPassword"
)

// postConfirmation tells PostConfirmation of a user who has been confirmed. Its error is the caller's; the user stays
// confirmed.
func (s *Service) postConfirmation(ctx context.Context, p *pool, source, client string, u *user, metadata map[string]string) error {
	t := p.Settings.LambdaConfig
	if t == nil || !s.configures(t.PostConfirmation) {
		return nil
	}
	return s.call(ctx, p, occasion{trigger: triggerPostConfirmation, source: source, function: t.PostConfirmation, client: client, userName: u.Username},
		postConfirmationRequest{u.eventAttributes(), metadata}, struct{}{}, &struct{}{})
}

type preAuthenticationRequest struct {
	UserAttributes map[string]string `json:"userAttributes"`
	ValidationData map[string]string `json:"validationData"`
	UserNotFound   *bool             `json:"userNotFound,omitempty"`
}

// preAuthentication asks PreAuthentication whether the user may try to sign in.
func (a *signIn) preAuthentication(ctx context.Context) error {
	t := a.pool.Settings.LambdaConfig
	if t == nil || !a.configures(t.PreAuthentication) {
		return nil
	}
	return a.call(ctx, a.pool, occasion{trigger: triggerPreAuthentication, source: "Authentication", function: t.PreAuthentication, client: a.client.ID, userName: a.user.Username},
		preAuthenticationRequest{a.user.eventAttributes(), a.validation, a.client.notFound(a.user)}, struct{}{}, &struct{}{})
}

type postAuthenticationRequest struct {
	UserAttributes map[string]string `json:"userAttributes"`
	NewDeviceUsed  bool              `json:"newDeviceUsed"`
	ClientMetadata map[string]string `json:"clientMetadata,omitempty"`
}

// postAuthentication tells PostAuthentication of a user who has proven everything. newDevice says that the pool
// tracks devices and does not know this one. Its error is in the way of the tokens.
func (a *signIn) postAuthentication(ctx context.Context, newDevice bool) error {
	t := a.pool.Settings.LambdaConfig
	if t == nil || !a.configures(t.PostAuthentication) {
		return nil
	}
	if err := a.call(ctx, a.pool, occasion{trigger: triggerPostAuthentication, source: "Authentication", function: t.PostAuthentication, client: a.client.ID, userName: a.user.Username},
		postAuthenticationRequest{UserAttributes: a.user.eventAttributes(), NewDeviceUsed: newDevice, ClientMetadata: a.metadata}, struct{}{}, &struct{}{}); err != nil {
		return err
	}
	return a.again(ctx)
}

// again reads the user once more after a trigger that may have changed him, or taken its time.
func (a *signIn) again(ctx context.Context) error {
	u, err := a.userBySub(ctx, a.DB, a.pool, a.user.Sub)
	if err != nil {
		return err
	}
	switch {
	case !u.Enabled:
		return errUserDisabled
	case u.PasswordSet != a.user.PasswordSet:
		return errWrongPassword
	}
	a.user = u
	return nil
}
