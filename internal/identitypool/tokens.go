package identitypool

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	api "usher/internal/api/cognitoidentity"
	"usher/internal/token"
)

// IssuerURL is the iss of the tokens.
func (s *Service) IssuerURL() string { return s.names.issuers[0] }

// IsIssuer reports whether tokens with this iss are of this service.
func (s *Service) IsIssuer(iss string) bool { return slices.Contains(s.names.issuers, iss) }

// openIDTokenLife is how long the token of GetOpenIdToken is valid.
const openIDTokenLife = 10 * time.Minute

// claimTags carries session tags (IAM User Guide, "Pass session tags in AWS STS").
const claimTags = "https://aws.amazon.com/tags"

type principalTagsClaim struct {
	Tags map[string][]string `json:"principal_tags"`
}

// issue signs the OpenID token of an identity.
func (s *Service) issue(ctx context.Context, p *pool, id string, methods []string, tags map[string]string, life time.Duration) (string, error) {
	now := s.Now().Unix()
	claims := struct {
		Subject  string              `json:"sub"`
		Audience string              `json:"aud"`
		AMR      []string            `json:"amr"`
		Tags     *principalTagsClaim `json:"https://aws.amazon.com/tags,omitempty"`
		Issuer   string              `json:"iss"`
		PoolARN  string              `json:"https://cognito-identity.amazonaws.com/identity-pool-arn"`
		Expires  int64               `json:"exp"`
		Issued   int64               `json:"iat"`
	}{id, p.ID, methods, nil, s.IssuerURL(), s.poolARN(p.AccountID, p.ID), now + int64(life/time.Second), now}
	if len(tags) > 0 {
		claims.Tags = &principalTagsClaim{map[string][]string{}}
		for k, v := range tags {
			claims.Tags.Tags[k] = []string{v}
		}
	}
	text, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	keys, err := s.signingKeys(ctx)
	if err != nil {
		return "", err
	}
	signed, err := s.Signer.Sign(ctx, []token.Job{{Key: keys.at(s.Now()), Claims: text}})
	if errors.Is(err, token.ErrOverloaded) {
		return "", api.ErrTooManyRequests.Msg("Rate exceeded").With(err)
	} else if err != nil {
		return "", err
	}
	return signed[0], nil
}
