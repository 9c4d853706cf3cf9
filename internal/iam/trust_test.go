package iam

import (
	"encoding/json"
	"strings"
	"testing"

	"usher/internal/db"
)

func TestMapPrincipals(t *testing.T) {
	upper := func(kind, value string) (string, error) { return strings.ToUpper(kind + "=" + value), nil }
	for _, c := range []struct{ in, want string }{
		{`{"Statement":{"Principal":"*"}}`, `{"Statement":{"Principal":"AWS=*"}}`},
		{`{"Statement":{"Principal":{"AWS":"a"}}}`, `{"Statement":{"Principal":{"AWS":"AWS=A"}}}`},
		{`{ "Statement" : [ {"Principal":{"AWS":["a" , "b"],"Service":"c"}}, {"Principal":{"Federated":"d"}} ] }`,
			`{ "Statement" : [ {"Principal":{"AWS":["AWS=A" , "AWS=B"],"Service":"SERVICE=C"}}, {"Principal":{"Federated":"FEDERATED=D"}} ] }`},
		{"{\n\t\"Statement\": [\n\t\t{\"Principal\": {\"AWS\": \"\\u0061\"}}\n\t]\n}\n", "{\n\t\"Statement\": [\n\t\t{\"Principal\": {\"AWS\": \"AWS=A\"}}\n\t]\n}\n"},
		// What only looks like a principal stays as it is.
		{`{"Id":"Principal","Statement":{"Action":"a","Condition":{"StringEquals":{"Principal":"a","AWS":["a"]}}}}`, `{"Id":"Principal","Statement":{"Action":"a","Condition":{"StringEquals":{"Principal":"a","AWS":["a"]}}}}`},
		{`{"Principal":{"AWS":"a"},"Statement":{"NotPrincipal":{"AWS":"a"},"Principal":{"AWS":{"x":"a"}}}}`, `{"Principal":{"AWS":"a"},"Statement":{"NotPrincipal":{"AWS":"a"},"Principal":{"AWS":{"x":"a"}}}}`},
	} {
		if got, err := mapPrincipals(c.in, upper); err != nil || got != c.want {
			t.Errorf("%s\nbecame %s, %v\nwant   %s", c.in, got, err, c.want)
		}
	}
	for _, bad := range []string{``, `{`, `{"Statement":`, `{"Statement":{"Principal":{"AWS":"a"}`, `{"Statement":[}`, `x`} {
		if got, err := mapPrincipals(bad, upper); err == nil {
			t.Errorf("%s became %s", bad, got)
		}
	}
}

func FuzzMapPrincipals(f *testing.F) {
	f.Add(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["a","b"]},"Action":"sts:AssumeRole"}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		if !json.Valid([]byte(text)) {
			return
		}
		same, err := mapPrincipals(text, func(_, value string) (string, error) { return value, nil })
		if err != nil || same != text {
			t.Fatalf("%q became %q, %v", text, same, err)
		}
		n := 0
		changed, err := mapPrincipals(text, func(_, value string) (string, error) { n++; return value + "\"", nil })
		if err != nil || !json.Valid([]byte(changed)) || (n > 0) != (changed != text) {
			t.Fatalf("%q became %q, %v", text, changed, err)
		}
	})
}

func TestManagedPoliciesOfAWS(t *testing.T) {
	if len(awsManagedList) != len(awsManaged) || awsManaged[AdminPolicy] == nil {
		t.Fatalf("%d policies, %d names", len(awsManagedList), len(awsManaged))
	}
	s := &Service{DB: new(db.DB)} // not asked for policies of AWS
	for _, m := range awsManagedList {
		v := m.version(m.Doc.V.Default)
		if v == nil || len(m.Doc.V.ID) != 21 || m.Name == "" || !strings.HasPrefix(m.Path, "/") || m.Created <= 0 {
			t.Errorf("%s: %+v", m.ARN, m)
			continue
		}
		if _, err := s.managedSource(t.Context(), m.ARN, func(...string) {}); err != nil {
			t.Errorf("%s: %v", m.ARN, err)
		}
	}
}
