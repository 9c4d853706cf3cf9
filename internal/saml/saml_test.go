package saml_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"usher/internal/saml"
	"usher/internal/saml/samltest"
)

const (
	aws      = "https://signin.aws.amazon.com/saml"
	evilName = "admin@example.org"
)

var now = time.Date(2026, 11, 2, 10, 0, 0, 0, time.UTC)

func party() saml.RelyingParty {
	return saml.RelyingParty{
		Audience:  func(s string) bool { return s == aws || s == "urn:amazon:webservices" },
		Recipient: func(s string) bool { return s == aws },
		MaxAge:    5 * time.Minute, Skew: time.Minute, Now: now,
	}
}

func metadata(t testing.TB, p *samltest.IdP) *saml.Metadata {
	t.Helper()
	m, err := saml.ParseMetadata(p.Metadata())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func encode(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

func stamp(d time.Duration) string { return now.Add(d).Format(time.RFC3339) }

func TestVerify(t *testing.T) {
	idp := samltest.New(t, "https://idp.example.org/meta?a=1&b=2", 1)
	m := metadata(t, idp)
	for _, c := range []struct {
		name   string
		change func(r *samltest.Response)
		want   error
	}{
		{"signed assertion", func(r *samltest.Response) {}, nil},
		{"signed response", func(r *samltest.Response) { r.SignResponse, r.SignAssertion = true, false }, nil},
		{"both signed", func(r *samltest.Response) { r.SignResponse = true }, nil},
		{"SHA-384", func(r *samltest.Response) { r.SignatureMethod = dsig.RSASHA384SignatureMethod }, nil},
		{"SHA-512", func(r *samltest.Response) { r.SignatureMethod = dsig.RSASHA512SignatureMethod }, nil},
		{"SHA-1", func(r *samltest.Response) { r.SignatureMethod = dsig.RSASHA1SignatureMethod }, saml.ErrSignature},
		{"not signed", func(r *samltest.Response) { r.SignAssertion = false }, saml.ErrSignature},

		{"no Destination", func(r *samltest.Response) { r.Destination = "" }, nil},
		{"another Destination", func(r *samltest.Response) { r.Destination = "https://elsewhere.example.org/saml" }, saml.ErrConfirmation},
		{"failure", func(r *samltest.Response) { r.Status = "urn:oasis:names:tc:SAML:2.0:status:Responder" }, saml.ErrStatus},
		{"another issuer", func(r *samltest.Response) { r.Issuer = "https://other.example.org" }, saml.ErrIssuer},
		{"issuer in spaces", func(r *samltest.Response) { r.Issuer = "\n" + r.Issuer + " " }, nil},
		{"no NameID", func(r *samltest.Response) { r.NameID = " " }, saml.ErrNoSubject},
		{"no Subject", func(r *samltest.Response) { r.Change = remove("//saml:Subject") }, saml.ErrNoSubject},

		{"another Recipient", func(r *samltest.Response) { r.Recipient = aws + "/" }, saml.ErrConfirmation},
		{"no Recipient", func(r *samltest.Response) { r.Recipient = "" }, saml.ErrConfirmation},
		{"no end of confirmation", func(r *samltest.Response) { r.ConfirmationEnd = "" }, saml.ErrConfirmation},
		{"holder of key", func(r *samltest.Response) { r.Method = "urn:oasis:names:tc:SAML:2.0:cm:holder-of-key" }, saml.ErrConfirmation},
		{"two confirmations", func(r *samltest.Response) { r.Change = double("//saml:SubjectConfirmation") }, saml.ErrConfirmation},
		{"confirmation over", func(r *samltest.Response) { r.ConfirmationEnd = stamp(0) }, saml.ErrExpired},
		{"confirmation nearly over", func(r *samltest.Response) { r.ConfirmationEnd = stamp(time.Second) }, nil},

		{"another audience", func(r *samltest.Response) { r.Audiences = []string{"urn:other"} }, saml.ErrAudience},
		{"audience among others", func(r *samltest.Response) { r.Audiences = []string{"urn:other", aws} }, nil},
		{"no audience", func(r *samltest.Response) { r.Audiences = nil }, saml.ErrAudience},
		{"two restrictions, one for others", func(r *samltest.Response) {
			r.Change = func(e *etree.Element) {
				double("//saml:AudienceRestriction")(e)
				e.FindElement("//saml:Audience").SetText("urn:other")
			}
		}, saml.ErrAudience},
		{"no Conditions", func(r *samltest.Response) { r.Change = remove("//saml:Conditions") }, saml.ErrAudience},

		{"conditions over", func(r *samltest.Response) { r.NotOnOrAfter = stamp(-time.Second) }, saml.ErrExpired},
		{"conditions to come", func(r *samltest.Response) { r.NotBefore = stamp(2 * time.Minute) }, saml.ErrNotYetValid},
		{"clock a little ahead", func(r *samltest.Response) { r.NotBefore, r.IssueInstant = stamp(30*time.Second), stamp(30*time.Second) }, nil},
		{"issued in the future", func(r *samltest.Response) { r.IssueInstant = stamp(2 * time.Minute) }, saml.ErrNotYetValid},
		{"five minutes old", func(r *samltest.Response) {
			r.IssueInstant, r.ConfirmationEnd, r.NotOnOrAfter = stamp(-5*time.Minute), stamp(time.Hour), stamp(time.Hour)
		}, saml.ErrExpired},
		{"nearly five minutes old", func(r *samltest.Response) { r.IssueInstant = stamp(-5*time.Minute + time.Second) }, nil},
		{"no time of issue", func(r *samltest.Response) { r.IssueInstant = "" }, saml.ErrMalformed},
		{"time without zone", func(r *samltest.Response) { r.NotOnOrAfter = "2026-11-02T10:03:00" }, saml.ErrMalformed},

		{"comment in the NameID", func(r *samltest.Response) { r.NameID = "admin@example.org<!---->.evil.example" }, saml.ErrMalformed},
		{"instruction in the NameID", func(r *samltest.Response) { r.NameID = "admin@example.org<?x?>.evil.example" }, saml.ErrMalformed},
		{"element in the NameID", func(r *samltest.Response) { r.NameID = "admin@example.org<x/>.evil.example" }, saml.ErrMalformed},
		{"CDATA in the NameID", func(r *samltest.Response) { r.NameID = "ada@<![CDATA[example.org]]>" }, nil},
		{"two NameIDs", func(r *samltest.Response) { r.Change = double("//saml:NameID") }, saml.ErrNoSubject},
		{"encrypted NameID", func(r *samltest.Response) { r.Change = rename("//saml:NameID", "EncryptedID") }, saml.ErrEncrypted},
		{"encrypted assertion", func(r *samltest.Response) {
			r.SignResponse, r.SignAssertion, r.Change = true, false, rename("//saml:Assertion", "EncryptedAssertion")
		}, saml.ErrEncrypted},
		{"an assertion of SAML 1", func(r *samltest.Response) {
			r.Change = func(e *etree.Element) { e.FindElement("//saml:Assertion").CreateAttr("Version", "1.1") }
		}, saml.ErrMalformed},
		{"deep", func(r *samltest.Response) { r.NameID = strings.Repeat("<x>", 40) + strings.Repeat("</x>", 40) }, saml.ErrMalformed},
		{"wide", func(r *samltest.Response) { r.NameID, r.SignAssertion = strings.Repeat("<x/>", 900), false }, saml.ErrMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := idp.NewResponse(now)
			r.Issuer = strings.ReplaceAll(r.Issuer, "&", "&amp;")
			c.change(r)
			a, err := saml.Verify(idp.Encode(t, r), m, party())
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if c.want == nil && (a.NameID != "ada@example.org" || a.ID != r.AssertionID || a.Issuer != idp.EntityID) {
				t.Errorf("read %+v", a)
			}
		})
	}
}

func remove(path string) func(*etree.Element) {
	return func(e *etree.Element) { x := e.FindElement(path); x.Parent().RemoveChild(x) }
}

func double(path string) func(*etree.Element) {
	return func(e *etree.Element) { x := e.FindElement(path); x.Parent().AddChild(x.Copy()) }
}

func rename(path, tag string) func(*etree.Element) {
	return func(e *etree.Element) { e.FindElement(path).Tag = tag }
}

func TestContent(t *testing.T) {
	idp := samltest.New(t, "https://idp.example.org/", 1)
	r := idp.NewResponse(now)
	r.InResponseTo, r.SessionNotOnOrAfter = "_request", stamp(time.Hour)
	r.Attributes["urn:oid:1.3.6.1.4.1.5923.1.1.1.1"] = []string{"staff", "member &amp; more"}
	r.Attributes["urn:oid:1.3.6.1.4.1.5923.1.1.1.10"] = []string{`<saml:NameID>opaque</saml:NameID>`, `<x>not a text</x>`}
	a, err := saml.Verify(idp.Encode(t, r), metadata(t, idp), party())
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(a.NameID, a.NameIDFormat, a.Recipient, a.InResponseTo, a.SessionNotOnOrAfter, a.Expires, a.Values("urn:oid:1.3.6.1.4.1.5923.1.1.1.1"), a.Values("urn:oid:1.3.6.1.4.1.5923.1.1.1.10"))
	want := fmt.Sprint("ada@example.org", r.NameIDFormat, aws, "_request", now.Add(time.Hour), now.Add(5*time.Minute), []string{"staff", "member & more"}, []string{"opaque"})
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestWrapping: signed parts moved about so that one reader finds what is signed and another what is not (the attacks XSW1
// to XSW8 of Somorovsky et al., and their relatives). The names are those of SAML Raider.
func TestWrapping(t *testing.T) {
	idp := samltest.New(t, "https://idp.example.org/", 1)
	m := metadata(t, idp)
	// evil is a copy of a signed element without its signature, under another id and for another person.
	evil := func(el *etree.Element) *etree.Element {
		e := el.Copy()
		if s := e.FindElement("./ds:Signature"); s != nil {
			e.RemoveChild(s)
		}
		e.CreateAttr("ID", samltest.NewID())
		e.FindElement(".//saml:NameID").SetText(evilName)
		return e
	}
	take := func(el *etree.Element, path string) *etree.Element {
		x := el.FindElement(path)
		if x != nil {
			x.Parent().RemoveChild(x)
		}
		return x
	}
	for _, c := range []struct {
		name         string
		signResponse bool
		attack       func(doc *etree.Document, response *etree.Element)
	}{
		{"XSW1", true, func(doc *etree.Document, response *etree.Element) {
			bad := evil(response)
			signature := take(response, "./ds:Signature")
			signature.AddChild(response.Copy())
			bad.AddChild(signature)
			doc.SetRoot(bad)
		}},
		{"XSW2", true, func(doc *etree.Document, response *etree.Element) {
			bad := evil(response)
			bad.AddChild(take(response, "./ds:Signature"))
			bad.AddChild(response.Copy())
			doc.SetRoot(bad)
		}},
		{"XSW3", false, func(_ *etree.Document, response *etree.Element) {
			a := response.FindElement("./saml:Assertion")
			response.InsertChildAt(a.Index(), evil(a))
		}},
		{"XSW4", false, func(_ *etree.Document, response *etree.Element) {
			a := take(response, "./saml:Assertion")
			bad := evil(a)
			bad.AddChild(a)
			response.AddChild(bad)
		}},
		{"XSW5", false, func(_ *etree.Document, response *etree.Element) {
			a := response.FindElement("./saml:Assertion")
			copied := a.Copy()
			take(copied, "./ds:Signature")
			a.CreateAttr("ID", samltest.NewID())
			a.FindElement(".//saml:NameID").SetText(evilName)
			response.AddChild(copied)
		}},
		{"XSW6", false, func(_ *etree.Document, response *etree.Element) {
			a := response.FindElement("./saml:Assertion")
			copied := a.Copy()
			take(copied, "./ds:Signature")
			a.CreateAttr("ID", samltest.NewID())
			a.FindElement(".//saml:NameID").SetText(evilName)
			a.FindElement("./ds:Signature").AddChild(copied)
		}},
		{"XSW7", false, func(_ *etree.Document, response *etree.Element) {
			a := response.FindElement("./saml:Assertion")
			response.InsertChildAt(a.Index(), etree.NewElement("samlp:Extensions"))
			response.FindElement("./samlp:Extensions").AddChild(evil(a))
		}},
		{"XSW8", false, func(_ *etree.Document, response *etree.Element) {
			a := response.FindElement("./saml:Assertion")
			copied := a.Copy()
			signature := a.FindElement("./ds:Signature")
			take(copied, "./ds:Signature")
			object := etree.NewElement("ds:Object")
			object.AddChild(copied)
			signature.AddChild(object)
			a.CreateAttr("ID", samltest.NewID())
			a.FindElement(".//saml:NameID").SetText(evilName)
		}},
		{"the same id", false, func(_ *etree.Document, response *etree.Element) {
			a := take(response, "./saml:Assertion")
			bad := evil(a)
			bad.CreateAttr("ID", a.SelectAttrValue("ID", ""))
			extensions := etree.NewElement("samlp:Extensions")
			extensions.AddChild(a)
			response.AddChild(extensions)
			response.AddChild(bad)
		}},
		{"signature moved to the response", false, func(_ *etree.Document, response *etree.Element) {
			a := response.FindElement("./saml:Assertion")
			signature := take(a, "./ds:Signature")
			response.InsertChildAt(0, signature)
			a.FindElement(".//saml:NameID").SetText(evilName)
		}},
		{"a second signature", false, func(_ *etree.Document, response *etree.Element) {
			a := response.FindElement("./saml:Assertion")
			a.AddChild(a.FindElement("./ds:Signature").Copy())
		}},
		{"changed text", false, func(_ *etree.Document, response *etree.Element) {
			response.FindElement("//saml:NameID").SetText(evilName)
		}},
		{"changed text of a response", true, func(_ *etree.Document, response *etree.Element) {
			response.FindElement("//saml:NameID").SetText(evilName)
		}},
		{"added attribute", false, func(_ *etree.Document, response *etree.Element) {
			response.FindElement("./saml:Assertion").CreateElement("saml:AttributeStatement")
		}},
		{"id of the assertion", false, func(_ *etree.Document, response *etree.Element) {
			response.FindElement("./saml:Assertion").CreateAttr("ID", "_another")
		}},
		{"no id", false, func(_ *etree.Document, response *etree.Element) {
			response.FindElement("./saml:Assertion").RemoveAttr("ID")
			response.FindElement("//ds:Reference").CreateAttr("URI", "")
		}},
		{"the signature of the response dropped, the assertion changed", true, func(_ *etree.Document, response *etree.Element) {
			take(response, "./ds:Signature")
			response.FindElement("//saml:NameID").SetText(evilName)
		}},
		{"no SignatureValue", false, func(_ *etree.Document, response *etree.Element) { take(response, "//ds:SignatureValue") }},
		{"empty SignatureValue", false, func(_ *etree.Document, response *etree.Element) {
			response.FindElement("//ds:SignatureValue").SetText("")
		}},
		{"second SignedInfo", false, func(_ *etree.Document, response *etree.Element) {
			s := response.FindElement("//ds:Signature")
			s.AddChild(s.FindElement("./ds:SignedInfo").Copy())
		}},
		{"second reference", false, func(_ *etree.Document, response *etree.Element) {
			s := response.FindElement("//ds:SignedInfo")
			s.AddChild(s.FindElement("./ds:Reference").Copy())
		}},
		{"HMAC with the public key", false, func(_ *etree.Document, response *etree.Element) {
			response.FindElement("//ds:SignatureMethod").CreateAttr("Algorithm", "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256")
		}},
		{"XSLT", false, func(_ *etree.Document, response *etree.Element) {
			response.FindElement("//ds:Transform").CreateAttr("Algorithm", "http://www.w3.org/TR/1999/REC-xslt-19991116")
		}},
		{"XPath", false, func(_ *etree.Document, response *etree.Element) {
			response.FindElement("//ds:Transforms").CreateElement("ds:Transform").CreateAttr("Algorithm", "http://www.w3.org/TR/1999/REC-xpath-19991116")
		}},
		{"two assertions", false, func(_ *etree.Document, response *etree.Element) {
			a := response.FindElement("./saml:Assertion").Copy()
			a.CreateAttr("ID", samltest.NewID())
			response.AddChild(a)
		}},
		{"a Response in another namespace", false, func(_ *etree.Document, response *etree.Element) {
			response.CreateAttr("xmlns:samlp", "urn:oasis:names:tc:SAML:1.0:protocol")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := idp.NewResponse(now)
			r.SignResponse, r.SignAssertion = c.signResponse, !c.signResponse
			doc := etree.NewDocument()
			if err := doc.ReadFromString(idp.XML(t, r)); err != nil {
				t.Fatal(err)
			}
			text, _ := doc.WriteToString()
			if _, err := saml.Verify(encode(text), m, party()); err != nil {
				t.Fatalf("before the attack: %v", err)
			}
			c.attack(doc, doc.Root())
			text, _ = doc.WriteToString()
			a, err := saml.Verify(encode(text), m, party())
			if !errors.Is(err, saml.ErrMalformed) && !errors.Is(err, saml.ErrSignature) {
				t.Errorf("got %+v, %v", a, err)
			}
		})
	}
}

// TestKeys: only the keys in the metadata count, whatever the signature says.
func TestKeys(t *testing.T) {
	idp, thief := samltest.New(t, "https://idp.example.org/", 1), samltest.New(t, "https://idp.example.org/", 2)
	r := idp.NewResponse(now)
	if _, err := saml.Verify(thief.Encode(t, r), metadata(t, idp), party()); !errors.Is(err, saml.ErrSignature) {
		t.Errorf("another key: %v", err)
	}
	both, err := saml.ParseMetadata(idp.MetadataWith("", thief.Certificate, idp.Certificate))
	if err != nil {
		t.Fatal(err)
	}
	one, err := saml.Verify(idp.Encode(t, r), both, party())
	if err != nil {
		t.Fatalf("the second key of two: %v", err)
	}
	two, err := saml.Verify(thief.Encode(t, r), both, party())
	if err != nil || one.Key == two.Key {
		t.Errorf("the keys are not told apart: %v", err)
	}
	// The key of the identity provider behind the thief's certificate, and no certificate at all.
	for name, change := range map[string]func(*etree.Element){
		"foreign KeyInfo": func(e *etree.Element) {
			e.FindElement("//ds:X509Certificate").SetText(base64.StdEncoding.EncodeToString(thief.Certificate))
		},
		"no KeyInfo": remove("//ds:KeyInfo"),
	} {
		doc := etree.NewDocument()
		if err := doc.ReadFromString(idp.XML(t, r)); err != nil {
			t.Fatal(err)
		}
		change(doc.Root())
		text, _ := doc.WriteToString()
		if _, err := saml.Verify(encode(text), metadata(t, idp), party()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		doc.Root().FindElement("//saml:NameID").SetText(evilName)
		text, _ = doc.WriteToString()
		if _, err := saml.Verify(encode(text), metadata(t, idp), party()); !errors.Is(err, saml.ErrSignature) {
			t.Errorf("%s, changed: %v", name, err)
		}
	}
}

// TestDocuments: what is refused before it is a SAML response.
func TestDocuments(t *testing.T) {
	idp := samltest.New(t, "https://idp.example.org/", 1)
	good := idp.XML(t, idp.NewResponse(now))
	for _, c := range []struct {
		name, text string
		want       error
	}{
		{"declaration", `<?xml version="1.0" encoding="UTF-8"?>` + good, nil},
		{"blank lines", good + "\n\n", nil},
		{"nothing", "", saml.ErrMalformed},
		{"no XML", "SAMLResponse", saml.ErrMalformed},
		{"cut", good[:len(good)-20], saml.ErrMalformed},
		{"document type", `<!DOCTYPE x [<!ENTITY a "b">]>` + good, saml.ErrMalformed},
		{"entity", strings.Replace(good, "ada@", "&ada;@", 1), saml.ErrMalformed},
		{"billion laughs", `<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><x>&b;</x>`, saml.ErrMalformed},
		{"other encoding", `<?xml version="1.0" encoding="ISO-8859-1"?>` + good, saml.ErrMalformed},
		{"not UTF-8", strings.Replace(good, "ada@", "ad\xe4@", 1), saml.ErrMalformed},
		{"comment", good + "<!-- -->", saml.ErrMalformed},
		{"instruction", `<?xml-stylesheet href="x"?>` + good, saml.ErrMalformed},
		{"text behind", good + "x", saml.ErrMalformed},
		{"two documents", good + good, saml.ErrMalformed},
		{"attribute twice", strings.Replace(good, `Version="2.0"`, `Version="2.0" Version="2.0"`, 1), saml.ErrMalformed},
		{"many namespaces", `<a ` + strings.Repeat(" ", 10) + namespaces(100) + `/>`, saml.ErrMalformed},
		{"too long", strings.Repeat(" ", saml.MaxResponse), saml.ErrMalformed},
	} {
		if _, err := saml.Verify(encode(c.text), metadata(t, idp), party()); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := saml.Verify("%%%", metadata(t, idp), party()); !errors.Is(err, saml.ErrEncoding) {
		t.Error(err)
	}
}

func namespaces(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, ` xmlns:n%d="urn:%d"`, i, i)
	}
	return b.String()
}

func TestMetadata(t *testing.T) {
	idp := samltest.New(t, "https://idp.example.org/", 1)
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := idp.Metadata()
	without := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("no %q in the metadata", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	for _, c := range []struct {
		name, text string
		ok         bool
	}{
		{"good", good, true},
		{"byte order mark", "\ufeff" + good, true},
		{"1024 bits", idp.MetadataWith("", samltest.Certificate(t, weak, &weak.PublicKey)), true},
		{"certificate twice", idp.MetadataWith("", idp.Certificate, idp.Certificate), true},
		{"no use", without(` use="signing"`, ""), true},
		{"for encryption only", without(` use="signing"`, ` use="encryption"`), false},
		{"ECDSA", idp.MetadataWith("", samltest.Certificate(t, curve, &curve.PublicKey)), false},
		{"no certificate", idp.MetadataWith(""), false},
		{"bad certificate", idp.MetadataWith("", []byte("no")), false},
		{"no entity id", without(`entityID="https://idp.example.org/"`, ""), false},
		{"SAML 1", without("urn:oasis:names:tc:SAML:2.0:protocol", "urn:oasis:names:tc:SAML:1.1:protocol"), false},
		{"several entities", `<EntitiesDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata"/>`, false},
		{"service provider", strings.ReplaceAll(good, "IDPSSODescriptor", "SPSSODescriptor"), false},
		{"bad end", idp.MetadataWith(`validUntil="tomorrow"`, idp.Certificate), false},
		{"document type", "<!DOCTYPE x>" + good[strings.Index(good, "<md"):], false},
		{"no XML", "{}", false},
		{"empty", "", false},
		{"long", strings.Repeat(" ", 10_000_001), false},
	} {
		m, err := saml.ParseMetadata(c.text)
		if (err == nil) != c.ok || err != nil && !errors.Is(err, saml.ErrMetadata) {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.ok && (m.EntityID != idp.EntityID || len(m.Certificates) != 1 || !m.ValidUntil.IsZero()) {
			t.Errorf("%s: %+v", c.name, m)
		}
	}
	m, err := saml.ParseMetadata(idp.MetadataWith(`validUntil="2027-01-02T03:04:05.5Z"`, idp.Certificate))
	if err != nil || !m.ValidUntil.Equal(time.Date(2027, 1, 2, 3, 4, 5, 5e8, time.UTC)) {
		t.Errorf("validUntil: %+v, %v", m, err)
	}
	var many [][]byte
	for range 11 {
		next, err := rsa.GenerateKey(rand.Reader, 1024)
		if err != nil {
			t.Fatal(err)
		}
		many = append(many, samltest.Certificate(t, next, &next.PublicKey))
	}
	if m, err := saml.ParseMetadata(idp.MetadataWith("", many[:10]...)); err != nil || len(m.Certificates) != 10 {
		t.Errorf("ten keys: %v", err)
	}
	if _, err := saml.ParseMetadata(idp.MetadataWith("", many...)); !errors.Is(err, saml.ErrMetadata) {
		t.Errorf("eleven keys: %v", err)
	}
}

// FuzzVerify edits a signed response: cuts at an offset and puts something else there. Each process has a key of its own,
// so that the response must be made where it is verified.
func FuzzVerify(f *testing.F) {
	idp := samltest.New(f, "https://idp.example.org/", 1)
	m := metadata(f, idp)
	r := idp.NewResponse(now)
	good := []string{idp.XML(f, r), ""}
	r.SignResponse = true
	good[1] = idp.XML(f, r)
	f.Add(false, 0, 0, "")
	f.Add(true, 0, 0, "<!DOCTYPE a>")
	f.Add(false, 900, 4, "evil")
	f.Add(true, 300, 0, "<saml:Assertion><saml:Subject><saml:NameID>admin</saml:NameID></saml:Subject></saml:Assertion>")
	f.Add(false, 0, 1<<20, `<a xmlns:b="c" b:d="e">f</a>`)
	f.Fuzz(func(t *testing.T, both bool, at, cut int, put string) {
		text := good[0]
		if both {
			text = good[1]
		}
		at = min(max(at, 0), len(text))
		cut = min(max(cut, 0), len(text)-at)
		a, err := saml.Verify(encode(text[:at]+put+text[at+cut:]), m, party())
		// Nobody but the identity provider can make a response, so that whatever the text, it is the one that was signed.
		if err == nil && (a.NameID != "ada@example.org" || a.ID != r.AssertionID || a.Issuer != idp.EntityID || a.Recipient != aws || len(a.Attributes) != 0) {
			t.Errorf("a forgery: %+v", a)
		}
	})
}

func FuzzParseMetadata(f *testing.F) {
	idp := samltest.New(f, "https://idp.example.org/", 1)
	f.Add(idp.Metadata())
	f.Add(`<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="a"><IDPSSODescriptor/></EntityDescriptor>`)
	f.Fuzz(func(t *testing.T, text string) {
		m, err := saml.ParseMetadata(text)
		if err == nil && (m.EntityID == "" || len(m.Certificates) == 0) {
			t.Errorf("%+v", m)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	idp := samltest.New(b, "https://idp.example.org/", 1)
	m := metadata(b, idp)
	r := idp.NewResponse(now)
	for i := range 20 {
		r.Attributes[fmt.Sprint("urn:attribute:", i)] = []string{"value"}
	}
	text := idp.Encode(b, r)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := saml.Verify(text, m, party()); err != nil {
			b.Fatal(err)
		}
	}
}
