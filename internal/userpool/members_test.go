package userpool

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"usher/internal/api/cognitoidp"
	"usher/internal/trigger/triggertest"
)

// A setting is a member of the requests that make and change pools or clients, and what becomes of it.
type setting struct {
	sample string // JSON
	with   string // what else must be in the request, JSON
	want   string // what it is described as, JSON; "": as sent
	unset  string // what it is described as when an update leaves it out, JSON; "" if it is absent then, "frozen" if it stays
	at     string // where it is described, if not under its own path; "-" nowhere
	apart  int    // samples of one number do not contradict each other
	fails  string // the code of the error with which it is refused

	// shown is the test that shows that the server does what the setting says, or in parentheses why there is nothing to do.
	shown string
}

const role = `"arn:aws:iam::123456789012:role/sms"`

var someFunction = `"` + triggertest.ARN("f") + `"`

// poolMembers are all members of CreateUserPoolRequest and UpdateUserPoolRequest.
var poolMembers = map[string]setting{
	"UserPoolId": {at: "-", shown: "TestSignedOperations"},
	"PoolName":   {sample: `"another"`, unset: "frozen", at: "Name", shown: "TestPools"},

	"Policies.PasswordPolicy.MinimumLength":                 {sample: `12`, unset: `8`, shown: "TestPasswordPolicy"},
	"Policies.PasswordPolicy.RequireUppercase":              {sample: `false`, unset: `true`, shown: "TestPasswordPolicy"},
	"Policies.PasswordPolicy.RequireLowercase":              {sample: `false`, unset: `true`, shown: "TestPasswordPolicy"},
	"Policies.PasswordPolicy.RequireNumbers":                {sample: `false`, unset: `true`, shown: "TestPasswordPolicy"},
	"Policies.PasswordPolicy.RequireSymbols":                {sample: `false`, unset: `true`, shown: "TestPasswordPolicy"},
	"Policies.PasswordPolicy.TemporaryPasswordValidityDays": {sample: `3`, unset: `7`, shown: "TestTimesOfSettings"},
	"Policies.PasswordPolicy.PasswordHistorySize":           {sample: `2`, shown: "TestPasswordHistory"},
	"Policies.SignInPolicy.AllowedFirstAuthFactors":         {sample: `["PASSWORD","EMAIL_OTP"]`, unset: `["PASSWORD"]`, shown: "TestFirstFactors"},

	"DeletionProtection":                  {sample: `"ACTIVE"`, unset: `"INACTIVE"`, shown: "TestPools"},
	"AutoVerifiedAttributes":              {sample: `["email"]`, shown: "TestSignUpToTokens"},
	"AliasAttributes":                     {sample: `["email"]`, unset: "frozen", shown: "TestAliases"},
	"UsernameAttributes":                  {sample: `["email"]`, unset: "frozen", apart: 1, shown: "TestUsernameAttributes"},
	"UsernameConfiguration.CaseSensitive": {sample: `false`, unset: "frozen", shown: "TestCaseInsensitive"},
	"Schema":                              {sample: `[{"Name":"level","AttributeDataType":"Number"}]`, unset: "frozen", at: "SchemaAttributes", want: `"a list"`, shown: "TestAttributeValues"},

	"SmsVerificationMessage":                                                {sample: `"code {####}"`, shown: "TestMessagesOfPool"},
	"EmailVerificationMessage":                                              {sample: `"code {####}"`, shown: "TestMessagesOfPool"},
	"EmailVerificationSubject":                                              {sample: `"code"`, shown: "TestMessagesOfPool"},
	"SmsAuthenticationMessage":                                              {sample: `"code {####}"`, shown: "TestCodesAsSecondFactor"},
	"VerificationMessageTemplate.SmsMessage":                                {sample: `"code {####}"`, apart: 1, shown: "TestMessagesOfPool"},
	"VerificationMessageTemplate.EmailMessage":                              {sample: `"code {####}"`, apart: 1, shown: "TestMessagesOfPool"},
	"VerificationMessageTemplate.EmailSubject":                              {sample: `"code"`, apart: 1, shown: "TestMessagesOfPool"},
	"VerificationMessageTemplate.EmailMessageByLink":                        {sample: `"click {##here##}"`, apart: 1, shown: "TestConfirmByLink"},
	"VerificationMessageTemplate.EmailSubjectByLink":                        {sample: `"click"`, apart: 1, shown: "TestConfirmByLink"},
	"VerificationMessageTemplate.DefaultEmailOption":                        {sample: `"CONFIRM_WITH_LINK"`, unset: `"CONFIRM_WITH_CODE"`, apart: 1, shown: "TestConfirmByLink"},
	"UserAttributeUpdateSettings.AttributesRequireVerificationBeforeUpdate": {sample: `["email"]`, with: `{"AutoVerifiedAttributes":["email"]}`, unset: `[]`, shown: "TestUpdateUserAttributes"},

	"MfaConfiguration": {sample: `"OPTIONAL"`, with: `{"SmsConfiguration":{"SnsCallerArn":` + role + `}}`, unset: `"OFF"`, shown: "TestMFADecisions"},
	"DeviceConfiguration.ChallengeRequiredOnNewDevice":     {sample: `true`, shown: "TestDeviceModes"},
	"DeviceConfiguration.DeviceOnlyRememberedOnUserPrompt": {sample: `true`, shown: "TestDeviceModes"},

	"EmailConfiguration.SourceArn":                  {sample: `"arn:aws:ses:eu-central-1:123456789012:identity/example.com"`, shown: "(the server's own mail server sends)"},
	"EmailConfiguration.ReplyToEmailAddress":        {sample: `"reply@example.com"`, shown: "TestMessagesOfPool"},
	"EmailConfiguration.EmailSendingAccount":        {sample: `"DEVELOPER"`, with: `{"EmailConfiguration":{"SourceArn":"arn:aws:ses:eu-central-1:123456789012:identity/example.com"}}`, unset: `"COGNITO_DEFAULT"`, shown: "TestPoolMFAConfig"},
	"EmailConfiguration.From":                       {sample: `"from@example.com"`, shown: "TestMessagesOfPool"},
	"EmailConfiguration.ConfigurationSet":           {sample: `"set"`, shown: "(of SES, which does not send)"},
	"SmsConfiguration.SnsCallerArn":                 {sample: role, shown: "TestMFADecisions"},
	"SmsConfiguration.ExternalId":                   {sample: `"x"`, with: `{"SmsConfiguration":{"SnsCallerArn":` + role + `}}`, shown: "(of the role, which is not assumed)"},
	"SmsConfiguration.SnsRegion":                    {sample: `"eu-west-1"`, with: `{"SmsConfiguration":{"SnsCallerArn":` + role + `}}`, shown: "(the server's own sender sends)"},
	"SmsConfiguration.EumsSms.CallerArn":            {sample: role, apart: 1, shown: "TestPoolSettings"},
	"SmsConfiguration.EumsSms.ExternalId":           {sample: `"x"`, with: eums, apart: 1, shown: "(of the role, which is not assumed)"},
	"SmsConfiguration.EumsSms.OriginationIdentity":  {sample: `"x"`, with: eums, apart: 1, shown: "(the server's own sender sends)"},
	"SmsConfiguration.EumsSms.ConfigurationSetName": {sample: `"x"`, with: eums, apart: 1, shown: "(the server's own sender sends)"},
	"SmsConfiguration.EumsSms.InEntityId":           {sample: `"x"`, with: eums, apart: 1, shown: "(the server's own sender sends)"},
	"SmsConfiguration.EumsSms.InTemplateId":         {sample: `"x"`, with: eums, apart: 1, shown: "(the server's own sender sends)"},
	"SmsConfiguration.EumsSms.Region":               {sample: `"eu-west-1"`, with: eums, apart: 1, shown: "(the server's own sender sends)"},

	"UserPoolTags": {sample: `{"team":"red"}`, unset: "frozen", shown: "TestTags"},
	"AdminCreateUserConfig.AllowAdminCreateUserOnly":           {sample: `true`, unset: `false`, shown: "TestSignUpRefusals"},
	"AdminCreateUserConfig.UnusedAccountValidityDays":          {sample: `3`, unset: `7`, apart: 1, shown: "TestTimesOfSettings"},
	"AdminCreateUserConfig.InviteMessageTemplate.SMSMessage":   {sample: `"{username} {####}"`, shown: "TestMessagesOfPool"},
	"AdminCreateUserConfig.InviteMessageTemplate.EmailMessage": {sample: `"{username} {####}"`, shown: "TestMessagesOfPool"},
	"AdminCreateUserConfig.InviteMessageTemplate.EmailSubject": {sample: `"welcome"`, shown: "TestMessagesOfPool"},
	"AccountRecoverySetting.RecoveryMechanisms":                {sample: `[{"Name":"verified_email","Priority":1}]`, shown: "TestRecoveryOrder"},
	"UserPoolTier": {sample: `"PLUS"`, unset: `"ESSENTIALS"`, shown: "TestTiers"},

	"UserPoolAddOns.AdvancedSecurityMode":                           {sample: `"OFF"`, shown: "TestPoolSettings"},
	"UserPoolAddOns.AdvancedSecurityAdditionalFlows.CustomAuthMode": {sample: `"AUDIT"`, with: `{"UserPoolAddOns":{"AdvancedSecurityMode":"OFF"}}`, fails: "InvalidParameterException"},
	"KeyConfiguration.KeyType":                                      {sample: `"AWS_OWNED_KEY"`, shown: "TestPoolSettings"},
	"KeyConfiguration.KmsKeyArn":                                    {sample: `"arn:aws:kms:eu-central-1:123456789012:key/x"`, fails: "InvalidParameterException"},
	"IssuerConfiguration.Type":                                      {sample: `"ORIGINAL"`, shown: "TestPoolSettings"},
	"DcrConfiguration.EnableStatus":                                 {sample: `"Disabled"`, shown: "TestPoolSettings"},
	"DcrConfiguration.OpenDcrEnabled":                               {sample: `true`, fails: "InvalidParameterException"},
	"DcrConfiguration.AuthenticatedGrantTypes":                      {sample: `["code"]`, fails: "InvalidParameterException"},
	"DcrConfiguration.OpenDcrGrantTypes":                            {sample: `["code"]`, fails: "InvalidParameterException"},
	"DcrConfiguration.AllowedScopes":                                {sample: `["openid"]`, fails: "InvalidParameterException"},
	"AcrConfiguration":                                              {sample: `{"Level1":{"AcrValue":"urn:x"}}`, fails: "InvalidParameterException"},

	"LambdaConfig.PreSignUp":                              {sample: someFunction, shown: "TestPreSignUp"},
	"LambdaConfig.CustomMessage":                          {sample: someFunction, shown: "TestCustomMessage"},
	"LambdaConfig.PostConfirmation":                       {sample: someFunction, shown: "TestPostConfirmation"},
	"LambdaConfig.PreAuthentication":                      {sample: someFunction, shown: "TestAuthenticationTriggers"},
	"LambdaConfig.PostAuthentication":                     {sample: someFunction, shown: "TestAuthenticationTriggers"},
	"LambdaConfig.DefineAuthChallenge":                    {sample: someFunction, shown: "TestCustomAuth"},
	"LambdaConfig.CreateAuthChallenge":                    {sample: someFunction, shown: "TestCustomAuth"},
	"LambdaConfig.VerifyAuthChallengeResponse":            {sample: someFunction, shown: "TestCustomAuth"},
	"LambdaConfig.PreTokenGeneration":                     {sample: someFunction, shown: "TestPreTokenGeneration"},
	"LambdaConfig.UserMigration":                          {sample: someFunction, shown: "TestMigrationAtSignIn"},
	"LambdaConfig.PreTokenGenerationConfig.LambdaVersion": {sample: `"V2_0"`, with: `{"LambdaConfig":{"PreTokenGenerationConfig":{"LambdaArn":` + someFunction + `}}}`, shown: "TestPreTokenSettings"},
	"LambdaConfig.PreTokenGenerationConfig.LambdaArn":     {sample: someFunction, with: `{"LambdaConfig":{"PreTokenGenerationConfig":{"LambdaVersion":"V2_0"}}}`, shown: "TestPreTokenSettings"},
	"LambdaConfig.CustomSMSSender.LambdaVersion":          {sample: `"V1_0"`, with: `{"LambdaConfig":{"CustomSMSSender":{"LambdaArn":` + someFunction + `}}}`, fails: "InvalidParameterException"},
	"LambdaConfig.CustomSMSSender.LambdaArn":              {sample: someFunction, with: `{"LambdaConfig":{"CustomSMSSender":{"LambdaVersion":"V1_0"}}}`, fails: "InvalidParameterException"},
	"LambdaConfig.CustomEmailSender.LambdaVersion":        {sample: `"V1_0"`, with: `{"LambdaConfig":{"CustomEmailSender":{"LambdaArn":` + someFunction + `}}}`, fails: "InvalidParameterException"},
	"LambdaConfig.CustomEmailSender.LambdaArn":            {sample: someFunction, with: `{"LambdaConfig":{"CustomEmailSender":{"LambdaVersion":"V1_0"}}}`, fails: "InvalidParameterException"},
	"LambdaConfig.KMSKeyID":                               {sample: `"arn:aws:kms:eu-central-1:123456789012:key/x"`, fails: "InvalidParameterException"},
	"LambdaConfig.InboundFederation.LambdaVersion":        {sample: `"V1_0"`, with: `{"LambdaConfig":{"InboundFederation":{"LambdaArn":` + someFunction + `}}}`, fails: "InvalidParameterException"},
	"LambdaConfig.InboundFederation.LambdaArn":            {sample: someFunction, with: `{"LambdaConfig":{"InboundFederation":{"LambdaVersion":"V1_0"}}}`, fails: "InvalidParameterException"},
}

const (
	eums     = `{"SmsConfiguration":{"EumsSms":{"CallerArn":` + role + `}}}`
	oauth    = `{"AllowedOAuthFlows":["code"],"AllowedOAuthScopes":["openid"],"CallbackURLs":["https://example.com/"]}`
	forOAuth = "(of the OAuth endpoints)"
)

// clientMembers are all members of CreateUserPoolClientRequest and UpdateUserPoolClientRequest.
var clientMembers = map[string]setting{
	"UserPoolId":     {at: "-", shown: "TestSignedOperations"},
	"ClientId":       {at: "-", shown: "TestClients"},
	"ClientName":     {sample: `"another"`, unset: "frozen", shown: "TestClients"},
	"GenerateSecret": {at: "-", shown: "TestClients"},
	"ClientSecret":   {sample: `"0123456789abcdefghijklmnop"`, unset: "frozen", shown: "TestClients"},

	"AccessTokenValidity":                          {sample: `2`, shown: "TestClaims"},
	"IdTokenValidity":                              {sample: `2`, shown: "TestClaims"},
	"RefreshTokenValidity":                         {sample: `5`, unset: `30`, shown: "TestTimesOfSettings"},
	"TokenValidityUnits.AccessToken":               {sample: `"hours"`, shown: "TestClientSettings"},
	"TokenValidityUnits.IdToken":                   {sample: `"hours"`, shown: "TestClientSettings"},
	"TokenValidityUnits.RefreshToken":              {sample: `"days"`, shown: "TestClientSettings"},
	"AuthSessionValidity":                          {sample: `15`, unset: `3`, shown: "TestTimesOfSettings"},
	"EnableTokenRevocation":                        {sample: `false`, unset: `true`, shown: "TestRevokeToken"},
	"PreventUserExistenceErrors":                   {sample: `"ENABLED"`, shown: "TestHiddenExistence"},
	"ExplicitAuthFlows":                            {sample: `["ALLOW_USER_SRP_AUTH"]`, shown: "TestFlowsOfClient"},
	"ReadAttributes":                               {sample: `["email"]`, shown: "TestClients"},
	"WriteAttributes":                              {sample: `["email"]`, shown: "TestSignUpRefusals"},
	"RefreshTokenRotation.Feature":                 {sample: `"ENABLED"`, with: `{"ExplicitAuthFlows":["ALLOW_USER_SRP_AUTH"]}`, shown: "TestRotation"},
	"RefreshTokenRotation.RetryGracePeriodSeconds": {sample: `10`, with: `{"ExplicitAuthFlows":["ALLOW_USER_SRP_AUTH"],"RefreshTokenRotation":{"Feature":"ENABLED"}}`, shown: "TestRotation"},

	"SupportedIdentityProviders":      {sample: `["COGNITO"]`, shown: forOAuth},
	"CallbackURLs":                    {sample: `["https://example.com/"]`, shown: forOAuth},
	"LogoutURLs":                      {sample: `["https://example.com/"]`, shown: forOAuth},
	"DefaultRedirectURI":              {sample: `"https://example.com/"`, with: oauth, shown: forOAuth},
	"AllowedOAuthFlows":               {sample: `["code"]`, shown: forOAuth},
	"AllowedOAuthScopes":              {sample: `["openid"]`, shown: forOAuth},
	"AllowedOAuthFlowsUserPoolClient": {sample: `true`, with: oauth, unset: `false`, shown: forOAuth},

	"AnalyticsConfiguration.ApplicationId":     {sample: `"0123456789abcdef"`, shown: "(of Amazon Pinpoint, which there is none of)"},
	"AnalyticsConfiguration.ApplicationArn":    {sample: `"arn:aws:mobiletargeting:eu-central-1:123456789012:apps/x"`, shown: "(of Amazon Pinpoint)"},
	"AnalyticsConfiguration.RoleArn":           {sample: role, shown: "(of Amazon Pinpoint)"},
	"AnalyticsConfiguration.ExternalId":        {sample: `"x"`, shown: "(of Amazon Pinpoint)"},
	"AnalyticsConfiguration.UserDataShared":    {sample: `true`, shown: "(of Amazon Pinpoint)"},
	"EnablePropagateAdditionalUserContextData": {sample: `true`, with: `{"ClientSecret":"0123456789abcdefghijklmnop"}`, unset: `false`, shown: "(of threat protection, which is refused)"},
}

// members returns the paths of the members of a request that are no structures, by the names of the wire.
func members(t reflect.Type, prefix string, into map[string]bool) map[string]bool {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		kind := f.Type
		if kind.Kind() == reflect.Pointer {
			kind = kind.Elem()
		}
		if kind.Kind() == reflect.Struct {
			members(kind, prefix+name+".", into)
			continue
		}
		into[prefix+name] = true
	}
	return into
}

// place puts a value under a path.
func place(into map[string]any, path string, value any) {
	first, rest, nested := strings.Cut(path, ".")
	if !nested {
		into[first] = value
		return
	}
	inner, ok := into[first].(map[string]any)
	if !ok {
		inner = map[string]any{}
		into[first] = inner
	}
	place(inner, rest, value)
}

// merge adds what more has.
func merge(into, more map[string]any) {
	for k, v := range more {
		inner, ok := into[k].(map[string]any)
		add, both := v.(map[string]any)
		if ok && both {
			merge(inner, add)
			continue
		}
		into[k] = v
	}
}

// lookUp returns what stands under a path; nil if nothing does.
func lookUp(from any, path string) any {
	for name := range strings.SplitSeq(path, ".") {
		m, _ := from.(map[string]any)
		from = m[name]
	}
	return from
}

func parsed(t *testing.T, text string) (v any) {
	t.Helper()
	if text == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// request returns a request with the sample of a setting and what it needs.
func (c setting) request(t *testing.T, path string) map[string]any {
	in := map[string]any{}
	if c.with != "" {
		merge(in, parsed(t, c.with).(map[string]any))
	}
	place(in, path, parsed(t, c.sample))
	return in
}

// check fails unless a setting is described as want.
func (c setting) check(t *testing.T, what, path string, described any, want any) {
	t.Helper()
	if c.at != "" {
		path = c.at
	}
	got := lookUp(described, path)
	if want == "a list" {
		if list, ok := got.([]any); !ok || len(list) < 21 {
			t.Errorf("%s: %s is %v", what, path, got)
		}
		return
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: %s is %v, want %v", what, path, got, want)
	}
}

// TestMembers goes through every member of the requests that make and change pools and clients: each is stored, or refused; one that
// an update leaves out gets its default, or stays because it is frozen; and another test shows what it does. A member that the
// model gains is in no table yet and fails the test.
func TestMembers(t *testing.T) {
	tests := testNames(t)
	eachEngine(t, func(t *testing.T, ts *testServer) {
		ts.functions(t)
		app := ts.newApp(t)
		for _, kind := range []struct {
			table          map[string]setting
			create, update reflect.Type
			call           string // what the operations are called after
			out            string
			base           map[string]any
			id             func(out map[string]any) map[string]any
		}{
			{poolMembers, reflect.TypeFor[cognitoidp.CreateUserPoolRequest](), reflect.TypeFor[cognitoidp.UpdateUserPoolRequest](), "UserPool", "UserPool",
				map[string]any{"PoolName": "p"}, func(out map[string]any) map[string]any { return map[string]any{"UserPoolId": out["Id"]} }},
			{clientMembers, reflect.TypeFor[cognitoidp.CreateUserPoolClientRequest](), reflect.TypeFor[cognitoidp.UpdateUserPoolClientRequest](), "UserPoolClient", "UserPoolClient",
				map[string]any{"ClientName": "c", "UserPoolId": app.pool}, func(out map[string]any) map[string]any {
					return map[string]any{"UserPoolId": out["UserPoolId"], "ClientId": out["ClientId"]}
				}},
		} {
			creates, updates := members(kind.create, "", map[string]bool{}), members(kind.update, "", map[string]bool{})
			all := maps.Clone(creates)
			maps.Copy(all, updates)
			for path := range all {
				if _, ok := kind.table[path]; !ok {
					t.Errorf("%s: what becomes of %s?", kind.call, path)
				}
			}
			call := func(operation string, in map[string]any) (map[string]any, string) {
				var out map[string]any
				failure := app.raw(t, operation+kind.call, in, &out)
				described, _ := out[kind.out].(map[string]any)
				return described, failure
			}
			make := func(in map[string]any) map[string]any {
				t.Helper()
				body := maps.Clone(kind.base)
				merge(body, in)
				out, failure := call("Create", body)
				if failure != "" {
					t.Fatalf("Create%s %v: %s", kind.call, body, failure)
				}
				return out
			}
			plain := make(nil)
			id := kind.id(plain)
			together := map[int]map[string]any{}
			for _, path := range slices.Sorted(maps.Keys(kind.table)) {
				c := kind.table[path]
				if !all[path] {
					t.Errorf("%s: there is no %s", kind.call, path)
				}
				if c.fails == "" && !strings.HasPrefix(c.shown, "(") && !tests[c.shown] {
					t.Errorf("%s: there is no test %q to show what it does", path, c.shown)
				}
				if c.sample == "" {
					continue
				}
				in := c.request(t, path)
				if c.fails != "" {
					for operation, body := range map[string]map[string]any{"Create": maps.Clone(kind.base), "Update": maps.Clone(id)} {
						merge(body, in)
						if _, failure := call(operation, body); failure != c.fails {
							t.Errorf("%s%s with %s: %q, want %s", operation, kind.call, path, failure, c.fails)
						}
					}
					continue
				}
				if creates[path] {
					if together[c.apart] == nil {
						together[c.apart] = map[string]any{}
					}
					merge(together[c.apart], in)
				}
				if !updates[path] {
					if c.unset != "frozen" {
						t.Errorf("%s cannot be updated and is not frozen", path)
					}
					continue
				}
				if secret, _ := in["ClientSecret"].(string); secret != "" {
					continue // only at creation
				}
				body := maps.Clone(id)
				merge(body, in)
				if _, failure := call("Update", body); failure != "" {
					t.Errorf("Update%s with %s: %s", kind.call, path, failure)
					continue
				}
				described, _ := call("Describe", id)
				want := parsed(t, c.sample)
				c.check(t, "updated", path, described, want)
				if _, failure := call("Update", id); failure != "" {
					t.Errorf("Update%s without %s: %s", kind.call, path, failure)
				}
				described, _ = call("Describe", id)
				if c.unset != "frozen" {
					want = parsed(t, c.unset)
				}
				c.check(t, "left out of an update", path, described, want)
			}
			for _, in := range together {
				made := kind.id(make(in))
				bare := maps.Clone(made)
				described, _ := call("Describe", made)
				_, failure := call("Update", bare)
				if failure != "" {
					t.Errorf("Update%s: %s", kind.call, failure)
				}
				after, _ := call("Describe", made)
				for path, c := range kind.table {
					if c.fails != "" || c.sample == "" || !creates[path] || lookUp(any(in), path) == nil {
						continue
					}
					want := lookUp(any(in), path)
					if c.want != "" {
						want = parsed(t, c.want)
					}
					c.check(t, "created", path, described, want)
					if c.unset != "frozen" {
						want = parsed(t, c.unset)
					}
					c.check(t, "left out of an update", path, after, want)
				}
			}
		}
	})
}

// testNames returns the names of the package's tests.
func testNames(t *testing.T) map[string]bool {
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if rest, ok := strings.CutPrefix(line, "func Test"); ok {
				name, _, _ := strings.Cut(rest, "(")
				names["Test"+name] = true
			}
		}
	}
	return names
}
