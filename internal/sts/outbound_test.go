package sts_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdkiam "github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	sdksts "github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"usher/internal/token"
)

func TestOutboundFederation(t *testing.T) {
	each(t, func(w *world, t *testing.T) {
		admin := w.key(w.a)
		get := func(c caller, in sdksts.GetWebIdentityTokenInput) (string, error) {
			if in.Audience == nil {
				in.Audience = []string{"https://api.example.com"}
			}
			if in.SigningAlgorithm == nil {
				in.SigningAlgorithm = aws.String("ES384")
			}
			out, err := c.GetWebIdentityToken(w.ctx(), &in)
			if err != nil {
				return "", err
			}
			return *out.WebIdentityToken, nil
		}
		if _, err := get(admin, sdksts.GetWebIdentityTokenInput{}); !strings.HasPrefix(failure(err), "OutboundWebIdentityFederationDisabledException: ") {
			t.Error(failure(err))
		}
		if _, err := admin.IAM.GetOutboundWebIdentityFederationInfo(w.ctx(), nil); !strings.HasPrefix(failure(err), "FeatureDisabled: ") {
			t.Error(failure(err))
		}
		issuer := *must(admin.IAM.EnableOutboundWebIdentityFederation(w.ctx(), nil))(t).IssuerIdentifier
		if _, err := admin.IAM.EnableOutboundWebIdentityFederation(w.ctx(), nil); !strings.HasPrefix(failure(err), "FeatureEnabled: ") {
			t.Error(failure(err))
		}
		if info := must(admin.IAM.GetOutboundWebIdentityFederationInfo(w.ctx(), nil))(t); *info.IssuerIdentifier != issuer || !info.JwtVendingEnabled {
			t.Errorf("info %+v", info)
		}

		// Verified as a stranger would: by discovery.
		verify := func(text string) token.Claims {
			t.Helper()
			u := must(token.Parse(text))(t)
			if u.Issuer() != issuer {
				t.Fatalf("issuer %s, want %s", u.Issuer(), issuer)
			}
			remote := &token.Remote{AllowHTTP: true, Now: w.now}
			key := must(remote.Key(w.ctx(), token.Issuer{URL: issuer}, u.KeyID()))(t)
			claims := must(u.Verify(key))(t)
			if err := claims.CheckExpiry(w.now(), 0); err != nil {
				t.Error(err)
			}
			return claims
		}
		own := func(c token.Claims) map[string]any {
			raw, _ := c.Get("https://sts.amazonaws.com/")
			var m map[string]any
			if err := json.Unmarshal(raw, &m); err != nil {
				t.Fatal(err)
			}
			return m
		}
		for _, algorithm := range []string{"RS256", "ES384"} {
			claims := verify(must(get(admin, sdksts.GetWebIdentityTokenInput{SigningAlgorithm: &algorithm, Audience: []string{"a", "b"}}))(t))
			sub, _ := claims.String("sub")
			aud, _ := claims.Strings("aud")
			exp, _ := claims.Int("exp")
			iat, _ := claims.Int("iat")
			if sub != "arn:aws:iam::"+w.a.Account+":user/admin" || strings.Join(aud, " ") != "a b" || exp-iat != 300 {
				t.Errorf("%s: sub %s, aud %s, %d seconds", algorithm, sub, aud, exp-iat)
			}
			if o := own(claims); o["aws_account"] != w.a.Account || o["principal_id"] != sub || o["source_region"] != "eu-west-1" || len(o) != 3 {
				t.Errorf("%s: %v", algorithm, o)
			}
		}

		// A role session, with tags of the role, the session and the request.
		trust := `{"Effect":"Allow","Principal":{"AWS":"` + w.a.Account + `"},"Action":["sts:AssumeRole","sts:TagSession"]}`
		role := w.role(admin, "app", trust, `{"Effect":"Allow","Action":"sts:GetWebIdentityToken","Resource":"*","Condition":{
			"ForAllValues:StringLike":{"sts:IdentityTokenAudience":"https://*.example.com"},"NumericLessThanEquals":{"sts:DurationSeconds":"600"},"StringEquals":{"sts:SigningAlgorithm":"ES384"}}},
			{"Effect":"Allow","Action":"sts:TagGetWebIdentityToken","Resource":"*","Condition":{"StringEquals":{"aws:RequestTag/job":"42"}}}`)
		must(admin.IAM.TagRole(w.ctx(), &sdkiam.TagRoleInput{RoleName: aws.String("app"), Tags: []iamtypes.Tag{{Key: aws.String("Team"), Value: aws.String("blue")}, {Key: aws.String("stage"), Value: aws.String("prod")}}}))(t)
		session := w.temp(must(admin.AssumeRole(w.ctx(), &sdksts.AssumeRoleInput{RoleArn: role, RoleSessionName: aws.String("s1"), DurationSeconds: aws.Int32(900), Tags: []types.Tag{{Key: aws.String("team"), Value: aws.String("red")}}}))(t).Credentials)
		tag := func(v string) []types.Tag { return []types.Tag{{Key: aws.String("job"), Value: &v}} }
		claims := verify(must(get(session, sdksts.GetWebIdentityTokenInput{Tags: tag("42")}))(t))
		sub, _ := claims.String("sub")
		o := own(claims)
		tags, _ := json.Marshal([]any{o["principal_tags"], o["request_tags"]})
		if aud, ok := claims.String("aud"); sub != *role || !ok || aud != "https://api.example.com" || string(tags) != `[{"stage":"prod","team":"red"},{"job":"42"}]` || o["original_session_exp"] == nil {
			t.Errorf("sub %s, aud %s, %v", sub, aud, o)
		}
		for _, c := range []struct {
			what string
			in   sdksts.GetWebIdentityTokenInput
			want string
		}{
			{"another audience", sdksts.GetWebIdentityTokenInput{Audience: []string{"https://api.example.com", "https://evil.test"}}, "AccessDenied: "},
			{"too long", sdksts.GetWebIdentityTokenInput{DurationSeconds: aws.Int32(601)}, "AccessDenied: "},
			{"another algorithm", sdksts.GetWebIdentityTokenInput{SigningAlgorithm: aws.String("RS256")}, "AccessDenied: "},
			{"another tag", sdksts.GetWebIdentityTokenInput{Tags: tag("43")}, "AccessDenied: "},
		} {
			if _, err := get(session, c.in); !strings.HasPrefix(failure(err), c.want) {
				t.Errorf("%s: %s", c.what, failure(err))
			}
		}
		if _, err := get(admin, sdksts.GetWebIdentityTokenInput{SigningAlgorithm: aws.String("HS256")}); !strings.HasPrefix(failure(err), "ValidationError: 1 validation error detected: Value 'HS256' at 'signingAlgorithm'") {
			t.Error(failure(err))
		}
		w.shift.Add(int64(11 * time.Minute)) // of 15
		if _, err := get(session, sdksts.GetWebIdentityTokenInput{}); !strings.HasPrefix(failure(err), "SessionDurationEscalationException: ") {
			t.Errorf("longer than the session: %s", failure(err))
		}
		w.shift.Store(0)
		var many []types.Tag
		for i := range 50 {
			many = append(many, types.Tag{Key: aws.String(strings.Repeat("k", 120) + string(rune('A'+i%26)) + string(rune('0'+i/26))), Value: aws.String(strings.Repeat("v", 256))})
		}
		if _, err := get(admin, sdksts.GetWebIdentityTokenInput{Tags: many}); !strings.HasPrefix(failure(err), "JWTPayloadSizeExceededException: ") {
			t.Errorf("many tags: %s", failure(err))
		}

		// They are for others.
		if _, err := admin.IAM.CreateOpenIDConnectProvider(w.ctx(), &sdkiam.CreateOpenIDConnectProviderInput{Url: &issuer}); !strings.HasPrefix(failure(err), "InvalidInput: ") {
			t.Errorf("as a provider: %s", failure(err))
		}
		// Each account has its own issuer, and keeps it.
		b := w.key(w.b)
		if other := *must(b.IAM.EnableOutboundWebIdentityFederation(w.ctx(), nil))(t).IssuerIdentifier; other == issuer {
			t.Error("two accounts have one issuer")
		}
		must(admin.IAM.DisableOutboundWebIdentityFederation(w.ctx(), nil))(t)
		if _, err := admin.IAM.DisableOutboundWebIdentityFederation(w.ctx(), nil); !strings.HasPrefix(failure(err), "FeatureDisabled: ") {
			t.Error(failure(err))
		}
		if _, err := get(admin, sdksts.GetWebIdentityTokenInput{}); !strings.HasPrefix(failure(err), "OutboundWebIdentityFederationDisabledException: ") {
			t.Error(failure(err))
		}
		if again := *must(admin.IAM.EnableOutboundWebIdentityFederation(w.ctx(), nil))(t).IssuerIdentifier; again != issuer {
			t.Errorf("issuer %s, then %s", issuer, again)
		}

		page := func(path string) (int, string) {
			r := must(http.Get(w.url + path))(t)
			defer r.Body.Close()
			body := must(io.ReadAll(r.Body))(t)
			return r.StatusCode, string(body)
		}
		if status, _ := page("/sts/00000000-0000-0000-0000-000000000000/.well-known/openid-configuration"); status != 404 {
			t.Errorf("an unknown issuer: %d", status)
		}
		if status, body := page(strings.TrimPrefix(issuer, w.url) + "/.well-known/jwks.json"); status != 200 || strings.Contains(body, `"d"`) || !strings.Contains(body, `"P-384"`) {
			t.Errorf("keys: %d %s", status, body)
		}
	})
}
