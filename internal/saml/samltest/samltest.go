// Package samltest is a SAML identity provider for tests: it signs whatever it is told to.
package samltest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"html"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
	"github.com/russellhaering/goxmldsig/etreeutils"
)

// IdP is an identity provider with one key.
type IdP struct {
	EntityID    string
	Key         *rsa.PrivateKey
	Certificate []byte // DER
}

var keys sync.Map // RSA keys by number: making one takes long

// New returns an identity provider. Those with the same number share a key.
func New(t testing.TB, entityID string, number int) *IdP {
	t.Helper()
	k, ok := keys.Load(number)
	if !ok {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		k, _ = keys.LoadOrStore(number, key)
	}
	idp := &IdP{EntityID: entityID, Key: k.(*rsa.PrivateKey)}
	idp.Certificate = Certificate(t, idp.Key, &idp.Key.PublicKey)
	return idp
}

// Certificate is a certificate, long expired, for a public key.
func Certificate(t testing.TB, by, public any) []byte {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "idp.example.org"},
		NotBefore: time.Date(2019, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, by)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// Metadata is the metadata document.
func (p *IdP) Metadata() string { return p.MetadataWith("", p.Certificate) }

// MetadataWith is the metadata document with further attributes of the EntityDescriptor and other certificates.
func (p *IdP) MetadataWith(attributes string, certificates ...[]byte) string {
	var list strings.Builder
	for _, der := range certificates {
		fmt.Fprintf(&list, `<md:KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data><ds:X509Certificate>
%s
</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>`, base64.StdEncoding.EncodeToString(der))
	}
	return `<?xml version="1.0" encoding="UTF-8"?>
<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="` + html.EscapeString(p.EntityID) + `" ` + attributes + `>
<!-- of a test -->
<md:IDPSSODescriptor WantAuthnRequestsSigned="false" protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">` + list.String() + `
<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://idp.example.org/sso"/>
</md:IDPSSODescriptor></md:EntityDescriptor>`
}

// Response is what a response says. Make it with NewResponse and change what the test is about.
type Response struct {
	ID, AssertionID, Issuer, Destination, Status string

	NameID, NameIDFormat            string // XML
	Method, Recipient, InResponseTo string
	ConfirmationEnd                 string // a time, as all that follow; "" leaves the attribute out
	IssueInstant                    string
	NotBefore, NotOnOrAfter         string
	SessionNotOnOrAfter             string
	Audiences                       []string
	Attributes                      map[string][]string // values are XML

	SignResponse, SignAssertion bool
	// Change edits the tree of the response before anything is signed.
	Change func(response *etree.Element)
	// Method of signature, a constant of goxmldsig; RSA-SHA256 if empty.
	SignatureMethod string
}

// NewID is a fresh identifier.
func NewID() string {
	b := make([]byte, 16)
	rand.Read(b)
	return "_" + hex.EncodeToString(b)
}

// NewResponse is a response for AWS as at now, with a signed assertion.
func (p *IdP) NewResponse(now time.Time) *Response {
	stamp := func(d time.Duration) string { return now.Add(d).UTC().Format("2006-01-02T15:04:05.000Z") }
	return &Response{
		ID: NewID(), AssertionID: NewID(), Issuer: p.EntityID,
		Destination: "https://signin.aws.amazon.com/saml", Status: "urn:oasis:names:tc:SAML:2.0:status:Success",
		NameID: "ada@example.org", NameIDFormat: "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent",
		Method: "urn:oasis:names:tc:SAML:2.0:cm:bearer", Recipient: "https://signin.aws.amazon.com/saml",
		IssueInstant: stamp(0), ConfirmationEnd: stamp(5 * time.Minute), NotBefore: stamp(-time.Minute), NotOnOrAfter: stamp(5 * time.Minute),
		Audiences: []string{"urn:amazon:webservices"}, Attributes: map[string][]string{}, SignAssertion: true,
	}
}

// Encode signs r and returns it in base64.
func (p *IdP) Encode(t testing.TB, r *Response) string {
	t.Helper()
	return base64.StdEncoding.EncodeToString([]byte(p.XML(t, r)))
}

// XML signs r and returns its text.
func (p *IdP) XML(t testing.TB, r *Response) string {
	t.Helper()
	doc := etree.NewDocument()
	if err := doc.ReadFromString(r.text()); err != nil {
		t.Fatal(err)
	}
	if r.Change != nil {
		r.Change(doc.Root())
	}
	if r.SignAssertion {
		assertion := doc.Root().FindElement("./saml:Assertion")
		p.Sign(t, assertion, r.SignatureMethod)
	}
	if r.SignResponse {
		p.Sign(t, doc.Root(), r.SignatureMethod)
	}
	text, err := doc.WriteToString()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Sign puts a signature about el into it, after its Issuer.
func (p *IdP) Sign(t testing.TB, el *etree.Element, method string) {
	t.Helper()
	signer, err := dsig.NewSigningContext(p.Key, [][]byte{p.Certificate})
	if err != nil {
		t.Fatal(err)
	}
	signer.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	if method != "" {
		if err := signer.SetSignatureMethod(method); err != nil {
			t.Fatal(err)
		}
	}
	scope, err := etreeutils.NSBuildParentContext(el)
	if err != nil {
		t.Fatal(err)
	}
	alone, err := etreeutils.NSDetatch(scope, el)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := signer.ConstructSignature(alone, true)
	if err != nil {
		t.Fatal(err)
	}
	el.InsertChildAt(el.FindElement("./saml:Issuer").Index()+1, signature)
}

func attribute(name, value string) string {
	if value == "" {
		return ""
	}
	return ` ` + name + `="` + html.EscapeString(value) + `"`
}

func (r *Response) text() string {
	var audiences, attributes strings.Builder
	for _, a := range r.Audiences {
		audiences.WriteString(`<saml:Audience>` + a + `</saml:Audience>`)
	}
	for name, values := range r.Attributes {
		attributes.WriteString(`<saml:Attribute` + attribute("Name", name) + `>`)
		for _, v := range values {
			attributes.WriteString(`<saml:AttributeValue xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="xs:string">` + v + `</saml:AttributeValue>`)
		}
		attributes.WriteString(`</saml:Attribute>`)
	}
	if len(r.Attributes) > 0 {
		attributes.WriteString(`</saml:AttributeStatement>`)
	}
	if len(r.Audiences) > 0 {
		audiences.WriteString(`</saml:AudienceRestriction>`)
	}
	open := func(yes bool, tag string) string {
		if yes {
			return "<" + tag + ">"
		}
		return ""
	}
	return `<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" xmlns:xs="http://www.w3.org/2001/XMLSchema" Version="2.0"` +
		attribute("ID", r.ID) + attribute("IssueInstant", r.IssueInstant) + attribute("Destination", r.Destination) + `>
<saml:Issuer>` + r.Issuer + `</saml:Issuer>
<samlp:Status><samlp:StatusCode` + attribute("Value", r.Status) + `/></samlp:Status>
<saml:Assertion Version="2.0"` + attribute("ID", r.AssertionID) + attribute("IssueInstant", r.IssueInstant) + `>
<saml:Issuer>` + r.Issuer + `</saml:Issuer>
<saml:Subject><saml:NameID` + attribute("Format", r.NameIDFormat) + `>` + r.NameID + `</saml:NameID>
<saml:SubjectConfirmation` + attribute("Method", r.Method) + `><saml:SubjectConfirmationData` + attribute("Recipient", r.Recipient) +
		attribute("InResponseTo", r.InResponseTo) + attribute("NotOnOrAfter", r.ConfirmationEnd) + `/></saml:SubjectConfirmation></saml:Subject>
<saml:Conditions` + attribute("NotBefore", r.NotBefore) + attribute("NotOnOrAfter", r.NotOnOrAfter) + `>` + open(len(r.Audiences) > 0, "saml:AudienceRestriction") + audiences.String() + `</saml:Conditions>
<saml:AuthnStatement` + attribute("AuthnInstant", r.IssueInstant) + attribute("SessionNotOnOrAfter", r.SessionNotOnOrAfter) + `><saml:AuthnContext/></saml:AuthnStatement>
` + open(len(r.Attributes) > 0, "saml:AttributeStatement") + attributes.String() + `
</saml:Assertion></samlp:Response>`
}
