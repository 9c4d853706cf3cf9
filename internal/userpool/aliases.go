package userpool

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"usher/internal/db"
	"usher/internal/ids"
)

// Users sign in under their username and, depending on the pool, under other names, here called aliases:
//
//   - With AliasAttributes, under email and phone_number once verified, and under preferred_username. Many users can have the
//     same unverified value.
//   - With UsernameAttributes, under email or phone_number whether verified or not. The username is the sub.
//
// An alias belongs to one user. Which of the kinds a name is meant as follows from its form alone, so that no name can be
// taken for two users: usernames and preferred usernames cannot have the form of another kind that the pool knows.
//
// Source: Amazon Cognito developer guide, "Customizing sign-in attributes".

// isAlias reports whether an attribute is one of AliasAttributes.
func (p *pool) isAlias(attr string) bool { return slices.Contains(p.Settings.AliasAttributes, attr) }

// isUsername reports whether an attribute is one of UsernameAttributes.
func (p *pool) isUsername(attr string) bool {
	return slices.Contains(p.Settings.UsernameAttributes, attr)
}

// aliasKind returns the attribute that a name is a value of when it is used as an alias in the pool; "" for none.
func (p *pool) aliasKind(name string) string {
	knows := func(attr string) bool { return p.isAlias(attr) || p.isUsername(attr) }
	switch {
	case strings.Contains(name, "@") && knows(attrEmail):
		return attrEmail
	case isPhone(name) && knows(attrPhone):
		return attrPhone
	case p.isAlias(attrPreferredUsername):
		return attrPreferredUsername
	}
	return ""
}

// nameUser checks the name of a new user and returns his username and sub. In a pool with UsernameAttributes the name is
// one of the attributes, which it gives its value.
func (p *pool) nameUser(name string, values map[string]string) (username, sub string, err error) {
	sub = ids.Sub()
	if p.Settings.UsernameAttributes == nil {
		switch p.aliasKind(name) {
		case attrEmail:
			return "", "", errUsernameEmailAlias
		case attrPhone:
			return "", "", errUsernamePhoneAlias
		}
		return name, sub, nil
	}
	var attr string
	switch {
	case p.isUsername(attrEmail) && isEmail(name):
		attr = attrEmail
	case p.isUsername(attrPhone) && isPhone(name):
		attr = attrPhone
	case !p.isUsername(attrPhone):
		return "", "", errUsernameNotEmail
	case !p.isUsername(attrEmail):
		return "", "", errUsernameNotPhone
	default:
		return "", "", errUsernameNotEither
	}
	if values[attr] == "" {
		values[attr] = name
	} else if p.key(values[attr]) != p.key(name) {
		return "", "", errUsernameMismatch
	}
	return sub, sub, nil
}

// aliasesOf returns the aliases that a user holds, by kind.
func (p *pool) aliasesOf(u *user) map[string]string {
	var held map[string]string
	for _, attr := range []string{attrEmail, attrPhone, attrPreferredUsername} {
		value := u.attributes()[attr]
		if value == "" {
			continue
		}
		if p.isUsername(attr) || p.isAlias(attr) && (attr == attrPreferredUsername || u.verified(attr)) {
			if held == nil {
				held = map[string]string{}
			}
			held[attr] = p.key(value)
		}
	}
	return held
}

// saveAliases writes how the user's aliases differ from those that were stored.
func (s *Service) saveAliases(ctx context.Context, tx *db.Tx, p *pool, u *user) error {
	held := p.aliasesOf(u)
	for kind, value := range u.aliases {
		if held[kind] == value {
			continue
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM user_aliases WHERE pool_id = $1 AND kind = $2 AND value_key = $3 AND username_key = $4`,
			p.ID, kind, value, u.Key); err != nil {
			return err
		}
	}
	for kind, value := range held {
		if u.aliases[kind] == value {
			continue
		}
		if err := s.takeAlias(ctx, tx, p, u, kind, value); err != nil {
			return err
		}
	}
	u.aliases = held
	return nil
}

// takeAlias makes an alias the user's. If another user holds it, he loses it, and its verification, when u moves aliases;
// otherwise it is an error. What is a username in all but name, and preferred_username, never moves.
func (s *Service) takeAlias(ctx context.Context, tx *db.Tx, p *pool, u *user, kind, value string) error {
	take := func() (bool, error) {
		res, err := tx.ExecContext(ctx, `INSERT INTO user_aliases (pool_id, kind, value_key, username_key) VALUES ($1, $2, $3, $4)
			ON CONFLICT (pool_id, kind, value_key) DO NOTHING`, p.ID, kind, value, u.Key)
		if err != nil {
			return false, err
		}
		n, err := res.RowsAffected()
		return n == 1, err
	}
	if kind == attrPreferredUsername {
		// The name is looked for among the usernames first.
		if taken, err := hasRow(ctx, tx, `SELECT 1 FROM users WHERE pool_id = $1 AND username_key = $2 AND username_key <> $3`,
			p.ID, value, u.Key); err != nil || taken {
			return cmp.Or(err, error(errAliasExists(kind)))
		}
	}
	if taken, err := take(); err != nil || taken {
		return err
	}
	switch {
	case p.isUsername(kind) && u.Rev == 0:
		return errAliasSignUp(kind)
	case p.isUsername(kind) || kind == attrPreferredUsername || !u.MoveAliases:
		return errAliasExists(kind)
	}
	holder, err := db.One[userRow](ctx, tx, `SELECT `+userColumns+` FROM users u
		JOIN user_aliases a ON u.pool_id = a.pool_id AND u.username_key = a.username_key
		WHERE a.pool_id = $1 AND a.kind = $2 AND a.value_key = $3`, p.ID, kind, value)
	if err != nil {
		return err
	}
	former := p.user(holder)
	former.aliases = map[string]string{kind: value}
	former.set(kind+"_verified", "false")
	if _, err := tx.ExecContext(ctx, `DELETE FROM user_aliases WHERE pool_id = $1 AND kind = $2 AND value_key = $3`, p.ID, kind, value); err != nil {
		return err
	}
	if err := s.saveRow(ctx, tx, p, former); err != nil {
		return err
	}
	_, err = take()
	return err
}
