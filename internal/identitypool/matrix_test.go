package identitypool

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	sdk "github.com/aws/aws-sdk-go-v2/service/cognitoidentity"
	sdkiam "github.com/aws/aws-sdk-go-v2/service/iam"

	api "usher/internal/api/cognitoidentity"
	"usher/internal/awsapi"
	"usher/internal/iam"
)

// call sends a request by name, signed with a key or, without one, not at all. It returns the error and its message.
func (w *world) call(operation, body string, key *iam.KeyPair) (code, message string) {
	w.t.Helper()
	r, err := http.NewRequest("POST", w.server.URL, bytes.NewReader([]byte(body)))
	check(w.t, err)
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "AWSCognitoIdentityService."+operation)
	if key != nil {
		sum := sha256.Sum256([]byte(body))
		check(w.t, v4.NewSigner().SignHTTP(ctx, aws.Credentials{AccessKeyID: key.AccessKeyID, SecretAccessKey: key.SecretAccessKey},
			r, hex.EncodeToString(sum[:]), "cognito-identity", region, time.Now()))
	}
	res, err := http.DefaultClient.Do(r)
	check(w.t, err)
	defer res.Body.Close()
	var answer struct {
		Type    string `json:"__type"`
		Message string // of either spelling
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil && err != io.EOF {
		w.t.Errorf("%s: %v", operation, err)
	}
	if (res.StatusCode == http.StatusOK) != (answer.Type == "") {
		w.t.Errorf("%s: status %d with the error %q", operation, res.StatusCode, answer.Type)
	}
	return answer.Type, answer.Message
}

// good are calls that succeed for the administrator of the pool's account, in the order in which they are made. {pool}, {id},
// {arn}, {role} and {login} stand for what the test makes.
var good = map[string]string{
	"CreateIdentityPool":                 `{"IdentityPoolName":"x","AllowUnauthenticatedIdentities":true}`,
	"DeleteIdentities":                   `{"IdentityIdsToDelete":["{id}"]}`,
	"DeleteIdentityPool":                 `{"IdentityPoolId":"{pool}"}`,
	"DescribeIdentity":                   `{"IdentityId":"{id}"}`,
	"DescribeIdentityPool":               `{"IdentityPoolId":"{pool}"}`,
	"GetCredentialsForIdentity":          `{"IdentityId":"{id}","Logins":{"{key}":"{token}"}}`,
	"GetId":                              `{"IdentityPoolId":"{pool}","Logins":{"{key}":"{token}"}}`,
	"GetIdentityPoolRoles":               `{"IdentityPoolId":"{pool}"}`,
	"GetOpenIdToken":                     `{"IdentityId":"{id}","Logins":{"{key}":"{token}"}}`,
	"GetOpenIdTokenForDeveloperIdentity": `{"IdentityPoolId":"{pool}","Logins":{"backend":"u1"}}`,
	"GetPrincipalTagAttributeMap":        `{"IdentityPoolId":"{pool}","IdentityProviderName":"{key}"}`,
	"ListIdentities":                     `{"IdentityPoolId":"{pool}","MaxResults":1}`,
	"ListIdentityPools":                  `{"MaxResults":1}`,
	"ListTagsForResource":                `{"ResourceArn":"{arn}"}`,
	"LookupDeveloperIdentity":            `{"IdentityPoolId":"{pool}","DeveloperUserIdentifier":"u1"}`,
	"MergeDeveloperIdentities":           `{"IdentityPoolId":"{pool}","DeveloperProviderName":"backend","SourceUserIdentifier":"u1","DestinationUserIdentifier":"u2"}`,
	"SetIdentityPoolRoles":               `{"IdentityPoolId":"{pool}","Roles":{"authenticated":"{role}"}}`,
	"SetPrincipalTagAttributeMap":        `{"IdentityPoolId":"{pool}","IdentityProviderName":"{key}","PrincipalTags":{"a":"b"}}`,
	"TagResource":                        `{"ResourceArn":"{arn}","Tags":{"team":"b"}}`,
	"UnlinkDeveloperIdentity":            `{"IdentityPoolId":"{pool}","DeveloperProviderName":"backend","IdentityId":"{dev}","DeveloperUserIdentifier":"u1"}`,
	"UnlinkIdentity":                     `{"IdentityId":"{id}","Logins":{"{key}":"{token}"},"LoginsToRemove":["{key}"]}`,
	"UntagResource":                      `{"ResourceArn":"{arn}","TagKeys":["team"]}`,
	"UpdateIdentityPool":                 `{"IdentityPoolId":"{pool}","IdentityPoolName":"y","AllowUnauthenticatedIdentities":true,"DeveloperProviderName":"backend"}`,
}

// everywhere are the operations whose permission is on "*" (Service Authorization Reference, Amazon Cognito Identity).
var everywhere = map[string]bool{"CreateIdentityPool": true, "ListIdentityPools": true, "SetIdentityPoolRoles": true, "SetPrincipalTagAttributeMap": true,
	"DeleteIdentities": true, "DescribeIdentity": true}

// TestAuthorization goes through every operation: unsigned, by nobody in particular, by users whom IAM allows exactly this or
// something else, by another account, and for what does not exist.
func TestAuthorization(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		other, err := w.iam.CreateAccount(ctx, "other")
		check(t, err)
		admin := w.adminKey
		_, err = w.iamAdmin.CreateUser(ctx, &sdkiam.CreateUserInput{UserName: aws.String("op")})
		check(t, err)
		k, err := w.iamAdmin.CreateAccessKey(ctx, &sdkiam.CreateAccessKeyInput{UserName: aws.String("op")})
		check(t, err)
		op := &iam.KeyPair{AccessKeyID: *k.AccessKey.AccessKeyId, SecretAccessKey: *k.AccessKey.SecretAccessKey}
		allow := func(statements string) {
			_, err := w.iamAdmin.PutUserPolicy(ctx, &sdkiam.PutUserPolicyInput{UserName: aws.String("op"), PolicyName: aws.String("it"),
				PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[` + statements + `]}`)})
			check(t, err)
		}
		ann := w.idToken(people, uuid(), nil)
		const nothing = "us-east-1:00000000-0000-0000-0000-000000000000"
		// fresh makes all that a call needs, so that every attempt finds the same; it fills in the call.
		role := ""
		fresh := func() (fill func(string) string, arn string) {
			pool := w.newPool(func(in *sdk.CreateIdentityPoolInput) {
				in.DeveloperProviderName, in.IdentityPoolTags = aws.String("backend"), map[string]string{"team": "a"}
			})
			arn = "arn:aws:cognito-identity:us-east-1:" + w.account + ":identitypool/" + pool
			if role != "" {
				_, err := w.iamAdmin.DeleteRole(ctx, &sdkiam.DeleteRoleInput{RoleName: aws.String("User")})
				check(t, err)
			}
			role = w.role("User", pool, "authenticated", "")
			w.setRoles(pool, map[string]string{"authenticated": role}, nil)
			dev := ""
			for _, user := range []string{"u2", "u1"} {
				out, err := w.admin.GetOpenIdTokenForDeveloperIdentity(ctx, &sdk.GetOpenIdTokenForDeveloperIdentityInput{IdentityPoolId: &pool, Logins: map[string]string{"backend": user}})
				check(t, err)
				dev = *out.IdentityId
			}
			id := w.getID(pool, map[string]string{awsName(people): ann})
			return strings.NewReplacer("{pool}", pool, "{id}", id, "{dev}", dev, "{arn}", arn, "{role}", role, "{key}", awsName(people), "{token}", ann).Replace, arn
		}
		unknown := strings.NewReplacer("{pool}", nothing, "{id}", nothing, "{dev}", nothing, "{arn}", "arn:aws:cognito-identity:us-east-1:"+w.account+":identitypool/"+nothing,
			"{role}", "arn:aws:iam::"+w.account+":role/User", "{key}", awsName(people), "{token}", ann).Replace

		for _, o := range api.Operations(w.s) {
			template, ok := good[o.Name]
			if !ok {
				t.Errorf("%s has no call in the table", o.Name)
				continue
			}
			want := func(who, code, message string, got ...string) {
				t.Helper()
				if got[0] != code || !strings.Contains(got[1], message) {
					t.Errorf("%s %s: %s: %s, want %s: %s", o.Name, who, got[0], got[1], code, message)
				}
			}
			try := func(who string, key *iam.KeyPair, code, message string) {
				t.Helper()
				fill, _ := fresh()
				c, m := w.call(o.Name, fill(template), key)
				want(who, code, message, c, m)
			}
			allow(`{"Effect":"Deny","Action":"*","Resource":"*"}`)
			if o.Auth == awsapi.Open { // signatures and policies say nothing here
				try("by nobody", nil, "", "")
				try("by whom IAM denies all", op, "", "")
				try("with a wrong signature", &iam.KeyPair{AccessKeyID: op.AccessKeyID, SecretAccessKey: "wrong"}, "", "")
				c, m := w.call(o.Name, unknown(template), nil)
				want("for what does not exist", "ResourceNotFoundException", "not found", c, m)
				continue
			}
			try("unsigned", nil, "MissingAuthenticationTokenException", "")
			try("with a wrong signature", &iam.KeyPair{AccessKeyID: op.AccessKeyID, SecretAccessKey: "wrong"}, "InvalidSignatureException", "")
			try("by the administrator", admin, "", "")
			denied := func(who string, fill func(string) string, resource string) {
				t.Helper()
				c, m := w.call(o.Name, fill(template), op)
				want(who, "AccessDeniedException", "User: arn:aws:iam::"+w.account+":user/op is not authorized to perform: cognito-identity:"+o.Name+" on resource: "+resource, c, m)
			}
			fill, arn := fresh()
			resource := arn
			if everywhere[o.Name] {
				resource = "*"
			}
			denied("by whom IAM denies all", fill, resource)
			allow(`{"Effect":"Allow","NotAction":"cognito-identity:` + o.Name + `","Resource":"*"}`)
			denied("by who may all else", fill, resource)
			const pass = `,{"Effect":"Allow","Action":"iam:PassRole","Resource":"*"}`
			allow(`{"Effect":"Allow","Action":"cognito-identity:` + o.Name + `","Resource":"` + strings.Replace(arn, "identitypool/", "identitypool/x", 1) + `"}` + pass)
			denied("by who may it for another pool", fill, resource)
			allow(`{"Effect":"Allow","Action":"cognito-identity:` + o.Name + `","Resource":"` + resource + `"}` + pass)
			c, m := w.call(o.Name, fill(template), op)
			want("by who may exactly this", "", "", c, m)
			if !everywhere[o.Name] {
				fill, _ := fresh()
				allow(`{"Effect":"Allow","Action":"cognito-identity:` + o.Name + `","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/team":"b"}}}`)
				denied("by who may it for another tag", fill, "arn:")
				allow(`{"Effect":"Allow","Action":"cognito-identity:` + o.Name + `","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/team":"a"}}}`)
				c, m := w.call(o.Name, fill(template), op)
				want("by who may it for the tag", "", "", c, m)
			}

			// Another account's administrator may all that there is, but it is not his.
			if o.Name == "CreateIdentityPool" || o.Name == "ListIdentityPools" {
				continue // which are about nobody's pool
			}
			fill, _ = fresh()
			c, m = w.call(o.Name, fill(template), other)
			switch {
			case o.Name == "DeleteIdentities":
				want("by another account", "", "", c, m) // unprocessed; see TestPools
			case everywhere[o.Name]:
				want("by another account", "ResourceNotFoundException", "not found", c, m)
			default:
				want("by another account", "AccessDeniedException", "is not authorized to perform", c, m)
			}
			c, m = w.call(o.Name, unknown(template), admin)
			if o.Name == "DeleteIdentities" {
				want("for what does not exist", "", "", c, m)
			} else {
				want("for what does not exist", "ResourceNotFoundException", "not found", c, m)
			}
			if c, _ := w.call(strings.ToLower(o.Name), "{}", admin); c == "" {
				t.Errorf("%s: an operation by another spelling is served", o.Name)
			}
		}
		if len(good) != len(api.Operations(w.s)) {
			t.Errorf("%d calls for %d operations", len(good), len(api.Operations(w.s)))
		}
	})
}
