//lint:file-ignore SA1019 PackedPolicySize is what older clients read

package sts_test

import (
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdkiam "github.com/aws/aws-sdk-go-v2/service/iam"
	sdksts "github.com/aws/aws-sdk-go-v2/service/sts"

	"usher/internal/db"
	"usher/internal/db/dbtest"
	"usher/internal/iam"
	"usher/internal/saml/samltest"
	"usher/internal/sts"
)

const (
	samlAttr = "https://aws.amazon.com/SAML/Attributes/"
	samlRole = samlAttr + "Role"
	samlName = samlAttr + "RoleSessionName"

	samlEndpoint = "https://id.example.org/saml"
)

// samlWorld is a world with a SAML provider in account A and roles that trust it.
type samlWorld struct {
	*world
	idp      *samltest.IdP
	provider *string
}

func withSAML(t testing.TB, w *world) *samlWorld {
	w.sts.SAMLEndpoints = []string{samlEndpoint}
	s := &samlWorld{world: w, idp: samltest.New(t, "https://idp.example.org/", 1)}
	s.provider = must(w.key(w.a).IAM.CreateSAMLProvider(w.ctx(), &sdkiam.CreateSAMLProviderInput{Name: aws.String("Corp"), SAMLMetadataDocument: aws.String(s.idp.Metadata())}))(t).SAMLProviderArn
	return s
}

// trust is a trust policy for the provider with conditions.
func (s *samlWorld) trust(condition string, actions ...string) string {
	list := `"sts:AssumeRoleWithSAML"`
	for _, a := range actions {
		list += `,"` + a + `"`
	}
	if condition != "" {
		condition = `,"Condition":{` + condition + `}`
	}
	return `{"Effect":"Allow","Principal":{"Federated":"` + *s.provider + `"},"Action":[` + list + `]` + condition + `}`
}

const toAWS = `"StringEquals":{"SAML:aud":"https://signin.aws.amazon.com/saml"}`

// response is one that lets its bearer assume a role.
func (s *samlWorld) response(role *string) *samltest.Response {
	r := s.idp.NewResponse(s.now())
	r.Attributes[samlRole] = []string{*role + "," + *s.provider}
	r.Attributes[samlName] = []string{"ada"}
	return r
}

func (s *samlWorld) assume(role *string, r *samltest.Response) (*sdksts.AssumeRoleWithSAMLOutput, error) {
	return s.nobody().AssumeRoleWithSAML(s.ctx(), &sdksts.AssumeRoleWithSAMLInput{
		RoleArn: role, PrincipalArn: s.provider, SAMLAssertion: aws.String(s.idp.Encode(s.t, r))})
}

const notWithSAML = "AccessDenied: Not authorized to perform sts:AssumeRoleWithSAML"

func TestAssumeRoleWithSAML(t *testing.T) {
	each(t, func(w *world, t *testing.T) {
		s := withSAML(t, w)
		a := w.key(w.a)
		role := w.role(a, "staff", s.trust(toAWS, "sts:TagSession", "sts:SetSourceIdentity"),
			`{"Effect":"Allow","Action":"iam:ListUsers","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/team":"blue","saml:sub":"ada@example.org","saml:sub_type":"persistent","aws:FederatedProvider":"`+*s.provider+`"},"Null":{"saml:aud":"true"}}}`)
		r := s.response(role)
		r.Attributes[samlAttr+"PrincipalTag:team"] = []string{"blue"}
		r.Attributes[samlAttr+"TransitiveTagKeys"] = []string{"team"}
		r.Attributes[samlAttr+"SourceIdentity"] = []string{"ada.l"}
		out := must(s.assume(role, r))(t)
		hash := sha1.Sum([]byte("https://idp.example.org/" + w.a.Account + "/Corp"))
		got := fmt.Sprint(*out.AssumedRoleUser.Arn, *out.Subject, *out.SubjectType, *out.Issuer, *out.Audience, *out.NameQualifier, *out.SourceIdentity, *out.SessionTokenUtilization > 0)
		want := fmt.Sprint("arn:aws:sts::"+w.a.Account+":assumed-role/staff/ada", "ada@example.org", "persistent", "https://idp.example.org/",
			"https://signin.aws.amazon.com/saml", base64.StdEncoding.EncodeToString(hash[:]), "ada.l", true)
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if left := time.Until(*out.Credentials.Expiration); left < 59*time.Minute || left > time.Hour {
			t.Errorf("the session lasts %s", left)
		}
		session := w.temp(out.Credentials)
		if id := must(session.GetCallerIdentity(w.ctx(), nil))(t); *id.Arn != *out.AssumedRoleUser.Arn {
			t.Errorf("the caller is %s", *id.Arn)
		}
		must(session.IAM.ListUsers(w.ctx(), nil))(t) // by session tag and SAML keys

		// Sessions do not depend on the provider that vouched for them, but new ones do.
		must(a.IAM.DeleteSAMLProvider(w.ctx(), &sdkiam.DeleteSAMLProviderInput{SAMLProviderArn: s.provider}))(t)
		must(session.IAM.ListUsers(w.ctx(), nil))(t)
		if _, err := s.assume(role, s.response(role)); failure(err) != "InvalidIdentityToken: Specified provider doesn't exist" {
			t.Error(failure(err))
		}
	})
}

// TestSAMLRefusals: what is wrong and what is told, one case a line.
func TestSAMLRefusals(t *testing.T) {
	w := start(t, sqlite(t))
	s := withSAML(t, w)
	a, b := w.key(w.a), w.key(w.b)
	role := w.role(a, "staff", s.trust(toAWS), "")
	roles := map[string]*string{
		"staff":   role,
		"any":     w.role(a, "any", s.trust(""), ""),
		"own":     w.role(a, "own", s.trust(`"StringEquals":{"saml:aud":"`+samlEndpoint+`"}`), ""),
		"web":     w.role(a, "web", `{"Effect":"Allow","Principal":{"Federated":"`+*s.provider+`"},"Action":"sts:AssumeRoleWithWebIdentity"}`, ""),
		"aws":     w.role(a, "aws", `{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:*"}`, ""),
		"blue":    w.role(a, "blue", s.trust(`"ForAnyValue:StringEquals":{"saml:edupersonaffiliation":"blue"}`), ""),
		"mail":    w.role(a, "mail", s.trust(`"StringLike":{"saml:mail":"*@example.org","saml:doc":"`+w.a.Account+`/Corp","saml:iss":"https://idp.example.org/","sts:RoleSessionName":"ada"}`), ""),
		"tagged":  w.role(a, "tagged", s.trust(`"StringEquals":{"aws:RequestTag/team":"blue"}`, "sts:TagSession"), ""),
		"other":   w.role(b, "other", s.trust(toAWS), ""),
		"missing": aws.String("arn:aws:iam::" + w.a.Account + ":role/missing"),
	}
	const (
		affiliation = "urn:oid:1.3.6.1.4.1.5923.1.1.1.1"
		email       = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress"
	)
	stamp := func(d time.Duration) string { return s.now().Add(d).UTC().Format(time.RFC3339) }
	invalid := func(text string) string { return "InvalidIdentityToken: " + text }
	for _, c := range []struct {
		name, role string
		change     func(r *samltest.Response)
		want       string
	}{
		{"plain", "staff", func(r *samltest.Response) {}, ""},
		{"pair in the other order", "staff", func(r *samltest.Response) { r.Attributes[samlRole] = []string{" " + *s.provider + " ,\n" + *role} }, ""},
		{"pair among others", "staff", func(r *samltest.Response) {
			r.Attributes[samlRole] = []string{"arn:aws:iam::111122223333:role/x," + *s.provider, *role + "," + *s.provider}
		}, ""},
		{"no pair", "staff", func(r *samltest.Response) { delete(r.Attributes, samlRole) }, notWithSAML},
		{"another role", "staff", func(r *samltest.Response) { r.Attributes[samlRole] = []string{*roles["any"] + "," + *s.provider} }, notWithSAML},
		{"another provider", "staff", func(r *samltest.Response) { r.Attributes[samlRole] = []string{*role + "," + *s.provider + "2"} }, notWithSAML},
		{"role and provider in two pairs", "staff", func(r *samltest.Response) {
			r.Attributes[samlRole] = []string{*role + ",x", "y," + *s.provider}
		}, notWithSAML},
		{"any pair", "staff", func(r *samltest.Response) { r.Attributes[samlRole] = []string{"*,*"} }, notWithSAML},
		{"attribute in another case", "staff", func(r *samltest.Response) {
			r.Attributes[strings.ToLower(samlRole)] = r.Attributes[samlRole]
			delete(r.Attributes, samlRole)
		}, notWithSAML},

		{"this server's address", "own", func(r *samltest.Response) {
			r.Recipient, r.Destination, r.Audiences = samlEndpoint, samlEndpoint, []string{samlEndpoint}
		}, ""},
		{"this server's address at a role for AWS's", "staff", func(r *samltest.Response) { r.Recipient, r.Destination = samlEndpoint, "" }, notWithSAML},
		{"AWS's address at a role for this server's", "own", func(r *samltest.Response) {}, notWithSAML},
		{"a region's address", "any", func(r *samltest.Response) {
			r.Recipient, r.Destination, r.Audiences = "https://eu-west-1.signin.aws.amazon.com/saml", "", []string{"https://eu-west-1.signin.aws.amazon.com/saml"}
		}, ""},
		{"a region's address at a role for the global one", "staff", func(r *samltest.Response) { r.Recipient = "https://eu-west-1.signin.aws.amazon.com/saml" }, notWithSAML},
		{"an address that looks like AWS's", "any", func(r *samltest.Response) {
			r.Recipient = "https://eu-west-1.evil.example/signin.aws.amazon.com/saml"
		}, invalid("Response does not contain a bearer SubjectConfirmation for the required recipient.")},
		{"trust in another action", "web", func(r *samltest.Response) {}, notWithSAML},
		{"trust in principals of AWS", "aws", func(r *samltest.Response) {}, notWithSAML},
		{"role of another account", "other", func(r *samltest.Response) {}, notWithSAML},
		{"missing role", "missing", func(r *samltest.Response) {}, notWithSAML},
		{"attribute that the trust asks for", "blue", func(r *samltest.Response) { r.Attributes[affiliation] = []string{"red", "blue"} }, ""},
		{"attribute of another value", "blue", func(r *samltest.Response) { r.Attributes[affiliation] = []string{"red"} }, notWithSAML},
		{"attribute missing", "blue", func(r *samltest.Response) {}, notWithSAML},
		{"single attributes", "mail", func(r *samltest.Response) { r.Attributes[email] = []string{"ada@example.org"} }, ""},
		{"single attributes by object identifier", "mail", func(r *samltest.Response) {
			r.Attributes["urn:oid:0.9.2342.19200300.100.1.3"] = []string{"ada@example.org"}
		}, ""},
		{"single attribute of another value", "mail", func(r *samltest.Response) { r.Attributes[email] = []string{"ada@example.com"} }, notWithSAML},

		{"no session name", "staff", func(r *samltest.Response) { delete(r.Attributes, samlName) }, invalid("RoleSessionName is required in AuthnResponse")},
		{"short session name", "staff", func(r *samltest.Response) { r.Attributes[samlName] = []string{"a"} }, invalid("RoleSessionName in AuthnResponse must match [a-zA-Z_0-9+=,.@-]{2,64}")},
		{"bad session name", "staff", func(r *samltest.Response) { r.Attributes[samlName] = []string{"a/b"} }, invalid("RoleSessionName in AuthnResponse must match [a-zA-Z_0-9+=,.@-]{2,64}")},
		{"two session names", "staff", func(r *samltest.Response) { r.Attributes[samlName] = []string{"ada", "root"} }, invalid("RoleSessionName in AuthnResponse must match [a-zA-Z_0-9+=,.@-]{2,64}")},
		{"source identity of AWS", "any", func(r *samltest.Response) { r.Attributes[samlAttr+"SourceIdentity"] = []string{"aws:ada"} }, invalid(`Source Identity must match [a-zA-Z_0-9+=,.@-]{2,64} and not begin with "aws:"`)},
		{"source identity without permission", "any", func(r *samltest.Response) { r.Attributes[samlAttr+"SourceIdentity"] = []string{"ada"} }, notWithSAML},
		{"tags without permission", "any", func(r *samltest.Response) { r.Attributes[samlAttr+"PrincipalTag:a"] = []string{"b"} }, notWithSAML},
		{"tags", "tagged", func(r *samltest.Response) { r.Attributes[samlAttr+"PrincipalTag:team"] = []string{"blue"} }, ""},
		{"another tag", "tagged", func(r *samltest.Response) { r.Attributes[samlAttr+"PrincipalTag:team"] = []string{"red"} }, notWithSAML},
		{"tag with two values", "tagged", func(r *samltest.Response) { r.Attributes[samlAttr+"PrincipalTag:team"] = []string{"blue", "red"} }, invalid("The session tags in AuthnResponse are not valid")},
		{"tag without a name", "tagged", func(r *samltest.Response) { r.Attributes[samlAttr+"PrincipalTag:"] = []string{"blue"} }, invalid("The session tags in AuthnResponse are not valid")},
		{"tag of AWS", "tagged", func(r *samltest.Response) { r.Attributes[samlAttr+"PrincipalTag:aws:x"] = []string{"blue"} }, "InvalidParameterValue: Tag keys that start with aws: are reserved for system use."},
		{"tag twice", "tagged", func(r *samltest.Response) {
			r.Attributes[samlAttr+"PrincipalTag:team"], r.Attributes[samlAttr+"PrincipalTag:Team"] = []string{"blue"}, []string{"red"}
		}, "InvalidParameterValue: Duplicate tag keys found. Please note that Tag keys are case insensitive."},
		{"transitive key that is no tag", "staff", func(r *samltest.Response) { r.Attributes[samlAttr+"TransitiveTagKeys"] = []string{"team"} }, "InvalidParameterValue: The specified transitive tag key must be included in the requested tags."},
		{"duration of words", "staff", func(r *samltest.Response) { r.Attributes[samlAttr+"SessionDuration"] = []string{"long"} }, invalid("SessionDuration in AuthnResponse must be a number of seconds from 900 to 43200")},
		{"short duration", "staff", func(r *samltest.Response) { r.Attributes[samlAttr+"SessionDuration"] = []string{"899"} }, invalid("SessionDuration in AuthnResponse must be a number of seconds from 900 to 43200")},
		{"session over", "staff", func(r *samltest.Response) { r.SessionNotOnOrAfter = stamp(-time.Second) }, "ExpiredTokenException: Token must be redeemed within 5 minutes of issuance"},

		{"no NameID", "staff", func(r *samltest.Response) { r.NameID = "" }, notWithSAML},
		{"old", "staff", func(r *samltest.Response) { r.IssueInstant = stamp(-5 * time.Minute) }, "ExpiredTokenException: Token must be redeemed within 5 minutes of issuance"},
		{"to come", "staff", func(r *samltest.Response) { r.IssueInstant = stamp(10 * time.Minute) }, invalid("The response is not valid yet")},
		{"failure", "staff", func(r *samltest.Response) { r.Status = "urn:oasis:names:tc:SAML:2.0:status:Requester" }, "IDPRejectedClaim: The identity provider reports that authentication failed"},
		{"not signed", "staff", func(r *samltest.Response) { r.SignAssertion = false }, invalid("Response signature invalid")},
		{"another issuer", "staff", func(r *samltest.Response) { r.Issuer = "https://other.example.org/" }, invalid("Issuer not present in specified provider")},
		{"another audience", "staff", func(r *samltest.Response) { r.Audiences = []string{"https://other.example.org/"} }, invalid("Response does not contain the required audience.")},
		{"another recipient", "staff", func(r *samltest.Response) { r.Recipient = "https://other.example.org/" }, invalid("Response does not contain a bearer SubjectConfirmation for the required recipient.")},
		{"comment", "staff", func(r *samltest.Response) { r.NameID = "root<!-- -->x" }, invalid("Invalid SAMLResponse")},
	} {
		r := s.response(roles[c.role])
		c.change(r)
		_, err := s.assume(roles[c.role], r)
		if c.want == "" && err != nil || c.want != "" && failure(err) != c.want {
			t.Errorf("%s: got %s, want %s", c.name, failure(err), c.want)
		}
	}

	send := func(role, provider, response string) error {
		_, err := w.nobody().AssumeRoleWithSAML(w.ctx(), &sdksts.AssumeRoleWithSAMLInput{RoleArn: &role, PrincipalArn: &provider, SAMLAssertion: &response})
		return err
	}
	thief := samltest.New(t, "https://idp.example.org/", 2)
	for _, c := range []struct{ name, role, provider, response, want string }{
		{"no base64", *role, *s.provider, "<Response/>", invalid("Invalid base64 SAMLResponse")},
		{"no XML", *role, *s.provider, "AAAA", invalid("Invalid SAMLResponse")},
		{"another key", *role, *s.provider, thief.Encode(t, s.response(role)), invalid("Response signature invalid")},
		{"role that is no ARN", strings.Repeat("x", 20), *s.provider, "AAAA", "ValidationError: xxxxxxxxxxxxxxxxxxxx is invalid"},
		{"provider that is no ARN", *role, strings.Repeat("x", 20), "AAAA", "ValidationError: xxxxxxxxxxxxxxxxxxxx is invalid"},
		{"missing provider", *role, *s.provider + "2", "AAAA", invalid("Specified provider doesn't exist")},
		{"provider of another kind", *role, *role, "AAAA", invalid("Specified provider doesn't exist")},
		{"long", *role, *s.provider, strings.Repeat("A", 100_001), "ValidationError: 1 validation error detected: Value at 'sAMLAssertion' failed to satisfy constraint: Member must have length less than or equal to 100000"},
	} {
		if got := failure(send(c.role, c.provider, c.response)); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}

	// Metadata that has ended.
	ended := s.idp.MetadataWith(`validUntil="`+stamp(-time.Minute)+`"`, s.idp.Certificate)
	must(a.IAM.UpdateSAMLProvider(w.ctx(), &sdkiam.UpdateSAMLProviderInput{SAMLProviderArn: s.provider, SAMLMetadataDocument: &ended}))(t)
	if _, err := s.assume(role, s.response(role)); failure(err) != invalid("The metadata of the specified provider has expired") {
		t.Error(failure(err))
	}
}

func TestSAMLDuration(t *testing.T) {
	w := start(t, sqlite(t))
	s := withSAML(t, w)
	a := w.key(w.a)
	role := w.role(a, "staff", s.trust(""), "")
	must(a.IAM.UpdateRole(w.ctx(), &sdkiam.UpdateRoleInput{RoleName: aws.String("staff"), MaxSessionDuration: aws.Int32(7200)}))(t)
	for _, c := range []struct {
		name      string
		asked     int32
		attribute string
		ends      time.Duration // of the session at the identity provider
		want      time.Duration
	}{
		{"nothing said", 0, "", 0, time.Hour},
		{"asked", 7200, "", 0, 2 * time.Hour},
		{"attribute is shorter", 7200, "1800", 0, 30 * time.Minute},
		{"attribute is longer", 1800, "7200", 0, 30 * time.Minute},
		{"session at the provider is shorter", 7200, "3600", 20 * time.Minute, 20 * time.Minute},
		{"session at the provider is longer", 900, "", 20 * time.Hour, 15 * time.Minute},
		{"longer than the role", 7201, "", 0, 0},
	} {
		r := s.response(role)
		if c.attribute != "" {
			r.Attributes[samlAttr+"SessionDuration"] = []string{c.attribute}
		}
		if c.ends != 0 {
			r.SessionNotOnOrAfter = s.now().Add(c.ends).UTC().Format(time.RFC3339)
		}
		in := &sdksts.AssumeRoleWithSAMLInput{RoleArn: role, PrincipalArn: s.provider, SAMLAssertion: aws.String(s.idp.Encode(t, r))}
		if c.asked != 0 {
			in.DurationSeconds = &c.asked
		}
		out, err := w.nobody().AssumeRoleWithSAML(w.ctx(), in)
		if c.want == 0 {
			if failure(err) != "ValidationError: The requested DurationSeconds exceeds the MaxSessionDuration set for this role." {
				t.Errorf("%s: %s", c.name, failure(err))
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %s", c.name, failure(err))
		} else if got := time.Until(*out.Credentials.Expiration); got > c.want || got < c.want-30*time.Second {
			t.Errorf("%s: lasts %s, want %s", c.name, got, c.want)
		}
	}
}

// TestSAMLReplay: an assertion counts once, for whichever role and even at the same time; a refused call does not use it up.
func TestSAMLReplay(t *testing.T) {
	const used = "InvalidIdentityToken: The assertion of this response has been used already"
	dbtest.Each(t, func(t *testing.T, open func(...db.Schema) *db.DB) {
		w := start(t, open)
		s := withSAML(t, w)
		a := w.key(w.a)
		first, second := w.role(a, "first", s.trust(""), ""), w.role(a, "second", s.trust(""), "")
		r := s.response(first)
		r.Attributes[samlRole] = append(r.Attributes[samlRole], *second+","+*s.provider)
		if _, err := s.assume(aws.String(*first+"x"), r); failure(err) != notWithSAML {
			t.Fatal(failure(err))
		}
		must(s.assume(first, r))(t)
		for name, again := range map[string]*samltest.Response{
			"the same": r,
			"in another response": func() *samltest.Response {
				o := *r
				o.ID, o.SignResponse = samltest.NewID(), true
				return &o
			}(),
		} {
			for _, role := range []*string{first, second} {
				if _, err := s.assume(role, again); failure(err) != used {
					t.Errorf("%s, %s: %s", name, *role, failure(err))
				}
			}
		}
		must(s.assume(first, s.response(first)))(t) // a new one

		// Another identity provider may use the same identifier.
		thief := samltest.New(t, "https://idp.example.org/", 2)
		other := must(a.IAM.CreateSAMLProvider(w.ctx(), &sdkiam.CreateSAMLProviderInput{Name: aws.String("Other"), SAMLMetadataDocument: aws.String(thief.Metadata())}))(t).SAMLProviderArn
		t2 := &samlWorld{world: w, idp: thief, provider: other}
		third := w.role(a, "third", t2.trust(""), "")
		same := t2.response(third)
		same.AssertionID = r.AssertionID
		must(t2.assume(third, same))(t)

		// All at once: one wins.
		text := s.idp.Encode(t, s.response(first))
		var won atomic.Int64
		var all sync.WaitGroup
		errs := make([]string, 8)
		for i := range errs {
			all.Go(func() {
				_, err := w.nobody().AssumeRoleWithSAML(w.ctx(), &sdksts.AssumeRoleWithSAMLInput{RoleArn: first, PrincipalArn: s.provider, SAMLAssertion: &text})
				if err == nil {
					won.Add(1)
				} else {
					errs[i] = failure(err)
				}
			})
		}
		all.Wait()
		if errs = slices.Compact(slices.Sorted(slices.Values(errs))); won.Load() != 1 || len(errs) != 2 || errs[1] != used {
			t.Errorf("%d won; %q", won.Load(), errs)
		}
	})
}

// TestSAMLReplayOnAnotherNode: nodes that share a database share what was used.
func TestSAMLReplayOnAnotherNode(t *testing.T) {
	url := dbtest.Postgres(t)
	one := start(t, func(s ...db.Schema) *db.DB { return dbtest.Open(t, url, s...) })
	s := withSAML(t, one)
	two := *s
	two.world = node(t, dbtest.Open(t, url, db.Schema{Name: "iam", Files: iam.Schema}, db.Schema{Name: "sts", Files: sts.Schema}), one.ring)
	role := one.role(one.key(one.a), "staff", s.trust(""), "")
	r := s.response(role)
	must(two.assume(role, r))(t)
	if _, err := s.assume(role, r); failure(err) != "InvalidIdentityToken: The assertion of this response has been used already" {
		t.Error(failure(err))
	}
	must(one.key(one.a).IAM.DeleteSAMLProvider(one.ctx(), &sdkiam.DeleteSAMLProviderInput{SAMLProviderArn: s.provider}))(t)
	if _, err := two.assume(role, s.response(role)); failure(err) != "InvalidIdentityToken: Specified provider doesn't exist" {
		t.Error(failure(err))
	}
}

// TestSAMLReplayForgotten: assertions are forgotten when they can no longer be used.
func TestSAMLReplayForgotten(t *testing.T) {
	w := start(t, sqlite(t))
	s := withSAML(t, w)
	role := w.role(w.key(w.a), "staff", s.trust(""), "")
	r := s.response(role)
	must(s.assume(role, r))(t)
	count := func() int64 {
		return must(db.One[int64](w.ctx(), w.sts.DB, `SELECT COUNT(*) FROM sts_saml_assertions`))(t)
	}
	if err := w.sts.Sweep(w.ctx()); err != nil || count() != 1 {
		t.Errorf("%d kept, %v", count(), err)
	}
	w.shift.Store(int64(11 * time.Minute))
	if err := w.sts.Sweep(w.ctx()); err != nil || count() != 0 {
		t.Errorf("%d kept, %v", count(), err)
	}
	if _, err := s.assume(role, r); failure(err) != "ExpiredTokenException: Token must be redeemed within 5 minutes of issuance" {
		t.Error(failure(err))
	}
}

func BenchmarkAssumeRoleWithSAML(b *testing.B) {
	w := start(b, sqlite(b))
	s := withSAML(b, w)
	role := w.role(w.key(w.a), "staff", s.trust(toAWS), "")
	texts := make([]string, 0, 1000)
	b.ReportAllocs()
	for b.Loop() {
		if len(texts) == 0 {
			b.StopTimer()
			for range cap(texts) {
				texts = append(texts, s.idp.Encode(b, s.response(role)))
			}
			b.StartTimer()
		}
		text := texts[len(texts)-1]
		texts = texts[:len(texts)-1]
		must(w.nobody().AssumeRoleWithSAML(w.ctx(), &sdksts.AssumeRoleWithSAMLInput{RoleArn: role, PrincipalArn: s.provider, SAMLAssertion: &text}))(b)
	}
}
