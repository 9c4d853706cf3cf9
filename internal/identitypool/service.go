// Package identitypool is Cognito identity pools: it turns a verified login, or none, into a lasting identity, and an
// identity into temporary credentials of an IAM role or into an OpenID token that STS takes.
//
// A login is a token of a user pool of this installation, of an OpenID Connect provider registered in IAM or of a public
// provider, or the response of a SAML provider registered in IAM, really verified, or the word of a backend that signs its call. A user pool may be spelled as AWS spells it
// (cognito-idp.{region}.amazonaws.com/{poolId}) or by this installation's own host; both are one provider (see names.go).
// Tokens are issued under this installation's own host, {public-url}/identity. Digits, which is no more, can be configured; its
// logins are refused.
//
// The operations are those of the Amazon Cognito Federated Identities API Reference.
package identitypool

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	api "usher/internal/api/cognitoidentity"
	"usher/internal/arn"
	"usher/internal/awsapi"
	"usher/internal/db"
	"usher/internal/saml"
	"usher/internal/seal"
	"usher/internal/sts"
	"usher/internal/token"
)

// Schema holds the migrations.
//
//go:embed schema/*.sql
var Schema embed.FS

// Config is what a Service needs.
type Config struct {
	DB        *db.DB
	Seal      *seal.Keyring
	Signer    *token.Signer
	Issuer    CredentialIssuer
	UserPools UserPools
	// OIDC returns the OpenID Connect provider of an account with exactly this issuer, or db.ErrNotFound; nil: there are none.
	OIDC       func(ctx context.Context, account, issuer string) (*OIDCProvider, error)
	SAML       SAMLVerifier
	Remote     *token.Remote     // keys of OpenID Connect providers; nil: of public addresses
	Endpoints  Endpoints         // of public providers
	Upstreams  map[string]string // by identity pool: the URL of another STS, which gives the pool's credentials
	Authorizer awsapi.Authorizer // asked for iam:PassRole, and for each of several identities
	Region     string
	KeyLife    time.Duration // after which the signing key is rotated; 0: only RotateKeys does
	PublicURL  string        // without a trailing slash
	AliasURLs  []string      // other public URLs, such as former ones: login keys and developers' tokens that name them are accepted
	AWSIssuer  bool          // tokens say that AWS issued them, and such are accepted
	// GuestsPerMinute is how many guests one client address may make in a minute; 0: any number.
	GuestsPerMinute int
	Now             func() time.Time
	Log             *slog.Logger
}

// CredentialIssuer gives temporary credentials of a role whose trust policy agrees; *sts.Service.
type CredentialIssuer interface {
	AssumeWebIdentity(context.Context, sts.WebIdentity) (sts.Credentials, error)
}

// SAMLVerifier knows the SAML providers that accounts have registered in IAM; *sts.Service.
type SAMLVerifier interface {
	HasSAMLProvider(ctx context.Context, arn string) (bool, error)
	// VerifySAML verifies a response of a provider and refuses one whose assertion was used up.
	VerifySAML(ctx context.Context, arn, response string) (*saml.Assertion, error)
	// RedeemSAML uses an assertion up, or says that somebody was faster.
	RedeemSAML(context.Context, *saml.Assertion) error
}

// UserPools is what is asked of user pools; *userpool.Service.
type UserPools interface {
	// PoolOfIssuer returns the user pool whose tokens have the issuer.
	PoolOfIssuer(issuer string) (poolID string, ok bool)
	// VerificationKeys returns the keys of a pool's tokens.
	VerificationKeys(ctx context.Context, poolID string) ([]token.PublicKey, error)
	// CheckSession refuses a sign-in that has ended: the user is gone, disabled or signed out, or the token revoked.
	CheckSession(ctx context.Context, poolID, sub, originJTI string, issued time.Time) error
}

// Service serves identity pools.
type Service struct {
	Config
	names    names
	pools    *db.Cache[string, *pool]
	verified *token.VerifiedCache // of user pools here and of our own
	foreign  *token.VerifiedCache
	keyBox   *seal.Box
	appBox   *seal.Box // of the secrets of public providers' applications
	keys     *db.Cache[struct{}, *signingKeys]
	guests   guestLimit
}

var _ api.Service = (*Service)(nil)

// New returns the service; it makes the first signing key where there is none.
func New(ctx context.Context, c Config) (*Service, error) {
	s := &Service{
		Config:   c,
		names:    newNames(c.AWSIssuer, append([]string{c.PublicURL}, c.AliasURLs...)...),
		pools:    db.NewCache[string, *pool](c.DB, "identity pools", 10_000),
		verified: token.NewVerifiedCache(50_000),
		foreign:  token.NewVerifiedCache(50_000),
		keyBox:   c.Seal.Box("identity-keys"),
		appBox:   c.Seal.Box("identity-apps"),
		guests:   guestLimit{perMinute: c.GuestsPerMinute, clients: map[netip.Prefix]guestBucket{}},
		keys:     db.NewCache[struct{}, *signingKeys](c.DB, "identity keys", 1),
	}
	if s.Remote == nil {
		s.Remote = &token.Remote{Now: s.Now}
	}
	others := s.Remote.Removed
	s.Remote.Removed = func(keyID string) {
		if s.foreign.RemoveKey(keyID); others != nil {
			others(keyID)
		}
	}
	e := &s.Endpoints
	e.Google, e.Apple = cmp.Or(e.Google, "https://accounts.google.com"), cmp.Or(e.Apple, "https://appleid.apple.com")
	e.Twitter = cmp.Or(e.Twitter, "https://api.twitter.com")
	e.Facebook, e.Amazon = cmp.Or(e.Facebook, "https://graph.facebook.com"), cmp.Or(e.Amazon, "https://api.amazon.com")
	return s, s.firstKey(ctx)
}

// API is the service as awsapi serves it.
func (s *Service) API() *awsapi.Service {
	return &awsapi.Service{Name: "cognito-identity", Protocol: api.Protocol, Operations: api.Operations(s), Targets: s.targets}
}

// targets says what a signed operation touches (Service Authorization Reference, Amazon Cognito Identity).
func (s *Service) targets(ctx context.Context, op string, in any) ([]awsapi.Target, error) {
	switch in := in.(type) {
	case *api.CreateIdentityPoolInput:
		return []awsapi.Target{{Resource: "*", Keys: requestTags(in.IdentityPoolTags)}}, nil
	case *api.TagResourceInput:
		return s.arnTargets(ctx, *in.ResourceArn, requestTags(in.Tags))
	case *api.UntagResourceInput:
		return s.arnTargets(ctx, *in.ResourceArn, map[string][]string{"aws:TagKeys": in.TagKeys})
	case *api.ListTagsForResourceInput:
		return s.arnTargets(ctx, *in.ResourceArn, nil)
	case *api.DeleteIdentityPoolInput:
		return s.poolTargets(ctx, *in.IdentityPoolId, nil)
	case *api.DescribeIdentityPoolInput:
		return s.poolTargets(ctx, *in.IdentityPoolId, nil)
	case *api.IdentityPool:
		return s.poolTargets(ctx, *in.IdentityPoolId, nil)
	case *api.GetIdentityPoolRolesInput:
		return s.poolTargets(ctx, *in.IdentityPoolId, nil)
	case *api.ListIdentitiesInput:
		return s.poolTargets(ctx, *in.IdentityPoolId, nil)
	case *api.GetOpenIdTokenForDeveloperIdentityInput:
		return s.poolTargets(ctx, *in.IdentityPoolId, nil)
	case *api.GetPrincipalTagAttributeMapInput:
		return s.poolTargets(ctx, *in.IdentityPoolId, nil)
	case *api.LookupDeveloperIdentityInput:
		return s.poolTargets(ctx, *in.IdentityPoolId, nil)
	case *api.MergeDeveloperIdentitiesInput:
		return s.poolTargets(ctx, *in.IdentityPoolId, nil)
	case *api.UnlinkDeveloperIdentityInput:
		return s.poolTargets(ctx, *in.IdentityPoolId, nil)
	case *api.DescribeIdentityInput:
		return s.identityTargets(ctx, *in.IdentityId)
	case *api.DeleteIdentitiesInput:
		return nil, nil // decided for each identity
	}
	return []awsapi.Target{{Resource: "*"}}, nil
}

func (s *Service) poolTargets(ctx context.Context, id string, keys map[string][]string) ([]awsapi.Target, error) {
	caller, _ := awsapi.CallerFrom(ctx)
	t := awsapi.Target{Resource: s.poolARN(caller.AccountID, id), Keys: map[string][]string{}}
	for k, v := range keys {
		t.Keys[k] = v
	}
	p, err := s.pool(ctx, id)
	switch {
	case errors.Is(err, api.ErrResourceNotFound): // decided as the caller's; the operation then says that it is unknown
	case err != nil:
		return nil, err
	default:
		t.Resource, t.Account = s.poolARN(p.AccountID, id), p.AccountID
		for k, v := range p.Settings.IdentityPoolTags {
			t.Keys["aws:ResourceTag/"+k] = []string{v}
		}
	}
	return []awsapi.Target{t}, nil
}

func (s *Service) arnTargets(ctx context.Context, text string, keys map[string][]string) ([]awsapi.Target, error) {
	id, err := s.idOfARN(ctx, text)
	if err != nil && !errors.Is(err, api.ErrResourceNotFound) {
		return nil, err
	}
	return s.poolTargets(ctx, id, keys)
}

// keyPoolARN is the condition key of the operations on an identity, whose resource is "*".
const keyPoolARN = "cognito-identity:IdentityPoolArn"

func (s *Service) identityTargets(ctx context.Context, id string) ([]awsapi.Target, error) {
	i, err := s.identity(ctx, s.DB, id)
	if errors.Is(err, api.ErrResourceNotFound) {
		return []awsapi.Target{{Resource: "*"}}, nil
	} else if err != nil {
		return nil, err
	}
	p, err := s.ownPool(ctx, i.PoolID)
	if errors.Is(err, api.ErrResourceNotFound) {
		return []awsapi.Target{{Resource: "*"}}, nil
	} else if err != nil {
		return nil, err
	}
	return []awsapi.Target{{Resource: "*", Keys: map[string][]string{keyPoolARN: {s.poolARN(p.AccountID, p.ID)}}}}, nil
}

func requestTags(tags map[string]string) map[string][]string {
	if len(tags) == 0 {
		return nil
	}
	keys := map[string][]string{}
	for k, v := range tags {
		keys["aws:RequestTag/"+k] = []string{v}
		keys["aws:TagKeys"] = append(keys["aws:TagKeys"], k)
	}
	return keys
}

func (s *Service) poolARN(account, id string) string {
	return arn.ARN{Partition: "aws", Service: "cognito-identity", Region: s.Region, AccountID: account, Resource: "identitypool/" + id}.String()
}

// idOfARN returns the id of the pool that has an ARN.
func (s *Service) idOfARN(ctx context.Context, text string) (string, error) {
	unknown := api.ErrResourceNotFound.Msg("Resource '%s' not found.", text)
	_, id, _ := strings.Cut(text, ":identitypool/")
	if !isText(id) {
		return "", unknown
	}
	p, err := s.pool(ctx, id)
	if errors.Is(err, api.ErrResourceNotFound) || err == nil && s.poolARN(p.AccountID, id) != text {
		return "", unknown
	}
	return id, err
}

func timeOf(us int64) time.Time { return time.UnixMicro(us).UTC() }
