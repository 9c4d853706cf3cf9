package userpool

import (
	"context"
	"errors"
	"slices"
	"strings"

	"usher/internal/api/cognitoidp"
	"usher/internal/awsapi"
	"usher/internal/db"
)

// findUser returns the user whom a name means: a username, an alias, or a sub. One statement.
func (s *Service) findUser(ctx context.Context, q db.Querier, p *pool, name string) (*user, error) {
	if strings.Contains(name, "\x00") {
		return nil, errUserNotFound // PostgreSQL refuses to compare with it
	}
	query, args := p.userByName(name)
	row, err := db.One[userRow](ctx, q, query, args...)
	if errors.Is(err, db.ErrNotFound) {
		return nil, errUserNotFound
	} else if err != nil {
		return nil, err
	}
	return p.user(row), nil
}

// userByName is the statement that reads the user whom a name means.
func (p *pool) userByName(name string) (query string, args []any) {
	key := p.key(name)
	query = `SELECT ` + userColumns + ` FROM users u WHERE u.pool_id = $1 AND u.username_key = $2`
	args = []any{p.ID, key}
	kind, bySub := p.aliasKind(name), isUUID(name)
	if kind != "" || bySub {
		query = `SELECT ` + userColumns + ` FROM users u WHERE u.pool_id = $1 AND u.username_key IN (SELECT CAST($2 AS TEXT)`
		if kind != "" {
			query += ` UNION ALL SELECT a.username_key FROM user_aliases a WHERE a.pool_id = $1 AND a.kind = $3 AND a.value_key = $2`
			args = append(args, kind)
		}
		if bySub {
			query += ` UNION ALL SELECT v.username_key FROM users v WHERE v.pool_id = $1 AND v.sub = $2`
		}
		query += `) ORDER BY CASE WHEN u.username_key = $2 THEN 0 ELSE 1 END LIMIT 1`
	}
	return query, args
}

// user returns a row as a user.
func (p *pool) user(row userRow) *user {
	u := &user{userRow: row}
	u.aliases, u.searched = p.aliasesOf(u), p.searchable(u)
	u.recoverable = p.takesRecoveryCodes() && p.hasSecondFactor(u)
	return u
}

// isUUID reports whether a name has the form of a sub.
func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
				return false
			}
		}
	}
	return true
}

// newUser returns a user who is not stored yet. now is in microseconds.
func (p *pool) newUser(username, sub, status string, values map[string]string, now int64) *user {
	u := &user{userRow: userRow{
		PoolID: p.ID, Key: p.key(username), Username: username, Sub: sub,
		Status: status, Enabled: true, Created: now, Modified: now,
	}}
	for name, value := range values {
		u.set(name, value)
	}
	return u
}

// insertUser stores a new user with his aliases. If the username is taken, the error is exists.
func (s *Service) insertUser(ctx context.Context, tx *db.Tx, p *pool, u *user, exists *awsapi.Error) error {
	if p.isAlias(attrPreferredUsername) {
		held, err := hasRow(ctx, tx, `SELECT 1 FROM user_aliases WHERE pool_id = $1 AND kind = $2 AND value_key = $3`,
			p.ID, attrPreferredUsername, u.Key)
		if err != nil {
			return err
		}
		if held {
			return exists
		}
	}
	u.Rev = 0
	res, err := tx.ExecContext(ctx, `INSERT INTO users (pool_id, username_key, username, sub, status, enabled, created, modified, rev,
			tokens_after, failures, failed_at, salt, verifier, password_set, doc,
			email, phone_number, preferred_username, name, given_name, family_name)
		SELECT $1, $2, $3, $4, $5, $6, $7, $8, 1, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21
		WHERE NOT EXISTS (SELECT 1 FROM user_pool_epochs WHERE pool_id = $1 AND epoch > $22)
		ON CONFLICT (pool_id, username_key) DO NOTHING`,
		append(append([]any{u.PoolID, u.Key, u.Username, u.Sub, u.Status, u.Enabled, u.Created, u.Modified,
			u.TokensAfter, u.Failures, u.FailedAt, u.Salt, u.Verifier, u.PasswordSet, u.Doc}, columns(p.searchable(u))...), p.epoch)...)
	if err := db.Changed(res, err); errors.Is(err, db.ErrConflict) {
		return p.changedOr(ctx, tx, exists)
	} else if err != nil {
		return err
	}
	u.aliases = nil
	if err := s.saveAliases(ctx, tx, p, u); err != nil {
		return err
	}
	u.searched = p.searchable(u)
	u.Rev = 1
	return nil
}

// searchable returns the attributes that ListUsers finds users by, in the order of their columns.
func (p *pool) searchable(u *user) (values searchable) {
	for i, attr := range [...]string{attrEmail, attrPhone, attrPreferredUsername, "name", "given_name", "family_name"} {
		values[i] = p.searchKey(attr, u.attributes()[attr])
	}
	return values
}

// searchable is the values of the attributes that ListUsers finds users by; "" is none.
type searchable [6]string

func columns(values searchable) []any {
	args := make([]any, len(values))
	for i, value := range values {
		if value != "" {
			args[i] = value
		}
	}
	return args
}

// searchKey returns what ListUsers compares the value of an attribute by.
func (p *pool) searchKey(attr, value string) string {
	switch attr {
	case attrEmail, attrPreferredUsername, "username":
		return p.key(value)
	}
	return value
}

// updateUser changes the user with that key: change edits him, and what it wrote is stored. It may run more than once, so
// it must have no other effect. Every change counts for UserLastModifiedDate.
func (s *Service) updateUser(ctx context.Context, p *pool, key string, change func(tx *db.Tx, u *user) error) (*user, error) {
	var u *user
	err := s.DB.Tx(ctx, func(tx *db.Tx) error {
		row, err := db.One[userRow](ctx, tx, `SELECT `+userColumns+` FROM users u WHERE u.pool_id = $1 AND u.username_key = $2`, p.ID, key)
		if errors.Is(err, db.ErrNotFound) {
			return errUserNotFound
		} else if err != nil {
			return err
		}
		u = p.user(row)
		if err := change(tx, u); err != nil {
			return err
		}
		return s.saveUser(ctx, tx, p, u)
	})
	if err != nil {
		return nil, err
	}
	return u, nil
}

// saveUser stores a user whom the transaction has read and changed, with his aliases.
func (s *Service) saveUser(ctx context.Context, tx *db.Tx, p *pool, u *user) error {
	if err := s.saveAliases(ctx, tx, p, u); err != nil {
		return err
	}
	return s.saveRow(ctx, tx, p, u)
}

// saveRow stores a user without his aliases. What ListUsers searches is written only when it changes: SQLite would renew the
// entries of its indexes for the same values, too.
func (s *Service) saveRow(ctx context.Context, tx *db.Tx, p *pool, u *user) error {
	u.Modified = s.now()
	set := `status = $4, enabled = $5, modified = $6, rev = rev + 1, tokens_after = $7,
		failures = $8, failed_at = $9, salt = $10, verifier = $11, password_set = $12, doc = $13`
	args := []any{u.PoolID, u.Key, u.Rev, u.Status, u.Enabled, u.Modified, u.TokensAfter,
		u.Failures, u.FailedAt, u.Salt, u.Verifier, u.PasswordSet, u.Doc, p.epoch}
	values := p.searchable(u)
	if values != u.searched {
		set += `, email = $15, phone_number = $16, preferred_username = $17, name = $18, given_name = $19, family_name = $20`
		args = append(args, columns(values)...)
	}
	err := db.Changed(tx.ExecContext(ctx, `UPDATE users SET `+set+` WHERE pool_id = $1 AND username_key = $2 AND rev = $3
		AND NOT EXISTS (SELECT 1 FROM user_pool_epochs WHERE pool_id = $1 AND epoch > $14)`, args...))
	if errors.Is(err, db.ErrConflict) {
		return p.changedOr(ctx, tx, err)
	} else if err != nil {
		return err
	}
	u.searched = values
	u.Rev++
	if u.recoverable && !p.hasSecondFactor(u) {
		u.recoverable = false
		return dropRecoveryCodes(ctx, tx, p, u.Sub)
	}
	return nil
}

// deleteUser deletes a user and all that is his.
func (s *Service) deleteUser(ctx context.Context, tx *db.Tx, u *user) error {
	if err := db.Changed(tx.ExecContext(ctx, `DELETE FROM users WHERE pool_id = $1 AND username_key = $2 AND sub = $3`,
		u.PoolID, u.Key, u.Sub)); err != nil {
		return err
	}
	if err := s.signedOut(ctx, tx, u.Sub, ""); err != nil {
		return err
	}
	for _, kind := range []string{attrEmail, attrPhone, attrPreferredUsername} {
		value, ok := u.aliases[kind]
		if !ok {
			continue
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM user_aliases WHERE pool_id = $1 AND kind = $2 AND value_key = $3 AND username_key = $4`,
			u.PoolID, kind, value, u.Key); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM user_group_members WHERE pool_id = $1 AND username_key = $2`, u.PoolID, u.Key); err != nil {
		return err
	}
	for _, table := range []string{"user_codes", "user_rates", "user_identities", "user_software_tokens", "user_devices", "user_recovery_codes", "user_passkeys"} {
		if _, err := tx.ExecContext(ctx, `DELETE FROM `+table+` WHERE pool_id = $1 AND sub = $2`, u.PoolID, u.Sub); err != nil {
			return err
		}
	}
	return nil
}

// hasRow reports whether a query returns a row of one number.
func hasRow(ctx context.Context, q db.Querier, query string, args ...any) (bool, error) {
	_, err := db.One[int64](ctx, q, query, args...)
	if errors.Is(err, db.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// now is the time in microseconds since 1970.
func (s *Service) now() int64 { return s.Now().UnixMicro() }

// adminUser returns the pool of the caller's account and the user whom an administrator names.
func (s *Service) adminUser(ctx context.Context, poolID, name *string) (*pool, *user, error) {
	p, err := s.ownPool(ctx, *poolID)
	if err != nil {
		return nil, nil, err
	}
	u, err := s.findUser(ctx, s.DB, p, *name)
	return p, u, err
}

// changeUser is updateUser for the user whom an administrator names.
func (s *Service) changeUser(ctx context.Context, poolID, name *string, change func(tx *db.Tx, p *pool, u *user) error) error {
	p, err := s.ownPool(ctx, *poolID)
	if err != nil {
		return err
	}
	return s.DB.Tx(ctx, func(tx *db.Tx) error {
		u, err := s.findUser(ctx, tx, p, *name)
		if err != nil {
			return err
		}
		if err := change(tx, p, u); err != nil {
			return err
		}
		return s.saveUser(ctx, tx, p, u)
	})
}

// AdminCreateUser creates a user with a temporary password, given or generated, and invites him; or invites again a user
// who has not signed in yet.
//
// A user who has neither e-mail address nor phone number can be created when the password is given, since then the
// administrator knows it. One who can sign in by codes, and for whom no password is given, has none and is confirmed.
func (s *Service) AdminCreateUser(ctx context.Context, in *cognitoidp.AdminCreateUserRequest) (*cognitoidp.AdminCreateUserResponse, error) {
	p, err := s.ownPool(ctx, *in.UserPoolId)
	if err != nil {
		return nil, err
	}
	if deref(in.MessageAction) == cognitoidp.MessageActionTypeResend {
		return s.inviteAgain(ctx, p, in)
	}
	values, err := p.readAttributes(in.UserAttributes, nil, nil)
	if err != nil {
		return nil, err
	}
	username, sub, err := p.nameUser(*in.Username, values)
	if err != nil {
		return nil, err
	}
	for _, attr := range []string{attrEmail, attrPhone} {
		if values[attr] == "" && values[attr+"_verified"] != "" {
			return nil, errNothingToVerify(attr)
		}
	}
	u := p.newUser(username, sub, cognitoidp.UserStatusTypeForceChangePassword, values, s.now())
	u.MoveAliases = deref(in.ForceAliasCreation)
	passwordless := in.TemporaryPassword == nil && p.signsInByCode(values)
	if passwordless {
		u.Status = cognitoidp.UserStatusTypeConfirmed
	}
	invite := in.MessageAction == nil
	var mediums []string
	if invite {
		if mediums, err = u.mediums(in.DesiredDeliveryMediums, in.TemporaryPassword != nil); err != nil {
			return nil, err
		}
	}
	if _, err := s.preSignUp(ctx, p, "AdminCreateUser", noClient, u, values, in.ValidationData, in.ClientMetadata, errAdminCreateExists); err != nil {
		return nil, err
	}
	var plain string
	if !passwordless {
		var stored password
		if plain, stored, err = s.temporaryPassword(ctx, p, u, in.TemporaryPassword); err != nil {
			return nil, err
		}
		u.setPassword(stored, u.Created)
	}
	w := wording{noPassword: passwordless}
	if len(mediums) > 0 && s.customizes(p) {
		if err := s.taken(ctx, s.DB, p, u, errAdminCreateExists); err != nil {
			return nil, err
		}
		if err := s.askWords(ctx, p, messageAdminCreate, noClient, u, unlimited, &w, in.ClientMetadata); err != nil {
			return nil, err
		}
	}
	err = s.DB.Tx(ctx, func(tx *db.Tx) error {
		if err := s.insertUser(ctx, tx, p, u, errAdminCreateExists); err != nil {
			return err
		}
		return s.invite(ctx, tx, p, u, plain, mediums, w)
	})
	if err != nil {
		return nil, err
	}
	return &cognitoidp.AdminCreateUserResponse{User: wireUser(p, u)}, nil
}

// inviteAgain gives a user who has not signed in yet a new temporary password and sends it.
func (s *Service) inviteAgain(ctx context.Context, p *pool, in *cognitoidp.AdminCreateUserRequest) (*cognitoidp.AdminCreateUserResponse, error) {
	found, err := s.findUser(ctx, s.DB, p, *in.Username)
	if err != nil {
		return nil, err
	}
	if !found.hasTemporaryPassword() {
		return nil, errResendNotPossible(found.Username)
	}
	mediums, err := found.mediums(in.DesiredDeliveryMediums, in.TemporaryPassword != nil)
	if err != nil {
		return nil, err
	}
	plain, stored, err := s.temporaryPassword(ctx, p, found, in.TemporaryPassword)
	if err != nil {
		return nil, err
	}
	var w wording
	if len(mediums) > 0 {
		if err := s.askWords(ctx, p, messageAdminCreate, noClient, found, unlimited, &w, in.ClientMetadata); err != nil {
			return nil, err
		}
	}
	u, err := s.updateUser(ctx, p, found.Key, func(tx *db.Tx, u *user) error {
		if u.Sub != found.Sub {
			return errUserNotFound
		}
		if !u.hasTemporaryPassword() {
			return errResendNotPossible(u.Username)
		}
		u.setPassword(stored, s.now())
		return s.invite(ctx, tx, p, u, plain, mediums, w)
	})
	if err != nil {
		return nil, err
	}
	return &cognitoidp.AdminCreateUserResponse{User: wireUser(p, u)}, nil
}

// mediums returns how a user is invited. Without a wish it is by SMS, or by e-mail when there is no phone number.
func (u *user) mediums(desired []string, passwordKnown bool) ([]string, error) {
	has := map[string]bool{
		cognitoidp.DeliveryMediumTypeSms:   u.attributes()[attrPhone] != "",
		cognitoidp.DeliveryMediumTypeEmail: u.attributes()[attrEmail] != "",
	}
	if len(desired) == 0 {
		switch {
		case has[cognitoidp.DeliveryMediumTypeSms]:
			return []string{cognitoidp.DeliveryMediumTypeSms}, nil
		case has[cognitoidp.DeliveryMediumTypeEmail]:
			return []string{cognitoidp.DeliveryMediumTypeEmail}, nil
		case passwordKnown:
			return nil, nil
		}
		return nil, errNoDestination
	}
	for _, medium := range desired {
		if !has[medium] {
			return nil, errNoDestination
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(desired))), nil
}

// temporaryPassword checks the password that an administrator gave, or generates one.
func (s *Service) temporaryPassword(ctx context.Context, p *pool, u *user, given *string) (plain string, stored password, err error) {
	if given == nil {
		plain = p.generatePassword()
	} else {
		plain = *given
		if err := p.checkPassword(plain); err != nil {
			return "", password{}, err
		}
	}
	stored, err = s.newPassword(ctx, p, u, plain)
	return plain, stored, err
}

// invite sends the invitation by each medium.
func (s *Service) invite(ctx context.Context, tx *db.Tx, p *pool, u *user, plain string, mediums []string, w wording) error {
	for _, medium := range mediums {
		if err := s.sendInvitation(ctx, tx, p, u, medium, plain, w); err != nil {
			return err
		}
	}
	return nil
}

// AdminSetUserPassword sets a password: a permanent one, or one that the user must change at the next sign-in. It ends a
// lockout.
func (s *Service) AdminSetUserPassword(ctx context.Context, in *cognitoidp.AdminSetUserPasswordRequest) (*cognitoidp.AdminSetUserPasswordResponse, error) {
	p, found, err := s.adminUser(ctx, in.UserPoolId, in.Username)
	if err != nil {
		return nil, err
	}
	if err := p.checkPassword(*in.Password); err != nil {
		return nil, err
	}
	stored, err := s.newPassword(ctx, p, found, *in.Password)
	if err != nil {
		return nil, err
	}
	_, err = s.updateUser(ctx, p, found.Key, func(_ *db.Tx, u *user) error {
		if u.Sub != found.Sub {
			return errUserNotFound
		}
		u.setPassword(stored, s.now())
		u.Status = cognitoidp.UserStatusTypeForceChangePassword
		if deref(in.Permanent) {
			u.Status = cognitoidp.UserStatusTypeConfirmed
		}
		return nil
	})
	return nil, err
}

// AdminConfirmSignUp confirms a user who signed up, without verifying any attribute.
func (s *Service) AdminConfirmSignUp(ctx context.Context, in *cognitoidp.AdminConfirmSignUpRequest) (*cognitoidp.AdminConfirmSignUpResponse, error) {
	var p *pool
	var confirmed *user
	if err := s.changeUser(ctx, in.UserPoolId, in.Username, func(_ *db.Tx, of *pool, u *user) error {
		if u.Status != cognitoidp.UserStatusTypeUnconfirmed {
			return errNotUnconfirmed(u.Status)
		}
		u.Status = cognitoidp.UserStatusTypeConfirmed
		p, confirmed = of, u
		return nil
	}); err != nil {
		return nil, err
	}
	return nil, s.postConfirmation(ctx, p, confirmSignUp, noClient, confirmed, in.ClientMetadata)
}

// AdminGetUser returns a user.
func (s *Service) AdminGetUser(ctx context.Context, in *cognitoidp.AdminGetUserRequest) (*cognitoidp.AdminGetUserResponse, error) {
	p, u, err := s.adminUser(ctx, in.UserPoolId, in.Username)
	if err != nil {
		return nil, err
	}
	w := wireUser(p, u)
	return &cognitoidp.AdminGetUserResponse{
		Username: w.Username, UserAttributes: w.Attributes, UserStatus: w.UserStatus, Enabled: w.Enabled,
		UserCreateDate: w.UserCreateDate, UserLastModifiedDate: w.UserLastModifiedDate,
		MFAOptions: u.mfa().options(), PreferredMfaSetting: u.mfa().preferred(), UserMFASettingList: u.mfa().Enabled,
	}, nil
}

// AdminDeleteUser deletes a user.
func (s *Service) AdminDeleteUser(ctx context.Context, in *cognitoidp.AdminDeleteUserRequest) error {
	p, err := s.ownPool(ctx, *in.UserPoolId)
	if err != nil {
		return err
	}
	return s.DB.Tx(ctx, func(tx *db.Tx) error {
		u, err := s.findUser(ctx, tx, p, *in.Username)
		if err != nil {
			return err
		}
		return s.deleteUser(ctx, tx, u)
	})
}

// AdminEnableUser lets a user sign in again.
func (s *Service) AdminEnableUser(ctx context.Context, in *cognitoidp.AdminEnableUserRequest) (*cognitoidp.AdminEnableUserResponse, error) {
	return nil, s.changeUser(ctx, in.UserPoolId, in.Username, func(_ *db.Tx, _ *pool, u *user) error {
		u.Enabled = true
		return nil
	})
}

// AdminDisableUser keeps a user from signing in and revokes his tokens.
func (s *Service) AdminDisableUser(ctx context.Context, in *cognitoidp.AdminDisableUserRequest) (*cognitoidp.AdminDisableUserResponse, error) {
	return nil, s.changeUser(ctx, in.UserPoolId, in.Username, func(tx *db.Tx, _ *pool, u *user) error {
		u.Enabled = false
		return s.signOut(ctx, tx, u)
	})
}

// AdminUpdateUserAttributes sets attributes of a user; an empty value deletes one. A new e-mail address or phone number is
// verified by a code, unless the request says that it is verified.
func (s *Service) AdminUpdateUserAttributes(ctx context.Context, in *cognitoidp.AdminUpdateUserAttributesRequest) (*cognitoidp.AdminUpdateUserAttributesResponse, error) {
	p, found, err := s.adminUser(ctx, in.UserPoolId, in.Username)
	if err != nil {
		return nil, err
	}
	_, err = s.updateAttributes(ctx, p, nil, found, in.UserAttributes, in.ClientMetadata)
	return nil, err
}

// updateAttributes changes attributes of a user who was found, through client c or, if it is nil, as an administrator does, and
// sends the codes for values that need one.
func (s *Service) updateAttributes(ctx context.Context, p *pool, c *client, found *user, in []cognitoidp.AttributeType,
	metadata map[string]string) (sent []cognitoidp.CodeDeliveryDetailsType, err error) {
	update := func(u *user) (verify []string, err error) {
		values, err := p.readAttributes(in, c, u)
		if err != nil {
			return nil, err
		}
		return p.update(u, values, c)
	}
	var w wording
	if s.customizes(p) {
		w, err = s.askUpdateWords(ctx, p, c, found, update, metadata)
	}
	if err == nil {
		_, err = s.updateFound(ctx, p, found, func(tx *db.Tx, u *user) error {
			sent = nil
			verify, err := update(u)
			if err != nil {
				return err
			}
			for _, attr := range verify {
				details, err := s.startVerification(ctx, tx, p, u, attr, w)
				if err != nil {
					return err
				}
				sent = append(sent, *details)
			}
			return nil
		})
	}
	if errors.Is(err, cognitoidp.ErrLimitExceeded) {
		err = cognitoidp.ErrTooManyRequests.Msg("%s", errAttemptLimit.Message) // these operations have no LimitExceededException
	}
	return sent, err
}

// AdminDeleteUserAttributes deletes attributes of a user.
func (s *Service) AdminDeleteUserAttributes(ctx context.Context, in *cognitoidp.AdminDeleteUserAttributesRequest) (*cognitoidp.AdminDeleteUserAttributesResponse, error) {
	return nil, s.changeUser(ctx, in.UserPoolId, in.Username, func(_ *db.Tx, p *pool, u *user) error {
		return p.deleteAttributes(u, in.UserAttributeNames, nil)
	})
}
