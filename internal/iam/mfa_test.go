package iam_test

import (
	"bytes"
	"image/png"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/pquerna/otp/totp"

	"usher/internal/db"
	"usher/internal/db/dbtest"
)

// code is what an authenticator app shows, some steps of 30 seconds from now.
func (s *server) code(t *testing.T, seed []byte, steps int) *string {
	t.Helper()
	code, err := totp.GenerateCode(string(seed), s.now().Add(time.Duration(steps)*30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return &code
}

func (s *server) pass(d time.Duration) { s.shift.Add(int64(d)) }

func TestMFADevices(t *testing.T) {
	each(t, func(t *testing.T, s *server, c *iam.Client) {
		ctx, str := t.Context(), aws.String
		serial := "arn:aws:iam::" + s.admin.Account + ":mfa/x/phone"
		must(c.CreateUser(ctx, &iam.CreateUserInput{UserName: str("alice")}))(t)
		must(c.CreateUser(ctx, &iam.CreateUserInput{UserName: str("bob")}))(t)
		d := must(c.CreateVirtualMFADevice(ctx, &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: str("phone"), Path: str("/x/"), Tags: []types.Tag{{Key: str("k"), Value: str("v")}}}))(t).VirtualMFADevice
		if *d.SerialNumber != serial || len(d.Base32StringSeed) != 64 {
			t.Errorf("device %s with a seed of %d characters", *d.SerialNumber, len(d.Base32StringSeed))
		}
		if image, err := png.Decode(bytes.NewReader(d.QRCodePNG)); err != nil || image.Bounds().Dx() < 200 {
			t.Errorf("QR code: %v", err)
		}
		enable := func(user string, first, second *string) string {
			_, err := c.EnableMFADevice(ctx, &iam.EnableMFADeviceInput{UserName: &user, SerialNumber: &serial, AuthenticationCode1: first, AuthenticationCode2: second})
			return failure(err)
		}
		seed := d.Base32StringSeed
		const bad = "InvalidAuthenticationCode: Authentication code for device is not valid."
		for _, c := range []struct {
			what          string
			first, second int
			want          string
		}{
			{"in the wrong order", 0, -1, bad},
			{"the same twice", 0, 0, bad},
			{"not one after the other", -2, 0, bad},
			{"one after the other", -1, 0, "<nil>"},
			{"another device in use", 0, 1, "EntityAlreadyExists: MFA Device is already in use."},
		} {
			if got := enable("alice", s.code(t, seed, c.first), s.code(t, seed, c.second)); got != c.want {
				t.Errorf("codes %s: %s", c.what, got)
			}
		}
		list := must(c.ListMFADevices(ctx, &iam.ListMFADevicesInput{UserName: str("alice")}))(t).MFADevices
		if len(list) != 1 || *list[0].SerialNumber != serial || *list[0].UserName != "alice" || list[0].EnableDate == nil {
			t.Errorf("devices of alice: %+v", list)
		}
		if got := must(c.GetMFADevice(ctx, &iam.GetMFADeviceInput{SerialNumber: &serial}))(t); *got.UserName != "alice" {
			t.Errorf("device of %s", *got.UserName)
		}
		if n := len(must(c.ListMFADevices(ctx, nil))(t).MFADevices); n != 0 {
			t.Errorf("the caller has %d devices", n)
		}
		for status, want := range map[types.AssignmentStatusType]int{"": 1, "Any": 1, "Assigned": 1, "Unassigned": 0} {
			got := must(c.ListVirtualMFADevices(ctx, &iam.ListVirtualMFADevicesInput{AssignmentStatus: status}))(t).VirtualMFADevices
			if len(got) != want || want == 1 && (*got[0].User.UserName != "alice" || got[0].Base32StringSeed != nil) {
				t.Errorf("%s: %+v", status, got)
			}
		}

		for _, c := range []struct {
			want string
			call func() (any, error)
		}{
			{"EntityAlreadyExists: MFA device already exists.", func() (any, error) {
				return c.CreateVirtualMFADevice(ctx, &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: str("Phone")})
			}},
			{"NoSuchEntity: MFA Device with serial number " + serial + "-x does not exist.", func() (any, error) {
				return c.DeleteVirtualMFADevice(ctx, &iam.DeleteVirtualMFADeviceInput{SerialNumber: str(serial + "-x")})
			}},
			{"DeleteConflict: MFA VirtualDevice in use. Must deactivate first.", func() (any, error) {
				return c.DeleteVirtualMFADevice(ctx, &iam.DeleteVirtualMFADeviceInput{SerialNumber: &serial})
			}},
			{"DeleteConflict: Cannot delete entity, must delete MFA device first.", func() (any, error) { return c.DeleteUser(ctx, &iam.DeleteUserInput{UserName: str("alice")}) }},
			{"NoSuchEntity: MFA Device with serial number " + serial + " does not exist.", func() (any, error) {
				return c.DeactivateMFADevice(ctx, &iam.DeactivateMFADeviceInput{UserName: str("bob"), SerialNumber: &serial})
			}},
			{"NoSuchEntity: The user with name nobody cannot be found.", func() (any, error) {
				return c.DeactivateMFADevice(ctx, &iam.DeactivateMFADeviceInput{UserName: str("nobody"), SerialNumber: &serial})
			}},
			{bad, func() (any, error) { // spent when the device was enabled
				return c.ResyncMFADevice(ctx, &iam.ResyncMFADeviceInput{UserName: str("alice"), SerialNumber: &serial, AuthenticationCode1: s.code(t, seed, -1), AuthenticationCode2: s.code(t, seed, 0)})
			}},
		} {
			if _, err := c.call(); failure(err) != c.want {
				t.Errorf("%s\nwant %s", failure(err), c.want)
			}
		}

		tags := func() int {
			return len(must(c.ListMFADeviceTags(ctx, &iam.ListMFADeviceTagsInput{SerialNumber: &serial}))(t).Tags)
		}
		must(c.TagMFADevice(ctx, &iam.TagMFADeviceInput{SerialNumber: &serial, Tags: []types.Tag{{Key: str("K"), Value: str("")}}}))(t)
		if n := tags(); n != 2 {
			t.Errorf("%d tags", n)
		}
		must(c.UntagMFADevice(ctx, &iam.UntagMFADeviceInput{SerialNumber: &serial, TagKeys: []string{"k"}}))(t)
		if n := tags(); n != 1 {
			t.Errorf("%d tags", n)
		}
		must(c.DeactivateMFADevice(ctx, &iam.DeactivateMFADeviceInput{UserName: str("alice"), SerialNumber: &serial}))(t)
		must(c.DeleteUser(ctx, &iam.DeleteUserInput{UserName: str("alice")}))(t)
		must(c.DeleteVirtualMFADevice(ctx, &iam.DeleteVirtualMFADeviceInput{SerialNumber: &serial}))(t)
	})
}

// TestVerifyMFA: a code counts once, about its time, for its user.
func TestVerifyMFA(t *testing.T) {
	s := start(t, func(schemas ...db.Schema) *db.DB { return dbtest.Open(t, dbtest.SQLite(t), schemas...) })
	c, ctx, str := s.client(s.admin.AccessKeyID, s.admin.SecretAccessKey), t.Context(), aws.String
	alice := *must(c.CreateUser(ctx, &iam.CreateUserInput{UserName: str("alice")}))(t).User.UserId
	d := must(c.CreateVirtualMFADevice(ctx, &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: str("phone")}))(t).VirtualMFADevice
	seed := d.Base32StringSeed
	must(c.EnableMFADevice(ctx, &iam.EnableMFADeviceInput{UserName: str("alice"), SerialNumber: d.SerialNumber, AuthenticationCode1: s.code(t, seed, -1), AuthenticationCode2: s.code(t, seed, 0)}))(t)
	verify := func(code *string) bool { return must(s.VerifyMFA(ctx, alice, *d.SerialNumber, *code))(t) }

	if verify(s.code(t, seed, 0)) {
		t.Error("the code that enabled the device counts again")
	}
	s.pass(2 * time.Minute)
	code := s.code(t, seed, 0)
	if !verify(code) {
		t.Error("the code of now is refused")
	}
	if verify(code) {
		t.Error("a code counts twice")
	}
	if verify(s.code(t, seed, -1)) {
		t.Error("a code older than the last one counts")
	}
	if !verify(s.code(t, seed, 1)) {
		t.Error("the next code is refused")
	}
	if verify(s.code(t, seed, 3)) {
		t.Error("a code of the future counts")
	}
	if _, err := s.VerifyMFA(ctx, "AIDAXXXXXXXXXXXXXXXXX", *d.SerialNumber, *code); err != db.ErrNotFound {
		t.Errorf("a device of somebody else: %v", err)
	}

	// Codes cannot be tried out.
	s.pass(2 * time.Minute)
	for range 5 {
		verify(str("000000"))
	}
	if verify(s.code(t, seed, 0)) {
		t.Error("a code counts right after many wrong ones")
	}
	s.pass(time.Minute)
	if !verify(s.code(t, seed, 0)) {
		t.Error("a code is refused although the wait is over")
	}

	// A clock that is an hour ahead.
	if verify(s.code(t, seed, 119)) {
		t.Error("a code of the next hour counts")
	}
	must(c.ResyncMFADevice(ctx, &iam.ResyncMFADeviceInput{UserName: str("alice"), SerialNumber: d.SerialNumber, AuthenticationCode1: s.code(t, seed, 119), AuthenticationCode2: s.code(t, seed, 120)}))(t)
	s.pass(time.Minute)
	if !verify(s.code(t, seed, 120)) || verify(s.code(t, seed, 0)) {
		t.Error("the time of the device was not learned")
	}
}

// TestMFAPermissions: a user may manage a device of his own name, and enable it for himself alone.
func TestMFAPermissions(t *testing.T) {
	each(t, func(t *testing.T, s *server, c *iam.Client) {
		ctx, str := t.Context(), aws.String
		must(c.CreateUser(ctx, &iam.CreateUserInput{UserName: str("alice")}))(t)
		must(c.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: str("alice"), PolicyName: str("p"), PolicyDocument: str(`{"Version":"2012-10-17","Statement":[
			{"Effect":"Allow","Action":["iam:CreateVirtualMFADevice","iam:DeleteVirtualMFADevice"],"Resource":"arn:aws:iam::*:mfa/${aws:username}"},
			{"Effect":"Allow","Action":["iam:EnableMFADevice","iam:ListMFADevices","iam:GetMFADevice"],"Resource":"arn:aws:iam::*:user/${aws:username}"}]}`)}))(t)
		key := must(c.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: str("alice")}))(t).AccessKey
		alice := s.client(*key.AccessKeyId, *key.SecretAccessKey)
		if _, err := alice.CreateVirtualMFADevice(ctx, &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: str("bob")}); !strings.HasPrefix(failure(err), "AccessDenied: ") {
			t.Error(failure(err))
		}
		tagged := &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: str("alice"), Tags: []types.Tag{{Key: str("a"), Value: str("b")}}}
		if _, err := alice.CreateVirtualMFADevice(ctx, tagged); !strings.Contains(failure(err), "not authorized to perform: iam:TagMFADevice on resource") {
			t.Error(failure(err))
		}
		d := must(alice.CreateVirtualMFADevice(ctx, &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: str("alice")}))(t).VirtualMFADevice
		seed := d.Base32StringSeed
		enable := func(user string) error {
			_, err := alice.EnableMFADevice(ctx, &iam.EnableMFADeviceInput{UserName: &user, SerialNumber: d.SerialNumber, AuthenticationCode1: s.code(t, seed, -1), AuthenticationCode2: s.code(t, seed, 0)})
			return err
		}
		if err := enable("admin"); !strings.HasPrefix(failure(err), "AccessDenied: ") {
			t.Error(failure(err))
		}
		if err := enable("alice"); err != nil {
			t.Error(err)
		}
		if got := must(alice.ListMFADevices(ctx, nil))(t).MFADevices; len(got) != 1 {
			t.Errorf("devices: %v", got)
		}
		must(alice.GetMFADevice(ctx, &iam.GetMFADeviceInput{SerialNumber: d.SerialNumber}))(t)
	})
}

func TestSummaryCountsDevices(t *testing.T) {
	each(t, func(t *testing.T, s *server, c *iam.Client) {
		ctx, str := t.Context(), aws.String
		must(c.CreateVirtualMFADevice(ctx, &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: str("spare")}))(t)
		d := must(c.CreateVirtualMFADevice(ctx, &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: str("phone")}))(t).VirtualMFADevice
		must(c.EnableMFADevice(ctx, &iam.EnableMFADeviceInput{UserName: str("admin"), SerialNumber: d.SerialNumber, AuthenticationCode1: s.code(t, d.Base32StringSeed, -1), AuthenticationCode2: s.code(t, d.Base32StringSeed, 0)}))(t)
		if m := must(c.GetAccountSummary(ctx, nil))(t).SummaryMap; m["MFADevices"] != 2 || m["MFADevicesInUse"] != 1 || m["Users"] != 1 || m["PolicyVersionsInUse"] != 1 {
			t.Errorf("summary %v", m)
		}
	})
}

// TestCodeCountsOnce, however many ask at the same time.
func TestCodeCountsOnce(t *testing.T) {
	each(t, func(t *testing.T, s *server, c *iam.Client) {
		ctx, str := t.Context(), aws.String
		u := must(c.GetUser(ctx, nil))(t).User
		d := must(c.CreateVirtualMFADevice(ctx, &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: str("phone")}))(t).VirtualMFADevice
		must(c.EnableMFADevice(ctx, &iam.EnableMFADeviceInput{UserName: u.UserName, SerialNumber: d.SerialNumber, AuthenticationCode1: s.code(t, d.Base32StringSeed, -1), AuthenticationCode2: s.code(t, d.Base32StringSeed, 0)}))(t)
		s.pass(time.Minute)
		code := s.code(t, d.Base32StringSeed, 0)
		var accepted atomic.Int32
		var wait sync.WaitGroup
		for range 4 {
			wait.Go(func() {
				right, err := s.VerifyMFA(ctx, *u.UserId, *d.SerialNumber, *code)
				if err != nil {
					t.Error(err)
				}
				if right {
					accepted.Add(1)
				}
			})
		}
		wait.Wait()
		if n := accepted.Load(); n != 1 {
			t.Errorf("a code was accepted %d times", n)
		}
	})
}
