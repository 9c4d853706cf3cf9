package userpool

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	cip "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider/types"

	"usher/internal/db"
)

// tracking makes a pool track devices.
func tracking(replaceMFA, onPrompt bool) func(*cip.CreateUserPoolInput, *cip.CreateUserPoolClientInput) {
	return func(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) {
		p.DeviceConfiguration = &types.DeviceConfigurationType{ChallengeRequiredOnNewDevice: replaceMFA, DeviceOnlyRememberedOnUserPrompt: onPrompt}
	}
}

// testDevice is a client that has a device key and the secret that it made up for it.
type testDevice struct{ key, group, secret string }

// verifier is what ConfirmDevice takes.
func (d *testDevice) verifier() *types.DeviceSecretVerifierConfigType {
	salt := make([]byte, 16)
	rand.Read(salt)
	s := srpPad(new(big.Int).SetBytes(salt))
	inner := sha256.Sum256([]byte(d.group + d.key + ":" + d.secret))
	v := new(big.Int).Exp(big.NewInt(2), srpHash(s, inner[:]), srpN)
	return &types.DeviceSecretVerifierConfigType{Salt: aws.String(base64.StdEncoding.EncodeToString(s)), PasswordVerifier: aws.String(base64.StdEncoding.EncodeToString(srpPad(v)))}
}

// newDevice takes the key that a sign-in gave.
func newDevice(tb testing.TB, r *types.AuthenticationResultType) *testDevice {
	tb.Helper()
	if r.NewDeviceMetadata == nil {
		tb.Fatal("no device metadata")
	}
	return &testDevice{*r.NewDeviceMetadata.DeviceKey, *r.NewDeviceMetadata.DeviceGroupKey, rand.Text()}
}

func (app *testApp) confirmDevice(tb testing.TB, token *string, d *testDevice) (bool, error) {
	out, err := app.sdk.ConfirmDevice(tb.Context(), &cip.ConfirmDeviceInput{AccessToken: token, DeviceKey: &d.key, DeviceName: aws.String("browser"), DeviceSecretVerifierConfig: d.verifier()})
	if err != nil {
		return false, err
	}
	return out.UserConfirmationNecessary, nil
}

// on signs in with a password on a device.
func (app *testApp) on(tb testing.TB, name, key string) (*cip.InitiateAuthOutput, error) {
	return app.initiate(tb, "USER_PASSWORD_AUTH", app.with(name, map[string]string{"USERNAME": name, "PASSWORD": testPassword, "DEVICE_KEY": key}))
}

// startDevice answers DEVICE_SRP_AUTH.
func (app *testApp) startDevice(tb testing.TB, name, key string, session *string) (*srpClient, *cip.RespondToAuthChallengeOutput, error) {
	c := newSRPClient()
	out, err := app.reply(tb, name, "DEVICE_SRP_AUTH", session, "DEVICE_KEY", key, "SRP_A", c.publicA())
	return c, out, err
}

// deviceAnswer is the answer to DEVICE_PASSWORD_VERIFIER.
func (app *testApp) deviceAnswer(tb testing.TB, c *srpClient, d *testDevice, name string, params map[string]string) map[string]string {
	tb.Helper()
	answer := c.answer(tb, d.group, d.secret, map[string]string{"SALT": params["SALT"], "SRP_B": params["SRP_B"], "SECRET_BLOCK": params["SECRET_BLOCK"], "USER_ID_FOR_SRP": d.key}, app.clock.Now())
	answer["USERNAME"], answer["DEVICE_KEY"] = name, d.key
	return app.with(name, answer)
}

// device leads a sign-in from DEVICE_SRP_AUTH to its end.
func (app *testApp) device(tb testing.TB, name string, d *testDevice, session *string) (*cip.RespondToAuthChallengeOutput, error) {
	c, out, err := app.startDevice(tb, name, d.key, session)
	if err != nil {
		return nil, err
	}
	if out.ChallengeName != "DEVICE_PASSWORD_VERIFIER" || out.Session == nil || out.ChallengeParameters["DEVICE_KEY"] != d.key || out.ChallengeParameters["USERNAME"] != name {
		tb.Fatalf("%+v", out)
	}
	return app.respond(tb, "DEVICE_PASSWORD_VERIFIER", out.Session, app.deviceAnswer(tb, c, d, name, out.ChallengeParameters))
}

var deviceKeyPattern = regexp.MustCompile(`^eu-central-1_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

func TestRememberedDevice(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t, tracking(true, false))
		app.person(t, "alice", "phone_number", "+15550001234")
		app.person(t, "bob")
		app.setMFA(t, "OPTIONAL", "ST")

		first := app.signIn(t, "alice", testPassword)
		d := newDevice(t, first)
		if !deviceKeyPattern.MatchString(d.key) || !regexp.MustCompile(`^-[0-9A-Za-z]{8}$`).MatchString(d.group) {
			t.Errorf("device %+v", d)
		}
		_, claims := app.verify(t, *first.AccessToken)
		if claims["device_key"] != d.key {
			t.Errorf("access token: %v", claims)
		}
		_, err := app.on(t, "alice", d.key)
		wantError(t, "device that is not confirmed", err, "ResourceNotFoundException", "Device does not exist.")
		foreign := &testDevice{"eu-central-1_00000000-0000-4000-8000-000000000000", d.group, "x"}
		_, err = app.confirmDevice(t, first.AccessToken, foreign)
		wantError(t, "confirming a made-up key", err, "InvalidParameterException", "")
		for _, c := range []*types.DeviceSecretVerifierConfigType{nil, {}, {Salt: aws.String("AA=="), PasswordVerifier: aws.String("AA==")}, {Salt: aws.String("x"), PasswordVerifier: d.verifier().PasswordVerifier}} {
			_, err = app.sdk.ConfirmDevice(t.Context(), &cip.ConfirmDeviceInput{AccessToken: first.AccessToken, DeviceKey: &d.key, DeviceSecretVerifierConfig: c})
			wantError(t, "bad verifier", err, "InvalidParameterException", "")
		}
		if necessary, err := app.confirmDevice(t, first.AccessToken, d); err != nil || necessary {
			t.Fatal(necessary, err)
		}
		_, err = app.confirmDevice(t, first.AccessToken, d)
		wantError(t, "confirming twice", err, "DeviceKeyExistsException", "")
		if err := app.prefer(t, first.AccessToken, "S"); err != nil {
			t.Fatal(err)
		}
		ts.clock.advance(time.Minute)

		// The device replaces the second factor, with either kind of password proof.
		ts.outbox.take()
		out, err := app.on(t, "alice", d.key)
		if err != nil || out.ChallengeName != "DEVICE_SRP_AUTH" || out.Session == nil {
			t.Fatalf("%+v %v", out, err)
		}
		got, err := app.device(t, "alice", d, out.Session)
		r := wantTokens(t, "device", got, err)
		if _, claims := app.verify(t, *r.AccessToken); claims["device_key"] != d.key || r.NewDeviceMetadata != nil {
			t.Errorf("%v, new device %v", claims, r.NewDeviceMetadata)
		}
		if sent := ts.outbox.take(); len(sent) != 0 {
			t.Errorf("sent %+v", sent)
		}
		c, begun, err := app.startSRP(t, "alice")
		if err != nil {
			t.Fatal(err)
		}
		answer := c.answer(t, app.poolName(), testPassword, begun.ChallengeParameters, ts.clock.Now())
		answer["DEVICE_KEY"] = foreign.key
		_, err = app.respond(t, "PASSWORD_VERIFIER", nil, answer)
		wantError(t, "unknown device", err, "ResourceNotFoundException", "Device does not exist.")
		answer["DEVICE_KEY"] = d.key // clients send the same proof again
		got, err = app.respond(t, "PASSWORD_VERIFIER", nil, answer)
		if err != nil || got.ChallengeName != "DEVICE_SRP_AUTH" {
			t.Fatalf("%+v %v", got, err)
		}
		got, err = app.device(t, "alice", d, got.Session)
		wantTokens(t, "device after SRP", got, err)

		// Without it, or on another, the second factor is asked for.
		app.challenge(t, "alice", "SMS_MFA")
		// A wrong password says nothing of devices.
		_, err = app.initiate(t, "USER_PASSWORD_AUTH", map[string]string{"USERNAME": "alice", "PASSWORD": newPassword, "DEVICE_KEY": d.key})
		wantError(t, "wrong password", err, "NotAuthorizedException", "Incorrect username or password.")

		// The dates.
		got2, err := app.sdk.GetDevice(t.Context(), &cip.GetDeviceInput{AccessToken: r.AccessToken, DeviceKey: &d.key})
		if err != nil {
			t.Fatal(err)
		}
		attrs := attributeMap(got2.Device.DeviceAttributes)
		if attrs["device_status"] != "valid" || attrs["device_name"] != "browser" || attrs["dev:device_remembered_status"] != "remembered" ||
			!got2.Device.DeviceLastAuthenticatedDate.After(*got2.Device.DeviceCreateDate) {
			t.Errorf("device %+v %v", got2.Device, attrs)
		}

		// Refreshing takes the device.
		refresh := func(key *string) error {
			params := map[string]string{"REFRESH_TOKEN": *r.RefreshToken}
			if key != nil {
				params["DEVICE_KEY"] = *key
			}
			_, err := app.initiate(t, "REFRESH_TOKEN_AUTH", params)
			_, err2 := app.sdk.GetTokensFromRefreshToken(t.Context(), &cip.GetTokensFromRefreshTokenInput{ClientId: &app.app, RefreshToken: r.RefreshToken, DeviceKey: key})
			if (err == nil) != (err2 == nil) {
				t.Errorf("REFRESH_TOKEN_AUTH %v, GetTokensFromRefreshToken %v", err, err2)
			}
			return err
		}
		wantError(t, "refresh without the device", refresh(nil), "NotAuthorizedException", "Invalid Refresh Token.")
		wantError(t, "refresh on another device", refresh(&foreign.key), "NotAuthorizedException", "Invalid Refresh Token.")
		if err := refresh(&d.key); err != nil {
			t.Errorf("refresh on the device: %v", err)
		}

		// The key of a device is nothing to another user.
		_, err = app.on(t, "bob", d.key)
		wantError(t, "device of another user", err, "ResourceNotFoundException", "Device does not exist.")
		bob := app.signIn(t, "bob", testPassword)
		for name, err := range map[string]error{
			"get":      second(app.sdk.GetDevice(t.Context(), &cip.GetDeviceInput{AccessToken: bob.AccessToken, DeviceKey: &d.key})),
			"forget":   second(app.sdk.ForgetDevice(t.Context(), &cip.ForgetDeviceInput{AccessToken: bob.AccessToken, DeviceKey: &d.key})),
			"remember": second(app.sdk.UpdateDeviceStatus(t.Context(), &cip.UpdateDeviceStatusInput{AccessToken: bob.AccessToken, DeviceKey: &d.key, DeviceRememberedStatus: "not_remembered"})),
		} {
			wantError(t, name+" the device of another user", err, "ResourceNotFoundException", "Device does not exist.")
		}
		_, err = app.confirmDevice(t, bob.AccessToken, d)
		wantError(t, "confirming the device of another user", err, "InvalidParameterException", "")

		// Not remembered any more: back to the second factor. Remembered, begun, and forgotten: no use either.
		for _, status := range []types.DeviceRememberedStatusType{"not_remembered", "remembered"} {
			if _, err := app.sdk.UpdateDeviceStatus(t.Context(), &cip.UpdateDeviceStatusInput{AccessToken: r.AccessToken, DeviceKey: &d.key, DeviceRememberedStatus: status}); err != nil {
				t.Fatal(err)
			}
			out, err := app.on(t, "alice", d.key)
			if want := map[types.DeviceRememberedStatusType]types.ChallengeNameType{"not_remembered": "SMS_MFA", "remembered": "DEVICE_SRP_AUTH"}[status]; err != nil || out.ChallengeName != want {
				t.Fatalf("%s: %+v %v", status, out, err)
			}
			if status == "not_remembered" {
				// The device that is known stays the device.
				sent := ts.outbox.take()
				got, err := app.reply(t, "alice", "SMS_MFA", out.Session, "SMS_MFA_CODE", codePattern.FindString(sent[len(sent)-1].Body))
				if r := wantTokens(t, "SMS on a known device", got, err); r.NewDeviceMetadata != nil {
					t.Error("a known device is called new")
				}
				_, err = app.reply(t, "alice", "DEVICE_SRP_AUTH", out.Session, "DEVICE_KEY", d.key, "SRP_A", newSRPClient().publicA())
				wantError(t, "a proof that was not asked for", err, "NotAuthorizedException", "Invalid session for the user.")
			}
		}
		begunDevice, err := app.on(t, "alice", d.key)
		if err != nil {
			t.Fatal(err)
		}
		dc, verifier, err := app.startDevice(t, "alice", d.key, begunDevice.Session)
		if err != nil {
			t.Fatal(err)
		}
		another, err := app.on(t, "alice", d.key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := app.sdk.ForgetDevice(t.Context(), &cip.ForgetDeviceInput{AccessToken: r.AccessToken, DeviceKey: &d.key}); err != nil {
			t.Fatal(err)
		}
		_, err = app.respond(t, "DEVICE_PASSWORD_VERIFIER", verifier.Session, app.deviceAnswer(t, dc, d, "alice", verifier.ChallengeParameters))
		wantError(t, "proof of a forgotten device", err, "ResourceNotFoundException", "Device does not exist.")
		_, _, err = app.startDevice(t, "alice", d.key, another.Session)
		wantError(t, "beginning with a forgotten device", err, "ResourceNotFoundException", "Device does not exist.")
		_, err = app.on(t, "alice", d.key)
		wantError(t, "sign-in on a forgotten device", err, "ResourceNotFoundException", "Device does not exist.")
		_, err = app.sdk.ForgetDevice(t.Context(), &cip.ForgetDeviceInput{AccessToken: r.AccessToken, DeviceKey: &d.key})
		wantError(t, "forgetting twice", err, "ResourceNotFoundException", "Device does not exist.")
	})
}

func second[T any](_ T, err error) error { return err }

// TestDeviceProof: what is wrong with a proof.
func TestDeviceProof(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t, tracking(true, false), withSecret)
		app.person(t, "alice")
		r := app.signIn(t, "alice", testPassword)
		d := newDevice(t, r)
		if _, err := app.confirmDevice(t, r.AccessToken, d); err != nil {
			t.Fatal(err)
		}
		other := app.signIn(t, "alice", testPassword)
		o := newDevice(t, other)
		if _, err := app.confirmDevice(t, other.AccessToken, o); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			name    string
			spoil   func(answer map[string]string)
			code    string
			message string
		}{
			{"wrong secret", func(a map[string]string) { a["PASSWORD_CLAIM_SIGNATURE"] = "AAAA" + a["PASSWORD_CLAIM_SIGNATURE"][4:] }, "NotAuthorizedException", "Incorrect username or password."},
			{"old time", func(a map[string]string) { a["TIMESTAMP"] = "Tue Mar 3 04:05:06 UTC 2020" }, "NotAuthorizedException", "Incorrect username or password."},
			{"another block", func(a map[string]string) {
				a["PASSWORD_CLAIM_SECRET_BLOCK"] = base64.StdEncoding.EncodeToString(make([]byte, 48))
			}, "NotAuthorizedException", "Invalid session for the user."},
			{"another device", func(a map[string]string) { a["DEVICE_KEY"] = o.key }, "ResourceNotFoundException", "Device does not exist."},
			{"no device", func(a map[string]string) { delete(a, "DEVICE_KEY") }, "InvalidParameterException", "Missing required parameter DEVICE_KEY"},
			{"no signature", func(a map[string]string) { delete(a, "PASSWORD_CLAIM_SIGNATURE") }, "InvalidParameterException", "Missing required parameter PASSWORD_CLAIM_SIGNATURE"},
			{"no secret hash", func(a map[string]string) { delete(a, "SECRET_HASH") }, "NotAuthorizedException", ""},
		} {
			out, err := app.on(t, "alice", d.key)
			if err != nil || out.ChallengeName != "DEVICE_SRP_AUTH" {
				t.Fatalf("%s: %+v %v", c.name, out, err)
			}
			client, v, err := app.startDevice(t, "alice", d.key, out.Session)
			if err != nil {
				t.Fatal(err)
			}
			right := app.deviceAnswer(t, client, d, "alice", v.ChallengeParameters)
			answer := map[string]string{}
			for k, v := range right {
				answer[k] = v
			}
			c.spoil(answer)
			_, err = app.respond(t, "DEVICE_PASSWORD_VERIFIER", v.Session, answer)
			wantError(t, c.name, err, c.code, c.message)
			// A proof that was wrong was the only one; a request that was not one does not count.
			_, err = app.respond(t, "DEVICE_PASSWORD_VERIFIER", v.Session, right)
			if c.message == "Incorrect username or password." {
				wantError(t, c.name+", then right", err, "NotAuthorizedException", "Invalid session for the user, session can only be used once.")
			} else if err != nil {
				t.Errorf("%s, then right: %v", c.name, err)
			}
		}
		// A session of one step is not one of another, and no step can be left out.
		out, err := app.on(t, "alice", d.key)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range []string{"0", "", "zz", srpN.Text(16)} {
			_, err = app.reply(t, "alice", "DEVICE_SRP_AUTH", out.Session, "DEVICE_KEY", d.key, "SRP_A", a)
			wantError(t, "SRP_A "+a, err, "InvalidParameterException", "")
		}
		_, err = app.reply(t, "alice", "DEVICE_SRP_AUTH", nil, "DEVICE_KEY", d.key, "SRP_A", newSRPClient().publicA())
		wantError(t, "no session", err, "InvalidParameterException", "Missing required parameter Session")
		client, v, err := app.startDevice(t, "alice", d.key, out.Session)
		if err != nil {
			t.Fatal(err)
		}
		_, err = app.respond(t, "DEVICE_PASSWORD_VERIFIER", out.Session, app.deviceAnswer(t, client, d, "alice", v.ChallengeParameters))
		wantError(t, "session of the step before", err, "NotAuthorizedException", "Invalid session for the user.")
		_, _, err = app.startDevice(t, "alice", d.key, out.Session)
		wantError(t, "beginning twice", err, "NotAuthorizedException", "Invalid session for the user, session can only be used once.")
		answer := app.deviceAnswer(t, client, d, "alice", v.ChallengeParameters)
		_, err = app.respond(t, "PASSWORD_VERIFIER", nil, answer)
		wantError(t, "the proof of a device for that of a password", err, "NotAuthorizedException", "Invalid session for the user.")

		// What is stored is not the verifier.
		plain, _ := base64.StdEncoding.DecodeString(*d.verifier().PasswordVerifier)
		stored, err := db.All[[]byte](t.Context(), ts.DB, `SELECT verifier FROM user_devices WHERE pool_id = $1`, app.pool)
		if err != nil || len(stored) != 2 || len(stored[0]) <= len(plain) {
			t.Errorf("stored %d: %v", len(stored), err)
		}
	})
}

func TestDeviceModes(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		for _, c := range []struct {
			replaceMFA, onPrompt, mfa bool
			confirmed, remembered     types.ChallengeNameType // asked for on a device that is confirmed, and remembered
		}{
			{true, false, true, "DEVICE_SRP_AUTH", "DEVICE_SRP_AUTH"},
			{true, true, true, "SMS_MFA", "DEVICE_SRP_AUTH"},
			{false, false, true, "SMS_MFA", "SMS_MFA"},
			{false, true, true, "SMS_MFA", "SMS_MFA"},
			{true, false, false, "DEVICE_SRP_AUTH", "DEVICE_SRP_AUTH"},
			{false, true, false, "", "DEVICE_SRP_AUTH"},
		} {
			name := fmt.Sprintf("%+v", c)
			app := ts.newApp(t, tracking(c.replaceMFA, c.onPrompt))
			app.person(t, "alice", "phone_number", "+15550001234")
			r := app.signIn(t, "alice", testPassword)
			d := newDevice(t, r)
			if c.mfa {
				app.setMFA(t, "ON", "S")
			}
			if necessary, err := app.confirmDevice(t, r.AccessToken, d); err != nil || necessary != c.onPrompt {
				t.Fatalf("%s: %v %v", name, necessary, err)
			}
			for i, want := range []types.ChallengeNameType{c.confirmed, c.remembered} {
				if i == 1 {
					if _, err := ts.sdk.AdminUpdateDeviceStatus(t.Context(), &cip.AdminUpdateDeviceStatusInput{UserPoolId: &app.pool, Username: aws.String("alice"), DeviceKey: &d.key, DeviceRememberedStatus: "remembered"}); err != nil {
						t.Fatal(err)
					}
				}
				out, err := app.on(t, "alice", d.key)
				if err != nil || out.ChallengeName != want {
					t.Fatalf("%s: challenge %q, want %q: %v", name, out.ChallengeName, want, err)
				}
				if want == "" && out.AuthenticationResult.NewDeviceMetadata != nil {
					t.Errorf("%s: a known device is called new", name)
				}
			}
		}

		// A device does not replace setting up the second factor that is required.
		app := ts.newApp(t, tracking(true, false))
		app.person(t, "alice")
		r := app.signIn(t, "alice", testPassword)
		d := newDevice(t, r)
		if _, err := app.confirmDevice(t, r.AccessToken, d); err != nil {
			t.Fatal(err)
		}
		app.setMFA(t, "ON", "T")
		if out, err := app.on(t, "alice", d.key); err != nil || out.ChallengeName != "MFA_SETUP" {
			t.Errorf("%+v %v", out, err)
		}
	})
}

func TestDeviceLists(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t, tracking(true, false))
		app.person(t, "alice")
		var token *string
		var keys []string
		for range 5 {
			r := app.signIn(t, "alice", testPassword)
			d := newDevice(t, r)
			if _, err := app.confirmDevice(t, r.AccessToken, d); err != nil {
				t.Fatal(err)
			}
			token, keys = r.AccessToken, append(keys, d.key)
		}
		slices.Sort(keys)
		var mine, theirs []string
		var next, adminNext *string
		for range 3 {
			out, err := app.sdk.ListDevices(t.Context(), &cip.ListDevicesInput{AccessToken: token, Limit: aws.Int32(2), PaginationToken: next})
			if err != nil {
				t.Fatal(err)
			}
			admin, err := ts.sdk.AdminListDevices(t.Context(), &cip.AdminListDevicesInput{UserPoolId: &app.pool, Username: aws.String("alice"), Limit: aws.Int32(2), PaginationToken: adminNext})
			if err != nil {
				t.Fatal(err)
			}
			for i := range out.Devices {
				mine, theirs = append(mine, *out.Devices[i].DeviceKey), append(theirs, *admin.Devices[i].DeviceKey)
			}
			next, adminNext = out.PaginationToken, admin.PaginationToken
		}
		if next != nil || adminNext != nil || !slices.Equal(mine, keys) || !slices.Equal(theirs, keys) {
			t.Errorf("%v, administrator %v, want %v", mine, theirs, keys)
		}
		name := aws.String("alice")
		if out, err := ts.sdk.AdminGetDevice(t.Context(), &cip.AdminGetDeviceInput{UserPoolId: &app.pool, Username: name, DeviceKey: &keys[0]}); err != nil || *out.Device.DeviceKey != keys[0] {
			t.Errorf("AdminGetDevice: %v %v", out, err)
		}
		if _, err := ts.sdk.AdminForgetDevice(t.Context(), &cip.AdminForgetDeviceInput{UserPoolId: &app.pool, Username: name, DeviceKey: &keys[0]}); err != nil {
			t.Fatal(err)
		}
		nobody := aws.String("nobody")
		for _, c := range []struct {
			name, code string
			err        error
		}{
			{"get a forgotten device", "ResourceNotFoundException", second(ts.sdk.AdminGetDevice(t.Context(), &cip.AdminGetDeviceInput{UserPoolId: &app.pool, Username: name, DeviceKey: &keys[0]}))},
			{"update a forgotten device", "ResourceNotFoundException", second(ts.sdk.AdminUpdateDeviceStatus(t.Context(), &cip.AdminUpdateDeviceStatusInput{UserPoolId: &app.pool, Username: name, DeviceKey: &keys[0], DeviceRememberedStatus: "remembered"}))},
			{"update without a status", "InvalidParameterException", second(ts.sdk.AdminUpdateDeviceStatus(t.Context(), &cip.AdminUpdateDeviceStatusInput{UserPoolId: &app.pool, Username: name, DeviceKey: &keys[1]}))},
			{"get a device of nobody", "ResourceNotFoundException", second(ts.sdk.AdminGetDevice(t.Context(), &cip.AdminGetDeviceInput{UserPoolId: &app.pool, Username: nobody, DeviceKey: &keys[1]}))},
			{"list devices of nobody", "ResourceNotFoundException", second(ts.sdk.AdminListDevices(t.Context(), &cip.AdminListDevicesInput{UserPoolId: &app.pool, Username: nobody}))},
			{"forget a device of nobody", "UserNotFoundException", second(ts.sdk.AdminForgetDevice(t.Context(), &cip.AdminForgetDeviceInput{UserPoolId: &app.pool, Username: nobody, DeviceKey: &keys[1]}))},
			{"page of another list", "InvalidParameterException", second(app.sdk.ListDevices(t.Context(), &cip.ListDevicesInput{AccessToken: token, PaginationToken: aws.String("AAAA")}))},
			{"no token", "InvalidParameterException", second(app.sdk.GetDevice(t.Context(), &cip.GetDeviceInput{DeviceKey: &keys[1]}))},
			{"bad token", "NotAuthorizedException", second(app.sdk.ForgetDevice(t.Context(), &cip.ForgetDeviceInput{DeviceKey: &keys[1], AccessToken: aws.String("a.b.c")}))},
			{"another account", "ResourceNotFoundException", second(ts.client(otherAccount).AdminListDevices(t.Context(), &cip.AdminListDevicesInput{UserPoolId: &app.pool, Username: name}))},
		} {
			wantError(t, c.name, c.err, c.code, "")
		}

		// What was there goes with the user; without tracking there is nothing to say.
		if _, err := ts.sdk.UpdateUserPool(t.Context(), &cip.UpdateUserPoolInput{UserPoolId: &app.pool}); err != nil {
			t.Fatal(err)
		}
		for _, err := range []error{
			second(app.sdk.ListDevices(t.Context(), &cip.ListDevicesInput{AccessToken: token})),
			second(app.sdk.GetDevice(t.Context(), &cip.GetDeviceInput{AccessToken: token, DeviceKey: &keys[1]})),
			second(app.sdk.ForgetDevice(t.Context(), &cip.ForgetDeviceInput{AccessToken: token, DeviceKey: &keys[1]})),
			second(app.sdk.UpdateDeviceStatus(t.Context(), &cip.UpdateDeviceStatusInput{AccessToken: token, DeviceKey: &keys[1], DeviceRememberedStatus: "remembered"})),
			second(app.confirmDevice(t, token, &testDevice{keys[1], "-AbCdEfGh", "x"})),
		} {
			wantError(t, "without tracking", err, "InvalidUserPoolConfigurationException", "")
		}
		if out, err := app.on(t, "alice", keys[1]); err != nil || out.AuthenticationResult == nil || out.AuthenticationResult.NewDeviceMetadata != nil {
			t.Errorf("sign-in without tracking: %+v %v", out, err)
		}
		if _, err := ts.sdk.AdminDeleteUser(t.Context(), &cip.AdminDeleteUserInput{UserPoolId: &app.pool, Username: name}); err != nil {
			t.Fatal(err)
		}
		if n, err := db.One[int](t.Context(), ts.DB, `SELECT count(*) FROM user_devices WHERE pool_id = $1`, app.pool); err != nil || n != 0 {
			t.Errorf("%d devices are left: %v", n, err)
		}
	})
}

// TestDevicesAreBounded: the devices that were used longest ago make room.
func TestDevicesAreBounded(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t, tracking(true, false))
		app.person(t, "alice")
		r := app.signIn(t, "alice", testPassword)
		err := ts.DB.Tx(t.Context(), func(tx *db.Tx) error {
			_, err := tx.ExecContext(t.Context(), `INSERT INTO user_devices (pool_id, sub, `+deviceColumns+`)
				WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
				SELECT u.pool_id, u.sub, 'eu-central-1_' || i, '', u.salt, u.verifier, u.enabled, i, i, i FROM n, users u WHERE u.pool_id = $1`, app.pool)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := app.confirmDevice(t, r.AccessToken, newDevice(t, r)); err != nil {
			t.Fatal(err)
		}
		keys, err := db.All[string](t.Context(), ts.DB, `SELECT device_key FROM user_devices WHERE pool_id = $1 ORDER BY authenticated`, app.pool)
		if err != nil || len(keys) != maxDevices || keys[0] != "eu-central-1_2" || !strings.HasPrefix(keys[maxDevices-1], "eu-central-1_") {
			t.Errorf("%d devices, the oldest is %v: %v", len(keys), keys[:1], err)
		}
	})
}

// TestDeviceTriggers: what functions are told of the device.
func TestDeviceTriggers(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		server := ts.functions(t)
		app := ts.newApp(t, tracking(true, false), triggers(types.LambdaConfigType{PostAuthentication: function("post"), PreTokenGeneration: function("tokens")}))
		app.person(t, "ada")
		server.Handle("post", echo)
		server.Handle("tokens", echo)
		r := app.signIn(t, "ada", testPassword)
		events := server.Events()
		if got := sources(events); !slices.Equal(got, []string{"PostAuthentication_Authentication", "TokenGeneration_Authentication"}) || member(events[0], "request")["newDeviceUsed"] != true {
			t.Errorf("new device: %v", events)
		}
		d := newDevice(t, r)
		if _, err := app.confirmDevice(t, r.AccessToken, d); err != nil {
			t.Fatal(err)
		}
		out, err := app.on(t, "ada", d.key)
		if err != nil {
			t.Fatal(err)
		}
		got, err := app.device(t, "ada", d, out.Session)
		wantTokens(t, "device", got, err)
		events = server.Events()
		if got := sources(events); !slices.Equal(got, []string{"PostAuthentication_Authentication", "TokenGeneration_AuthenticateDevice"}) || member(events[0], "request")["newDeviceUsed"] != false {
			t.Errorf("remembered device: %v", events)
		}
	})
}
