package userpool

import (
	"context"
	"errors"
	"slices"
	"time"

	"usher/internal/api/cognitoidp"
	"usher/internal/db"
)

// ForgotPassword sends a code with which a user sets a new password.
func (s *Service) ForgotPassword(ctx context.Context, in *cognitoidp.ForgotPasswordRequest) (*cognitoidp.ForgotPasswordResponse, error) {
	defer evenly(ctx, time.Now())
	c, p, err := s.client(ctx, *in.ClientId)
	if err != nil {
		return nil, err
	}
	brought, err := s.bringForgetful(ctx, p, c, in)
	if err != nil {
		return nil, err
	}
	find := func(q db.Querier) (*user, delivery, error) {
		u, fake, err := s.requested(ctx, q, p, c, *in.Username, in.SecretHash, errNoSuchCombination)
		if brought != nil && (err == error(errNoSuchCombination) || err == nil && u.invented()) {
			u, err = brought.user, nil
		}
		if err != nil {
			return nil, delivery{}, err
		}
		to, err := p.recoveryDelivery(u)
		if err == nil && !u.Enabled {
			err = errUserDisabled
		}
		unsent := p.unsentDelivery(u, *in.Username)
		if c.hidesUsers() && (err != nil || u.invented()) {
			if p.adminRecoversOnly() {
				return nil, to, errContactAdministrator // whoever the user is
			}
			return fake, unsent, nil
		}
		return u, to, err
	}
	var w wording
	if s.customizes(p) {
		u, _, err := find(s.DB)
		if err != nil {
			return nil, err
		}
		if err := s.askWordsUnseen(ctx, p, messageForgotPassword, c, u, codeForgotPassword.send, &w, in.ClientMetadata); err != nil {
			return nil, err
		}
	}
	var to delivery
	send := func(tx *db.Tx) error {
		var u *user
		var err error
		if u, to, err = find(tx); err != nil {
			return err
		}
		if brought != nil && u == brought.user {
			if err := s.insertMigrant(ctx, tx, p, brought); err != nil {
				return err
			}
		}
		if err := s.spend(ctx, tx, p, u.Sub, codeForgotPassword.send); err != nil {
			return err
		}
		return s.sendNewCode(ctx, tx, p, u, codeForgotPassword, to, w)
	}
	err = s.DB.Tx(ctx, send)
	if errors.Is(err, cognitoidp.ErrUsernameExists) || errors.Is(err, cognitoidp.ErrAliasExists) {
		// Somebody else has brought the user meanwhile, or he cannot be stored.
		failed := migrationFailed(err)
		brought = nil
		if err = s.DB.Tx(ctx, send); err == error(errNoSuchCombination) {
			err = failed
		}
	}
	if err != nil {
		return nil, err
	}
	return &cognitoidp.ForgotPasswordResponse{CodeDeliveryDetails: to.details()}, nil
}

// recoveryDelivery is where the code goes with which u recovers his account: the first verified address in the order of
// the pool's AccountRecoverySetting, or else the verified phone before the verified e-mail address.
func (p *pool) recoveryDelivery(u *user) (delivery, error) {
	if p.adminRecoversOnly() {
		return delivery{}, errContactAdministrator
	}
	switch u.Status {
	case cognitoidp.UserStatusTypeForceChangePassword, cognitoidp.UserStatusTypeExternalProvider:
		return delivery{}, errCannotResetNow
	}
	order := p.recoveryOrder()
	if order == nil {
		order = []string{attrPhone, attrEmail}
	} else if p.mfaMode() != cognitoidp.UserPoolMfaTypeOff {
		// Where the second factor goes, the way around the first must not go too.
		order = slices.DeleteFunc(order, func(attr string) bool {
			return slices.ContainsFunc(u.mfa().Enabled, func(f string) bool { return addressOf(f) == attr })
		})
	}
	for _, attribute := range order {
		if value := u.attributes()[attribute]; value != "" && u.verified(attribute) {
			return delivery{attribute, value}, nil
		}
	}
	return delivery{}, errNoResetDestination
}

// recoveryOrder is the attributes of AccountRecoverySetting, the first one first; nil if the pool does not have it.
func (p *pool) recoveryOrder() (order []string) {
	if r := p.Settings.AccountRecoverySetting; r != nil && len(r.RecoveryMechanisms) > 0 {
		mechanisms := slices.SortedFunc(slices.Values(r.RecoveryMechanisms), func(a, b cognitoidp.RecoveryOptionType) int { return int(*a.Priority - *b.Priority) })
		order = []string{}
		for _, m := range mechanisms {
			switch *m.Name {
			case cognitoidp.RecoveryOptionNameTypeVerifiedEmail:
				order = append(order, attrEmail)
			case cognitoidp.RecoveryOptionNameTypeVerifiedPhoneNumber:
				order = append(order, attrPhone)
			}
		}
	}
	return order
}

// adminRecoversOnly reports whether users of the pool cannot recover their accounts themselves.
func (p *pool) adminRecoversOnly() bool {
	r := p.Settings.AccountRecoverySetting
	return r != nil && slices.ContainsFunc(r.RecoveryMechanisms, func(m cognitoidp.RecoveryOptionType) bool {
		return *m.Name == cognitoidp.RecoveryOptionNameTypeAdminOnly
	})
}

// ConfirmForgotPassword sets a new password with the code that ForgotPassword sent.
func (s *Service) ConfirmForgotPassword(ctx context.Context, in *cognitoidp.ConfirmForgotPasswordRequest) (*cognitoidp.ConfirmForgotPasswordResponse, error) {
	defer evenly(ctx, time.Now())
	c, p, err := s.client(ctx, *in.ClientId)
	if err != nil {
		return nil, err
	}
	if err := p.checkPassword(*in.Password); err != nil {
		return nil, err
	}
	found, fake, err := s.requested(ctx, s.DB, p, c, *in.Username, in.SecretHash, errNoSuchCombination)
	if err != nil {
		return nil, err
	}
	_, err = p.recoveryDelivery(found)
	if c.hidesUsers() && (err != nil || !found.Enabled) {
		found = fake
	} else if !found.Enabled {
		return nil, errUserDisabled
	}
	// The password is worked on before the transaction, since that takes a while, but only for the right code: the history of
	// passwords is not for everybody to try.
	right, err := s.isCode(ctx, p, found.Sub, codeForgotPassword, *in.ConfirmationCode)
	if err != nil {
		return nil, err
	}
	var stored password
	if right && !found.invented() {
		if stored, err = s.newPassword(ctx, p, found, *in.Password); err != nil {
			return nil, err
		}
	}
	var refusal error
	var confirmed *user
	err = s.DB.Tx(ctx, func(tx *db.Tx) error {
		var err error
		_, refusal, err = s.takeCode(ctx, tx, p, found.Sub, codeForgotPassword, *in.ConfirmationCode)
		if err != nil || refusal != nil {
			return err
		}
		if found.invented() || !right {
			return errCodeMismatch // guessed a code that was never sent, or has just been sent
		}
		u, err := s.userBySub(ctx, tx, p, found.Sub)
		if err != nil {
			return err
		}
		switch u.Status {
		case cognitoidp.UserStatusTypeForceChangePassword, cognitoidp.UserStatusTypeExternalProvider:
			return errCannotResetNow
		}
		u.Status = cognitoidp.UserStatusTypeConfirmed
		u.setPassword(stored, s.now())
		confirmed = u
		return s.saveUser(ctx, tx, p, u)
	})
	if err == nil {
		err = refusal
	}
	if err != nil {
		return nil, err
	}
	return nil, s.postConfirmation(ctx, p, confirmForgotPassword, c.ID, confirmed, in.ClientMetadata)
}

// AdminResetUserPassword makes a user set a new password by ConfirmForgotPassword before the next sign-in, and sends the
// code for it.
func (s *Service) AdminResetUserPassword(ctx context.Context, in *cognitoidp.AdminResetUserPasswordRequest) (*cognitoidp.AdminResetUserPasswordResponse, error) {
	p, found, err := s.adminUser(ctx, in.UserPoolId, in.Username)
	if err != nil {
		return nil, err
	}
	destination := func(u *user) (delivery, error) {
		switch u.Status {
		case cognitoidp.UserStatusTypeConfirmed, cognitoidp.UserStatusTypeResetRequired:
			return p.recoveryDelivery(u)
		}
		return delivery{}, errCannotResetNow
	}
	if _, err := destination(found); err != nil {
		return nil, err
	}
	var w wording
	if err := s.askWords(ctx, p, messageForgotPassword, noClient, found, unlimited, &w, in.ClientMetadata); err != nil {
		return nil, err
	}
	_, err = s.updateFound(ctx, p, found, func(tx *db.Tx, u *user) error {
		to, err := destination(u)
		if err != nil {
			return err
		}
		u.Status = cognitoidp.UserStatusTypeResetRequired
		return s.sendNewCode(ctx, tx, p, u, codeForgotPassword, to, w)
	})
	return nil, err
}

// ChangePassword sets a new password for a signed-in user who knows the old one. Tokens stay valid.
func (s *Service) ChangePassword(ctx context.Context, in *cognitoidp.ChangePasswordRequest) (*cognitoidp.ChangePasswordResponse, error) {
	b := bearerFrom(ctx)
	p, u := b.pool, b.user
	if err := p.checkPassword(*in.ProposedPassword); err != nil {
		return nil, err
	}
	if in.PreviousPassword == nil && u.hasPassword() {
		return nil, errMissingParameter("PreviousPassword")
	}
	// Every attempt counts, before it is checked: the token may be stolen.
	if err := s.DB.Tx(ctx, func(tx *db.Tx) error { return s.spend(ctx, tx, p, u.Sub, changesOfPassword) }); err != nil {
		return nil, err
	}
	if u.hasPassword() {
		if ok, err := s.isUserPassword(ctx, p, u, *in.PreviousPassword); err != nil {
			return nil, err
		} else if !ok {
			return nil, errWrongPassword
		}
	}
	stored, err := s.newPassword(ctx, p, u, *in.ProposedPassword)
	if err != nil {
		return nil, err
	}
	proven := u.PasswordSet
	_, err = s.updateFound(ctx, p, u, func(_ *db.Tx, u *user) error {
		if u.PasswordSet != proven {
			return errWrongPassword // somebody else has changed it meanwhile
		}
		u.setPassword(stored, s.now())
		return nil
	})
	return nil, err
}
