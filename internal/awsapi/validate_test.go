package awsapi_test

import (
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"usher/internal/api/cognitoidentity"
	"usher/internal/api/cognitoidp"
	"usher/internal/api/iam"
	"usher/internal/api/sts"
	"usher/internal/awsapi"
)

// check decodes and validates as the pipeline does and returns code and message.
func check(t *testing.T, in awsapi.Input, p *awsapi.Protocol, text string) (string, string) {
	t.Helper()
	var r awsapi.Request
	var err error
	if p.Kind == awsapi.Query {
		r.Form, err = awsapi.ParseForm(text)
	} else {
		r.JSON, err = awsapi.NewJSONDecoder([]byte(text))
	}
	if err != nil {
		t.Fatal(err)
	}
	in.Decode(&r)
	if r.JSON != nil && r.JSON.Err() != nil {
		t.Fatal(r.JSON.Err())
	}
	v := awsapi.NewValidator(p.Style)
	in.Validate(v)
	if err := v.Err(); err != nil {
		e := err.(*awsapi.Error)
		if e.Status != 400 {
			t.Errorf("status %d", e.Status)
		}
		return e.Code, e.Message
	}
	return "", ""
}

const failed = " failed to satisfy constraint: "

// TestValidationMessages has the texts that AWS answers: those marked "seen" were
// published by its users, the others follow the same grammar.
func TestValidationMessages(t *testing.T) {
	idp, identity := cognitoidp.Protocol, cognitoidentity.Protocol
	long := strings.Repeat("x", 21)
	for _, c := range []struct {
		name string
		in   awsapi.Input
		p    *awsapi.Protocol
		text string
		want string // after "N validation error(s) detected: "
	}{
		{"seen: pattern", new(cognitoidp.DescribeUserPoolRequest), idp, `{"UserPoolId":"eu-west-1"}`,
			`Value 'eu-west-1' at 'userPoolId'` + failed + `Member must satisfy regular expression pattern: [\w-]+_[0-9a-zA-Z]+`},
		{"seen: null", new(cognitoidp.ConfirmSignUpRequest), idp, `{"ClientId":"a","Username":"u"}`,
			`Value null at 'confirmationCode'` + failed + `Member must not be null`},
		{"sensitive null", new(cognitoidp.SignUpRequest), idp, `{"ClientId":"a"}`, `Value at 'username'` + failed + `Member must not be null`},
		{"seen: element path", new(cognitoidp.SignUpRequest), idp, `{"ClientId":"a","Username":"u","UserAttributes":[{"Name":""}]}`,
			`Value '' at 'userAttributes.1.member.name'` + failed + `Member must have length greater than or equal to 1; ` +
				`Value '' at 'userAttributes.1.member.name'` + failed + `Member must satisfy regular expression pattern: [\p{L}\p{M}\p{S}\p{N}\p{P}\t\n\r ]+`},
		{"seen: sensitive", new(cognitoidp.SignUpRequest), idp, `{"ClientId":"a","Username":"","Password":""}`,
			`Value at 'username'` + failed + `Member must have length greater than or equal to 1; ` +
				`Value at 'username'` + failed + `Member must satisfy regular expression pattern: [\p{L}\p{M}\p{S}\p{N}\p{P}]+; ` +
				`Value at 'password'` + failed + `Member must satisfy regular expression pattern: ^[\S]+.*[\S]+$`},
		{"seen: scalar list", new(cognitoidp.CreateUserPoolClientRequest), idp, `{"UserPoolId":"a_1","ClientName":"c","AllowedOAuthFlows":["token"]}`,
			`Value '[token]' at 'allowedOAuthFlows'` + failed + `Member must satisfy constraint: [Member must satisfy enum value set: [code, implicit, client_credentials]]`},
		{"enum", new(cognitoidp.CreateUserPoolRequest), idp, `{"PoolName":"p","MfaConfiguration":"MAYBE"}`,
			`Value 'MAYBE' at 'mfaConfiguration'` + failed + `Member must satisfy enum value set: [OFF, ON, OPTIONAL]`},
		{"nested number", new(cognitoidp.CreateUserPoolRequest), idp, `{"PoolName":"p","Policies":{"PasswordPolicy":{"MinimumLength":3}}}`,
			`Value '3' at 'policies.passwordPolicy.minimumLength'` + failed + `Member must have value greater than or equal to 6`},
		{"number too large for its type", new(cognitoidp.ListUserPoolsRequest), idp, `{"MaxResults":1e30}`,
			`Value '2147483647' at 'maxResults'` + failed + `Member must have value less than or equal to 60`},
		{"structure list", new(cognitoidp.CreateUserPoolRequest), idp, `{"PoolName":"p","Schema":[{"Name":"a"},{"Name":"` + long + `"}]}`,
			`Value '` + long + `' at 'schema.2.member.name'` + failed + `Member must have length less than or equal to 20`},
		{"pattern and length", new(cognitoidp.CreateUserPoolRequest), idp, `{"PoolName":"p","LambdaConfig":{"PreSignUp":"nope"}}`,
			`Value 'nope' at 'lambdaConfig.preSignUp'` + failed + `Member must have length greater than or equal to 20; ` +
				`Value 'nope' at 'lambdaConfig.preSignUp'` + failed + `Member must satisfy regular expression pattern: arn:[\w+=/,.@-]+:[\w+=/,.@-]+:([\w+=/,.@-]*)?:[0-9]+:[\w+=/,.@-]+(:[\w+=/,.@-]+)?(:[\w+=/,.@-]+)?`},
		{"list size, printed as Java does", new(cognitoidp.AddCustomAttributesRequest), idp, `{"UserPoolId":"a_1","CustomAttributes":[]}`,
			`Value '[]' at 'customAttributes'` + failed + `Member must have length greater than or equal to 1`},
		{"map values of a map of structures", new(cognitoidentity.SetIdentityPoolRolesInput), identity,
			`{"IdentityPoolId":"eu-west-1:0","Roles":{},"RoleMappings":{"p":{"Type":"Rules","RulesConfiguration":{"Rules":[]}}}}`,
			`Value '[]' at 'roleMappings.p.member.rulesConfiguration.rules'` + failed + `Member must have length greater than or equal to 1`},
		{"seen: identity pattern", new(cognitoidentity.GetIdInput), identity, `{"IdentityPoolId":"eu..."}`,
			`Value 'eu...' at 'identityPoolId'` + failed + `Member must satisfy regular expression pattern: [\w-]+:[0-9a-f-]+`},
		{"seen: map value", new(cognitoidentity.GetIdInput), identity, `{"IdentityPoolId":"eu-west-1:0","Logins":{"a":""}}`,
			`Value at 'logins'` + failed + `Map value must satisfy constraint: [Member must have length less than or equal to 50000, Member must have length greater than or equal to 1]`},
		{"seen: sts number", new(sts.AssumeRoleRequest), sts.Protocol, `RoleArn=arn:aws:iam::111122223333:role/r&RoleSessionName=ab&DurationSeconds=20`,
			`Value '20' at 'durationSeconds'` + failed + `Member must have value greater than or equal to 900`},
		{"seen: sts sensitive", new(sts.AssumeRoleWithWebIdentityRequest), sts.Protocol, `RoleArn=arn:aws:iam::111122223333:role/r&RoleSessionName=ab&WebIdentityToken=abc`,
			`Value at 'webIdentityToken'` + failed + `Member must have length greater than or equal to 4`},
		{"seen: sts pattern first", new(sts.AssumeRoleRequest), sts.Protocol, `RoleArn=&RoleSessionName=ab`,
			`Value '' at 'roleArn'` + failed + `Member must satisfy regular expression pattern: [\u0009\u000A\u000D\u0020-\u007E\u0085\u00A0-\uD7FF\uE000-\uFFFD\u10000-\u10FFFF]+; ` +
				`Value '' at 'roleArn'` + failed + `Member must have length greater than or equal to 20`},
		{"iam prints no value", new(iam.UpdateAccessKeyRequest), iam.Protocol, `AccessKeyId=AKIAIOSFODNN7EXAMPLE&Status=x`,
			`Value at 'status'` + failed + `Member must satisfy enum value set`},
		{"iam required", new(iam.CreateUserRequest), iam.Protocol, ``, `Value at 'userName'` + failed + `Member must not be null`},
		{"iam tags", new(iam.CreateUserRequest), iam.Protocol, `UserName=u&Tags.member.1.Key=&Tags.member.1.Value=v`,
			`Value at 'tags.1.member.key'` + failed + `Member must satisfy regular expression pattern: [\p{L}\p{Z}\p{N}_.:/=+\-@]+; ` +
				`Value at 'tags.1.member.key'` + failed + `Member must have length greater than or equal to 1`},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := strings.Count(c.want, failed)
			want := "1 validation error detected: " + c.want
			if n > 1 {
				want = string(rune('0'+n)) + " validation errors detected: " + c.want
			}
			code, message := check(t, c.in, c.p, c.text)
			if code != c.p.Style.Code || message != want {
				t.Errorf("\ngot  %s %s\nwant %s %s", code, message, c.p.Style.Code, want)
			}
		})
	}
}

func TestIAMNamesAndPaths(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"UserName=a b", "The specified value for userName is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-"},
		{"UserName=ok&Path=x", "The specified value for path is invalid. It must begin and end with / and contain only alphanumeric characters and/or / characters."},
		{"UserName=ok&Path=/", ""},
		{"UserName=ok&Path=/a/b/", ""},
		{"UserName=" + strings.Repeat("a", 65), "1 validation error detected: Value at 'userName'" + failed + "Member must have length less than or equal to 64"},
	} {
		if _, got := check(t, new(iam.CreateUserRequest), iam.Protocol, c.text); got != c.want {
			t.Errorf("%s\ngot  %s\nwant %s", c.text, got, c.want)
		}
	}
}

// TestValid are inputs at the edge of what is allowed.
func TestValid(t *testing.T) {
	emoji := strings.Repeat("😀", 64) // 128 UTF-16 units
	for _, c := range []struct {
		in   awsapi.Input
		p    *awsapi.Protocol
		text string
	}{
		{new(cognitoidp.SignUpRequest), cognitoidp.Protocol, `{"ClientId":"a","Username":"` + emoji + `","Password":"pw"}`},
		{new(cognitoidp.SignUpRequest), cognitoidp.Protocol, `{"ClientId":"a","Username":"u","UserAttributes":null,"Password":null}`},
		{new(cognitoidp.CreateUserPoolRequest), cognitoidp.Protocol, `{"PoolName":"a pool","SmsConfiguration":{"SnsCallerArn":""}}`},
		{new(sts.AssumeRoleRequest), sts.Protocol, `RoleArn=arn:aws:iam::111122223333:role/r&RoleSessionName=ab&PolicyArns=`},
	} {
		if code, message := check(t, c.in, c.p, c.text); code != "" {
			t.Errorf("%s: %s %s", c.text, code, message)
		}
	}
	if code, _ := check(t, new(cognitoidp.SignUpRequest), cognitoidp.Protocol, `{"ClientId":"a","Username":"`+emoji+`x"}`); code == "" {
		t.Error("129 units pass for 128")
	}
}

func TestViolationsAreBounded(t *testing.T) {
	bad := strings.TrimSuffix(strings.Repeat(`{"Name":""},`, 5000), ",")
	_, message := check(t, new(cognitoidp.SignUpRequest), cognitoidp.Protocol, `{"ClientId":"a","Username":"u","UserAttributes":[`+bad+`]}`)
	if len(message) > 50_000 {
		t.Errorf("a message of %d bytes", len(message))
	}
}

// TestEchoIsBounded: what was sent is repeated in part only, however often it is wrong.
func TestEchoIsBounded(t *testing.T) {
	long := strings.Repeat("ä b", 300_000)
	for _, c := range []struct {
		name string
		in   awsapi.Input
		p    *awsapi.Protocol
		text string
	}{
		{"value", new(cognitoidp.DescribeUserPoolRequest), cognitoidp.Protocol, `{"UserPoolId":"` + long + `"}`},
		{"list", new(cognitoidp.CreateUserPoolClientRequest), cognitoidp.Protocol, `{"UserPoolId":"a_1","ClientName":"c","AllowedOAuthFlows":["` + long + `","b","c","d"]}`},
		{"map", new(cognitoidentity.GetIdInput), cognitoidentity.Protocol, `{"IdentityPoolId":"a:b","Logins":{"` + long + `":"x"}}`},
		{"key in a path", new(cognitoidentity.SetIdentityPoolRolesInput), cognitoidentity.Protocol, `{"IdentityPoolId":"a:0","Roles":{},"RoleMappings":{"` + long + `":{}}}`},
		{"every element", new(cognitoidp.SignUpRequest), cognitoidp.Protocol,
			`{"ClientId":"a","Username":"u","UserAttributes":[` + strings.TrimSuffix(strings.Repeat(`{"Name":"`+long[:12000]+`"},`, 200), ",") + `]}`},
	} {
		code, message := check(t, c.in, c.p, c.text)
		if code == "" || len(message) > 70_000 || !utf8.ValidString(message) {
			t.Errorf("%s: %s, a message of %d bytes", c.name, code, len(message))
		}
	}
}

// TestTokensAreNotPrinted: a map of tokens is as secret as they are.
func TestTokensAreNotPrinted(t *testing.T) {
	var logins []string
	for i := range 11 {
		logins = append(logins, `"p`+strconv.Itoa(i)+`":"secret-token"`)
	}
	for _, text := range []string{strings.Join(logins, ","), `"":"secret-token"`} {
		code, message := check(t, new(cognitoidentity.GetIdInput), cognitoidentity.Protocol, `{"IdentityPoolId":"a:b","Logins":{`+text+`}}`)
		if code == "" || strings.Contains(message, "secret-token") {
			t.Errorf("%s %s", code, message)
		}
	}
}

// TestJavaValueHidesSecrets: a list that is too long is printed, but not its sensitive members.
func TestJavaValueHidesSecrets(t *testing.T) {
	attrs := strings.TrimSuffix(strings.Repeat(`{"Name":"email","AttributeDataType":"String"},`, 26), ",")
	_, message := check(t, new(cognitoidp.AddCustomAttributesRequest), cognitoidp.Protocol, `{"UserPoolId":"a_1","CustomAttributes":[`+attrs+`]}`)
	if !strings.Contains(message, "Value '[SchemaAttributeType(name=email, attributeDataType=String, developerOnlyAttribute=null, mutable=null, required=null, numberAttributeConstraints=null, stringAttributeConstraints=null), ") {
		t.Error(message[:300])
	}
}
