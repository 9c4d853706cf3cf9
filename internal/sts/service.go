// Package sts is the AWS Security Token Service: it issues temporary credentials and tells whose they are.
//
// Temporary credentials are not stored. The session token is the sealed payload of everything that a later request needs,
// bound to its access key id; the secret key is derived from a seed in it. What IAM may change meanwhile (the policies and
// the existence of a role or user) is not in it, but looked up by unique id on each request.
//
// Source: the AWS STS API Reference, and the IAM User Guide, "Temporary security credentials in IAM".
package sts

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"usher/internal/access"
	"usher/internal/api/sts"
	"usher/internal/awsapi"
	"usher/internal/db"
	"usher/internal/iam"
	"usher/internal/ids"
	"usher/internal/policy"
	"usher/internal/seal"
	"usher/internal/token"
)

var (
	_ sts.Service       = (*Service)(nil)
	_ access.Identities = (*Service)(nil)
)

// Service is STS. Make it with New.
type Service struct {
	IAM    *iam.Service
	DB     *db.DB
	Keys   *seal.Keyring // seals session tokens and derives secret keys
	Remote *token.Remote // keys of OIDC providers elsewhere; nil: of public addresses
	Local  LocalIssuers  // keys of this server's own issuers; nil: there are none
	// IdentityIssuers are the issuers of this server's identity pools without their scheme: the present, and others that
	// mean it. Sessions of identity pools have their condition keys under these names too, beside
	// cognito-identity.amazonaws.com.
	IdentityIssuers []string
	// SAMLEndpoints are the addresses of this server that SAML responses may be sent to, beside that of AWS.
	SAMLEndpoints []string
	// Providers are the addresses of the built-in web identity providers.
	Providers Providers
	// Denials keeps why trust policies refused identities; nil: nothing is kept.
	Denials *access.Denials
	Now     func() time.Time

	box         *seal.Box
	derive      map[string][]byte // key material for secret keys, by id of the keyring's key
	policies    *db.Cache[string, *policy.Policy]
	revocations *db.Cache[int, map[Subject]int64] // by shard
	epochs      *db.Cache[struct{}, int64]
	own         *token.VerifiedCache // tokens of our own issuers
	foreign     *token.VerifiedCache // tokens of others
	asking      chan struct{}        // see maxAsking
	aliases     map[string][]string  // condition keys of identity pools under the local names
}

// New returns s, ready for use.
func New(s Service) (*Service, error) {
	s.box = s.Keys.Box("sts/session")
	s.derive = map[string][]byte{}
	for _, id := range s.Keys.IDs() {
		material, err := s.Keys.Derive("sts/secret-key", id, 32)
		if err != nil {
			return nil, err
		}
		s.derive[id] = material
	}
	s.policies = db.NewCache[string, *policy.Policy](s.DB, "sts session policies", 10_000)
	s.revocations = db.NewCache[int, map[Subject]int64](s.DB, "sts revocations", revocationShards)
	s.epochs = db.NewCache[struct{}, int64](s.DB, "sts epoch", 1)
	if err := s.warm(context.Background()); err != nil {
		return nil, err
	}
	s.own, s.foreign = token.NewVerifiedCache(50_000), token.NewVerifiedCache(50_000)
	s.Providers.complete()
	s.asking = make(chan struct{}, maxAsking)
	if s.Remote == nil {
		s.Remote = &token.Remote{Now: s.Now}
	}
	if s.Remote.Removed == nil {
		s.Remote.Removed = s.foreign.RemoveKey
	}
	s.aliases = map[string][]string{}
	for _, name := range []string{":aud", ":sub", ":amr"} {
		for _, issuer := range s.IdentityIssuers {
			s.aliases[IdentityPools+name] = append(s.aliases[IdentityPools+name], issuer+name)
		}
	}
	return &s, nil
}

// IdentityPools is the built-in web identity provider of Cognito identity pools.
const IdentityPools = "cognito-identity.amazonaws.com"

// Credentials are temporary credentials.
type Credentials struct {
	AccessKeyID     string
	SecretAccessKey string
	SessionToken    string
	Expiration      time.Time
}

func (c *Credentials) wire() *sts.Credentials {
	return &sts.Credentials{AccessKeyId: &c.AccessKeyID, SecretAccessKey: &c.SecretAccessKey, SessionToken: &c.SessionToken, Expiration: &c.Expiration}
}

// issued is what an operation tells about the credentials that it made.
type issued struct {
	Credentials
	packed int32 // percent of what session policies and tags may take
}

func (i *issued) size() *int32        { return new(int32(len(i.SessionToken))) }
func (i *issued) utilization() *int32 { return new(int32(percent(len(i.SessionToken), maxToken))) }

func percent(n, of int) int { return (100*n + of - 1) / of }

// issue makes credentials for b. atLeast is the wished length of the session token, for clients that test with long ones.
func (s *Service) issue(ctx context.Context, b *bearer, lifetime time.Duration, atLeast *int32) (*issued, error) {
	var err error
	if b.epoch, err = s.epoch(ctx); err != nil {
		return nil, err
	}
	b.seed = make([]byte, seedSize)
	rand.Read(b.seed)
	b.secretKey = s.Keys.Active()
	b.session.Issued = s.Now().UTC().Truncate(time.Second)
	b.session.Expiry = b.session.Issued.Add(lifetime)
	payload, grants := appendPayload(make([]byte, 0, 512), b)
	if grants > maxGrants {
		return nil, tooLarge(b, percent(grants, maxGrants))
	}
	if atLeast != nil {
		size := (int(*atLeast)+3)/4*3 - s.box.Overhead() // of the payload
		if missing := size - len(payload); missing > 0 {
			payload = appendField(payload, fieldPadding, make([]byte, max(missing-1-uvarintLen(missing), 0)))
		}
	}
	id := ids.SessionKey(b.account)
	text := tokenEncoding.EncodeToString(s.box.Seal(payload, []byte(id)))
	if len(text) > maxToken {
		return nil, sts.ErrPackedPolicyTooLarge.Msg("Serialized token too large for session")
	}
	return &issued{
		Credentials: Credentials{AccessKeyID: id, SecretAccessKey: s.secret(b, id), SessionToken: text, Expiration: b.session.Expiry},
		packed:      int32(percent(grants, maxGrants)),
	}, nil
}

func tooLarge(b *bearer, percent int) error {
	if b.session.Policy == "" && len(b.session.PolicyARNs) == 0 {
		return sts.ErrPackedPolicyTooLarge.Msg("Packed size of session tags consumes %d%% of allotted space.", percent)
	}
	return sts.ErrPackedPolicyTooLarge.Msg("Packed policy consumes %d%% of allotted space, please use smaller policy.", percent)
}

// secret derives the secret key of a session: 40 characters of base64.
func (s *Service) secret(b *bearer, id string) string {
	m := hmac.New(sha512.New512_256, s.derive[b.secretKey])
	m.Write(b.seed)
	m.Write([]byte(id))
	return base64.StdEncoding.EncodeToString(m.Sum(nil))[:40]
}

// open is the inverse of issue: whom the token speaks for, and the secret key.
func (s *Service) open(id, text string) (*bearer, string, error) {
	account, ok := ids.AccountOf(id)
	if !ok || len(text) > maxToken {
		return nil, "", awsapi.ErrInvalidClientToken
	}
	sealed, err := tokenEncoding.DecodeString(text)
	if err != nil {
		return nil, "", awsapi.ErrInvalidClientToken.With(err)
	}
	payload, err := s.box.Open(sealed, []byte(id))
	if err != nil {
		return nil, "", awsapi.ErrInvalidClientToken.With(err)
	}
	b, err := parsePayload(payload)
	if err != nil || b.account != account || s.derive[b.secretKey] == nil {
		return nil, "", awsapi.ErrInvalidClientToken.With(err)
	}
	if !s.Now().Before(b.session.Expiry) {
		return nil, "", awsapi.ErrExpiredToken
	}
	return b, s.secret(b, id), nil
}

// Credential implements access.Identities.
func (s *Service) Credential(ctx context.Context, id, sessionToken string) (*access.Credential, error) {
	switch {
	case strings.HasPrefix(id, "AKIA") && sessionToken == "":
		return s.longTerm(ctx, id)
	case strings.HasPrefix(id, "ASIA") && sessionToken != "":
		return s.temporary(ctx, id, sessionToken)
	}
	return nil, awsapi.ErrInvalidClientToken
}

func (s *Service) longTerm(ctx context.Context, id string) (*access.Credential, error) {
	if _, ok := ids.AccountOf(id); !ok {
		return nil, awsapi.ErrInvalidClientToken
	}
	key, err := s.IAM.AccessKey(ctx, id)
	if errors.Is(err, db.ErrNotFound) {
		return nil, awsapi.ErrInvalidClientToken
	} else if err != nil {
		return nil, err
	}
	if !key.Active {
		return nil, awsapi.ErrInvalidClientToken
	}
	owner, err := s.principal(ctx, key.Owner)
	if err != nil {
		return nil, err
	}
	p := base(owner)
	return &access.Credential{Secret: key.Secret, Principal: p}, nil
}

// principal reads the user, role or root behind credentials: without one, they are worth nothing any more.
func (s *Service) principal(ctx context.Context, id string) (*iam.Principal, error) {
	p, err := s.IAM.Principal(ctx, id)
	if errors.Is(err, db.ErrNotFound) {
		return nil, awsapi.ErrInvalidClientToken.With(fmt.Errorf("%s does not exist", id))
	}
	return p, err
}

// base is a user or root as such.
func base(owner *iam.Principal) *access.Principal {
	kind := policy.User
	if owner.Root {
		kind = policy.Root
	}
	return &access.Principal{
		Principal: policy.Principal{Kind: kind, AccountID: owner.Account, ARN: owner.ARN, ID: owner.ID},
		Name:      owner.Name, Tags: owner.Tags, Identity: owner.Identity, Boundary: owner.Boundary,
		Organization: place(owner.Organization), ServiceControl: owner.ServiceControl,
	}
}

func place(m *iam.Membership) access.Organization {
	if m == nil {
		return access.Organization{}
	}
	return access.Organization{ID: m.Organization, Path: m.Path}
}

// Organization implements access.Identities.
func (s *Service) Organization(ctx context.Context, account string) (access.Organization, error) {
	m, err := s.IAM.Membership(ctx, account)
	return place(m), err
}

func (s *Service) temporary(ctx context.Context, id, text string) (*access.Credential, error) {
	b, secret, err := s.open(id, text)
	if err != nil {
		return nil, err
	}
	if err := s.checkRevoked(ctx, id, b); err != nil {
		return nil, err
	}
	owner, err := s.principal(ctx, b.id)
	if err != nil {
		return nil, err
	}
	if owner.Account != b.account || owner.Role != (b.kind == policy.RoleSession) {
		return nil, awsapi.ErrInvalidClientToken
	}
	p := base(owner)
	p.Kind, p.Session = b.kind, &b.session
	if b.session.AssumedRoot && owner.Organization == nil { // the account has left the organization that let somebody in
		return nil, awsapi.ErrInvalidClientToken
	}
	switch b.kind {
	case policy.RoleSession:
		p.ARN, p.ParentARN, p.SessionName = sessionARN(owner, b.session.Name), owner.ARN, b.session.Name
	case policy.FederatedUser:
		p.ARN, p.ParentARN, p.SessionName = federatedARN(b.account, b.session.Name), owner.ARN, b.session.Name
		if owner.Root { // may do what session policies allow
			admin, err := s.IAM.ManagedPolicy(ctx, iam.AdminPolicy)
			if err != nil {
				return nil, err
			}
			p.Identity = []policy.Source{admin}
		}
	}
	if p.Session.Provider == IdentityPools {
		for _, k := range p.Session.Keys {
			for _, alias := range s.aliases[k.Name] {
				p.Session.Keys = append(p.Session.Keys, access.Key{Name: alias, Values: k.Values})
			}
		}
	}
	if p.SessionPolicies, err = s.sessionPolicies(ctx, &b.session); err != nil {
		return nil, err
	}
	if b.session.AssumedRoot { // the policy of the task only denies: what it leaves is the root user's
		admin, err := s.IAM.ManagedPolicy(ctx, iam.AdminPolicy)
		if err != nil {
			return nil, err
		}
		p.SessionPolicies = append(p.SessionPolicies, admin)
	}
	return &access.Credential{Secret: secret, Principal: p}, nil
}

func sessionARN(role *iam.Principal, session string) string {
	return "arn:aws:sts::" + role.Account + ":assumed-role/" + role.Name + "/" + session
}

func federatedARN(account, name string) string {
	return "arn:aws:sts::" + account + ":federated-user/" + name
}

// sessionPolicies are the policies of a session as they are now: a managed policy counts in its present default version,
// and one that was deleted allows nothing.
func (s *Service) sessionPolicies(ctx context.Context, session *access.Session) ([]policy.Source, error) {
	var list []policy.Source
	if session.Policy != "" {
		compiled, err := s.policies.Get(ctx, session.Policy, "", func(context.Context) (*policy.Policy, error) {
			return policy.Parse(session.Policy)
		})
		if err != nil {
			return nil, err
		}
		list = append(list, policy.Source{ID: "Policy", Type: "none", Policy: compiled})
	}
	for _, arn := range session.PolicyARNs {
		src, err := s.IAM.ManagedPolicy(ctx, arn)
		if err != nil {
			return nil, err
		}
		if src.Policy != nil {
			list = append(list, src)
		}
	}
	return list, nil
}

// TrustPolicy implements access.Identities.
func (s *Service) TrustPolicy(ctx context.Context, roleARN string) ([]policy.Source, error) {
	role, err := s.IAM.RoleByARN(ctx, roleARN)
	if errors.Is(err, db.ErrNotFound) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	return role.Trust, nil
}

// Used implements access.Identities.
func (s *Service) Used(id, service, region string, at time.Time) {
	s.IAM.Used(id, service, region, at)
}

// GetCallerIdentity implements sts:GetCallerIdentity.
func (s *Service) GetCallerIdentity(ctx context.Context, _ *sts.GetCallerIdentityRequest) (*sts.GetCallerIdentityResponse, error) {
	caller, _ := awsapi.CallerFrom(ctx)
	return &sts.GetCallerIdentityResponse{UserId: &caller.UserID, Account: &caller.AccountID, Arn: &caller.ARN}, nil
}

// GetAccessKeyInfo implements sts:GetAccessKeyInfo: the account is in the access key id.
func (s *Service) GetAccessKeyInfo(ctx context.Context, in *sts.GetAccessKeyInfoRequest) (*sts.GetAccessKeyInfoResponse, error) {
	account, ok := ids.AccountOf(*in.AccessKeyId)
	if ok {
		var err error
		if ok, err = s.IAM.AccountExists(ctx, account); err != nil {
			return nil, err
		}
	}
	if !ok {
		return nil, errValidation.Msg("%s is not a valid access key id", *in.AccessKeyId)
	}
	return &sts.GetAccessKeyInfoResponse{Account: &account}, nil
}

var (
	errValidation       = &awsapi.Error{Code: "ValidationError", Status: 400}
	errInvalidParameter = &awsapi.Error{Code: "InvalidParameterValue", Status: 400}
	errAccessDenied     = &awsapi.Error{Code: "AccessDenied", Status: 403}
)
