package ushertest_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/organizations"
	orgtypes "github.com/aws/aws-sdk-go-v2/service/organizations/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"usher/internal/db/dbtest"
	"usher/internal/server"
	"usher/internal/ushertest"
)

// organization is an organization with the first account of the server as management account, one more account in it, and one
// that is in none.
type organization struct {
	*accounts
	id, root string
	member   string            // account id
	role     ushertest.Clients // session of the role that the management account has in the member
}

const scp = orgtypes.PolicyTypeServiceControlPolicy

func newOrganization(t *testing.T, s *ushertest.Server) *organization {
	w := &organization{accounts: newAccounts(t, s)}
	created := must(w.a.Orgs.CreateOrganization(t.Context(), &organizations.CreateOrganizationInput{}))(t).Organization
	w.id, w.root = *created.Id, *must(w.a.Orgs.ListRoots(t.Context(), nil))(t).Roots[0].Id
	w.member = w.account("Research & Co", "research@example.org")
	w.role = w.assume(w.a, w.member)
	return w
}

// account makes an account and waits for it, as clients do.
func (w *organization) account(name, email string) string {
	w.t.Helper()
	status := must(w.a.Orgs.CreateAccount(w.t.Context(), &organizations.CreateAccountInput{AccountName: &name, Email: &email}))(w.t).CreateAccountStatus
	for status.State == orgtypes.CreateAccountStateInProgress {
		status = must(w.a.Orgs.DescribeCreateAccountStatus(w.t.Context(), &organizations.DescribeCreateAccountStatusInput{CreateAccountRequestId: status.Id}))(w.t).CreateAccountStatus
	}
	if status.State != orgtypes.CreateAccountStateSucceeded {
		w.t.Fatalf("%+v", status)
	}
	return *status.AccountId
}

func (w *organization) assume(c ushertest.Clients, account string) ushertest.Clients {
	w.t.Helper()
	out := must(c.STS.AssumeRole(w.t.Context(), &sts.AssumeRoleInput{RoleArn: aws.String("arn:aws:iam::" + account + ":role/OrganizationAccountAccessRole"), RoleSessionName: aws.String("s1")}))(w.t).Credentials
	return ushertest.ClientsFor(w.As(*out.AccessKeyId, *out.SecretAccessKey, *out.SessionToken))
}

func (w *organization) unit(parent, name string) string {
	w.t.Helper()
	return *must(w.a.Orgs.CreateOrganizationalUnit(w.t.Context(), &organizations.CreateOrganizationalUnitInput{ParentId: &parent, Name: &name}))(w.t).OrganizationalUnit.Id
}

func (w *organization) move(account, from, to string) {
	w.t.Helper()
	must(w.a.Orgs.MoveAccount(w.t.Context(), &organizations.MoveAccountInput{AccountId: &account, SourceParentId: &from, DestinationParentId: &to}))(w.t)
}

func (w *organization) enable() {
	w.t.Helper()
	must(w.a.Orgs.EnablePolicyType(w.t.Context(), &organizations.EnablePolicyTypeInput{RootId: &w.root, PolicyType: scp}))(w.t)
}

func (w *organization) policy(name, statements string) string {
	w.t.Helper()
	return *must(w.a.Orgs.CreatePolicy(w.t.Context(), &organizations.CreatePolicyInput{Name: &name, Description: aws.String(""), Type: scp, Content: document(statements)}))(w.t).Policy.PolicySummary.Id
}

func (w *organization) attach(policy, target string) {
	w.t.Helper()
	must(w.a.Orgs.AttachPolicy(w.t.Context(), &organizations.AttachPolicyInput{PolicyId: &policy, TargetId: &target}))(w.t)
}

func (w *organization) detach(policy, target string) {
	w.t.Helper()
	must(w.a.Orgs.DetachPolicy(w.t.Context(), &organizations.DetachPolicyInput{PolicyId: &policy, TargetId: &target}))(w.t)
}

// TestServiceControlPolicies: they bound the users, roles and the root user of members on every level, of every service, at the
// next request; not the management account and nobody outside.
func TestServiceControlPolicies(t *testing.T) {
	ushertest.Each(t, func(t *testing.T, s *ushertest.Server) {
		w := newOrganization(t, s)
		rootKey := must(s.Server.RootKey(t.Context(), w.member))(t)
		root := ushertest.ClientsFor(w.As(rootKey.AccessKeyID, rootKey.SecretAccessKey, ""))
		carol := w.user(w.role, "carol")
		must(w.role.IAM.AttachUserPolicy(t.Context(), &iam.AttachUserPolicyInput{UserName: aws.String("carol"), PolicyArn: aws.String("arn:aws:iam::aws:policy/AdministratorAccess")}))(t)
		must(w.role.S3.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("lab")}))(t)
		must(w.role.S3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("lab"), Key: aws.String("k"), Body: bytes.NewReader([]byte("x"))}))(t)

		callers := map[string]ushertest.Clients{"a role session": w.role, "a user": carol, "the root user": root}
		calls := map[string]func(ushertest.Clients) error{
			"s3:GetObject": func(c ushertest.Clients) error {
				_, err := c.S3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("lab"), Key: aws.String("k")})
				return err
			},
			"iam:ListUsers": func(c ushertest.Clients) error {
				_, err := c.IAM.ListUsers(t.Context(), nil)
				return err
			},
			"cognito-idp:ListUserPools": func(c ushertest.Clients) error {
				_, err := c.Users.ListUserPools(t.Context(), &cognitoidentityprovider.ListUserPoolsInput{MaxResults: aws.Int32(1)})
				return err
			},
		}
		// expect checks all callers: denied says which actions are denied, and how.
		expect := func(what string, denied map[string]string) {
			t.Helper()
			for who, c := range callers {
				for action, call := range calls {
					err := call(c)
					switch reason := denied[action]; {
					case reason == "" && err != nil:
						t.Errorf("%s: %s of %s: %v", what, action, who, err)
					case reason != "" && (err == nil || !strings.Contains(err.Error(), reason) || !strings.Contains(err.Error(), "AccessDenied")):
						t.Errorf("%s: %s of %s: %v, want %s", what, action, who, err, reason)
					}
				}
			}
			for action, call := range calls {
				if action == "s3:GetObject" { // the bucket is the member's
					continue
				}
				for who, c := range map[string]ushertest.Clients{"the management account": w.a, "an account outside": w.b} {
					if err := call(c); err != nil {
						t.Errorf("%s: %s of %s: %v", what, action, who, err)
					}
				}
			}
		}
		const explicit = "with an explicit deny in a service control policy"
		implicit := func(action string) string {
			return "because no service control policy allows the " + action + " action"
		}

		expect("before the type is enabled", nil)
		w.enable()
		expect("with FullAWSAccess everywhere", nil)

		noS3 := w.policy("NoS3", `{"Sid":"NoS3","Effect":"Deny","Action":"s3:*","Resource":"*"}`)
		w.attach(noS3, w.member)
		expect("a Deny on the account", map[string]string{"s3:GetObject": explicit})
		why := w.explained(calls["iam:ListUsers"](w.alice))
		if strings.Contains(why, "service control") {
			t.Errorf("alice of the management account: %s", why)
		}
		why = w.explained(calls["s3:GetObject"](carol))
		if !strings.Contains(why, "Deny NoS3 in service control policy") || !strings.Contains(why, noS3) {
			t.Errorf("explained as %s", why)
		}
		w.detach(noS3, w.member)

		// They give nothing.
		dave := w.user(w.role, "dave")
		refused(t, calls["s3:GetObject"](dave), "AccessDenied", "because no identity-based policy allows the s3:GetObject action")

		outer := w.unit(w.root, "outer")
		inner := w.unit(outer, "inner")
		w.attach(noS3, outer)
		expect("a Deny on a unit that the account is not in", nil)
		w.move(w.member, w.root, inner)
		expect("moved into a unit below the Deny", map[string]string{"s3:GetObject": explicit})
		must(w.a.Orgs.UpdatePolicy(t.Context(), &organizations.UpdatePolicyInput{PolicyId: &noS3, Content: document(`{"Effect":"Deny","Action":"iam:*","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalOrgID":"` + w.id + `"}}}`)}))(t)
		expect("the policy is another", map[string]string{"iam:ListUsers": explicit})
		w.detach(noS3, outer)

		onlyS3 := w.policy("OnlyS3", `{"Effect":"Allow","Action":["s3:*","sts:*"],"Resource":"*"}`)
		w.attach(onlyS3, inner)
		expect("FullAWSAccess beside it", nil)
		w.detach("p-FullAWSAccess", inner)
		allowList := map[string]string{"iam:ListUsers": implicit("iam:ListUsers"), "cognito-idp:ListUserPools": implicit("cognito-idp:ListUserPools")}
		expect("a level that allows S3 only", allowList)
		why = w.explained(calls["iam:ListUsers"](carol))
		if !strings.Contains(why, "no service control policy allows it") {
			t.Errorf("explained as %s", why)
		}
		_, err := w.a.Orgs.DetachPolicy(t.Context(), &organizations.DetachPolicyInput{PolicyId: &onlyS3, TargetId: &inner})
		refused(t, err, "ConstraintViolationException", "at least one policy")
		// Beyond the account: a bucket of b that allows carol.
		w.share(`{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + w.member + `:user/carol"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::shared/*"}`)
		if err := readShared(t, carol); err != nil {
			t.Errorf("carol in b's bucket: %v", err)
		}
		w.attach(noS3, w.root)
		must(w.a.Orgs.UpdatePolicy(t.Context(), &organizations.UpdatePolicyInput{PolicyId: &noS3, Content: document(`{"Effect":"Deny","Action":"s3:*","Resource":"*","Condition":{"StringNotEquals":{"aws:ResourceOrgID":"${aws:PrincipalOrgID}"}}}`)}))(t)
		refused(t, readShared(t, carol), "AccessDenied", explicit)
		expect("resources of the organization only", allowList)

		must(w.a.Orgs.DisablePolicyType(t.Context(), &organizations.DisablePolicyTypeInput{RootId: &w.root, PolicyType: scp}))(t)
		expect("the type is disabled", nil)
		w.enable()
		expect("enabled anew nothing is attached but FullAWSAccess", nil)
		w.attach(noS3, w.root)
		must(w.a.Orgs.RemoveAccountFromOrganization(t.Context(), &organizations.RemoveAccountFromOrganizationInput{AccountId: &w.member}))(t)
		if err := readShared(t, carol); err != nil {
			t.Errorf("carol of an account that has left: %v", err)
		}
	})
}

// TestServiceControlPoliciesOnEveryNode: what one node acknowledges holds at the next request to another.
func TestServiceControlPoliciesOnEveryNode(t *testing.T) {
	url := dbtest.Postgres(t)
	s := ushertest.New(t, url)
	w := newOrganization(t, s)
	w.enable()
	other := ushertest.Start(t, server.Config{Database: url, Data: t.TempDir(), KeyFile: filepath.Join(s.Data, "key")})
	key := must(w.role.IAM.CreateAccessKey(t.Context(), &iam.CreateAccessKeyInput{UserName: aws.String("admin")}))(t).AccessKey
	there := ushertest.ClientsFor(other.As(*key.AccessKeyId, *key.SecretAccessKey, ""))
	p := w.policy("NoList", `{"Effect":"Deny","Action":"iam:ListUsers","Resource":"*"}`)
	unit := w.unit(w.root, "u")
	w.move(w.member, w.root, unit)
	for _, target := range []string{w.member, unit, w.root} {
		must(there.IAM.ListUsers(t.Context(), nil))(t)
		w.attach(p, target)
		_, err := there.IAM.ListUsers(t.Context(), nil)
		refused(t, err, "AccessDenied", "with an explicit deny in a service control policy")
		w.detach(p, target)
	}
	must(there.IAM.ListUsers(t.Context(), nil))(t)
	w.attach(p, unit)
	w.move(w.member, unit, w.root)
	must(there.IAM.ListUsers(t.Context(), nil))(t)
}

// TestServiceControlPoliciesAreSimulated: SimulatePrincipalPolicy decides as requests are decided.
func TestServiceControlPoliciesAreSimulated(t *testing.T) {
	ushertest.Each(t, func(t *testing.T, s *ushertest.Server) {
		w := newOrganization(t, s)
		w.enable()
		p := w.policy("NoS3", `{"Effect":"Deny","Action":"s3:*","Resource":"*"}`)
		w.attach(p, w.member)
		w.attach(p, w.idA)
		simulate := func(c ushertest.Clients, source string, exclude ...iamtypes.PolicyIdentifier) string {
			t.Helper()
			r := must(c.IAM.SimulatePrincipalPolicy(t.Context(), &iam.SimulatePrincipalPolicyInput{PolicySourceArn: &source, ActionNames: []string{"s3:GetObject"}, PolicyExclusionList: exclude}))(t).EvaluationResults[0]
			text := fmt.Sprint(r.EvalDecision, " ", r.OrganizationsDecisionDetail.AllowedByOrganizations)
			for _, m := range r.MatchedStatements {
				text += " " + *m.SourcePolicyId
			}
			return text
		}
		admin := "arn:aws:iam::" + w.member + ":user/admin"
		linked := *must(w.role.IAM.CreateServiceLinkedRole(t.Context(), &iam.CreateServiceLinkedRoleInput{AWSServiceName: aws.String("sso.amazonaws.com")}))(t).Role.Arn
		for _, c := range []struct{ what, got, want string }{
			{"a user of the member", simulate(w.role, admin), "explicitDeny false NoS3"},
			{"without the kind", simulate(w.role, admin, &iamtypes.PolicyIdentifierMemberPolicyType{Value: "scp"}), "allowed true AdministratorAccess"},
			{"without the policy", simulate(w.role, admin, &iamtypes.PolicyIdentifierMemberPolicyArn{Value: "arn:aws:organizations::" + w.idA + ":policy/" + w.id + "/service_control_policy/" + p}), "allowed true AdministratorAccess"},
			{"a service-linked role", simulate(w.role, linked), "implicitDeny true"},
			{"the management account", simulate(w.a, "arn:aws:iam::"+w.idA+":user/admin"), "allowed true AdministratorAccess"},
		} {
			if c.got != c.want {
				t.Errorf("%s: %s, want %s", c.what, c.got, c.want)
			}
		}
	})
}

// TestOrganizationTree: accounts, units and policies are where they were put.
func TestOrganizationTree(t *testing.T) {
	ushertest.Each(t, func(t *testing.T, s *ushertest.Server) {
		w := newOrganization(t, s)
		c := w.a.Orgs
		described := must(c.DescribeOrganization(t.Context(), nil))(t).Organization
		if *described.MasterAccountId != w.idA || described.FeatureSet != orgtypes.OrganizationFeatureSetAll || *described.Id != w.id {
			t.Errorf("%+v", described)
		}
		who := must(w.role.STS.GetCallerIdentity(t.Context(), nil))(t)
		if *who.Arn != "arn:aws:sts::"+w.member+":assumed-role/OrganizationAccountAccessRole/s1" {
			t.Error(*who.Arn)
		}
		// An account is one like those that the command line makes.
		var names []string
		for _, a := range must(s.Server.Accounts(t.Context()))(t) {
			names = append(names, a.Name)
		}
		if !slices.Equal(names, []string{"default", "b", "Research & Co"}) {
			t.Errorf("accounts %q", names)
		}
		if users := must(w.role.IAM.ListUsers(t.Context(), nil))(t).Users; len(users) != 1 || *users[0].UserName != "admin" {
			t.Errorf("%+v", users)
		}

		again := must(c.CreateAccount(t.Context(), &organizations.CreateAccountInput{AccountName: aws.String("x"), Email: aws.String("Research@example.org")}))(t).CreateAccountStatus
		if again.State != orgtypes.CreateAccountStateFailed || again.FailureReason != orgtypes.CreateAccountFailureReasonEmailAlreadyExists {
			t.Errorf("%+v", again)
		}
		failed := must(c.ListCreateAccountStatus(t.Context(), &organizations.ListCreateAccountStatusInput{States: []orgtypes.CreateAccountState{"FAILED"}}))(t).CreateAccountStatuses
		if len(failed) != 1 || *failed[0].Id != *again.Id {
			t.Errorf("%+v", failed)
		}
		same := w.account("Research & Co", "other@example.org") // names are not unique

		outer := w.unit(w.root, "outer")
		inner := w.unit(outer, "inner")
		deepest := inner
		for i := range 3 {
			deepest = w.unit(deepest, fmt.Sprint(i))
		}
		_, err := c.CreateOrganizationalUnit(t.Context(), &organizations.CreateOrganizationalUnitInput{ParentId: &deepest, Name: aws.String("x")})
		refused(t, err, "ConstraintViolationException", "depth")
		_, err = c.CreateOrganizationalUnit(t.Context(), &organizations.CreateOrganizationalUnitInput{ParentId: &w.root, Name: aws.String("outer")})
		refused(t, err, "DuplicateOrganizationalUnitException", "")
		w.move(w.member, w.root, inner)
		_, err = c.MoveAccount(t.Context(), &organizations.MoveAccountInput{AccountId: &w.member, SourceParentId: &w.root, DestinationParentId: &outer})
		refused(t, err, "SourceParentNotFoundException", "")
		_, err = c.DeleteOrganizationalUnit(t.Context(), &organizations.DeleteOrganizationalUnitInput{OrganizationalUnitId: &inner})
		refused(t, err, "OrganizationalUnitNotEmptyException", "")
		parents := must(c.ListParents(t.Context(), &organizations.ListParentsInput{ChildId: &w.member}))(t).Parents
		if len(parents) != 1 || *parents[0].Id != inner || parents[0].Type != orgtypes.ParentTypeOrganizationalUnit {
			t.Errorf("%+v", parents)
		}
		children := must(c.ListChildren(t.Context(), &organizations.ListChildrenInput{ParentId: &outer, ChildType: orgtypes.ChildTypeOrganizationalUnit}))(t).Children
		if len(children) != 1 || *children[0].Id != inner {
			t.Errorf("%+v", children)
		}
		account := must(c.DescribeAccount(t.Context(), &organizations.DescribeAccountInput{AccountId: &w.member}))(t).Account
		if *account.Email != "research@example.org" || account.State != orgtypes.AccountStateActive || *account.Name != "Research & Co" ||
			*account.Arn != "arn:aws:organizations::"+w.idA+":account/"+w.id+"/"+w.member ||
			account.Paths[0] != w.id+"/"+w.root+"/"+outer+"/"+inner+"/"+w.member+"/" {
			t.Errorf("%+v %v", account, account.Paths)
		}
		var accounts []string
		pages := organizations.NewListAccountsPaginator(c, &organizations.ListAccountsInput{MaxResults: aws.Int32(1)})
		for pages.HasMorePages() {
			for _, a := range must(pages.NextPage(t.Context()))(t).Accounts {
				accounts = append(accounts, *a.Id)
			}
		}
		if want := slices.Sorted(slices.Values([]string{w.idA, w.member, same})); !slices.Equal(accounts, want) {
			t.Errorf("accounts %v, want %v", accounts, want)
		}

		// Policies and tags.
		w.enable()
		p := w.policy("P", `{"Effect":"Deny","Action":"s3:*","Resource":"*"}`)
		w.attach(p, outer)
		w.attach(p, w.member)
		_, err = c.AttachPolicy(t.Context(), &organizations.AttachPolicyInput{PolicyId: &p, TargetId: &outer})
		refused(t, err, "DuplicatePolicyAttachmentException", "")
		_, err = c.DeletePolicy(t.Context(), &organizations.DeletePolicyInput{PolicyId: &p})
		refused(t, err, "PolicyInUseException", "")
		var targets []string
		for _, x := range must(c.ListTargetsForPolicy(t.Context(), &organizations.ListTargetsForPolicyInput{PolicyId: &p}))(t).Targets {
			targets = append(targets, *x.TargetId+" "+*x.Name+" "+string(x.Type))
		}
		if !reflect.DeepEqual(targets, []string{w.member + " Research & Co ACCOUNT", outer + " outer ORGANIZATIONAL_UNIT"}) {
			t.Errorf("targets %q", targets)
		}
		for target, want := range map[string]int{w.member: 2, outer: 2, w.root: 1, same: 1, inner: 1} {
			if list := must(c.ListPoliciesForTarget(t.Context(), &organizations.ListPoliciesForTargetInput{TargetId: &target, Filter: scp}))(t).Policies; len(list) != want || *list[0].Name != "FullAWSAccess" || !list[0].AwsManaged {
				t.Errorf("policies of %s: %+v", target, list)
			}
		}
		if later := w.unit(outer, "later"); len(must(c.ListPoliciesForTarget(t.Context(), &organizations.ListPoliciesForTargetInput{TargetId: &later, Filter: scp}))(t).Policies) != 1 {
			t.Error("a new unit has no policy")
		}
		_, err = c.CreatePolicy(t.Context(), &organizations.CreatePolicyInput{Name: aws.String("Q"), Description: aws.String(""), Type: scp, Content: aws.String(`{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}}`)})
		refused(t, err, "MalformedPolicyDocumentException", "")
		_, err = c.CreatePolicy(t.Context(), &organizations.CreatePolicyInput{Name: aws.String("Q"), Description: aws.String(""), Type: orgtypes.PolicyTypeTagPolicy, Content: aws.String(`{}`)})
		refused(t, err, "PolicyTypeNotAvailableForOrganizationException", "")
		_, err = c.DeletePolicy(t.Context(), &organizations.DeletePolicyInput{PolicyId: aws.String("p-FullAWSAccess")})
		refused(t, err, "InvalidInputException", "")
		must(c.TagResource(t.Context(), &organizations.TagResourceInput{ResourceId: &outer, Tags: []orgtypes.Tag{{Key: aws.String("k"), Value: aws.String("v")}}}))(t)
		if tags := must(c.ListTagsForResource(t.Context(), &organizations.ListTagsForResourceInput{ResourceId: &outer}))(t).Tags; len(tags) != 1 || *tags[0].Value != "v" {
			t.Errorf("%+v", tags)
		}
		for i := range 11 {
			w.policy(fmt.Sprint("extra", i), `{"Effect":"Allow","Action":"*","Resource":"*"}`)
		}
		seen := map[string]bool{}
		for pages := organizations.NewListPoliciesPaginator(c, &organizations.ListPoliciesInput{Filter: scp, MaxResults: aws.Int32(2)}); pages.HasMorePages(); {
			for _, x := range must(pages.NextPage(t.Context()))(t).Policies {
				seen[*x.Name] = true
			}
		}
		if len(seen) != 13 {
			t.Errorf("%d policies are listed: %v", len(seen), seen)
		}
		refusedAll := func(c *organizations.Client, code, text string) {
			t.Helper()
			_, err := c.ListAccounts(t.Context(), nil)
			refused(t, err, code, text)
			_, err = c.CreateAccount(t.Context(), &organizations.CreateAccountInput{AccountName: aws.String("x"), Email: aws.String("x@example.org")})
			refused(t, err, code, text)
			_, err = c.DetachPolicy(t.Context(), &organizations.DetachPolicyInput{PolicyId: &p, TargetId: &w.member})
			refused(t, err, code, text)
		}
		refusedAll(w.b.Orgs, "AWSOrganizationsNotInUseException", "not a member")
		refusedAll(w.alice.Orgs, "AccessDeniedException", "because no identity-based policy allows the organizations:")
		refusedAll(w.assume(w.a, same).Orgs, "AccessDeniedException", "You don't have permissions to access this resource.")
		if o := must(w.assume(w.a, same).Orgs.DescribeOrganization(t.Context(), nil))(t).Organization; *o.Id != w.id {
			t.Errorf("a member sees %+v", o)
		}
		_, err = w.b.Orgs.CreateOrganization(t.Context(), &organizations.CreateOrganizationInput{})
		refused(t, err, "AccessDeniedException", "There is an organization already")
		_, err = w.role.Orgs.CreateOrganization(t.Context(), &organizations.CreateOrganizationInput{})
		refused(t, err, "AlreadyInOrganizationException", "")
		w.allow(`{"Effect":"Allow","Action":"organizations:AttachPolicy","Resource":["arn:aws:organizations::*:policy/` + w.id + `/service_control_policy/` + p + `","arn:aws:organizations::*:account/*"],"Condition":{"StringEquals":{"organizations:PolicyType":"SERVICE_CONTROL_POLICY"}}}`)
		must(w.alice.Orgs.AttachPolicy(t.Context(), &organizations.AttachPolicyInput{PolicyId: &p, TargetId: &same}))(t)
		_, err = w.alice.Orgs.AttachPolicy(t.Context(), &organizations.AttachPolicyInput{PolicyId: &p, TargetId: &w.root})
		refused(t, err, "AccessDeniedException", "on resource: arn:aws:organizations::"+w.idA+":root/"+w.id+"/"+w.root)

		// A delegated administrator reads.
		if list := must(c.ListDelegatedAdministrators(t.Context(), nil))(t).DelegatedAdministrators; list == nil || len(list) > 0 {
			t.Errorf("%#v", list)
		}
		_, err = c.RegisterDelegatedAdministrator(t.Context(), &organizations.RegisterDelegatedAdministratorInput{AccountId: &same, ServicePrincipal: aws.String("iam.amazonaws.com")})
		refused(t, err, "ConstraintViolationException", "trusted access")
		must(c.EnableAWSServiceAccess(t.Context(), &organizations.EnableAWSServiceAccessInput{ServicePrincipal: aws.String("iam.amazonaws.com")}))(t)
		must(c.RegisterDelegatedAdministrator(t.Context(), &organizations.RegisterDelegatedAdministratorInput{AccountId: &same, ServicePrincipal: aws.String("iam.amazonaws.com")}))(t)
		if list := must(w.assume(w.a, same).Orgs.ListDelegatedAdministrators(t.Context(), nil))(t).DelegatedAdministrators; len(list) != 1 || *list[0].Id != same {
			t.Errorf("%+v", list)
		}
		_, err = c.DeleteOrganization(t.Context(), nil)
		refused(t, err, "OrganizationNotEmptyException", "")
	})
}

// TestDeleteOrganization: what is empty can go, and made anew by another account.
func TestDeleteOrganization(t *testing.T) {
	ushertest.Each(t, func(t *testing.T, s *ushertest.Server) {
		w := newOrganization(t, s)
		must(w.a.Orgs.RemoveAccountFromOrganization(t.Context(), &organizations.RemoveAccountFromOrganizationInput{AccountId: &w.member}))(t)
		must(w.a.Orgs.DeleteOrganization(t.Context(), nil))(t)
		_, err := w.a.Orgs.DescribeOrganization(t.Context(), nil)
		refused(t, err, "AWSOrganizationsNotInUseException", "")
		must(w.role.IAM.ListUsers(t.Context(), nil))(t)
		if o := must(w.b.Orgs.CreateOrganization(t.Context(), &organizations.CreateOrganizationInput{}))(t).Organization; *o.MasterAccountId != w.idB {
			t.Errorf("%+v", o)
		}
	})
}

// TestOrganizationKeys: policies of resources and trust policies can ask for the organization.
func TestOrganizationKeys(t *testing.T) {
	ushertest.Each(t, func(t *testing.T, s *ushertest.Server) {
		w := newOrganization(t, s)
		unit := w.unit(w.root, "u")
		w.move(w.member, w.root, unit)
		path := w.id + "/" + w.root + "/" + unit + "/"
		for condition, want := range map[string]bool{
			`"StringEquals":{"aws:PrincipalOrgID":"` + w.id + `"}`:                                         true,
			`"StringEquals":{"aws:PrincipalOrgID":"o-aaaaaaaaaa"}`:                                         false,
			`"ForAnyValue:StringLike":{"aws:PrincipalOrgPaths":"` + w.id + `/*"}`:                          true,
			`"ForAnyValue:StringEquals":{"aws:PrincipalOrgPaths":"` + path + `"}`:                          true,
			`"ForAnyValue:StringEquals":{"aws:PrincipalOrgPaths":"` + w.id + "/" + w.root + `/"}`:          false,
			`"StringEquals":{"aws:PrincipalAccount":"` + w.member + `"}`:                                   true,
			`"Null":{"aws:ResourceOrgID":"true"}`:                                                          true, // b is in no organization
			`"StringEquals":{"aws:PrincipalOrgID":"` + w.id + `"},"Null":{"aws:ResourceOrgPaths":"false"}`: false,
		} {
			w.share(`{"Effect":"Allow","Principal":{"AWS":"` + w.member + `"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::shared/*","Condition":{` + condition + `}}`)
			if err := readShared(t, w.role); (err == nil) != want {
				t.Errorf("%s: %v", condition, err)
			}
		}
		// Tokens for others tell it too.
		must(w.role.IAM.EnableOutboundWebIdentityFederation(t.Context(), nil))(t)
		token := *must(w.role.STS.GetWebIdentityToken(t.Context(), &sts.GetWebIdentityTokenInput{Audience: []string{"x"}, SigningAlgorithm: aws.String("ES384")}))(t).WebIdentityToken
		var claims struct {
			AWS struct {
				Org  string   `json:"org_id"`
				Path []string `json:"ou_path"`
			} `json:"https://sts.amazonaws.com/"`
		}
		payload := must(base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1]))(t)
		if err := json.Unmarshal(payload, &claims); err != nil || claims.AWS.Org != w.id || !slices.Equal(claims.AWS.Path, []string{path}) {
			t.Errorf("%v %s", err, payload)
		}
		for condition, want := range map[string]bool{
			`"StringEquals":{"aws:ResourceOrgID":"` + w.id + `"}`:                                true,
			`"ForAnyValue:StringEquals":{"aws:ResourceOrgPaths":"` + w.id + "/" + w.root + `/"}`: true, // of the management account
			`"StringEquals":{"aws:ResourceOrgID":"o-aaaaaaaaaa"}`:                                false,
		} {
			w.allow(`{"Effect":"Allow","Action":"iam:ListUsers","Resource":"*","Condition":{` + condition + `}}`)
			if _, err := w.alice.IAM.ListUsers(t.Context(), nil); (err == nil) != want {
				t.Errorf("%s: %v", condition, err)
			}
		}
	})
}
