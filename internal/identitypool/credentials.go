package identitypool

import (
	"context"
	"errors"
	"time"

	"usher/internal/access"
	api "usher/internal/api/cognitoidentity"
	"usher/internal/awsapi"
	"usher/internal/sts"
)

// GetId implements the operation: the identity of the logins, made at their first sight, or a new guest.
func (s *Service) GetId(ctx context.Context, in *api.GetIdInput) (*api.GetIdResponse, error) {
	if err := s.DB.Refresh(ctx); err != nil {
		return nil, err
	}
	p, err := s.pool(ctx, *in.IdentityPoolId)
	if err != nil {
		return nil, err
	}
	awsapi.Annotate(ctx, "identity_pool", p.ID)
	if in.AccountId != nil && *in.AccountId != p.AccountID {
		return nil, errNotAuthorized("The identity pool is not one of account %s.", *in.AccountId)
	}
	logins, err := s.verify(ctx, p, in.Logins, false)
	if err != nil {
		return nil, err
	}
	id, err := s.resolve(ctx, p, nil, logins)
	if err != nil {
		return nil, err
	}
	return &api.GetIdResponse{IdentityId: &id}, nil
}

// asked finds the identity that an open operation names, and its pool.
func (s *Service) asked(ctx context.Context, id string) (*known, *pool, error) {
	if err := s.DB.Refresh(ctx); err != nil {
		return nil, nil, err
	}
	i, err := s.identity(ctx, s.DB, id)
	if err != nil {
		return nil, nil, err
	}
	p, err := s.pool(ctx, i.PoolID)
	if errors.Is(err, api.ErrResourceNotFound) { // deleted since
		return nil, nil, errIdentityNotFound(id)
	} else if err != nil {
		return nil, nil, err
	}
	awsapi.Annotate(ctx, "identity_pool", p.ID)
	return i, p, nil
}

// amr is the list of authentication methods in tokens and in trust conditions.
func amr(logins []login) []string {
	if len(logins) == 0 {
		return []string{"unauthenticated"}
	}
	list := []string{"authenticated"}
	for _, l := range logins {
		list = append(list, l.amr...)
	}
	return list
}

// GetOpenIdToken implements the operation, the first half of the basic flow.
func (s *Service) GetOpenIdToken(ctx context.Context, in *api.GetOpenIdTokenInput) (*api.GetOpenIdTokenResponse, error) {
	asked, p, err := s.asked(ctx, *in.IdentityId)
	if err != nil {
		return nil, err
	}
	if !*p.Settings.AllowClassicFlow {
		return nil, api.ErrInvalidParameter.Msg("Basic (classic) flow is not enabled, please use enhanced flow.")
	}
	for key := range in.Logins {
		if from := s.find(p, key); from != nil && from.kind == samlKind {
			return nil, api.ErrInvalidParameter.Msg("Basic (classic) flow is not supported with SAML, please use enhanced flow.")
		}
	}
	logins, err := s.verify(ctx, p, in.Logins, false)
	if err != nil {
		return nil, err
	}
	id, err := s.resolve(ctx, p, asked, logins)
	if err != nil {
		return nil, err
	}
	tags, err := s.sessionTags(p, logins)
	if err != nil {
		return nil, err
	}
	text, err := s.issue(ctx, p, id, amr(logins), tags, openIDTokenLife)
	if err != nil {
		return nil, err
	}
	return &api.GetOpenIdTokenResponse{IdentityId: &id, Token: &text}, nil
}

// The session of the enhanced flow.
const (
	sessionName = "CognitoIdentityCredentials"
	sessionLife = time.Hour
)

// GetCredentialsForIdentity implements the operation, the enhanced flow: the pool chooses the role, and its trust policy
// decides as for anybody who presents the identity's token.
func (s *Service) GetCredentialsForIdentity(ctx context.Context, in *api.GetCredentialsForIdentityInput) (*api.GetCredentialsForIdentityResponse, error) {
	asked, p, err := s.asked(ctx, *in.IdentityId)
	if err != nil {
		return nil, err
	}
	logins, err := s.verify(ctx, p, in.Logins, true)
	if err != nil {
		return nil, err
	}
	id, err := s.resolve(ctx, p, asked, logins)
	if err != nil {
		return nil, err
	}
	role, err := s.role(ctx, p, logins, in.CustomRoleArn)
	if err != nil {
		s.explainRole(ctx, p, logins, in.CustomRoleArn)
		return nil, err
	}
	tags, err := s.sessionTags(p, logins)
	if err != nil {
		s.explainTags(ctx, p, logins)
		return nil, err
	}
	w := sts.WebIdentity{
		RoleARN: role, SessionName: sessionName, Provider: builtIn, Duration: sessionLife, IdentityID: id, AccountID: p.AccountID,
		Keys: map[string][]string{builtIn + ":aud": {p.ID}, builtIn + ":sub": {id}, builtIn + ":amr": amr(logins)},
		Tags: tags,
	}
	if len(logins) == 0 {
		w.Policy, w.PolicyARNs = guestPolicy, []string{guestPolicyARN}
	}
	for _, l := range logins {
		if l.userSub != "" {
			w.UserSub, w.OriginJTI = l.userSub, l.originJTI
			break
		}
	}
	issuer := s.Issuer
	if elsewhere := s.Upstreams[p.ID]; elsewhere != "" {
		text, err := s.issue(ctx, p, id, amr(logins), tags, openIDTokenLife)
		if err != nil {
			return nil, err
		}
		issuer = &upstream{elsewhere, text}
	}
	// The trust policy sees who asks STS: this service, not the client.
	c, err := issuer.AssumeWebIdentity(access.FromService(ctx), w)
	var refused *awsapi.Error
	if err != nil {
		s.explainTags(ctx, p, logins)
	}
	if errors.Is(err, api.ErrExternalService) {
		return nil, err
	} else if errors.As(err, &refused) && !refused.Fault && refused.Status < 500 {
		awsapi.Annotate(ctx, "role_refused", role)
		return nil, errRoles.With(err)
	} else if err != nil {
		return nil, err
	}
	if err := s.redeem(ctx, logins); err != nil {
		return nil, err
	}
	return &api.GetCredentialsForIdentityResponse{IdentityId: &id, Credentials: &api.Credentials{
		AccessKeyId: &c.AccessKeyID, SecretKey: &c.SecretAccessKey, SessionToken: &c.SessionToken, Expiration: &c.Expiration,
	}}, nil
}
