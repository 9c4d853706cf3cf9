package userpool

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	cip "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"

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

// TestPassphrase: a password may hold blanks, which count as symbols, but neither begin nor end with one.
func TestPassphrase(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t)
		app.mustCreate(t, "ann")
		set := func(password string) error {
			_, err := ts.sdk.AdminSetUserPassword(t.Context(), &cip.AdminSetUserPasswordInput{UserPoolId: &app.pool, Username: aws.String("ann"), Password: &password, Permanent: true})
			return err
		}
		const phrase = "Correct horse 2 staple"
		if err := set(phrase); err != nil {
			t.Fatal(err)
		}
		app.signIn(t, "ann", phrase)
		if _, err := app.srp(t, "ann", phrase); err != nil {
			t.Error(err)
		}
		for _, password := range []string{" Correct horse 2", "Correct horse 2 ", "Correct horse\n2"} {
			wantError(t, password, set(password), "InvalidParameterException",
				`1 validation error detected: Value at 'password' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[\S]+.*[\S]+$`)
		}
	})
}
