package sts

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"usher/internal/access"
	"usher/internal/api/sts"
	"usher/internal/arn"
	"usher/internal/db"
	"usher/internal/iam"
	"usher/internal/policy"
	"usher/internal/policy/catalog"
	"usher/internal/token"
)

// IssuerKind is what one of this server's own issuers issues tokens for.
type IssuerKind int

const (
	// UserPoolIssuer is a user pool. To AssumeRoleWithWebIdentity it is an OIDC provider like others: the account of the
	// role must have registered it.
	UserPoolIssuer IssuerKind = iota + 1
	// IdentityPoolIssuer is the issuer of the identity pools, the built-in provider cognito-identity.amazonaws.com.
	IdentityPoolIssuer
)

// LocalIssuer is one of this server's own issuers.
type LocalIssuer struct {
	Kind IssuerKind
	Keys []token.PublicKey
	// URLs are all issuers that mean this one. An account may have registered it as an OIDC provider under any of them.
	URLs []string
}

// LocalIssuers finds the keys of this server's own issuers, so that their tokens are verified without the network.
type LocalIssuers interface {
	// LocalIssuer returns the issuer with exactly this iss; false if it is none of ours.
	LocalIssuer(ctx context.Context, iss string) (LocalIssuer, bool, error)
}

const (
	google = "accounts.google.com"

	claimTags           = "https://aws.amazon.com/tags"
	claimSourceIdentity = "https://aws.amazon.com/source_identity"
	claimPoolARN        = "https://cognito-identity.amazonaws.com/identity-pool-arn"

	clockSkew = 5 * time.Minute // how far iat and nbf may lie in the future
)

var (
	errNotAuthorized = errAccessDenied.Msg("Not authorized to perform sts:AssumeRoleWithWebIdentity")
	errNotJWT        = sts.ErrInvalidIdentityToken.Msg("The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)")
	errNoKey         = sts.ErrInvalidIdentityToken.Msg("Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation for requirements")
	errThumbprint    = sts.ErrInvalidIdentityToken.Msg("OpenIDConnect provider's HTTPS certificate doesn't match configured thumbprint")
	errSignature     = sts.ErrInvalidIdentityToken.Msg("The signature of the provided ID Token is invalid")
	errNotYetValid   = sts.ErrInvalidIdentityToken.Msg("The ID Token provided is not valid yet")
	errAudience      = sts.ErrInvalidIdentityToken.Msg("Incorrect token audience")
	errManyAudiences = sts.ErrInvalidIdentityToken.Msg("Token audience contains more than one audience while authorized party is not present")
)

func errMissingClaim(name string) error {
	return sts.ErrInvalidIdentityToken.Msg("Missing a required claim: %s.", name)
}

// AssumeRoleWithWebIdentity implements sts:AssumeRoleWithWebIdentity. The token is verified first: form, issuer, signature,
// times, audience; then the role's trust policy decides.
func (s *Service) AssumeRoleWithWebIdentity(ctx context.Context, in *sts.AssumeRoleWithWebIdentityRequest) (*sts.AssumeRoleWithWebIdentityResponse, error) {
	roleARN, err := arn.Parse(*in.RoleArn)
	if err != nil {
		return nil, errValidation.Msg("%s is invalid", *in.RoleArn)
	}
	if err := s.DB.Refresh(ctx); err != nil {
		return nil, err
	}
	var id *externalIdentity
	if in.ProviderId != nil {
		id, err = s.verifyAccessToken(ctx, *in.ProviderId, *in.WebIdentityToken)
	} else {
		id, err = s.verify(ctx, *in.WebIdentityToken, roleARN.AccountID)
	}
	if err != nil {
		return nil, err
	}
	role, err := s.trusted(ctx, *in.RoleArn, *in.RoleSessionName, id)
	if err != nil {
		return nil, err
	}
	lifetime, err := roleDuration(in.DurationSeconds, role, false)
	if err != nil {
		return nil, err
	}
	document, arns, err := s.checkSessionPolicies(ctx, role.Account, in.Policy, in.PolicyArns)
	if err != nil {
		return nil, err
	}
	b := id.bearer(role, *in.RoleSessionName)
	b.session.Policy, b.session.PolicyARNs = document, arns
	out, err := s.issue(ctx, b, lifetime, in.MinimumSessionTokenSize)
	if err != nil {
		return nil, err
	}
	return &sts.AssumeRoleWithWebIdentityResponse{
		Credentials: out.wire(), AssumedRoleUser: assumedRoleUser(role, *in.RoleSessionName), PackedPolicySize: packedSize(out, &b.session),
		SubjectFromWebIdentityToken: &id.subject, Audience: &id.audience, Provider: &id.issuer,
		SourceIdentity: optional(id.source), SessionTokenSize: out.size(), SessionTokenUtilization: out.utilization(),
	}, nil
}

// externalIdentity is who an identity token speaks of.
type externalIdentity struct {
	action    string // if it is not sts:AssumeRoleWithWebIdentity
	principal string // Federated principal of the trust policy, and aws:FederatedProvider
	prefix    string // of condition keys
	issuer    string // Provider in the answer
	audience  string
	subject   string

	keys    []access.Key // condition keys for the trust policy and the session
	extra   []access.Key // condition keys for the trust policy alone
	tags    []access.Tag
	source  string // source identity
	account string // of the identity pool; empty for all other providers

	identityID, userSub, originJTI string
}

// bearer is the session that id gets of a role.
func (id *externalIdentity) bearer(role *iam.Principal, session string) *bearer {
	return &bearer{kind: policy.RoleSession, account: role.Account, id: role.ID, session: access.Session{
		Name: session, Provider: id.principal, Keys: id.keys, Tags: id.tags, SourceIdentity: id.source,
		IdentityID: id.identityID, UserSub: id.userSub, OriginJTI: id.originJTI,
	}}
}

// trusted returns the role if its trust policy lets id assume it. It does not tell why not.
func (s *Service) trusted(ctx context.Context, roleARN, session string, id *externalIdentity) (*iam.Principal, error) {
	role, err := s.IAM.RoleByARN(ctx, roleARN)
	if errors.Is(err, db.ErrNotFound) {
		s.Denials.Add(ctx, s.Now(), policy.Request{Principal: id.caller(), Action: id.asks(), Resource: roleARN}, policy.Policies{Trust: true}, "there is no such role")
		return nil, errNotAuthorized
	} else if err != nil {
		return nil, err
	}
	denied := s.trusts(ctx, role, session, id, id.keys)
	if denied == nil && id.account != "" && id.account != role.Account {
		// Any identity pool anywhere could assume a role whose policy does not depend on the pool: it must refuse another.
		other := slices.Clone(id.keys)
		for i := range other {
			if other[i].Name == IdentityPools+":aud" {
				region, _, _ := strings.Cut(id.audience, ":")
				other[i].Values = []string{region + ":00000000-0000-0000-0000-000000000000"}
			}
		}
		if s.trusts(ctx, role, session, id, other) == nil {
			s.Denials.Add(ctx, s.Now(), policy.Request{Principal: id.caller(), Action: id.asks(), Resource: role.ARN}, policy.Policies{Trust: true, Resource: role.Trust},
				"the trust policy does not depend on "+IdentityPools+":aud, and the identity pool is in another account than the role")
			return nil, errNotAuthorized
		}
	}
	if denied != nil {
		s.Denials.Add(ctx, s.Now(), *denied, policy.Policies{Trust: true, Resource: role.Trust}, "")
		return nil, errNotAuthorized
	}
	return role, nil
}

// caller is id as policies see it.
func (id *externalIdentity) caller() policy.Principal {
	return policy.Principal{Kind: policy.Federated, ARN: id.principal}
}

// asks is the action that the trust policy must allow.
func (id *externalIdentity) asks() string { return cmp.Or(id.action, "sts:AssumeRoleWithWebIdentity") }

// trusts evaluates the trust policy for the assumption and for what it passes along. It returns the request that the policy
// denies, or nil.
func (s *Service) trusts(ctx context.Context, role *iam.Principal, session string, id *externalIdentity, keys []access.Key) (denied *policy.Request) {
	var c policy.Context
	now := s.Now()
	access.SetRequestKeys(ctx, &c, now)
	set := map[string][]string{"sts:RoleSessionName": {session}, "aws:FederatedProvider": {id.principal}, "aws:ResourceAccount": {role.Account}}
	for _, list := range [][]access.Key{keys, id.extra} {
		for _, k := range list {
			set[k.Name] = k.Values
			if id.principal == IdentityPools {
				for _, alias := range s.aliases[k.Name] {
					set[alias] = k.Values
				}
			}
		}
	}
	actions := []string{id.asks()}
	if tagKeys(set, id.tags); len(id.tags) > 0 {
		actions = append(actions, "sts:TagSession")
	}
	if id.source != "" {
		set["sts:SourceIdentity"] = []string{id.source}
		actions = append(actions, "sts:SetSourceIdentity")
	}
	for name, value := range role.Tags {
		set["aws:ResourceTag/"+name] = []string{value}
		set["iam:ResourceTag/"+name] = []string{value}
	}
	access.SetKeys(&c, set)
	for _, action := range actions {
		request := policy.Request{Principal: id.caller(), Action: action, Resource: role.ARN, ResourceAccount: role.Account, Context: &c}
		if d := policy.Decide(&request, &policy.Policies{Trust: true, Resource: role.Trust}); !d.Allowed {
			return &request
		}
	}
	return nil
}

// issuer is where a token says that it comes from, as the account of the role knows it.
type issuer struct {
	url       string
	principal string
	prefix    string
	clientIDs []string // audiences; not asked for of built-in providers
	builtin   bool
	kind      IssuerKind // of one of ours
	keys      []token.PublicKey
	uploaded  bool     // keys are the account's word for it
	pinned    []string // thumbprints
}

// findIssuer looks for the provider among the built-in ones and those that the account has registered.
func (s *Service) findIssuer(ctx context.Context, account, iss string) (*issuer, error) {
	i := &issuer{url: iss}
	var urls []string
	if s.Local != nil {
		local, ok, err := s.Local.LocalIssuer(ctx, iss)
		if err != nil {
			return nil, err
		}
		if ok {
			i.kind, i.keys, urls = local.Kind, local.Keys, local.URLs
		}
	}
	switch {
	case i.kind == IdentityPoolIssuer:
		i.principal, i.prefix, i.builtin = IdentityPools, IdentityPools, true
		return i, nil
	case iss == google || iss == s.Providers.Google:
		i.url, i.principal, i.prefix, i.builtin = s.Providers.Google, google, google, true
		return i, nil
	}
	p, err := s.IAM.OIDCProvider(ctx, account, iss)
	for n := 0; errors.Is(err, db.ErrNotFound) && n < len(urls); n++ {
		p, err = s.IAM.OIDCProvider(ctx, account, urls[n])
	}
	if errors.Is(err, db.ErrNotFound) {
		return nil, sts.ErrInvalidIdentityToken.Msg("No OpenIDConnect provider found in your account for %s", iss)
	} else if err != nil {
		return nil, err
	}
	i.principal, i.prefix, i.clientIDs, i.pinned = p.ARN, p.Name, p.ClientIDs, p.Thumbprints
	if i.kind == 0 && p.Keys != nil {
		i.keys, i.uploaded = p.Keys, true
	}
	return i, nil
}

// key returns the key that a token of the issuer names.
func (s *Service) key(ctx context.Context, i *issuer, keyID string) (token.PublicKey, error) {
	if i.kind == 0 && !i.uploaded {
		return s.Remote.Key(ctx, token.Issuer{URL: i.url, Thumbprints: i.pinned}, keyID)
	}
	for _, k := range i.keys {
		if k.ID == keyID {
			return k, nil
		}
	}
	return token.PublicKey{}, token.ErrKeyNotFound
}

// errPinned keeps tokens of providers with thumbprints or uploaded keys out of the cache of verified tokens: what one account
// vouches for must not count for another account.
var errPinned = errors.New("sts: keys of the issuer are pinned")

// errElsewhere keeps tokens of other issuers out of the cache of our own.
var errElsewhere = errors.New("sts: not one of our own issuers")

// verify checks a token and returns whom it speaks of. account is the role's.
func (s *Service) verify(ctx context.Context, text, account string) (*externalIdentity, error) {
	claims, from, err := s.verifyOwn(ctx, text, account)
	if errors.Is(err, errElsewhere) {
		claims, from, err = s.verifyForeign(ctx, text, account)
	}
	if errors.Is(err, errPinned) {
		claims, err = s.verifyPinned(ctx, text, from)
	}
	if err != nil {
		return nil, tokenError(err)
	}
	return identify(claims, from, s.Now())
}

// verifyOwn verifies a token of one of this server's issuers. A token that is remembered counts only while its issuer and
// key are there: a user pool may be deleted, a key discarded.
func (s *Service) verifyOwn(ctx context.Context, text, account string) (claims token.Claims, from *issuer, err error) {
	claims, err = s.own.Verify(text, s.Now(), func(u *token.Unverified) (_ token.PublicKey, err error) {
		if u.Issuer() == "" {
			return token.PublicKey{}, errMissingClaim("iss")
		}
		if from, err = s.findIssuer(ctx, account, u.Issuer()); err != nil {
			return token.PublicKey{}, err
		}
		if from.kind == 0 {
			return token.PublicKey{}, errElsewhere
		}
		return s.key(ctx, from, u.KeyID())
	})
	if err != nil || from != nil {
		return claims, from, err
	}
	iss, _ := claims.String("iss")
	if from, err = s.findIssuer(ctx, account, iss); err == nil && from.kind == 0 {
		err = errNoKey
	} else if err == nil {
		_, err = s.key(ctx, from, claims.KeyID())
	}
	return claims, from, err
}

func (s *Service) verifyForeign(ctx context.Context, text, account string) (claims token.Claims, from *issuer, err error) {
	find := func(iss string) error {
		if from, err = s.findIssuer(ctx, account, iss); err == nil && (len(from.pinned) > 0 || from.uploaded) {
			err = errPinned
		}
		return err
	}
	claims, err = s.foreign.Verify(text, s.Now(), func(u *token.Unverified) (token.PublicKey, error) {
		if err := find(u.Issuer()); err != nil {
			return token.PublicKey{}, err
		}
		return s.key(ctx, from, u.KeyID())
	})
	if err == nil && from == nil { // remembered
		iss, _ := claims.String("iss")
		err = find(iss)
	}
	return claims, from, err
}

func (s *Service) verifyPinned(ctx context.Context, text string, from *issuer) (token.Claims, error) {
	u, err := token.Parse(text)
	if err != nil {
		return token.Claims{}, err
	}
	key, err := s.key(ctx, from, u.KeyID())
	if err != nil {
		return token.Claims{}, err
	}
	claims, err := u.Verify(key)
	if err != nil {
		return token.Claims{}, err
	}
	return claims, claims.CheckExpiry(s.Now(), 0)
}

// tokenError puts the faults of tokens into the words of STS.
func tokenError(err error) error {
	var expired *token.ExpiredError
	var claim *token.ClaimError
	switch {
	case errors.Is(err, token.ErrMalformed), errors.Is(err, token.ErrAlgorithm):
		return errNotJWT.With(err)
	case errors.Is(err, token.ErrKeyNotFound), errors.Is(err, token.ErrUnreachable):
		return errNoKey.With(err)
	case errors.Is(err, token.ErrThumbprint):
		return errThumbprint.With(err)
	case errors.Is(err, token.ErrSignature):
		return errSignature.With(err)
	case errors.Is(err, token.ErrNotYetValid):
		return errNotYetValid.With(err)
	case errors.As(err, &expired):
		return sts.ErrExpiredToken.Msg("Token expired: current date/time %d must be before the expiration date/time %d", expired.Now, expired.Expires)
	case errors.As(err, &claim):
		return errMissingClaim(claim.Claim)
	}
	return err
}

// identify checks the claims that matter here and turns them into condition keys.
func identify(c token.Claims, from *issuer, now time.Time) (*externalIdentity, error) {
	id := &externalIdentity{principal: from.principal, prefix: from.prefix, issuer: from.url}
	var ok bool
	if id.subject, ok = c.String("sub"); !ok || id.subject == "" {
		return nil, errMissingClaim("sub")
	}
	audiences, ok := c.Strings("aud")
	if !ok || len(audiences) == 0 {
		return nil, errMissingClaim("aud")
	}
	if _, ok := c.Int("iat"); !ok {
		return nil, errMissingClaim("iat")
	}
	if err := c.CheckNotBefore(now, clockSkew); err != nil {
		return nil, tokenError(err)
	}
	azp, hasAZP := c.String("azp")
	switch {
	case hasAZP:
		id.audience = azp
	case len(audiences) > 1:
		return nil, errManyAudiences
	default:
		id.audience = audiences[0]
	}
	if !from.builtin && !slices.Contains(from.clientIDs, id.audience) {
		return nil, errAudience
	}
	id.add("aud", id.audience)
	if hasAZP && len(audiences) == 1 {
		id.add("oaud", audiences[0])
	}
	id.add("sub", id.subject)
	if amr, ok := c.Strings("amr"); ok {
		id.add("amr", amr...)
	}
	switch {
	case from.kind == IdentityPoolIssuer:
		id.issuer, id.identityID = IdentityPools, id.subject
		pool, _ := c.String(claimPoolARN)
		a, err := arn.Parse(pool)
		if err != nil {
			return nil, errMissingClaim(claimPoolARN)
		}
		id.account = a.AccountID
	case from.kind == UserPoolIssuer:
		id.userSub = id.subject
		id.originJTI, _ = c.String("origin_jti")
	case from.prefix == google:
		if email, ok := c.String("email"); ok {
			id.extra = append(id.extra, access.Key{Name: google + ":email", Values: []string{email}})
		}
	}
	if from.kind == 0 {
		id.addKnown(c)
	}
	id.source, _ = c.String(claimSourceIdentity)
	if _, given := c.Get(claimSourceIdentity); given && !validSourceIdentity(id.source) {
		return nil, sts.ErrIDPRejectedClaim.Msg("Source Identity must match [a-zA-Z_0-9+=,.@-]{2,64} and not begin with \"aws:\"")
	}
	return id, id.readTags(c)
}

func (id *externalIdentity) add(name string, values ...string) {
	id.keys = append(id.keys, access.Key{Name: id.prefix + ":" + name, Values: values})
}

// addKnown adds, for the trust policy, further claims of issuers of which AWS knows them: those of GitHub, GitLab, CircleCI,
// Buildkite and others (IAM User Guide, "Available keys for AWS OIDC federation"). Which, the catalog of condition keys says.
func (id *externalIdentity) addKnown(c token.Claims) {
	if host, _, _ := strings.Cut(id.prefix, "/"); !strings.Contains(host, ".") {
		return // what looks like a service's prefix has no such claims
	}
	for _, name := range c.Names() {
		switch name {
		case "iss", "aud", "azp", "sub", "amr", "oaud":
			continue
		}
		value, ok := c.String(name)
		if n, isInt := c.Int(name); isInt {
			value, ok = strconv.FormatInt(n, 10), true
		}
		key := id.prefix + ":" + name
		if _, known := catalog.TypeOf(key); ok && known {
			id.extra = append(id.extra, access.Key{Name: key, Values: []string{value}})
		}
	}
}

func validSourceIdentity(v string) bool {
	if len(v) < 2 || len(v) > 64 || strings.HasPrefix(v, "aws:") {
		return false
	}
	return strings.Trim(v, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+=,.@-") == ""
}

// readTags reads the session tags that a token carries, in one claim or, from providers whose claims cannot be objects, in
// one for each tag (IAM User Guide, "Pass session tags in AWS STS"). A tag has one value.
func (id *externalIdentity) readTags(c token.Claims) error {
	rejected := sts.ErrIDPRejectedClaim.Msg("The tags claim of the ID Token is not valid")
	var claim struct {
		PrincipalTags     map[string][]string `json:"principal_tags"`
		TransitiveTagKeys []string            `json:"transitive_tag_keys"`
	}
	if raw, ok := c.Get(claimTags); ok && json.Unmarshal(raw, &claim) != nil {
		return rejected
	}
	var tags []sts.Tag
	add := func(key string, values []string) bool {
		if n := utf8.RuneCountInString(key); len(values) != 1 || n < 1 || n > 128 || utf8.RuneCountInString(values[0]) > 256 {
			return false
		}
		if id.principal != IdentityPools && !(tagText.MatchString(key) && tagText.MatchString(values[0])) {
			return false
		}
		tags = append(tags, sts.Tag{Key: &key, Value: &values[0]})
		return true
	}
	for key, values := range claim.PrincipalTags {
		if !add(key, values) {
			return rejected
		}
	}
	for _, name := range c.Names() {
		rest, ok := strings.CutPrefix(name, claimTags+"/")
		if !ok {
			continue
		}
		values, ok := c.Strings(name)
		if key, isTag := strings.CutPrefix(rest, "principal_tags/"); isTag {
			ok = ok && add(key, values)
		} else if rest == "transitive_tag_keys" {
			claim.TransitiveTagKeys = append(claim.TransitiveTagKeys, values...)
		}
		if !ok {
			return rejected
		}
	}
	if len(tags) > 50 {
		return rejected
	}
	slices.SortFunc(tags, func(a, b sts.Tag) int { return strings.Compare(*a.Key, *b.Key) })
	var err error
	id.tags, err = sessionTags(tags, claim.TransitiveTagKeys, nil)
	return err
}

// WebIdentity is an identity that another part of this server has verified, and the role that it shall get.
type WebIdentity struct {
	RoleARN     string
	SessionName string
	// Provider is the Federated principal of the trust policy, such as cognito-identity.amazonaws.com; Keys are its
	// condition keys by their full names, such as "cognito-identity.amazonaws.com:aud".
	Provider   string
	Keys       map[string][]string
	Duration   time.Duration
	Policy     string   // session policy
	PolicyARNs []string // managed session policies
	Tags       map[string]string
	// AccountID is the account of the identity pool. A role of another account must name the pool in its trust policy.
	AccountID string

	// For revocation and the audit trail.
	IdentityID string
	UserSub    string
	OriginJTI  string
}

// AssumeWebIdentity gives credentials of a role to an identity that was verified already, if the role's trust policy lets
// it. A refusal is an *awsapi.Error with the code AccessDenied.
func (s *Service) AssumeWebIdentity(ctx context.Context, w WebIdentity) (Credentials, error) {
	id := &externalIdentity{principal: w.Provider, prefix: w.Provider, account: w.AccountID, identityID: w.IdentityID, userSub: w.UserSub, originJTI: w.OriginJTI}
	if aud := w.Keys[IdentityPools+":aud"]; len(aud) == 1 {
		id.audience = aud[0]
	}
	for _, name := range slices.Sorted(maps.Keys(w.Keys)) {
		id.keys = append(id.keys, access.Key{Name: name, Values: w.Keys[name]})
	}
	for _, key := range slices.Sorted(maps.Keys(w.Tags)) {
		id.tags = append(id.tags, access.Tag{Key: key, Value: w.Tags[key]})
	}
	role, err := s.trusted(ctx, w.RoleARN, w.SessionName, id)
	if err != nil {
		return Credentials{}, err
	}
	if w.Duration > role.MaxSession {
		return Credentials{}, errValidation.Msg("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}
	if w.Policy != "" { // few texts, each validated once
		if _, err := s.policies.Get(ctx, w.Policy, "", func(context.Context) (*policy.Policy, error) {
			if err := checkSessionPolicy(w.Policy); err != nil {
				return nil, err
			}
			return policy.Parse(w.Policy)
		}); err != nil {
			return Credentials{}, err
		}
	}
	b := id.bearer(role, w.SessionName)
	b.session.Policy, b.session.PolicyARNs = w.Policy, w.PolicyARNs
	out, err := s.issue(ctx, b, w.Duration, nil)
	if err != nil {
		return Credentials{}, err
	}
	return out.Credentials, nil
}
