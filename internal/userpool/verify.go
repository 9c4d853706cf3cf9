package userpool

import (
	"context"
	"maps"
	"slices"

	"usher/internal/api/cognitoidp"
	"usher/internal/db"
)

// GetUser returns the signed-in user's attributes that the client may read.
func (s *Service) GetUser(ctx context.Context, in *cognitoidp.GetUserRequest) (*cognitoidp.GetUserResponse, error) {
	b := bearerFrom(ctx)
	out := &cognitoidp.GetUserResponse{Username: &b.user.Username, UserAttributes: []cognitoidp.AttributeType{{Name: new(attrSub), Value: &b.user.Sub}},
		MFAOptions: b.user.mfa().options(), PreferredMfaSetting: b.user.mfa().preferred(), UserMFASettingList: b.user.mfa().Enabled}
	for _, name := range slices.Sorted(maps.Keys(b.user.attributes())) {
		if b.client.readable(name) {
			out.UserAttributes = append(out.UserAttributes, cognitoidp.AttributeType{Name: new(name), Value: new(b.user.attributes()[name])})
		}
	}
	if identities := b.user.identitiesText(); identities != "" && b.client.readable(attrIdentities) {
		out.UserAttributes = append(out.UserAttributes, cognitoidp.AttributeType{Name: new(attrIdentities), Value: &identities})
	}
	return out, nil
}

// DeleteUser deletes the signed-in user.
func (s *Service) DeleteUser(ctx context.Context, in *cognitoidp.DeleteUserRequest) error {
	b := bearerFrom(ctx)
	return s.DB.Tx(ctx, func(tx *db.Tx) error {
		u, err := s.userBySub(ctx, tx, b.pool, b.user.Sub)
		if err != nil {
			return err
		}
		return s.deleteUser(ctx, tx, u)
	})
}

// UpdateUserAttributes changes attributes of the signed-in user. A new e-mail address or phone number is unverified; where
// the pool verifies such values before use, the old one stays until the code has come back.
func (s *Service) UpdateUserAttributes(ctx context.Context, in *cognitoidp.UpdateUserAttributesRequest) (*cognitoidp.UpdateUserAttributesResponse, error) {
	b := bearerFrom(ctx)
	sent, err := s.updateAttributes(ctx, b.pool, b.client, b.user, in.UserAttributes, in.ClientMetadata)
	return &cognitoidp.UpdateUserAttributesResponse{CodeDeliveryDetailsList: sent}, err
}

// startVerification sends a code to the user's e-mail address or phone number: to the value that waits to be verified, if
// there is one.
func (s *Service) startVerification(ctx context.Context, tx *db.Tx, p *pool, u *user, attribute string, w wording) (*cognitoidp.CodeDeliveryDetailsType, error) {
	to := delivery{attribute, u.Doc.V.Pending[attribute]}
	if to.target == "" {
		to.target = u.attributes()[attribute]
	}
	if to.target == "" {
		return nil, errCodeNoValue
	}
	kind := verification(attribute)
	if err := s.spend(ctx, tx, p, u.Sub, kind.send); err != nil {
		return nil, err
	}
	return to.details(), s.sendNewCode(ctx, tx, p, u, kind, to, w)
}

// DeleteUserAttributes removes attributes of the signed-in user.
func (s *Service) DeleteUserAttributes(ctx context.Context, in *cognitoidp.DeleteUserAttributesRequest) (*cognitoidp.DeleteUserAttributesResponse, error) {
	b := bearerFrom(ctx)
	_, err := s.updateFound(ctx, b.pool, b.user, func(_ *db.Tx, u *user) error {
		return b.pool.deleteAttributes(u, in.UserAttributeNames, b.client)
	})
	return nil, err
}

// GetUserAttributeVerificationCode sends the signed-in user a code that verifies his e-mail address or phone number.
func (s *Service) GetUserAttributeVerificationCode(ctx context.Context, in *cognitoidp.GetUserAttributeVerificationCodeRequest) (*cognitoidp.GetUserAttributeVerificationCodeResponse, error) {
	b := bearerFrom(ctx)
	name := *in.AttributeName
	if name != attrEmail && name != attrPhone {
		return nil, errCodeAttribute
	}
	var w wording
	if b.user.attributes()[name] != "" || b.user.Doc.V.Pending[name] != "" {
		if err := s.askWords(ctx, b.pool, messageVerifyAttribute, b.client.ID, b.user, verification(name).send, &w, in.ClientMetadata); err != nil {
			return nil, err
		}
	}
	out := &cognitoidp.GetUserAttributeVerificationCodeResponse{}
	err := s.DB.Tx(ctx, func(tx *db.Tx) (err error) {
		out.CodeDeliveryDetails, err = s.startVerification(ctx, tx, b.pool, b.user, name, w)
		return err
	})
	return out, err
}

// VerifyUserAttribute takes the code back: the address that it went to is verified, and used from now on if it was pending.
// The address ceases to be another user's name to sign in with.
func (s *Service) VerifyUserAttribute(ctx context.Context, in *cognitoidp.VerifyUserAttributeRequest) (*cognitoidp.VerifyUserAttributeResponse, error) {
	b := bearerFrom(ctx)
	name := *in.AttributeName
	if name != attrEmail && name != attrPhone {
		return nil, errCodeAttribute
	}
	var refusal error
	err := s.DB.Tx(ctx, func(tx *db.Tx) error {
		u, err := s.userBySub(ctx, tx, b.pool, b.user.Sub)
		if err != nil {
			return err
		}
		var from delivery
		from, refusal, err = s.takeCode(ctx, tx, b.pool, u.Sub, verification(name), *in.Code)
		if err != nil || refusal != nil {
			return err
		}
		if from.target != u.attributes()[name] && from.target != u.Doc.V.Pending[name] {
			refusal = errCodeExpired // the address has changed since the code was sent
			return nil
		}
		delete(u.Doc.V.Pending, name)
		u.set(name, from.target)
		u.set(name+"_verified", "true")
		u.MoveAliases = true
		return s.saveUser(ctx, tx, b.pool, u)
	})
	if err == nil {
		err = refusal
	}
	return nil, err
}
