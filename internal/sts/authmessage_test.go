package sts_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdkiam "github.com/aws/aws-sdk-go-v2/service/iam"
	sdksts "github.com/aws/aws-sdk-go-v2/service/sts"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// TestDecodeAuthorizationMessage: why a request was denied, for callers of the account alone, for a day.
func TestDecodeAuthorizationMessage(t *testing.T) {
	each(t, func(w *world, t *testing.T) {
		admin := w.key(w.a)
		alice := w.user(admin, "alice", `{"Sid":"NoUsers","Effect":"Deny","Action":"iam:List*","Resource":"*","Condition":{"StringEquals":{"aws:username":"alice"}}}`)
		_, err := alice.IAM.ListUsers(w.ctx(), nil)
		var response *smithyhttp.ResponseError
		if !errors.As(err, &response) {
			t.Fatal(err)
		}
		id := response.Response.Header.Get("X-Amzn-Requestid")
		why := w.gate.Denials.Explain(id)
		if len(why) != 1 {
			t.Fatalf("%d denials of request %s", len(why), id)
		}
		text := must(why[0].Explanation.AuthorizationMessage(&why[0].Request))(t)
		encoded := must(w.sts.EncodeAuthorizationMessage(w.a.Account, text))(t)
		if strings.Contains(encoded, "alice") {
			t.Error("the message can be read")
		}
		decode := func(c caller, message string) (string, error) {
			out, err := c.DecodeAuthorizationMessage(w.ctx(), &sdksts.DecodeAuthorizationMessageInput{EncodedMessage: &message})
			if err != nil {
				return "", err
			}
			return *out.DecodedMessage, nil
		}
		var m struct {
			Allowed, ExplicitDeny bool
			MatchedStatements     struct {
				Items []struct{ StatementID, Effect string }
			}
			Context struct {
				Principal        struct{ ARN string }
				Action, Resource string
			}
		}
		if err := json.Unmarshal([]byte(must(decode(admin, encoded))(t)), &m); err != nil {
			t.Fatal(err)
		}
		if m.Allowed || !m.ExplicitDeny || len(m.MatchedStatements.Items) != 1 || m.MatchedStatements.Items[0].StatementID != "NoUsers" ||
			m.Context.Principal.ARN != "arn:aws:iam::"+w.a.Account+":user/alice" || m.Context.Action != "iam:ListUsers" || m.Context.Resource != "arn:aws:iam::"+w.a.Account+":user/" {
			t.Errorf("message %+v", m)
		}

		const invalid = "InvalidAuthorizationMessageException: Message is not valid"
		for what, message := range map[string]string{"garbage": "garbage", "changed": encoded[:20] + "A" + encoded[21:], "cut": encoded[:40]} {
			if _, err := decode(admin, message); failure(err) != invalid {
				t.Errorf("%s: %s", what, failure(err))
			}
		}
		if _, err := decode(w.key(w.b), encoded); failure(err) != invalid {
			t.Errorf("another account: %s", failure(err))
		}
		if _, err := decode(alice, encoded); !strings.HasPrefix(failure(err), "AccessDenied: ") {
			t.Errorf("without permission: %s", failure(err))
		}
		old := must(w.sts.EncodeAuthorizationMessage(w.a.Account, text))(t)
		w.shift.Add(-int64(time.Minute))
		must(decode(admin, old))(t)
		if _, err := w.sts.EncodeAuthorizationMessage(w.a.Account, make([]byte, 1<<20)); err == nil {
			t.Error("a message without end was encoded")
		}
	})
}

// TestRoleLastUsed: a request of a session counts, an assumption alone does not.
func TestRoleLastUsed(t *testing.T) {
	each(t, func(w *world, t *testing.T) {
		admin := w.key(w.a)
		role := w.role(admin, "app", `{"Effect":"Allow","Principal":{"AWS":"`+w.a.Account+`"},"Action":"sts:AssumeRole"}`, "")
		region := func() string {
			used := must(admin.IAM.GetRole(w.ctx(), &sdkiam.GetRoleInput{RoleName: aws.String("app")}))(t).Role.RoleLastUsed
			if used.LastUsedDate == nil {
				return "never"
			}
			if d := time.Since(*used.LastUsedDate); d < -time.Minute || d > time.Minute {
				t.Errorf("used %v ago", d)
			}
			return *used.Region
		}
		session := w.temp(must(admin.AssumeRole(w.ctx(), &sdksts.AssumeRoleInput{RoleArn: role, RoleSessionName: aws.String("s1")}))(t).Credentials)
		if got := region(); got != "never" {
			t.Errorf("before any request: %s", got)
		}
		must(session.GetCallerIdentity(w.ctx(), nil))(t)
		if got := region(); got != "eu-west-1" {
			t.Errorf("after a request: %s", got)
		}
		if err := w.iam.FlushUsed(w.ctx()); err != nil {
			t.Fatal(err)
		}
		if got := region(); got != "eu-west-1" {
			t.Errorf("written: %s", got)
		}
		must(session.GetCallerIdentity(w.ctx(), nil))(t)
		must(admin.IAM.DeleteRole(w.ctx(), &sdkiam.DeleteRoleInput{RoleName: aws.String("app")}))(t)
		if err := w.iam.FlushUsed(w.ctx()); err != nil {
			t.Errorf("use of a role that is gone: %v", err)
		}
	})
}
