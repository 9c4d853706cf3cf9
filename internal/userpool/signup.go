package userpool

import (
	"context"
	"errors"
	"maps"
	"time"

	"usher/internal/api/cognitoidp"
	"usher/internal/awsapi"
	"usher/internal/db"
)

// SignUp makes an unconfirmed user and sends the code that will confirm him. He needs no password where he can sign in by
// codes. User, code and message are one transaction.
func (s *Service) SignUp(ctx context.Context, in *cognitoidp.SignUpRequest) (*cognitoidp.SignUpResponse, error) {
	c, p, err := s.client(ctx, *in.ClientId)
	if err != nil {
		return nil, err
	}
	if err := c.checkSecretHash(in.SecretHash, *in.Username); err != nil {
		return nil, err
	}
	if a := p.Settings.AdminCreateUserConfig; a != nil && deref(a.AllowAdminCreateUserOnly) {
		return nil, errSignUpNotPermitted
	}
	values, err := p.readAttributes(in.UserAttributes, c, nil)
	if err != nil {
		return nil, err
	}
	username, sub, err := p.nameUser(*in.Username, values)
	if err != nil {
		return nil, err
	}
	if in.Password == nil {
		if !p.signsInByCode(values) {
			return nil, errMissingParameter("Password")
		}
	} else if err := p.checkPassword(*in.Password); err != nil {
		return nil, err
	}
	if err := p.checkRequired(values); err != nil {
		return nil, err
	}
	if values[attrPreferredUsername] != "" && p.isAlias(attrPreferredUsername) {
		return nil, errPreferredTooEarly
	}
	asked := maps.Clone(values)
	for _, attr := range []string{attrEmail, attrPhone} {
		if values[attr] != "" {
			values[attr+"_verified"] = "false"
		}
	}
	u := p.newUser(username, sub, cognitoidp.UserStatusTypeUnconfirmed, values, s.now())
	verdict, err := s.preSignUp(ctx, p, "SignUp", c.ID, u, asked, in.ValidationData, in.ClientMetadata, errSignUpExists)
	if err != nil {
		return nil, err
	}
	if err := verdict.accept(u); err != nil {
		return nil, err
	}
	if in.Password != nil {
		stored, err := s.newPassword(ctx, p, u, *in.Password) // before the transaction: it takes a while
		if err != nil {
			return nil, err
		}
		u.setPassword(stored, u.Created)
	}
	to, sends := p.confirmationDelivery(u)
	sends = sends && !verdict.AutoConfirmUser
	w := p.signUpWording(c, to)
	if sends && s.customizes(p) {
		if err := s.taken(ctx, s.DB, p, u, errSignUpExists); err != nil {
			return nil, err
		}
		if err := s.askWords(ctx, p, messageSignUp, c.ID, u, codeSignUp.send, &w, in.ClientMetadata); err != nil {
			return nil, err
		}
	}
	err = s.DB.Tx(ctx, func(tx *db.Tx) error {
		if err := s.insertUser(ctx, tx, p, u, errSignUpExists); err != nil {
			return err
		}
		if !sends {
			return nil
		}
		return s.sendNewCode(ctx, tx, p, u, codeSignUp, to, w)
	})
	if taken, ok := errors.AsType[*awsapi.Error](err); ok && errors.Is(err, cognitoidp.ErrAliasExists) {
		err = cognitoidp.ErrUsernameExists.Msg("%s", taken.Message) // this operation has no AliasExistsException
	}
	if err != nil {
		return nil, err
	}
	if verdict.AutoConfirmUser {
		if err := s.postConfirmation(ctx, p, confirmSignUp, c.ID, u, in.ClientMetadata); err != nil {
			return nil, err
		}
	}
	out := &cognitoidp.SignUpResponse{UserConfirmed: new(verdict.AutoConfirmUser), UserSub: &u.Sub}
	if sends {
		out.CodeDeliveryDetails = to.details()
		out.Session = s.signUpSession(p, c, sessionSignUp, u, to)
	}
	return out, nil
}

// confirmationDelivery is where the code that confirms u goes: an auto-verified attribute that he has, the phone before the
// e-mail address.
func (p *pool) confirmationDelivery(u *user) (delivery, bool) {
	for _, attribute := range []string{attrPhone, attrEmail} {
		if value := u.attributes()[attribute]; value != "" && p.autoVerifies(attribute) {
			return delivery{attribute, value}, true
		}
	}
	return delivery{}, false
}

// sendNewCode makes a code and puts the message with it in the outbox: for an invented user one that is not sent.
func (s *Service) sendNewCode(ctx context.Context, tx *db.Tx, p *pool, u *user, kind codeKind, to delivery, w wording) error {
	code, err := s.newCode(ctx, tx, p, u.Sub, kind, to)
	if err != nil {
		return err
	}
	return s.sendCode(ctx, tx, p, u, kind, to, code, w)
}

// ConfirmSignUp confirms a user with the code that SignUp sent, and marks the address it went to as verified.
func (s *Service) ConfirmSignUp(ctx context.Context, in *cognitoidp.ConfirmSignUpRequest) (*cognitoidp.ConfirmSignUpResponse, error) {
	defer evenly(ctx, time.Now())
	c, p, err := s.client(ctx, *in.ClientId)
	if err != nil {
		return nil, err
	}
	begun, err := s.openSignUpSession(p, c, in.Session)
	if err != nil {
		return nil, err
	}
	confirmed, proven, err := s.confirmSignUp(ctx, p, c, *in.ConfirmationCode, deref(in.ForceAliasCreation), func(tx *db.Tx) (u, fake *user, err error) {
		return s.requested(ctx, tx, p, c, *in.Username, in.SecretHash, errNoSuchCombination)
	})
	if err != nil {
		return nil, err
	}
	if err := s.postConfirmation(ctx, p, confirmSignUp, c.ID, confirmed, in.ClientMetadata); err != nil {
		return nil, err
	}
	out := &cognitoidp.ConfirmSignUpResponse{}
	if in.Session == nil || begun.Sub == confirmed.Sub { // aws-amplify sends none
		out.Session = s.signUpSession(p, c, sessionConfirmed, confirmed, proven)
	}
	return out, nil
}

// confirmSignUp confirms the user whom find finds, or not the invented one who stands for him, with the code that he was sent, and marks the address it went to as verified.
func (s *Service) confirmSignUp(ctx context.Context, p *pool, c *client, code string, force bool, find func(*db.Tx) (u, fake *user, err error)) (confirmed *user, proven delivery, err error) {
	var refusal error
	err = s.DB.Tx(ctx, func(tx *db.Tx) error {
		u, fake, err := find(tx)
		if err != nil {
			return err
		}
		if _, sends := p.confirmationDelivery(u); c.hidesUsers() && (u.Status != cognitoidp.UserStatusTypeUnconfirmed || !sends) {
			u = fake
		} else if u.Status != cognitoidp.UserStatusTypeUnconfirmed {
			return errNotUnconfirmed(u.Status)
		}
		var from delivery
		from, refusal, err = s.takeCode(ctx, tx, p, u.Sub, codeSignUp, code)
		if err != nil || refusal != nil {
			return err
		}
		if u.invented() {
			return errCodeMismatch // guessed a code that was never sent
		}
		u.Status = cognitoidp.UserStatusTypeConfirmed
		if u.attributes()[from.attribute] == from.target {
			u.set(from.attribute+"_verified", "true")
		}
		u.MoveAliases = force
		confirmed, proven = u, from
		return s.saveUser(ctx, tx, p, u)
	})
	if err == nil {
		err = refusal
	}
	return confirmed, proven, err
}

// ResendConfirmationCode sends a new code to an unconfirmed user.
func (s *Service) ResendConfirmationCode(ctx context.Context, in *cognitoidp.ResendConfirmationCodeRequest) (*cognitoidp.ResendConfirmationCodeResponse, error) {
	defer evenly(ctx, time.Now())
	c, p, err := s.client(ctx, *in.ClientId)
	if err != nil {
		return nil, err
	}
	if len(p.Settings.AutoVerifiedAttributes) == 0 {
		return nil, errNoAutoVerification
	}
	find := func(q db.Querier) (*user, delivery, error) {
		u, fake, err := s.requested(ctx, q, p, c, *in.Username, in.SecretHash, errNoSuchCombination)
		if err != nil {
			return nil, delivery{}, err
		}
		to, sends := p.confirmationDelivery(u)
		unsent := p.unsentDelivery(u, *in.Username)
		switch {
		case u.Status == cognitoidp.UserStatusTypeUnconfirmed && sends && (u.Enabled || !c.hidesUsers()):
			return u, to, nil
		case c.hidesUsers():
			return fake, unsent, nil
		case u.Status != cognitoidp.UserStatusTypeUnconfirmed:
			return nil, to, errAlreadyConfirmed
		}
		return nil, to, errNoAutoVerification
	}
	var w wording
	if s.customizes(p) {
		u, to, err := find(s.DB)
		if err != nil {
			return nil, err
		}
		w = p.signUpWording(c, to)
		if err := s.askWordsUnseen(ctx, p, messageResend, c, u, codeSignUp.send, &w, in.ClientMetadata); err != nil {
			return nil, err
		}
	}
	var to delivery
	err = s.DB.Tx(ctx, func(tx *db.Tx) error {
		var u *user
		var err error
		if u, to, err = find(tx); err != nil {
			return err
		}
		if err := s.spend(ctx, tx, p, u.Sub, codeSignUp.send); err != nil {
			return err
		}
		w.linkClient = p.signUpWording(c, to).linkClient
		return s.sendNewCode(ctx, tx, p, u, codeSignUp, to, w)
	})
	if err != nil {
		return nil, err
	}
	return &cognitoidp.ResendConfirmationCodeResponse{CodeDeliveryDetails: to.details()}, nil
}
