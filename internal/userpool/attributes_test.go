package userpool

import (
	"strings"
	"testing"

	"usher/internal/api/cognitoidp"
	"usher/internal/awsapi"
)

func TestAttributeValues(t *testing.T) {
	p := testPool(t, cognitoidp.CreateUserPoolRequest{
		AliasAttributes: []string{"email", "preferred_username"},
		Schema: []cognitoidp.SchemaAttributeType{
			{Name: new("nickname"), Required: new(true)},
			{Name: new("gender"), Mutable: new(false)},
			{Name: new("text"), AttributeDataType: new("String"), StringAttributeConstraints: &cognitoidp.StringAttributeConstraintsType{MinLength: new("2"), MaxLength: new("3")}},
			{Name: new("count"), AttributeDataType: new("Number"), NumberAttributeConstraints: &cognitoidp.NumberAttributeConstraintsType{MinValue: new("-5"), MaxValue: new("10")}},
			{Name: new("fixed"), AttributeDataType: new("String"), Mutable: new(false)},
			{Name: new("when"), AttributeDataType: new("DateTime")},
			{Name: new("flag"), AttributeDataType: new("Boolean")},
			{Name: new("internal"), AttributeDataType: new("String"), DeveloperOnlyAttribute: new(true)},
		}})
	settings, err := clientSettings(p, &cognitoidp.UpdateUserPoolClientRequest{WriteAttributes: []string{
		"nickname", "name", "email", "gender", "preferred_username", "custom:text", "custom:count", "custom:fixed", "custom:when", "custom:flag", "phone_number", "birthdate", "updated_at"}}, false, "creating")
	if err != nil {
		t.Fatal(err)
	}
	c := &client{Settings: *settings, schema: p.schema}
	everything := &client{schema: p.schema}
	const (
		admin  = 1 << iota // else a user, through a client that lists what he can write
		update             // else creation
		free               // through a client without lists
	)
	for _, test := range []struct {
		name, value string
		how         int
		want        string // message; "" is accepted
	}{
		{"name", "Ann", 0, ""},
		{"website", "x", 0, "A client attempted to write unauthorized attribute"},
		{"website", "x", free, ""},
		{"website", "x", admin, ""},
		{"email", "ann@example.com", 0, ""},
		{"email", "ann", admin, "Invalid email address format."},
		{"email", "a@b@c", admin, "Invalid email address format."},
		{"email", "a@-x.com", admin, "Invalid email address format."},
		{"email", "a b@x.com", admin, "Invalid email address format."},
		{"email", "a@x.com\r\nBcc: b@x.com", admin, "Invalid email address format."},
		{"email", "", update | admin, ""},
		{"phone_number", "+4930123456", 0, ""},
		{"phone_number", "030123456", 0, "Invalid phone number format."},
		{"phone_number", "+49 30 123", 0, "Invalid phone number format."},
		{"email_verified", "true", free, "A client attempted to write unauthorized attribute"},
		{"email_verified", "true", admin, ""},
		{"email_verified", "yes", admin, "Attributes did not conform to the schema: email_verified: Attribute value must be true or false"},
		{"sub", "x", free, "A client attempted to write unauthorized attribute"},
		{"sub", "x", admin, "user.sub: Attribute cannot be updated. (changing an immutable attribute)"},
		{"birthdate", "2000-02-29", 0, ""},
		{"birthdate", "2001-02-29", 0, "Attributes did not conform to the schema: birthdate: Invalid birthdate format. Please use the format YYYY-MM-DD"},
		{"updated_at", "1700000000", 0, ""},
		{"updated_at", "-1", 0, "Attributes did not conform to the schema: updated_at: Number must be no less than 0"},
		{"custom:text", "ab", 0, ""},
		{"custom:text", "a", 0, "Attributes did not conform to the schema: custom:text: String must be no shorter than 2 characters"},
		{"custom:text", "äöüß", 0, "Attributes did not conform to the schema: custom:text: String must be no longer than 3 characters"},
		{"custom:count", "-5", 0, ""},
		{"custom:count", "11", 0, "Attributes did not conform to the schema: custom:count: Number must be no more than 10"},
		{"custom:count", "x", 0, "Attributes did not conform to the schema: custom:count: Attribute value must be a number"},
		{"custom:when", "2026-01-02T03:04:05Z", 0, ""},
		{"custom:when", "soon", 0, "Attributes did not conform to the schema: custom:when: Attribute value must be a date and time"},
		{"custom:flag", "false", 0, ""},
		{"custom:flag", "0", 0, "Attributes did not conform to the schema: custom:flag: Attribute value must be true or false"},
		{"custom:fixed", "x", 0, ""},
		{"custom:fixed", "x", update, "user.custom:fixed: Attribute cannot be updated. (changing an immutable attribute)"},
		{"custom:fixed", "x", update | admin, "user.custom:fixed: Attribute cannot be updated. (changing an immutable attribute)"},
		{"gender", "x", update | admin, "user.gender: Attribute cannot be updated. (changing an immutable attribute)"},
		{"dev:custom:internal", "x", admin, ""},
		{"dev:custom:internal", "x", free, "A client attempted to write unauthorized attribute"},
		{"custom:none", "x", admin, "Attributes did not conform to the schema: Type for attribute {custom:none} could not be determined"},
		{"custom:none", "x", 0, "Attributes did not conform to the schema: custom:none: Attribute does not exist in the schema.\n"},
		{"custom:none", "x", update, "user.custom:none: Attribute does not exist in the schema."},
		{"preferred_username", "ann", 0, ""},
		{"preferred_username", "bob@example.com", 0, "preferred_username cannot have the format of another alias of the user pool."},
	} {
		var by *client
		switch {
		case test.how&admin != 0:
		case test.how&free != 0:
			by = everything
		default:
			by = c
		}
		var u *user
		if test.how&update != 0 {
			u = p.newUser("ann", "sub", "CONFIRMED", nil, 0)
		}
		values, err := p.readAttributes([]cognitoidp.AttributeType{{Name: &test.name, Value: &test.value}}, by, u)
		got := ""
		if e, ok := err.(*awsapi.Error); ok {
			got = e.Message
		} else if err != nil || values[test.name] != test.value {
			t.Errorf("%s=%q: values %v, error %v", test.name, test.value, values, err)
		}
		if got != test.want {
			t.Errorf("%s=%q (%b): %q, want %q", test.name, test.value, test.how, got, test.want)
		}
	}
	if err := p.checkRequired(map[string]string{}); err == nil || err.(*awsapi.Error).Message != "Attributes did not conform to the schema: nickname: The attribute nickname is required\n" {
		t.Errorf("a missing required attribute: %v", err)
	}
	if err := p.checkRequired(map[string]string{"nickname": "x"}); err != nil {
		t.Error(err)
	}
	if err := p.deleteAttributes(p.newUser("ann", "sub", "CONFIRMED", nil, 0), []string{"nickname"}, nil); err == nil {
		t.Error("a required attribute can be deleted")
	}
}

// TestUpdateAttributes gives what becomes of e-mail address and phone number.
func TestUpdateAttributes(t *testing.T) {
	verifying := cognitoidp.CreateUserPoolRequest{AutoVerifiedAttributes: []string{"email"}}
	careful := verifying
	careful.UserAttributeUpdateSettings = &cognitoidp.UserAttributeUpdateSettingsType{AttributesRequireVerificationBeforeUpdate: []string{"email"}}
	before := map[string]string{"email": "old@x.com", "email_verified": "true"}
	for _, test := range []struct {
		name    string
		pool    cognitoidp.CreateUserPoolRequest
		before  map[string]string
		changes map[string]string
		after   string // name=value, sorted
		pending string
		verify  string
		err     string
	}{
		{"new value", verifying, before, map[string]string{"email": "new@x.com"}, "email=new@x.com email_verified=false", "", "email", ""},
		{"new value, not verified automatically", cognitoidp.CreateUserPoolRequest{}, before, map[string]string{"email": "new@x.com"}, "email=new@x.com email_verified=false", "", "", ""},
		{"new value that waits", careful, before, map[string]string{"email": "new@x.com"}, "email=old@x.com email_verified=true", "new@x.com", "email", ""},
		{"new value, verified by the administrator", careful, before, map[string]string{"email": "new@x.com", "email_verified": "true"}, "email=new@x.com email_verified=true", "", "", ""},
		{"same value", verifying, before, map[string]string{"email": "old@x.com"}, "email=old@x.com email_verified=true", "", "", ""},
		{"deleted", verifying, before, map[string]string{"email": ""}, "", "", "", ""},
		{"unverified", verifying, before, map[string]string{"email_verified": "false"}, "email=old@x.com email_verified=false", "", "", ""},
		{"verified without value", verifying, nil, map[string]string{"email_verified": "true"}, "", "", "", "Email is required to verify/un-verify an email"},
		{"verified without phone number", verifying, nil, map[string]string{"phone_number_verified": "true"}, "", "", "", "Phone Number is required to verify/un-verify a phone number"},
		{"something else", careful, before, map[string]string{"name": "Ann"}, "email=old@x.com email_verified=true name=Ann", "", "", ""},
	} {
		p := testPool(t, test.pool)
		u := p.newUser("ann", "sub", "CONFIRMED", test.before, 0)
		verify, err := p.update(u, test.changes, nil)
		if test.err != "" {
			if e, ok := err.(*awsapi.Error); !ok || e.Message != test.err {
				t.Errorf("%s: %v, want %s", test.name, err, test.err)
			}
			continue
		}
		var after []string
		for _, a := range wireAttributes(p, u, func(name string) bool { return name != attrSub }) {
			after = append(after, *a.Name+"="+*a.Value)
		}
		want := strings.Fields(test.after)
		if err != nil || !sameSet(after, want) || u.Doc.V.Pending["email"] != test.pending || strings.Join(verify, " ") != test.verify {
			t.Errorf("%s: %v, pending %v, verify %v, error %v", test.name, after, u.Doc.V.Pending, verify, err)
		}
	}
}

func sameSet(a, b []string) bool {
	seen := map[string]int{}
	for _, v := range a {
		seen[v]++
	}
	for _, v := range b {
		seen[v]--
	}
	for _, n := range seen {
		if n != 0 {
			return false
		}
	}
	return true
}

func FuzzEmail(f *testing.F) {
	for _, s := range []string{"a@b", "a.b+c@example.com", "ü@ü.de", "@", "a@b..c", "a@b.c-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if isEmail(s) && (strings.Count(s, "@") != 1 || strings.ContainsAny(s, " \t\r\n\"<>,;:()\\")) {
			t.Errorf("%q is taken for an address", s)
		}
	})
}
