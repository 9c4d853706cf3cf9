package userpool

import (
	"testing"

	"usher/internal/api/cognitoidp"
	"usher/internal/awsapi"
)

func TestPasswordPolicy(t *testing.T) {
	all := testPool(t, cognitoidp.CreateUserPoolRequest{})
	lax := testPool(t, cognitoidp.CreateUserPoolRequest{Policies: &cognitoidp.UserPoolPolicyType{PasswordPolicy: &cognitoidp.PasswordPolicyType{MinimumLength: new(int32(6))}}})
	for _, test := range []struct {
		p        *pool
		password string
		want     string // after "Password did not conform with policy: "
	}{
		{all, "Abcdef1!", ""},
		{all, "Abcde1!", "Password not long enough"},
		{all, "Abcdefg!", "Password must have numeric characters"},
		{all, "ABCDEF1!", "Password must have lowercase characters"},
		{all, "abcdef1!", "Password must have uppercase characters"},
		{all, "Abcdefg1", "Password must have symbol characters"},
		{all, "Abcdefg1€", "Password must have symbol characters"},
		{all, "Äbcdef1!", "Password must have uppercase characters"},
		{all, "Abcdef1 x", ""},
		{lax, "aaaaaa", ""},
		{lax, "äöüäö", "Password not long enough"},
	} {
		err := test.p.checkPassword(test.password)
		got := ""
		if e, ok := err.(*awsapi.Error); ok {
			got = e.Message
		}
		want := test.want
		if want != "" {
			want = "Password did not conform with policy: " + want
		}
		if got != want {
			t.Errorf("%s: %q, want %q", test.password, got, want)
		}
	}
}

func TestGeneratePassword(t *testing.T) {
	p := testPool(t, cognitoidp.CreateUserPoolRequest{Policies: &cognitoidp.UserPoolPolicyType{PasswordPolicy: &cognitoidp.PasswordPolicyType{
		MinimumLength: new(int32(20)), RequireLowercase: new(true), RequireUppercase: new(true), RequireNumbers: new(true), RequireSymbols: new(true)}}})
	seen := map[string]bool{}
	for range 200 {
		password := p.generatePassword()
		if err := p.checkPassword(password); err != nil || seen[password] {
			t.Fatalf("%s: %v", password, err)
		}
		seen[password] = true
	}
}
