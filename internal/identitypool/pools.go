package identitypool

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	api "usher/internal/api/cognitoidentity"
	"usher/internal/arn"
	"usher/internal/awsapi"
	"usher/internal/db"
	"usher/internal/ids"
)

// pool is an identity pool as the cache keeps it: shared, never changed.
type pool struct {
	ID, AccountID string
	poolDoc
	providers map[string]*provider // by canonical login key
}

type poolDoc struct {
	Settings      api.IdentityPool // as DescribeIdentityPool answers it
	Roles         map[string]string
	RoleMappings  map[string]api.RoleMapping
	PrincipalTags map[string]principalTags // by canonical provider
}

// providerNames are the providers as the pool spells them.
func (p *pool) providerNames() []string {
	names := []string{}
	for _, from := range p.providers {
		names = append(names, from.name)
	}
	slices.Sort(names)
	return names
}

type poolRow struct {
	ID, AccountID string
	Rev           int64
	Doc           db.JSON[poolDoc]
}

const poolColumns = `id, account_id, rev, doc`

func scope(poolID string) string { return "identity-pool/" + poolID }

func errPoolNotFound(id string) error {
	return api.ErrResourceNotFound.Msg("IdentityPool '%s' not found.", id)
}

// pool returns a pool from memory.
func (s *Service) pool(ctx context.Context, id string) (*pool, error) {
	p, err := s.pools.Get(ctx, id, scope(id), func(ctx context.Context) (*pool, error) {
		row, err := db.One[poolRow](ctx, s.DB, `SELECT `+poolColumns+` FROM identity_pools WHERE id = $1`, id)
		if err != nil {
			return nil, err
		}
		doc, err := s.openPool(&row)
		if err != nil {
			return nil, err
		}
		p := &pool{ID: row.ID, AccountID: row.AccountID, poolDoc: doc}
		p.providers = s.providersOf(&p.Settings)
		return p, nil
	})
	if errors.Is(err, db.ErrNotFound) {
		return nil, errPoolNotFound(id)
	}
	return p, err
}

// withSecret are the public providers whose application is written as key;secret.
var withSecret = []string{"api.twitter.com", "www.digits.com"}

const sealedMark = "sealed:" // what a pool of an earlier version has does not begin so

// sealPool is a pool as it is stored, the secrets of its applications sealed.
func (s *Service) sealPool(id string, doc poolDoc) db.JSON[poolDoc] {
	apps := maps.Clone(doc.Settings.SupportedLoginProviders)
	for _, name := range withSecret {
		if app, ok := apps[name]; ok {
			apps[name] = sealedMark + base64.StdEncoding.EncodeToString(s.appBox.Seal([]byte(app), []byte(id+" "+name)))
		}
	}
	doc.Settings.SupportedLoginProviders = apps
	return db.JSON[poolDoc]{V: doc}
}

// openPool undoes sealPool.
func (s *Service) openPool(row *poolRow) (poolDoc, error) {
	doc := row.Doc.V
	for _, name := range withSecret {
		text, ok := strings.CutPrefix(doc.Settings.SupportedLoginProviders[name], sealedMark)
		if !ok {
			continue
		}
		sealed, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return doc, fmt.Errorf("identity pool %s: %s: %w", row.ID, name, err)
		}
		app, err := s.appBox.Open(sealed, []byte(row.ID+" "+name))
		if err != nil {
			return doc, fmt.Errorf("identity pool %s: %s: %w", row.ID, name, err)
		}
		doc.Settings.SupportedLoginProviders[name] = string(app)
	}
	return doc, nil
}

// ownPool returns a pool of the caller's account; another account's is unknown to it.
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

// change edits a pool of the caller's account.
func (s *Service) change(ctx context.Context, id string, edit func(*poolDoc) error) (*poolDoc, error) {
	if _, err := s.ownPool(ctx, id); err != nil {
		return nil, err
	}
	var doc poolDoc
	err := s.DB.Tx(ctx, func(tx *db.Tx) error {
		row, err := db.One[poolRow](ctx, tx, `SELECT `+poolColumns+` FROM identity_pools WHERE id = $1`, id)
		if errors.Is(err, db.ErrNotFound) {
			return errPoolNotFound(id)
		} else if err != nil {
			return err
		}
		if doc, err = s.openPool(&row); err != nil {
			return err
		}
		if err := edit(&doc); err != nil {
			return err
		}
		tx.Invalidate(scope(id))
		return db.Changed(tx.ExecContext(ctx, `UPDATE identity_pools SET name = $1, modified = $2, doc = $3, rev = rev + 1 WHERE id = $4 AND rev = $5`,
			*doc.Settings.IdentityPoolName, s.Now().UnixMicro(), s.sealPool(id, doc), id, row.Rev))
	})
	return &doc, err
}

// Quotas: pools of an account, providers of a pool.
const (
	poolsMost     = 1000
	providersMost = 1000
)

// CreateIdentityPool implements the operation.
func (s *Service) CreateIdentityPool(ctx context.Context, in *api.CreateIdentityPoolInput) (*api.IdentityPool, error) {
	caller, _ := awsapi.CallerFrom(ctx)
	settings := api.IdentityPool{
		IdentityPoolId: new(ids.IdentityPool(s.Region)), IdentityPoolName: in.IdentityPoolName,
		AllowUnauthenticatedIdentities: in.AllowUnauthenticatedIdentities, AllowClassicFlow: in.AllowClassicFlow,
		SupportedLoginProviders: in.SupportedLoginProviders, DeveloperProviderName: in.DeveloperProviderName,
		OpenIdConnectProviderARNs: in.OpenIdConnectProviderARNs, CognitoIdentityProviders: in.CognitoIdentityProviders,
		SamlProviderARNs: in.SamlProviderARNs, IdentityPoolTags: in.IdentityPoolTags,
	}
	if err := s.complete(ctx, &settings, caller.AccountID); err != nil {
		return nil, err
	}
	err := s.DB.Tx(ctx, func(tx *db.Tx) error {
		n, err := db.One[int64](ctx, tx, `SELECT COUNT(*) FROM identity_pools WHERE account_id = $1`, caller.AccountID)
		if err != nil {
			return err
		}
		if n >= poolsMost {
			return api.ErrLimitExceeded.Msg("You have reached the limit of %d identity pools for this account.", poolsMost)
		}
		now := s.Now().UnixMicro()
		_, err = tx.ExecContext(ctx, `INSERT INTO identity_pools (id, account_id, name, created, modified, rev, doc) VALUES ($1, $2, $3, $4, $5, 1, $6)`,
			*settings.IdentityPoolId, caller.AccountID, *settings.IdentityPoolName, now, now, s.sealPool(*settings.IdentityPoolId, poolDoc{Settings: settings}))
		return err
	})
	if err != nil {
		return nil, err
	}
	return &settings, nil
}

// complete puts in the defaults and checks what the model's constraints do not.
func (s *Service) complete(ctx context.Context, p *api.IdentityPool, account string) error {
	if p.AllowClassicFlow == nil {
		p.AllowClassicFlow = new(false)
	}
	p.SupportedLoginProviders, p.CognitoIdentityProviders = mapOrNil(p.SupportedLoginProviders), listOrNil(p.CognitoIdentityProviders)
	p.OpenIdConnectProviderARNs, p.SamlProviderARNs = listOrNil(p.OpenIdConnectProviderARNs), listOrNil(p.SamlProviderARNs)
	if p.IdentityPoolTags == nil {
		p.IdentityPoolTags = map[string]string{}
	}
	if err := checkTags(p.IdentityPoolTags); err != nil {
		return err
	}
	if name := p.DeveloperProviderName; name != nil { // it stands in amr, where others have their meaning
		if _, taken := public[*name]; taken || *name == "authenticated" || *name == "unauthenticated" || *name == builtIn {
			return errNoDeveloper
		}
	}
	if len(p.CognitoIdentityProviders)+len(p.OpenIdConnectProviderARNs)+len(p.SamlProviderARNs) > providersMost {
		return api.ErrLimitExceeded.Msg("An identity pool may have at most %d identity providers.", providersMost)
	}
	seen := map[string]bool{}
	for i := range p.CognitoIdentityProviders {
		c := &p.CognitoIdentityProviders[i]
		if c.ProviderName == nil || c.ClientId == nil {
			return api.ErrInvalidParameter.Msg("Cognito identity providers need ProviderName and ClientId.")
		}
		userPool, ok := s.names.userPool(*c.ProviderName)
		if !ok {
			return api.ErrInvalidParameter.Msg("Invalid Cognito Identity Provider")
		}
		if seen[userPool+" "+*c.ClientId] {
			return api.ErrInvalidParameter.Msg("Duplicate Cognito Identity Provider %s with client %s.", *c.ProviderName, *c.ClientId)
		}
		seen[userPool+" "+*c.ClientId] = true
		if c.ServerSideTokenCheck == nil {
			c.ServerSideTokenCheck = new(false)
		}
	}
	for key := range p.SupportedLoginProviders {
		if _, ok := public[key]; !ok {
			return errNotPublic
		}
	}
	for _, text := range p.OpenIdConnectProviderARNs {
		if name := p.DeveloperProviderName; name != nil && *name == nameOfProvider(text) {
			return errNoDeveloper
		}
		if _, err := s.oidc(ctx, account, text); errors.Is(err, db.ErrNotFound) {
			return errNotAuthorized("Identity provider %s is not valid for account %s", text, account)
		} else if err != nil {
			return err
		}
	}
	for _, text := range p.SamlProviderARNs {
		known := false
		if a, err := arn.Parse(text); err == nil && a.AccountID == account {
			if known, err = s.SAML.HasSAMLProvider(ctx, text); err != nil {
				return err
			}
		}
		if !known {
			return errNotAuthorized("Identity provider %s is not valid for account %s", text, account)
		}
	}
	return nil
}

// mapOrNil and listOrNil return what an empty member is stored as: answers have only members that are set.
func mapOrNil[M ~map[K]V, K comparable, V any](m M) M {
	if len(m) == 0 {
		return nil
	}
	return m
}

func listOrNil[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return list
}

// DescribeIdentityPool implements the operation.
func (s *Service) DescribeIdentityPool(ctx context.Context, in *api.DescribeIdentityPoolInput) (*api.IdentityPool, error) {
	p, err := s.ownPool(ctx, *in.IdentityPoolId)
	if err != nil {
		return nil, err
	}
	return &p.Settings, nil
}

// UpdateIdentityPool implements the operation: it replaces the settings; what is not sent returns to its default.
func (s *Service) UpdateIdentityPool(ctx context.Context, in *api.IdentityPool) (*api.IdentityPool, error) {
	caller, _ := awsapi.CallerFrom(ctx)
	settings := *in
	if err := s.complete(ctx, &settings, caller.AccountID); err != nil {
		return nil, err
	}
	doc, err := s.change(ctx, *in.IdentityPoolId, func(doc *poolDoc) error {
		if was := doc.Settings.DeveloperProviderName; was != nil && (settings.DeveloperProviderName == nil || *settings.DeveloperProviderName != *was) {
			return api.ErrInvalidParameter.Msg("The developer provider name cannot be changed once it is set.")
		}
		if in.IdentityPoolTags == nil {
			settings.IdentityPoolTags = doc.Settings.IdentityPoolTags
		}
		doc.Settings = settings
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &doc.Settings, nil
}

// DeleteIdentityPool implements the operation; nobody can use the identities of the pool any more, and Sweep deletes them.
func (s *Service) DeleteIdentityPool(ctx context.Context, in *api.DeleteIdentityPoolInput) error {
	if _, err := s.ownPool(ctx, *in.IdentityPoolId); err != nil {
		return err
	}
	return s.DB.Tx(ctx, func(tx *db.Tx) error {
		tx.Invalidate(scope(*in.IdentityPoolId))
		if _, err := tx.ExecContext(ctx, `DELETE FROM identity_pools WHERE id = $1`, *in.IdentityPoolId); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO identity_purges (pool_id, deleted) VALUES ($1, $2) ON CONFLICT DO NOTHING`, *in.IdentityPoolId, s.Now().UnixMicro())
		return err
	})
}

// ListIdentityPools implements the operation.
func (s *Service) ListIdentityPools(ctx context.Context, in *api.ListIdentityPoolsInput) (*api.ListIdentityPoolsResponse, error) {
	caller, _ := awsapi.CallerFrom(ctx)
	after, err := readPage(in.NextToken, "pools/"+caller.AccountID)
	if err != nil {
		return nil, err
	}
	limit := int(*in.MaxResults)
	rows, err := db.All[struct{ ID, Name string }](ctx, s.DB, `SELECT id, name FROM identity_pools WHERE account_id = $1 AND id > $2 ORDER BY id LIMIT $3`,
		caller.AccountID, after, limit+1)
	if err != nil {
		return nil, err
	}
	out := &api.ListIdentityPoolsResponse{IdentityPools: []api.IdentityPoolShortDescription{}}
	if len(rows) > limit {
		rows = rows[:limit]
		out.NextToken = pageToken(rows[limit-1].ID, "pools/"+caller.AccountID)
	}
	for _, r := range rows {
		out.IdentityPools = append(out.IdentityPools, api.IdentityPoolShortDescription{IdentityPoolId: &r.ID, IdentityPoolName: &r.Name})
	}
	return out, nil
}

// isText reports whether PostgreSQL can compare with a text: UTF-8 without zero bytes.
func isText(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }

// pageToken makes the token of the page that begins after an id, in one list.
func pageToken(after, list string) *string {
	return new(base64.RawURLEncoding.EncodeToString([]byte(list + "\n" + after)))
}

func readPage(token *string, list string) (after string, err error) {
	if token == nil {
		return "", nil
	}
	text, err := base64.RawURLEncoding.DecodeString(*token)
	after, ok := strings.CutPrefix(string(text), list+"\n")
	if err != nil || !ok || !isText(after) {
		return "", api.ErrInvalidParameter.Msg("Invalid pagination token.")
	}
	return after, nil
}

// tagsMost is how many tags a resource may have.
const tagsMost = 50

func checkTags(tags map[string]string) error {
	for k := range tags {
		if strings.HasPrefix(strings.ToLower(k), "aws:") {
			return api.ErrInvalidParameter.Msg("Tag keys may not begin with aws:.")
		}
	}
	if len(tags) > tagsMost {
		return api.ErrInvalidParameter.Msg("A resource may have at most %d tags.", tagsMost)
	}
	return nil
}

// TagResource implements the operation.
func (s *Service) TagResource(ctx context.Context, in *api.TagResourceInput) (*api.TagResourceResponse, error) {
	id, err := s.idOfARN(ctx, *in.ResourceArn)
	if err != nil {
		return nil, err
	}
	_, err = s.change(ctx, id, func(doc *poolDoc) error {
		maps.Copy(doc.Settings.IdentityPoolTags, in.Tags)
		return checkTags(doc.Settings.IdentityPoolTags)
	})
	return &api.TagResourceResponse{}, err
}

// UntagResource implements the operation.
func (s *Service) UntagResource(ctx context.Context, in *api.UntagResourceInput) (*api.UntagResourceResponse, error) {
	id, err := s.idOfARN(ctx, *in.ResourceArn)
	if err != nil {
		return nil, err
	}
	_, err = s.change(ctx, id, func(doc *poolDoc) error {
		for _, k := range in.TagKeys {
			delete(doc.Settings.IdentityPoolTags, k)
		}
		return nil
	})
	return &api.UntagResourceResponse{}, err
}

// ListTagsForResource implements the operation.
func (s *Service) ListTagsForResource(ctx context.Context, in *api.ListTagsForResourceInput) (*api.ListTagsForResourceResponse, error) {
	id, err := s.idOfARN(ctx, *in.ResourceArn)
	if err != nil {
		return nil, err
	}
	p, err := s.ownPool(ctx, id)
	if err != nil {
		return nil, err
	}
	return &api.ListTagsForResourceResponse{Tags: p.Settings.IdentityPoolTags}, nil
}
