package ushertest_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"usher/internal/ushertest"
)

// delegating is account a, which asks account b for temporary permissions.
type delegating struct {
	*accounts
	template string
}

// ask makes a request for b with a workflow id.
func (w *delegating) ask(workflow string, change func(*iam.CreateDelegationRequestInput)) (string, error) {
	in := &iam.CreateDelegationRequestInput{
		OwnerAccountId: &w.idB, Description: aws.String("setting up"), RequestorWorkflowId: &workflow, SessionDuration: aws.Int32(1800),
		NotificationChannel: aws.String("arn:aws:sns:us-east-1:" + w.idA + ":delegations"),
		Permissions: &iamtypes.DelegationPermission{PolicyTemplateArn: &w.template, Parameters: []iamtypes.PolicyParameter{
			{Name: aws.String("bucket"), Values: []string{"shared"}, Type: iamtypes.PolicyParameterTypeEnumString},
			{Name: aws.String("regions"), Values: []string{"us-east-1", "eu-west-1"}, Type: iamtypes.PolicyParameterTypeEnumStringList}}},
	}
	if change != nil {
		change(in)
	}
	out, err := w.a.IAM.CreateDelegationRequest(w.t.Context(), in)
	if err != nil {
		return "", err
	}
	return *out.DelegationRequestId, nil
}

func (w *delegating) state(id string) iamtypes.StateType {
	w.t.Helper()
	return must(w.b.IAM.GetDelegationRequest(w.t.Context(), &iam.GetDelegationRequestInput{DelegationRequestId: &id}))(w.t).DelegationRequest.State
}

// accept takes a request on and accepts it.
func (w *delegating) accept(c ushertest.Clients, id string) {
	w.t.Helper()
	must(c.IAM.AssociateDelegationRequest(w.t.Context(), &iam.AssociateDelegationRequestInput{DelegationRequestId: &id}))(w.t)
	must(c.IAM.AcceptDelegationRequest(w.t.Context(), &iam.AcceptDelegationRequestInput{DelegationRequestId: &id}))(w.t)
}

// send releases the token and returns it from the topic, which is kept in the inbox.
func (w *delegating) send(c ushertest.Clients, id string) string {
	w.t.Helper()
	must(c.IAM.SendDelegationToken(w.t.Context(), &iam.SendDelegationTokenInput{DelegationRequestId: &id}))(w.t)
	for _, m := range must(w.Server.Server.Inbox(w.t.Context(), 10))(w.t) {
		var sent struct{ DelegationRequestID, ExchangeToken string }
		if json.Unmarshal([]byte(m.Body), &sent) == nil && sent.DelegationRequestID == id {
			if m.To != "arn:aws:sns:us-east-1:"+w.idA+":delegations" {
				w.t.Errorf("sent to %s", m.To)
			}
			return sent.ExchangeToken
		}
	}
	w.t.Fatal("no token was sent")
	return ""
}

func (w *delegating) trade(token string) (ushertest.Clients, *sts.GetDelegatedAccessTokenOutput, error) {
	out, err := w.a.STS.GetDelegatedAccessToken(w.t.Context(), &sts.GetDelegatedAccessTokenInput{TradeInToken: &token})
	if err != nil {
		return ushertest.Clients{}, nil, err
	}
	return ushertest.ClientsFor(w.As(*out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, *out.Credentials.SessionToken)), out, nil
}

// TestDelegation: an account gets what another accepts: what both the request allows and who accepted it may do, for a while.
func TestDelegation(t *testing.T) {
	ushertest.Each(t, func(t *testing.T, s *ushertest.Server) {
		ctx := t.Context()
		w := &delegating{accounts: newAccounts(t, s)}
		w.template = *must(w.a.IAM.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: aws.String("template"), PolicyDocument: aws.String(
			`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:PutObject","s3:ListBucket"],"Resource":["arn:aws:s3:::@{bucket}","arn:aws:s3:::@{bucket}/*"]},{"Effect":"Allow","Action":["iam:ListUsers","s3:GetObject"],"Resource":"*","Condition":{"StringEquals":{"aws:RequestedRegion":"@{regions}"}}}]}`)}))(t).Policy.Arn
		read := func(c ushertest.Clients) error { return readShared(t, c) }

		// Requests that are none.
		for _, c := range []struct {
			code, text string
			change     func(*iam.CreateDelegationRequestInput)
		}{
			{"InvalidInput", "SNS topic of the calling account", func(in *iam.CreateDelegationRequestInput) {
				in.NotificationChannel = aws.String("arn:aws:sns:us-east-1:" + w.idB + ":theirs")
			}},
			{"InvalidInput", "was not given", func(in *iam.CreateDelegationRequestInput) { in.Permissions.Parameters = nil }},
			{"InvalidInput", "does not exist", func(in *iam.CreateDelegationRequestInput) {
				in.Permissions.PolicyTemplateArn = aws.String("arn:aws:iam::" + w.idB + ":policy/template")
			}},
			{"InvalidInput", "does not make a valid policy", func(in *iam.CreateDelegationRequestInput) { in.Permissions.Parameters[0].Values[0] = `x","arn` }},
		} {
			_, err := w.ask("bad-workflow", c.change)
			if c.code == "InvalidInput" && c.text == "does not make a valid policy" { // a quote stays inside of its text
				if err != nil {
					t.Errorf("a quote in a value: %v", err)
				}
				continue
			}
			refused(t, err, c.code, c.text)
		}

		// From asking to credentials.
		id := must(w.ask("workflow-1", nil))(t)
		_, err := w.ask("workflow-1", nil)
		refused(t, err, "EntityAlreadyExists", "workflow-1")
		_, err = w.a.IAM.GetDelegationRequest(ctx, &iam.GetDelegationRequestInput{DelegationRequestId: &id})
		refused(t, err, "NoSuchEntity", "")
		_, err = w.b.IAM.AcceptDelegationRequest(ctx, &iam.AcceptDelegationRequestInput{DelegationRequestId: &id})
		refused(t, err, "InvalidInput", "UNASSIGNED")
		_, err = w.a.IAM.AssociateDelegationRequest(ctx, &iam.AssociateDelegationRequestInput{DelegationRequestId: &id})
		refused(t, err, "NoSuchEntity", "")
		must(w.b.IAM.AssociateDelegationRequest(ctx, &iam.AssociateDelegationRequestInput{DelegationRequestId: &id}))(t)
		got := must(w.b.IAM.GetDelegationRequest(ctx, &iam.GetDelegationRequestInput{DelegationRequestId: &id}))(t).DelegationRequest
		if got.State != iamtypes.StateTypeAssigned || *got.OwnerId != "arn:aws:iam::"+w.idB+":user/admin" || *got.RequestorId != w.idA ||
			*got.PermissionPolicy != `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:PutObject","s3:ListBucket"],"Resource":["arn:aws:s3:::shared","arn:aws:s3:::shared/*"]},{"Effect":"Allow","Action":["iam:ListUsers","s3:GetObject"],"Resource":"*","Condition":{"StringEquals":{"aws:RequestedRegion":["us-east-1","eu-west-1"]}}}]}` {
			t.Errorf("%+v %s", got, *got.PermissionPolicy)
		}
		must(w.b.IAM.UpdateDelegationRequest(ctx, &iam.UpdateDelegationRequestInput{DelegationRequestId: &id, Notes: aws.String("please")}))(t)
		if list := must(w.b.IAM.ListDelegationRequests(ctx, nil))(t).DelegationRequests; len(list) != 1 || list[0].State != iamtypes.StateTypePendingApproval || *list[0].Notes != "please" {
			t.Errorf("%+v", list)
		}
		// Who accepts may read the bucket and nothing else; the request asks for more.
		carol := w.user(w.b, "carol")
		may := func(actions string) {
			must(w.b.IAM.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: aws.String("carol"), PolicyName: aws.String("p"), PolicyDocument: document(`{"Effect":"Allow","Action":` + actions + `,"Resource":"*"}`)}))(t)
		}
		may(`["s3:*","iam:SendDelegationToken"]`)
		_, err = carol.IAM.AcceptDelegationRequest(ctx, &iam.AcceptDelegationRequestInput{DelegationRequestId: &id})
		refused(t, err, "AccessDenied", "because no identity-based policy allows the iam:AcceptDelegationRequest action")
		may(`["s3:*","iam:AcceptDelegationRequest","iam:SendDelegationToken"]`)
		must(carol.IAM.AcceptDelegationRequest(ctx, &iam.AcceptDelegationRequestInput{DelegationRequestId: &id}))(t)
		token := w.send(carol, id)
		if w.state(id) != iamtypes.StateTypeFinalized {
			t.Error(w.state(id))
		}
		_, err = w.b.IAM.RejectDelegationRequest(ctx, &iam.RejectDelegationRequestInput{DelegationRequestId: &id})
		refused(t, err, "InvalidInput", "FINALIZED")

		_, err = w.b.STS.GetDelegatedAccessToken(ctx, &sts.GetDelegatedAccessTokenInput{TradeInToken: &token})
		refused(t, err, "AccessDenied", "not valid for this account")
		_, _, err = w.trade(token[:len(token)-1])
		refused(t, err, "AccessDenied", "not valid")
		c, out, err := w.trade(token)
		if err != nil {
			t.Fatal(err)
		}
		if *out.AssumedPrincipal != "arn:aws:iam::"+w.idB+":user/carol" || time.Until(*out.Credentials.Expiration) > 30*time.Minute {
			t.Errorf("%+v", out)
		}
		if who := must(c.STS.GetCallerIdentity(ctx, nil))(t); *who.Arn != "arn:aws:sts::"+w.idB+":federated-user/delegated-"+w.idA {
			t.Error(*who.Arn)
		}
		if err := read(c); err != nil {
			t.Error(err)
		}
		_, err = c.S3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String("shared"), Key: aws.String("a.txt")})
		refused(t, err, "AccessDenied", "because no session policy allows the s3:DeleteObject action")
		_, err = c.IAM.ListUsers(ctx, nil)
		refused(t, err, "AccessDenied", "because no identity-based policy allows the iam:ListUsers action")
		may(`["s3:*","iam:*"]`)
		must(c.IAM.ListUsers(ctx, nil))(t)
		_, err = c.IAM.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: aws.String("carol")})
		refused(t, err, "AccessDenied", "because no session policy allows the iam:CreateAccessKey action")
		_, err = c.STS.GetFederationToken(ctx, &sts.GetFederationTokenInput{Name: aws.String("more")})
		refused(t, err, "InvalidClientTokenId", "")
		// A bucket policy that names carol does not lift the limit.
		w.share(`{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + w.idB + `:user/carol"},"Action":"s3:DeleteObject","Resource":"arn:aws:s3:::shared/*"}`)
		_, err = c.S3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String("shared"), Key: aws.String("a.txt")})
		refused(t, err, "AccessDenied", "because no session policy allows the s3:DeleteObject action")

		// Revoked with the sessions of who accepted.
		if err := s.Server.Revoke(ctx, "user", "arn:aws:iam::"+w.idB+":user/carol"); err != nil {
			t.Fatal(err)
		}
		refused(t, read(c), "ExpiredToken", "")
		_, _, err = w.trade(token)
		refused(t, err, "ExpiredTradeInTokenException", "")

		// Rejected, and sent by the owner alone.
		id = must(w.ask("workflow-2", func(in *iam.CreateDelegationRequestInput) { in.OnlySendByOwner, in.OwnerAccountId = true, nil }))(t)
		w.accept(w.b, id)
		_, err = carol.IAM.SendDelegationToken(ctx, &iam.SendDelegationTokenInput{DelegationRequestId: &id})
		refused(t, err, "InvalidInput", "Only the owner")
		must(w.b.IAM.RejectDelegationRequest(ctx, &iam.RejectDelegationRequestInput{DelegationRequestId: &id, Notes: aws.String("no")}))(t)
		_, err = w.b.IAM.SendDelegationToken(ctx, &iam.SendDelegationTokenInput{DelegationRequestId: &id})
		refused(t, err, "InvalidInput", "REJECTED")

		// A role session accepts for its role, but not if a session policy limits it; root users do not.
		must(w.b.IAM.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("ops"), AssumeRolePolicyDocument: document(`{"Effect":"Allow","Principal":{"AWS":"` + w.idB + `"},"Action":"sts:AssumeRole"}`)}))(t)
		must(w.b.IAM.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: aws.String("ops"), PolicyArn: aws.String("arn:aws:iam::aws:policy/AdministratorAccess")}))(t)
		ops := func(policy *string) ushertest.Clients {
			out := must(w.b.STS.AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: aws.String("arn:aws:iam::" + w.idB + ":role/ops"), RoleSessionName: aws.String("s1"), Policy: policy}))(t).Credentials
			return ushertest.ClientsFor(w.As(*out.AccessKeyId, *out.SecretAccessKey, *out.SessionToken))
		}
		id = must(w.ask("workflow-3", nil))(t)
		must(w.b.IAM.AssociateDelegationRequest(ctx, &iam.AssociateDelegationRequestInput{DelegationRequestId: &id}))(t)
		rootKey := must(s.Server.RootKey(ctx, w.idB))(t)
		for _, c := range []ushertest.Clients{ops(document(`{"Effect":"Allow","Action":"iam:*","Resource":"*"}`)), ushertest.ClientsFor(w.As(rootKey.AccessKeyID, rootKey.SecretAccessKey, ""))} {
			_, err = c.IAM.AcceptDelegationRequest(ctx, &iam.AcceptDelegationRequestInput{DelegationRequestId: &id})
			refused(t, err, "AccessDenied", "Delegation requests are accepted by")
		}
		must(ops(nil).IAM.AcceptDelegationRequest(ctx, &iam.AcceptDelegationRequestInput{DelegationRequestId: &id}))(t)
		c, _, err = w.trade(w.send(w.b, id))
		if err != nil {
			t.Fatal(err)
		}
		must(c.IAM.ListUsers(ctx, nil))(t)
		_, err = c.IAM.ListRoles(ctx, nil)
		refused(t, err, "AccessDenied", "because no session policy allows the iam:ListRoles action")
	})
}
