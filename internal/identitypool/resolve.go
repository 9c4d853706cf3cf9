package identitypool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"usher/internal/access"
	api "usher/internal/api/cognitoidentity"
	"usher/internal/db"
	"usher/internal/ids"
)

// identity is a row of identities.
type identity struct {
	ID, PoolID             string
	Created, Modified      int64
	Enabled, Authenticated bool
	MergedInto             string
}

const identityColumns = `id, pool_id, created, modified, enabled, authenticated, merged_into`

// guest: enabled and never authenticated. Who loses the last login does not become one.
func (i *identity) guest() bool { return i.Enabled && !i.Authenticated }

// known is an identity with its logins.
type known struct {
	identity
	logins []heldLogin
}

type heldLogin struct{ Provider, Subject string }

// has reports whether a verified login is of the identity.
func (k *known) has(l *login) bool {
	if l.identity != "" {
		return l.identity == k.ID
	}
	return slices.Contains(k.logins, heldLogin{l.provider, l.subject})
}

// loginsMost is how many logins an identity may have.
const loginsMost = 20

func errIdentityNotFound(id string) error {
	return api.ErrResourceNotFound.Msg("Identity '%s' not found.", id)
}

var (
	errNoGuests   = errNotAuthorized("Unauthenticated access is not supported for this identity pool.")
	errStranger   = errNotAuthorized("Logins don't match. Please include at least one valid login for this identity or identity pool.")
	errLinked     = api.ErrResourceConflict.Msg("Logins are already linked to another account.")
	errRegistered = api.ErrDeveloperUserAlreadyRegistered.Msg("Developer user identifier is already registered with another identity.")
	errMany       = api.ErrResourceConflict.Msg("An identity may have at most %d logins.", loginsMost)
)

func errForbidden(id string) error {
	return errNotAuthorized("Access to Identity '%s' is forbidden.", id)
}

// identity reads an identity with its logins, in one statement.
func (s *Service) identity(ctx context.Context, q db.Querier, id string) (*known, error) {
	type row struct {
		identity
		heldLogin
	}
	rows, err := db.All[row](ctx, q, `SELECT i.id, i.pool_id, i.created, i.modified, i.enabled, i.authenticated, i.merged_into,
		COALESCE(l.provider, ''), COALESCE(l.subject, '') FROM identities i LEFT JOIN identity_logins l ON l.identity_id = i.id WHERE i.id = $1`, id)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, errIdentityNotFound(id)
	}
	k := &known{identity: rows[0].identity}
	for _, r := range rows {
		if r.Provider != "" {
			k.logins = append(k.logins, r.heldLogin)
		}
	}
	return k, nil
}

// resolve returns the identity that the verified logins are, or that a guest is: the one rule behind GetId (asked with no
// identity), GetOpenIdToken, GetCredentialsForIdentity and GetOpenIdTokenForDeveloperIdentity. It links, upgrades and
// merges in one transaction; where nothing is to change it writes nothing.
func (s *Service) resolve(ctx context.Context, p *pool, asked *known, logins []login) (string, error) {
	id, err := s.resolveOnce(ctx, p, asked, logins)
	if err != nil {
		s.explainLogins(ctx, p, asked, logins)
	}
	return id, err
}

func (s *Service) resolveOnce(ctx context.Context, p *pool, asked *known, logins []login) (string, error) {
	if len(logins) == 0 {
		return s.resolveGuest(ctx, p, asked)
	}
	// The usual: a login of this identity, or one that is known, and nothing to link.
	if asked != nil && asked.Enabled && !slices.ContainsFunc(logins, func(l login) bool { return !asked.has(&l) }) {
		return asked.ID, nil
	}
	held, err := s.owners(ctx, s.DB, p, logins)
	if err != nil {
		return "", err
	}
	free := !slices.ContainsFunc(held, func(id string) bool { return id != "" })
	var id string
	switch {
	case asked == nil && free, asked != nil && free && asked.guest():
		if id, err = s.claim(ctx, p, asked, logins); !errors.Is(err, errRaced) {
			return id, err
		}
	case asked == nil && held[0] != "" && len(slices.Compact(held)) == 1:
		return held[0], nil
	}
	askedID := ""
	if asked != nil {
		askedID = asked.ID
	}
	err = s.DB.Tx(ctx, func(tx *db.Tx) (err error) {
		id, err = s.link(ctx, tx, p, askedID, logins)
		return err
	})
	return id, err
}

// errRaced says that somebody else was faster.
var errRaced = errors.New("identitypool: changed by somebody else")

// claim gives logins that nobody holds to a guest or, without one, to a new identity. It reads nothing, and so hinders and
// is hindered by no other at the serializable level: what it takes for granted, its writes find out.
func (s *Service) claim(ctx context.Context, p *pool, guest *known, logins []login) (string, error) {
	id := ids.Identity(s.Region, s.Now())
	if guest != nil {
		id = guest.ID
	}
	err := s.DB.Tx(ctx, func(tx *db.Tx) error {
		if guest == nil {
			if err := s.insert(ctx, tx, p, id, true); err != nil {
				return err
			}
		} else {
			err := db.Changed(tx.ExecContext(ctx, `UPDATE identities SET authenticated = $1, modified = $2 WHERE id = $3 AND enabled AND NOT authenticated`,
				true, s.Now().UnixMicro(), id))
			if errors.Is(err, db.ErrConflict) {
				return errRaced
			} else if err != nil {
				return err
			}
		}
		for _, l := range logins {
			if err := s.hold(ctx, tx, p.ID, id, &l); errors.Is(err, db.ErrConflict) {
				return errRaced
			} else if err != nil {
				return err
			}
		}
		return nil
	})
	return id, err
}

// hold gives a login to an identity; db.ErrConflict if somebody holds it.
func (s *Service) hold(ctx context.Context, tx *db.Tx, poolID, id string, l *login) error {
	slot := ""
	if l.several {
		slot = l.subject
	}
	tx.AfterCommit(func() {
		s.Log.Info("login linked", "identity_pool", poolID, "identity", id, "provider", l.name)
	})
	return db.Changed(tx.ExecContext(ctx, `INSERT INTO identity_logins (pool_id, provider, subject, identity_id, slot, linked) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT DO NOTHING`, poolID, l.provider, l.subject, id, slot, s.Now().UnixMicro()))
}

func (s *Service) resolveGuest(ctx context.Context, p *pool, asked *known) (string, error) {
	if !*p.Settings.AllowUnauthenticatedIdentities {
		return "", errNoGuests
	}
	if asked == nil {
		if client := access.Client(ctx); !s.guests.take(client, s.Now()) {
			return "", errRate.With(fmt.Errorf("%s makes more than %d guests in a minute", client, s.GuestsPerMinute))
		}
		id := ids.Identity(s.Region, s.Now())
		return id, s.DB.Tx(ctx, func(tx *db.Tx) error { return s.insert(ctx, tx, p, id, false) })
	}
	if !asked.guest() {
		return "", errForbidden(asked.ID)
	}
	return asked.ID, nil
}

func (s *Service) insert(ctx context.Context, tx *db.Tx, p *pool, id string, authenticated bool) error {
	now := s.Now().UnixMicro()
	_, err := tx.ExecContext(ctx, `INSERT INTO identities (`+identityColumns+`) VALUES ($1, $2, $3, $4, $5, $6, '')`, id, p.ID, now, now, true, authenticated)
	return err
}

// owners returns the identity that holds each login, "" for none.
func (s *Service) owners(ctx context.Context, q db.Querier, p *pool, logins []login) ([]string, error) {
	held := make([]string, len(logins))
	for i, l := range logins {
		if l.identity != "" {
			held[i] = l.identity
			continue
		}
		id, err := db.One[string](ctx, q, `SELECT identity_id FROM identity_logins WHERE pool_id = $1 AND provider = $2 AND subject = $3`, p.ID, l.provider, l.subject)
		if err != nil && !errors.Is(err, db.ErrNotFound) {
			return nil, err
		}
		held[i] = id
	}
	return held, nil
}

// link is resolve for logins, in its transaction.
func (s *Service) link(ctx context.Context, tx *db.Tx, p *pool, askedID string, logins []login) (string, error) {
	held, err := s.owners(ctx, tx, p, logins)
	if err != nil {
		return "", err
	}
	var set []*known // whose logins these are, and who is asked for
	for i, id := range held {
		if id == "" {
			continue
		}
		owner, err := s.survivor(ctx, tx, id)
		if err != nil {
			return "", err
		}
		if owner.PoolID != p.ID {
			return "", errStranger
		}
		held[i] = owner.ID
		if !slices.ContainsFunc(set, func(k *known) bool { return k.ID == owner.ID }) {
			set = append(set, owner)
		}
	}
	if askedID != "" {
		// The id of an identity that was merged away still means the one that took its logins, for who proves a login of it.
		asked, err := s.survivor(ctx, tx, askedID)
		if err != nil {
			return "", err
		}
		for i, l := range logins {
			if l.several && held[i] != "" && held[i] != asked.ID {
				return "", errRegistered
			}
		}
		if !slices.Contains(held, asked.ID) {
			if !asked.guest() {
				return "", errStranger
			}
			set = append(set, asked)
		}
	}
	if len(set) == 0 {
		owner := &known{identity: identity{ID: ids.Identity(s.Region, s.Now()), PoolID: p.ID, Enabled: true, Authenticated: true}}
		if err := s.insert(ctx, tx, p, owner.ID, true); err != nil {
			return "", err
		}
		return owner.ID, s.attach(ctx, tx, owner, held, logins)
	}
	owner := slices.MinFunc(set, older)
	for _, k := range set {
		if k != owner {
			if err := s.merge(ctx, tx, owner, k); err != nil {
				return "", err
			}
		}
	}
	return owner.ID, s.attach(ctx, tx, owner, held, logins)
}

// hopsMost bounds how often an identity may have been merged on for its first id to be found.
const hopsMost = loginsMost

// survivor returns the identity, or the one that it was merged into.
func (s *Service) survivor(ctx context.Context, tx *db.Tx, id string) (*known, error) {
	k, err := s.identity(ctx, tx, id)
	for hops := 0; err == nil && k.MergedInto != ""; hops++ {
		if hops == hopsMost {
			return nil, errForbidden(id)
		}
		k, err = s.identity(ctx, tx, k.MergedInto)
	}
	if errors.Is(err, api.ErrResourceNotFound) {
		return nil, errIdentityNotFound(id)
	}
	return k, err
}

// older says which identity survives a merge: a user before a guest, then the older, then the lower id.
func older(a, b *known) int {
	switch {
	case a.Authenticated && !b.Authenticated:
		return -1
	case b.Authenticated && !a.Authenticated:
		return 1
	}
	return cmp.Or(cmp.Compare(a.Created, b.Created), cmp.Compare(a.ID, b.ID))
}

// merge moves the logins of one identity to another and disables it.
func (s *Service) merge(ctx context.Context, tx *db.Tx, owner, other *known) error {
	for _, l := range other.logins {
		if !isDeveloper(l.Provider) && slices.ContainsFunc(owner.logins, func(o heldLogin) bool { return o.Provider == l.Provider }) {
			return errLinked
		}
	}
	if len(owner.logins)+len(other.logins) > loginsMost {
		return errMany
	}
	owner.logins = append(owner.logins, other.logins...)
	now := s.Now().UnixMicro()
	for _, change := range []struct {
		query string
		args  []any
	}{
		{`UPDATE identity_logins SET identity_id = $1 WHERE identity_id = $2`, []any{owner.ID, other.ID}},
		{`UPDATE identities SET modified = $1 WHERE id = $2`, []any{now, owner.ID}},
		{`UPDATE identities SET enabled = $1, merged_into = $2, modified = $3 WHERE id = $4`, []any{false, owner.ID, now, other.ID}},
	} {
		if _, err := tx.ExecContext(ctx, change.query, change.args...); err != nil {
			return err
		}
	}
	tx.AfterCommit(func() {
		s.Log.Info("identities merged", "identity_pool", owner.PoolID, "identity", owner.ID, "disabled", other.ID)
	})
	return nil
}

// attach links the logins that nobody holds to an identity.
func (s *Service) attach(ctx context.Context, tx *db.Tx, owner *known, held []string, logins []login) error {
	linked := false
	for i, l := range logins {
		if held[i] != "" {
			continue
		}
		if !l.several && slices.ContainsFunc(owner.logins, func(o heldLogin) bool { return o.Provider == l.provider }) {
			return errLinked
		}
		if owner.logins = append(owner.logins, heldLogin{l.provider, l.subject}); len(owner.logins) > loginsMost {
			return errMany
		}
		// Somebody may have been faster: then this runs again and finds theirs.
		if err := s.hold(ctx, tx, owner.PoolID, owner.ID, &l); err != nil {
			return err
		}
		linked = true
	}
	if !linked || owner.Created == 0 { // just made
		return nil
	}
	_, err := tx.ExecContext(ctx, `UPDATE identities SET authenticated = $1, modified = $2 WHERE id = $3`, true, s.Now().UnixMicro(), owner.ID)
	return err
}
