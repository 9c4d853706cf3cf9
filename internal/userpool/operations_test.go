package userpool

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/smithy-go"

	"usher/internal/access"
	"usher/internal/api/cognitoidp"
	"usher/internal/awsapi"
	"usher/internal/policy"
	"usher/internal/sigv4"
)

// everyOperation holds an input of each operation that is served, which violates no constraint. Names in braces stand for
// values that a test puts in. Tests of what all operations have in common go through this table, so a new operation is tested when it has a
// line here, and fails TestEveryOperation until then.
var everyOperation = map[string]string{
	"AddCustomAttributes":                   `{"UserPoolId":"{pool}","CustomAttributes":[{"Name":"x","AttributeDataType":"String"}]}`,
	"AddUserPoolClientSecret":               `{"UserPoolId":"{pool}","ClientId":"{client}"}`,
	"AdminAddUserToGroup":                   `{"UserPoolId":"{pool}","Username":"{user}","GroupName":"g"}`,
	"AdminConfirmSignUp":                    `{"UserPoolId":"{pool}","Username":"{user}"}`,
	"AdminCreateUser":                       `{"UserPoolId":"{pool}","Username":"new","MessageAction":"SUPPRESS"}`,
	"AdminDeleteSoftwareToken":              `{"UserPoolId":"{pool}","Username":"{user}"}`,
	"AdminDeleteUser":                       `{"UserPoolId":"{pool}","Username":"{user}"}`,
	"AdminDeleteUserAttributes":             `{"UserPoolId":"{pool}","Username":"{user}","UserAttributeNames":["name"]}`,
	"AdminDisableProviderForUser":           `{"UserPoolId":"{pool}","User":{"ProviderName":"Google","ProviderAttributeName":"Cognito_Subject","ProviderAttributeValue":"1"}}`,
	"AdminDisableUser":                      `{"UserPoolId":"{pool}","Username":"{user}"}`,
	"AdminEnableUser":                       `{"UserPoolId":"{pool}","Username":"{user}"}`,
	"AdminForgetDevice":                     `{"UserPoolId":"{pool}","Username":"{user}","DeviceKey":"{device}"}`,
	"AdminGetDevice":                        `{"UserPoolId":"{pool}","Username":"{user}","DeviceKey":"{device}"}`,
	"AdminGetUser":                          `{"UserPoolId":"{pool}","Username":"{user}"}`,
	"AdminGetUserAuthFactors":               `{"UserPoolId":"{pool}","Username":"{user}"}`,
	"AdminInitiateAuth":                     `{"UserPoolId":"{pool}","ClientId":"{client}","AuthFlow":"ADMIN_USER_PASSWORD_AUTH","AuthParameters":{"USERNAME":"{user}","PASSWORD":"{password}"}}`,
	"AdminLinkProviderForUser":              `{"UserPoolId":"{pool}","DestinationUser":{"ProviderName":"Cognito","ProviderAttributeValue":"{user}"},"SourceUser":{"ProviderName":"Google","ProviderAttributeName":"Cognito_Subject","ProviderAttributeValue":"1"}}`,
	"AdminListDevices":                      `{"UserPoolId":"{pool}","Username":"{user}"}`,
	"AdminListGroupsForUser":                `{"UserPoolId":"{pool}","Username":"{user}"}`,
	"AdminListUserSessions":                 `{"UserPoolId":"{pool}","Username":"{user}"}`,
	"AdminRemoveUserFromGroup":              `{"UserPoolId":"{pool}","Username":"{user}","GroupName":"g"}`,
	"AdminResetUserPassword":                `{"UserPoolId":"{pool}","Username":"{user}"}`,
	"AdminRespondToAuthChallenge":           `{"UserPoolId":"{pool}","ClientId":"{client}","ChallengeName":"SMS_MFA","Session":"{session}","ChallengeResponses":{"USERNAME":"{user}","SMS_MFA_CODE":"000000"}}`,
	"AdminRevokeUserSession":                `{"UserPoolId":"{pool}","Username":"{user}","SessionId":"{uuid}","RevokeAssociatedSessions":"LINKED"}`,
	"AdminSetUserMFAPreference":             `{"UserPoolId":"{pool}","Username":"{user}"}`,
	"AdminSetUserPassword":                  `{"UserPoolId":"{pool}","Username":"{user}","Password":"{password}","Permanent":true}`,
	"AdminSetUserSettings":                  `{"UserPoolId":"{pool}","Username":"{user}","MFAOptions":[]}`,
	"AdminUpdateDeviceStatus":               `{"UserPoolId":"{pool}","Username":"{user}","DeviceKey":"{device}","DeviceRememberedStatus":"remembered"}`,
	"AdminUpdateUserAttributes":             `{"UserPoolId":"{pool}","Username":"{user}","UserAttributes":[{"Name":"name","Value":"Ada"}]}`,
	"AdminUserGlobalSignOut":                `{"UserPoolId":"{pool}","Username":"{user}"}`,
	"AssociateSoftwareToken":                `{"AccessToken":"{token}"}`,
	"ChangePassword":                        `{"AccessToken":"{token}","PreviousPassword":"{password}","ProposedPassword":"{password}"}`,
	"CompleteWebAuthnRegistration":          `{"AccessToken":"{token}","Credential":{}}`,
	"ConfirmDevice":                         `{"AccessToken":"{token}","DeviceKey":"{device}","DeviceSecretVerifierConfig":{"PasswordVerifier":"AQ==","Salt":"AQ=="}}`,
	"ConfirmForgotPassword":                 `{"ClientId":"{client}","SecretHash":"{hash}","Username":"{user}","ConfirmationCode":"000000","Password":"{password}"}`,
	"ConfirmSignUp":                         `{"ClientId":"{client}","SecretHash":"{hash}","Username":"{user}","ConfirmationCode":"000000"}`,
	"CreateGroup":                           `{"UserPoolId":"{pool}","GroupName":"new"}`,
	"CreateIdentityProvider":                `{"UserPoolId":"{pool}","ProviderName":"Google","ProviderType":"Google","ProviderDetails":{"client_id":"c","client_secret":"s","authorize_scopes":"openid"}}`,
	"CreateResourceServer":                  `{"UserPoolId":"{pool}","Identifier":"new","Name":"n"}`,
	"CreateUserImportJob":                   `{"UserPoolId":"{pool}","JobName":"j","CloudWatchLogsRoleArn":"arn:aws:iam::123456789012:role/logs"}`,
	"CreateUserPool":                        `{"PoolName":"new"}`,
	"CreateUserPoolClient":                  `{"UserPoolId":"{pool}","ClientName":"new"}`,
	"DeleteGroup":                           `{"UserPoolId":"{pool}","GroupName":"g"}`,
	"DeleteIdentityProvider":                `{"UserPoolId":"{pool}","ProviderName":"Google"}`,
	"DeleteResourceServer":                  `{"UserPoolId":"{pool}","Identifier":"api"}`,
	"DeleteUser":                            `{"AccessToken":"{token}"}`,
	"DeleteUserAttributes":                  `{"AccessToken":"{token}","UserAttributeNames":["name"]}`,
	"DeleteUserPool":                        `{"UserPoolId":"{pool}"}`,
	"DeleteUserPoolClient":                  `{"UserPoolId":"{pool}","ClientId":"{client}"}`,
	"DeleteUserPoolClientSecret":            `{"UserPoolId":"{pool}","ClientId":"{client}","ClientSecretId":"{client}--1"}`,
	"DeleteWebAuthnCredential":              `{"AccessToken":"{token}","CredentialId":"x"}`,
	"DescribeIdentityProvider":              `{"UserPoolId":"{pool}","ProviderName":"Google"}`,
	"DescribeResourceServer":                `{"UserPoolId":"{pool}","Identifier":"api"}`,
	"DescribeUserImportJob":                 `{"UserPoolId":"{pool}","JobId":"import-0123456789"}`,
	"DescribeUserPool":                      `{"UserPoolId":"{pool}"}`,
	"DescribeUserPoolClient":                `{"UserPoolId":"{pool}","ClientId":"{client}"}`,
	"ForgetDevice":                          `{"AccessToken":"{token}","DeviceKey":"{device}"}`,
	"ForgotPassword":                        `{"ClientId":"{client}","SecretHash":"{hash}","Username":"{user}"}`,
	"GetCSVHeader":                          `{"UserPoolId":"{pool}"}`,
	"GetDevice":                             `{"AccessToken":"{token}","DeviceKey":"{device}"}`,
	"GetGroup":                              `{"UserPoolId":"{pool}","GroupName":"g"}`,
	"GetIdentityProviderByIdentifier":       `{"UserPoolId":"{pool}","IdpIdentifier":"example.com"}`,
	"GetSigningCertificate":                 `{"UserPoolId":"{pool}"}`,
	"GetTokensFromRefreshToken":             `{"ClientId":"{client}","ClientSecret":"{secret}","RefreshToken":"{refresh}"}`,
	"GetUser":                               `{"AccessToken":"{token}"}`,
	"GetUserAttributeVerificationCode":      `{"AccessToken":"{token}","AttributeName":"email"}`,
	"GetUserAuthFactors":                    `{"AccessToken":"{token}"}`,
	"GetUserPoolClientSessionConfiguration": `{"UserPoolId":"{pool}","ClientId":"{client}"}`,
	"GetUserPoolMfaConfig":                  `{"UserPoolId":"{pool}"}`,
	"GetUserPoolSessionConfiguration":       `{"UserPoolId":"{pool}"}`,
	"GlobalSignOut":                         `{"AccessToken":"{token}"}`,
	"InitiateAuth":                          `{"ClientId":"{client}","AuthFlow":"USER_PASSWORD_AUTH","AuthParameters":{"USERNAME":"{user}","PASSWORD":"{password}","SECRET_HASH":"{hash}"}}`,
	"ListDevices":                           `{"AccessToken":"{token}"}`,
	"ListGroups":                            `{"UserPoolId":"{pool}"}`,
	"ListIdentityProviders":                 `{"UserPoolId":"{pool}"}`,
	"ListResourceServers":                   `{"UserPoolId":"{pool}"}`,
	"ListTagsForResource":                   `{"ResourceArn":"{arn}"}`,
	"ListUserImportJobs":                    `{"UserPoolId":"{pool}","MaxResults":1}`,
	"ListUserPoolClientSecrets":             `{"UserPoolId":"{pool}","ClientId":"{client}"}`,
	"ListUserPoolClients":                   `{"UserPoolId":"{pool}"}`,
	"ListUserPools":                         `{"MaxResults":1}`,
	"ListUserSessions":                      `{"AccessToken":"{token}"}`,
	"ListUsers":                             `{"UserPoolId":"{pool}"}`,
	"ListUsersInGroup":                      `{"UserPoolId":"{pool}","GroupName":"g"}`,
	"ListWebAuthnCredentials":               `{"AccessToken":"{token}"}`,
	"ResendConfirmationCode":                `{"ClientId":"{client}","SecretHash":"{hash}","Username":"{user}"}`,
	"RespondToAuthChallenge":                `{"ClientId":"{client}","ChallengeName":"SMS_MFA","Session":"{session}","ChallengeResponses":{"USERNAME":"{user}","SMS_MFA_CODE":"000000","SECRET_HASH":"{hash}"}}`,
	"RevokeToken":                           `{"ClientId":"{client}","ClientSecret":"{secret}","Token":"{refresh}"}`,
	"RevokeUserSession":                     `{"AccessToken":"{token}","SessionId":"{uuid}"}`,
	"SetUserMFAPreference":                  `{"AccessToken":"{token}"}`,
	"SetUserPoolClientSessionConfiguration": `{"UserPoolId":"{pool}","ClientId":"{client}","SSOSession":{"MaxValidityMinutes":60}}`,
	"SetUserPoolMfaConfig":                  `{"UserPoolId":"{pool}"}`,
	"SetUserPoolSessionConfiguration":       `{"UserPoolId":"{pool}","UserSessionTracking":"DISABLED","TokenSession":{"MaxPerUser":5}}`,
	"SetUserSettings":                       `{"AccessToken":"{token}","MFAOptions":[]}`,
	"SignUp":                                `{"ClientId":"{client}","SecretHash":"{hash}","Username":"{user}","Password":"{password}"}`,
	"StartUserImportJob":                    `{"UserPoolId":"{pool}","JobId":"import-0123456789"}`,
	"StartWebAuthnRegistration":             `{"AccessToken":"{token}"}`,
	"StopUserImportJob":                     `{"UserPoolId":"{pool}","JobId":"import-0123456789"}`,
	"TagResource":                           `{"ResourceArn":"{arn}","Tags":{"a":"b"}}`,
	"UntagResource":                         `{"ResourceArn":"{arn}","TagKeys":["a"]}`,
	"UpdateDeviceStatus":                    `{"AccessToken":"{token}","DeviceKey":"{device}","DeviceRememberedStatus":"remembered"}`,
	"UpdateGroup":                           `{"UserPoolId":"{pool}","GroupName":"g"}`,
	"UpdateIdentityProvider":                `{"UserPoolId":"{pool}","ProviderName":"Google"}`,
	"UpdateResourceServer":                  `{"UserPoolId":"{pool}","Identifier":"api","Name":"n"}`,
	"UpdateUserAttributes":                  `{"AccessToken":"{token}","UserAttributes":[{"Name":"name","Value":"Ada"}]}`,
	"UpdateUserPool":                        `{"UserPoolId":"{pool}"}`,
	"UpdateUserPoolClient":                  `{"UserPoolId":"{pool}","ClientId":"{client}"}`,
	"VerifySoftwareToken":                   `{"AccessToken":"{token}","UserCode":"000000"}`,
	"VerifyUserAttribute":                   `{"AccessToken":"{token}","AttributeName":"email","Code":"000000"}`,
}

// inputs of everyOperation have these values in place of names in braces, unless a test says otherwise.
var usual = map[string]string{
	"session": strings.Repeat("x", 20), "device": "eu-central-1_0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0", "uuid": "34c84488-e0e1-40ae-92ee-991ad1a898c8",
	"password": testPassword, "refresh": "x", "user": "ann",
}

var placeholder = regexp.MustCompile(`\{[a-z]+\}`)

// inputOf returns the input of an operation with values put in. A member whose value is "" is left out.
func inputOf(tb testing.TB, operation string, values map[string]string) string {
	tb.Helper()
	text, ok := everyOperation[operation]
	if !ok {
		tb.Fatalf("%s is missing in everyOperation", operation)
	}
	text = placeholder.ReplaceAllStringFunc(text, func(p string) string {
		name := strings.Trim(p, "{}")
		if v, ok := values[name]; ok {
			return v
		}
		return usual[name]
	})
	return regexp.MustCompile(`,?"(SecretHash|SECRET_HASH|ClientSecret)":""`).ReplaceAllString(text, "")
}

// isBearer reports whether an operation is called with an access token. Some of those are open in the model, since they
// take a session as well.
func isBearer(operation string) bool { return strings.Contains(everyOperation[operation], "{token}") }

func TestEveryOperation(t *testing.T) {
	served := map[string]bool{}
	for _, o := range cognitoidp.Operations((*Service)(nil)) {
		served[o.Name] = true
		if _, ok := everyOperation[o.Name]; !ok {
			t.Errorf("%s is served, and has no line in everyOperation", o.Name)
		}
		if o.Auth == awsapi.Bearer && !isBearer(o.Name) {
			t.Errorf("%s takes an access token, and its line in everyOperation has none", o.Name)
		}
	}
	for name, input := range everyOperation {
		if !served[name] {
			t.Errorf("%s is not served", name)
		}
		if !json.Valid([]byte(input)) {
			t.Errorf("%s: the input is not JSON", name)
		}
	}
}

// signedServer is the service behind signatures that are verified and policies that are decided.
type signedServer struct {
	*testServer
	url  string
	keys *keyring
}

// keyring knows the users admin (of testAccount), tester (too), stranger (of otherAccount). Their secret is "secret".
type keyring struct {
	mu       sync.Mutex
	policies map[string]string
}

func (k *keyring) allow(user, statements string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.policies[user] = `{"Version":"2012-10-17","Statement":[` + statements + `]}`
}

func (k *keyring) Credential(_ context.Context, id, session string) (*access.Credential, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	text, ok := k.policies[id]
	if !ok || session != "" {
		return nil, awsapi.ErrInvalidClientToken
	}
	p, err := policy.Parse(text)
	if err != nil {
		return nil, err
	}
	account := testAccount
	if id == "stranger" {
		account = otherAccount
	}
	return &access.Credential{Secret: "secret", Principal: &access.Principal{Name: id, Identity: []policy.Source{{ID: "inline", Policy: p}},
		Principal: policy.Principal{Kind: policy.User, AccountID: account, ARN: "arn:aws:iam::" + account + ":user/" + id, ID: "AIDA" + id}}}, nil
}

func (k *keyring) TrustPolicy(context.Context, string) ([]policy.Source, error) { return nil, nil }
func (k *keyring) Organization(context.Context, string) (access.Organization, error) {
	return access.Organization{}, nil
}
func (k *keyring) Used(string, string, string, time.Time) {}

const allowAnything = `{"Effect":"Allow","Action":"*","Resource":"*"}`

func (ts *testServer) signed(tb testing.TB) *signedServer {
	keys := &keyring{policies: map[string]string{}}
	for _, user := range []string{"admin", "tester", "stranger"} {
		keys.allow(user, allowAnything)
	}
	gate := access.New(access.Gate{Identities: keys, DB: ts.DB, Now: ts.clock.Now, Region: "eu-central-1"})
	api := &awsapi.Server{Services: []*awsapi.Service{ts.API()}, Authenticator: gate, Authorizer: gate}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := ts.DB.Refresh(r.Context()); err != nil {
			tb.Error(err)
		}
		api.ServeHTTP(w, r)
		checkDeclared(tb, r.Header.Get("X-Amz-Target"), w.Header().Get("X-Amzn-Errortype"))
	}))
	tb.Cleanup(srv.Close)
	return &signedServer{testServer: ts, url: srv.URL, keys: keys}
}

// as signs a request as a user: "" does not. A secret other than "secret" is wrong.
type as struct{ user, secret string }

// call sends an operation and returns its answer, or the error that came back.
func (s *signedServer) call(tb testing.TB, who as, operation, input string) (map[string]any, error) {
	tb.Helper()
	r, err := http.NewRequestWithContext(tb.Context(), "POST", s.url, strings.NewReader(input))
	if err != nil {
		tb.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", cognitoidp.Protocol.Target+"."+operation)
	if who.user != "" {
		if err := v4.NewSigner().SignHTTP(tb.Context(), aws.Credentials{AccessKeyID: who.user, SecretAccessKey: who.secret}, r, sigv4.PayloadHash([]byte(input)), "cognito-idp", "eu-central-1", s.clock.Now()); err != nil {
			tb.Fatal(err)
		}
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		tb.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		tb.Fatal(err)
	}
	if res.StatusCode == http.StatusOK {
		var out map[string]any
		if err := json.Unmarshal(body, &out); err != nil && len(body) > 0 {
			tb.Fatalf("%s answers %s", operation, body)
		}
		return out, nil
	}
	var e struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}
	if err := json.Unmarshal(body, &e); err != nil || res.StatusCode != http.StatusBadRequest || res.Header.Get("X-Amzn-Errortype") != e.Type+":" {
		tb.Fatalf("%s: status %d, error type %s: %s", operation, res.StatusCode, res.Header.Get("X-Amzn-Errortype"), body)
	}
	return nil, &smithy.GenericAPIError{Code: e.Type, Message: e.Message}
}

// operations returns the names of the operations that are served, of those of a kind.
func operations(kind awsapi.Auth) []string {
	var names []string
	for _, o := range cognitoidp.Operations((*Service)(nil)) {
		if o.Auth == kind {
			names = append(names, o.Name)
		}
	}
	return names
}

// declared returns the errors that the model declares for each operation that is served.
var declared = sync.OnceValue(func() map[string][]string {
	text, err := os.ReadFile("../../models/cognito-idp.model")
	if err != nil {
		panic(err)
	}
	all := map[string][]string{}
	for line := range bytes.Lines(text) {
		name, ok := strings.CutPrefix(string(line), "op ")
		name, _, _ = strings.Cut(name, " ")
		if _, served := everyOperation[name]; !ok || !served {
			continue
		}
		_, errs, _ := strings.Cut(string(line), "| err ")
		for e := range strings.FieldsSeq(errs) {
			all[name] = append(all[name], e+"Exception")
		}
	}
	return all
})

// undeclared are errors that answer where the model does not declare them.
var undeclared = map[string]string{
	"AdminCreateUser AliasExistsException":       "its documentation names it for ForceAliasCreation",
	"AdminAddUserToGroup LimitExceededException": "the quota of groups of a user",
}

// checkDeclared fails if an operation answered with an error that its model does not declare: SDKs have no type for it.
func checkDeclared(tb testing.TB, target, errorType string) {
	code := strings.TrimSuffix(errorType, ":")
	_, operation, _ := strings.Cut(target, ".")
	if code != "" {
		observe(tb, operation, code)
	}
	switch code {
	case "", "SerializationException", "UnknownOperationException", "MissingAuthenticationTokenException", "UnrecognizedClientException", "InvalidSignatureException",
		"IncompleteSignatureException", "AccessDeniedException":
		return // of the wire, for all operations
	}
	if isBearer(operation) && code == "UserNotFoundException" {
		return // a deleted user gets the same answer from every operation that takes an access token
	}
	if undeclared[operation+" "+code] == "" && !slices.Contains(declared()[operation], code) {
		tb.Errorf("%s answered with %s, which it does not declare", operation, code)
	}
}

// observed holds "operation error" of what operations have answered in this run.
var observed = struct {
	sync.Mutex
	seen map[string]bool
}{seen: map[string]bool{}}

func observe(tb testing.TB, operation, code string) {
	observed.Lock()
	defer observed.Unlock()
	observed.seen[operation+" "+code] = true
	if why := unreachable(operation, code); why != "" && code != "TooManyRequestsException" { // which a busy machine may see anywhere
		tb.Errorf("%s answered with %s, of which unreachable says: %s", operation, code, why)
	}
}
