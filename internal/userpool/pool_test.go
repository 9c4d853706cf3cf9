package userpool

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	cip "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider/types"

	"usher/internal/api/cognitoidp"
	"usher/internal/awsapi"
	"usher/internal/db"
)

// minimalPool is what DescribeUserPool answers for a pool of which only the name was given, without ids and dates.
const minimalPool = `{
	"Name": "minimal",
	"Policies": {
		"PasswordPolicy": {"MinimumLength": 8, "RequireUppercase": true, "RequireLowercase": true, "RequireNumbers": true,
			"RequireSymbols": true, "TemporaryPasswordValidityDays": 7},
		"SignInPolicy": {"AllowedFirstAuthFactors": ["PASSWORD"]}},
	"DeletionProtection": "INACTIVE",
	"LambdaConfig": {},
	"VerificationMessageTemplate": {"DefaultEmailOption": "CONFIRM_WITH_CODE"},
	"UserAttributeUpdateSettings": {"AttributesRequireVerificationBeforeUpdate": []},
	"MfaConfiguration": "OFF",
	"EstimatedNumberOfUsers": 0,
	"EmailConfiguration": {"EmailSendingAccount": "COGNITO_DEFAULT"},
	"UserPoolTags": {},
	"AdminCreateUserConfig": {"AllowAdminCreateUserOnly": false, "UnusedAccountValidityDays": 7},
	"UserPoolTier": "ESSENTIALS"
}`

// sameJSON fails unless got, made JSON, is want; members of got that are named in without do not count.
func sameJSON(t *testing.T, what string, got any, want string, without ...string) {
	t.Helper()
	text, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	var g, w map[string]any
	if err := json.Unmarshal(text, &g); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatal(err)
	}
	for _, name := range without {
		delete(g, name)
	}
	if !reflect.DeepEqual(g, w) {
		got, _ := json.MarshalIndent(g, "", " ")
		want, _ := json.MarshalIndent(w, "", " ")
		t.Errorf("%s is\n%s\nwant\n%s", what, got, want)
	}
}

func TestMinimalPool(t *testing.T) {
	settings, err := poolSettings(&cognitoidp.UpdateUserPoolRequest{PoolName: aws.String("minimal")}, &mfaSettings{})
	if err != nil {
		t.Fatal(err)
	}
	if err := fixSettings(settings, &cognitoidp.CreateUserPoolRequest{}); err != nil {
		t.Fatal(err)
	}
	row := poolRow{ID: "eu-central-1_AbCdEfGhI", AccountID: testAccount, Name: "minimal"}
	row.Doc.V = *settings
	w := wirePool(row.pool(), 0)
	sameJSON(t, "a minimal pool", w, minimalPool, "Id", "Arn", "CreationDate", "LastModifiedDate", "SchemaAttributes")
	if want := "arn:aws:cognito-idp:eu-central-1:" + testAccount + ":userpool/eu-central-1_AbCdEfGhI"; *w.Arn != want {
		t.Errorf("ARN is %s, want %s", *w.Arn, want)
	}
}

func TestStandardSchema(t *testing.T) {
	var lines []string
	for _, a := range standardAttributes() {
		line := fmt.Sprintf("%s %s mutable=%t required=%t", *a.Name, *a.AttributeDataType, *a.Mutable, *a.Required)
		if c := a.StringAttributeConstraints; c != nil {
			line += " " + *c.MinLength + "/" + *c.MaxLength
		}
		if c := a.NumberAttributeConstraints; c != nil {
			line += fmt.Sprintf(" %s/%v", *c.MinValue, c.MaxValue)
		}
		lines = append(lines, line)
	}
	want := strings.Split(strings.TrimSpace(`
sub String mutable=false required=true 1/2048
name String mutable=true required=false 0/2048
given_name String mutable=true required=false 0/2048
family_name String mutable=true required=false 0/2048
middle_name String mutable=true required=false 0/2048
nickname String mutable=true required=false 0/2048
preferred_username String mutable=true required=false 0/2048
profile String mutable=true required=false 0/2048
picture String mutable=true required=false 0/2048
website String mutable=true required=false 0/2048
email String mutable=true required=false 0/2048
email_verified Boolean mutable=true required=false
gender String mutable=true required=false 0/2048
birthdate String mutable=true required=false 10/10
zoneinfo String mutable=true required=false 0/2048
locale String mutable=true required=false 0/2048
phone_number String mutable=true required=false 0/2048
phone_number_verified Boolean mutable=true required=false
address String mutable=true required=false 0/2048
updated_at Number mutable=true required=false 0/<nil>`), "\n")
	if !slices.Equal(lines, want) {
		t.Errorf("the standard schema is\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
}

// TestPoolSettings gives settings that are refused, or that are stored otherwise than they were sent.
func TestPoolSettings(t *testing.T) {
	type in = cognitoidp.CreateUserPoolRequest
	days := func(n int32) *cognitoidp.UserPoolPolicyType {
		return &cognitoidp.UserPoolPolicyType{PasswordPolicy: &cognitoidp.PasswordPolicyType{TemporaryPasswordValidityDays: &n}}
	}
	recovery := func(pairs ...any) *cognitoidp.AccountRecoverySettingType {
		s := &cognitoidp.AccountRecoverySettingType{}
		for i := 0; i < len(pairs); i += 2 {
			s.RecoveryMechanisms = append(s.RecoveryMechanisms, cognitoidp.RecoveryOptionType{Name: new(pairs[i].(string)), Priority: new(int32(pairs[i+1].(int)))})
		}
		return s
	}
	schema := func(a ...cognitoidp.SchemaAttributeType) in { return in{Schema: a} }
	custom := func(name, kind string) cognitoidp.SchemaAttributeType {
		return cognitoidp.SchemaAttributeType{Name: &name, AttributeDataType: &kind}
	}
	const str = "String"
	for _, test := range []struct {
		name string
		in   in
		code string // "" is accepted
		text string // part of the message
	}{
		{"both kinds of names", in{AliasAttributes: []string{"email"}, UsernameAttributes: []string{"email"}}, "InvalidParameterException", "Only one of the aliasAttributes or usernameAttributes can be set in a user pool."},
		{"MFA required without SMS", in{MfaConfiguration: new("ON")}, "InvalidParameterException", "SMS configuration and Auto verification for phone_number are required"},
		{"MFA without SMS", in{MfaConfiguration: new("OPTIONAL")}, "InvalidParameterException", "SMS configuration and Auto verification for phone_number are required"},
		{"MFA optional", in{MfaConfiguration: new("OPTIONAL"), SmsConfiguration: &cognitoidp.SmsConfigurationType{SnsCallerArn: new("arn:aws:iam::123456789012:role/sms")}}, "", ""},
		{"no triggers", in{LambdaConfig: &cognitoidp.LambdaConfigType{}}, "", ""},
		{"threat protection", in{UserPoolAddOns: &cognitoidp.UserPoolAddOnsType{AdvancedSecurityMode: new("ENFORCED")}}, "InvalidParameterException", "AdvancedSecurityMode ENFORCED is not available"},
		{"audit", in{UserPoolAddOns: &cognitoidp.UserPoolAddOnsType{AdvancedSecurityMode: new("AUDIT")}}, "InvalidParameterException", "not available"},
		{"no threat protection", in{UserPoolAddOns: &cognitoidp.UserPoolAddOnsType{AdvancedSecurityMode: new("OFF")}}, "", ""},
		{"key of the customer", in{KeyConfiguration: &cognitoidp.KeyConfigurationType{KeyType: new("CUSTOMER_MANAGED_KEY")}}, "InvalidParameterException", "not available"},
		{"issuer", in{IssuerConfiguration: &cognitoidp.IssuerConfigurationType{Type: new("UPDATED")}}, "InvalidParameterException", "not available"},
		{"step-up", in{AcrConfiguration: map[string]cognitoidp.AcrLevelConfigType{"1": {}}}, "InvalidParameterException", "not available"},
		{"clients that register themselves", in{DcrConfiguration: &cognitoidp.DcrConfigurationType{}}, "InvalidParameterException", "not available"},
		{"passkeys with MFA", in{MfaConfiguration: new("ON"), SmsConfiguration: &cognitoidp.SmsConfigurationType{SnsCallerArn: new("arn:aws:iam::123456789012:role/sms")}, Policies: &cognitoidp.UserPoolPolicyType{SignInPolicy: &cognitoidp.SignInPolicyType{AllowedFirstAuthFactors: []string{"PASSWORD", "WEB_AUTHN"}}}}, "InvalidParameterException", "needs FactorConfiguration MULTI_FACTOR_WITH_USER_VERIFICATION"},
		{"two validities", in{Policies: days(3), AdminCreateUserConfig: &cognitoidp.AdminCreateUserConfigType{UnusedAccountValidityDays: new(int32(4))}}, "InvalidParameterException", "Please use TemporaryPasswordValidityDays"},
		{"history on LITE", in{UserPoolTier: new("LITE"), Policies: &cognitoidp.UserPoolPolicyType{PasswordPolicy: &cognitoidp.PasswordPolicyType{PasswordHistorySize: new(int32(2))}}}, "FeatureUnavailableInTierException", ""},
		{"messages that differ", in{SmsVerificationMessage: new("one {####}"), VerificationMessageTemplate: &cognitoidp.VerificationMessageTemplateType{SmsMessage: new("two {####}")}}, "InvalidParameterException", "must agree"},
		{"update settings", in{UserAttributeUpdateSettings: &cognitoidp.UserAttributeUpdateSettingsType{AttributesRequireVerificationBeforeUpdate: []string{"email"}}}, "InvalidParameterException", "subset of AutoVerifiedAttributes"},
		{"SES without identity", in{EmailConfiguration: &cognitoidp.EmailConfigurationType{EmailSendingAccount: new("DEVELOPER")}}, "InvalidParameterException", "SourceArn"},
		{"SMS through the other service", in{SmsConfiguration: &cognitoidp.SmsConfigurationType{SnsCallerArn: new(""), EumsSms: &cognitoidp.EumsSmsConfigurationType{CallerArn: new("arn:aws:iam::123456789012:role/sms")}}}, "", ""},
		{"SMS through both", in{SmsConfiguration: &cognitoidp.SmsConfigurationType{SnsCallerArn: new("arn:aws:iam::123456789012:role/sms"), EumsSms: &cognitoidp.EumsSmsConfigurationType{CallerArn: new("arn:aws:iam::123456789012:role/sms")}}}, "InvalidParameterException", "either SnsCallerArn or EumsSms"},
		{"authenticator app as first factor", in{Policies: &cognitoidp.UserPoolPolicyType{SignInPolicy: &cognitoidp.SignInPolicyType{AllowedFirstAuthFactors: []string{"PASSWORD", "SOFTWARE_TOKEN"}}}}, "InvalidParameterException", "First factor SOFTWARE_TOKEN is not available"},
		{"key of the customer by its ARN", in{KeyConfiguration: &cognitoidp.KeyConfigurationType{KmsKeyArn: new("arn:aws:kms:eu-central-1:123456789012:key/x")}}, "InvalidParameterException", "KmsKeyArn is not available"},
		{"no clients that register themselves", in{DcrConfiguration: &cognitoidp.DcrConfigurationType{EnableStatus: new("Disabled")}}, "", ""},
		{"SMS without role", in{SmsConfiguration: &cognitoidp.SmsConfigurationType{}}, "InvalidParameterException", "either SnsCallerArn or EumsSms"},
		{"recovery", in{AccountRecoverySetting: recovery("verified_phone_number", 1, "verified_email", 2)}, "", ""},
		{"recovery by the administrator", in{AccountRecoverySetting: recovery("admin_only", 1)}, "", ""},
		{"recovery by the administrator and e-mail", in{AccountRecoverySetting: recovery("admin_only", 1, "verified_email", 2)}, "InvalidParameterException", "admin_only must be the only one"},
		{"recovery twice", in{AccountRecoverySetting: recovery("verified_email", 1, "verified_email", 2)}, "InvalidParameterException", "different"},
		{"recovery of one priority", in{AccountRecoverySetting: recovery("verified_phone_number", 1, "verified_email", 1)}, "InvalidParameterException", "priorities"},
		{"required alias", in{AliasAttributes: []string{"preferred_username"}, Schema: []cognitoidp.SchemaAttributeType{{Name: new("preferred_username"), Required: new(true)}}}, "InvalidParameterException", "both required and an alias"},
		{"required custom attribute", schema(cognitoidp.SchemaAttributeType{Name: new("x"), AttributeDataType: new(str), Required: new(true)}), "InvalidParameterException", "Required custom attributes are not supported currently."},
		{"custom attribute twice", schema(custom("x", str), custom("x", "Number")), "InvalidParameterException", "custom:x: Existing attribute already has name custom:x."},
		{"custom attribute without type", schema(cognitoidp.SchemaAttributeType{Name: new("x")}), "InvalidParameterException", "Invalid AttributeDataType input"},
		{"attribute without name", schema(cognitoidp.SchemaAttributeType{AttributeDataType: new(str)}), "InvalidParameterException", "no name"},
		{"standard attribute of another type", schema(custom("email", "Number")), "InvalidParameterException", "You can not change AttributeDataType"},
		{"mutable sub", schema(cognitoidp.SchemaAttributeType{Name: new("sub"), Mutable: new(true)}), "InvalidParameterException", ""},
		{"string constraints of a number", schema(cognitoidp.SchemaAttributeType{Name: new("n"), AttributeDataType: new("Number"), StringAttributeConstraints: &cognitoidp.StringAttributeConstraintsType{}}), "InvalidParameterException", "Only a String"},
		{"string constraints upside down", schema(cognitoidp.SchemaAttributeType{Name: new("s"), AttributeDataType: new(str), StringAttributeConstraints: &cognitoidp.StringAttributeConstraintsType{MinLength: new("5"), MaxLength: new("4")}}), "InvalidParameterException", "Invalid string constraints"},
		{"string constraints over the limit", schema(cognitoidp.SchemaAttributeType{Name: new("s"), AttributeDataType: new(str), StringAttributeConstraints: &cognitoidp.StringAttributeConstraintsType{MaxLength: new("2049")}}), "InvalidParameterException", "Invalid string constraints"},
		{"number constraints", schema(cognitoidp.SchemaAttributeType{Name: new("n"), AttributeDataType: new("Number"), NumberAttributeConstraints: &cognitoidp.NumberAttributeConstraintsType{MinValue: new("1"), MaxValue: new("x")}}), "InvalidParameterException", "Invalid number constraints"},
	} {
		settings, err := poolSettings(&cognitoidp.UpdateUserPoolRequest{
			Policies: test.in.Policies, LambdaConfig: test.in.LambdaConfig, SmsVerificationMessage: test.in.SmsVerificationMessage,
			VerificationMessageTemplate: test.in.VerificationMessageTemplate, UserAttributeUpdateSettings: test.in.UserAttributeUpdateSettings,
			MfaConfiguration: test.in.MfaConfiguration, EmailConfiguration: test.in.EmailConfiguration, SmsConfiguration: test.in.SmsConfiguration,
			AdminCreateUserConfig: test.in.AdminCreateUserConfig, UserPoolAddOns: test.in.UserPoolAddOns, UserPoolTier: test.in.UserPoolTier,
			AccountRecoverySetting: test.in.AccountRecoverySetting, KeyConfiguration: test.in.KeyConfiguration,
			IssuerConfiguration: test.in.IssuerConfiguration, DcrConfiguration: test.in.DcrConfiguration, AcrConfiguration: test.in.AcrConfiguration,
		}, &mfaSettings{})
		if err == nil {
			err = fixSettings(settings, &test.in)
		}
		if test.code == "" {
			if err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
			continue
		}
		e, ok := err.(*awsapi.Error)
		if !ok || e.Code != test.code || !strings.Contains(e.Message, test.text) {
			t.Errorf("%s: %v, want %s: …%s…", test.name, err, test.code, test.text)
		}
	}
}

func TestPools(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		ctx := t.Context()
		created, err := ts.sdk.CreateUserPool(ctx, &cip.CreateUserPoolInput{
			PoolName: aws.String("first"), DeletionProtection: "ACTIVE",
			AliasAttributes: []types.AliasAttributeType{"email"}, AutoVerifiedAttributes: []types.VerifiedAttributeType{"email"},
			EmailVerificationSubject: aws.String("Hello"), UserPoolTags: map[string]string{"team": "red"},
			Policies: &types.UserPoolPolicyType{PasswordPolicy: &types.PasswordPolicyType{MinimumLength: aws.Int32(10)}},
			Schema:   []types.SchemaAttributeType{{Name: aws.String("level"), AttributeDataType: "Number"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		pool := created.UserPool
		id := *pool.Id
		if !strings.HasPrefix(id, "eu-central-1_") || *pool.Arn != "arn:aws:cognito-idp:eu-central-1:"+testAccount+":userpool/"+id {
			t.Errorf("id %s, ARN %s", id, *pool.Arn)
		}
		if p := pool.Policies.PasswordPolicy; *p.MinimumLength != 10 || p.RequireSymbols || p.TemporaryPasswordValidityDays != 7 {
			t.Errorf("password policy %+v", p)
		}
		if a := pool.SchemaAttributes[20]; *a.Name != "custom:level" || !*a.Mutable || a.NumberAttributeConstraints == nil {
			t.Errorf("custom attribute %+v", a)
		}
		if s := pool.VerificationMessageTemplate.EmailSubject; s == nil || *s != "Hello" {
			t.Errorf("the older name of the subject is not in the template: %v", s)
		}
		described, err := ts.sdk.DescribeUserPool(ctx, &cip.DescribeUserPoolInput{UserPoolId: &id})
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(described.UserPool, pool) {
			t.Errorf("described %+v, created %+v", described.UserPool, pool)
		}

		ts.clock.advance(time.Hour)
		if _, err := ts.sdk.AddCustomAttributes(ctx, &cip.AddCustomAttributesInput{UserPoolId: &id, CustomAttributes: []types.SchemaAttributeType{
			{Name: aws.String("secret"), AttributeDataType: "String", DeveloperOnlyAttribute: aws.Bool(true), Mutable: aws.Bool(false)}}}); err != nil {
			t.Fatal(err)
		}
		_, err = ts.sdk.AddCustomAttributes(ctx, &cip.AddCustomAttributesInput{UserPoolId: &id, CustomAttributes: []types.SchemaAttributeType{
			{Name: aws.String("level"), AttributeDataType: "String"}}})
		wantError(t, "adding an attribute twice", err, "InvalidParameterException", "custom:level: Existing attribute already has name custom:level.")
		many := &cip.AddCustomAttributesInput{UserPoolId: &id}
		for i := range 25 {
			many.CustomAttributes = append(many.CustomAttributes, types.SchemaAttributeType{Name: aws.String(fmt.Sprint("a", i)), AttributeDataType: "String"})
		}
		if _, err := ts.sdk.AddCustomAttributes(ctx, many); err != nil {
			t.Fatal(err)
		}
		for i := range many.CustomAttributes {
			many.CustomAttributes[i].Name = aws.String(fmt.Sprint("b", i))
		}
		_, err = ts.sdk.AddCustomAttributes(ctx, many)
		wantError(t, "adding the 51st attribute", err, "InvalidParameterException", "The limit of 50 custom attributes is reached.")

		// An update resets what it does not name, but neither name, tags, schema nor aliases.
		_, err = ts.sdk.UpdateUserPool(ctx, &cip.UpdateUserPoolInput{UserPoolId: &id, MfaConfiguration: "ON"})
		wantError(t, "enforcing MFA without a factor", err, "InvalidParameterException", "SMS configuration and Auto verification for phone_number are required when MFA is required/optional")
		if _, err := ts.sdk.UpdateUserPool(ctx, &cip.UpdateUserPoolInput{UserPoolId: &id}); err != nil {
			t.Fatal(err)
		}
		described, err = ts.sdk.DescribeUserPool(ctx, &cip.DescribeUserPoolInput{UserPoolId: &id})
		if err != nil {
			t.Fatal(err)
		}
		p := described.UserPool
		if p.DeletionProtection != "INACTIVE" || p.AutoVerifiedAttributes != nil || *p.Policies.PasswordPolicy.MinimumLength != 8 ||
			!p.Policies.PasswordPolicy.RequireSymbols || p.EmailVerificationSubject != nil {
			t.Errorf("settings were kept: %+v", p)
		}
		if *p.Name != "first" || p.UserPoolTags["team"] != "red" || len(p.AliasAttributes) != 1 || len(p.SchemaAttributes) != 47 {
			t.Errorf("settings were lost: %+v", p)
		}
		if *p.SchemaAttributes[21].Name != "dev:custom:secret" || *p.SchemaAttributes[21].Mutable {
			t.Errorf("developer attribute %+v", p.SchemaAttributes[21])
		}
		if !p.LastModifiedDate.After(*p.CreationDate) {
			t.Errorf("modified %v, created %v", p.LastModifiedDate, p.CreationDate)
		}

		// Deletion protection.
		if _, err := ts.sdk.UpdateUserPool(ctx, &cip.UpdateUserPoolInput{UserPoolId: &id, PoolName: aws.String("renamed"), DeletionProtection: "ACTIVE"}); err != nil {
			t.Fatal(err)
		}
		_, err = ts.sdk.DeleteUserPool(ctx, &cip.DeleteUserPoolInput{UserPoolId: &id})
		wantError(t, "deleting a protected pool", err, "InvalidParameterException", "")
		if _, err := ts.sdk.UpdateUserPool(ctx, &cip.UpdateUserPoolInput{UserPoolId: &id}); err != nil {
			t.Fatal(err)
		}

		// Another account's pools, and listing.
		stranger := ts.client(otherAccount)
		if _, err := stranger.CreateUserPool(ctx, &cip.CreateUserPoolInput{PoolName: aws.String("theirs")}); err != nil {
			t.Fatal(err)
		}
		if _, err := ts.sdk.CreateUserPool(ctx, &cip.CreateUserPoolInput{PoolName: aws.String("second")}); err != nil {
			t.Fatal(err)
		}
		var names []string
		list := cip.NewListUserPoolsPaginator(ts.sdk, &cip.ListUserPoolsInput{MaxResults: aws.Int32(1)})
		for list.HasMorePages() {
			page, err := list.NextPage(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range page.UserPools {
				names = append(names, *p.Name)
			}
		}
		slices.Sort(names)
		if !slices.Equal(names, []string{"renamed", "second"}) {
			t.Errorf("pools %v", names)
		}
		_, err = ts.sdk.ListUserPools(ctx, &cip.ListUserPoolsInput{MaxResults: aws.Int32(1), NextToken: aws.String("AAAA")})
		wantError(t, "a forged token", err, "InvalidParameterException", "Invalid pagination token")

		// Users of a deleted pool are gone at once, and swept away.
		if _, err := ts.sdk.AdminCreateUser(ctx, &cip.AdminCreateUserInput{UserPoolId: &id, Username: aws.String("ann"), MessageAction: "SUPPRESS"}); err != nil {
			t.Fatal(err)
		}
		if _, err := ts.sdk.DeleteUserPool(ctx, &cip.DeleteUserPoolInput{UserPoolId: &id}); err != nil {
			t.Fatal(err)
		}
		_, err = ts.sdk.AdminGetUser(ctx, &cip.AdminGetUserInput{UserPoolId: &id, Username: aws.String("ann")})
		wantError(t, "a user of a deleted pool", err, "ResourceNotFoundException", "User pool "+id+" does not exist.")
		if err := ts.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
		for _, table := range []string{"users", "user_pool_keys", "user_pool_remains"} {
			if n, err := db.One[int](ctx, ts.DB, `SELECT count(*) FROM `+table+` WHERE pool_id = $1`, id); err != nil || n != 0 {
				t.Errorf("%d rows are left in %s, error %v", n, table, err)
			}
		}
	})
}

// TestConstraints samples how violations of the model are worded.
func TestConstraints(t *testing.T) {
	ts := newTestServerSQLite(t)
	_, err := ts.sdk.DescribeUserPool(t.Context(), &cip.DescribeUserPoolInput{UserPoolId: aws.String("YOUR-POOL!")})
	wantError(t, "a pool id", err, "InvalidParameterException",
		`1 validation error detected: Value 'YOUR-POOL!' at 'userPoolId' failed to satisfy constraint: Member must satisfy regular expression pattern: [\w-]+_[0-9a-zA-Z]+`)
	_, err = ts.sdk.AdminCreateUser(t.Context(), &cip.AdminCreateUserInput{UserPoolId: aws.String("eu-central-1_000000000"), Username: aws.String("a b")})
	wantError(t, "a username", err, "InvalidParameterException",
		`1 validation error detected: Value at 'username' failed to satisfy constraint: Member must satisfy regular expression pattern: [\p{L}\p{M}\p{S}\p{N}\p{P}]+`)
	_, err = ts.sdk.ListUserPools(t.Context(), &cip.ListUserPoolsInput{MaxResults: aws.Int32(61)})
	wantError(t, "a page size", err, "InvalidParameterException",
		`1 validation error detected: Value '61' at 'maxResults' failed to satisfy constraint: Member must have value less than or equal to 60`)
}

func TestTags(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		ctx := t.Context()
		p, err := ts.sdk.CreateUserPool(ctx, &cip.CreateUserPoolInput{PoolName: aws.String("p"), UserPoolTags: map[string]string{"a": "1", "b": "2"}})
		if err != nil {
			t.Fatal(err)
		}
		arn := p.UserPool.Arn
		if _, err := ts.sdk.TagResource(ctx, &cip.TagResourceInput{ResourceArn: arn, Tags: map[string]string{"b": "3", "c": "4"}}); err != nil {
			t.Fatal(err)
		}
		if _, err := ts.sdk.UntagResource(ctx, &cip.UntagResourceInput{ResourceArn: arn, TagKeys: []string{"a", "z"}}); err != nil {
			t.Fatal(err)
		}
		tags, err := ts.sdk.ListTagsForResource(ctx, &cip.ListTagsForResourceInput{ResourceArn: arn})
		if err != nil || !reflect.DeepEqual(tags.Tags, map[string]string{"b": "3", "c": "4"}) {
			t.Errorf("tags %v, error %v", tags, err)
		}
		_, err = ts.sdk.TagResource(ctx, &cip.TagResourceInput{ResourceArn: arn, Tags: map[string]string{"aws:x": "1"}})
		wantError(t, "a reserved tag", err, "InvalidParameterException", "")
		many := map[string]string{}
		for i := range 49 {
			many[fmt.Sprint("t", i)] = "x"
		}
		_, err = ts.sdk.TagResource(ctx, &cip.TagResourceInput{ResourceArn: arn, Tags: many})
		wantError(t, "the 51st tag", err, "InvalidParameterException", "")
		_, err = ts.sdk.ListTagsForResource(ctx, &cip.ListTagsForResourceInput{ResourceArn: aws.String("arn:aws:s3:::bucket:123456789012:x")})
		wantError(t, "an ARN of something else", err, "InvalidParameterException", "")
		_, err = ts.sdk.ListTagsForResource(ctx, &cip.ListTagsForResourceInput{ResourceArn: aws.String(strings.Replace(*arn, ":eu-central-1:", ":eu-west-1:", 1))})
		wantError(t, "an ARN of another region", err, "ResourceNotFoundException", "")
	})
}

func TestTargets(t *testing.T) {
	ts := newTestServerSQLite(t)
	p, err := ts.sdk.CreateUserPool(t.Context(), &cip.CreateUserPoolInput{PoolName: aws.String("p"), UserPoolTags: map[string]string{"team": "red"}})
	if err != nil {
		t.Fatal(err)
	}
	arn := *p.UserPool.Arn
	none := map[string][]string{}
	tagged := map[string][]string{"aws:ResourceTag/team": {"red"}}
	for _, test := range []struct {
		op      string
		account string
		in      any
		want    awsapi.Target
	}{
		{"ListUserPools", testAccount, &cognitoidp.ListUserPoolsRequest{}, awsapi.Target{Resource: "*", Keys: none}},
		{"CreateUserPool", testAccount, &cognitoidp.CreateUserPoolRequest{UserPoolTags: map[string]string{"b": "1", "a": "2"}},
			awsapi.Target{Resource: "*", Keys: map[string][]string{"aws:RequestTag/a": {"2"}, "aws:RequestTag/b": {"1"}, "aws:TagKeys": {"a", "b"}}}},
		{"AdminGetUser", testAccount, &cognitoidp.AdminGetUserRequest{UserPoolId: p.UserPool.Id}, awsapi.Target{Resource: arn, Keys: tagged}},
		{"AdminGetUser", otherAccount, &cognitoidp.AdminGetUserRequest{UserPoolId: p.UserPool.Id},
			awsapi.Target{Resource: strings.Replace(arn, testAccount, otherAccount, 1), Keys: none}},
		{"UntagResource", testAccount, &cognitoidp.UntagResourceRequest{ResourceArn: &arn, TagKeys: []string{"team"}},
			awsapi.Target{Resource: arn, Account: testAccount, Keys: map[string][]string{"aws:ResourceTag/team": {"red"}, "aws:TagKeys": {"team"}}}},
		{"TagResource", otherAccount, &cognitoidp.TagResourceRequest{ResourceArn: &arn},
			awsapi.Target{Resource: arn, Account: testAccount, Keys: none}},
	} {
		ctx := awsapi.WithCaller(t.Context(), awsapi.Caller{AccountID: test.account})
		got, err := ts.Targets(ctx, test.op, test.in)
		if err != nil || len(got) != 1 || !reflect.DeepEqual(got[0], test.want) {
			t.Errorf("%s by %s: %+v, error %v, want %+v", test.op, test.account, got, err, test.want)
		}
	}
	role := "arn:aws:iam::" + otherAccount + ":role/sms"
	sms := &cognitoidp.SmsConfigurationType{SnsCallerArn: &role}
	for _, in := range []any{
		&cognitoidp.CreateUserPoolRequest{SmsConfiguration: sms}, &cognitoidp.UpdateUserPoolRequest{UserPoolId: p.UserPool.Id, SmsConfiguration: sms},
		&cognitoidp.SetUserPoolMfaConfigRequest{UserPoolId: p.UserPool.Id, SmsMfaConfiguration: &cognitoidp.SmsMfaConfigType{SmsConfiguration: sms}},
		&cognitoidp.CreateGroupRequest{UserPoolId: p.UserPool.Id, RoleArn: &role}, &cognitoidp.UpdateGroupRequest{UserPoolId: p.UserPool.Id, RoleArn: &role},
		&cognitoidp.CreateUserImportJobRequest{UserPoolId: p.UserPool.Id, CloudWatchLogsRoleArn: &role},
	} {
		op := strings.TrimSuffix(reflect.TypeOf(in).Elem().Name(), "Request")
		got, err := ts.Targets(awsapi.WithCaller(t.Context(), awsapi.Caller{AccountID: testAccount}), op, in)
		want := awsapi.Target{Action: "iam:PassRole", Resource: role, Keys: map[string][]string{"iam:PassedToService": {"cognito-idp.amazonaws.com"}, "aws:ResourceAccount": {otherAccount}}}
		if err != nil || len(got) != 2 || !reflect.DeepEqual(got[1], want) {
			t.Errorf("%s passes a role: %+v, error %v", op, got, err)
		}
	}
	if _, err := ts.Targets(t.Context(), "TagResource", &cognitoidp.TagResourceRequest{ResourceArn: aws.String("arn:aws:iam::123456789012:role/x")}); err == nil {
		t.Error("the ARN of a role is taken for a pool's")
	}
}

// TestQuotas fills tables up to the quotas by hand.
func TestQuotas(t *testing.T) {
	ts := newTestServerSQLite(t)
	app := ts.newApp(t)
	ctx := t.Context()
	numbers := func(n int) string {
		return fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < %d)`, n)
	}
	err := ts.DB.Tx(ctx, func(tx *db.Tx) error {
		for _, statement := range []string{
			`INSERT INTO user_pools (id, account_id, name, created, modified, rev, doc) ` + numbers(maxPools) + ` SELECT 'eu-central-1_' || i, account_id, name, 0, 0, 1, doc FROM n, user_pools WHERE id = $1`,
			`INSERT INTO user_pool_clients ` + numbers(maxClients) + ` SELECT 'c' || i, pool_id, name, 0, 0, 1, doc, secrets FROM n, user_pool_clients WHERE pool_id = $1`,
			`INSERT INTO user_pool_identity_providers ` + numbers(maxProviders+1) + ` SELECT $1, 'p' || i, 'Google', 0, 0, 1, '{}', x'00' FROM n`,
			`INSERT INTO user_import_jobs ` + numbers(maxImportJobs+1) + ` SELECT $1, 'import-' || i, '', '', '', '', 0, 0, 0, 0, 0, 0, 0, 0, '', 0 FROM n`,
			`INSERT INTO user_groups ` + numbers(maxGroups+1) + ` SELECT $1, 'g' || i, NULL, NULL, NULL, 0, 0 FROM n`,
		} {
			if _, err := tx.ExecContext(ctx, statement, app.pool); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = ts.sdk.CreateUserPool(ctx, &cip.CreateUserPoolInput{PoolName: aws.String("p")})
	wantError(t, "one pool more", err, "LimitExceededException", "")
	_, err = ts.sdk.CreateUserPoolClient(ctx, &cip.CreateUserPoolClientInput{UserPoolId: &app.pool, ClientName: aws.String("c")})
	wantError(t, "one client more", err, "LimitExceededException", "")
	_, err = ts.sdk.CreateGroup(ctx, &cip.CreateGroupInput{UserPoolId: &app.pool, GroupName: aws.String("g")})
	wantError(t, "one group more", err, "LimitExceededException", "")
	_, err = ts.sdk.CreateIdentityProvider(ctx, &cip.CreateIdentityProviderInput{UserPoolId: &app.pool, ProviderName: aws.String("Google"), ProviderType: "Google",
		ProviderDetails: map[string]string{"client_id": "c", "client_secret": "s", "authorize_scopes": "openid"}})
	wantError(t, "one identity provider more", err, "LimitExceededException", "")
	_, err = ts.sdk.CreateUserImportJob(ctx, &cip.CreateUserImportJobInput{UserPoolId: &app.pool, JobName: aws.String("j"), CloudWatchLogsRoleArn: aws.String("arn:aws:iam::123456789012:role/logs")})
	wantError(t, "one import job more", err, "LimitExceededException", "")
	if _, err := ts.client(otherAccount).CreateUserPool(ctx, &cip.CreateUserPoolInput{PoolName: aws.String("p")}); err != nil {
		t.Errorf("another account: %v", err)
	}
}
