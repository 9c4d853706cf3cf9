package identitypool

import (
	"context"
	"maps"
	"slices"
	"strings"

	api "usher/internal/api/cognitoidentity"
)

// Attributes for access control (Cognito developer guide): claims of a login become session tags.

// principalTags is the tag map of one provider.
type principalTags struct {
	Provider    string // as the caller spelled it
	UseDefaults bool
	Tags        map[string]string // claim by tag
}

const (
	tagMapMost   = 460 // bytes of tags and claims of a map
	tagValueMost = 256 // characters
)

// SetPrincipalTagAttributeMap implements the operation.
func (s *Service) SetPrincipalTagAttributeMap(ctx context.Context, in *api.SetPrincipalTagAttributeMapInput) (*api.SetPrincipalTagAttributeMapResponse, error) {
	p, from, err := s.taggable(ctx, *in.IdentityPoolId, *in.IdentityProviderName)
	if err != nil {
		return nil, err
	}
	t := principalTags{Provider: *in.IdentityProviderName, UseDefaults: in.UseDefaults != nil && *in.UseDefaults, Tags: map[string]string{}}
	if t.UseDefaults {
		t.Tags = defaultTags(from)
	} else {
		if err := checkGiven(in.PrincipalTags); err != nil {
			return nil, err
		}
		size := 0
		for tag, claim := range in.PrincipalTags {
			size += len(tag) + len(claim)
			t.Tags[tag] = claim
		}
		if size > tagMapMost {
			return nil, api.ErrInvalidParameter.Msg("Principal tags and their claims may have at most %d bytes.", tagMapMost)
		}
	}
	_, err = s.change(ctx, p.ID, func(doc *poolDoc) error {
		if doc.PrincipalTags == nil {
			doc.PrincipalTags = map[string]principalTags{}
		}
		if doc.PrincipalTags[from.id] = t; len(t.Tags) == 0 {
			delete(doc.PrincipalTags, from.id)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.SetPrincipalTagAttributeMapResponse{IdentityPoolId: in.IdentityPoolId, IdentityProviderName: in.IdentityProviderName, UseDefaults: &t.UseDefaults, PrincipalTags: t.Tags}, nil
}

// checkGiven checks the names of tags that a call gives (IAM User Guide, "Pass session tags in AWS STS").
func checkGiven(tags map[string]string) error {
	seen := map[string]bool{}
	for _, tag := range slices.Sorted(maps.Keys(tags)) {
		lower := strings.ToLower(tag)
		if strings.HasPrefix(lower, "aws:") || seen[lower] {
			return api.ErrInvalidParameter.Msg("Invalid principal tag %s: tags are unique without regard to case and do not begin with aws:.", tag)
		}
		seen[lower] = true
	}
	return nil
}

// GetPrincipalTagAttributeMap implements the operation.
func (s *Service) GetPrincipalTagAttributeMap(ctx context.Context, in *api.GetPrincipalTagAttributeMapInput) (*api.GetPrincipalTagAttributeMapResponse, error) {
	p, from, err := s.taggable(ctx, *in.IdentityPoolId, *in.IdentityProviderName)
	if err != nil {
		return nil, err
	}
	t, ok := p.PrincipalTags[from.id]
	if !ok {
		t.Provider, t.Tags = *in.IdentityProviderName, map[string]string{}
	}
	return &api.GetPrincipalTagAttributeMapResponse{IdentityPoolId: in.IdentityPoolId, IdentityProviderName: &t.Provider, UseDefaults: &t.UseDefaults, PrincipalTags: t.Tags}, nil
}

// taggable finds a provider of a pool of the caller's account.
func (s *Service) taggable(ctx context.Context, poolID, name string) (*pool, *provider, error) {
	p, err := s.ownPool(ctx, poolID)
	if err != nil {
		return nil, nil, err
	}
	from := s.find(p, name)
	if from == nil {
		return nil, nil, api.ErrResourceNotFound.Msg("Identity provider '%s' not found in identity pool '%s'.", name, poolID)
	}
	return p, from, nil
}

// defaultTags are the tags of "username and client".
func defaultTags(from *provider) map[string]string {
	switch from.kind {
	case samlKind:
		return map[string]string{"username": samlNameID, "client": samlName}
	case amazonKind:
		return map[string]string{"username": "user_id", "client": "aud"}
	}
	return map[string]string{"username": "sub", "client": "aud"}
}

// sessionTags are the tags that the logins give the session. Where two give the same, the first in their order counts.
func (s *Service) sessionTags(p *pool, logins []login) (map[string]string, error) {
	tags, seen := map[string]string{}, map[string]bool{}
	add := func(tag, value string) error {
		lower := strings.ToLower(tag)
		switch {
		case seen[lower]:
		case len([]rune(value)) > tagValueMost:
			return api.ErrInvalidParameter.Msg("The value of the principal tag %s is longer than %d characters.", tag, tagValueMost)
		default:
			tags[tag], seen[lower] = value, true
		}
		return nil
	}
	for _, l := range logins {
		for _, tag := range slices.Sorted(maps.Keys(l.tags)) {
			if err := add(tag, l.tags[tag]); err != nil {
				return nil, err
			}
		}
		mapped := p.PrincipalTags[l.provider].Tags
		for _, tag := range slices.Sorted(maps.Keys(mapped)) {
			if raw, ok := l.claim(mapped[tag]); ok && string(raw) != "null" {
				if err := add(tag, text(raw)); err != nil {
					return nil, err
				}
			}
		}
	}
	return tags, nil
}
