package arn

import "testing"

func TestParse(t *testing.T) {
	for _, c := range []struct {
		text string
		want ARN
	}{
		{"arn:aws:iam::111122223333:role/path/app", ARN{"aws", "iam", "", "111122223333", "role/path/app"}},
		{"arn:aws:s3:::box/key:with:colons", ARN{"aws", "s3", "", "", "box/key:with:colons"}},
		{"arn:aws-cn:sns:cn-north-1:111122223333:app/GCM/name", ARN{"aws-cn", "sns", "cn-north-1", "111122223333", "app/GCM/name"}},
		{"arn:aws:cognito-idp:us-east-1:111122223333:userpool/us-east-1_x", ARN{"aws", "cognito-idp", "us-east-1", "111122223333", "userpool/us-east-1_x"}},
	} {
		got, err := Parse(c.text)
		if err != nil || got != c.want {
			t.Errorf("Parse(%q) = %+v, %v, want %+v", c.text, got, err, c.want)
		}
		if got.String() != c.text {
			t.Errorf("Parse(%q).String() = %q", c.text, got.String())
		}
	}
	for _, text := range []string{"", "*", "arn", "arn:", "arn:aws:s3", "arn:aws:s3::box", "arn:aws:s3:::", "arn::s3:::box", "arn:aws::::box", "ARN:aws:s3:::box", "x:aws:s3:::box"} {
		if got, err := Parse(text); err == nil {
			t.Errorf("Parse(%q) = %+v, want an error", text, got)
		}
	}
}

func TestType(t *testing.T) {
	for _, c := range []struct{ resource, kind, name string }{
		{"role/path/app", "role", "path/app"},
		{"topic", "topic", ""},
		{"function:f:1", "function", "f:1"},
		{"/x", "", "x"},
	} {
		if kind, name := (ARN{Resource: c.resource}).Type(); kind != c.kind || name != c.name {
			t.Errorf("Type of %q = %q, %q, want %q, %q", c.resource, kind, name, c.kind, c.name)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("arn:aws:iam::111122223333:role/app")
	f.Add("arn:aws:s3:::b:c")
	f.Fuzz(func(t *testing.T, text string) {
		if a, err := Parse(text); err == nil && a.String() != text {
			t.Errorf("Parse(%q).String() = %q", text, a.String())
		}
	})
}
