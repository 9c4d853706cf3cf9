package userpool

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"usher/internal/api/cognitoidp"
	"usher/internal/db"
	"usher/internal/ids"
)

// client returns the app client with that id and its pool, of whichever account.
func (s *Service) client(ctx context.Context, id string) (*client, *pool, error) {
	c, err := s.clients.GetScoped(ctx, id, func(ctx context.Context, on func(...string)) (*client, error) {
		row, err := db.One[clientRow](ctx, s.DB, `SELECT `+clientColumns+` FROM user_pool_clients WHERE id = $1`, id)
		if errors.Is(err, db.ErrNotFound) {
			return nil, errClientNotFound(id)
		} else if err != nil {
			return nil, err
		}
		on(poolScope(row.PoolID))
		p, err := readPool(ctx, s.DB, row.PoolID)
		if errors.Is(err, cognitoidp.ErrResourceNotFound) {
			return nil, errClientNotFound(id) // the pool was deleted meanwhile
		} else if err != nil {
			return nil, err
		}
		return s.readClient(p, row)
	})
	if err != nil {
		return nil, nil, err
	}
	p, err := s.pool(ctx, c.PoolID)
	return c, p, err
}

// poolClient returns a client of the caller's pool.
func (s *Service) poolClient(ctx context.Context, poolID, id string) (*client, *pool, error) {
	p, err := s.ownPool(ctx, poolID)
	if err != nil {
		return nil, nil, err
	}
	c, _, err := s.client(ctx, id)
	if err == nil && c.PoolID != p.ID {
		err = errClientNotFound(id)
	}
	return c, p, err
}

// readClient returns a row as a client, its secrets unsealed.
func (s *Service) readClient(p *pool, row clientRow) (*client, error) {
	c := &client{
		ID: row.ID, PoolID: row.PoolID,
		Created: timeOf(row.Created), Modified: timeOf(row.Modified), Rev: row.Rev,
		Settings: row.Doc.V,
		schema:   p.schema,
	}
	c.Settings.ClientName = &row.Name
	for _, secret := range row.Secrets.V {
		plain, err := s.secrets.Open(secret.Sealed, []byte(c.ID))
		if err != nil {
			return nil, fmt.Errorf("secret of app client %s: %w", c.ID, err)
		}
		c.Secrets = append(c.Secrets, string(plain))
	}
	c.AccessTokenLife, c.IDTokenLife, c.RefreshTokenLife = tokenLives(&c.Settings)
	c.SessionLife = time.Duration(*c.Settings.AuthSessionValidity) * time.Minute
	c.Flows = c.Settings.ExplicitAuthFlows
	if c.Flows == nil {
		c.Flows = []string{cognitoidp.ExplicitAuthFlowsTypeAllowRefreshTokenAuth, cognitoidp.ExplicitAuthFlowsTypeAllowUserSrpAuth,
			cognitoidp.ExplicitAuthFlowsTypeAllowCustomAuth}
	}
	return c, nil
}

// CreateUserPoolClient creates an app client, with a secret if one is asked for or given.
func (s *Service) CreateUserPoolClient(ctx context.Context, in *cognitoidp.CreateUserPoolClientRequest) (*cognitoidp.CreateUserPoolClientResponse, error) {
	p, err := s.ownPool(ctx, *in.UserPoolId)
	if err != nil {
		return nil, err
	}
	if deref(in.GenerateSecret) && in.ClientSecret != nil {
		return nil, errSecretTwice
	}
	secret := in.ClientSecret
	if deref(in.GenerateSecret) {
		secret = new(ids.ClientSecret())
	}
	settings, err := clientSettings(p, &cognitoidp.UpdateUserPoolClientRequest{
		ClientName: in.ClientName, RefreshTokenValidity: in.RefreshTokenValidity, AccessTokenValidity: in.AccessTokenValidity,
		IdTokenValidity: in.IdTokenValidity, TokenValidityUnits: in.TokenValidityUnits, ReadAttributes: in.ReadAttributes,
		WriteAttributes: in.WriteAttributes, ExplicitAuthFlows: in.ExplicitAuthFlows,
		SupportedIdentityProviders: in.SupportedIdentityProviders, CallbackURLs: in.CallbackURLs, LogoutURLs: in.LogoutURLs,
		DefaultRedirectURI: in.DefaultRedirectURI, AllowedOAuthFlows: in.AllowedOAuthFlows, AllowedOAuthScopes: in.AllowedOAuthScopes,
		AllowedOAuthFlowsUserPoolClient: in.AllowedOAuthFlowsUserPoolClient, AnalyticsConfiguration: in.AnalyticsConfiguration,
		PreventUserExistenceErrors: in.PreventUserExistenceErrors, EnableTokenRevocation: in.EnableTokenRevocation,
		EnablePropagateAdditionalUserContextData: in.EnablePropagateAdditionalUserContextData,
		AuthSessionValidity:                      in.AuthSessionValidity, RefreshTokenRotation: in.RefreshTokenRotation,
	}, secret != nil, "creating")
	if err != nil {
		return nil, err
	}
	id, err := p.newClientID(*in.ClientName)
	if err != nil {
		return nil, err
	}
	now := s.now()
	row := clientRow{ID: id, PoolID: p.ID, Name: *in.ClientName, Created: now, Modified: now, Rev: 1}
	row.Doc.V = *settings
	row.Secrets.V = []clientSecret{}
	if secret != nil {
		row.Secrets.V = append(row.Secrets.V, clientSecret{
			ID: fmt.Sprintf("%s--%d", row.ID, timeOf(now).Unix()), Created: now, Sealed: s.secrets.Seal([]byte(*secret), []byte(row.ID)),
		})
	}
	err = s.DB.Tx(ctx, func(tx *db.Tx) error {
		if err := sameEpoch(ctx, tx, p); err != nil {
			return err
		}
		if err := clientIDFree(ctx, tx, row.ID); err != nil {
			return err
		}
		if err := checkCustomScopes(ctx, tx, p, settings.AllowedOAuthScopes); err != nil {
			return err
		}
		if err := checkProviders(ctx, tx, p, settings.SupportedIdentityProviders); err != nil {
			return err
		}
		n, err := db.One[int](ctx, tx, `SELECT count(*) FROM user_pool_clients WHERE pool_id = $1`, p.ID)
		if err != nil {
			return err
		}
		if n >= maxClients {
			return errLimit("app clients", maxClients)
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO user_pool_clients (id, pool_id, name, created, modified, rev, doc, secrets)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			row.ID, row.PoolID, row.Name, row.Created, row.Modified, row.Rev, row.Doc, row.Secrets)
		return err
	})
	if err != nil {
		return nil, err
	}
	c, err := s.readClient(p, row)
	if err != nil {
		return nil, err
	}
	return &cognitoidp.CreateUserPoolClientResponse{UserPoolClient: wireClient(c)}, nil
}

// DescribeUserPoolClient returns a client, with its first secret.
func (s *Service) DescribeUserPoolClient(ctx context.Context, in *cognitoidp.DescribeUserPoolClientRequest) (*cognitoidp.DescribeUserPoolClientResponse, error) {
	c, _, err := s.poolClient(ctx, *in.UserPoolId, *in.ClientId)
	if err != nil {
		return nil, err
	}
	return &cognitoidp.DescribeUserPoolClientResponse{UserPoolClient: wireClient(c)}, nil
}

// UpdateUserPoolClient replaces the settings of a client: what is not in the request gets its default. The name stays when
// it is not in it, and the secret always.
func (s *Service) UpdateUserPoolClient(ctx context.Context, in *cognitoidp.UpdateUserPoolClientRequest) (*cognitoidp.UpdateUserPoolClientResponse, error) {
	_, p, err := s.poolClient(ctx, *in.UserPoolId, *in.ClientId)
	if err != nil {
		return nil, err
	}
	var c *client
	err = s.DB.Tx(ctx, func(tx *db.Tx) error {
		row, err := db.One[clientRow](ctx, tx, `SELECT `+clientColumns+` FROM user_pool_clients WHERE pool_id = $1 AND id = $2`, p.ID, *in.ClientId)
		if errors.Is(err, db.ErrNotFound) {
			return errClientNotFound(*in.ClientId)
		} else if err != nil {
			return err
		}
		if err := sameEpoch(ctx, tx, p); err != nil {
			return err
		}
		settings, err := clientSettings(p, in, len(row.Secrets.V) > 0, "updating")
		if err != nil {
			return err
		}
		if err := checkCustomScopes(ctx, tx, p, settings.AllowedOAuthScopes); err != nil {
			return err
		}
		if err := checkProviders(ctx, tx, p, settings.SupportedIdentityProviders); err != nil {
			return err
		}
		row.Doc.V, row.Modified = *settings, s.now()
		if in.ClientName != nil {
			row.Name = *in.ClientName
		}
		if c, err = s.readClient(p, row); err != nil {
			return err
		}
		tx.Invalidate(poolScope(p.ID))
		return db.Changed(tx.ExecContext(ctx, `UPDATE user_pool_clients SET name = $3, modified = $4, rev = rev + 1, doc = $5 WHERE id = $1 AND rev = $2`,
			row.ID, row.Rev, row.Name, row.Modified, row.Doc))
	})
	if err != nil {
		return nil, err
	}
	return &cognitoidp.UpdateUserPoolClientResponse{UserPoolClient: wireClient(c)}, nil
}

// DeleteUserPoolClient deletes a client. Tokens that were issued through it are not accepted any more.
func (s *Service) DeleteUserPoolClient(ctx context.Context, in *cognitoidp.DeleteUserPoolClientRequest) error {
	p, err := s.ownPool(ctx, *in.UserPoolId)
	if err != nil {
		return err
	}
	return s.DB.Tx(ctx, func(tx *db.Tx) error {
		err := db.Changed(tx.ExecContext(ctx, `DELETE FROM user_pool_clients WHERE pool_id = $1 AND id = $2`, p.ID, *in.ClientId))
		if errors.Is(err, db.ErrConflict) {
			return errClientNotFound(*in.ClientId)
		} else if err != nil {
			return err
		}
		tx.Invalidate(poolScope(p.ID))
		_, err = tx.ExecContext(ctx, `DELETE FROM user_pool_session_settings WHERE pool_id = $1 AND client_id = $2`, p.ID, *in.ClientId)
		return err
	})
}

// ListUserPoolClients lists the clients of a pool. None of them registered itself (ClientType DCR).
func (s *Service) ListUserPoolClients(ctx context.Context, in *cognitoidp.ListUserPoolClientsRequest) (*cognitoidp.ListUserPoolClientsResponse, error) {
	p, err := s.ownPool(ctx, *in.UserPoolId)
	if err != nil {
		return nil, err
	}
	out := &cognitoidp.ListUserPoolClientsResponse{UserPoolClients: []cognitoidp.UserPoolClientDescription{}}
	if deref(in.ClientType) == cognitoidp.ClientTypeTypeDcr {
		return out, nil
	}
	page, err := s.openPage(in.NextToken, in.MaxResults, "ListUserPoolClients", p.ID)
	if err != nil {
		return nil, err
	}
	type row struct{ ID, Name string }
	rows, err := db.All[row](ctx, s.DB, `SELECT id, name FROM user_pool_clients WHERE pool_id = $1 AND id > $2 ORDER BY id LIMIT $3`,
		p.ID, page.after(0), page.fetch())
	if err != nil {
		return nil, err
	}
	rows, out.NextToken = cut(page, rows, func(r *row) []string { return []string{r.ID} })
	for _, r := range rows {
		out.UserPoolClients = append(out.UserPoolClients, cognitoidp.UserPoolClientDescription{ClientId: &r.ID, UserPoolId: &p.ID, ClientName: &r.Name})
	}
	return out, nil
}

// clientSettings checks the settings of a client and returns them with the defaults filled in. doing is "creating" or
// "updating".
//
// Source: Amazon Cognito user pools API reference, CreateUserPoolClient.
func clientSettings(p *pool, in *cognitoidp.UpdateUserPoolClientRequest, secret bool, doing string) (*cognitoidp.UserPoolClientType, error) {
	s := &cognitoidp.UserPoolClientType{
		ClientName:                               in.ClientName,
		RefreshTokenValidity:                     in.RefreshTokenValidity,
		AccessTokenValidity:                      in.AccessTokenValidity,
		IdTokenValidity:                          in.IdTokenValidity,
		TokenValidityUnits:                       or(in.TokenValidityUnits, cognitoidp.TokenValidityUnitsType{}),
		ReadAttributes:                           set(in.ReadAttributes),
		WriteAttributes:                          set(in.WriteAttributes),
		ExplicitAuthFlows:                        set(in.ExplicitAuthFlows),
		SupportedIdentityProviders:               set(in.SupportedIdentityProviders),
		CallbackURLs:                             set(in.CallbackURLs),
		LogoutURLs:                               set(in.LogoutURLs),
		DefaultRedirectURI:                       in.DefaultRedirectURI,
		AllowedOAuthFlows:                        set(in.AllowedOAuthFlows),
		AllowedOAuthScopes:                       set(in.AllowedOAuthScopes),
		AllowedOAuthFlowsUserPoolClient:          or(in.AllowedOAuthFlowsUserPoolClient, false),
		AnalyticsConfiguration:                   in.AnalyticsConfiguration,
		PreventUserExistenceErrors:               in.PreventUserExistenceErrors,
		EnableTokenRevocation:                    or(in.EnableTokenRevocation, true),
		EnablePropagateAdditionalUserContextData: or(in.EnablePropagateAdditionalUserContextData, false),
		AuthSessionValidity:                      or(in.AuthSessionValidity, 3),
		RefreshTokenRotation:                     in.RefreshTokenRotation,
	}
	if deref(s.RefreshTokenValidity) == 0 {
		s.RefreshTokenValidity = new(int32(30))
	}
	if *s.EnablePropagateAdditionalUserContextData && !secret {
		return nil, errPropagateSecret
	}
	if err := checkFlows(s, secret); err != nil {
		return nil, err
	}
	if err := checkTokenLives(s); err != nil {
		return nil, err
	}
	if err := checkClientAttributes(p, s, doing); err != nil {
		return nil, err
	}
	return s, checkOAuth(s, secret)
}

// checkFlows checks that the flows are all of the older or all of the newer names, and go together.
func checkFlows(s *cognitoidp.UserPoolClientType, secret bool) error {
	newer := 0
	for _, flow := range s.ExplicitAuthFlows {
		if strings.HasPrefix(flow, "ALLOW_") {
			newer++
		}
	}
	if newer != 0 && newer != len(s.ExplicitAuthFlows) {
		return errFlowsMixed
	}
	if slices.Contains(s.ExplicitAuthFlows, cognitoidp.ExplicitAuthFlowsTypeAllowClientTokenAuth) && (newer > 1 || !secret) {
		return errClientTokenFlow
	}
	if slices.Contains(s.ExplicitAuthFlows, cognitoidp.ExplicitAuthFlowsTypeAllowClientTokenAuth) {
		return errNotAvailable(cognitoidp.ExplicitAuthFlowsTypeAllowClientTokenAuth)
	}
	r := s.RefreshTokenRotation
	if r != nil && *r.Feature == cognitoidp.FeatureTypeEnabled && slices.Contains(s.ExplicitAuthFlows, cognitoidp.ExplicitAuthFlowsTypeAllowRefreshTokenAuth) {
		return errRotationFlow
	}
	return nil
}

var timeUnits = map[string]time.Duration{
	cognitoidp.TimeUnitsTypeSeconds: time.Second,
	cognitoidp.TimeUnitsTypeMinutes: time.Minute,
	cognitoidp.TimeUnitsTypeHours:   time.Hour,
	cognitoidp.TimeUnitsTypeDays:    24 * time.Hour,
}

// tokenLives returns how long the tokens of a client are valid.
func tokenLives(s *cognitoidp.UserPoolClientType) (access, id, refresh time.Duration) {
	life := func(value *int32, unit *string, usual string, unset time.Duration) time.Duration {
		if value == nil {
			return unset
		}
		return time.Duration(*value) * timeUnits[*or(unit, usual)]
	}
	units := s.TokenValidityUnits
	return life(s.AccessTokenValidity, units.AccessToken, cognitoidp.TimeUnitsTypeHours, time.Hour),
		life(s.IdTokenValidity, units.IdToken, cognitoidp.TimeUnitsTypeHours, time.Hour),
		life(s.RefreshTokenValidity, units.RefreshToken, cognitoidp.TimeUnitsTypeDays, 0)
}

func checkTokenLives(s *cognitoidp.UserPoolClientType) error {
	const day = 24 * time.Hour
	access, id, refresh := tokenLives(s)
	for _, life := range []time.Duration{access, id} {
		if life < 5*time.Minute || life > day || life > refresh {
			return errTokenValidity
		}
	}
	if refresh < time.Hour || refresh > 3650*day {
		return errTokenValidity
	}
	return nil
}

// checkClientAttributes checks that the client's lists name attributes that clients can read and write, and that users can
// give values to what the schema requires.
func checkClientAttributes(p *pool, s *cognitoidp.UserPoolClientType, doing string) error {
	for _, name := range s.ReadAttributes {
		if a := p.schema[name]; a == nil || *a.DeveloperOnlyAttribute {
			return errClientAttributes("read", doing)
		}
	}
	for _, name := range s.WriteAttributes {
		if a := p.schema[name]; a == nil || !userWritable(a) {
			return errClientAttributes("write", doing)
		}
	}
	for name, a := range p.schema {
		if *a.Required && userWritable(a) && s.WriteAttributes != nil && !slices.Contains(s.WriteAttributes, name) {
			return errClientAttributes("write", doing)
		}
	}
	return nil
}

// Scopes that every pool has.
var standardScopes = []string{"phone", "email", "openid", "profile", "aws.cognito.signin.user.admin"}

func checkOAuth(s *cognitoidp.UserPoolClientType, secret bool) error {
	flows := s.AllowedOAuthFlows
	if *s.AllowedOAuthFlowsUserPoolClient && (flows == nil || s.AllowedOAuthScopes == nil) {
		return errOAuthIncomplete
	}
	if slices.Contains(flows, cognitoidp.OAuthFlowTypeClientCredentials) {
		if len(flows) > 1 {
			return errOAuthMixed
		}
		if !secret {
			return errOAuthNoSecret
		}
	} else if *s.AllowedOAuthFlowsUserPoolClient && s.CallbackURLs == nil {
		return errCallbackMissing
	}
	for _, scope := range s.AllowedOAuthScopes {
		if !slices.Contains(standardScopes, scope) && !strings.Contains(scope, "/") { // see checkCustomScopes
			return errScopeNotFound(scope)
		}
	}
	for _, uri := range slices.Concat(s.CallbackURLs, s.LogoutURLs) {
		if !isRedirectURI(uri) {
			return errRedirectURI(uri)
		}
	}
	if s.DefaultRedirectURI != nil && !slices.Contains(s.CallbackURLs, *s.DefaultRedirectURI) {
		return errDefaultRedirect
	}
	return nil
}

// isRedirectURI accepts absolute URIs without a fragment that are https, http to the machine of the browser itself, or of an
// app's own scheme.
func isRedirectURI(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" || strings.Contains(text, "#") {
		return false
	}
	switch u.Scheme {
	case "https":
		return u.Hostname() != ""
	case "http":
		return slices.Contains([]string{"localhost", "127.0.0.1", "::1"}, u.Hostname())
	case "javascript", "data", "vbscript", "file", "blob", "about":
		return false
	}
	return true
}
