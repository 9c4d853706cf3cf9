package userpool

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"usher/internal/api/cognitoidp"
	"usher/internal/awsapi"
	"usher/internal/db"
)

// poolScope is what a change of the pool, its keys or its clients invalidates in caches.
func poolScope(id string) string { return "pool/" + id }

// pool returns the pool with that id, of whichever account.
func (s *Service) pool(ctx context.Context, id string) (*pool, error) {
	if strings.Contains(id, "\x00") {
		return nil, errPoolNotFound(id) // PostgreSQL refuses to compare with it
	}
	return s.pools.Get(ctx, id, poolScope(id), func(ctx context.Context) (*pool, error) {
		p, err := readPool(ctx, s.DB, id)
		if err != nil {
			return nil, err
		}
		if p.sessions, err = readSessionSettings(ctx, s.DB, id, "", defaultPoolSessions); err != nil {
			return nil, err
		}
		p.keys, err = s.readKeys(ctx, id)
		return p, err
	})
}

func readPool(ctx context.Context, q db.Querier, id string) (*pool, error) {
	row, err := db.One[poolRow](ctx, q, `SELECT `+poolColumns+` FROM user_pools WHERE id = $1`, id)
	if errors.Is(err, db.ErrNotFound) {
		return nil, errPoolNotFound(id)
	} else if err != nil {
		return nil, err
	}
	return row.pool(), nil
}

// ownPool returns the pool with that id if it belongs to the account of the caller, for whom there is no other.
func (s *Service) ownPool(ctx context.Context, id string) (*pool, error) {
	p, err := s.pool(ctx, id)
	if err != nil {
		return nil, err
	}
	if caller, ok := awsapi.CallerFrom(ctx); !ok || caller.AccountID != p.AccountID {
		return nil, errPoolNotFound(id)
	}
	return p, nil
}

// CreateUserPool creates a pool, with keys of its own, in the account of the caller.
func (s *Service) CreateUserPool(ctx context.Context, in *cognitoidp.CreateUserPoolRequest) (*cognitoidp.CreateUserPoolResponse, error) {
	caller, _ := awsapi.CallerFrom(ctx)
	if err := s.checkTriggers(in.LambdaConfig, deref(in.UserPoolTier)); err != nil {
		return nil, err
	}
	settings, err := poolSettings(&cognitoidp.UpdateUserPoolRequest{
		PoolName: in.PoolName, Policies: in.Policies, DeletionProtection: in.DeletionProtection, LambdaConfig: in.LambdaConfig,
		AutoVerifiedAttributes: in.AutoVerifiedAttributes, SmsVerificationMessage: in.SmsVerificationMessage,
		EmailVerificationMessage: in.EmailVerificationMessage, EmailVerificationSubject: in.EmailVerificationSubject,
		VerificationMessageTemplate: in.VerificationMessageTemplate, SmsAuthenticationMessage: in.SmsAuthenticationMessage,
		UserAttributeUpdateSettings: in.UserAttributeUpdateSettings, MfaConfiguration: in.MfaConfiguration,
		DeviceConfiguration: in.DeviceConfiguration, EmailConfiguration: in.EmailConfiguration, SmsConfiguration: in.SmsConfiguration,
		UserPoolTags: in.UserPoolTags, AdminCreateUserConfig: in.AdminCreateUserConfig, UserPoolAddOns: in.UserPoolAddOns,
		AccountRecoverySetting: in.AccountRecoverySetting, UserPoolTier: in.UserPoolTier, KeyConfiguration: in.KeyConfiguration,
		IssuerConfiguration: in.IssuerConfiguration, DcrConfiguration: in.DcrConfiguration, AcrConfiguration: in.AcrConfiguration,
	}, &mfaSettings{})
	if err != nil {
		return nil, err
	}
	if err := fixSettings(settings, in); err != nil {
		return nil, err
	}
	if err := checkTags(settings.UserPoolTags); err != nil {
		return nil, err
	}
	id, err := s.newPoolID(settings.UserPoolTags)
	if err != nil {
		return nil, err
	}
	now := s.now()
	row := poolRow{ID: id, AccountID: caller.AccountID, Name: *in.PoolName, Created: now, Modified: now, Rev: 1}
	row.Doc.V = *settings
	p := row.pool()
	keys, err := s.newPoolKeys(p)
	if err != nil {
		return nil, err
	}
	err = s.DB.Tx(ctx, func(tx *db.Tx) error {
		n, err := db.One[int](ctx, tx, `SELECT count(*) FROM user_pools WHERE account_id = $1`, p.AccountID)
		if err != nil {
			return err
		}
		if n >= maxPools {
			return errLimit("user pools", maxPools)
		}
		if err := poolIDFree(ctx, tx, p.AccountID, p.ID); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO user_pools (id, account_id, name, created, modified, rev, doc)
			VALUES ($1, $2, $3, $4, $5, $6, $7)`, row.ID, row.AccountID, row.Name, row.Created, row.Modified, row.Rev, row.Doc); err != nil {
			return err
		}
		return s.insertPoolKeys(ctx, tx, p, keys)
	})
	if err != nil {
		return nil, err
	}
	return &cognitoidp.CreateUserPoolResponse{UserPool: wirePool(p, 0)}, nil
}

// fixSettings checks and adds the settings that never change once the pool is created.
func fixSettings(s *cognitoidp.UserPoolType, in *cognitoidp.CreateUserPoolRequest) error {
	if len(in.AliasAttributes) > 0 && len(in.UsernameAttributes) > 0 {
		return errBothUsernameKinds
	}
	s.AliasAttributes, s.UsernameAttributes = set(in.AliasAttributes), set(in.UsernameAttributes)
	s.UsernameConfiguration = in.UsernameConfiguration
	var err error
	if s.SchemaAttributes, err = defineAttributes(in.Schema); err != nil {
		return err
	}
	for _, a := range s.SchemaAttributes {
		if *a.Name == attrPreferredUsername && *a.Required && slices.Contains(s.AliasAttributes, attrPreferredUsername) {
			return errPreferredRequired
		}
	}
	return nil
}

// DescribeUserPool returns a pool.
func (s *Service) DescribeUserPool(ctx context.Context, in *cognitoidp.DescribeUserPoolRequest) (*cognitoidp.DescribeUserPoolResponse, error) {
	p, err := s.ownPool(ctx, *in.UserPoolId)
	if err != nil {
		return nil, err
	}
	users, err := s.estimates.count(ctx, s.DB, p.ID, s.Now())
	if err != nil {
		return nil, err
	}
	return &cognitoidp.DescribeUserPoolResponse{UserPool: wirePool(p, users)}, nil
}

// estimates are the numbers of users of large pools, whose counting takes a while.
type estimates struct {
	mu    sync.Mutex
	pools map[string]estimate
}

type estimate struct {
	users int32
	until time.Time
}

const (
	countedAlways = 10_000 // pools of up to so many users are counted each time
	estimateLife  = time.Minute
)

func (e *estimates) count(ctx context.Context, q db.Querier, pool string, now time.Time) (int32, error) {
	e.mu.Lock()
	known := e.pools[pool]
	e.mu.Unlock()
	if now.Before(known.until) {
		return known.users, nil
	}
	users, err := db.One[int32](ctx, q, `SELECT count(*) FROM users WHERE pool_id = $1`, pool)
	if err != nil || users <= countedAlways {
		return users, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.pools) >= maxCachedPools {
		clear(e.pools)
	}
	e.pools[pool] = estimate{users, now.Add(estimateLife)}
	return users, nil
}

// UpdateUserPool replaces the settings of a pool: what is not in the request gets its default. The name and the tags stay
// when they are not in it; tags because they grant access and have operations of their own.
func (s *Service) UpdateUserPool(ctx context.Context, in *cognitoidp.UpdateUserPoolRequest) (*cognitoidp.UpdateUserPoolResponse, error) {
	if _, err := s.ownIdlePool(ctx, *in.UserPoolId); err != nil {
		return nil, err
	}
	return nil, s.updatePool(ctx, *in.UserPoolId, func(p *pool) (*cognitoidp.UserPoolType, error) {
		old := &p.Settings
		if p.downgraded(in.UserPoolTier) {
			switch {
			case p.mfa.Email != nil:
				return nil, errTierChange("e-mail MFA")
			case p.mfa.WebAuthn != nil:
				return nil, errTierChange("passkeys")
			}
		}
		if err := s.checkTriggers(in.LambdaConfig, deref(in.UserPoolTier)); err != nil {
			return nil, err
		}
		settings, err := poolSettings(in, &p.mfa)
		if err != nil {
			return nil, err
		}
		settings.AliasAttributes, settings.UsernameAttributes = old.AliasAttributes, old.UsernameAttributes
		settings.UsernameConfiguration, settings.SchemaAttributes = old.UsernameConfiguration, old.SchemaAttributes
		if in.PoolName == nil {
			settings.Name = old.Name
		}
		if in.UserPoolTags == nil {
			settings.UserPoolTags = old.UserPoolTags
		}
		return settings, checkTags(settings.UserPoolTags)
	})
}

// updatePool replaces the settings of the caller's pool with those that change returns. change must not write to the pool
// that it is given.
func (s *Service) updatePool(ctx context.Context, id string, change func(p *pool) (*cognitoidp.UserPoolType, error)) error {
	return s.updatePoolMFA(ctx, id, func(p *pool) (*cognitoidp.UserPoolType, *mfaSettings, error) {
		settings, err := change(p)
		return settings, &p.mfa, err
	})
}

// updatePoolMFA is updatePool for changes of what is set by SetUserPoolMfaConfig, too.
func (s *Service) updatePoolMFA(ctx context.Context, id string, change func(p *pool) (*cognitoidp.UserPoolType, *mfaSettings, error)) error {
	if _, err := s.ownPool(ctx, id); err != nil {
		return err
	}
	return s.DB.Tx(ctx, func(tx *db.Tx) error {
		p, err := readPool(ctx, tx, id)
		if err != nil {
			return err
		}
		settings, mfa, err := change(p)
		if err != nil {
			return err
		}
		if p.downgraded(settings.UserPoolTier) {
			if sessions, err := readSessionSettings(ctx, tx, id, "", defaultPoolSessions); err != nil {
				return err
			} else if sessions.Tracked {
				return errTierChange("user session tracking")
			}
		}
		tx.Invalidate(poolScope(id))
		return db.Changed(tx.ExecContext(ctx, `UPDATE user_pools SET name = $3, modified = $4, rev = rev + 1, doc = $5, mfa = $6 WHERE id = $1 AND rev = $2`,
			id, p.Rev, *settings.Name, s.now(), db.JSON[cognitoidp.UserPoolType]{V: *settings}, db.JSON[mfaSettings]{V: *mfa}))
	})
}

// downgraded reports whether a tier takes features from the pool. Those that the request itself turns on are refused as
// unavailable.
func (p *pool) downgraded(tier *string) bool {
	return deref(tier) == cognitoidp.UserPoolTierTypeLite && deref(p.Settings.UserPoolTier) != cognitoidp.UserPoolTierTypeLite
}

// AddCustomAttributes adds attributes to the schema of a pool. They cannot be changed or removed, but by ChangeFrozen.
func (s *Service) AddCustomAttributes(ctx context.Context, in *cognitoidp.AddCustomAttributesRequest) (*cognitoidp.AddCustomAttributesResponse, error) {
	if _, err := s.ownIdlePool(ctx, *in.UserPoolId); err != nil {
		return nil, err
	}
	return nil, s.updatePool(ctx, *in.UserPoolId, func(p *pool) (*cognitoidp.UserPoolType, error) {
		settings := p.Settings
		var err error
		settings.SchemaAttributes, err = addCustomAttributes(slices.Clip(settings.SchemaAttributes), in.CustomAttributes)
		if limit, ok := errors.AsType[*awsapi.Error](err); ok && errors.Is(err, cognitoidp.ErrLimitExceeded) {
			err = cognitoidp.ErrInvalidParameter.Msg("%s", limit.Message) // this operation has no LimitExceededException
		}
		return &settings, err
	})
}

// DeleteUserPool deletes a pool, its clients and its keys at once. Its users are gone with it; Sweep removes their rows.
func (s *Service) DeleteUserPool(ctx context.Context, in *cognitoidp.DeleteUserPoolRequest) error {
	id := *in.UserPoolId
	if _, err := s.ownIdlePool(ctx, id); err != nil {
		return err
	}
	return s.DB.Tx(ctx, func(tx *db.Tx) error {
		p, err := readPool(ctx, tx, id)
		if err != nil {
			return err
		}
		if deref(p.Settings.DeletionProtection) == cognitoidp.DeletionProtectionTypeActive {
			return errDeletionProtection
		}
		tx.Invalidate(poolScope(id))
		for _, statement := range []string{
			`INSERT INTO user_pool_former_ids (pool_id, account_id) SELECT id, account_id FROM user_pools WHERE id = $1 ON CONFLICT (pool_id) DO NOTHING`,
			`DELETE FROM user_pools WHERE id = $1`,
			`DELETE FROM user_pool_clients WHERE pool_id = $1`,
			`DELETE FROM user_pool_keys WHERE pool_id = $1`,
			`DELETE FROM user_pool_saml_keys WHERE pool_id = $1`,
			`DELETE FROM user_pool_identity_providers WHERE pool_id = $1`,
			`INSERT INTO user_pool_remains (pool_id) VALUES ($1)`,
		} {
			if _, err := tx.ExecContext(ctx, statement, id); err != nil {
				return err
			}
		}
		return nil
	})
}

// ListUserPools lists the pools of the caller's account.
func (s *Service) ListUserPools(ctx context.Context, in *cognitoidp.ListUserPoolsRequest) (*cognitoidp.ListUserPoolsResponse, error) {
	caller, _ := awsapi.CallerFrom(ctx)
	page, err := s.openPage(in.NextToken, in.MaxResults, "ListUserPools", caller.AccountID)
	if err != nil {
		return nil, err
	}
	rows, err := db.All[poolRow](ctx, s.DB, `SELECT `+poolColumns+` FROM user_pools WHERE account_id = $1 AND id > $2 ORDER BY id LIMIT $3`,
		caller.AccountID, page.after(0), page.fetch())
	if err != nil {
		return nil, err
	}
	out := &cognitoidp.ListUserPoolsResponse{UserPools: []cognitoidp.UserPoolDescriptionType{}}
	rows, out.NextToken = cut(page, rows, func(r *poolRow) []string { return []string{r.ID} })
	for i := range rows {
		p := rows[i].pool()
		out.UserPools = append(out.UserPools, cognitoidp.UserPoolDescriptionType{
			Id: &p.ID, Name: p.Settings.Name, LambdaConfig: p.Settings.LambdaConfig, CreationDate: &p.Created, LastModifiedDate: &p.Modified,
		})
	}
	return out, nil
}
