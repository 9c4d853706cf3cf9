package iam_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"usher/internal/db"
	"usher/internal/db/dbtest"
)

func TestLoginProfile(t *testing.T) {
	each(t, func(t *testing.T, s *server, c *iam.Client) {
		ctx, str := t.Context(), aws.String
		must(c.CreateUser(ctx, &iam.CreateUserInput{UserName: str("alice")}))(t)
		p := must(c.CreateLoginProfile(ctx, &iam.CreateLoginProfileInput{UserName: str("alice"), Password: str("Correct-horse-1")}))(t).LoginProfile
		if *p.UserName != "alice" || p.PasswordResetRequired || p.CreateDate == nil {
			t.Errorf("profile %+v", p)
		}
		must(c.UpdateLoginProfile(ctx, &iam.UpdateLoginProfileInput{UserName: str("alice"), PasswordResetRequired: aws.Bool(true)}))(t)
		if p := must(c.GetLoginProfile(ctx, &iam.GetLoginProfileInput{UserName: str("alice")}))(t).LoginProfile; !p.PasswordResetRequired {
			t.Error("no reset required")
		}
		for _, c := range []struct {
			want string
			call func() (any, error)
		}{
			{"EntityAlreadyExists: Login Profile for user alice already exists.", func() (any, error) {
				return c.CreateLoginProfile(ctx, &iam.CreateLoginProfileInput{UserName: str("alice"), Password: str("Correct-horse-1")})
			}},
			{"NoSuchEntity: The user with name nobody cannot be found.", func() (any, error) {
				return c.CreateLoginProfile(ctx, &iam.CreateLoginProfileInput{UserName: str("nobody"), Password: str("Correct-horse-1")})
			}},
			{"NoSuchEntity: Login Profile for User admin cannot be found.", func() (any, error) { return c.GetLoginProfile(ctx, &iam.GetLoginProfileInput{}) }},
			{"NoSuchEntity: Login Profile for User admin cannot be found.", func() (any, error) {
				return c.DeleteLoginProfile(ctx, &iam.DeleteLoginProfileInput{UserName: str("admin")})
			}},
			{"ValidationError: 1 validation error detected: Value at 'password' failed to satisfy constraint: Member must not be null", func() (any, error) {
				return c.CreateLoginProfile(ctx, &iam.CreateLoginProfileInput{UserName: str("admin")})
			}},
			{"PasswordPolicyViolation: Password should have a minimum length of 8", func() (any, error) {
				return c.UpdateLoginProfile(ctx, &iam.UpdateLoginProfileInput{UserName: str("alice"), Password: str("Short-1")})
			}},
			{"DeleteConflict: Cannot delete entity, must delete login profile first.", func() (any, error) { return c.DeleteUser(ctx, &iam.DeleteUserInput{UserName: str("alice")}) }},
		} {
			if _, err := c.call(); failure(err) != c.want {
				t.Errorf("%s\nwant %s", failure(err), c.want)
			}
		}
		must(c.DeleteLoginProfile(ctx, &iam.DeleteLoginProfileInput{UserName: str("alice")}))(t)
		must(c.DeleteUser(ctx, &iam.DeleteUserInput{UserName: str("alice")}))(t)
	})
}

func TestPasswordPolicy(t *testing.T) {
	each(t, func(t *testing.T, s *server, c *iam.Client) {
		ctx, str := t.Context(), aws.String
		account := s.admin.Account
		if _, err := c.GetAccountPasswordPolicy(ctx, nil); failure(err) != "NoSuchEntity: The Password Policy with domain name "+account+" cannot be found." {
			t.Error(failure(err))
		}
		if _, err := c.DeleteAccountPasswordPolicy(ctx, nil); failure(err) != "NoSuchEntity: The account policy with name PasswordPolicy cannot be found." {
			t.Error(failure(err))
		}
		must(c.CreateLoginProfile(ctx, &iam.CreateLoginProfileInput{Password: str("Correct-horse-1")}))(t)
		set := func(password string) string {
			_, err := c.UpdateLoginProfile(ctx, &iam.UpdateLoginProfileInput{UserName: str("admin"), Password: &password})
			return failure(err)
		}
		const violation = "PasswordPolicyViolation: Password should have "
		for _, c := range []struct{ password, want string }{
			{"Abcdefg1", "<nil>"}, {"abcdefg-1", "<nil>"}, {"ABCDEFG-abc", "<nil>"}, {"ABCDEFG-1", "<nil>"},
			{"Abcdefgh", violation + "a mix of at least three of uppercase letters, lowercase letters, numbers and symbols"},
			{"Abcdef1", violation + "a minimum length of 8"},
		} {
			if got := set(c.password); got != c.want {
				t.Errorf("default policy, %s: %s", c.password, got)
			}
		}

		must(c.UpdateAccountPasswordPolicy(ctx, &iam.UpdateAccountPasswordPolicyInput{}))(t)
		p := must(c.GetAccountPasswordPolicy(ctx, nil))(t).PasswordPolicy
		if *p.MinimumPasswordLength != 6 || p.RequireNumbers || p.ExpirePasswords || p.MaxPasswordAge != nil || p.HardExpiry != nil || p.PasswordReusePrevention != nil {
			t.Errorf("defaults %+v", p)
		}
		if got := set("abcdef"); got != "<nil>" {
			t.Errorf("policy without requirements: %s", got)
		}
		must(c.UpdateAccountPasswordPolicy(ctx, &iam.UpdateAccountPasswordPolicyInput{
			MinimumPasswordLength: aws.Int32(10), RequireLowercaseCharacters: true, RequireUppercaseCharacters: true, RequireNumbers: true, RequireSymbols: true,
			MaxPasswordAge: aws.Int32(90), PasswordReusePrevention: aws.Int32(3), AllowUsersToChangePassword: true, HardExpiry: aws.Bool(true),
		}))(t)
		if p := must(c.GetAccountPasswordPolicy(ctx, nil))(t).PasswordPolicy; !p.ExpirePasswords || *p.MaxPasswordAge != 90 || *p.PasswordReusePrevention != 3 || !*p.HardExpiry {
			t.Errorf("policy %+v", p)
		}
		for _, c := range []struct{ password, want string }{
			{"Abcdefgh-1", "<nil>"},
			{"Abcdefg-1", violation + "a minimum length of 10"},
			{"abcdefghi-1", violation + "at least one uppercase letter"},
			{"ABCDEFGHI-1", violation + "at least one lowercase letter"},
			{"Abcdefghi-", violation + "at least one number"},
			{"Abcdefghi1", violation + "at least one symbol"},
		} {
			if got := set(c.password); got != c.want {
				t.Errorf("%s: %s", c.password, got)
			}
		}
		must(c.DeleteAccountPasswordPolicy(ctx, nil))(t)
	})
}

func TestChangePassword(t *testing.T) {
	s := start(t, func(schemas ...db.Schema) *db.DB { return dbtest.Open(t, dbtest.SQLite(t), schemas...) })
	c, ctx, str := s.client(s.admin.AccessKeyID, s.admin.SecretAccessKey), t.Context(), aws.String
	must(c.CreateUser(ctx, &iam.CreateUserInput{UserName: str("alice")}))(t)
	must(c.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: str("alice"), PolicyArn: str("arn:aws:iam::aws:policy/IAMUserChangePassword")}))(t)
	must(c.UpdateAccountPasswordPolicy(ctx, &iam.UpdateAccountPasswordPolicyInput{PasswordReusePrevention: aws.Int32(2)}))(t)
	key := must(c.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: str("alice")}))(t).AccessKey
	alice := s.client(*key.AccessKeyId, *key.SecretAccessKey)
	change := func(c *iam.Client, from, to string) string {
		_, err := c.ChangePassword(ctx, &iam.ChangePasswordInput{OldPassword: &from, NewPassword: &to})
		return failure(err)
	}
	if got := change(alice, "first", "second"); got != "NoSuchEntity: Login Profile for User alice cannot be found." {
		t.Error(got)
	}
	must(c.CreateLoginProfile(ctx, &iam.CreateLoginProfileInput{UserName: str("alice"), Password: str("first1"), PasswordResetRequired: true}))(t)
	const (
		wrong  = "AccessDenied: The old password was incorrect."
		reused = "PasswordPolicyViolation: Password does not conform to the account password policy: it was used before."
	)
	for _, c := range []struct{ from, to, want string }{
		{"second2", "third3", wrong},
		{"first1", "short", "PasswordPolicyViolation: Password should have a minimum length of 6"},
		{"first1", "first1", reused},
		{"first1", "second2", "<nil>"},
		{"first1", "third3", wrong},
		{"second2", "first1", reused},
		{"second2", "third3", "<nil>"},
		{"third3", "first1", "<nil>"}, // was used before the last two
	} {
		if got := change(alice, c.from, c.to); got != c.want {
			t.Errorf("%s to %s: %s", c.from, c.to, got)
		}
	}
	if p := must(c.GetLoginProfile(ctx, &iam.GetLoginProfileInput{UserName: str("alice")}))(t).LoginProfile; p.PasswordResetRequired {
		t.Error("a reset is still required")
	}
	root := must(s.RootKey(ctx, s.admin.Account))(t)
	if got := change(s.client(root.AccessKeyID, root.SecretAccessKey), "a", "b"); got != "InvalidUserType: Only IAM Users can change their own password." {
		t.Error(got)
	}

	// Passwords cannot be tried out.
	for range 5 {
		change(alice, "wrong1", "fourth4")
	}
	if got := change(alice, "first1", "fourth4"); got != wrong {
		t.Errorf("right after many wrong ones: %s", got)
	}
	s.pass(time.Minute)
	if got := change(alice, "first1", "fourth4"); got != "<nil>" {
		t.Errorf("after the wait: %s", got)
	}
}

func TestAccountAlias(t *testing.T) {
	each(t, func(t *testing.T, s *server, c *iam.Client) {
		ctx := t.Context()
		key := must(s.CreateAccount(ctx, "other"))(t)
		other := s.client(key.AccessKeyID, key.SecretAccessKey)
		create := func(c *iam.Client, alias string) string {
			_, err := c.CreateAccountAlias(ctx, &iam.CreateAccountAliasInput{AccountAlias: &alias})
			return failure(err)
		}
		list := func() string {
			return strings.Join(must(c.ListAccountAliases(ctx, nil))(t).AccountAliases, " ")
		}
		if got := create(c, "acme"); got != "<nil>" || list() != "acme" {
			t.Errorf("%s; aliases %s", got, list())
		}
		if got := create(c, "acme-2"); got != "<nil>" || list() != "acme-2" { // in its place
			t.Errorf("%s; aliases %s", got, list())
		}
		if got := create(other, "acme-2"); got != "EntityAlreadyExists: The account alias acme-2 already exists." {
			t.Error(got)
		}
		if got := create(c, "Acme"); !strings.HasPrefix(got, "ValidationError: ") {
			t.Error(got)
		}
		if _, err := other.DeleteAccountAlias(ctx, &iam.DeleteAccountAliasInput{AccountAlias: aws.String("acme-2")}); failure(err) != "NoSuchEntity: The account alias acme-2 cannot be found." {
			t.Error(failure(err))
		}
		must(c.DeleteAccountAlias(ctx, &iam.DeleteAccountAliasInput{AccountAlias: aws.String("acme-2")}))(t)
		if got := create(other, "acme-2"); got != "<nil>" || list() != "" {
			t.Errorf("%s; aliases %s", got, list())
		}
	})
}
