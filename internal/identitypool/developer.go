package identitypool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	api "usher/internal/api/cognitoidentity"
	"usher/internal/awsapi"
	"usher/internal/db"
	"usher/internal/token"
)

// Developer-authenticated identities: a backend vouches for its users with a signed call and gets them a token of this
// service, which they trade for credentials (Cognito developer guide, "Developer-authenticated identities").

// developerPrefix begins the canonical form of developer providers; the id of no other provider begins so.
const developerPrefix = "developer:"

func isDeveloper(provider string) bool { return strings.HasPrefix(provider, developerPrefix) }

const (
	developerTokenLife = 15 * time.Minute // unless the call says otherwise
	developerTokenMost = 24 * time.Hour
	identifierMost     = 1024 // bytes of a developer user identifier
	listMost           = 60
)

var (
	errNoDeveloper   = api.ErrInvalidParameter.Msg("Please provide a valid developer provider")
	errIdentifier    = api.ErrInvalidParameter.Msg("The developer user identifier must have 1 to %d bytes.", identifierMost)
	errNotDevelopers = errNotAuthorized("Invalid login token. Not a token of a developer authenticated identity.")
)

func checkIdentifier(text string) error {
	if len(text) < 1 || len(text) > identifierMost || !isText(text) {
		return errIdentifier
	}
	return nil
}

// developer returns the canonical developer provider of a pool of the caller's account. name is what the call says of it.
func (s *Service) developer(ctx context.Context, poolID string, name *string) (*pool, string, error) {
	p, err := s.ownPool(ctx, poolID)
	if err != nil {
		return nil, "", err
	}
	configured := p.Settings.DeveloperProviderName
	if configured == nil || name != nil && *name != *configured {
		return nil, "", errNoDeveloper
	}
	return p, developerPrefix + *configured, nil
}

// GetOpenIdTokenForDeveloperIdentity implements the operation: the caller says who the user is.
func (s *Service) GetOpenIdTokenForDeveloperIdentity(ctx context.Context, in *api.GetOpenIdTokenForDeveloperIdentityInput) (*api.GetOpenIdTokenForDeveloperIdentityResponse, error) {
	p, provider, err := s.developer(ctx, *in.IdentityPoolId, nil)
	if err != nil {
		return nil, err
	}
	name := strings.TrimPrefix(provider, developerPrefix)
	identifier, ok := in.Logins[name]
	if !ok {
		return nil, errNoDeveloper
	}
	if err := checkIdentifier(identifier); err != nil {
		return nil, err
	}
	if err := checkGiven(in.PrincipalTags); err != nil {
		return nil, err
	}
	others := maps.Clone(in.Logins)
	delete(others, name)
	logins, err := s.verify(ctx, p, others, false)
	if err != nil {
		return nil, err
	}
	logins = append(logins, login{
		provider: provider, subject: identifier, several: true, name: name, tags: in.PrincipalTags,
		amr:   []string{name, name + ":" + p.ID + ":" + identifier},
		claim: func(string) (json.RawMessage, bool) { return nil, false },
	})
	slices.SortStableFunc(logins, func(a, b login) int { return strings.Compare(a.name, b.name) })
	var asked *known
	if in.IdentityId != nil {
		if asked, err = s.identity(ctx, s.DB, *in.IdentityId); err != nil {
			return nil, err
		}
		if asked.PoolID != p.ID {
			return nil, errIdentityNotFound(asked.ID)
		}
	}
	id, err := s.resolve(ctx, p, asked, logins)
	if err != nil {
		return nil, err
	}
	tags, err := s.sessionTags(p, logins)
	if err != nil {
		return nil, err
	}
	life := developerTokenLife
	if in.TokenDuration != nil {
		life = time.Duration(*in.TokenDuration) * time.Second
	}
	text, err := s.issue(ctx, p, id, amr(logins), tags, life)
	if err != nil {
		return nil, err
	}
	if err := s.redeem(ctx, logins); err != nil {
		return nil, err
	}
	return &api.GetOpenIdTokenForDeveloperIdentityResponse{IdentityId: &id, Token: &text}, nil
}

// verifyDeveloperToken verifies a token of GetOpenIdTokenForDeveloperIdentity. It proves the identity that it was issued
// for. Tokens of GetOpenIdToken are no such proof: else one could be renewed with itself.
func (s *Service) verifyDeveloperToken(ctx context.Context, p *pool, text string) (login, error) {
	keys, err := s.VerificationKeys(ctx)
	if err != nil {
		return login{}, err
	}
	claims, err := s.verified.Verify(text, s.Now(), func(u *token.Unverified) (token.PublicKey, error) {
		if !s.IsIssuer(u.Issuer()) {
			return token.PublicKey{}, errIssuer
		}
		return keyNamed(keys, u.KeyID())
	})
	if err == nil {
		_, err = keyNamed(keys, claims.KeyID()) // a remembered token's key may be discarded
	}
	if err != nil {
		return login{}, loginError(err)
	}
	if iss, _ := claims.String("iss"); !s.IsIssuer(iss) { // the token of a user pool may be remembered
		return login{}, errIssuer
	}
	if audience, _ := claims.String("aud"); audience != p.ID {
		return login{}, errAudience.With(fmt.Errorf("the token is for the identity pool %q", audience))
	}
	id, _ := claims.String("sub")
	methods, _ := claims.Strings("amr")
	name := p.Settings.DeveloperProviderName
	if id == "" || len(methods) == 0 || methods[0] != "authenticated" || name == nil || !slices.Contains(methods, *name) {
		return login{}, errNotDevelopers
	}
	l := login{identity: id, provider: builtIn, name: builtIn, amr: methods[1:], claim: func(string) (json.RawMessage, bool) { return nil, false }}
	if raw, ok := claims.Get(claimTags); ok {
		var tags principalTagsClaim
		if err := json.Unmarshal(raw, &tags); err != nil {
			return login{}, err
		}
		l.tags = map[string]string{}
		for k, v := range tags.Tags {
			l.tags[k] = v[0]
		}
	}
	return l, nil
}

// LookupDeveloperIdentity implements the operation: the identity of an identifier, or the identifiers of an identity.
func (s *Service) LookupDeveloperIdentity(ctx context.Context, in *api.LookupDeveloperIdentityInput) (*api.LookupDeveloperIdentityResponse, error) {
	p, provider, err := s.developer(ctx, *in.IdentityPoolId, nil)
	if err != nil {
		return nil, err
	}
	switch {
	case in.DeveloperUserIdentifier != nil:
		if err := checkIdentifier(*in.DeveloperUserIdentifier); err != nil {
			return nil, err
		}
		id, err := s.developerOwner(ctx, s.DB, p, provider, *in.DeveloperUserIdentifier)
		if err != nil {
			return nil, err
		}
		if in.IdentityId != nil && *in.IdentityId != id {
			awsapi.Detail(ctx, "the developer user identifier is of identity %s", id)
			return nil, errLinked
		}
		return &api.LookupDeveloperIdentityResponse{IdentityId: &id, DeveloperUserIdentifierList: []string{*in.DeveloperUserIdentifier}}, nil
	case in.IdentityId == nil:
		return nil, api.ErrInvalidParameter.Msg("Either IdentityId or DeveloperUserIdentifier is required.")
	}
	i, err := s.identity(ctx, s.DB, *in.IdentityId)
	if err != nil {
		return nil, err
	}
	if i.PoolID != p.ID {
		return nil, errIdentityNotFound(i.ID)
	}
	after, err := readPage(in.NextToken, "identifiers/"+i.ID)
	if err != nil {
		return nil, err
	}
	limit := listMost
	if in.MaxResults != nil {
		limit = int(*in.MaxResults)
	}
	list := []string{}
	for _, l := range i.logins {
		if l.Provider == provider && l.Subject > after {
			list = append(list, l.Subject)
		}
	}
	slices.Sort(list)
	out := &api.LookupDeveloperIdentityResponse{IdentityId: &i.ID, DeveloperUserIdentifierList: list}
	if len(list) > limit {
		out.DeveloperUserIdentifierList = list[:limit]
		out.NextToken = pageToken(list[limit-1], "identifiers/"+i.ID)
	}
	return out, nil
}

// developerOwner returns the identity that holds an identifier.
func (s *Service) developerOwner(ctx context.Context, q db.Querier, p *pool, provider, identifier string) (string, error) {
	held, err := s.owners(ctx, q, p, []login{{provider: provider, subject: identifier}})
	if err == nil && held[0] == "" {
		err = api.ErrResourceNotFound.Msg("Developer user identifier '%s' not found.", identifier)
	}
	if err != nil {
		return "", err
	}
	return held[0], nil
}

// MergeDeveloperIdentities implements the operation: the identity of the destination takes the logins of the other.
func (s *Service) MergeDeveloperIdentities(ctx context.Context, in *api.MergeDeveloperIdentitiesInput) (*api.MergeDeveloperIdentitiesResponse, error) {
	p, provider, err := s.developer(ctx, *in.IdentityPoolId, in.DeveloperProviderName)
	if err != nil {
		return nil, err
	}
	for _, identifier := range []string{*in.DestinationUserIdentifier, *in.SourceUserIdentifier} {
		if err := checkIdentifier(identifier); err != nil {
			return nil, err
		}
	}
	var id string
	var both [2]*known
	err = s.DB.Tx(ctx, func(tx *db.Tx) error {
		for n, identifier := range []string{*in.DestinationUserIdentifier, *in.SourceUserIdentifier} {
			owner, err := s.developerOwner(ctx, tx, p, provider, identifier)
			if err != nil {
				return err
			}
			if both[n], err = s.identity(ctx, tx, owner); err != nil {
				return err
			}
		}
		if id = both[0].ID; id == both[1].ID {
			return nil
		}
		return s.merge(ctx, tx, both[0], both[1])
	})
	if errors.Is(err, api.ErrResourceConflict) {
		s.explainIdentity(ctx, p, both[0])
		s.explainIdentity(ctx, p, both[1])
	}
	if err != nil {
		return nil, err
	}
	return &api.MergeDeveloperIdentitiesResponse{IdentityId: &id}, nil
}

// UnlinkDeveloperIdentity implements the operation.
func (s *Service) UnlinkDeveloperIdentity(ctx context.Context, in *api.UnlinkDeveloperIdentityInput) error {
	p, provider, err := s.developer(ctx, *in.IdentityPoolId, in.DeveloperProviderName)
	if err != nil {
		return err
	}
	if err := checkIdentifier(*in.DeveloperUserIdentifier); err != nil {
		return err
	}
	return s.DB.Tx(ctx, func(tx *db.Tx) error {
		i, err := s.identity(ctx, tx, *in.IdentityId)
		if err != nil {
			return err
		}
		if i.PoolID != p.ID {
			return errIdentityNotFound(i.ID)
		}
		owner, err := s.developerOwner(ctx, tx, p, provider, *in.DeveloperUserIdentifier)
		if err != nil {
			return err
		}
		if owner != i.ID {
			awsapi.Detail(ctx, "the developer user identifier is of identity %s", owner)
			return errLinked
		}
		return s.unlink(ctx, tx, &i.identity, provider, *in.DeveloperUserIdentifier)
	})
}
