package identitypool

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	api "usher/internal/api/cognitoidentity"
	"usher/internal/arn"
	"usher/internal/db"
	"usher/internal/token"
)

// kind is a kind of identity provider.
type kind int

const (
	userPoolKind kind = iota
	googleKind
	appleKind
	facebookKind
	amazonKind
	twitterKind
	digitsKind // which is no more: configured and described, but no login of it is taken
	oidcKind
	samlKind
)

// provider is an identity provider that a pool accepts logins of.
type provider struct {
	kind    kind
	id      string // canonical, as logins are stored: a user pool's id, a public login key, an IAM provider's ARN
	name    string // as amr and descriptions name it
	app     string // of a public provider: the application's id there
	clients []api.CognitoIdentityProvider
}

// public are the login keys of the providers that AWS knows by itself.
var public = map[string]kind{
	"accounts.google.com": googleKind, "appleid.apple.com": appleKind, "graph.facebook.com": facebookKind,
	"www.amazon.com": amazonKind, "api.twitter.com": twitterKind, "www.digits.com": digitsKind,
}

// Endpoints are where public providers are found; empty ones are the real ones.
type Endpoints struct {
	Google, Apple    string // OpenID Connect issuers
	Facebook, Amazon string // base URLs of the APIs that know access tokens
	Twitter          string
}

// OIDCProvider is an OpenID Connect provider that an account has registered in IAM.
type OIDCProvider struct {
	ARN         string
	URL         string // the issuer, with its scheme
	Name        string // the URL without scheme
	ClientIDs   []string
	Thumbprints []string
	Keys        []token.PublicKey // uploaded: the issuer is not contacted; nil: they are discovered
}

// providersOf are the providers of a pool by the canonical form of their login keys.
func (s *Service) providersOf(settings *api.IdentityPool) map[string]*provider {
	all := map[string]*provider{}
	for _, c := range settings.CognitoIdentityProviders {
		id, ok := s.names.userPool(*c.ProviderName)
		if !ok {
			continue // the public URL was another
		}
		if all[id] == nil {
			all[id] = &provider{kind: userPoolKind, id: id, name: *c.ProviderName}
		}
		all[id].clients = append(all[id].clients, c)
	}
	for key, app := range settings.SupportedLoginProviders {
		if k, ok := public[key]; ok {
			all[key] = &provider{kind: k, id: key, name: key, app: app}
		}
	}
	for _, text := range settings.OpenIdConnectProviderARNs {
		all[nameOfProvider(text)] = &provider{kind: oidcKind, id: text, name: nameOfProvider(text)}
	}
	for _, text := range settings.SamlProviderARNs {
		all[text] = &provider{kind: samlKind, id: text, name: text}
	}
	return all
}

// nameOfProvider is the issuer without its scheme that the ARN of an OIDC provider ends with.
func nameOfProvider(text string) string {
	a, _ := arn.Parse(text)
	return strings.TrimPrefix(a.Resource, "oidc-provider/")
}

// find returns the provider that a login key or provider name means; nil if the pool has none of it.
func (s *Service) find(p *pool, key string) *provider {
	if id, ok := s.names.userPool(key); ok {
		if found := p.providers[id]; found != nil {
			return found
		}
	}
	if found := p.providers[withoutScheme(key)]; found != nil {
		return found
	}
	return p.providers[nameOfProvider(key)]
}

// oidc returns the IAM provider behind an ARN, or db.ErrNotFound.
func (s *Service) oidc(ctx context.Context, account, text string) (*OIDCProvider, error) {
	if s.OIDC == nil {
		return nil, db.ErrNotFound
	}
	name := nameOfProvider(text)
	p, err := s.OIDC(ctx, account, "https://"+name)
	if errors.Is(err, db.ErrNotFound) { // one on a loopback address
		p, err = s.OIDC(ctx, account, "http://"+name)
	}
	if err == nil && p.ARN != text {
		err = db.ErrNotFound
	}
	return p, err
}

// verifyOIDC verifies an ID token of an IAM OpenID Connect provider.
func (s *Service) verifyOIDC(ctx context.Context, p *pool, from *provider, text string) (login, error) {
	registered, err := s.oidc(ctx, p.AccountID, from.id)
	if errors.Is(err, db.ErrNotFound) {
		return login{}, errNotSupported.With(fmt.Errorf("there is no provider %s any more", from.id))
	} else if err != nil {
		return login{}, err
	}
	claims, err := s.foreignToken(ctx, registered, []string{registered.URL}, text)
	if err != nil {
		return login{}, err
	}
	l, err := fromClaims(from, claims)
	l.amr = []string{from.name, from.id + ":OIDC:" + l.subject}
	return l, err
}

// verifyPublicOIDC verifies an ID token of Google or Apple.
func (s *Service) verifyPublicOIDC(ctx context.Context, from *provider, issuer string, text string) (login, error) {
	issuers := []string{issuer}
	if from.kind == googleKind {
		issuers = append(issuers, withoutScheme(issuer))
	}
	claims, err := s.foreignToken(ctx, &OIDCProvider{URL: issuer, ClientIDs: []string{from.app}}, issuers, text)
	if err != nil {
		return login{}, err
	}
	l, err := fromClaims(from, claims)
	l.amr = []string{from.name, from.name + ":" + from.app + ":" + l.subject}
	return l, err
}

func fromClaims(from *provider, claims token.Claims) (login, error) {
	subject, ok := claims.String("sub")
	if !ok || subject == "" {
		return login{}, errMissingClaim("sub")
	}
	if len(subject) > subjectMost || !isText(subject) {
		return login{}, errNotIDToken.With(errors.New("the subject is too long or no text"))
	}
	return login{provider: from.id, subject: subject, name: from.name, mapping: from.id, claim: claims.Get}, nil
}

// subjectMost bounds a subject in bytes.
const subjectMost = 1024

var (
	errAudience = errNotAuthorized("Invalid login token. Incorrect token audience")
	errExternal = api.ErrExternalService.Msg("The identity provider cannot be reached.")
)

// foreignToken verifies a token of another issuer: issuer, signature by one of its RSA keys, times (with the grace that AWS
// documents for the clocks of others), audience.
func (s *Service) foreignToken(ctx context.Context, from *OIDCProvider, issuers []string, text string) (token.Claims, error) {
	key := func(u *token.Unverified) (token.PublicKey, error) {
		if !slices.Contains(issuers, u.Issuer()) {
			return token.PublicKey{}, errIssuer
		}
		k, err := s.foreignKey(ctx, from, u.KeyID())
		if _, ok := k.Key.(*rsa.PublicKey); err == nil && !ok {
			err = token.ErrAlgorithm
		}
		return k, err
	}
	var claims token.Claims
	var err error
	if len(from.Thumbprints) == 0 && from.Keys == nil {
		claims, err = s.foreign.Verify(text, s.Now().Add(-skew), key)
	} else { // what the thumbprints or keys of one account vouch for must not be remembered for others
		claims, err = verifyOnce(text, s.Now().Add(-skew), key)
	}
	if err == nil {
		if iss, _ := claims.String("iss"); !slices.Contains(issuers, iss) {
			return claims, errIssuer
		}
		err = claims.CheckNotBefore(s.Now(), skew)
	}
	if expired, ok := errors.AsType[*token.ExpiredError](err); ok {
		return claims, loginError(&token.ExpiredError{Now: s.Now().Unix(), Expires: expired.Expires})
	}
	if errors.Is(err, token.ErrUnreachable) || errors.Is(err, token.ErrThumbprint) {
		return claims, errExternal.With(err)
	} else if err != nil {
		return claims, loginError(err)
	}
	audiences, ok := claims.Strings("aud")
	if !ok || len(audiences) == 0 {
		return claims, errMissingClaim("aud")
	}
	audience, party := claims.String("azp")
	if !party {
		if len(audiences) > 1 {
			return claims, errAudience.With(errors.New("the token has several audiences and no authorized party"))
		}
		audience = audiences[0]
	}
	if !slices.Contains(from.ClientIDs, audience) {
		return claims, errAudience.With(fmt.Errorf("the token is for %q", audience))
	}
	return claims, nil
}

func (s *Service) foreignKey(ctx context.Context, from *OIDCProvider, keyID string) (token.PublicKey, error) {
	if from.Keys == nil {
		return s.Remote.Key(ctx, token.Issuer{URL: from.URL, Thumbprints: from.Thumbprints}, keyID)
	}
	for _, k := range from.Keys {
		if k.ID == keyID {
			return k, nil
		}
	}
	return token.PublicKey{}, token.ErrKeyNotFound
}

func verifyOnce(text string, now time.Time, key func(*token.Unverified) (token.PublicKey, error)) (token.Claims, error) {
	u, err := token.Parse(text)
	if err != nil {
		return token.Claims{}, err
	}
	k, err := key(u)
	if err != nil {
		return token.Claims{}, err
	}
	claims, err := u.Verify(k)
	if err != nil {
		return token.Claims{}, err
	}
	return claims, claims.CheckExpiry(now, 0)
}

// verifyFacebook asks whose access token it is (Graph API, /app and /me).
func (s *Service) verifyFacebook(ctx context.Context, from *provider, text string) (login, error) {
	var app, me struct {
		ID string `json:"id"`
	}
	if err := s.ask(ctx, s.Endpoints.Facebook+"/app", text, &app); err != nil {
		return login{}, err
	}
	if app.ID != from.app || app.ID == "" {
		return login{}, errNotSupported.With(fmt.Errorf("the token is for the application %q", app.ID))
	}
	if err := s.ask(ctx, s.Endpoints.Facebook+"/me", text, &me); err != nil {
		return login{}, err
	}
	return opaque(from, me.ID, "https://graph.facebook.com", "")
}

// verifyAmazon asks whose access token it is (Login with Amazon Developer Guide, "Verify access tokens").
func (s *Service) verifyAmazon(ctx context.Context, from *provider, text string) (login, error) {
	var info struct {
		Audience string `json:"aud"`
		UserID   string `json:"user_id"`
		Expires  int64  `json:"exp"` // seconds from now
	}
	if err := s.ask(ctx, s.Endpoints.Amazon+"/auth/o2/tokeninfo", text, &info); err != nil {
		return login{}, err
	}
	if info.Audience != from.app || info.Audience == "" {
		return login{}, errNotSupported.With(fmt.Errorf("the token is for the client %q", info.Audience))
	}
	if now := s.Now().Unix(); info.Expires <= 0 {
		return login{}, loginError(&token.ExpiredError{Now: now, Expires: now + info.Expires})
	}
	return opaque(from, info.UserID, "https://www.amazon.com", info.UserID)
}

// opaque is the login of an access token, of which no more is known than the issuer, the application and the user. userID
// is the value of the claim user_id, where the provider has one.
func opaque(from *provider, subject, issuer, userID string) (login, error) {
	if subject == "" || len(subject) > subjectMost || !isText(subject) {
		return login{}, errUnverified.With(errors.New("the provider names no user"))
	}
	claims := map[string]json.RawMessage{}
	for name, v := range map[string]string{"iss": issuer, "aud": from.app, "sub": subject, "user_id": userID} {
		if v != "" {
			text, err := json.Marshal(v)
			if err != nil {
				return login{}, err
			}
			claims[name] = text
		}
	}
	return login{
		provider: from.id, subject: subject, name: from.name, mapping: from.id,
		amr:   []string{from.name, from.name + ":" + from.app + ":" + subject},
		claim: func(name string) (json.RawMessage, bool) { v, ok := claims[name]; return v, ok },
	}, nil
}

const (
	askTime = 5 * time.Second
	askMost = 64 << 10 // bytes of an answer
)

// asker follows no redirects: they would carry the token elsewhere.
var asker = &http.Client{Timeout: askTime, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// ask gets what a provider tells about an access token. No error tells the token.
func (s *Service) ask(ctx context.Context, base, accessToken string, into any) error {
	req, err := http.NewRequestWithContext(ctx, "GET", base+"?"+url.Values{"access_token": {accessToken}}.Encode(), nil)
	if err != nil {
		return errUnverified.With(errors.New("the token cannot be asked about"))
	}
	return s.answer(req, base, into)
}

// answer makes a request about a token to a provider, whose name for the log is base.
func (s *Service) answer(req *http.Request, base string, into any) error {
	resp, err := asker.Do(req)
	if err != nil {
		var bad *url.Error // it tells the whole URL
		if errors.As(err, &bad) {
			err = bad.Err
		}
		return errExternal.With(err)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests:
		return errExternal.With(fmt.Errorf("%s answers %s", base, resp.Status))
	case resp.StatusCode != http.StatusOK:
		return errUnverified.With(fmt.Errorf("%s answers %s", base, resp.Status))
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, askMost))
	if err == nil {
		err = json.Unmarshal(body, into)
	}
	if err != nil {
		return errExternal.With(fmt.Errorf("%s: %w", base, err))
	}
	return nil
}
