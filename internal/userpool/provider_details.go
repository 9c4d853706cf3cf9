package userpool

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"usher/internal/api/cognitoidp"
	"usher/internal/saml"
)

// providerKind is what ProviderDetails of a type of identity provider take.
//
// Source: Amazon Cognito user pools API reference, CreateIdentityProvider.
type providerKind struct {
	required, optional []string
	secret             string // of the required keys the one that is kept sealed
	scopes             func(scope string) bool
	fixed              func(details map[string]string) map[string]string // what the service fills in; may be given, if equal
	subject            string                                            // what of theirs username is mapped to when nothing else is
}

var (
	facebookVersion = regexp.MustCompile(`^v[0-9]{1,3}\.[0-9]{1,3}$`)
	facebookScope   = regexp.MustCompile(`^[a-z0-9_]{1,64}$`)
	scopeToken      = regexp.MustCompile(`^[\x21\x23-\x5b\x5d-\x7e]{1,256}$`) // RFC 6749 section 3.3
	appleID         = regexp.MustCompile(`^[A-Za-z0-9]{1,32}$`)
)

const (
	detailMost   = 4096 // characters of a value, but for metadata
	detailsMost  = 32
	mappingsMost = 100
)

var providerKinds = map[string]providerKind{
	cognitoidp.IdentityProviderTypeTypeGoogle: {
		required: []string{"client_id", "client_secret", "authorize_scopes"}, secret: "client_secret", subject: "sub",
		scopes: func(s string) bool {
			return slices.Contains([]string{"openid", "email", "profile"}, s) || strings.HasPrefix(s, "https://www.googleapis.com/auth/")
		},
		fixed: func(map[string]string) map[string]string {
			return map[string]string{
				"attributes_url": "https://people.googleapis.com/v1/people/me?personFields=", "attributes_url_add_attributes": "true",
				"authorize_url": "https://accounts.google.com/o/oauth2/v2/auth", "oidc_issuer": "https://accounts.google.com",
				"token_request_method": "POST", "token_url": "https://www.googleapis.com/oauth2/v4/token",
			}
		},
	},
	cognitoidp.IdentityProviderTypeTypeFacebook: {
		required: []string{"client_id", "client_secret", "authorize_scopes"}, optional: []string{"api_version"}, secret: "client_secret", subject: "id",
		scopes: facebookScope.MatchString,
		fixed: func(details map[string]string) map[string]string {
			v := details["api_version"]
			return map[string]string{
				"attributes_url": "https://graph.facebook.com/" + v + "/me?fields=", "attributes_url_add_attributes": "true",
				"authorize_url": "https://www.facebook.com/" + v + "/dialog/oauth", "token_request_method": "GET",
				"token_url": "https://graph.facebook.com/" + v + "/oauth/access_token",
			}
		},
	},
	cognitoidp.IdentityProviderTypeTypeLoginWithAmazon: {
		required: []string{"client_id", "client_secret", "authorize_scopes"}, secret: "client_secret", subject: "user_id",
		scopes: func(s string) bool { return slices.Contains([]string{"profile", "profile:user_id", "postal_code"}, s) },
		fixed: func(map[string]string) map[string]string {
			return map[string]string{
				"attributes_url": "https://api.amazon.com/user/profile", "attributes_url_add_attributes": "false",
				"authorize_url": "https://www.amazon.com/ap/oa", "token_request_method": "POST", "token_url": "https://api.amazon.com/auth/o2/token",
			}
		},
	},
	cognitoidp.IdentityProviderTypeTypeSignInWithApple: {
		required: []string{"client_id", "team_id", "key_id", "private_key", "authorize_scopes"}, secret: "private_key", subject: "sub",
		scopes: func(s string) bool { return s == "email" || s == "name" },
		fixed: func(map[string]string) map[string]string {
			return map[string]string{
				"attributes_url_add_attributes": "false", "authorize_url": "https://appleid.apple.com/auth/authorize",
				"oidc_issuer": "https://appleid.apple.com", "token_request_method": "POST", "token_url": "https://appleid.apple.com/auth/token",
			}
		},
	},
	cognitoidp.IdentityProviderTypeTypeOidc: {
		required: []string{"client_id", "client_secret", "attributes_request_method", "oidc_issuer", "authorize_scopes"},
		optional: []string{"authorize_url", "token_url", "attributes_url", "jwks_uri"}, secret: "client_secret", subject: "sub",
		scopes: scopeToken.MatchString,
		fixed: func(map[string]string) map[string]string {
			return map[string]string{"attributes_url_add_attributes": "false"}
		},
	},
	cognitoidp.IdentityProviderTypeTypeSaml: {
		optional: []string{"MetadataURL", "MetadataFile", "IDPSignout", "IDPInit", "EncryptedResponses", "RequestSigningAlgorithm",
			"SSORedirectBindingURI", "SLORedirectBindingURI"},
	},
}

// isSocial reports whether providers of a type have the type's name.
func isSocial(kind string) bool {
	return kind != cognitoidp.IdentityProviderTypeTypeOidc && kind != cognitoidp.IdentityProviderTypeTypeSaml
}

// providerDetails checks ProviderDetails of a type and returns them with what the service fills in. It may ask the provider itself.
func (s *Service) providerDetails(ctx context.Context, kind string, in map[string]string) (details map[string]string, entityID string, err error) {
	k := providerKinds[kind]
	if len(in) > detailsMost {
		return nil, "", errProviderDetail("ProviderDetails", "has too many entries")
	}
	details = maps.Clone(in)
	if kind == cognitoidp.IdentityProviderTypeTypeFacebook && details["api_version"] == "" {
		details["api_version"] = "v17.0"
	}
	fixed := map[string]string{}
	if k.fixed != nil {
		fixed = k.fixed(details)
	}
	for _, key := range slices.Sorted(maps.Keys(details)) {
		value, constant := details[key], fixed[key]
		switch {
		case strings.Contains(value, "\x00"), key != "MetadataFile" && len(value) > detailMost:
			return nil, "", errProviderDetail(key, "is not valid")
		case constant != "" && value != constant:
			return nil, "", errProviderDetail(key, "is always "+constant)
		case constant == "" && !slices.Contains(k.required, key) && !slices.Contains(k.optional, key):
			return nil, "", errProviderDetail(key, "is not a detail of providers of type "+kind)
		}
	}
	for _, key := range k.required {
		if details[key] == "" {
			return nil, "", errProviderDetail(key, "is required for providers of type "+kind)
		}
	}
	maps.Copy(details, fixed)
	if k.scopes != nil {
		separators := " "
		if kind == cognitoidp.IdentityProviderTypeTypeFacebook {
			separators = ", "
		}
		scopes := strings.FieldsFunc(details["authorize_scopes"], func(r rune) bool { return strings.ContainsRune(separators, r) })
		if len(scopes) == 0 || slices.ContainsFunc(scopes, func(scope string) bool { return !k.scopes(scope) }) {
			return nil, "", errProviderDetail("authorize_scopes", "has a scope that providers of type "+kind+" do not know")
		}
	}
	switch kind {
	case cognitoidp.IdentityProviderTypeTypeFacebook:
		if !facebookVersion.MatchString(details["api_version"]) {
			err = errProviderDetail("api_version", "is not valid")
		}
	case cognitoidp.IdentityProviderTypeTypeSignInWithApple:
		err = checkApple(details)
	case cognitoidp.IdentityProviderTypeTypeOidc:
		err = s.discoverProvider(ctx, details)
	case cognitoidp.IdentityProviderTypeTypeSaml:
		entityID, err = s.readProviderMetadata(ctx, details)
	}
	return details, entityID, err
}

// checkApple checks that the key can sign what Apple takes for a client's secret.
func checkApple(details map[string]string) error {
	for _, key := range []string{"team_id", "key_id"} {
		if !appleID.MatchString(details[key]) {
			return errProviderDetail(key, "is not valid")
		}
	}
	text := strings.TrimSpace(details["private_key"])
	var der []byte
	if block, _ := pem.Decode([]byte(text)); block != nil {
		der = block.Bytes
	} else {
		der, _ = base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if ec, ok := key.(*ecdsa.PrivateKey); err != nil || !ok || ec.Curve != elliptic.P256() {
		return errProviderDetail("private_key", "is not a PKCS #8 key of the curve P-256")
	}
	return nil
}

// discoverProvider fills in the endpoints of an OpenID Connect provider that are not given, as its discovery document has them.
func (s *Service) discoverProvider(ctx context.Context, details map[string]string) error {
	if m := details["attributes_request_method"]; m != "GET" && m != "POST" {
		return errProviderDetail("attributes_request_method", "must be GET or POST")
	}
	if !slices.Contains(strings.Fields(details["authorize_scopes"]), "openid") {
		return errProviderDetail("authorize_scopes", "must include openid")
	}
	issuer := details["oidc_issuer"]
	if !s.isProviderURL(issuer) || strings.HasSuffix(issuer, "/") || strings.ContainsAny(issuer, "?") {
		return errProviderDetail("oidc_issuer", "must be an https URL without a slash at the end")
	}
	endpoints := map[string]string{
		"authorize_url": "authorization_endpoint", "token_url": "token_endpoint", "attributes_url": "userinfo_endpoint", "jwks_uri": "jwks_uri",
	}
	var discovered map[string]any
	for _, key := range slices.Sorted(maps.Keys(endpoints)) {
		if details[key] == "" {
			if discovered == nil {
				body, err := s.Remote.Document(ctx, issuer+"/.well-known/openid-configuration")
				if err == nil {
					err = json.Unmarshal(body, &discovered)
				}
				if err != nil || discovered["issuer"] != issuer {
					return errDiscovery.With(err)
				}
			}
			details[key], _ = discovered[endpoints[key]].(string)
		}
		if !s.isProviderURL(details[key]) {
			return errProviderDetail(key, "must be an https URL")
		}
	}
	return nil
}

// isProviderURL accepts https URLs, and http on the machine itself where the server has no others.
func (s *Service) isProviderURL(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User != nil || strings.Contains(text, "#") || len(text) > detailMost {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && s.Remote.AllowHTTP && slices.Contains([]string{"localhost", "127.0.0.1", "::1"}, u.Hostname())
}

// readProviderMetadata reads the metadata of a SAML provider and fills in where it takes requests.
func (s *Service) readProviderMetadata(ctx context.Context, details map[string]string) (entityID string, err error) {
	for _, key := range []string{"IDPSignout", "IDPInit", "EncryptedResponses"} {
		if v, ok := details[key]; ok && v != "true" && v != "false" {
			return "", errProviderDetail(key, "must be true or false")
		}
	}
	if details["EncryptedResponses"] == "true" {
		return "", errNotAvailable("EncryptedResponses")
	}
	if v, ok := details["RequestSigningAlgorithm"]; ok && v != "rsa-sha256" {
		return "", errProviderDetail("RequestSigningAlgorithm", "must be rsa-sha256")
	}
	document, source := details["MetadataFile"], details["MetadataURL"]
	switch {
	case (document == "") == (source == ""):
		return "", errMetadataSource
	case source != "":
		if !s.isProviderURL(source) {
			return "", errProviderDetail("MetadataURL", "must be an https URL")
		}
		body, err := s.Remote.Document(ctx, source)
		if err != nil {
			return "", errMetadataFetch(source).With(err)
		}
		document = string(body)
	}
	m, err := saml.ParseMetadata(document)
	if err != nil {
		return "", errMetadata("it cannot be read").With(err)
	}
	now := s.Now()
	valid := slices.ContainsFunc(m.Certificates, func(c *x509.Certificate) bool { return now.Before(c.NotAfter) })
	switch {
	case !valid, !m.ValidUntil.IsZero() && now.After(m.ValidUntil):
		return "", errMetadata("its certificates have expired")
	case !s.isProviderURL(m.SingleSignOn):
		return "", errMetadata("it has no https SingleSignOnService for HTTP-Redirect")
	case details["IDPSignout"] == "true" && !s.isProviderURL(m.SingleLogout):
		return "", errMetadata("it has no https SingleLogoutService for HTTP-Redirect")
	}
	details["SSORedirectBindingURI"] = m.SingleSignOn
	delete(details, "SLORedirectBindingURI")
	if s.isProviderURL(m.SingleLogout) {
		details["SLORedirectBindingURI"] = m.SingleLogout
	}
	return m.EntityID, nil
}

// checkMapping checks which attributes of the provider become which of the pool, and adds the one that names the user.
func (p *pool) checkMapping(kind string, in map[string]string) (map[string]string, error) {
	if len(in) > mappingsMost {
		return nil, errMapping("AttributeMapping", "has too many entries")
	}
	mapping := map[string]string{}
	subject := providerKinds[kind].subject
	for _, name := range slices.Sorted(maps.Keys(in)) {
		value := in[name]
		a := p.schema[name]
		switch {
		case value == "" || len(value) > maxAttribute || strings.Contains(value, "\x00"):
			return nil, errMapping(name, "is mapped to nothing")
		case name == "username":
			if value != subject {
				return nil, errMapping(name, "can only be the subject of the provider")
			}
		case name == attrSub || name == attrIdentities || a == nil || *a.DeveloperOnlyAttribute:
			return nil, errMapping(name, "is not an attribute that can be mapped")
		}
		mapping[name] = value
	}
	if subject != "" {
		mapping["username"] = subject
	}
	return mapping, nil
}
