package sts_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdksts "github.com/aws/aws-sdk-go-v2/service/sts"

	"usher/internal/db"
	"usher/internal/db/dbtest"
	"usher/internal/iam"
	"usher/internal/sts"
)

// TestRevoke: each kind of subject ends its own sessions at the next request, no others, and none that is issued afterwards.
func TestRevoke(t *testing.T) {
	each(t, func(w *world, t *testing.T) {
		a := w.key(w.a)
		trust := `{"Effect":"Allow","Principal":{"AWS":"` + w.a.Account + `"},"Action":"sts:AssumeRole"}`
		roleARN, otherARN := w.role(a, "app", trust, ""), w.role(a, "other", trust, "")
		idOf := func(arn *string) string {
			id, ok, err := w.iam.ResolvePrincipal(w.ctx(), w.db, "AWS", *arn)
			if err != nil || !ok {
				t.Fatal(*arn, ok, err)
			}
			return id
		}
		federated := w.role(a, "federated", `{"Effect":"Allow","Principal":{"Federated":"cognito-identity.amazonaws.com"},"Action":"sts:AssumeRoleWithWebIdentity",
			"Condition":{"StringEquals":{"cognito-identity.amazonaws.com:aud":"us-east-1:pool"}}}`, "")
		type session struct {
			caller
			id string
		}
		issue := map[string]func() session{
			"role": func() session {
				c := must(a.AssumeRole(w.ctx(), &sdksts.AssumeRoleInput{RoleArn: roleARN, RoleSessionName: aws.String("s1")}))(t).Credentials
				return session{w.temp(c), *c.AccessKeyId}
			},
			"other role": func() session {
				c := must(a.AssumeRole(w.ctx(), &sdksts.AssumeRoleInput{RoleArn: otherARN, RoleSessionName: aws.String("s1")}))(t).Credentials
				return session{w.temp(c), *c.AccessKeyId}
			},
			"user": func() session {
				c := must(a.GetSessionToken(w.ctx(), nil))(t).Credentials
				return session{w.temp(c), *c.AccessKeyId}
			},
			"identity": func() session {
				c, err := w.sts.AssumeWebIdentity(w.ctx(), sts.WebIdentity{RoleARN: *federated, SessionName: "CognitoIdentityCredentials", Provider: sts.IdentityPools,
					Keys: map[string][]string{sts.IdentityPools + ":aud": {"us-east-1:pool"}, sts.IdentityPools + ":sub": {"us-east-1:ada"}}, Duration: time.Hour,
					AccountID: w.a.Account, IdentityID: "us-east-1:ada", UserSub: "sub-ada", OriginJTI: "jti-ada"})
				if err != nil {
					t.Fatal(err)
				}
				return session{w.as(c.AccessKeyID, c.SecretAccessKey, c.SessionToken), c.AccessKeyID}
			},
		}
		for _, c := range []struct {
			name    string
			subject func(map[string]session) sts.Subject
			ends    string
		}{
			{"role", func(map[string]session) sts.Subject { return sts.Subject{Kind: sts.SessionsOfRole, ID: idOf(roleARN)} }, "role"},
			{"user", func(map[string]session) sts.Subject {
				return sts.Subject{Kind: sts.SessionsOfUser, ID: idOf(aws.String("arn:aws:iam::" + w.a.Account + ":user/admin"))}
			}, "user"},
			{"key", func(map[string]session) sts.Subject {
				return sts.Subject{Kind: sts.SessionsOfKey, ID: w.a.AccessKeyID}
			}, "user"},
			{"session", func(s map[string]session) sts.Subject { return sts.Subject{Kind: sts.OneSession, ID: s["role"].id} }, "role"},
			{"identity", func(map[string]session) sts.Subject {
				return sts.Subject{Kind: sts.SessionsOfIdentity, ID: "us-east-1:ada"}
			}, "identity"},
			{"sub", func(map[string]session) sts.Subject {
				return sts.Subject{Kind: sts.SessionsOfUserSub, ID: "sub-ada"}
			}, "identity"},
			{"sign-in", func(map[string]session) sts.Subject {
				return sts.Subject{Kind: sts.SessionsOfSignIn, ID: "jti-ada"}
			}, "identity"},
			{"nobody", func(map[string]session) sts.Subject {
				return sts.Subject{Kind: sts.SessionsOfIdentity, ID: "sub-ada"}
			}, ""},
		} {
			sessions := map[string]session{}
			for name, f := range issue {
				sessions[name] = f()
			}
			if err := w.sts.Revoke(w.ctx(), c.subject(sessions)); err != nil {
				t.Fatal(err)
			}
			for name, s := range sessions {
				want := "<nil>"
				if name == c.ends {
					want = "ExpiredToken: The security token included in the request is expired"
				}
				if _, err := s.GetCallerIdentity(w.ctx(), nil); failure(err) != want {
					t.Errorf("%s revoked: the session of %s: %s, want %s", c.name, name, failure(err), want)
				}
			}
			if c.ends != "" {
				s := issue[c.ends]()
				if _, err := s.GetCallerIdentity(w.ctx(), nil); err != nil {
					t.Errorf("%s revoked: a session that was issued afterwards: %v", c.name, err)
				}
			}
		}
		if err := w.sts.Revoke(w.ctx(), sts.Subject{Kind: sts.SessionsOfRole}); err == nil {
			t.Error("nothing was revoked")
		}

		// What is swept was in nobody's way any more.
		before := issue["role"]()
		if err := w.sts.Revoke(w.ctx(), sts.Subject{Kind: sts.SessionsOfRole, ID: idOf(roleARN)}); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			after time.Duration
			rows  bool
		}{{35 * time.Hour, true}, {38 * time.Hour, false}} {
			w.shift.Store(int64(c.after))
			if err := w.sts.Sweep(w.ctx()); err != nil {
				t.Fatal(err)
			}
			if n := must(db.One[int64](w.ctx(), w.db, `SELECT COUNT(*) FROM sts_revocations`))(t); (n > 0) != c.rows {
				t.Errorf("%d revocations after %v", n, c.after)
			}
			if _, err := before.GetCallerIdentity(w.ctx(), nil); err == nil {
				t.Errorf("the session is back after %v", c.after)
			}
		}
	})
}

// TestRevokeOnAnotherNode: a revocation counts for the next request on any node, however their clocks differ.
func TestRevokeOnAnotherNode(t *testing.T) {
	url := dbtest.Postgres(t)
	one := start(t, func(s ...db.Schema) *db.DB { return dbtest.Open(t, url, s...) })
	two := node(t, dbtest.Open(t, url, db.Schema{Name: "iam", Files: iam.Schema}, db.Schema{Name: "sts", Files: sts.Schema}), one.ring)
	two.shift.Store(int64(time.Minute))
	a := one.key(one.a)
	role := one.role(a, "app", `{"Effect":"Allow","Principal":{"AWS":"`+one.a.Account+`"},"Action":"sts:AssumeRole"}`, "")
	id, _, err := one.iam.ResolvePrincipal(one.ctx(), one.db, "AWS", *role)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		// Issued by the node whose clock is ahead, revoked by the other.
		creds := must(two.key(one.a).AssumeRole(one.ctx(), &sdksts.AssumeRoleInput{RoleArn: role, RoleSessionName: aws.String("s1")}))(t).Credentials
		must(two.temp(creds).GetCallerIdentity(one.ctx(), nil))(t)
		if err := one.sts.Revoke(one.ctx(), sts.Subject{Kind: sts.SessionsOfRole, ID: id}); err != nil {
			t.Fatal(err)
		}
		for name, w := range map[string]*world{"its own node": one, "the other node": two} {
			if _, err := w.temp(creds).GetCallerIdentity(one.ctx(), nil); failure(err) != "ExpiredToken: The security token included in the request is expired" {
				t.Errorf("on %s: %s", name, failure(err))
			}
		}
		// And one issued afterwards by the node whose clock is behind lives on both.
		creds = must(a.AssumeRole(one.ctx(), &sdksts.AssumeRoleInput{RoleArn: role, RoleSessionName: aws.String("s1")}))(t).Credentials
		must(two.temp(creds).GetCallerIdentity(one.ctx(), nil))(t)
		must(one.temp(creds).GetCallerIdentity(one.ctx(), nil))(t)
	}
}
