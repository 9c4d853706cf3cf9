package userpool

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncbor"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"golang.org/x/net/publicsuffix"

	"usher/internal/api/cognitoidp"
)

// The two ceremonies of WebAuthn (W3C, Web Authentication Level 3, sections 7.1 and 7.2) without any storage: whether what
// an authenticator has signed makes a passkey of a relying party, or proves one.

const (
	maxCredentialText = 64 << 10 // of what a client sends
	passkeyTimeout    = 60_000   // ms that a browser gives the user
)

// relyingParty is what authenticators sign for: a domain, and where its pages are.
type relyingParty struct {
	id      string
	origins []string // beside those of the domain
}

// relyingParty returns the pool's; false if it has none.
func (p *pool) relyingParty() (relyingParty, bool) {
	c := p.mfa.WebAuthn
	if c == nil || c.RelyingPartyId == nil {
		return relyingParty{}, false
	}
	return relyingParty{*c.RelyingPartyId, strings.Fields(p.Settings.UserPoolTags[tagPasskeyOrigins])}, true
}

var domainForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`)

// checkRelyingPartyID returns nil if id is a domain that can be one: in lower case, no address, and none under which
// strangers register names of their own, since each of them could then ask for the passkeys of all others.
func checkRelyingPartyID(id string) error {
	last := id[strings.LastIndexByte(id, '.')+1:]
	if !domainForm.MatchString(id) || strings.Trim(last, "0123456789") == "" {
		return errRelyingPartyID
	}
	if suffix, _ := publicsuffix.PublicSuffix(id); suffix == id && id != localhost {
		return errRelyingPartyID
	}
	return nil
}

// localhost is the relying party for development: pages of this machine, of any port and without TLS, are its origins.
const localhost = "localhost"

// tagPasskeyOrigins is the tag with further origins, separated by blanks: other ports, other sites of the same owner, native
// apps.
const tagPasskeyOrigins = "usher:passkey-origins"

var androidOrigin = regexp.MustCompile(`^android:apk-key-hash:[A-Za-z0-9_-]{43}$`)

func checkPasskeyOrigins(tags map[string]string) error {
	for _, origin := range strings.Fields(tags[tagPasskeyOrigins]) {
		if androidOrigin.MatchString(origin) {
			continue
		}
		u, ok := parseOrigin(origin)
		if !ok || u.Scheme != "https" && !isUnder(u.Hostname(), localhost) {
			return errPasskeyOrigins
		}
	}
	return nil
}

// parseOrigin reads the serialization of an origin (HTML standard, "Serialization of an origin") of http or https.
func parseOrigin(origin string) (*url.URL, bool) {
	u, err := url.Parse(origin)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || origin != u.Scheme+"://"+u.Host || !domainForm.MatchString(u.Hostname()) {
		return nil, false
	}
	if _, err := strconv.ParseUint(u.Port(), 10, 16); err != nil && u.Host != u.Hostname() {
		return nil, false
	}
	return u, true
}

// isUnder reports whether host is domain or one of its subdomains.
func isUnder(host, domain string) bool {
	return host == domain || strings.HasSuffix(host, "."+domain)
}

// allows reports whether pages of origin speak for the relying party.
func (rp relyingParty) allows(origin string) bool {
	if slices.Contains(rp.origins, origin) {
		return true
	}
	u, ok := parseOrigin(origin)
	if !ok || !isUnder(u.Hostname(), rp.id) {
		return false
	}
	return rp.id == localhost || u.Scheme == "https" && u.Port() == ""
}

// isOurs reports whether an authenticator has signed for the relying party.
func (rp relyingParty) isOurs(data *protocol.AuthenticatorData) bool {
	hash := sha256.Sum256([]byte(rp.id))
	return bytes.Equal(data.RPIDHash, hash[:])
}

// creationOptions is CredentialCreationOptions: PublicKeyCredentialCreationOptionsJSON of Web Authentication. Attestation is
// not asked for.
type creationOptions struct {
	RP                     creationRP                     `json:"rp"`
	User                   creationUser                   `json:"user"`
	Challenge              protocol.URLEncodedBase64      `json:"challenge"`
	PubKeyCredParams       []protocol.CredentialParameter `json:"pubKeyCredParams"`
	Timeout                int                            `json:"timeout"`
	ExcludeCredentials     []credentialDescriptor         `json:"excludeCredentials"`
	AuthenticatorSelection authenticatorSelection         `json:"authenticatorSelection"`
}

type creationRP struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type creationUser struct {
	ID          protocol.URLEncodedBase64 `json:"id"`
	Name        string                    `json:"name"`
	DisplayName string                    `json:"displayName"`
}

type authenticatorSelection struct {
	RequireResidentKey bool   `json:"requireResidentKey"`
	ResidentKey        string `json:"residentKey"`
	UserVerification   string `json:"userVerification"`
}

// requestOptions is CREDENTIAL_REQUEST_OPTIONS: PublicKeyCredentialRequestOptionsJSON of Web Authentication.
type requestOptions struct {
	Challenge        protocol.URLEncodedBase64 `json:"challenge"`
	Timeout          int                       `json:"timeout"`
	RPID             string                    `json:"rpId"`
	AllowCredentials []credentialDescriptor    `json:"allowCredentials"`
	UserVerification string                    `json:"userVerification"`
}

type credentialDescriptor struct {
	ID         string   `json:"id"` // base64url
	Type       string   `json:"type"`
	Transports []string `json:"transports,omitempty"`
}

const publicKeyType = "public-key"

// passkeyAlgorithms are the signatures that are understood: ES256 and RS256.
var passkeyAlgorithms = []protocol.CredentialParameter{
	{Type: publicKeyType, Algorithm: webauthncose.AlgES256},
	{Type: publicKeyType, Algorithm: webauthncose.AlgRS256},
}

// parseCreation reads the RegistrationResponseJSON of a new credential.
func parseCreation(text []byte) (*protocol.ParsedCredentialCreationData, error) {
	var kind struct {
		Type string `json:"type"`
	}
	if len(text) > maxCredentialText || json.Unmarshal(text, &kind) != nil {
		return nil, errCredential
	}
	if kind.Type != publicKeyType {
		return nil, errPasskeyType
	}
	c, err := protocol.ParseCredentialCreationResponseBytes(text)
	if err != nil {
		return nil, errCredential.With(err)
	}
	if c.Response.CollectedClientData.Type != protocol.CreateCeremony {
		return nil, errCredential
	}
	return c, nil
}

// checkCreation returns the passkey that an authenticator has made for challenge. The trust in its maker is not looked at;
// an attestation that is sent all the same must be right.
func (rp relyingParty) checkCreation(c *protocol.ParsedCredentialCreationData, challenge string, verifyUser bool) (*passkey, error) {
	origin, data := c.Response.CollectedClientData.Origin, &c.Response.AttestationObject.AuthData
	switch {
	case !rp.allows(origin):
		return nil, errPasskeyOrigin
	case !rp.isOurs(data):
		return nil, errRelyingParty
	case verifyUser && !data.Flags.HasUserVerified():
		return nil, errPasskeyUnverified
	case !data.Flags.HasBackupEligible() && data.Flags.HasBackupState():
		return nil, errCredential
	}
	if err := checkPasskeyKey(data.AttData.CredentialPublicKey); err != nil {
		return nil, errPasskeyType.With(err)
	}
	if _, err := c.Verify(challenge, rp.id, []string{origin}, []string{origin}, nil, protocol.TopOriginExplicitVerificationMode, false, verifyUser, true,
		nil, passkeyAlgorithms, protocol.AttestationPolicy{}, protocol.SignaturePolicy{}); err != nil {
		return nil, errCredential.With(err)
	}
	return &passkey{
		ID: base64.RawURLEncoding.EncodeToString(c.RawID), RelyingParty: rp.id, PublicKey: data.AttData.CredentialPublicKey, Counter: int64(data.Counter),
		BackupEligible: data.Flags.HasBackupEligible(), Attachment: string(c.AuthenticatorAttachment), Transports: knownTransports(c.Response.Transports),
	}, nil
}

// checkPasskeyKey returns nil if key is a COSE_Key of one of the algorithms, and of a size that is cheap to verify with.
func checkPasskeyKey(key []byte) error {
	parsed, err := webauthncose.ParsePublicKey(key)
	if err != nil {
		return err
	}
	switch k := parsed.(type) {
	case webauthncose.EC2PublicKeyData:
		if k.Algorithm == int64(webauthncose.AlgES256) && k.Curve == int64(webauthncose.P256) {
			return nil
		}
	case webauthncose.RSAPublicKeyData:
		bits := new(big.Int).SetBytes(k.Modulus).BitLen()
		if k.Algorithm == int64(webauthncose.AlgRS256) && bits >= 2048 && bits <= 4096 && len(k.Exponent) <= 4 {
			return nil
		}
	}
	return errors.New("key of another kind")
}

// knownTransports is the transports that a browser reports, of those that there are, with blanks between them. They are
// hints for browsers.
func knownTransports(reported []protocol.AuthenticatorTransport) string {
	var known []string
	for _, t := range []protocol.AuthenticatorTransport{protocol.USB, protocol.NFC, protocol.BLE, protocol.SmartCard, protocol.Hybrid, protocol.Internal} {
		if slices.Contains(reported, t) {
			known = append(known, string(t))
		}
	}
	return strings.Join(known, " ")
}

// parseAssertion reads the AuthenticationResponseJSON of a sign-in.
func parseAssertion(text string) (*protocol.ParsedCredentialAssertionData, error) {
	if len(text) > maxCredentialText {
		return nil, errCredentialAnswer
	}
	a, err := protocol.ParseCredentialRequestResponseBytes([]byte(text))
	if err != nil {
		return nil, errCredentialAnswer.With(err)
	}
	return a, nil
}

// checkAssertion returns nil if the passkey k of the user sub has signed challenge.
func (rp relyingParty) checkAssertion(a *protocol.ParsedCredentialAssertionData, k *passkey, sub, challenge string, verifyUser bool) error {
	origin, flags := a.Response.CollectedClientData.Origin, a.Response.AuthenticatorData.Flags
	switch {
	case !rp.allows(origin):
		return errors.New("origin " + strconv.Quote(origin) + " is not allowed")
	case k.RelyingParty != rp.id:
		return errors.New("passkey of another relying party")
	case len(a.Response.UserHandle) > 0 && string(a.Response.UserHandle) != sub:
		return errors.New("user handle of another user")
	case flags.HasBackupEligible() != k.BackupEligible, !flags.HasBackupEligible() && flags.HasBackupState():
		return errors.New("backup flags do not fit the passkey")
	}
	return a.Verify(challenge, rp.id, "", []string{origin}, []string{origin}, nil, protocol.TopOriginExplicitVerificationMode, false, verifyUser, true,
		k.PublicKey, protocol.SignaturePolicy{})
}

// nobodysPasskey is a public key whose private key is forgotten, so that checking costs the same where there is no passkey.
var nobodysPasskey = sync.OnceValue(func() []byte {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err) // P-256 keys are always made
	}
	point, err := private.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	key, err := webauthncbor.Marshal(webauthncose.EC2PublicKeyData{
		PublicKeyData: webauthncose.PublicKeyData{KeyType: int64(webauthncose.EllipticKey), Algorithm: int64(webauthncose.AlgES256)},
		Curve:         int64(webauthncose.P256), XCoord: point[1:33], YCoord: point[33:],
	})
	if err != nil {
		panic(err)
	}
	return key
})

// checkWebAuthn checks WebAuthnConfiguration.
func checkWebAuthn(c *cognitoidp.WebAuthnConfigurationType) error {
	if c == nil || c.RelyingPartyId == nil {
		return nil
	}
	return checkRelyingPartyID(*c.RelyingPartyId)
}
