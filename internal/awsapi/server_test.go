package awsapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"usher/internal/api/cognitoidp"
	"usher/internal/api/iam"
	"usher/internal/api/sts"
	"usher/internal/awsapi"
)

// toyPools and the other toys are operations of real models over trivial
// behaviour: the pipeline needs inputs that decode and validate, not services.
func toyPools(t *testing.T) *awsapi.Service {
	return &awsapi.Service{
		Name: "cognito-idp", Protocol: cognitoidp.Protocol,
		Operations: []awsapi.Operation{
			awsapi.Op("InitiateAuth", "cognito-idp:InitiateAuth", awsapi.Open,
				func(ctx context.Context, in *cognitoidp.InitiateAuthRequest) (*cognitoidp.InitiateAuthResponse, error) {
					switch *in.ClientId {
					case "panic":
						panic("with details")
					case "internal":
						return nil, errors.New("disk on fire")
					case "reason":
						return nil, cognitoidp.ErrInvalidParameter.Msg("no").Member("reasonCode", "R1")
					}
					return nil, cognitoidp.ErrNotAuthorized.Msg("Incorrect username or password.").With(errors.New("cause"))
				}),
			awsapi.OpNoOutput("DeleteUser", "cognito-idp:DeleteUser", awsapi.Bearer,
				func(ctx context.Context, in *cognitoidp.DeleteUserRequest) error {
					if ctx.Value(tokenKey{}) != "good" {
						t.Error("the context of Bearer did not arrive")
					}
					return nil
				}),
			awsapi.Op("ListUserPools", "cognito-idp:ListUserPools", awsapi.Signed,
				func(ctx context.Context, in *cognitoidp.ListUserPoolsRequest) (*cognitoidp.ListUserPoolsResponse, error) {
					awsapi.Annotate(ctx, "pools", 1)
					id := "eu-west-1_abcdefghi"
					return &cognitoidp.ListUserPoolsResponse{UserPools: []cognitoidp.UserPoolDescriptionType{{Id: &id}}}, nil
				}),
		},
		Targets: func(_ context.Context, op string, in any) ([]awsapi.Target, error) {
			if in.(*cognitoidp.ListUserPoolsRequest).NextToken != nil {
				return nil, nil
			}
			return []awsapi.Target{{Resource: "*"}}, nil
		},
		Bearer: func(ctx context.Context, token string) (context.Context, error) {
			if token != "good" {
				return nil, cognitoidp.ErrNotAuthorized.Msg("Invalid Access Token")
			}
			return context.WithValue(ctx, tokenKey{}, token), nil
		},
	}
}

type tokenKey struct{}

func toySTS() *awsapi.Service {
	return &awsapi.Service{
		Name: "sts", Protocol: sts.Protocol,
		Operations: []awsapi.Operation{
			awsapi.Op("GetCallerIdentity", "sts:GetCallerIdentity", awsapi.Signed,
				func(ctx context.Context, _ *sts.GetCallerIdentityRequest) (*sts.GetCallerIdentityResponse, error) {
					c, _ := awsapi.CallerFrom(ctx)
					return &sts.GetCallerIdentityResponse{Account: &c.AccountID, Arn: &c.ARN}, nil
				}),
			awsapi.Op("AssumeRoleWithWebIdentity", "sts:AssumeRoleWithWebIdentity", awsapi.Open,
				func(ctx context.Context, in *sts.AssumeRoleWithWebIdentityRequest) (*sts.AssumeRoleWithWebIdentityResponse, error) {
					return nil, sts.ErrInvalidIdentityToken.Msg("a < b & c")
				}),
		},
		Targets: func(context.Context, string, any) ([]awsapi.Target, error) { return nil, nil },
	}
}

func toyIAM() *awsapi.Service {
	return &awsapi.Service{
		Name: "iam", Protocol: iam.Protocol,
		Operations: []awsapi.Operation{
			awsapi.Op("GetUser", "iam:GetUser", awsapi.Signed, func(context.Context, *iam.GetUserRequest) (*iam.GetUserResponse, error) {
				return nil, iam.ErrNoSuchEntity.Msg("The user with name x cannot be found.")
			}),
			awsapi.OpNoOutput("DeleteRole", "iam:DeleteRole", awsapi.Signed, func(context.Context, *iam.DeleteRoleRequest) error { return nil }),
		},
	}
}

// authority signs nothing and believes the header X-Caller.
type authority struct{ targets []awsapi.Target }

func (*authority) Authenticate(ctx context.Context, r *http.Request, body []byte, service string) (context.Context, error) {
	switch caller := r.Header.Get("X-Caller"); caller {
	case "":
		return nil, awsapi.ErrMissingAuthentication
	case "unknown":
		return nil, awsapi.ErrInvalidClientToken
	case "forged":
		return nil, awsapi.ErrSignatureDoesNotMatch
	case "late":
		return nil, awsapi.ErrExpiredToken
	case "broken":
		return nil, awsapi.ErrIncompleteSignature.Msg("Authorization header requires 'Credential' parameter.")
	default:
		return awsapi.WithCaller(ctx, awsapi.Caller{AccountID: "111122223333", ARN: "arn:aws:iam::111122223333:user/" + caller}), nil
	}
}

func (a *authority) Authorize(ctx context.Context, targets []awsapi.Target) error {
	a.targets = targets
	c, _ := awsapi.CallerFrom(ctx)
	if strings.HasSuffix(c.ARN, "/nobody") {
		return awsapi.ErrAccessDenied.Msg("User: %s is not authorized to perform: %s on resource: %s", c.ARN, targets[0].Action, targets[0].Resource)
	}
	return nil
}

func toyServer(t *testing.T) (*awsapi.Server, *authority, *bytes.Buffer) {
	var log bytes.Buffer
	a := &authority{}
	return &awsapi.Server{
		Services:      []*awsapi.Service{toyPools(t), toySTS(), toyIAM()},
		Authenticator: a, Authorizer: a, MaxBody: 4096,
		Log: slog.New(slog.NewJSONHandler(&log, nil)),
	}, a, &log
}

const (
	jsonType = "application/x-amz-json-1.1"
	formType = "application/x-www-form-urlencoded"
	idp      = "AWSCognitoIdentityProviderService."
	stsForm  = "&Version=2011-06-15"
	iamForm  = "&Version=2010-05-08"
	requestX = "00000000-0000-4000-8000-000000000000"
)

var uuid = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`)

// send sends a request; its request id is replaced by zeros in body and header.
func send(h http.Handler, method, url, contentType, target, caller, body string) (int, http.Header, string) {
	r := httptest.NewRequest(method, url, strings.NewReader(body))
	for k, v := range map[string]string{"Content-Type": contentType, "X-Amz-Target": target, "X-Caller": caller} {
		if v != "" {
			r.Header.Set(k, v)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	res := w.Result()
	b, _ := io.ReadAll(res.Body)
	return res.StatusCode, res.Header, uuid.ReplaceAllString(string(b), requestX)
}

func stsError(kind, code, message string) string {
	return `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>` + kind + `</Type><Code>` + code + `</Code><Message>` + message +
		`</Message></Error><RequestId>` + requestX + `</RequestId></ErrorResponse>`
}

func TestPipeline(t *testing.T) {
	const initiate, list, del = idp + "InitiateAuth", idp + "ListUserPools", idp + "DeleteUser"
	auth := func(client string) string {
		return `{"AuthFlow":"USER_PASSWORD_AUTH","AuthParameters":{},"ClientId":"` + client + `"}`
	}
	for _, c := range []struct {
		name                                     string
		method, contentType, target, caller, req string
		status                                   int
		want                                     string
	}{
		{"modeled error", "POST", jsonType, initiate, "", auth("abc"), 400, `{"__type":"NotAuthorizedException","message":"Incorrect username or password."}`},
		{"extra member", "POST", jsonType, initiate, "", auth("reason"), 400, `{"__type":"InvalidParameterException","message":"no","reasonCode":"R1"}`},
		{"charset", "POST", jsonType + "; charset=utf-8", initiate, "", auth("abc"), 400, `{"__type":"NotAuthorizedException","message":"Incorrect username or password."}`},
		{"signature on an open operation", "POST", jsonType, initiate, "forged", auth("abc"), 400, `{"__type":"NotAuthorizedException","message":"Incorrect username or password."}`},
		{"panic", "POST", jsonType, initiate, "", auth("panic"), 500, `{"__type":"InternalErrorException","message":"The request processing has failed because of an unknown error, exception or failure."}`},
		{"internal error", "POST", jsonType, initiate, "", auth("internal"), 500, `{"__type":"InternalErrorException","message":"The request processing has failed because of an unknown error, exception or failure."}`},
		{"constraint", "POST", jsonType, initiate, "", `{"ClientId":"abc"}`, 400, `{"__type":"InvalidParameterException","message":"1 validation error detected: Value null at 'authFlow' failed to satisfy constraint: Member must not be null"}`},

		{"malformed", "POST", jsonType, initiate, "", `{`, 400, `{"__type":"SerializationException"}`},
		{"empty", "POST", jsonType, initiate, "", ``, 400, `{"__type":"SerializationException"}`},
		{"null", "POST", jsonType, initiate, "", `null`, 400, `{"__type":"SerializationException"}`},
		{"string", "POST", jsonType, initiate, "", `"x"`, 400, `{"__type":"SerializationException"}`},
		{"trailing comma", "POST", jsonType, initiate, "", `{"ClientId":"a",}`, 400, `{"__type":"SerializationException"}`},
		{"no UTF-8", "POST", jsonType, initiate, "", "{\"ClientId\":\"\xff\"}", 400, `{"__type":"SerializationException"}`},
		{"list", "POST", jsonType, initiate, "", `[]`, 400, `{"__type":"SerializationException","message":"Start of list found where not expected"}`},
		{"type before constraint", "POST", jsonType, initiate, "", `{"AuthFlow":"nope","ClientId":7}`, 400, `{"__type":"SerializationException","message":"NUMBER_VALUE can not be converted to a String"}`},
		{"too large", "POST", jsonType, initiate, "", `{"x":"` + strings.Repeat("a", 5000) + `"}`, 413, `{"__type":"RequestEntityTooLargeException","message":"The request body is larger than this server accepts."}`},

		{"unknown operation", "POST", jsonType, idp + "Nope", "", `{`, 400, `{"__type":"UnknownOperationException"}`},
		{"in the model, not served", "POST", jsonType, idp + "CreateTerms", "", `{}`, 400, `{"__type":"UnknownOperationException"}`},
		{"wrong case", "POST", jsonType, strings.ToLower(initiate), "", `{}`, 400, `{"__type":"UnknownOperationException"}`},
		{"no target", "POST", jsonType, "", "", `{}`, 400, `{"__type":"UnknownOperationException"}`},
		{"other service", "POST", jsonType, "AWSCognitoIdentityService.GetId", "", `{}`, 400, `{"__type":"UnknownOperationException"}`},
		{"json 1.0", "POST", "application/x-amz-json-1.0", initiate, "", `{}`, 404, `<UnknownOperationException/>`},
		{"no content type", "POST", "", initiate, "", `{}`, 404, `<UnknownOperationException/>`},
		{"nothing known", "PUT", "", "", "", ``, 404, `<UnknownOperationException/>`},

		{"bearer", "POST", jsonType, del, "", `{"AccessToken":"good"}`, 200, ``},
		{"bad token", "POST", jsonType, del, "", `{"AccessToken":"bad"}`, 400, `{"__type":"NotAuthorizedException","message":"Invalid Access Token"}`},
		{"no token", "POST", jsonType, del, "", `{}`, 400, `{"__type":"InvalidParameterException","message":"1 validation error detected: Value at 'accessToken' failed to satisfy constraint: Member must not be null"}`},

		{"signed", "POST", jsonType, list, "alice", `{"MaxResults":1}`, 200, `{"UserPools":[{"Id":"eu-west-1_abcdefghi"}]}`},
		{"unsigned", "POST", jsonType, list, "", `{`, 400, `{"__type":"MissingAuthenticationTokenException","message":"Missing Authentication Token"}`},
		{"unknown key", "POST", jsonType, list, "unknown", `{}`, 400, `{"__type":"UnrecognizedClientException","message":"The security token included in the request is invalid."}`},
		{"expired", "POST", jsonType, list, "late", `{}`, 400, `{"__type":"ExpiredTokenException","message":"The security token included in the request is expired"}`},
		{"incomplete", "POST", jsonType, list, "broken", `{}`, 400, `{"__type":"IncompleteSignatureException","message":"Authorization header requires 'Credential' parameter."}`},
		{"signature before body", "POST", jsonType, list, "forged", `{`, 400, `{"__type":"InvalidSignatureException","message":"The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."}`},
		{"denied", "POST", jsonType, list, "nobody", `{"MaxResults":1}`, 400, `{"__type":"AccessDeniedException","Message":"User: arn:aws:iam::111122223333:user/nobody is not authorized to perform: cognito-idp:ListUserPools on resource: *"}`},
		{"no permission needed", "POST", jsonType, list, "nobody", `{"MaxResults":1,"NextToken":"x"}`, 200, `{"UserPools":[{"Id":"eu-west-1_abcdefghi"}]}`},

		{"query", "POST", formType, "", "alice", "Action=GetCallerIdentity" + stsForm, 200,
			`<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Account>111122223333</Account><Arn>arn:aws:iam::111122223333:user/alice</Arn></GetCallerIdentityResult><ResponseMetadata><RequestId>` + requestX + `</RequestId></ResponseMetadata></GetCallerIdentityResponse>`},
		{"query without output", "POST", formType, "", "alice", "Action=DeleteRole&RoleName=r" + iamForm, 200,
			`<DeleteRoleResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><ResponseMetadata><RequestId>` + requestX + `</RequestId></ResponseMetadata></DeleteRoleResponse>`},
		{"query modeled error, escaped", "POST", formType, "", "", "Action=AssumeRoleWithWebIdentity&RoleArn=arn:aws:iam::111122223333:role/r&RoleSessionName=ab&WebIdentityToken=abcd" + stsForm, 400, stsError("Sender", "InvalidIdentityToken", "a &lt; b &amp; c")},
		{"query unsigned", "POST", formType, "", "", "Action=GetCallerIdentity" + stsForm, 403, stsError("Sender", "MissingAuthenticationToken", "Request is missing Authentication Token")},
		{"query unknown key", "POST", formType, "", "unknown", "Action=GetCallerIdentity" + stsForm, 403, stsError("Sender", "InvalidClientTokenId", "The security token included in the request is invalid.")},
		{"query expired", "POST", formType, "", "late", "Action=GetCallerIdentity" + stsForm, 403, stsError("Sender", "ExpiredToken", "The security token included in the request is expired")},
		{"query constraint", "POST", formType, "", "", "Action=AssumeRoleWithWebIdentity&RoleArn=arn:aws:iam::111122223333:role/r&RoleSessionName=Session1:2&WebIdentityToken=abcd" + stsForm, 400,
			stsError("Sender", "ValidationError", `1 validation error detected: Value 'Session1:2' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\w+=,.@-]*`)},
		{"query type", "POST", formType, "", "", "Action=AssumeRoleWithWebIdentity&DurationSeconds=x" + stsForm, 400, stsError("Sender", "MalformedInput", "")},
		{"iam missing parameter", "POST", formType, "", "alice", "Action=DeleteRole" + iamForm, 400,
			`<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error><Type>Sender</Type><Code>MissingParameter</Code><Message>The request must contain the parameter RoleName.</Message></Error><RequestId>` + requestX + `</RequestId></ErrorResponse>`},
		{"iam status", "POST", formType, "", "alice", "Action=GetUser" + iamForm, 404,
			`<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error><Type>Sender</Type><Code>NoSuchEntity</Code><Message>The user with name x cannot be found.</Message></Error><RequestId>` + requestX + `</RequestId></ErrorResponse>`},
		{"query unknown action", "POST", formType, "", "alice", "Action=Nope" + stsForm, 400,
			`<ErrorResponse xmlns="http://webservices.amazon.com/AWSFault/2005-15-09"><Error><Type>Sender</Type><Code>InvalidAction</Code><Message>Could not find operation Nope for version 2011-06-15</Message></Error><RequestId>` + requestX + `</RequestId></ErrorResponse>`},
		{"query action of another version", "POST", formType, "", "alice", "Action=GetCallerIdentity" + iamForm, 400,
			`<ErrorResponse xmlns="http://webservices.amazon.com/AWSFault/2005-15-09"><Error><Type>Sender</Type><Code>InvalidAction</Code><Message>Could not find operation GetCallerIdentity for version 2010-05-08</Message></Error><RequestId>` + requestX + `</RequestId></ErrorResponse>`},
		{"query without version", "POST", formType, "", "alice", "Action=GetCallerIdentity", 400,
			`<ErrorResponse xmlns="http://webservices.amazon.com/AWSFault/2005-15-09"><Error><Type>Sender</Type><Code>InvalidAction</Code><Message>Could not find operation GetCallerIdentity for version NO_VERSION_SPECIFIED</Message></Error><RequestId>` + requestX + `</RequestId></ErrorResponse>`},
		{"query without action", "POST", formType, "", "alice", "Version=2011-06-15", 400,
			`<ErrorResponse xmlns="http://webservices.amazon.com/AWSFault/2005-15-09"><Error><Type>Sender</Type><Code>MissingAction</Code><Message>The request is missing an action or a required parameter.</Message></Error><RequestId>` + requestX + `</RequestId></ErrorResponse>`},
		{"query too large", "POST", formType, "", "", strings.Repeat("a=b&", 2000), 413,
			`<ErrorResponse xmlns="http://webservices.amazon.com/AWSFault/2005-15-09"><Error><Type>Sender</Type><Code>RequestEntityTooLarge</Code><Message>The request body is larger than this server accepts.</Message></Error><RequestId>` + requestX + `</RequestId></ErrorResponse>`},
		{"query bad encoding", "POST", formType, "", "", "Action=%zz", 400,
			`<ErrorResponse xmlns="http://webservices.amazon.com/AWSFault/2005-15-09"><Error><Type>Sender</Type><Code>MalformedQueryString</Code><Message>The query string contains a syntax error.</Message></Error><RequestId>` + requestX + `</RequestId></ErrorResponse>`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _, log := toyServer(t)
			status, header, body := send(s, c.method, "/", c.contentType, c.target, c.caller, c.req)
			if status != c.status || body != c.want {
				t.Errorf("got  %d %s\nwant %d %s", status, body, c.status, c.want)
			}
			if !uuid.MatchString(header.Get("X-Amzn-Requestid")) {
				t.Error("no request id")
			}
			if n := strings.Count(log.String(), "\n"); n != 1 {
				t.Errorf("%d log records: %s", n, log)
			}
			var reply struct {
				Type    string `json:"__type"`
				Message string
			}
			if json.Unmarshal([]byte(body), &reply); reply.Type != "" {
				if got := header.Get("X-Amzn-Errortype"); got != reply.Type+":" {
					t.Errorf("x-amzn-ErrorType %q", got)
				}
				if got := header.Get("X-Amzn-Errormessage"); got != reply.Message {
					t.Errorf("x-amzn-ErrorMessage %q", got)
				}
			}
		})
	}
}

func TestPresignedQuery(t *testing.T) {
	s, _, _ := toyServer(t)
	for _, method := range []string{"GET", "POST"} {
		status, _, body := send(s, method, "/?Action=GetCallerIdentity"+stsForm, "", "", "alice", "")
		if status != 200 || !strings.Contains(body, "user/alice") {
			t.Errorf("%s: %d %s", method, status, body)
		}
	}
	if status, _, _ := send(s, "POST", "/?x=GetCallerIdentity"+stsForm, "", "", "alice", ""); status != 404 {
		t.Errorf("POST without action: %d", status)
	}
}

func TestTargetsGetTheAction(t *testing.T) {
	s, a, _ := toyServer(t)
	send(s, "POST", "/", jsonType, idp+"ListUserPools", "alice", `{"MaxResults":1}`)
	if len(a.targets) != 1 || a.targets[0].Action != "cognito-idp:ListUserPools" || a.targets[0].Resource != "*" {
		t.Errorf("targets %v", a.targets)
	}
	send(s, "POST", "/", formType, "", "alice", "Action=DeleteRole&RoleName=r"+iamForm)
	if len(a.targets) != 1 || a.targets[0].Action != "iam:DeleteRole" || a.targets[0].Resource != "*" {
		t.Errorf("targets of a service without Targets: %v", a.targets)
	}
}

func TestBrowsers(t *testing.T) {
	s, _, _ := toyServer(t)
	r := httptest.NewRequest("OPTIONS", "/", nil)
	r.Header.Set("Origin", "https://app.example")
	r.Header.Set("Access-Control-Request-Method", "POST")
	r.Header.Set("Access-Control-Request-Headers", "cache-control,content-type,x-amz-target")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	for k, want := range map[string]string{
		"Access-Control-Allow-Origin":  "*",
		"Access-Control-Allow-Methods": "GET, POST, DELETE",
		"Access-Control-Allow-Headers": "cache-control,content-type,x-amz-target",
		"Access-Control-Max-Age":       "172800",
	} {
		if got := w.Header().Get(k); w.Code != 200 || got != want {
			t.Errorf("preflight: %d %s: %q", w.Code, k, got)
		}
	}
	for _, c := range []struct {
		name, contentType, target, body string
		open                            bool
	}{
		{"user pools", jsonType, idp + "InitiateAuth", `{}`, true},
		{"unknown target", jsonType, "x", `{}`, true},
		{"sts", formType, "", "Action=GetCallerIdentity" + stsForm, true},
		{"iam", formType, "", "Action=GetUser" + iamForm, false},
	} {
		_, h, _ := send(s, "POST", "/", c.contentType, c.target, "", c.body)
		if open := h.Get("Access-Control-Allow-Origin") == "*"; open != c.open {
			t.Errorf("%s: open to browsers: %t", c.name, open)
		}
		if exposed := h.Get("Access-Control-Expose-Headers"); c.open && exposed != "x-amzn-RequestId,x-amzn-ErrorType,x-amzn-ErrorMessage,Date" {
			t.Errorf("%s: exposed %q", c.name, exposed)
		}
	}
}

func TestLogRecord(t *testing.T) {
	s, _, log := toyServer(t)
	record := func() map[string]any {
		t.Helper()
		var rec map[string]any
		if err := json.Unmarshal(log.Bytes(), &rec); err != nil {
			t.Fatalf("%v: %s", err, log)
		}
		log.Reset()
		return rec
	}
	var failed *awsapi.Failure
	s.Failed = func(f awsapi.Failure) { failed = &f }
	send(s, "POST", "/", jsonType, idp+"ListUserPools", "alice", `{"MaxResults":1}`)
	if failed != nil {
		t.Errorf("%+v did not fail", failed)
	}
	rec := record()
	for k, want := range map[string]any{
		"level": "INFO", "msg": "request", "service": "cognito-idp", "operation": "ListUserPools",
		"caller": "arn:aws:iam::111122223333:user/alice", "status": 200.0, "pools": 1.0,
	} {
		if rec[k] != want {
			t.Errorf("%s: %v, want %v", k, rec[k], want)
		}
	}
	const signIn = `{"AuthFlow":"USER_PASSWORD_AUTH","AuthParameters":{"PASSWORD":"hunter2"},"ClientId":"%s"}`
	for client, want := range map[string][3]string{
		"abc":      {"INFO", "NotAuthorizedException", "cause"},
		"internal": {"ERROR", "InternalErrorException", "disk on fire"},
		"panic":    {"ERROR", "InternalErrorException", "panic: with details"},
	} {
		send(s, "POST", "/", jsonType, idp+"InitiateAuth", "", strings.ReplaceAll(signIn, "%s", client))
		if strings.Contains(log.String(), "hunter2") {
			t.Error("the password is in the log")
		}
		rec := record()
		cause, _ := rec["cause"].(string)
		if rec["level"] != want[0] || rec["error"] != want[1] || !strings.HasPrefix(cause, want[2]) {
			t.Errorf("%s: %v", client, rec)
		}
		if failed.RequestID != rec["request_id"] || failed.Operation != "InitiateAuth" || failed.Code != want[1] || !strings.HasPrefix(failed.Cause, want[2]) {
			t.Errorf("%s: failed %+v", client, failed)
		}
	}
}

// TestErrorHeaderIsSafe: a value of the caller's must not break out of the header.
func TestErrorHeaderIsSafe(t *testing.T) {
	s, _, _ := toyServer(t)
	_, h, _ := send(s, "POST", "/", jsonType, idp+"InitiateAuth", "", `{"AuthFlow":"a\r\nX-Evil: 1é`+strings.Repeat("x", 2000)+`","ClientId":"abc"}`)
	got := h.Get("X-Amzn-Errormessage")
	if len(got) > 1024 || !strings.Contains(got, "'a??X-Evil: 1?") {
		t.Errorf("%q", got)
	}
}
