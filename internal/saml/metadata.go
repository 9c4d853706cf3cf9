package saml

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	maxMetadata = 10_000_000 // characters (IAM API Reference, CreateSAMLProvider)
	maxKeys     = 10         // signing certificates of an identity provider
	minKeyBits  = 1024       // of an RSA key (IAM User Guide, "Create a SAML identity provider in IAM")

	nsMetadata = "urn:oasis:names:tc:SAML:2.0:metadata"
)

// ErrMetadata is the error of metadata that cannot be used.
var ErrMetadata = errors.New("saml: metadata of an identity provider cannot be used")

// Metadata is what an identity provider says of itself (SAML 2.0 Metadata, EntityDescriptor). It is immutable.
type Metadata struct {
	EntityID   string    // Issuer of its assertions
	ValidUntil time.Time // zero if the metadata does not end
	// Certificates hold the keys that it signs with. Only the keys count: that a certificate has expired, or who issued it,
	// does not matter (SAML V2.0 Metadata Interoperability Profile; IAM does likewise).
	Certificates []*x509.Certificate
	// Where it takes requests by the HTTP-Redirect binding; "" if it does not say.
	SingleSignOn, SingleLogout string
}

type endpoint struct {
	Binding  string `xml:"Binding,attr"`
	Location string `xml:"Location,attr"`
}

type keyDescriptor struct {
	Use          string   `xml:"use,attr"`
	Certificates []string `xml:"http://www.w3.org/2000/09/xmldsig# KeyInfo>X509Data>X509Certificate"`
}

type roleDescriptor struct {
	Protocols  string          `xml:"protocolSupportEnumeration,attr"`
	ValidUntil string          `xml:"validUntil,attr"`
	Keys       []keyDescriptor `xml:"urn:oasis:names:tc:SAML:2.0:metadata KeyDescriptor"`
	SignOn     []endpoint      `xml:"urn:oasis:names:tc:SAML:2.0:metadata SingleSignOnService"`
	Logout     []endpoint      `xml:"urn:oasis:names:tc:SAML:2.0:metadata SingleLogoutService"`
}

type entityDescriptor struct {
	XMLName    xml.Name
	EntityID   string           `xml:"entityID,attr"`
	ValidUntil string           `xml:"validUntil,attr"`
	Roles      []roleDescriptor `xml:"urn:oasis:names:tc:SAML:2.0:metadata IDPSSODescriptor"`
}

// ParseMetadata reads the metadata document of one identity provider. Its errors are ErrMetadata.
func ParseMetadata(document string) (*Metadata, error) {
	bad := func(format string, args ...any) (*Metadata, error) {
		return nil, fmt.Errorf("%w: "+format, append([]any{ErrMetadata}, args...)...)
	}
	if len(document) > maxMetadata {
		return bad("longer than %d characters", maxMetadata)
	}
	text := []byte(strings.TrimPrefix(document, "\ufeff"))
	if err := check(text, metadataBounds); err != nil {
		return bad("%w", err)
	}
	var e entityDescriptor
	if err := xml.Unmarshal(text, &e); err != nil {
		return bad("%w", err)
	}
	m := &Metadata{EntityID: strings.TrimSpace(e.EntityID)}
	switch {
	case e.XMLName != xml.Name{Space: nsMetadata, Local: "EntityDescriptor"}:
		return bad("not an EntityDescriptor")
	case m.EntityID == "" || len(m.EntityID) > 1024: // SAML 2.0 Metadata, 2.2.1
		return bad("entityID is missing or too long")
	case len(e.Roles) != 1:
		return bad("%d elements IDPSSODescriptor, not one", len(e.Roles))
	case !slices.Contains(strings.Fields(e.Roles[0].Protocols), nsProtocol):
		return bad("the identity provider does not support SAML 2.0")
	}
	for _, until := range []string{e.ValidUntil, e.Roles[0].ValidUntil} {
		if until == "" {
			continue
		}
		t, err := parseTime(until)
		if err != nil {
			return bad("validUntil: %w", err)
		}
		if m.ValidUntil.IsZero() || t.Before(m.ValidUntil) {
			m.ValidUntil = t
		}
	}
	m.SingleSignOn, m.SingleLogout = redirect(e.Roles[0].SignOn), redirect(e.Roles[0].Logout)
	for _, k := range e.Roles[0].Keys {
		if k.Use != "" && k.Use != "signing" {
			continue
		}
		for _, c := range k.Certificates {
			cert, err := parseCertificate(c)
			if err != nil {
				return bad("certificate: %w", err)
			}
			if !slices.ContainsFunc(m.Certificates, cert.Equal) {
				m.Certificates = append(m.Certificates, cert)
			}
		}
	}
	if n := len(m.Certificates); n == 0 || n > maxKeys {
		return bad("%d signing certificates, not 1 to %d", n, maxKeys)
	}
	return m, nil
}

// redirect returns the first location of the HTTP-Redirect binding.
func redirect(endpoints []endpoint) string {
	for _, e := range endpoints {
		if e.Binding == "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" {
			return strings.TrimSpace(e.Location)
		}
	}
	return ""
}

func parseCertificate(text string) (*x509.Certificate, error) {
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	key, ok := cert.PublicKey.(*rsa.PublicKey)
	if !ok {
		return nil, errors.New("not an RSA key")
	}
	if key.N.BitLen() < minKeyBits {
		return nil, fmt.Errorf("an RSA key of less than %d bits", minKeyBits)
	}
	return cert, nil
}

// parseTime reads xs:dateTime with its time zone; SAML 2.0 Core, 1.3.3 asks for UTC.
func parseTime(text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, strings.TrimSpace(text))
	return t.UTC(), err
}
