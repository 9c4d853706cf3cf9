// Package access is the only place where requests are let in: it verifies who signed a request (Signature Version 4), and
// decides by policy whether they may do what it asks for.
//
// A Gate serves both doors: awsapi, the pipeline of the AWS APIs, as its Authenticator and Authorizer; and the S3 gateway,
// which verifies bodies itself, through SigningKey and Decide. Who a key belongs to and which policies apply to him, it
// asks through Identities.
package access

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"usher/internal/awsapi"
	"usher/internal/db"
	"usher/internal/policy"
	"usher/internal/sigv4"
)

var (
	_ awsapi.Authenticator = (*Gate)(nil)
	_ awsapi.Authorizer    = (*Gate)(nil)
)

// Credential is an access key that may be used now.
type Credential struct {
	Secret    string
	Principal *Principal
}

// Identities knows access keys and roles.
type Identities interface {
	// Credential returns what belongs to an access key id and, for temporary credentials, a session token (else empty).
	// Errors are awsapi.ErrInvalidClientToken, awsapi.ErrExpiredToken, or internal.
	Credential(ctx context.Context, accessKeyID, sessionToken string) (*Credential, error)
	// TrustPolicy returns the trust policy of the role with exactly this ARN; nothing if there is no such role.
	TrustPolicy(ctx context.Context, roleARN string) ([]policy.Source, error)
	// Organization returns the place of an account in its organization, for resources of the account.
	Organization(ctx context.Context, account string) (Organization, error)
	// Used notes that a request was accepted: id is the long-term access key that it was signed with, or the unique id of the
	// role whose session signed it. It must not take time.
	Used(id, service, region string, at time.Time)
}

// Gate authenticates and authorizes. Make it with New.
type Gate struct {
	Identities Identities
	// DB is refreshed at the start of each request, so that a change of IAM that was acknowledged on any node counts.
	DB  *db.DB
	Now func() time.Time
	// Region is what requests must be signed for; empty: any. IAM and STS, which AWS has in one place too, may also be signed
	// for us-east-1. Policies that test aws:RequestedRegion rely on it.
	Region string
	// MaxSkew is how far the clocks of clients may be off; zero is 15 minutes.
	MaxSkew time.Duration

	// Resources are the policies that resources carry; nil: none does.
	Resources ResourcePolicies
	// Denials keeps what was denied; nil: nothing is kept.
	Denials *Denials

	signingKeys *sigv4.KeyCache
}

// ResourcePolicies knows the policies that resources carry, such as buckets.
type ResourcePolicies interface {
	// ResourcePolicy returns the policy of the resource with an ARN, which owner owns, as it counts for callers of the
	// account caller ("" for anonymous ones); nothing if the resource has none.
	ResourcePolicy(ctx context.Context, resource, owner, caller string) ([]policy.Source, error)
}

const cachedSigningKeys = 20_000

// globalRegion is where AWS has what it has once.
const globalRegion = "us-east-1"

// unknownKey stands in for the signing key of an access key that does not exist.
var unknownKey = make([]byte, 32)

// New returns g, ready for use.
func New(g Gate) *Gate {
	g.signingKeys = sigv4.NewKeyCache(cachedSigningKeys)
	return &g
}

// Authenticate implements awsapi.Authenticator. It checks, in this order: form and scope of the signature, the time, that
// the access key is known and its session token is genuine and has not expired, the signature over the request and its
// body.
func (g *Gate) Authenticate(ctx context.Context, r *http.Request, body []byte, service string) (context.Context, error) {
	region := g.Region
	if _, signed, _ := sigv4.Scope(r); signed == globalRegion && (service == "iam" || service == "sts" || service == "organizations") {
		region = globalRegion
	}
	claims, err := sigv4.Parse(r, sigv4.Options{Service: service, Region: region, Now: g.Now(), MaxSkew: g.MaxSkew})
	if err != nil {
		return nil, authError(err)
	}
	payload := sigv4.PayloadHash(body)
	cred, key, err := g.credential(ctx, claims)
	if err != nil {
		if errors.Is(err, awsapi.ErrInvalidClientToken) {
			// An unknown key must not be told from a wrong signature by the time it takes.
			_ = claims.Verify(unknownKey, payload)
		}
		return nil, err
	}
	if err := claims.Verify(key, payload); err != nil {
		return nil, authError(err)
	}
	if err := restrict(cred.Principal, service); err != nil {
		return nil, err
	}
	s := &signed{
		principal: cred.Principal, accessKey: claims.AccessKeyID, uses: usedBy(cred.Principal, claims.AccessKeyID),
		request: factsOf(r, service, claims.Region),
	}
	if s.uses != "" {
		g.Identities.Used(s.uses, service, claims.Region, g.Now())
	}
	return awsapi.WithCaller(ctx, s.caller()), nil
}

// SigningKey returns the key that the request with these claims must be signed with, and whose it is, for one who verifies
// the signature himself: the S3 gateway. Nothing in the answer may be used before that. Errors are
// awsapi.ErrInvalidClientToken, awsapi.ErrExpiredToken, or internal.
func (g *Gate) SigningKey(ctx context.Context, claims *sigv4.Request) ([]byte, awsapi.Caller, error) {
	cred, key, err := g.credential(ctx, claims)
	if err != nil {
		return nil, awsapi.Caller{}, err
	}
	s := &signed{
		principal: cred.Principal, accessKey: claims.AccessKeyID, uses: usedBy(cred.Principal, claims.AccessKeyID),
		request: requestFacts{service: claims.Service, region: claims.Region},
	}
	return key, s.caller(), nil
}

func (g *Gate) credential(ctx context.Context, claims *sigv4.Request) (*Credential, []byte, error) {
	if err := g.DB.Refresh(ctx); err != nil {
		return nil, nil, err
	}
	cred, err := g.Identities.Credential(ctx, claims.AccessKeyID, claims.SessionToken)
	if err != nil {
		return nil, nil, err
	}
	return cred, g.signingKeys.Key(claims.AccessKeyID, cred.Secret, claims.Date, claims.Region, claims.Service), nil
}

// usedBy is what a request with an access key counts as a use of: the key, or the role of a session; nothing for sessions
// of users.
func usedBy(p *Principal, accessKey string) string {
	switch {
	case p.Session == nil:
		return accessKey
	case p.Kind == policy.RoleSession:
		return p.ID
	}
	return ""
}

func (s *signed) caller() awsapi.Caller {
	p := s.principal
	return awsapi.Caller{AccountID: p.AccountID, ARN: p.ARN, UserID: p.UserID(), AccessKeyID: s.accessKey, Session: s}
}

// restrict refuses what temporary credentials of users cannot be used for: IAM, unless they come of GetSessionToken with
// a one-time password (STS API Reference, GetSessionToken and GetFederationToken).
func restrict(p *Principal, service string) error {
	if p.Session == nil || p.Kind == policy.RoleSession || p.Session.AssumedRoot || p.Session.Delegated || service != "iam" {
		return nil
	}
	if p.Kind == policy.FederatedUser || p.Session.MFATime.IsZero() {
		return awsapi.ErrInvalidClientToken
	}
	return nil
}

// authError puts a fault of the signature into the words of awsapi, which knows them for each protocol.
func authError(err error) error {
	var e *sigv4.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Kind {
	case sigv4.Missing:
		return awsapi.ErrMissingAuthentication.With(e)
	case sigv4.Ambiguous, sigv4.Unsupported, sigv4.Incomplete, sigv4.IncompleteQuery, sigv4.PayloadKind:
		return awsapi.ErrIncompleteSignature.Msg("%s", e.Message).With(e)
	}
	return awsapi.ErrSignatureDoesNotMatch.Msg("%s", e.Message).With(e)
}

// Authorize implements awsapi.Authorizer.
func (g *Gate) Authorize(ctx context.Context, targets []awsapi.Target) error {
	caller, ok := awsapi.CallerFrom(ctx)
	if !ok {
		return awsapi.ErrMissingAuthentication
	}
	return g.Decide(ctx, caller, targets)
}

// Decide lets caller do all of targets, or says why not: with awsapi.ErrAccessDenied and AWS's words. The zero Caller is
// anonymous. Condition keys of a target replace global ones of the same name.
func (g *Gate) Decide(ctx context.Context, caller awsapi.Caller, targets []awsapi.Target) error {
	s, ok := caller.Session.(*signed)
	if !ok {
		s = &signed{principal: &Principal{}}
	}
	if s.uses != "" && s.request.service == "s3" {
		g.Identities.Used(s.uses, s.request.service, s.request.region, g.Now())
	}
	for i := range targets {
		if err := g.decide(ctx, s, &targets[i]); err != nil {
			return err
		}
	}
	return nil
}

var contexts = sync.Pool{New: func() any { return new(policy.Context) }}

func (g *Gate) decide(ctx context.Context, s *signed, t *awsapi.Target) error {
	p := s.principal
	request := policy.Request{Principal: p.Principal, Action: t.Action, Resource: t.Resource, ResourceAccount: t.Account}
	if request.ResourceAccount == "" {
		request.ResourceAccount = p.AccountID
	}
	policies := p.policies()
	if isAssumption(t.Action, t.Resource) {
		trust, err := g.Identities.TrustPolicy(ctx, t.Resource)
		if err != nil {
			return err
		}
		policies.Trust, policies.Resource = true, trust
	} else if g.Resources != nil {
		var err error
		if policies.Resource, err = g.Resources.ResourcePolicy(ctx, t.Resource, request.ResourceAccount, p.AccountID); err != nil {
			return err
		}
	}

	keys := contexts.Get().(*policy.Context)
	request.Context = keys
	now := g.Now()
	keys.Lazy("", func(c *policy.Context) error { // the first key that a policy asks for
		s.request.set(c, now)
		p.set(c, now)
		if request.ResourceAccount != "" {
			c.Set("aws:ResourceAccount", request.ResourceAccount)
			if err := g.setResourceOrganization(ctx, c, request.ResourceAccount); err != nil {
				return err
			}
		}
		SetKeys(c, t.Keys)
		return nil
	})
	if m := t.More; m != nil {
		keys.Lazy(m.Prefix, func(c *policy.Context) error {
			found, err := m.Find(context.WithoutCancel(ctx))
			SetKeys(c, found)
			return err
		})
	}
	d := policy.Decide(&request, &policies)
	if d.Allowed {
		keys.Reset()
		contexts.Put(keys)
		return nil
	}
	g.Denials.Add(ctx, now, request, policies, "") // keys included
	return awsapi.ErrAccessDenied.Msg("%s", denialMessage(&d, &request)).With(d.Err)
}

// setResourceOrganization sets the condition keys of the organization that a resource's account is in.
func (g *Gate) setResourceOrganization(ctx context.Context, c *policy.Context, account string) error {
	o, err := g.Identities.Organization(ctx, account)
	if err == nil && o.ID != "" {
		c.Set("aws:ResourceOrgID", o.ID)
		c.SetAll("aws:ResourceOrgPaths", []string{o.Path})
	}
	return err
}

// isAssumption reports whether the trust policy of a role decides the action.
func isAssumption(action, resource string) bool {
	switch action {
	case "sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity":
		return strings.Contains(resource, ":role/")
	}
	return false
}

// denialMessage is AWS's text. STS does not say which policy is in the way of assuming a role.
func denialMessage(d *policy.Decision, r *policy.Request) string {
	if isAssumption(r.Action, r.Resource) {
		return "User: " + r.Principal.Display() + " is not authorized to perform: " + r.Action + " on resource: " + r.Resource
	}
	return d.Message(r)
}

// SetKeys gives condition keys their values.
func SetKeys(c *policy.Context, keys map[string][]string) {
	for name, values := range keys {
		setKey(c, name, values)
	}
}

// setKey gives a condition key its values. Names known as multivalued are, however many values there are.
func setKey(c *policy.Context, name string, values []string) {
	if len(values) == 1 && !multivalued(name) {
		c.Set(name, values[0])
	} else {
		c.SetAll(name, values)
	}
}

// multivalued knows the multivalued condition keys of the services that are served (Service Authorization Reference).
func multivalued(name string) bool {
	switch name {
	case "aws:TagKeys", "sts:TransitiveTagKeys", "sts:IdentityTokenAudience", "s3:RequestObjectTagKeys", "dynamodb:LeadingKeys", "dynamodb:Attributes",
		"aws:PrincipalServiceNamesList", "aws:PrincipalOrgPaths", "aws:ResourceOrgPaths", "aws:CalledVia":
		return true
	}
	return strings.HasSuffix(name, ":amr")
}
