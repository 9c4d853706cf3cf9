package identitypool

import (
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	n := newNames(false, "https://id.example.org:8443/auth", "https://old.example.org")
	for _, c := range []struct {
		spelling string
		userPool string
		service  bool
	}{
		{"cognito-idp.us-east-1.amazonaws.com/us-east-1_Ab1", "us-east-1_Ab1", false},
		{"cognito-idp.cn-north-1.amazonaws.com.cn/cn-north-1_Ab1", "cn-north-1_Ab1", false},
		{"https://cognito-idp.us-east-1.amazonaws.com/us-east-1_Ab1", "us-east-1_Ab1", false},
		{"id.example.org:8443/auth/us-east-1_Ab1", "us-east-1_Ab1", false},
		{"http://id.example.org:8443/auth/us-east-1_Ab1", "us-east-1_Ab1", false},
		{"old.example.org/us-east-1_Ab1", "us-east-1_Ab1", false},
		{"old.example.org/identity", "", true},
		{"old.example.org/auth/us-east-1_Ab1", "", false},
		{"id.example.org:8443/us-east-1_Ab1", "", false},
		{"id.example.org/auth/us-east-1_Ab1", "", false},
		{"cognito-idp.eu-west-1.amazonaws.com/us-east-1_Ab1", "", false},
		{"cognito-idp.us-east-1.amazonaws.com.evil.example/us-east-1_Ab1", "", false},
		{"cognito-idp.us-east-1.amazonaws.com/x/us-east-1_Ab1", "", false},
		{"us-east-1_Ab1", "", false},
		{"cognito-idp..amazonaws.com/_Ab1", "", false},
		{"cognito-idp.us-east-1.amazonaws.com/us-east-1_", "", false},
		{"", "", false},
		{"cognito-identity.amazonaws.com", "", true},
		{"cognito-identity.us-east-1.amazonaws.com", "", true},
		{"cognito-identity.cn-north-1.amazonaws.com.cn", "", true},
		{"https://cognito-identity.amazonaws.com", "", true},
		{"id.example.org:8443/auth/identity", "", true},
		{"id.example.org/identity", "", false},
		{"cognito-identity.amazonaws.com.evil.example", "", false},
		{"cognito-identity.us/east-1.amazonaws.com", "", false},
		{"cognito-identity.evil.example/x.amazonaws.com", "", false},
	} {
		id, ok := n.userPool(c.spelling)
		if id != c.userPool && ok || ok != (c.userPool != "") {
			t.Errorf("userPool(%q) = %q, %v", c.spelling, id, ok)
		}
		if got := n.isIdentityService(c.spelling); got != c.service {
			t.Errorf("isIdentityService(%q) = %v", c.spelling, got)
		}
	}
}

func FuzzNames(f *testing.F) {
	f.Add("cognito-idp.us-east-1.amazonaws.com/us-east-1_Ab1")
	f.Add("https://id.example.org/us-east-1_Ab1")
	f.Add("cognito-identity.us-east-1.amazonaws.com")
	n := newNames(false, "https://id.example.org")
	f.Fuzz(func(t *testing.T, spelling string) {
		id, ok := n.userPool(spelling)
		if ok && (strings.ContainsAny(id, "/") || !strings.HasSuffix(spelling, "/"+id)) {
			t.Errorf("%q is the user pool %q", spelling, id)
		}
		if ok && n.isIdentityService(spelling) {
			t.Errorf("%q is a user pool and this service", spelling)
		}
		if again, ok2 := n.userPool("cognito-idp." + strings.Split(id, "_")[0] + ".amazonaws.com/" + id); ok && (!ok2 || again != id) {
			t.Errorf("%q of %q is not a user pool by AWS's name", id, spelling)
		}
	})
}

func FuzzPageTokens(f *testing.F) {
	f.Add("us-east-1:0", "identities/a")
	f.Fuzz(func(t *testing.T, text, list string) {
		if after, err := readPage(pageToken(text, list), list); err != nil || after != text {
			t.Errorf("read back %q, %v", after, err)
		}
		if _, err := readPage(&text, list); err == nil && len(text) == 0 {
			t.Error("an empty token is a page")
		}
	})
}

func FuzzClaimTexts(f *testing.F) {
	for _, seed := range []string{`"a"`, `["a",1,true,null,{"b":[]}]`, `12.50`, `null`, `{}`, `["a`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) == 0 {
			return
		}
		before := string(raw) // is shared by all who present the token
		if list := texts(raw); raw[0] != '[' && before != "null" && len(list) != 1 {
			t.Errorf("%s has the values %q", raw, list)
		}
		if string(raw) != before {
			t.Errorf("%s became %s", before, raw)
		}
	})
}
