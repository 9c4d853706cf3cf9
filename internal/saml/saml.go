// Package saml verifies SAML 2.0 responses of identity providers, whose metadata is known, for a relying party.
//
// A response is good for what its signature covers and nothing else. The structure is fixed before anything is believed:
// one assertion, signatures only where SAML has them, each about the element that it stands in. What is read afterwards is
// read from the bytes whose digest was signed.
//
// Sources: SAML 2.0 Core (chapter 5 for signatures), Profiles (4.1, Web Browser SSO) and Metadata; for attacks, Somorovsky
// et al., "On Breaking SAML: Be Whoever You Want to Be".
package saml

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
	"github.com/russellhaering/goxmldsig/etreeutils"
)

// MaxResponse is the length of the longest response, in characters of base64 (AssumeRoleWithSAML, SAMLAssertion).
const MaxResponse = 100_000

// What is wrong with a response. The errors of Verify are one of these, with details that are for the log.
var (
	ErrEncoding     = errors.New("saml: not base64")
	ErrMalformed    = errors.New("saml: malformed response")
	ErrStatus       = errors.New("saml: the identity provider reports a failure")
	ErrEncrypted    = errors.New("saml: encrypted assertions are not supported")
	ErrSignature    = errors.New("saml: signature is missing or wrong")
	ErrIssuer       = errors.New("saml: issued by somebody else")
	ErrNoSubject    = errors.New("saml: no subject")
	ErrConfirmation = errors.New("saml: no bearer confirmation for this recipient")
	ErrAudience     = errors.New("saml: meant for another audience")
	ErrNotYetValid  = errors.New("saml: not valid yet")
	ErrExpired      = errors.New("saml: expired")
)

// RelyingParty is what a response must say, and when.
type RelyingParty struct {
	Audience  func(entityID string) bool // whether it is us: every AudienceRestriction must name us
	Recipient func(address string) bool  // whether it is ours: the bearer confirmation must be for us
	MaxAge    time.Duration
	Skew      time.Duration // how far the identity provider's clock may be ahead
	Now       time.Time
}

// Assertion is what a verified response says.
type Assertion struct {
	ID string
	// Key identifies the key that signed. Key and ID together are unique: one who repeats them repeats the assertion.
	Key [sha256.Size]byte

	Issuer       string
	NameID       string
	NameIDFormat string // URI
	Recipient    string
	InResponseTo string // id of the request that it answers; empty if there was none
	IssueInstant time.Time
	Expires      time.Time // from then on Verify refuses it
	// SessionNotOnOrAfter is when the session at the identity provider ends; zero if it does not say.
	SessionNotOnOrAfter time.Time
	Attributes          []Attribute
}

// Attribute is a named list of texts.
type Attribute struct {
	Name   string
	Values []string
}

// Values are the values of all attributes with exactly this name.
func (a *Assertion) Values(name string) []string {
	var list []string
	for _, at := range a.Attributes {
		if at.Name == name {
			list = append(list, at.Values...)
		}
	}
	return list
}

// Verify checks a response, the value of SAMLResponse in the HTTP POST binding, and returns its assertion.
func Verify(encoded string, idp *Metadata, rp RelyingParty) (*Assertion, error) {
	if len(encoded) > MaxResponse {
		return nil, fmt.Errorf("%w: longer than %d characters", ErrMalformed, MaxResponse)
	}
	text, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEncoding, err)
	}
	response, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if err := checkShape(response, rp); err != nil {
		return nil, err
	}
	verified, key, err := verifySignatures(response, idp)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	a, err := read(verified)
	if err != nil {
		return nil, err
	}
	a.Key = key
	if a.Issuer != idp.EntityID {
		return nil, fmt.Errorf("%w: %q", ErrIssuer, a.Issuer)
	}
	return a, a.confirm(verified, rp)
}

// checkShape makes sure, before any signature is looked at, that there is only one way to read the response. It believes
// nothing: it only refuses.
func checkShape(response *etree.Element, rp RelyingParty) error {
	malformed := func(format string, args ...any) error {
		return fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
	}
	if !is(response, nsProtocol, "Response") || attr(response, "Version") != "2.0" || attr(response, "ID") == "" {
		return malformed("not a Response of SAML 2.0")
	}
	status, err := only(response, nsProtocol, "Status")
	if err != nil {
		return malformed("%w", err)
	}
	code, err := only(status, nsProtocol, "StatusCode")
	if err != nil {
		return malformed("%w", err)
	}
	if v := attr(code, "Value"); v != "urn:oasis:names:tc:SAML:2.0:status:Success" {
		return fmt.Errorf("%w: %q", ErrStatus, v)
	}
	if to := attr(response, "Destination"); to != "" && !rp.Recipient(to) {
		return fmt.Errorf("%w: Destination is %q", ErrConfirmation, to)
	}
	var assertion *etree.Element
	for _, c := range response.ChildElements() {
		switch {
		case is(c, nsAssertion, "Assertion"):
			assertion = c
		case is(c, nsSignature, "Signature") && assertion != nil:
			return malformed("the signature of the response follows the assertion")
		case is(c, nsSignature, "Signature"), is(c, nsAssertion, "Issuer"), is(c, nsAssertion, "EncryptedAssertion"), c == status,
			is(c, nsProtocol, "Extensions"):
		default:
			return malformed("element %s", c.Tag)
		}
	}
	// Wherever a second assertion or signature hides, in Extensions, in an Object of the signature or in another assertion,
	// it is one too many.
	assertions := 0
	if err := walk(response, func(el *etree.Element) error {
		switch {
		case is(el, nsAssertion, "Assertion"):
			assertions++
		case is(el, nsAssertion, "EncryptedAssertion"), is(el, nsAssertion, "EncryptedID"), is(el, nsAssertion, "EncryptedAttribute"):
			return ErrEncrypted
		case is(el, nsProtocol, "Response") && el != response:
			return malformed("a response within the response")
		case el.NamespaceURI() == nsSignature && el.Tag == "Signature":
			if el.Parent() != response && el.Parent() != assertion {
				return malformed("a signature in %s", el.Parent().Tag)
			}
		case el.NamespaceURI() == nsSignature && el.Tag == "Object":
			return malformed("an Object in the signature")
		}
		return nil
	}); err != nil {
		return err
	}
	if assertions != 1 || assertion == nil {
		return malformed("%d assertions, not one", assertions)
	}
	if attr(assertion, "ID") == "" || attr(assertion, "Version") != "2.0" {
		return malformed("not an Assertion of SAML 2.0")
	}
	return nil
}

// verifySignatures verifies the signatures of the response and of its assertion. There must be one; both must be right if
// there are both. It returns the assertion as it was signed, and which key signed.
func verifySignatures(response *etree.Element, idp *Metadata) (assertion *etree.Element, key [sha256.Size]byte, err error) {
	signed := false
	if len(children(response, nsSignature, "Signature")) > 0 {
		if response, key, err = verifySignature(response, idp); err != nil {
			return nil, key, err
		}
		signed = true
	}
	if assertion, err = only(response, nsAssertion, "Assertion"); err != nil {
		return nil, key, err
	}
	if len(children(assertion, nsSignature, "Signature")) > 0 {
		scope, err := etreeutils.NSBuildParentContext(assertion)
		if err != nil {
			return nil, key, err
		}
		alone, err := etreeutils.NSDetatch(scope, assertion)
		if err != nil {
			return nil, key, err
		}
		return verifySignature(alone, idp)
	}
	if !signed {
		return nil, key, errors.New("neither the response nor the assertion is signed")
	}
	return assertion, key, nil
}

// verifySignature verifies the signature in el about el, and returns el as the bytes that were signed say it.
func verifySignature(el *etree.Element, idp *Metadata) (*etree.Element, [sha256.Size]byte, error) {
	var none [sha256.Size]byte
	el = el.Copy()
	signature, err := only(el, nsSignature, "Signature")
	if err != nil {
		return nil, none, err
	}
	// The keys come from the metadata. What the signature says about its key is not signed, and is not asked.
	for _, info := range children(signature, nsSignature, "KeyInfo") {
		signature.RemoveChild(info)
	}
	if err := checkSignature(signature, attr(el, "ID")); err != nil {
		return nil, none, err
	}
	for _, cert := range idp.Certificates {
		v := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{cert}})
		v.Clock = dsig.NewFakeClockAt(cert.NotBefore) // only the key of a certificate counts, see Metadata
		verified, e := v.Validate(el)
		if e != nil {
			err = e
			continue
		}
		if verified == nil || verified.Tag != el.Tag || verified.NamespaceURI() != el.NamespaceURI() || attr(verified, "ID") != attr(el, "ID") {
			return nil, none, errors.New("another element is signed")
		}
		return verified, sha256.Sum256(cert.RawSubjectPublicKeyInfo), nil
	}
	return nil, none, err
}

// Algorithms that signatures may use: RSA and SHA-2; of transforms, those that SAML 2.0 Core, 5.4.4 allows.
var (
	signatureMethods = []string{dsig.RSASHA256SignatureMethod, dsig.RSASHA384SignatureMethod, dsig.RSASHA512SignatureMethod}
	digestMethods    = []string{"http://www.w3.org/2001/04/xmlenc#sha256", "http://www.w3.org/2001/04/xmldsig-more#sha384", "http://www.w3.org/2001/04/xmlenc#sha512"}
	canonicalization = []string{string(dsig.CanonicalXML10ExclusiveAlgorithmId), string(dsig.CanonicalXML10ExclusiveWithCommentsAlgorithmId)}
	enveloped        = []string{string(dsig.EnvelopedSignatureAltorithmId)}
)

// checkSignature allows a signature without its KeyInfo, with one reference, to the element with the id that it stands in.
func checkSignature(signature *etree.Element, id string) error {
	list, err := exactly(signature, "SignedInfo", "SignatureValue")
	if err != nil {
		return err
	}
	info, err := exactly(list[0], "CanonicalizationMethod", "SignatureMethod", "Reference")
	if err != nil {
		return err
	}
	reference, err := exactly(info[2], "Transforms", "DigestMethod", "DigestValue")
	if err != nil {
		return err
	}
	transforms, err := exactly(reference[0], "Transform", "Transform")
	if err != nil {
		return err
	}
	if uri := attr(info[2], "URI"); id == "" || uri != "#"+id {
		return fmt.Errorf("the signature is about %q", uri)
	}
	for _, a := range []struct {
		element *etree.Element
		allowed []string
	}{{info[0], canonicalization}, {info[1], signatureMethods}, {transforms[0], enveloped}, {transforms[1], canonicalization}, {reference[1], digestMethods}} {
		if name := attr(a.element, "Algorithm"); !slices.Contains(a.allowed, name) {
			return fmt.Errorf("%s %q is not allowed", a.element.Tag, name)
		}
	}
	return nil
}

// exactly are the child elements of an element of a signature, which must be these.
func exactly(el *etree.Element, tags ...string) ([]*etree.Element, error) {
	list := el.ChildElements()
	if len(list) != len(tags) {
		return nil, fmt.Errorf("%s has %d elements, not %d", el.Tag, len(list), len(tags))
	}
	for i, tag := range tags {
		if !is(list[i], nsSignature, tag) {
			return nil, fmt.Errorf("%s in %s", list[i].Tag, el.Tag)
		}
	}
	return list, nil
}

// read reads a verified assertion.
func read(el *etree.Element) (*Assertion, error) {
	malformed := func(err error) (*Assertion, error) { return nil, fmt.Errorf("%w: %w", ErrMalformed, err) }
	a := &Assertion{ID: attr(el, "ID")}
	issuer, err := only(el, nsAssertion, "Issuer")
	if err != nil {
		return malformed(err)
	}
	if a.Issuer, err = content(issuer); err != nil {
		return malformed(err)
	}
	a.Issuer = strings.TrimSpace(a.Issuer)
	if a.IssueInstant, err = parseTime(attr(el, "IssueInstant")); err != nil {
		return malformed(err)
	}
	subject, err := only(el, nsAssertion, "Subject")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoSubject, err)
	}
	name, err := only(subject, nsAssertion, "NameID")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoSubject, err)
	}
	if a.NameID, err = content(name); err != nil {
		return malformed(err)
	}
	if strings.TrimSpace(a.NameID) == "" {
		return nil, fmt.Errorf("%w: NameID is empty", ErrNoSubject)
	}
	if a.NameIDFormat = attr(name, "Format"); a.NameIDFormat == "" { // SAML 2.0 Core, 2.2.2
		a.NameIDFormat = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"
	}
	for _, statement := range children(el, nsAssertion, "AuthnStatement") {
		until := attr(statement, "SessionNotOnOrAfter")
		if until == "" {
			continue
		}
		t, err := parseTime(until)
		if err != nil {
			return malformed(err)
		}
		if a.SessionNotOnOrAfter.IsZero() || t.Before(a.SessionNotOnOrAfter) {
			a.SessionNotOnOrAfter = t
		}
	}
	for _, statement := range children(el, nsAssertion, "AttributeStatement") {
		for _, attribute := range children(statement, nsAssertion, "Attribute") {
			next := Attribute{Name: attr(attribute, "Name")}
			for _, value := range children(attribute, nsAssertion, "AttributeValue") {
				inner := value.ChildElements()
				if len(inner) == 1 && is(inner[0], nsAssertion, "NameID") { // eduPersonTargetedID
					value = inner[0]
				} else if len(inner) > 0 {
					continue // not a text
				}
				text, err := content(value)
				if err != nil {
					return malformed(err)
				}
				next.Values = append(next.Values, text)
			}
			a.Attributes = append(a.Attributes, next)
		}
	}
	return a, nil
}

// confirm checks that the assertion is for this relying party and for now, and notes until when.
func (a *Assertion) confirm(el *etree.Element, rp RelyingParty) error {
	a.Expires = a.IssueInstant.Add(rp.MaxAge)
	subject, err := only(el, nsAssertion, "Subject")
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoSubject, err)
	}
	confirmation, err := only(subject, nsAssertion, "SubjectConfirmation")
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConfirmation, err)
	}
	data, err := only(confirmation, nsAssertion, "SubjectConfirmationData")
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConfirmation, err)
	}
	a.Recipient, a.InResponseTo = attr(data, "Recipient"), attr(data, "InResponseTo")
	switch {
	case attr(confirmation, "Method") != "urn:oasis:names:tc:SAML:2.0:cm:bearer":
		return fmt.Errorf("%w: Method is %q", ErrConfirmation, attr(confirmation, "Method"))
	case !rp.Recipient(a.Recipient):
		return fmt.Errorf("%w: Recipient is %q", ErrConfirmation, a.Recipient)
	case attr(data, "NotOnOrAfter") == "":
		return fmt.Errorf("%w: NotOnOrAfter is missing", ErrConfirmation)
	}
	conditions, err := only(el, nsAssertion, "Conditions")
	if err != nil {
		return fmt.Errorf("%w: %w", ErrAudience, err)
	}
	if err := checkAudience(conditions, rp.Audience); err != nil {
		return err
	}
	begin := a.IssueInstant
	for _, limits := range []*etree.Element{data, conditions} {
		if text := attr(limits, "NotBefore"); text != "" {
			t, err := parseTime(text)
			if err != nil {
				return fmt.Errorf("%w: %w", ErrMalformed, err)
			}
			if t.After(begin) {
				begin = t
			}
		}
		if text := attr(limits, "NotOnOrAfter"); text != "" {
			t, err := parseTime(text)
			if err != nil {
				return fmt.Errorf("%w: %w", ErrMalformed, err)
			}
			if t.Before(a.Expires) {
				a.Expires = t
			}
		}
	}
	switch {
	case begin.After(rp.Now.Add(rp.Skew)):
		return fmt.Errorf("%w: from %s", ErrNotYetValid, begin)
	case !rp.Now.Before(a.Expires):
		return fmt.Errorf("%w: at %s", ErrExpired, a.Expires)
	}
	return nil
}

// checkAudience checks that there is an AudienceRestriction and that each names us (SAML 2.0 Core, 2.5.1.4).
func checkAudience(conditions *etree.Element, isUs func(string) bool) error {
	restrictions := children(conditions, nsAssertion, "AudienceRestriction")
	if len(restrictions) == 0 {
		return fmt.Errorf("%w: there is no restriction", ErrAudience)
	}
	for _, r := range restrictions {
		ours := false
		for _, audience := range children(r, nsAssertion, "Audience") {
			text, err := content(audience)
			if err != nil {
				return fmt.Errorf("%w: %w", ErrMalformed, err)
			}
			ours = ours || isUs(strings.TrimSpace(text))
		}
		if !ours {
			return ErrAudience
		}
	}
	return nil
}
