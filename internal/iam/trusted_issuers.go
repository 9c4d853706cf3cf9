package iam

import (
	"context"
	"encoding/json"

	"usher/internal/api/iam"
	"usher/internal/policy"
	"usher/internal/token"
)

// checkTrust checks a trust policy that is about to be saved. One that trusts an issuer with many tenants must pin the tenant.
func (s *Service) checkTrust(document string) error {
	return policyError(policy.Rules{SharedIssuers: s.SharedIssuers}.Validate(document, policy.KindTrust))
}

// maxKeySet bounds an uploaded key set, in bytes.
const maxKeySet = 256 << 10

// SetProviderKeys gives an OIDC provider of the caller's account the keys of its issuer, a JSON Web Key Set, in the place of
// those that discovery would find: for issuers that this server cannot or shall not reach. It returns how many of them can
// verify tokens. Keys of a SPIFFE bundle are taken by their use there. nil goes back to discovery.
func (s *Service) SetProviderKeys(ctx context.Context, providerARN string, jwks []byte) (int, error) {
	var keys []token.PublicKey
	if jwks != nil {
		if len(jwks) > maxKeySet {
			return 0, iam.ErrInvalidInput.Msg("The key set is larger than %d bytes.", maxKeySet)
		}
		var err error
		if jwks, err = fromBundle(jwks); err != nil {
			return 0, err
		}
		if keys, err = token.ParseJWKS(jwks); err != nil {
			return 0, iam.ErrInvalidInput.Msg("The key set cannot be read.").With(err)
		}
		if len(keys) == 0 {
			return 0, iam.ErrInvalidInput.Msg("The key set has no key that can verify tokens: RSA of 2048 bits and more, or P-256, P-384 and P-521, each with a key id.")
		}
	}
	return len(keys), s.changeProvider(ctx, providerARN, func(p *provider) error {
		p.Doc.V.Keys = string(jwks)
		return nil
	})
}

// fromBundle turns the keys for JWT-SVIDs of a SPIFFE bundle (SPIFFE Trust Domain and Bundle, section 4) into those of a plain
// key set.
func fromBundle(jwks []byte) ([]byte, error) {
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := json.Unmarshal(jwks, &set); err != nil {
		return nil, iam.ErrInvalidInput.Msg("The key set is not a JSON object with an array of keys.").With(err)
	}
	bundle := false
	for _, k := range set.Keys {
		if k["use"] == "jwt-svid" {
			k["use"], bundle = "sig", true
		}
	}
	if !bundle {
		return jwks, nil
	}
	return json.Marshal(set)
}

// keys are those that were uploaded; nil where they are to be discovered.
func (p *provider) keys() ([]token.PublicKey, error) {
	if p.Doc.V.Keys == "" {
		return nil, nil
	}
	return token.ParseJWKS([]byte(p.Doc.V.Keys))
}
