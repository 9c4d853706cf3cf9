package sts_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdkiam "github.com/aws/aws-sdk-go-v2/service/iam"
	sdksts "github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/pquerna/otp/totp"
)

// device enables a virtual MFA device for a user. It returns the serial number, and what shows the code some steps of 30
// seconds from now.
func (w *world) device(account caller, user string) (*string, func(steps int) *string) {
	w.t.Helper()
	d := must(account.IAM.CreateVirtualMFADevice(w.ctx(), &sdkiam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: &user}))(w.t).VirtualMFADevice
	code := func(steps int) *string {
		c := must(totp.GenerateCode(string(d.Base32StringSeed), w.now().Add(time.Duration(steps)*30*time.Second)))(w.t)
		return &c
	}
	must(account.IAM.EnableMFADevice(w.ctx(), &sdkiam.EnableMFADeviceInput{UserName: &user, SerialNumber: d.SerialNumber, AuthenticationCode1: code(-1), AuthenticationCode2: code(0)}))(w.t)
	w.shift.Add(int64(time.Minute)) // those two are spent
	return d.SerialNumber, code
}

func TestMFA(t *testing.T) {
	each(t, func(w *world, t *testing.T) {
		admin := w.key(w.a)
		alice := w.user(admin, "alice", `{"Effect":"Allow","Action":["sts:AssumeRole","iam:ListUsers"],"Resource":"*"},
			{"Effect":"Deny","Action":"iam:ListUsers","Resource":"*","Condition":{"NumericGreaterThan":{"aws:MultiFactorAuthAge":"600"}}},
			{"Effect":"Deny","Action":"iam:ListUsers","Resource":"*","Condition":{"BoolIfExists":{"aws:MultiFactorAuthPresent":"false"}}}`)
		w.user(admin, "bob", "")
		serial, code := w.device(admin, "alice")
		others, othersCode := w.device(admin, "bob")
		role := w.role(admin, "app", `{"Effect":"Allow","Principal":{"AWS":"`+w.a.Account+`"},"Action":"sts:AssumeRole","Condition":{"Bool":{"aws:MultiFactorAuthPresent":"true"},"NumericLessThan":{"aws:MultiFactorAuthAge":"300"}}}`, "")
		assume := func(c caller, serial, code *string) string {
			_, err := c.AssumeRole(w.ctx(), &sdksts.AssumeRoleInput{RoleArn: role, RoleSessionName: aws.String("s1"), SerialNumber: serial, TokenCode: code})
			return failure(err)
		}
		const (
			wrong  = "AccessDenied: MultiFactorAuthentication failed with invalid MFA one time pass code."
			unable = "AccessDenied: MultiFactorAuthentication failed, unable to validate MFA code. Please verify your MFA serial number is valid and associated with this user."
			half   = "AccessDenied: MultiFactorAuthentication failed, must provide both MFA serial number and one time pass code."
		)
		denied := "AccessDenied: User: arn:aws:iam::" + w.a.Account + ":user/alice is not authorized to perform: sts:AssumeRole on resource: " + *role
		now := code(0)
		for _, c := range []struct {
			what         string
			serial, code *string
			want         string
		}{
			{"no code", nil, nil, denied},
			{"no serial number", nil, now, half},
			{"no code, but a serial number", serial, nil, half},
			{"a wrong code", serial, aws.String("000000"), wrong},
			{"somebody else's device", others, othersCode(0), unable},
			{"somebody else's code", serial, othersCode(0), wrong},
			{"no such device", aws.String(*serial + "x"), now, unable},
			{"the code", serial, now, "<nil>"},
			{"the code again", serial, now, wrong},
		} {
			if got := assume(alice, c.serial, c.code); got != c.want {
				t.Errorf("%s: %s", c.what, got)
			}
		}

		// A session with MFA keeps it, and tells how old it is.
		session := func(serial, code *string) (caller, error) {
			out, err := alice.GetSessionToken(w.ctx(), &sdksts.GetSessionTokenInput{SerialNumber: serial, TokenCode: code})
			if err != nil {
				return caller{}, err
			}
			return w.temp(out.Credentials), nil
		}
		plain := must(session(nil, nil))(t)
		if _, err := plain.IAM.ListUsers(w.ctx(), nil); failure(err) != invalidToken {
			t.Errorf("IAM with a session without MFA: %s", failure(err))
		}
		if _, err := session(serial, now); failure(err) != wrong {
			t.Errorf("a spent code: %s", failure(err))
		}
		w.shift.Add(int64(time.Minute))
		strong := must(session(serial, code(0)))(t)
		must(strong.IAM.ListUsers(w.ctx(), nil))(t)
		if got := assume(strong, nil, nil); got != "<nil>" {
			t.Errorf("a role that wants MFA, with a session that has it: %s", got)
		}
		w.shift.Add(int64(301 * time.Second))
		if got := assume(strong, nil, nil); got != denied {
			t.Errorf("a role that wants MFA of late: %s", got)
		}
		must(strong.IAM.ListUsers(w.ctx(), nil))(t)
		w.shift.Add(int64(301 * time.Second))
		if _, err := strong.IAM.ListUsers(w.ctx(), nil); !strings.HasSuffix(failure(err), "with an explicit deny in an identity-based policy") {
			t.Errorf("MFA that is too old: %s", failure(err))
		}
		if _, err := alice.IAM.ListUsers(w.ctx(), nil); !strings.HasSuffix(failure(err), "with an explicit deny in an identity-based policy") {
			t.Errorf("a key, which has no such condition keys at all: %s", failure(err))
		}
	})
}
