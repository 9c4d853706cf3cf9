package identitypool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	api "usher/internal/api/cognitoidentity"
	"usher/internal/awsapi"
	"usher/internal/db"
)

// ownIdentity returns an identity of the caller's account.
func (s *Service) ownIdentity(ctx context.Context, id string) (*known, *pool, error) {
	i, err := s.identity(ctx, s.DB, id)
	if err != nil {
		return nil, nil, err
	}
	p, err := s.ownPool(ctx, i.PoolID)
	if errors.Is(err, api.ErrResourceNotFound) {
		return nil, nil, errIdentityNotFound(id)
	}
	return i, p, err
}

// DescribeIdentity implements the operation.
func (s *Service) DescribeIdentity(ctx context.Context, in *api.DescribeIdentityInput) (*api.IdentityDescription, error) {
	i, p, err := s.ownIdentity(ctx, *in.IdentityId)
	if err != nil {
		return nil, err
	}
	return s.describe(p, i), nil
}

// describe names the providers of the logins, each once.
func (s *Service) describe(p *pool, i *known) *api.IdentityDescription {
	logins := []string{}
	for _, l := range i.logins {
		logins = append(logins, s.spell(p, l.Provider))
	}
	slices.Sort(logins)
	return &api.IdentityDescription{IdentityId: &i.ID, Logins: slices.Compact(logins), CreationDate: new(timeOf(i.Created)), LastModifiedDate: new(timeOf(i.Modified))}
}

// spell returns a canonical provider as the pool spells it, or as AWS would when the pool no longer has it.
func (s *Service) spell(p *pool, id string) string {
	for _, from := range p.providers {
		if from.id == id {
			return from.name
		}
	}
	if name, ok := strings.CutPrefix(id, developerPrefix); ok {
		return name
	}
	if region, _, ok := strings.Cut(id, "_"); ok && !strings.Contains(id, ":") {
		return "cognito-idp." + region + ".amazonaws.com/" + id
	}
	return id
}

// ListIdentities implements the operation.
func (s *Service) ListIdentities(ctx context.Context, in *api.ListIdentitiesInput) (*api.ListIdentitiesResponse, error) {
	p, err := s.ownPool(ctx, *in.IdentityPoolId)
	if err != nil {
		return nil, err
	}
	after, err := readPage(in.NextToken, "identities/"+p.ID)
	if err != nil {
		return nil, err
	}
	limit := int(*in.MaxResults)
	visible := ""
	if in.HideDisabled != nil && *in.HideDisabled {
		visible = " AND enabled"
	}
	rows, err := db.All[identity](ctx, s.DB, `SELECT `+identityColumns+` FROM identities WHERE pool_id = $1 AND id > $2`+visible+` ORDER BY id LIMIT $3`, p.ID, after, limit+1)
	if err != nil {
		return nil, err
	}
	page := make([]known, len(rows))
	for i := range rows {
		page[i].identity = rows[i]
	}
	if err := s.addLogins(ctx, page); err != nil {
		return nil, err
	}
	out := &api.ListIdentitiesResponse{IdentityPoolId: &p.ID, Identities: []api.IdentityDescription{}}
	if len(page) > limit {
		page = page[:limit]
		out.NextToken = pageToken(page[limit-1].ID, "identities/"+p.ID)
	}
	for i := range page {
		out.Identities = append(out.Identities, *s.describe(p, &page[i]))
	}
	return out, nil
}

// addLoginsQuery names each identity: PostgreSQL would answer a join by reading every login there is.
var addLoginsQuery = func() string {
	names := make([]string, listMost+1)
	for i := range names {
		names[i] = fmt.Sprintf("$%d", i+1)
	}
	return `SELECT identity_id, provider, subject FROM identity_logins WHERE identity_id IN (` + strings.Join(names, ", ") + `)`
}()

// addLogins reads the logins of up to a page of identities and one more.
func (s *Service) addLogins(ctx context.Context, page []known) error {
	if len(page) == 0 {
		return nil
	}
	at, args := map[string]*known{}, make([]any, listMost+1)
	for i := range args {
		k := &page[min(i, len(page)-1)]
		at[k.ID], args[i] = k, k.ID
	}
	type row struct {
		ID string
		heldLogin
	}
	rows, err := db.All[row](ctx, s.DB, addLoginsQuery, args...)
	for _, r := range rows {
		at[r.ID].logins = append(at[r.ID].logins, r.heldLogin)
	}
	return err
}

// DeleteIdentities implements the operation. Each identity is decided by its pool: those that the caller may not touch are
// named in the answer, the others are deleted; an unknown one counts as deleted. A caller who may touch none is refused.
func (s *Service) DeleteIdentities(ctx context.Context, in *api.DeleteIdentitiesInput) (*api.DeleteIdentitiesResponse, error) {
	caller, _ := awsapi.CallerFrom(ctx)
	var allowed, refused []string
	decided := map[string]error{} // by pool
	var denial error
	for _, id := range in.IdentityIdsToDelete {
		pool, err := db.One[string](ctx, s.DB, `SELECT pool_id FROM identities WHERE id = $1`, id)
		if err != nil && !errors.Is(err, db.ErrNotFound) {
			return nil, err
		}
		err, known := decided[pool]
		if !known {
			err = s.mayDelete(ctx, caller.AccountID, pool)
			decided[pool] = err
		}
		switch {
		case err == nil:
			allowed = append(allowed, id)
		case errors.Is(err, awsapi.ErrAccessDenied), errors.Is(err, api.ErrResourceNotFound):
			refused = append(refused, id)
			if errors.Is(err, awsapi.ErrAccessDenied) {
				denial = err
			}
		default:
			return nil, err
		}
	}
	if len(allowed) == 0 && denial != nil {
		return nil, denial
	}
	err := s.DB.Tx(ctx, func(tx *db.Tx) error {
		for _, id := range allowed {
			if _, err := tx.ExecContext(ctx, `DELETE FROM identities WHERE id = $1`, id); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `DELETE FROM identity_logins WHERE identity_id = $1`, id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := &api.DeleteIdentitiesResponse{UnprocessedIdentityIds: []api.UnprocessedIdentityId{}}
	for _, id := range refused {
		out.UnprocessedIdentityIds = append(out.UnprocessedIdentityIds, api.UnprocessedIdentityId{IdentityId: &id, ErrorCode: new(api.ErrorCodeAccessDenied)})
	}
	return out, nil
}

// mayDelete decides about the identities of a pool; "" is that of unknown ones.
func (s *Service) mayDelete(ctx context.Context, account, poolID string) error {
	t := awsapi.Target{Action: "cognito-identity:DeleteIdentities", Resource: "*"}
	if poolID != "" {
		p, err := s.ownPool(ctx, poolID)
		if err != nil {
			return err
		}
		t.Keys = map[string][]string{keyPoolARN: {s.poolARN(account, p.ID)}}
	}
	return s.Authorizer.Authorize(ctx, []awsapi.Target{t})
}

// UnlinkIdentity implements the operation: who proves a login of the identity removes logins from it. Without its last login
// an identity can no longer be used.
func (s *Service) UnlinkIdentity(ctx context.Context, in *api.UnlinkIdentityInput) error {
	i, p, err := s.asked(ctx, *in.IdentityId)
	if err != nil {
		return err
	}
	logins, err := s.verify(ctx, p, in.Logins, true)
	if err != nil {
		return err
	}
	var remove []string
	for _, name := range in.LoginsToRemove {
		if from := s.find(p, name); from != nil {
			remove = append(remove, from.id)
		} else if id, ok := s.names.userPool(name); ok {
			remove = append(remove, id)
		} else {
			awsapi.Detail(ctx, "the login to remove is of %q; the providers of the pool are %q", name, p.providerNames())
			return errNotPublic
		}
	}
	err = s.DB.Tx(ctx, func(tx *db.Tx) error {
		held, err := s.owners(ctx, tx, p, logins)
		if err != nil {
			return err
		}
		if !slices.Contains(held, i.ID) {
			return errStranger
		}
		for _, provider := range remove {
			if err := s.unlink(ctx, tx, &i.identity, provider, ""); err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, api.ErrNotAuthorized) {
		s.explainLogins(ctx, p, i, logins)
	}
	if err != nil {
		return err
	}
	return s.redeem(ctx, logins)
}

// unlink removes the login of a provider, or one of a developer provider.
func (s *Service) unlink(ctx context.Context, tx *db.Tx, i *identity, provider, slot string) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM identity_logins WHERE identity_id = $1 AND provider = $2 AND slot = $3`, i.ID, provider, slot); err != nil {
		return err
	}
	tx.AfterCommit(func() {
		s.Log.Info("login unlinked", "identity_pool", i.PoolID, "identity", i.ID, "provider", provider)
	})
	_, err := tx.ExecContext(ctx, `UPDATE identities SET modified = $1 WHERE id = $2`, s.Now().UnixMicro(), i.ID)
	return err
}
