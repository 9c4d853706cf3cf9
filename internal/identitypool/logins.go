package identitypool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	api "usher/internal/api/cognitoidentity"
	"usher/internal/awsapi"
	"usher/internal/saml"
	"usher/internal/token"
)

// login is one verified entry of a Logins map.
type login struct {
	provider  string // canonical
	subject   string
	several   bool     // an identity may have several logins of the provider
	identity  string   // of a token of this service: whose it is, instead of provider and subject
	name      string   // the provider as the pool spells it
	amr       []string // what follows "authenticated" in amr
	mapping   string   // canonical key of its role mapping
	claim     func(name string) (json.RawMessage, bool)
	tags      map[string]string // session tags that a developer gave
	userSub   string            // of a user pool's user
	originJTI string            // of the sign-in
	assertion *saml.Assertion   // of a SAML response
	roles     []string          // that the assertion lists
}

func errNotAuthorized(format string, args ...any) *awsapi.Error {
	return api.ErrNotAuthorized.Msg(format, args...)
}

var (
	errNotSupported = errNotAuthorized("Token is not from a supported provider of this identity pool.")
	errCognitoToken = errNotAuthorized("Invalid login token. Can't pass in a Cognito token.")
	errIssuer       = errNotAuthorized("Invalid login token. Issuer doesn't match providerName")
	errNotIDToken   = errNotAuthorized("Invalid login token. Not a valid OpenId Connect identity token.")
	errUnverified   = errNotAuthorized("Invalid login token. Couldn't verify signed token.")
	errNotServed    = errNotAuthorized("Logins of this identity provider are not supported.")
	errNotPublic    = api.ErrInvalidParameter.Msg("Please provide a valid public provider")
	errEnded        = errNotAuthorized("Invalid login token. Token is not valid anymore.")
)

func errMissingClaim(name string) *awsapi.Error {
	return errNotAuthorized("Invalid login token. Missing a required claim: %s", name)
}

// skew is the grace that clocks of others get.
const skew = 5 * time.Minute

// verify verifies each login of a request against the pool; one bad login fails all. They come in the order of their keys.
// Tokens of this service itself count only where developers' are asked for.
func (s *Service) verify(ctx context.Context, p *pool, logins map[string]string, developers bool) ([]login, error) {
	if len(logins) == 0 {
		return nil, nil
	}
	if len(p.providers) == 0 && p.Settings.DeveloperProviderName == nil {
		return nil, errNotAuthorized("Identity pool - %s does not have identity providers configured.", p.ID)
	}
	verified := make([]login, 0, len(logins))
	for _, key := range slices.Sorted(maps.Keys(logins)) {
		l, err := s.verifyOne(ctx, p, key, logins[key], developers)
		if err != nil {
			awsapi.Annotate(ctx, "login_refused", key)
			awsapi.Detail(ctx, "the login with the key %q was refused", key)
			return nil, err
		}
		if slices.ContainsFunc(verified, func(o login) bool { return o.provider == l.provider }) {
			return nil, api.ErrInvalidParameter.Msg("Two logins are for one provider.")
		}
		verified = append(verified, l)
	}
	return verified, nil
}

func (s *Service) verifyOne(ctx context.Context, p *pool, key, text string, developers bool) (login, error) {
	if s.names.isIdentityService(key) {
		if !developers {
			return login{}, errCognitoToken
		}
		return s.verifyDeveloperToken(ctx, p, text)
	}
	from := s.find(p, key)
	switch {
	case from == nil && p.Settings.DeveloperProviderName != nil && *p.Settings.DeveloperProviderName == key:
		return login{}, errNotPublic
	case from == nil:
		awsapi.Detail(ctx, "the providers of the pool are %q", p.providerNames())
		return login{}, errNotSupported.With(fmt.Errorf("the pool has no provider %.200q", key))
	}
	switch from.kind {
	case userPoolKind:
		return s.verifyUserPool(ctx, from, text)
	case googleKind:
		return s.verifyPublicOIDC(ctx, from, s.Endpoints.Google, text)
	case appleKind:
		return s.verifyPublicOIDC(ctx, from, s.Endpoints.Apple, text)
	case facebookKind:
		return s.verifyFacebook(ctx, from, text)
	case amazonKind:
		return s.verifyAmazon(ctx, from, text)
	case twitterKind:
		return s.verifyTwitter(ctx, from, text)
	case oidcKind:
		return s.verifyOIDC(ctx, p, from, text)
	case samlKind:
		return s.verifySAML(ctx, from, text)
	}
	return login{}, errNotServed.With(errors.New("logins of " + from.name + " are not served"))
}

// verifyUserPool verifies an ID token of a user pool.
func (s *Service) verifyUserPool(ctx context.Context, from *provider, text string) (login, error) {
	// Asked for first, and each time: a remembered token of a user pool that is gone is worth nothing.
	keys, err := s.UserPools.VerificationKeys(ctx, from.id)
	var unknown *awsapi.Error
	if errors.As(err, &unknown) && !unknown.Fault {
		return login{}, errNotSupported.With(err)
	} else if err != nil {
		return login{}, err
	}
	ours := func(issuer string) bool {
		id, ok := s.UserPools.PoolOfIssuer(issuer)
		return ok && id == from.id
	}
	claims, err := s.verified.Verify(text, s.Now(), func(u *token.Unverified) (token.PublicKey, error) {
		if !ours(u.Issuer()) {
			return token.PublicKey{}, errIssuer.With(fmt.Errorf("the issuer of the token is %.200q", u.Issuer()))
		}
		return keyNamed(keys, u.KeyID())
	})
	if err != nil {
		return login{}, loginError(err)
	}
	if iss, _ := claims.String("iss"); !ours(iss) { // a remembered token may be of another pool
		return login{}, errIssuer
	}
	if _, err := keyNamed(keys, claims.KeyID()); err != nil { // or its key discarded
		return login{}, loginError(err)
	}
	if err := claims.CheckNotBefore(s.Now(), skew); err != nil {
		return login{}, loginError(err)
	}
	audience, ok := claims.String("aud")
	if !ok {
		return login{}, errMissingClaim("aud")
	}
	subject, ok := claims.String("sub")
	if !ok || subject == "" {
		return login{}, errMissingClaim("sub")
	}
	if use, _ := claims.String("token_use"); use != "id" {
		return login{}, errNotIDToken
	}
	i := slices.IndexFunc(from.clients, func(c api.CognitoIdentityProvider) bool { return *c.ClientId == audience })
	if i < 0 {
		return login{}, errNotSupported.With(fmt.Errorf("the token is for the client %.200q, which the pool does not take", audience))
	}
	c := from.clients[i]
	origin, _ := claims.String("origin_jti")
	if *c.ServerSideTokenCheck {
		since, ok := claims.Int("auth_time")
		if !ok {
			since, _ = claims.Int("iat")
		}
		err := s.UserPools.CheckSession(ctx, from.id, subject, origin, time.Unix(since, 0))
		var ended *awsapi.Error
		if errors.As(err, &ended) && !ended.Fault {
			return login{}, errEnded.With(err)
		} else if err != nil {
			return login{}, err
		}
	}
	return login{
		provider: from.id, subject: subject, name: *c.ProviderName,
		amr:     []string{*c.ProviderName, *c.ProviderName + ":CognitoSignIn:" + subject},
		mapping: from.id + ":" + audience, claim: claims.Get, userSub: subject, originJTI: origin,
	}, nil
}

func keyNamed(keys []token.PublicKey, id string) (token.PublicKey, error) {
	for _, k := range keys {
		if k.ID == id {
			return k, nil
		}
	}
	return token.PublicKey{}, token.ErrKeyNotFound
}

// loginError words why a token was not accepted.
func loginError(err error) error {
	var expired *token.ExpiredError
	var claim *token.ClaimError
	switch {
	case errors.Is(err, api.ErrNotAuthorized):
		return err
	case errors.As(err, &expired):
		return errNotAuthorized("Invalid login token. Token expired: %d >= %d", expired.Expires, expired.Now)
	case errors.As(err, &claim):
		return errMissingClaim(claim.Claim)
	case errors.Is(err, token.ErrMalformed), errors.Is(err, token.ErrNotYetValid):
		return errNotIDToken.With(err)
	case errors.Is(err, token.ErrAlgorithm), errors.Is(err, token.ErrSignature), errors.Is(err, token.ErrKeyNotFound):
		return errUnverified.With(err)
	}
	return err
}
