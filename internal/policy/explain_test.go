package policy

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func policyOf(t *testing.T, statements string) *Policy {
	t.Helper()
	p, err := Parse(`{"Version":"2012-10-17","Statement":[` + statements + `]}`)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func aliceReads(ctx *Context) *Request {
	return &Request{Principal: PrincipalFromARN("arn:aws:iam::111122223333:user/alice"), Action: "s3:GetObject",
		Resource: "arn:aws:s3:::box/k", ResourceAccount: "111122223333", Context: ctx}
}

func TestExplainStatements(t *testing.T) {
	text := `{"Version":"2012-10-17","Statement":[
 {"Sid":"Other","Effect":"Allow","Action":"iam:*","Resource":"*"},
 {"Sid":"Place","Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::other/${aws:PrincipalTag/team}"},
 {"Sid":"Cond","Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringEquals":{"aws:RequestTag/one":["x","y"]},"Bool":{"aws:RequestTag/two":"true"}}},
 {"Sid":"Stop","Effect":"Deny","Action":"s3:*","Resource":"*","Condition":{"Null":{"aws:TokenIssueTime":"true"}}},
 {"Sid":"Open","Effect":"Allow","Action":"s3:*","Resource":"*"}]}`
	p, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	var ctx Context
	ctx.Set("aws:RequestTag/one", "z")
	x := Explain(aliceReads(&ctx), &Policies{Identity: []Source{{ID: "p", Policy: p}}})
	if x.Result() != "explicitDeny" || x.Statement.Sid != "Stop" || x.Source.ID != "p" || x.Layer != IdentityBased {
		t.Errorf("decided by %+v", x.Decision)
	}
	got := map[string]Element{}
	for _, out := range x.Statements {
		if out.Applied != (out.Failed == "") {
			t.Errorf("%s: applied %v, failed %q", out.Statement.Sid, out.Applied, out.Failed)
		}
		got[out.Statement.Sid] = out.Failed
		if out.Statement.Sid == "Cond" {
			want := []ConditionOutcome{
				{Condition: Condition{"StringEquals", "aws:RequestTag/one", []string{"x", "y"}}, Present: true, Got: []string{"z"}, Met: false, Offset: strings.Index(text, `"aws:RequestTag/one"`)},
				{Condition: Condition{"Bool", "aws:RequestTag/two", []string{"true"}}, Present: false, Got: nil, Met: false, Offset: strings.Index(text, `"aws:RequestTag/two"`)},
			}
			if !reflect.DeepEqual(out.Conditions, want) {
				t.Errorf("conditions %+v, want %+v", out.Conditions, want)
			}
		}
	}
	if want := map[string]Element{"Other": ActionElement, "Place": ResourceElement, "Cond": ConditionElement, "Stop": "", "Open": ""}; !reflect.DeepEqual(got, want) {
		t.Errorf("outcomes %v, want %v", got, want)
	}
	if want := []string{"aws:TokenIssueTime", "aws:PrincipalTag/team", "aws:RequestTag/two"}; !reflect.DeepEqual(x.MissingKeys, want) {
		t.Errorf("missing keys %v, want %v", x.MissingKeys, want)
	}
	var matched []string
	for _, out := range x.Matched() {
		matched = append(matched, out.Statement.Sid)
	}
	if want := []string{"Stop", "Open"}; !reflect.DeepEqual(matched, want) {
		t.Errorf("matched %v, want %v", matched, want)
	}
	if line, column := p.Position(x.Statement.Start); line != 5 || column != 2 {
		t.Errorf("deciding statement at line %d, column %d", line, column)
	}
	if got := text[x.Statement.Start:x.Statement.End]; !strings.HasPrefix(got, `{"Sid":"Stop"`) || !strings.HasSuffix(got, `"true"}}}`) {
		t.Errorf("source of the statement: %s", got)
	}
	if want := []string{"aws:PrincipalTag/team", "aws:RequestTag/one", "aws:RequestTag/two", "aws:TokenIssueTime"}; !reflect.DeepEqual(p.ContextKeys(), want) {
		t.Errorf("context keys %v, want %v", p.ContextKeys(), want)
	}
}

func TestAuthorizationMessage(t *testing.T) {
	p := policyOf(t, `{"Sid":"Stop","Effect":"Deny","Action":"s3:*","Resource":"*","Condition":{"Bool":{"a:b":"false"}}}`)
	var ctx Context
	ctx.Set("a:b", "false")
	r := aliceReads(&ctx)
	r.Principal = Principal{Kind: RoleSession, AccountID: "111122223333", ARN: "arn:aws:sts::111122223333:assumed-role/app/s", ID: "AROA1", SessionName: "s"}
	x := Explain(r, &Policies{Identity: []Source{{Policy: p}}})
	got, err := x.AuthorizationMessage(r)
	want := `{"allowed":false,"explicitDeny":true,"matchedStatements":{"items":[{"statementId":"Stop","effect":"Deny","principals":{"items":[]},"principalGroups":{"items":[]},"actions":{"items":[{"value":"s3:*"}]},"resources":{"items":[{"value":"*"}]},"conditions":{"items":[{"key":"a:b","values":{"items":[{"value":"false"}]}}]}}]},"failures":{"items":[]},"context":{"principal":{"id":"AROA1:s","name":"s","arn":"arn:aws:sts::111122223333:assumed-role/app/s"},"action":"s3:GetObject","resource":"arn:aws:s3:::box/k","conditions":{"items":[{"key":"a:b","values":{"items":[{"value":"false"}]}}]}}}`
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v\nwant %s", got, err, want)
	}
}

func TestMessages(t *testing.T) {
	who := "User: arn:aws:iam::111122223333:user/alice is not authorized to perform: s3:GetObject on resource: arn:aws:s3:::box/k "
	for _, c := range []struct {
		d    Decision
		want string
	}{
		{Decision{Layer: IdentityBased}, "because no identity-based policy allows the s3:GetObject action"},
		{Decision{Layer: ResourceBased}, "because no resource-based policy allows the s3:GetObject action"},
		{Decision{Layer: PermissionsBoundary}, "because no permissions boundary allows the s3:GetObject action"},
		{Decision{Layer: SessionPolicy}, "because no session policy allows the s3:GetObject action"},
		{Decision{Layer: RoleTrust}, "because no role trust policy allows the s3:GetObject action"},
		{Decision{Layer: ServiceControl}, "because no service control policy allows the s3:GetObject action"},
		{Decision{Layer: ServiceControl, Explicit: true}, "with an explicit deny in a service control policy"},
		{Decision{Layer: ResourceControl}, "because no resource control policy allows the s3:GetObject action"},
		{Decision{Layer: IdentityBased, Explicit: true}, "with an explicit deny in an identity-based policy"},
		{Decision{Layer: ResourceBased, Explicit: true}, "with an explicit deny in a resource-based policy"},
		{Decision{Layer: PermissionsBoundary, Explicit: true}, "with an explicit deny in a permissions boundary"},
		{Decision{Layer: SessionPolicy, Explicit: true}, "with an explicit deny in a session policy"},
		{Decision{Layer: RoleTrust, Explicit: true}, "with an explicit deny in the role trust policy"},
		{Decision{Layer: ResourceControl, Explicit: true}, "with an explicit deny in a resource control policy"},
	} {
		if got := c.d.Message(aliceReads(nil)); got != who+c.want {
			t.Errorf("got %q, want …%q", got, c.want)
		}
	}
	d := Decision{Layer: ResourceBased}
	if got := d.Message(&Request{Action: "s3:GetObject"}); got != "User: anonymous is not authorized to perform: s3:GetObject because no resource-based policy allows the s3:GetObject action" {
		t.Errorf("anonymous: %q", got)
	}
}

// TestLazyKeysOfLazyKeys: keys that a load registers are there for the lookup that caused the load.
func TestLazyKeysOfLazyKeys(t *testing.T) {
	var ctx Context
	ctx.Lazy("", func(c *Context) error {
		c.Set("aws:ResourceAccount", "111122223333")
		c.Lazy("aws:ResourceOrg", func(c *Context) error {
			c.Set("aws:ResourceOrgID", "o-1")
			return nil
		})
		return nil
	})
	if v, ok := ctx.single("aws:resourceorgid"); !ok || v != "o-1" {
		t.Errorf("%q %v", v, ok)
	}
}

func TestLazyKeys(t *testing.T) {
	loads := 0
	tags := func(err error) *Context {
		loads = 0
		var ctx Context
		ctx.Lazy("s3:ExistingObjectTag/", func(c *Context) error {
			loads++
			c.Set("s3:ExistingObjectTag/team", "blue")
			return err
		})
		return &ctx
	}
	allow := func(condition string) *Policies {
		return &Policies{Identity: []Source{{Policy: policyOf(t, `{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::box/*","Condition":`+condition+`}`)}}}
	}
	twice := allow(`{"StringEquals":{"s3:ExistingObjectTag/Team":"blue"},"Null":{"s3:ExistingObjectTag/other":"true"}}`)
	if d := Decide(aliceReads(tags(nil)), twice); !d.Allowed || loads != 1 {
		t.Errorf("%+v after %d loads", d, loads)
	}
	elsewhere := aliceReads(tags(nil))
	elsewhere.Resource = "arn:aws:s3:::other/k"
	if d := Decide(elsewhere, twice); d.Allowed || loads != 0 {
		t.Errorf("%+v after %d loads of a key that no fitting statement needs", d, loads)
	}

	broken := errors.New("store is down")
	if d := Decide(aliceReads(tags(broken)), allow(`{"StringNotEquals":{"s3:ExistingObjectTag/x":"y"}}`)); d.Allowed || d.Err != broken {
		t.Errorf("a failed load must not allow: %+v", d)
	}
	all := policyOf(t, `{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringEquals":{"s3:ExistingObjectTag/x":"y"}}}`)
	if d := Decide(aliceReads(tags(broken)), &Policies{Identity: []Source{{Policy: all}}}); d.Allowed || !d.Explicit || d.Err != broken {
		t.Errorf("a failed load must deny: %+v", d)
	}
}

func TestMissingPolicyDenies(t *testing.T) {
	all := Source{Policy: policyOf(t, `{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}`)}
	gone := Source{}
	for name, p := range map[string]*Policies{
		"identity": {Identity: []Source{all, gone}},
		"boundary": {Identity: []Source{all}, Boundary: &gone},
		"session":  {Identity: []Source{all}, Session: []Source{all, gone}},
		"resource": {Identity: []Source{all}, Resource: []Source{gone}},
		"scp":      {Identity: []Source{all}, SCP: [][]Source{{all, gone}}},
		"rcp":      {Identity: []Source{all}, RCP: [][]Source{{gone}}},
	} {
		if d := Decide(aliceReads(nil), p); d.Allowed || d.Explicit || d.Err != ErrNoPolicy {
			t.Errorf("%s: %+v", name, d)
		}
		if x := Explain(aliceReads(nil), p); x.Allowed || !strings.Contains(x.String(), "missing") {
			t.Errorf("%s: %s", name, x.String())
		}
	}
}

func TestResourceAccount(t *testing.T) {
	all := &Policies{Identity: []Source{{Policy: policyOf(t, `{"Effect":"Allow","Action":"*","Resource":"*"}`)}}}
	for _, c := range []struct {
		resource, account string
		allowed           bool
	}{
		{"arn:aws:sns:us-east-1:111122223333:t", "", true},
		{"arn:aws:sns:us-east-1:444455556666:t", "", false},
		{"*", "", true},
		{"arn:aws:s3:::box", "", false},
		{"arn:aws:s3:::box", "111122223333", true},
		{"arn:aws:s3:::box", "444455556666", false},
		{"nonsense", "", false},
	} {
		r := aliceReads(nil)
		r.Resource, r.ResourceAccount = c.resource, c.account
		if d := Decide(r, all); d.Allowed != c.allowed {
			t.Errorf("%s of %q: allowed %v", c.resource, c.account, d.Allowed)
		}
	}
}

// TestExplainUnknownKeys: an explanation says which keys of a policy nobody knows.
func TestExplainUnknownKeys(t *testing.T) {
	p := policyOf(t, `{"Sid":"Home","Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"NotIpAddress":{"aws:Sourcelp":"10.0.0.0/8"},"StringNotEquals":{"aws:username":"${aws:usernmae}"}}}`)
	var ctx Context
	ctx.Set("aws:username", "alice")
	x := Explain(aliceReads(&ctx), &Policies{Identity: []Source{{ID: "p", Policy: p}}})
	if want := []string{"aws:Sourcelp", "aws:usernmae"}; x.Allowed || !reflect.DeepEqual(x.UnknownKeys, want) || !reflect.DeepEqual(x.MissingKeys, want) {
		t.Errorf("allowed %v, unknown %v, missing %v", x.Allowed, x.UnknownKeys, x.MissingKeys)
	}
	if text := x.String(); !strings.Contains(text, `NotIpAddress aws:Sourcelp ["10.0.0.0/8"] counts as not met: no such condition key is known: aws:Sourcelp`) ||
		!strings.Contains(text, "counts as not met: no such condition key is known: aws:usernmae") {
		t.Errorf("explained as %s", text)
	}
	ctx.Set("aws:Sourcelp", "10.0.0.1")
	if x = Explain(aliceReads(&ctx), &Policies{Identity: []Source{{Policy: p}}}); !reflect.DeepEqual(x.UnknownKeys, []string{"aws:usernmae"}) {
		t.Errorf("unknown %v though the request has one of them", x.UnknownKeys)
	}
}
