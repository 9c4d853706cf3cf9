package userpool

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	cip "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider/types"
	"github.com/pquerna/otp/totp"

	"usher/internal/db"
)

var testSMS = &types.SmsConfigurationType{SnsCallerArn: aws.String("arn:aws:iam::123456789012:role/sms")}

// sender lets a pool have MFA by e-mail.
func sender(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) {
	p.EmailConfiguration = &types.EmailConfigurationType{EmailSendingAccount: "DEVELOPER", SourceArn: aws.String("arn:aws:ses:eu-central-1:123456789012:identity/example.com")}
}

// recoveredBy sets the first means of account recovery.
func recoveredBy(name string) func(*cip.CreateUserPoolInput, *cip.CreateUserPoolClientInput) {
	return func(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) {
		p.AccountRecoverySetting = &types.AccountRecoverySettingType{RecoveryMechanisms: []types.RecoveryOptionType{{Name: types.RecoveryOptionNameType(name), Priority: aws.Int32(1)}}}
		if name == "verified_email" {
			p.AccountRecoverySetting.RecoveryMechanisms = append(p.AccountRecoverySetting.RecoveryMechanisms, types.RecoveryOptionType{Name: "verified_phone_number", Priority: aws.Int32(2)})
		}
	}
}

// requireMFA sets the pool's MFA; has names its factors by their first letters: S, T, E.
func (app *testApp) setMFA(tb testing.TB, mode types.UserPoolMfaType, has string) {
	tb.Helper()
	in := &cip.SetUserPoolMfaConfigInput{UserPoolId: &app.pool, MfaConfiguration: mode}
	if strings.Contains(has, "S") {
		in.SmsMfaConfiguration = &types.SmsMfaConfigType{SmsConfiguration: testSMS}
	}
	if strings.Contains(has, "T") {
		in.SoftwareTokenMfaConfiguration = &types.SoftwareTokenMfaConfigType{Enabled: true}
	}
	if strings.Contains(has, "E") {
		in.EmailMfaConfiguration = &types.EmailMfaConfigType{}
	}
	if _, err := app.sdk.SetUserPoolMfaConfig(tb.Context(), in); err != nil {
		tb.Fatal(err)
	}
}

// person creates a confirmed user with a password and attributes.
func (app *testApp) person(tb testing.TB, name string, attrs ...string) {
	tb.Helper()
	if _, err := app.sdk.AdminCreateUser(tb.Context(), &cip.AdminCreateUserInput{UserPoolId: &app.pool, Username: &name, MessageAction: "SUPPRESS", UserAttributes: attributes(attrs...)}); err != nil {
		tb.Fatal(err)
	}
	if _, err := app.sdk.AdminSetUserPassword(tb.Context(), &cip.AdminSetUserPasswordInput{UserPoolId: &app.pool, Username: &name, Password: aws.String(testPassword), Permanent: true}); err != nil {
		tb.Fatal(err)
	}
}

// totpCode is the code of a secret at the server's time and some steps later.
func (app *testApp) totpCode(tb testing.TB, secret string, steps int) string {
	tb.Helper()
	code, err := totp.GenerateCode(secret, app.clock.Now().Add(time.Duration(steps)*30*time.Second))
	if err != nil {
		tb.Fatal(err)
	}
	return code
}

// enrolTOTP gives a user with an access token an authenticator app and returns its secret. It moves the clock, so that the
// code of the enrolment is past.
func (app *testApp) enrolTOTP(tb testing.TB, token *string) string {
	tb.Helper()
	a, err := app.sdk.AssociateSoftwareToken(tb.Context(), &cip.AssociateSoftwareTokenInput{AccessToken: token})
	if err != nil {
		tb.Fatal(err)
	}
	v, err := app.sdk.VerifySoftwareToken(tb.Context(), &cip.VerifySoftwareTokenInput{AccessToken: token, UserCode: aws.String(app.totpCode(tb, *a.SecretCode, 0)), FriendlyDeviceName: aws.String("my phone")})
	if err != nil {
		tb.Fatal(err)
	}
	if v.Status != "SUCCESS" || v.Session != nil || a.Session != nil {
		tb.Errorf("enrolment answered %+v %+v", a, v)
	}
	app.clock.advance(2 * time.Minute)
	return *a.SecretCode
}

// prefer sets a user's factors by letters: small is enabled, big preferred, "-" before a letter disabled.
func (app *testApp) prefer(tb testing.TB, token *string, letters string) error {
	in := &cip.SetUserMFAPreferenceInput{AccessToken: token}
	off := false
	for _, l := range letters {
		big := l < 'a'
		switch l {
		case '-':
			off = true
			continue
		case 's', 'S':
			in.SMSMfaSettings = &types.SMSMfaSettingsType{Enabled: !off, PreferredMfa: big}
		case 't', 'T':
			in.SoftwareTokenMfaSettings = &types.SoftwareTokenMfaSettingsType{Enabled: !off, PreferredMfa: big}
		case 'e', 'E':
			in.EmailMfaSettings = &types.EmailMfaSettingsType{Enabled: !off, PreferredMfa: big}
		}
		off = false
	}
	_, err := app.sdk.SetUserMFAPreference(tb.Context(), in)
	return err
}

// mfaDecisions is the decision tree of the developer guide, "MFA decision logic at user runtime". pool and user name factors by S, T
// and E; has is what the user has: p a phone number, e an e-mail address, t an authenticator app.
var mfaDecisions = []struct {
	mode, pool, recovery, has string
	enabled                   string // by the user; big: preferred
	want                      string // challenge and choices, tokens, or error
}{
	// Off, whatever there is.
	{"OFF", "", "", "pe", "", "tokens"},
	// Optional: what the user has turned on.
	{"OPTIONAL", "STE", "", "pe", "", "tokens"},
	{"OPTIONAL", "STE", "", "pet", "", "tokens"},
	{"OPTIONAL", "STE", "", "p", "s", "SMS_MFA"},
	{"OPTIONAL", "STE", "", "e", "e", "EMAIL_OTP"},
	{"OPTIONAL", "STE", "", "t", "t", "SOFTWARE_TOKEN_MFA"},
	{"OPTIONAL", "STE", "", "pet", "St", "SMS_MFA"},
	{"OPTIONAL", "STE", "", "pet", "sTe", "SOFTWARE_TOKEN_MFA"},
	{"OPTIONAL", "STE", "", "pet", "stE", "EMAIL_OTP"},
	{"OPTIONAL", "STE", "", "pet", "st", "SELECT_MFA_TYPE SMS_MFA SOFTWARE_TOKEN_MFA"},
	{"OPTIONAL", "STE", "", "pet", "ste", "SELECT_MFA_TYPE SMS_MFA SOFTWARE_TOKEN_MFA EMAIL_OTP"},
	{"OPTIONAL", "STE", "", "pe", "se", "SELECT_MFA_TYPE SMS_MFA EMAIL_OTP"},
	// On, preferred first, even if it recovers the account.
	{"ON", "STE", "verified_phone_number", "pet", "S", "SMS_MFA"},
	{"ON", "STE", "verified_email", "pet", "T", "SOFTWARE_TOKEN_MFA"},
	// On, with an authenticator app.
	{"ON", "STE", "admin_only", "t", "", "SOFTWARE_TOKEN_MFA"},
	{"ON", "T", "admin_only", "pet", "", "SOFTWARE_TOKEN_MFA"},
	{"ON", "STE", "verified_phone_number", "pt", "", "SOFTWARE_TOKEN_MFA"},
	{"ON", "STE", "verified_phone_number", "pet", "", "SELECT_MFA_TYPE SOFTWARE_TOKEN_MFA EMAIL_OTP"},
	{"ON", "STE", "verified_email", "pet", "", "SELECT_MFA_TYPE SMS_MFA SOFTWARE_TOKEN_MFA"},
	{"ON", "STE", "admin_only", "pet", "", "SELECT_MFA_TYPE SMS_MFA SOFTWARE_TOKEN_MFA EMAIL_OTP"},
	// On, one address.
	{"ON", "STE", "verified_phone_number", "p", "", "MFA_SETUP SOFTWARE_TOKEN_MFA"},
	{"ON", "SE", "verified_phone_number", "p", "", "error"},
	{"ON", "STE", "verified_email", "e", "", "MFA_SETUP SOFTWARE_TOKEN_MFA"},
	{"ON", "SE", "verified_email", "e", "", "error"},
	{"ON", "STE", "verified_email", "p", "", "SMS_MFA"},
	{"ON", "STE", "verified_phone_number", "e", "", "EMAIL_OTP"},
	{"ON", "S", "", "p", "", "SMS_MFA"},
	{"ON", "TE", "verified_email", "p", "", "MFA_SETUP SOFTWARE_TOKEN_MFA"},
	{"ON", "E", "admin_only", "p", "", "error"},
	{"ON", "S", "verified_phone_number", "e", "", "error"},
	// On, both addresses.
	{"ON", "STE", "verified_email", "pe", "", "SMS_MFA"},
	{"ON", "STE", "verified_phone_number", "pe", "", "EMAIL_OTP"},
	{"ON", "STE", "admin_only", "pe", "", "SELECT_MFA_TYPE SMS_MFA EMAIL_OTP"},
	{"ON", "SE", "", "pe", "", "SELECT_MFA_TYPE SMS_MFA EMAIL_OTP"},
	{"ON", "ST", "verified_phone_number", "pe", "", "MFA_SETUP SOFTWARE_TOKEN_MFA"},
	{"ON", "S", "verified_phone_number", "pe", "", "error"},
	// On, none.
	{"ON", "STE", "verified_phone_number", "", "", "MFA_SETUP SOFTWARE_TOKEN_MFA EMAIL_OTP"},
	{"ON", "STE", "verified_email", "", "", "MFA_SETUP SOFTWARE_TOKEN_MFA"},
	{"ON", "T", "", "", "", "MFA_SETUP SOFTWARE_TOKEN_MFA"},
	{"ON", "E", "admin_only", "", "", "MFA_SETUP EMAIL_OTP"},
	{"ON", "S", "", "", "", "error"},
}

func TestMFADecisions(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		ts.clock.advance(time.Hour)
		for i, d := range mfaDecisions {
			name := fmt.Sprintf("%s %s, recovered by %s, user has %s, enabled %s", d.mode, d.pool, d.recovery, d.has, d.enabled)
			options := []func(*cip.CreateUserPoolInput, *cip.CreateUserPoolClientInput){sender}
			if d.recovery != "" {
				options = append(options, recoveredBy(d.recovery))
			}
			app := ts.newApp(t, options...)
			var attrs []string
			if strings.Contains(d.has, "p") {
				attrs = append(attrs, "phone_number", "+15550001234")
			}
			if strings.Contains(d.has, "e") {
				attrs = append(attrs, "email", "eve@example.com")
			}
			app.person(t, "eve", attrs...)
			token := app.signIn(t, "eve", testPassword).AccessToken
			// The user sets himself up while nothing is required.
			if d.has != "" && strings.Contains(d.has, "t") {
				app.setMFA(t, "OPTIONAL", "STE")
				app.enrolTOTP(t, token)
			}
			if d.enabled != "" {
				app.setMFA(t, "OPTIONAL", "STE")
				if err := app.prefer(t, token, d.enabled); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
			}
			app.setMFA(t, types.UserPoolMfaType(d.mode), d.pool)
			got := ""
			out, err := app.password(t, "eve", testPassword)
			switch {
			case err != nil:
				wantError(t, name, err, "InvalidParameterException", "")
				got = "error"
			case out.AuthenticationResult != nil:
				got = "tokens"
			default:
				got = string(out.ChallengeName)
				for _, key := range []string{"MFAS_CAN_CHOOSE", "MFAS_CAN_SETUP"} {
					var choices []string
					if text := out.ChallengeParameters[key]; text != "" {
						if err := json.Unmarshal([]byte(text), &choices); err != nil {
							t.Errorf("%s: %s is %s", name, key, text)
						}
						got += " " + strings.Join(choices, " ")
					}
				}
				if len(aws.ToString(out.Session)) < 20 || len(*out.Session) > 2048 || out.ChallengeParameters["USER_ID_FOR_SRP"] != "eve" {
					t.Errorf("%s: %+v", name, out)
				}
			}
			if got != d.want {
				t.Errorf("%d. %s: %s, want %s", i, name, got, d.want)
			}
		}
	})
}

// challenge signs in as far as the challenge and returns it.
func (app *testApp) challenge(tb testing.TB, name string, want types.ChallengeNameType) *cip.InitiateAuthOutput {
	tb.Helper()
	out, err := app.password(tb, name, testPassword)
	if err != nil {
		tb.Fatal(err)
	}
	if out.ChallengeName != want {
		tb.Fatalf("challenge %q %v, want %s", out.ChallengeName, out.ChallengeParameters, want)
	}
	return out
}

// reply answers a challenge for a user.
func (app *testApp) reply(tb testing.TB, name string, challenge types.ChallengeNameType, session *string, pairs ...string) (*cip.RespondToAuthChallengeOutput, error) {
	responses := map[string]string{"USERNAME": name}
	for i := 0; i < len(pairs); i += 2 {
		responses[pairs[i]] = pairs[i+1]
	}
	return app.respond(tb, challenge, session, app.with(name, responses))
}

func wantTokens(tb testing.TB, what string, out *cip.RespondToAuthChallengeOutput, err error) *types.AuthenticationResultType {
	tb.Helper()
	if err != nil || out.AuthenticationResult == nil || out.AuthenticationResult.AccessToken == nil || out.ChallengeName != "" || out.Session != nil {
		tb.Fatalf("%s: %+v %v", what, out, err)
	}
	return out.AuthenticationResult
}

func wrongCode(right string) string {
	if right == "000000" {
		return "000001"
	}
	return "000000"
}

func TestTOTP(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t, withSecret)
		app.user(t, "alice")
		token := app.signIn(t, "alice", testPassword).AccessToken
		_, err := app.sdk.AssociateSoftwareToken(t.Context(), &cip.AssociateSoftwareTokenInput{AccessToken: token})
		wantError(t, "authenticator app while MFA is off", err, "SoftwareTokenMFANotFoundException", "Software Token MFA has not been enabled by the userPool")
		app.setMFA(t, "OPTIONAL", "T")

		wantError(t, "enabling TOTP before enrolment", app.prefer(t, token, "t"), "InvalidParameterException", "User has not verified software token mfa")
		_, err = app.sdk.VerifySoftwareToken(t.Context(), &cip.VerifySoftwareTokenInput{AccessToken: token, UserCode: aws.String("123456")})
		wantError(t, "verifying nothing", err, "SoftwareTokenMFANotFoundException", "")
		first, err := app.sdk.AssociateSoftwareToken(t.Context(), &cip.AssociateSoftwareTokenInput{AccessToken: token})
		if err != nil || len(*first.SecretCode) != 52 {
			t.Fatalf("secret %v %v", first, err)
		}
		second, err := app.sdk.AssociateSoftwareToken(t.Context(), &cip.AssociateSoftwareTokenInput{AccessToken: token})
		if err != nil {
			t.Fatal(err)
		}
		_, err = app.sdk.VerifySoftwareToken(t.Context(), &cip.VerifySoftwareTokenInput{AccessToken: token, UserCode: aws.String(app.totpCode(t, *first.SecretCode, 0))})
		wantError(t, "code of the replaced secret", err, "EnableSoftwareTokenMFAException", "Code mismatch and fail enable Software Token MFA")
		_, err = app.sdk.VerifySoftwareToken(t.Context(), &cip.VerifySoftwareTokenInput{AccessToken: token, UserCode: aws.String(app.totpCode(t, *second.SecretCode, -2))})
		wantError(t, "code two steps old", err, "EnableSoftwareTokenMFAException", "")
		secret := app.enrolTOTP(t, token)

		// Enrolment alone asks for nothing.
		app.signIn(t, "alice", testPassword)
		if err := app.prefer(t, token, "T"); err != nil {
			t.Fatal(err)
		}
		me, err := app.sdk.GetUser(t.Context(), &cip.GetUserInput{AccessToken: token})
		if err != nil || aws.ToString(me.PreferredMfaSetting) != "SOFTWARE_TOKEN_MFA" || !slices.Equal(me.UserMFASettingList, []string{"SOFTWARE_TOKEN_MFA"}) || me.MFAOptions != nil {
			t.Errorf("GetUser: %+v %v", me, err)
		}

		out := app.challenge(t, "alice", "SOFTWARE_TOKEN_MFA")
		if len(out.ChallengeParameters) != 2 || out.ChallengeParameters["FRIENDLY_DEVICE_NAME"] != "my phone" || out.ChallengeParameters["USER_ID_FOR_SRP"] != "alice" {
			t.Errorf("parameters: %v", out.ChallengeParameters)
		}
		for _, steps := range []int{-2, 2, 1000} {
			_, err := app.reply(t, "alice", "SOFTWARE_TOKEN_MFA", out.Session, "SOFTWARE_TOKEN_MFA_CODE", app.totpCode(t, secret, steps))
			wantError(t, fmt.Sprint("code of step ", steps), err, "CodeMismatchException", "Invalid code received for user")
		}
		_, err = app.reply(t, "alice", "SOFTWARE_TOKEN_MFA", out.Session, "SMS_MFA_CODE", "123456")
		wantError(t, "no code", err, "InvalidParameterException", "Missing required parameter SOFTWARE_TOKEN_MFA_CODE")
		_, err = app.respond(t, "SOFTWARE_TOKEN_MFA", out.Session, map[string]string{"USERNAME": "alice", "SOFTWARE_TOKEN_MFA_CODE": app.totpCode(t, secret, 0)})
		wantError(t, "no secret hash", err, "NotAuthorizedException", "")
		got, err := app.reply(t, "alice", "SOFTWARE_TOKEN_MFA", out.Session, "SOFTWARE_TOKEN_MFA_CODE", app.totpCode(t, secret, 0))
		wantTokens(t, "right code", got, err)
		_, err = app.reply(t, "alice", "SOFTWARE_TOKEN_MFA", out.Session, "SOFTWARE_TOKEN_MFA_CODE", app.totpCode(t, secret, 1))
		wantError(t, "session again", err, "NotAuthorizedException", "Invalid session for the user, session can only be used once.")

		// A code that was seen is of no use, in no session, nor is an older one.
		out = app.challenge(t, "alice", "SOFTWARE_TOKEN_MFA")
		for _, steps := range []int{0, -1} {
			_, err = app.reply(t, "alice", "SOFTWARE_TOKEN_MFA", out.Session, "SOFTWARE_TOKEN_MFA_CODE", app.totpCode(t, secret, steps))
			wantError(t, "replayed code", err, "ExpiredCodeException", "Your software token has already been used once.")
		}
		// The clock of the app may be a step ahead, or behind.
		for _, drift := range []int{1, -1} {
			ts.clock.advance(2 * time.Minute)
			out = app.challenge(t, "alice", "SOFTWARE_TOKEN_MFA")
			got, err = app.reply(t, "alice", "SOFTWARE_TOKEN_MFA", out.Session, "SOFTWARE_TOKEN_MFA_CODE", app.totpCode(t, secret, drift))
			wantTokens(t, fmt.Sprint("drift of ", drift), got, err)
		}
		// Expired.
		out = app.challenge(t, "alice", "SOFTWARE_TOKEN_MFA")
		ts.clock.advance(4 * time.Minute)
		_, err = app.reply(t, "alice", "SOFTWARE_TOKEN_MFA", out.Session, "SOFTWARE_TOKEN_MFA_CODE", app.totpCode(t, secret, 0))
		wantError(t, "expired session", err, "NotAuthorizedException", "Invalid session for the user, session is expired.")

		// A pool that turns TOTP off leaves the app of a user good.
		app.setMFA(t, "OPTIONAL", "S")
		out = app.challenge(t, "alice", "SOFTWARE_TOKEN_MFA")
		got, err = app.reply(t, "alice", "SOFTWARE_TOKEN_MFA", out.Session, "SOFTWARE_TOKEN_MFA_CODE", app.totpCode(t, secret, 0))
		wantTokens(t, "after TOTP was turned off", got, err)
		app.setMFA(t, "OPTIONAL", "T")

		// What is stored is not the secret.
		plain, _ := totpText.DecodeString(secret)
		stored, err := db.One[[]byte](t.Context(), ts.DB, `SELECT secret FROM user_software_tokens WHERE pool_id = $1`, app.pool)
		if err != nil || len(stored) < totpSecretSize || bytes.Contains(stored, plain) || bytes.Contains(stored, []byte(secret)) {
			t.Errorf("stored %x: %v", stored, err)
		}

		for _, c := range []struct{ user, want string }{{"alice", ""}, {"alice", "ResourceNotFoundException"}, {"nobody", "UserNotFoundException"}} {
			if got := app.raw(t, "AdminDeleteSoftwareToken", map[string]any{"UserPoolId": app.pool, "Username": c.user}, &struct{}{}); got != c.want {
				t.Errorf("AdminDeleteSoftwareToken of %s: %q, want %q", c.user, got, c.want)
			}
		}
		app.signIn(t, "alice", testPassword)
	})
}

// raw calls an operation without the SDK, which does not have all and sometimes sends a request twice, and returns the type
// of the error; out takes the answer.
func (app *testApp) raw(tb testing.TB, operation string, in map[string]any, out any) string {
	tb.Helper()
	text, err := json.Marshal(in)
	if err != nil {
		tb.Fatal(err)
	}
	r, err := http.NewRequestWithContext(tb.Context(), "POST", app.url, bytes.NewReader(text))
	if err != nil {
		tb.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "AWSCognitoIdentityProviderService."+operation)
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+testAccount+"/20260304/eu-central-1/cognito-idp/aws4_request")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		tb.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		tb.Fatal(err)
	}
	var failure struct {
		Type string `json:"__type"`
	}
	if err := json.Unmarshal(body, &failure); err != nil || (resp.StatusCode == http.StatusOK) != (failure.Type == "") {
		tb.Fatalf("%s: status %d: %s", operation, resp.StatusCode, body)
	}
	if err := json.Unmarshal(body, out); err != nil {
		tb.Fatal(err)
	}
	return failure.Type
}

func TestMFASetup(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t, sender, recoveredBy("verified_phone_number"))
		app.person(t, "alice")
		app.person(t, "bob")
		app.person(t, "carol", "phone_number", "+15550001234")
		app.setMFA(t, "ON", "STE")

		// By an authenticator app.
		out := app.challenge(t, "alice", "MFA_SETUP")
		_, err := app.reply(t, "alice", "MFA_SETUP", out.Session)
		wantError(t, "nothing set up", err, "InvalidParameterException", "")
		a, err := app.sdk.AssociateSoftwareToken(t.Context(), &cip.AssociateSoftwareTokenInput{Session: out.Session})
		if err != nil {
			t.Fatal(err)
		}
		_, err = app.reply(t, "alice", "MFA_SETUP", a.Session)
		wantError(t, "not verified", err, "InvalidParameterException", "")
		right := app.totpCode(t, *a.SecretCode, 0)
		_, err = app.sdk.VerifySoftwareToken(t.Context(), &cip.VerifySoftwareTokenInput{Session: a.Session, UserCode: aws.String(wrongCode(right))})
		wantError(t, "wrong code", err, "EnableSoftwareTokenMFAException", "Code mismatch and fail enable Software Token MFA")
		v, err := app.sdk.VerifySoftwareToken(t.Context(), &cip.VerifySoftwareTokenInput{Session: a.Session, UserCode: &right})
		if err != nil {
			t.Fatal(err)
		}
		_, err = app.sdk.VerifySoftwareToken(t.Context(), &cip.VerifySoftwareTokenInput{Session: a.Session, UserCode: &right})
		wantError(t, "verifying twice", err, "NotAuthorizedException", "")
		_, err = app.sdk.AssociateSoftwareToken(t.Context(), &cip.AssociateSoftwareTokenInput{Session: out.Session})
		wantError(t, "another app with the first session", err, "NotAuthorizedException", "")
		_, err = app.sdk.AssociateSoftwareToken(t.Context(), &cip.AssociateSoftwareTokenInput{Session: v.Session})
		wantError(t, "another app with the last session", err, "NotAuthorizedException", "")
		_, err = app.reply(t, "bob", "MFA_SETUP", v.Session)
		wantError(t, "session of another user", err, "NotAuthorizedException", "Invalid session for the user.")
		_, err = app.anotherClient(t).reply(t, "alice", "MFA_SETUP", v.Session)
		wantError(t, "session of another client", err, "NotAuthorizedException", "Invalid session for the user.")
		got, err := app.reply(t, "alice", "MFA_SETUP", v.Session)
		token := wantTokens(t, "app set up", got, err).AccessToken
		_, err = app.reply(t, "alice", "MFA_SETUP", v.Session)
		wantError(t, "session again", err, "NotAuthorizedException", "Invalid session for the user, session can only be used once.")
		me, err := ts.sdk.AdminGetUser(t.Context(), &cip.AdminGetUserInput{UserPoolId: &app.pool, Username: aws.String("alice")})
		if err != nil || !slices.Equal(me.UserMFASettingList, []string{"SOFTWARE_TOKEN_MFA"}) || me.PreferredMfaSetting != nil {
			t.Errorf("AdminGetUser: %+v %v", me, err)
		}
		out = app.challenge(t, "alice", "SOFTWARE_TOKEN_MFA")
		_, err = app.reply(t, "alice", "SOFTWARE_TOKEN_MFA", out.Session, "SOFTWARE_TOKEN_MFA_CODE", right)
		wantError(t, "code of the enrolment", err, "ExpiredCodeException", "")
		wantError(t, "turning it off", app.prefer(t, token, "-t"), "InvalidParameterException", "")

		// By an e-mail address.
		ts.outbox.take()
		out = app.challenge(t, "bob", "MFA_SETUP")
		_, err = app.reply(t, "bob", "MFA_SETUP", out.Session, "EMAIL", "not an address")
		wantError(t, "bad address", err, "InvalidParameterException", "Invalid email address format.")
		next, err := app.reply(t, "bob", "MFA_SETUP", out.Session, "email", "bob@example.com")
		if err != nil || next.ChallengeName != "EMAIL_OTP" || next.ChallengeParameters["CODE_DELIVERY_DESTINATION"] != "b***@e***" || next.ChallengeParameters["CODE_DELIVERY_DELIVERY_MEDIUM"] != "EMAIL" {
			t.Fatalf("e-mail address: %+v %v", next, err)
		}
		right = ts.outbox.code(t)
		_, err = app.reply(t, "bob", "EMAIL_OTP", next.Session, "EMAIL_OTP_CODE", wrongCode(right))
		wantError(t, "wrong code", err, "CodeMismatchException", "Invalid code or auth state for the user.")
		got, err = app.reply(t, "bob", "EMAIL_OTP", next.Session, "EMAIL_OTP_CODE", right)
		attrs, err := app.getUser(t, wantTokens(t, "e-mail address set up", got, err).AccessToken)
		if err != nil || attrs["email"] != "bob@example.com" || attrs["email_verified"] != "true" {
			t.Errorf("attributes %v %v", attrs, err)
		}
		app.challenge(t, "bob", "EMAIL_OTP")

		// Only where it is offered.
		out = app.challenge(t, "carol", "MFA_SETUP")
		_, err = app.reply(t, "carol", "MFA_SETUP", out.Session, "EMAIL", "carol@example.com")
		wantError(t, "e-mail address that may not be set up", err, "InvalidParameterException", "")

		// A password alone never replaces a second factor: the session was begun before there was one.
		carol, err := app.sdk.AssociateSoftwareToken(t.Context(), &cip.AssociateSoftwareTokenInput{Session: out.Session})
		if err != nil {
			t.Fatal(err)
		}
		late := app.challenge(t, "carol", "MFA_SETUP")
		if _, err = app.sdk.VerifySoftwareToken(t.Context(), &cip.VerifySoftwareTokenInput{Session: carol.Session, UserCode: aws.String(app.totpCode(t, *carol.SecretCode, 0))}); err != nil {
			t.Fatal(err)
		}
		_, err = app.sdk.AssociateSoftwareToken(t.Context(), &cip.AssociateSoftwareTokenInput{Session: late.Session})
		wantError(t, "second app by password", err, "NotAuthorizedException", "Invalid session for the user.")
	})
}

// TestSetupAfterNewPassword: a temporary password leads to NEW_PASSWORD_REQUIRED and then to the second factor.
func TestMFAAfterNewPassword(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t)
		app.setMFA(t, "ON", "ST")
		if _, err := ts.sdk.AdminCreateUser(t.Context(), &cip.AdminCreateUserInput{UserPoolId: &app.pool, Username: aws.String("alice"), MessageAction: "SUPPRESS",
			TemporaryPassword: aws.String(testPassword), UserAttributes: attributes("phone_number", "+15550001234")}); err != nil {
			t.Fatal(err)
		}
		out := app.challenge(t, "alice", "NEW_PASSWORD_REQUIRED")
		next, err := app.reply(t, "alice", "NEW_PASSWORD_REQUIRED", out.Session, "NEW_PASSWORD", newPassword)
		if err != nil || next.ChallengeName != "SMS_MFA" || next.AuthenticationResult != nil {
			t.Fatalf("%+v %v", next, err)
		}
		sent := ts.outbox.take()
		if len(sent) != 1 || sent[0].Medium != "SMS" || sent[0].To != "+15550001234" || sent[0].Purpose != "mfa" {
			t.Fatalf("sent %+v", sent)
		}
		got, err := app.reply(t, "alice", "SMS_MFA", next.Session, "SMS_MFA_CODE", codePattern.FindString(sent[0].Body))
		wantTokens(t, "SMS after new password", got, err)
	})
}

func TestCodesAsSecondFactor(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t, sender)
		app.person(t, "alice", "phone_number", "+15550001234", "email", "alice@example.com")
		app.person(t, "bob", "phone_number", "+15550004321")
		token := app.signIn(t, "alice", testPassword).AccessToken
		_, err := app.sdk.SetUserPoolMfaConfig(t.Context(), &cip.SetUserPoolMfaConfigInput{UserPoolId: &app.pool, MfaConfiguration: "OPTIONAL",
			SmsMfaConfiguration:   &types.SmsMfaConfigType{SmsConfiguration: testSMS, SmsAuthenticationMessage: aws.String("SMS {####}")},
			EmailMfaConfiguration: &types.EmailMfaConfigType{Subject: aws.String("Hello"), Message: aws.String("Mail {####}")}})
		if err != nil {
			t.Fatal(err)
		}
		if err := app.prefer(t, token, "se"); err != nil {
			t.Fatal(err)
		}
		ts.outbox.take()
		for _, f := range []struct{ factor, answer, parameter, medium, masked, text, attr string }{
			{"SMS_MFA", "SMS_MFA", "SMS_MFA_CODE", "SMS", "+*******1234", "SMS ", "phone_number"},
			{"EMAIL_OTP", "EMAIL_OTP", "EMAIL_OTP_CODE", "EMAIL", "a***@e***", "Mail ", "email"},
			{"EMAIL_OTP", "EMAIL_MFA", "EMAIL_OTP_CODE", "EMAIL", "a***@e***", "Mail ", "email"},
		} {
			out := app.challenge(t, "alice", "SELECT_MFA_TYPE")
			if sent := ts.outbox.take(); len(sent) != 0 {
				t.Errorf("sent before the choice: %+v", sent)
			}
			_, err := app.reply(t, "alice", "SELECT_MFA_TYPE", out.Session, "ANSWER", "SOFTWARE_TOKEN_MFA")
			wantError(t, "factor that is no choice", err, "InvalidParameterException", "")
			next, err := app.reply(t, "alice", "SELECT_MFA_TYPE", out.Session, "ANSWER", f.answer)
			if err != nil || string(next.ChallengeName) != f.factor || len(next.ChallengeParameters) != 3 || next.ChallengeParameters["CODE_DELIVERY_DELIVERY_MEDIUM"] != f.medium ||
				next.ChallengeParameters["CODE_DELIVERY_DESTINATION"] != f.masked || next.ChallengeParameters["USER_ID_FOR_SRP"] != "alice" {
				t.Fatalf("%s: %+v %v", f.factor, next, err)
			}
			_, err = app.reply(t, "alice", "SELECT_MFA_TYPE", out.Session, "ANSWER", f.answer)
			wantError(t, "choosing twice", err, "NotAuthorizedException", "Invalid session for the user, session can only be used once.")
			sent := ts.outbox.take()
			if len(sent) != 1 || sent[0].Medium != f.medium || !strings.HasPrefix(sent[0].Body, f.text) || f.medium == "EMAIL" && sent[0].Subject != "Hello" {
				t.Fatalf("%s: sent %+v", f.factor, sent)
			}
			code := codePattern.FindString(sent[0].Body)
			name := types.ChallengeNameType(f.factor)
			_, err = app.reply(t, "alice", name, next.Session, f.parameter, wrongCode(code))
			wantError(t, "wrong code", err, "CodeMismatchException", "Invalid code or auth state for the user.")
			// Sessions and codes do not mix.
			other := types.ChallengeNameType("SOFTWARE_TOKEN_MFA")
			_, err = app.reply(t, "alice", other, next.Session, "SOFTWARE_TOKEN_MFA_CODE", code)
			wantError(t, "another challenge's name", err, "NotAuthorizedException", "Invalid session for the user.")
			_, err = app.reply(t, "alice", name, out.Session, f.parameter, code)
			wantError(t, "session of another challenge", err, "NotAuthorizedException", "Invalid session for the user.")
			_, err = app.reply(t, "bob", name, next.Session, f.parameter, code)
			wantError(t, "name of another user", err, "NotAuthorizedException", "Invalid session for the user.")
			got, err := app.reply(t, "alice", name, next.Session, f.parameter, code)
			attrs, err := app.getUser(t, wantTokens(t, f.factor, got, err).AccessToken)
			if err != nil || attrs[f.attr+"_verified"] != "true" {
				t.Errorf("%s does not verify the address: %v %v", f.factor, attrs, err)
			}
			_, err = app.reply(t, "alice", name, next.Session, f.parameter, code)
			wantError(t, "code again", err, "NotAuthorizedException", "Invalid session for the user, session can only be used once.")
		}

		// A code is good in its own session only, and for the address that it went to.
		if err := app.prefer(t, token, "S"); err != nil {
			t.Fatal(err)
		}
		one, two := app.challenge(t, "alice", "SMS_MFA"), app.challenge(t, "alice", "SMS_MFA")
		sent := ts.outbox.take()
		codes := []string{codePattern.FindString(sent[0].Body), codePattern.FindString(sent[1].Body)}
		if codes[0] != codes[1] {
			_, err = app.reply(t, "alice", "SMS_MFA", one.Session, "SMS_MFA_CODE", codes[1])
			wantError(t, "code of another session", err, "CodeMismatchException", "")
		}
		got, err := app.reply(t, "alice", "SMS_MFA", two.Session, "SMS_MFA_CODE", codes[1])
		wantTokens(t, "the later of two codes", got, err)
		if _, err := ts.sdk.AdminUpdateUserAttributes(t.Context(), &cip.AdminUpdateUserAttributesInput{UserPoolId: &app.pool, Username: aws.String("alice"), UserAttributes: attributes("phone_number", "+15559999999")}); err != nil {
			t.Fatal(err)
		}
		_, err = app.reply(t, "alice", "SMS_MFA", one.Session, "SMS_MFA_CODE", codes[0])
		wantError(t, "code to a former number", err, "NotAuthorizedException", "Invalid session for the user.")

		// What is changed meanwhile ends the sign-in.
		out := app.challenge(t, "alice", "SMS_MFA")
		code := ts.outbox.code(t)
		ts.clock.advance(time.Second)
		if _, err := ts.sdk.AdminSetUserPassword(t.Context(), &cip.AdminSetUserPasswordInput{UserPoolId: &app.pool, Username: aws.String("alice"), Password: aws.String(testPassword), Permanent: true}); err != nil {
			t.Fatal(err)
		}
		_, err = app.reply(t, "alice", "SMS_MFA", out.Session, "SMS_MFA_CODE", code)
		wantError(t, "after a new password", err, "NotAuthorizedException", "Invalid session for the user.")

		// Messages are bounded.
		err = nil
		for i := 0; err == nil && i < 30; i++ {
			_, err = app.password(t, "alice", testPassword)
		}
		wantError(t, "too many codes", err, "TooManyRequestsException", "")
	})
}

// TestGuessingCodes: wrong codes are counted whatever an attacker who has the password does in between.
func TestGuessingCodes(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t)
		app.user(t, "alice")
		app.setMFA(t, "OPTIONAL", "T")
		token := app.signIn(t, "alice", testPassword).AccessToken
		secret := app.enrolTOTP(t, token)
		if err := app.prefer(t, token, "T"); err != nil {
			t.Fatal(err)
		}
		try := func(code string) error {
			out := app.challenge(t, "alice", "SOFTWARE_TOKEN_MFA") // the password is proven each time
			_, err := app.reply(t, "alice", "SOFTWARE_TOKEN_MFA", out.Session, "SOFTWARE_TOKEN_MFA_CODE", code)
			return err
		}
		bad := app.totpCode(t, secret, 500)
		for range freeFailures {
			wantError(t, "guess", try(bad), "CodeMismatchException", "")
		}
		wantError(t, "sixth guess", try(bad), "NotAuthorizedException", "Password attempts exceeded")
		wantError(t, "right code in the lockout", try(app.totpCode(t, secret, 0)), "NotAuthorizedException", "Password attempts exceeded")
		ts.clock.advance(time.Second)
		wantError(t, "guess after a second", try(app.totpCode(t, secret, 500)), "CodeMismatchException", "")
		ts.clock.advance(time.Second)
		wantError(t, "guess a second later", try(app.totpCode(t, secret, 500)), "NotAuthorizedException", "Password attempts exceeded")
		ts.clock.advance(time.Second)
		if err := try(app.totpCode(t, secret, 0)); err != nil {
			t.Errorf("right code after the lockout: %v", err)
		}
		wantError(t, "guess after a success", try(app.totpCode(t, secret, 500)), "CodeMismatchException", "")

		// A burst is counted exactly.
		ts.clock.advance(time.Hour)
		out := app.challenge(t, "alice", "SOFTWARE_TOKEN_MFA")
		var mu sync.Mutex
		seen := map[string]int{}
		var all sync.WaitGroup
		bad = app.totpCode(t, secret, 500)
		in := map[string]any{"ChallengeName": "SOFTWARE_TOKEN_MFA", "ClientId": app.app, "Session": out.Session,
			"ChallengeResponses": map[string]string{"USERNAME": "alice", "SOFTWARE_TOKEN_MFA_CODE": bad}}
		for range 32 {
			all.Go(func() {
				failure := app.raw(t, "RespondToAuthChallenge", in, &struct{}{})
				mu.Lock()
				defer mu.Unlock()
				seen[failure]++
			})
		}
		all.Wait()
		if len(seen) != 2 || seen["CodeMismatchException"] != freeFailures {
			t.Errorf("a burst of guesses: %v", seen)
		}

		// One of many that send a right code at once wins.
		ts.clock.advance(time.Hour)
		out = app.challenge(t, "alice", "SOFTWARE_TOKEN_MFA")
		good, winners := app.totpCode(t, secret, 0), 0
		for range 8 {
			all.Go(func() {
				if _, err := app.reply(t, "alice", "SOFTWARE_TOKEN_MFA", out.Session, "SOFTWARE_TOKEN_MFA_CODE", good); err == nil {
					mu.Lock()
					defer mu.Unlock()
					winners++
				}
			})
		}
		all.Wait()
		if winners != 1 {
			t.Errorf("one code let %d in", winners)
		}
	})
}

func TestMFAPreference(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t, sender)
		app.person(t, "alice", "phone_number", "+15550001234", "email", "alice@example.com")
		app.person(t, "bob")
		alice, bob := app.signIn(t, "alice", testPassword).AccessToken, app.signIn(t, "bob", testPassword).AccessToken
		for _, c := range []struct {
			mode      types.UserPoolMfaType
			pool      string
			token     *string
			letters   string
			code      string
			text      string
			list      string
			preferred string
		}{
			{"OFF", "", alice, "s", "InvalidParameterException", "SMS_MFA has not been enabled by the userPool", "", ""},
			{"OPTIONAL", "S", alice, "t", "InvalidParameterException", "Software Token MFA has not been enabled by the userPool", "", ""},
			{"OPTIONAL", "ST", alice, "t", "InvalidParameterException", "User has not verified software token mfa", "", ""},
			{"OPTIONAL", "STE", bob, "s", "InvalidParameterException", "User does not have delivery config set to turn on SMS_MFA", "", ""},
			{"OPTIONAL", "STE", bob, "e", "InvalidParameterException", "User does not have delivery config set to turn on EMAIL_OTP", "", ""},
			{"OPTIONAL", "STE", alice, "SE", "InvalidParameterException", "Only one MFA factor can be preferred.", "", ""},
			{"OPTIONAL", "STE", alice, "-S", "InvalidParameterException", "An MFA factor must be enabled to be preferred.", "", ""},
			{"OPTIONAL", "STE", alice, "es", "", "", "SMS_MFA EMAIL_OTP", ""},
			{"OPTIONAL", "STE", alice, "E", "", "", "SMS_MFA EMAIL_OTP", "EMAIL_OTP"},
			{"OPTIONAL", "STE", alice, "S", "", "", "SMS_MFA EMAIL_OTP", "SMS_MFA"},
			{"OPTIONAL", "STE", alice, "s", "", "", "SMS_MFA EMAIL_OTP", ""},
			{"OPTIONAL", "STE", alice, "E", "", "", "SMS_MFA EMAIL_OTP", "EMAIL_OTP"},
			{"OPTIONAL", "STE", alice, "-e", "", "", "SMS_MFA", ""},
			{"ON", "STE", alice, "-s", "InvalidParameterException", "The user pool requires MFA: factors of the user cannot be disabled.", "SMS_MFA", ""},
			{"ON", "STE", alice, "-eS", "", "", "SMS_MFA", "SMS_MFA"},
			{"OPTIONAL", "STE", alice, "-s", "", "", "", ""},
		} {
			app.setMFA(t, c.mode, c.pool)
			err := app.prefer(t, c.token, c.letters)
			if c.code != "" {
				wantError(t, c.letters, err, c.code, c.text)
			} else if err != nil {
				t.Errorf("%s: %v", c.letters, err)
			}
			me, err := app.sdk.GetUser(t.Context(), &cip.GetUserInput{AccessToken: c.token})
			if err != nil || strings.Join(me.UserMFASettingList, " ") != c.list || aws.ToString(me.PreferredMfaSetting) != c.preferred {
				t.Errorf("%s: %v, preferred %v: %v", c.letters, me.UserMFASettingList, me.PreferredMfaSetting, err)
			}
		}

		// Administrators may turn factors off, and the older operation turns on SMS.
		app.setMFA(t, "ON", "STE")
		name := aws.String("alice")
		for _, on := range []bool{true, false} {
			if _, err := ts.sdk.AdminSetUserMFAPreference(t.Context(), &cip.AdminSetUserMFAPreferenceInput{UserPoolId: &app.pool, Username: name, EmailMfaSettings: &types.EmailMfaSettingsType{Enabled: on, PreferredMfa: on}}); err != nil {
				t.Fatal(err)
			}
			var me struct {
				Username, PreferredMfaSetting                 string
				UserMFASettingList, ConfiguredUserAuthFactors []string
			}
			failure := app.raw(t, "AdminGetUserAuthFactors", map[string]any{"UserPoolId": app.pool, "Username": "alice"}, &me)
			if failure != "" || me.Username != "alice" || (len(me.UserMFASettingList) == 1) != on || (me.PreferredMfaSetting == "EMAIL_OTP") != on || !slices.Equal(me.ConfiguredUserAuthFactors, []string{"PASSWORD"}) {
				t.Errorf("factors: %+v %v", me, failure)
			}
		}
		sms := []types.MFAOptionType{{DeliveryMedium: "SMS", AttributeName: aws.String("phone_number")}}
		if _, err := app.sdk.SetUserSettings(t.Context(), &cip.SetUserSettingsInput{AccessToken: alice, MFAOptions: sms}); err != nil {
			t.Fatal(err)
		}
		me, err := app.sdk.GetUser(t.Context(), &cip.GetUserInput{AccessToken: alice})
		if err != nil || !slices.Equal(me.UserMFASettingList, []string{"SMS_MFA"}) || len(me.MFAOptions) != 1 || me.MFAOptions[0].DeliveryMedium != "SMS" || *me.MFAOptions[0].AttributeName != "phone_number" {
			t.Errorf("after SetUserSettings: %+v %v", me, err)
		}
		_, err = app.sdk.SetUserSettings(t.Context(), &cip.SetUserSettingsInput{AccessToken: alice, MFAOptions: []types.MFAOptionType{{DeliveryMedium: "EMAIL", AttributeName: aws.String("email")}}})
		wantError(t, "SetUserSettings with e-mail", err, "InvalidParameterException", "")
		if _, err := ts.sdk.AdminSetUserSettings(t.Context(), &cip.AdminSetUserSettingsInput{UserPoolId: &app.pool, Username: name, MFAOptions: []types.MFAOptionType{}}); err != nil {
			t.Fatal(err)
		}
		factors, err := app.sdk.GetUserAuthFactors(t.Context(), &cip.GetUserAuthFactorsInput{AccessToken: alice})
		if err != nil || factors.UserMFASettingList != nil || *factors.Username != "alice" {
			t.Errorf("factors: %+v %v", factors, err)
		}
		_, err = app.sdk.SetUserMFAPreference(t.Context(), &cip.SetUserMFAPreferenceInput{AccessToken: alice, WebAuthnMfaSettings: &types.WebAuthnMfaSettingsType{Enabled: true}})
		wantError(t, "passkey as a second factor", err, "InvalidParameterException", "")

		// Who deletes the address of a factor does not have it any more.
		app.setMFA(t, "OPTIONAL", "S")
		if err := app.prefer(t, alice, "S"); err != nil {
			t.Fatal(err)
		}
		if _, err := app.sdk.DeleteUserAttributes(t.Context(), &cip.DeleteUserAttributesInput{AccessToken: alice, UserAttributeNames: []string{"phone_number"}}); err != nil {
			t.Fatal(err)
		}
		app.signIn(t, "alice", testPassword)
	})
}

// TestFactorLost: a user who has turned on a factor that the pool cannot ask for any more is not let in without it.
func TestFactorLost(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t)
		app.person(t, "alice", "phone_number", "+15550001234")
		app.setMFA(t, "OPTIONAL", "ST")
		if err := app.prefer(t, app.signIn(t, "alice", testPassword).AccessToken, "s"); err != nil {
			t.Fatal(err)
		}
		app.setMFA(t, "OPTIONAL", "T")
		_, err := app.password(t, "alice", testPassword)
		wantError(t, "sign-in without the factor", err, "InvalidParameterException", "")
	})
}

// TestRecoveryBySecondFactor: where the second factor goes the code to recover the account does not.
func TestRecoveryBySecondFactor(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		app := ts.newApp(t, recoveredBy("verified_email"))
		app.person(t, "alice", "phone_number", "+15550001234", "phone_number_verified", "true")
		app.setMFA(t, "OPTIONAL", "S")
		forgot := func() error {
			_, err := app.sdk.ForgotPassword(t.Context(), &cip.ForgotPasswordInput{ClientId: &app.app, Username: aws.String("alice")})
			return err
		}
		if err := forgot(); err != nil {
			t.Fatal(err)
		}
		if err := app.prefer(t, app.signIn(t, "alice", testPassword).AccessToken, "s"); err != nil {
			t.Fatal(err)
		}
		wantError(t, "recovery by the number of the second factor", forgot(), "InvalidParameterException", "Cannot reset password for the user as there is no registered/verified email or phone_number")
	})
}

func TestPoolMFAConfig(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		plain, mail := ts.newApp(t), ts.newApp(t, sender)
		lite := ts.newApp(t, sender, func(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) { p.UserPoolTier = "LITE" })
		mailOnly := ts.newApp(t, sender, func(p *cip.CreateUserPoolInput, _ *cip.CreateUserPoolClientInput) {
			p.AccountRecoverySetting = &types.AccountRecoverySettingType{RecoveryMechanisms: []types.RecoveryOptionType{{Name: "verified_email", Priority: aws.Int32(1)}}}
		})
		totp, email := &types.SoftwareTokenMfaConfigType{Enabled: true}, &types.EmailMfaConfigType{Subject: aws.String("s"), Message: aws.String("the code {####}")}
		for _, c := range []struct {
			name       string
			app        *testApp
			in         cip.SetUserPoolMfaConfigInput
			code, text string
		}{
			{"off", plain, cip.SetUserPoolMfaConfigInput{}, "", ""},
			{"off with a factor", plain, cip.SetUserPoolMfaConfigInput{SoftwareTokenMfaConfiguration: totp}, "InvalidParameterException", "Invalid MFA configuration given, can't turn off MFA and configure an MFA together."},
			{"on without a factor", plain, cip.SetUserPoolMfaConfigInput{MfaConfiguration: "ON"}, "InvalidParameterException", "Invalid MFA configuration given, can't disable all MFAs with a required or optional configuration."},
			{"on with no factor enabled", plain, cip.SetUserPoolMfaConfigInput{MfaConfiguration: "ON", SoftwareTokenMfaConfiguration: &types.SoftwareTokenMfaConfigType{}}, "InvalidParameterException", ""},
			{"SMS without sender", plain, cip.SetUserPoolMfaConfigInput{MfaConfiguration: "ON", SmsMfaConfiguration: &types.SmsMfaConfigType{}}, "InvalidParameterException", ""},
			{"e-mail without sender", plain, cip.SetUserPoolMfaConfigInput{MfaConfiguration: "ON", EmailMfaConfiguration: email}, "InvalidParameterException", ""},
			{"e-mail in LITE", lite, cip.SetUserPoolMfaConfigInput{MfaConfiguration: "ON", EmailMfaConfiguration: email}, "FeatureUnavailableInTierException", ""},
			{"e-mail that recovers, too", mailOnly, cip.SetUserPoolMfaConfigInput{MfaConfiguration: "ON", EmailMfaConfiguration: email}, "InvalidParameterException", ""},
			{"TOTP", plain, cip.SetUserPoolMfaConfigInput{MfaConfiguration: "ON", SoftwareTokenMfaConfiguration: totp}, "", ""},
			{"all", mail, cip.SetUserPoolMfaConfigInput{MfaConfiguration: "OPTIONAL", SoftwareTokenMfaConfiguration: totp, EmailMfaConfiguration: email,
				SmsMfaConfiguration: &types.SmsMfaConfigType{SmsConfiguration: testSMS, SmsAuthenticationMessage: aws.String("the code {####}")}}, "", ""},
		} {
			c.in.UserPoolId = &c.app.pool
			out, err := ts.sdk.SetUserPoolMfaConfig(t.Context(), &c.in)
			if c.code != "" {
				wantError(t, c.name, err, c.code, c.text)
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
				continue
			}
			got, err := ts.sdk.GetUserPoolMfaConfig(t.Context(), &cip.GetUserPoolMfaConfigInput{UserPoolId: &c.app.pool})
			if err != nil {
				t.Fatal(err)
			}
			want := c.in.MfaConfiguration
			if want == "" {
				want = "OFF"
			}
			for _, part := range [][3]any{
				{got.MfaConfiguration, out.MfaConfiguration, want},
				{got.SoftwareTokenMfaConfiguration, out.SoftwareTokenMfaConfiguration, c.in.SoftwareTokenMfaConfiguration},
				{got.EmailMfaConfiguration, out.EmailMfaConfiguration, c.in.EmailMfaConfiguration},
				{got.SmsMfaConfiguration, out.SmsMfaConfiguration, c.in.SmsMfaConfiguration},
			} {
				text := func(v any) string { b, _ := json.Marshal(v); return string(b) }
				if text(part[0]) != text(part[2]) || text(part[1]) != text(part[2]) {
					t.Errorf("%s: got %s, set %s, want %s", c.name, text(part[0]), text(part[1]), text(part[2]))
				}
			}
		}

		// UpdateUserPool turns MFA off when it does not name it, and leaves its factors.
		update := func(mode types.UserPoolMfaType) error {
			_, err := ts.sdk.UpdateUserPool(t.Context(), &cip.UpdateUserPoolInput{UserPoolId: &plain.pool, MfaConfiguration: mode})
			return err
		}
		for _, mode := range []types.UserPoolMfaType{"", "ON"} {
			if err := update(mode); err != nil {
				t.Fatal(err)
			}
			got, err := ts.sdk.GetUserPoolMfaConfig(t.Context(), &cip.GetUserPoolMfaConfigInput{UserPoolId: &plain.pool})
			if want := map[types.UserPoolMfaType]types.UserPoolMfaType{"": "OFF", "ON": "ON"}[mode]; err != nil || got.MfaConfiguration != want || !got.SoftwareTokenMfaConfiguration.Enabled {
				t.Errorf("after UpdateUserPool %q: %+v %v", mode, got, err)
			}
		}
		// Other accounts have nothing to do with it.
		_, err := ts.client(otherAccount).SetUserPoolMfaConfig(t.Context(), &cip.SetUserPoolMfaConfigInput{UserPoolId: &plain.pool})
		wantError(t, "another account", err, "ResourceNotFoundException", "")
		_, err = ts.client(otherAccount).GetUserPoolMfaConfig(t.Context(), &cip.GetUserPoolMfaConfigInput{UserPoolId: &plain.pool})
		wantError(t, "another account", err, "ResourceNotFoundException", "")
	})
}

// TestMatchTOTP are the vectors of RFC 6238, appendix B, cut to six digits.
func TestMatchTOTP(t *testing.T) {
	secret := []byte("12345678901234567890")
	for _, v := range []struct {
		at   int64
		code string
	}{{59, "287082"}, {1111111109, "081804"}, {1111111111, "050471"}, {1234567890, "005924"}, {2000000000, "279037"}, {20000000000, "353130"}} {
		for drift, ok := range map[int64]bool{-2: false, -1: true, 0: true, 1: true, 2: false} {
			if v.at+drift*totpStep < 0 {
				continue
			}
			step, got := matchTOTP(secret, v.code, 0, time.Unix(v.at+drift*totpStep, 0))
			if got != ok || got && step != v.at/totpStep {
				t.Errorf("%s at %d%+d: step %d %v", v.code, v.at, drift, step, got)
			}
		}
	}
	for _, code := range []string{"", "28708", "2870820", "28708x", "２87082", " 287082"} {
		if _, ok := matchTOTP(secret, code, 0, time.Unix(59, 0)); ok && strings.TrimSpace(code) != "287082" {
			t.Errorf("%q is right", code)
		}
	}
}
