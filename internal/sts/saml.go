package sts

import (
	"cmp"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"usher/internal/access"
	"usher/internal/api/sts"
	"usher/internal/arn"
	"usher/internal/awsapi"
	"usher/internal/db"
	"usher/internal/iam"
	"usher/internal/saml"
)

const (
	assumeWithSAML = "sts:AssumeRoleWithSAML"

	// samlMaxAge is how old an assertion may be (IAM User Guide, "Configure SAML assertions for the authentication response").
	samlMaxAge = 5 * time.Minute

	// samlAudience is the entity id of AWS. The addresses are audiences as well.
	samlAudience = "urn:amazon:webservices"

	samlAttributes   = "https://aws.amazon.com/SAML/Attributes/"
	samlPrincipalTag = samlAttributes + "PrincipalTag:"
	nameIDFormat     = "urn:oasis:names:tc:SAML:2.0:nameid-format:"

	samlMinDuration = 15 * time.Minute // of the attribute SessionDuration
	samlMaxDuration = 12 * time.Hour
)

// samlAWS are the addresses of AWS that responses are sent to, of regions or of none.
var samlAWS = regexp.MustCompile(`^https://([a-z]{2}(-[a-z]+)+-[0-9]\.)?signin\.aws\.amazon\.com/saml$`)

// samlKeys are the attributes that trust policies may test and their condition keys (IAM User Guide, "Mapping SAML
// attributes to AWS trust policy context keys"). Where the guide prints an object identifier wrongly, the right one counts
// beside it.
var samlKeys = map[string][]string{
	"urn:oid:1.3.6.1.4.1.5923.1.1.1.1":  {"edupersonaffiliation"},
	"urn:oid:1.3.6.1.4.1.5923.1.1.1.2":  {"edupersonnickname"},
	"urn:oid:1.3.6.1.4.1.5923.1.1.1.3":  {"edupersonorgdn"},
	"urn:oid:1.3.6.1.4.1.5923.1.1.1.4":  {"edupersonorgunitdn"},
	"urn:oid:1.3.6.1.4.1.5923.1.1.1.5":  {"edupersonprimaryaffiliation"},
	"urn:oid:1.3.6.1.4.1.5923.1.1.1.6":  {"edupersonprincipalname"},
	"urn:oid:1.3.6.1.4.1.5923.1.1.1.7":  {"edupersonentitlement"},
	"urn:oid:1.3.6.1.4.1.5923.1.1.1.8":  {"edupersonprimaryorgunitdn"},
	"urn:oid:1.3.6.1.4.1.5923.1.1.1.9":  {"edupersonscopedaffiliation"},
	"urn:oid:1.3.6.1.4.1.5923.1.1.1.10": {"edupersontargetedid"},
	"urn:oid:1.3.6.1.4.1.5923.1.1.1.11": {"edupersonassurance"},
	"urn:oid:1.3.6.1.4.1.5923.1.2.1.2":  {"eduorghomepageuri"},
	"urn:oid:1.3.6.1.4.1.5923.1.2.1.3":  {"eduorgidentityauthnpolicyuri"},
	"urn:oid:1.3.6.1.4.1.5923.1.2.1.4":  {"eduorglegalname"},
	"urn:oid:1.3.6.1.4.1.5923.1.2.1.5":  {"eduorgsuperioruri"},
	"urn:oid:1.3.6.1.4.1.5923.1.2.1.6":  {"eduorgwhitepagesuri"},
	"urn:oid:2.5.4.3":                   {"cn"},

	"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name":              {"name"},
	"http://schemas.xmlsoap.org/claims/CommonName":                            {"commonName"},
	"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/givenname":         {"givenName"},
	"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/surname":           {"surname"},
	"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress":      {"mail"},
	"http://schemas.microsoft.com/ws/2008/06/identity/claims/primarygroupsid": {"uid", "primaryGroupSID"},

	"2.5.4.3":                    {"commonName"},
	"2.5.4.4":                    {"surname"},
	"2.5.4.42":                   {"givenName"},
	"2.4.5.42":                   {"givenName"},
	"2.5.4.45":                   {"x500UniqueIdentifier"},
	"0.9.2342.19200300.100.1.1":  {"uid"},
	"0.9.2342.19200300100.1.1":   {"uid"},
	"0.9.2342.19200300.100.1.3":  {"mail"},
	"0.9.2342.19200300100.1.3":   {"mail"},
	"0.9.2342.19200300.100.1.45": {"organizationStatus"},
}

var (
	errSAMLNotAuthorized = errAccessDenied.Msg("Not authorized to perform " + assumeWithSAML)
	errSAMLNoProvider    = sts.ErrInvalidIdentityToken.Msg("Specified provider doesn't exist")
	errSAMLMetadata      = sts.ErrInvalidIdentityToken.Msg("The metadata of the specified provider has expired")
	errSAMLAge           = sts.ErrExpiredToken.Msg("Token must be redeemed within 5 minutes of issuance")
	errSAMLReplay        = sts.ErrInvalidIdentityToken.Msg("The assertion of this response has been used already")
	errSAMLName          = sts.ErrInvalidIdentityToken.Msg("RoleSessionName is required in AuthnResponse")
	errSAMLNameForm      = sts.ErrInvalidIdentityToken.Msg("RoleSessionName in AuthnResponse must match [a-zA-Z_0-9+=,.@-]{2,64}")
	errSAMLSource        = sts.ErrInvalidIdentityToken.Msg("Source Identity must match [a-zA-Z_0-9+=,.@-]{2,64} and not begin with \"aws:\"")
	errSAMLDuration      = sts.ErrInvalidIdentityToken.Msg("SessionDuration in AuthnResponse must be a number of seconds from 900 to 43200")
	errSAMLTags          = sts.ErrInvalidIdentityToken.Msg("The session tags in AuthnResponse are not valid")
)

// samlErrors puts the faults of responses into the words of STS.
var samlErrors = []struct {
	fault error
	told  *awsapi.Error
}{
	{saml.ErrEncoding, sts.ErrInvalidIdentityToken.Msg("Invalid base64 SAMLResponse")},
	{saml.ErrMalformed, sts.ErrInvalidIdentityToken.Msg("Invalid SAMLResponse")},
	{saml.ErrStatus, sts.ErrIDPRejectedClaim.Msg("The identity provider reports that authentication failed")},
	{saml.ErrEncrypted, sts.ErrInvalidIdentityToken.Msg("Encrypted assertions are not supported")},
	{saml.ErrSignature, sts.ErrInvalidIdentityToken.Msg("Response signature invalid")},
	{saml.ErrIssuer, sts.ErrInvalidIdentityToken.Msg("Issuer not present in specified provider")},
	{saml.ErrNoSubject, errSAMLNotAuthorized},
	{saml.ErrConfirmation, sts.ErrInvalidIdentityToken.Msg("Response does not contain a bearer SubjectConfirmation for the required recipient.")},
	{saml.ErrAudience, sts.ErrInvalidIdentityToken.Msg("Response does not contain the required audience.")},
	{saml.ErrNotYetValid, sts.ErrInvalidIdentityToken.Msg("The response is not valid yet")},
	{saml.ErrExpired, errSAMLAge},
}

// AssumeRoleWithSAML implements sts:AssumeRoleWithSAML. The response is verified first; then it must list the pair of role
// and provider, the role's trust policy decides, and the assertion is used up.
func (s *Service) AssumeRoleWithSAML(ctx context.Context, in *sts.AssumeRoleWithSAMLRequest) (*sts.AssumeRoleWithSAMLResponse, error) {
	for _, text := range []string{*in.RoleArn, *in.PrincipalArn} {
		if _, err := arn.Parse(text); err != nil {
			return nil, errValidation.Msg("%s is invalid", text)
		}
	}
	if err := s.DB.Refresh(ctx); err != nil {
		return nil, err
	}
	provider, err := s.IAM.SAMLProvider(ctx, *in.PrincipalArn)
	if errors.Is(err, db.ErrNotFound) {
		return nil, errSAMLNoProvider
	} else if err != nil {
		return nil, err
	}
	assertion, err := s.verifySAML(provider, *in.SAMLAssertion)
	if err != nil {
		return nil, err
	}
	login, err := readSAML(assertion, provider)
	if err != nil {
		return nil, err
	}
	if !login.lists(*in.RoleArn, provider.ARN) {
		return nil, errSAMLNotAuthorized
	}
	role, err := s.trusted(ctx, *in.RoleArn, login.sessionName, &login.externalIdentity)
	if errors.Is(err, errNotAuthorized) || err == nil && role.Account != provider.Account {
		return nil, errSAMLNotAuthorized
	} else if err != nil {
		return nil, err
	}
	lifetime, err := roleDuration(in.DurationSeconds, role, false)
	if err != nil {
		return nil, err
	}
	if lifetime, err = login.limit(lifetime, s.Now()); err != nil {
		return nil, err
	}
	document, arns, err := s.checkSessionPolicies(ctx, role.Account, in.Policy, in.PolicyArns)
	if err != nil {
		return nil, err
	}
	b := login.bearer(role, login.sessionName)
	b.session.Policy, b.session.PolicyARNs = document, arns
	out, err := s.issue(ctx, b, lifetime, in.MinimumSessionTokenSize)
	if err != nil {
		return nil, err
	}
	if err := s.RedeemSAML(ctx, assertion); err != nil {
		return nil, err
	}
	return &sts.AssumeRoleWithSAMLResponse{
		Credentials: out.wire(), AssumedRoleUser: assumedRoleUser(role, login.sessionName), PackedPolicySize: packedSize(out, &b.session),
		Subject: &login.subject, SubjectType: &login.subjectType, Issuer: &login.issuer, Audience: &login.audience, NameQualifier: &login.qualifier,
		SourceIdentity: optional(login.source), SessionTokenSize: out.size(), SessionTokenUtilization: out.utilization(),
	}, nil
}

// verifySAML verifies a response of the provider. Responses may be addressed to AWS, as identity providers know it, or to
// this server; saml:aud tells trust policies which.
func (s *Service) verifySAML(provider *iam.SAMLProvider, response string) (*saml.Assertion, error) {
	now := s.Now()
	if end := provider.Metadata.ValidUntil; !end.IsZero() && !now.Before(end) {
		return nil, errSAMLMetadata
	}
	address := func(text string) bool {
		return samlAWS.MatchString(text) || slices.Contains(s.SAMLEndpoints, text)
	}
	a, err := saml.Verify(response, provider.Metadata, saml.RelyingParty{
		Audience:  func(text string) bool { return text == samlAudience || address(text) },
		Recipient: address, MaxAge: samlMaxAge, Skew: clockSkew, Now: now,
	})
	for _, e := range samlErrors {
		if errors.Is(err, e.fault) {
			return nil, e.told.With(err)
		}
	}
	return a, err
}

// HasSAMLProvider reports whether there is a SAML provider with an ARN, in whichever account.
func (s *Service) HasSAMLProvider(ctx context.Context, provider string) (bool, error) {
	_, err := s.IAM.SAMLProvider(ctx, provider)
	if errors.Is(err, db.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// VerifySAML verifies a response of the provider with an ARN by the rules of AssumeRoleWithSAML. A refusal is an
// *awsapi.Error in the words of STS. The assertion is not used up, but one that was is refused.
func (s *Service) VerifySAML(ctx context.Context, provider, response string) (*saml.Assertion, error) {
	p, err := s.IAM.SAMLProvider(ctx, provider)
	if errors.Is(err, db.ErrNotFound) {
		return nil, errSAMLNoProvider
	} else if err != nil {
		return nil, err
	}
	a, err := s.verifySAML(p, response)
	if err != nil {
		return nil, err
	}
	used, err := db.One[int64](ctx, s.DB, `SELECT COUNT(*) FROM sts_saml_assertions WHERE id = $1`, redemption(a))
	if err == nil && used > 0 {
		err = errSAMLReplay
	}
	return a, err
}

// samlLogin is who an assertion speaks of.
type samlLogin struct {
	externalIdentity
	sessionName string
	subjectType string
	qualifier   string
	roles       []string      // values of the attribute Role
	duration    time.Duration // of the attribute SessionDuration; 0 without
	ends        time.Time     // session at the identity provider; zero if it does not say
}

// readSAML reads the attributes of a verified assertion.
func readSAML(a *saml.Assertion, provider *iam.SAMLProvider) (*samlLogin, error) {
	l := &samlLogin{
		externalIdentity: externalIdentity{
			action: assumeWithSAML, principal: provider.ARN, prefix: "saml",
			issuer: a.Issuer, audience: a.Recipient, subject: a.NameID,
		},
		subjectType: strings.TrimPrefix(a.NameIDFormat, nameIDFormat),
		roles:       a.Values(samlAttributes + "Role"),
		ends:        a.SessionNotOnOrAfter,
	}
	hash := sha1.Sum([]byte(a.Issuer + provider.Account + "/" + provider.Name))
	l.qualifier = base64.StdEncoding.EncodeToString(hash[:])
	l.add("namequalifier", l.qualifier)
	l.add("sub", l.subject)
	l.add("sub_type", l.subjectType)
	l.extra = append(l.extra,
		access.Key{Name: "saml:aud", Values: []string{a.Recipient}},
		access.Key{Name: "saml:iss", Values: []string{a.Issuer}},
		access.Key{Name: "saml:doc", Values: []string{provider.Account + "/" + provider.Name}})
	for _, attribute := range a.Attributes {
		names := samlKeys[attribute.Name]
		if oid, ok := strings.CutPrefix(attribute.Name, "urn:oid:"); ok && names == nil {
			names = samlKeys[oid]
		}
		for _, name := range names {
			l.addExtra("saml:"+name, attribute.Values)
		}
	}

	switch names := a.Values(samlAttributes + "RoleSessionName"); {
	case len(names) == 0:
		return nil, errSAMLName
	case len(names) > 1 || !validName(names[0]):
		return nil, errSAMLNameForm
	default:
		l.sessionName = names[0]
	}
	if sources := a.Values(samlAttributes + "SourceIdentity"); len(sources) > 1 || len(sources) == 1 && !validSourceIdentity(sources[0]) {
		return nil, errSAMLSource
	} else if len(sources) == 1 {
		l.source = sources[0]
	}
	if durations := a.Values(samlAttributes + "SessionDuration"); len(durations) > 0 {
		seconds, err := strconv.Atoi(strings.TrimSpace(durations[0]))
		l.duration = time.Duration(seconds) * time.Second
		if err != nil || len(durations) > 1 || l.duration < samlMinDuration || l.duration > samlMaxDuration {
			return nil, errSAMLDuration
		}
	}
	return l, l.readTags(a)
}

// addExtra adds values of a condition key that several attributes may stand for.
func (l *samlLogin) addExtra(name string, values []string) {
	i := slices.IndexFunc(l.extra, func(k access.Key) bool { return k.Name == name })
	if i < 0 {
		i = len(l.extra)
		l.extra = append(l.extra, access.Key{Name: name})
	}
	for _, v := range values {
		if !slices.Contains(l.extra[i].Values, v) {
			l.extra[i].Values = append(l.extra[i].Values, v)
		}
	}
}

func validName(v string) bool {
	return len(v) >= 2 && len(v) <= 64 && strings.Trim(v, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+=,.@-") == ""
}

// tagText is what keys and values of tags consist of (API Reference, Tag).
var tagText = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)

// readTags reads the session tags: an attribute with one value for each.
func (l *samlLogin) readTags(a *saml.Assertion) error {
	var tags []sts.Tag
	for _, attribute := range a.Attributes {
		key, ok := strings.CutPrefix(attribute.Name, samlPrincipalTag)
		if !ok {
			continue
		}
		if len(attribute.Values) != 1 {
			return errSAMLTags
		}
		value := attribute.Values[0]
		if n := len([]rune(key)); n < 1 || n > 128 || len([]rune(value)) > 256 || !tagText.MatchString(key) || !tagText.MatchString(value) {
			return errSAMLTags
		}
		tags = append(tags, sts.Tag{Key: &key, Value: &value})
	}
	if len(tags) > 50 {
		return errSAMLTags
	}
	slices.SortFunc(tags, func(a, b sts.Tag) int { return cmp.Compare(*a.Key, *b.Key) })
	var err error
	l.tags, err = sessionTags(tags, a.Values(samlAttributes+"TransitiveTagKeys"), nil)
	return err
}

// lists reports whether the attribute Role lists the pair of a role and a provider, in either order.
func (l *samlLogin) lists(role, provider string) bool {
	return slices.ContainsFunc(l.roles, func(pair string) bool {
		a, b, _ := strings.Cut(pair, ",")
		a, b = strings.TrimSpace(a), strings.TrimSpace(b)
		return a == role && b == provider || a == provider && b == role
	})
}

// limit shortens the life of a session to what the identity provider grants.
func (l *samlLogin) limit(lifetime time.Duration, now time.Time) (time.Duration, error) {
	if l.duration > 0 {
		lifetime = min(lifetime, l.duration)
	}
	if !l.ends.IsZero() {
		lifetime = min(lifetime, l.ends.Sub(now).Truncate(time.Second))
	}
	if lifetime <= 0 {
		return 0, errSAMLAge
	}
	return lifetime, nil
}

// redemption names an assertion in sts_saml_assertions.
func redemption(a *saml.Assertion) string {
	hash := sha256.Sum256(append(a.Key[:], a.ID...))
	return base64.RawURLEncoding.EncodeToString(hash[:])
}

// RedeemSAML notes that an assertion was used; it counts once in the whole installation. It is remembered for longer than
// the assertion is valid by the clock of any node.
func (s *Service) RedeemSAML(ctx context.Context, a *saml.Assertion) error {
	err := s.DB.Tx(ctx, func(tx *db.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO sts_saml_assertions (id, expires) VALUES ($1, $2)`,
			redemption(a), a.Expires.Add(clockSkew).Unix())
		return err
	})
	if db.IsUnique(err) {
		return errSAMLReplay
	}
	return err
}
