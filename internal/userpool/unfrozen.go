package userpool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"usher/internal/api/cognitoidp"
	"usher/internal/db"
)

// Settings that AWS freezes when a pool is created can be changed by an operator in pools with the tag usher:unfrozen, where
// that is safe for the users there are: in one transaction that looks at every one of them, and refuses rather than leave a
// name with two users, or a user without what the schema requires.
//
// What a request has made up its mind about under the former settings is not written any more: see errPoolChanged.

const tagUnfrozen = "usher:unfrozen"

func checkUnfrozenTag(tags map[string]string) error {
	if v, ok := tags[tagUnfrozen]; ok && v != "true" {
		return errTagNotTrue(tagUnfrozen)
	}
	return nil
}

// FrozenChange is a change of settings that AWS freezes. Nil members stay as they are.
type FrozenChange struct {
	CaseSensitive *bool            // of UsernameConfiguration
	Aliases       *[]string        // AliasAttributes
	Attribute     *AttributeChange // of the schema
}

// AttributeChange is a change of an attribute of the schema.
type AttributeChange struct {
	Name              string
	Mutable, Required *bool
	Min, Max          *string // lengths of strings, values of numbers
	Remove            bool    // a custom attribute
	Discard           bool    // together with the values that users have
}

// changeScan is how many users are read at once.
const changeScan = 1000

// ChangeFrozen changes settings of a pool and returns how many users it has changed with them.
func (s *Service) ChangeFrozen(ctx context.Context, poolID string, change FrozenChange) (users int, err error) {
	if a := change.Attribute; change == (FrozenChange{}) || a != nil && (*a == AttributeChange{Name: a.Name} || a.Discard && !a.Remove) {
		return 0, errNothingToChange
	}
	err = s.DB.Tx(ctx, func(tx *db.Tx) error {
		old, err := readPool(ctx, tx, poolID)
		if err != nil {
			return err
		}
		if old.Settings.UserPoolTags[tagUnfrozen] != "true" {
			return errFrozen
		}
		if err := noImport(ctx, tx, poolID, errImportRunning); err != nil {
			return err
		}
		next, err := old.changed(&change)
		if err != nil {
			return err
		}
		if err := clientsFit(ctx, tx, next); err != nil {
			return err
		}
		if users, err = s.refit(ctx, tx, old, next, change.Attribute); err != nil {
			return err
		}
		tx.Invalidate(poolScope(poolID))
		if _, err := tx.ExecContext(ctx, `INSERT INTO user_pool_epochs (pool_id, epoch) VALUES ($1, 1)
			ON CONFLICT (pool_id) DO UPDATE SET epoch = user_pool_epochs.epoch + 1`, poolID); err != nil {
			return err
		}
		return db.Changed(tx.ExecContext(ctx, `UPDATE user_pools SET modified = $3, rev = rev + 1, doc = $4 WHERE id = $1 AND rev = $2`,
			poolID, old.Rev, s.now(), db.JSON[cognitoidp.UserPoolType]{V: next.Settings}))
	})
	return users, err
}

// changed returns the pool with a change.
func (p *pool) changed(change *FrozenChange) (*pool, error) {
	row := poolRow{ID: p.ID, AccountID: p.AccountID, Name: *p.Settings.Name, Rev: p.Rev, Doc: db.JSON[cognitoidp.UserPoolType]{V: p.Settings}, MFA: db.JSON[mfaSettings]{V: p.mfa}}
	s := &row.Doc.V
	if change.CaseSensitive != nil {
		s.UsernameConfiguration = &cognitoidp.UsernameConfigurationType{CaseSensitive: change.CaseSensitive}
	}
	if change.Aliases != nil {
		for _, attr := range *change.Aliases {
			if !slices.Contains([]string{attrEmail, attrPhone, attrPreferredUsername}, attr) {
				return nil, errAliasAttribute(attr)
			}
		}
		if s.AliasAttributes = set(*change.Aliases); s.AliasAttributes != nil && s.UsernameAttributes != nil {
			return nil, errBothUsernameKinds
		}
	}
	s.SchemaAttributes = slices.Clone(s.SchemaAttributes)
	if a := change.Attribute; a != nil {
		if err := a.apply(s); err != nil {
			return nil, err
		}
	}
	next := row.pool()
	if a := next.schema[attrPreferredUsername]; *a.Required && next.isAlias(attrPreferredUsername) {
		return nil, errPreferredRequired
	}
	return next, nil
}

func (c *AttributeChange) apply(s *cognitoidp.UserPoolType) error {
	i := slices.IndexFunc(s.SchemaAttributes, func(a cognitoidp.SchemaAttributeType) bool { return *a.Name == c.Name })
	if i < 0 {
		return errUpdateNoAttribute(c.Name)
	}
	a := &s.SchemaAttributes[i]
	own := strings.HasPrefix(c.Name, "custom:") || strings.HasPrefix(c.Name, "dev:")
	switch {
	case c.Remove && !own:
		return errAttributeDefinition("%s: A standard attribute cannot be removed.", c.Name)
	case c.Remove:
		s.SchemaAttributes = slices.Delete(s.SchemaAttributes, i, i+1)
		return nil
	case deref(c.Required) && own:
		return errCustomRequired
	case (c.Required != nil || c.Mutable != nil) && !own && !userWritable(a):
		return errAttributeDefinition("%s: The attribute cannot be changed.", c.Name)
	}
	if c.Mutable != nil {
		a.Mutable = c.Mutable
	}
	if c.Required != nil {
		a.Required = c.Required
	}
	if c.Min == nil && c.Max == nil {
		return nil
	}
	var limits cognitoidp.SchemaAttributeType
	switch *a.AttributeDataType {
	case typeNumber:
		n := deref(a.NumberAttributeConstraints)
		n.MinValue, n.MaxValue = cmp.Or(c.Min, n.MinValue), cmp.Or(c.Max, n.MaxValue)
		limits.NumberAttributeConstraints = &n
	default:
		n := deref(a.StringAttributeConstraints)
		n.MinLength, n.MaxLength = cmp.Or(c.Min, n.MinLength), cmp.Or(c.Max, n.MaxLength)
		limits.StringAttributeConstraints = &n
	}
	return constrain(a, limits)
}

// clientsFit checks that the clients of a pool go with its schema.
func clientsFit(ctx context.Context, tx *db.Tx, p *pool) error {
	rows, err := db.All[clientRow](ctx, tx, `SELECT `+clientColumns+` FROM user_pool_clients WHERE pool_id = $1 ORDER BY id`, p.ID)
	if err != nil {
		return err
	}
	var misfits []string
	for i := range rows {
		if err := checkClientAttributes(p, &rows[i].Doc.V, "updating"); err != nil {
			misfits = append(misfits, rows[i].ID)
		}
	}
	if misfits != nil {
		return errChangeRefused("the read or write attributes of these app clients do not go with it", misfits)
	}
	return nil
}

// refitted is a user who is found under other names from now on.
type refitted struct {
	username, sub string
	formerKey     string
	formerAliases map[string]string // value key by kind
	key           string
	aliases       map[string]string
	searched      searchable
}

// refit has the users of a pool found as next finds them, and checks that they have the attributes that it wants. It returns how many
// it has changed.
func (s *Service) refit(ctx context.Context, tx *db.Tx, old, next *pool, attribute *AttributeChange) (int, error) {
	var list []refitted
	var misshaped, misfits []string
	written := 0
	for after := ""; ; {
		rows, err := db.All[userRow](ctx, tx, `SELECT `+userColumns+` FROM users u WHERE u.pool_id = $1 AND u.sub > $2 ORDER BY u.sub LIMIT $3`, old.ID, after, changeScan)
		if err != nil {
			return 0, err
		}
		for i := range rows {
			u := old.user(rows[i])
			after = u.Sub
			if attribute != nil {
				discard, fits := attribute.fits(next, u)
				if !fits {
					misfits = append(misfits, u.Username)
				}
				if discard {
					u.set(attribute.Name, "")
					if err := db.Changed(tx.ExecContext(ctx, `UPDATE users SET doc = $3, rev = rev + 1 WHERE pool_id = $1 AND sub = $2`, u.PoolID, u.Sub, u.Doc)); err != nil {
						return 0, err
					}
					written++
				}
			}
			if !next.wellShaped(u) {
				misshaped = append(misshaped, u.Username)
			}
			r := refitted{u.Username, u.Sub, u.Key, u.aliases, next.key(u.Username), next.aliasesOf(u), next.searchable(u)}
			if r.key != u.Key || !maps.Equal(r.aliases, u.aliases) || r.searched != u.searched {
				list = append(list, r)
			}
		}
		if len(rows) < changeScan {
			break
		}
	}
	switch {
	case misfits != nil && attribute.Remove:
		return 0, errChangeRefused("these users have a value, which --discard would delete", misfits)
	case misfits != nil:
		return 0, errChangeRefused("the values of these users, or that they have none, do not go with it", misfits)
	case misshaped != nil:
		return 0, errChangeRefused("the usernames or preferred usernames of these users have the form of an alias", misshaped)
	}
	if twice, err := s.namedTwice(ctx, tx, next, list); err != nil {
		return 0, err
	} else if twice != nil {
		return 0, errChangeRefused("users would have one name", twice)
	}
	return written + len(list), s.rename(ctx, tx, next, list)
}

// fits reports whether u goes with the changed attribute of next, and whether his value is to be discarded.
func (c *AttributeChange) fits(next *pool, u *user) (discard, fits bool) {
	value := u.attributes()[c.Name]
	a := next.schema[c.Name]
	switch {
	case a == nil && value == "":
		return false, true
	case a == nil:
		return c.Discard, c.Discard
	case value == "":
		return false, !deref(c.Required)
	}
	return false, c.Min == nil && c.Max == nil || checkValue(a, value) == nil
}

// wellShaped reports whether the names of u are of the kinds that they are meant as. See aliasKind.
func (p *pool) wellShaped(u *user) bool {
	if p.Settings.UsernameAttributes == nil {
		if kind := p.aliasKind(u.Username); kind == attrEmail || kind == attrPhone {
			return false
		}
	}
	preferred := u.attributes()[attrPreferredUsername]
	return preferred == "" || !p.isAlias(attrPreferredUsername) || p.aliasKind(preferred) == attrPreferredUsername
}

// namedTwice returns the names that users would have together: those in the list, who change, among each other or with one who does
// not.
func (s *Service) namedTwice(ctx context.Context, tx *db.Tx, next *pool, list []refitted) (twice []string, err error) {
	const username = "username"
	changing := make(map[string]bool, len(list)) // by sub
	holders := map[[2]string]*refitted{}         // by kind and name
	for i := range list {
		changing[list[i].sub] = true
	}
	clash := func(a, b string, name string) { twice = append(twice, fmt.Sprintf("%s and %s (%s)", a, b, name)) }
	// held notes that a name is r's. Usernames and preferred usernames are one kind: a name never means two users.
	held := func(r *refitted, kind, name string) error {
		if kind == attrPreferredUsername {
			kind = username
		}
		if other := holders[[2]string{kind, name}]; other != nil && other.sub != r.sub {
			clash(other.username, r.username, name)
			return nil
		}
		holders[[2]string{kind, name}] = r
		type named struct{ Username, Sub string }
		query := `SELECT u.username, u.sub FROM user_aliases a JOIN users u ON u.pool_id = a.pool_id AND u.username_key = a.username_key
			WHERE a.pool_id = $1 AND a.kind = $3 AND a.value_key = $2`
		stored := kind
		if kind == username {
			query += ` UNION ALL SELECT username, sub FROM users WHERE pool_id = $1 AND username_key = $2`
			stored = attrPreferredUsername
		}
		others, err := db.All[named](ctx, tx, query, next.ID, name, stored)
		for _, other := range others {
			if !changing[other.Sub] {
				clash(other.Username, r.username, name)
			}
		}
		return err
	}
	for i := range list {
		r := &list[i]
		if err := held(r, username, r.key); err != nil {
			return nil, err
		}
		for _, kind := range slices.Sorted(maps.Keys(r.aliases)) {
			if err := held(r, kind, r.aliases[kind]); err != nil {
				return nil, err
			}
		}
	}
	return twice, nil
}

// rename writes the names of the users in the list, whom nobody shares one with.
func (s *Service) rename(ctx context.Context, tx *db.Tx, next *pool, list []refitted) error {
	for _, r := range list {
		for kind, value := range r.formerAliases {
			if _, err := tx.ExecContext(ctx, `DELETE FROM user_aliases WHERE pool_id = $1 AND kind = $2 AND value_key = $3 AND username_key = $4`,
				next.ID, kind, value, r.formerKey); err != nil {
				return err
			}
		}
	}
	for _, r := range list {
		args := append([]any{next.ID, r.sub, r.key}, columns(r.searched)...)
		if err := db.Changed(tx.ExecContext(ctx, `UPDATE users SET username_key = $3, rev = rev + 1,
				email = $4, phone_number = $5, preferred_username = $6, name = $7, given_name = $8, family_name = $9
			WHERE pool_id = $1 AND sub = $2`, args...)); err != nil {
			return err
		}
		if r.key != r.formerKey {
			if _, err := tx.ExecContext(ctx, `UPDATE user_group_members SET username_key = $3 WHERE pool_id = $1 AND username_key = $2`, next.ID, r.formerKey, r.key); err != nil {
				return err
			}
		}
		for kind, value := range r.aliases {
			if _, err := tx.ExecContext(ctx, `INSERT INTO user_aliases (pool_id, kind, value_key, username_key) VALUES ($1, $2, $3, $4)`,
				next.ID, kind, value, r.key); err != nil {
				return err
			}
		}
	}
	return nil
}

// sameEpoch checks that the pool is there and its names and attributes are those that p has.
func sameEpoch(ctx context.Context, tx *db.Tx, p *pool) error {
	now, err := readPool(ctx, tx, p.ID)
	if err == nil && now.epoch != p.epoch {
		err = errPoolChanged
	}
	return err
}

// changedOr is why a write of a user was in vain: the settings of the pool have changed since p was read, or what the caller says.
func (p *pool) changedOr(ctx context.Context, tx *db.Tx, otherwise error) error {
	err := sameEpoch(ctx, tx, p)
	if err == nil || errors.Is(err, cognitoidp.ErrResourceNotFound) {
		err = otherwise
	}
	return err
}
