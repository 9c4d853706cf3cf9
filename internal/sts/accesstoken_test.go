package sts_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdkiam "github.com/aws/aws-sdk-go-v2/service/iam"
	sdksts "github.com/aws/aws-sdk-go-v2/service/sts"

	"usher/internal/token"
)

// TestBuiltinProviders: Google, Facebook and Login with Amazon, each played by a server that answers as they document it.
func TestBuiltinProviders(t *testing.T) {
	each(t, func(w *world, t *testing.T) {
		google := newIssuer(t)
		mux := http.NewServeMux()
		web := httptest.NewServer(mux)
		defer web.Close()
		w.sts.Providers.Google, w.sts.Providers.Facebook, w.sts.Providers.Amazon = web.URL+"/google", web.URL+"/facebook", web.URL+"/amazon"
		mux.HandleFunc("/google/.well-known/openid-configuration", func(rw http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(rw, `{"issuer":%q,"jwks_uri":%q}`, web.URL+"/google", web.URL+"/google/keys")
		})
		mux.HandleFunc("/google/keys", func(rw http.ResponseWriter, r *http.Request) { rw.Write(token.JWKS(google.key.Public())) })
		graph := func(answers map[string]string) http.HandlerFunc {
			return func(rw http.ResponseWriter, r *http.Request) {
				switch token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "); {
				case token == "down":
					rw.WriteHeader(503)
				case token == "elsewhere":
					http.Redirect(rw, r, web.URL+"/steal", http.StatusFound)
				case answers[token] == "":
					rw.WriteHeader(400)
					fmt.Fprint(rw, `{"error":{"message":"Invalid OAuth access token.","type":"OAuthException","code":190}}`)
				default:
					fmt.Fprint(rw, answers[token])
				}
			}
		}
		mux.HandleFunc("/facebook/app", graph(map[string]string{"good": `{"id":"app-1"}`, "other app": `{"id":"app-2"}`, "nobody": `{"id":"app-1"}`}))
		mux.HandleFunc("/facebook/me", graph(map[string]string{"good": `{"id":"1234567"}`, "other app": `{"id":"1234567"}`, "nobody": `{}`}))
		mux.HandleFunc("/amazon/auth/o2/tokeninfo", func(rw http.ResponseWriter, r *http.Request) {
			answer, ok := map[string]string{
				"Atza|good": `{"iss":"https://www.amazon.com","user_id":"amzn1.account.A","aud":"amzn1.client","app_id":"app-1","exp":3000,"iat":1}`,
				"expired":   `{"iss":"https://www.amazon.com","user_id":"amzn1.account.A","aud":"amzn1.client","app_id":"app-1","exp":0,"iat":1}`,
				"issuer":    `{"iss":"https://evil.test","user_id":"amzn1.account.A","aud":"amzn1.client","app_id":"app-1","exp":3000,"iat":1}`,
				"no json":   `<html>`,
			}[r.URL.Query().Get("access_token")]
			if !ok {
				rw.WriteHeader(400)
			}
			fmt.Fprint(rw, answer)
		})
		mux.HandleFunc("/steal", func(http.ResponseWriter, *http.Request) { t.Error("a token was sent elsewhere") })

		admin := w.key(w.a)
		roles := map[string]*string{}
		for provider, key := range map[string]string{"accounts.google.com": "aud", "graph.facebook.com": "app_id", "www.amazon.com": "app_id"} {
			name := strings.ReplaceAll(provider, ".", "-")
			roles[provider] = w.role(admin, name, `{"Effect":"Allow","Principal":{"Federated":"`+provider+`"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"`+provider+`:`+key+`":"app-1"}}}`,
				`{"Effect":"Allow","Action":"iam:GetUser","Resource":["arn:aws:iam::*:user/${accounts.google.com:sub}","arn:aws:iam::*:user/${graph.facebook.com:id}","arn:aws:iam::*:user/${www.amazon.com:user_id}"]}`)
		}
		now := time.Now().Unix()
		idToken := google.sign(t, claims{"iss": web.URL + "/google", "aud": "app-1", "azp": "app-1", "sub": "1098765", "email": "a@example.com", "iat": now, "exp": now + 600})
		otherApp := google.sign(t, claims{"iss": web.URL + "/google", "aud": "app-2", "sub": "1098765", "iat": now, "exp": now + 600})
		const (
			notAuthorized = "AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity"

			rejected = "IDPRejectedClaim: The identity provider rejected the access token."
			down     = "IDPCommunicationError: The identity provider could not be reached."
		)
		for _, c := range []struct {
			provider, id, token, want string // what is wanted is an error, or the subject
		}{
			{"accounts.google.com", "", idToken, "1098765"},
			{"accounts.google.com", "", otherApp, notAuthorized},
			{"graph.facebook.com", "graph.facebook.com", "good", "1234567"},
			{"graph.facebook.com", "graph.facebook.com", "other app", notAuthorized},
			{"graph.facebook.com", "graph.facebook.com", "wrong", rejected},
			{"graph.facebook.com", "graph.facebook.com", "nobody", rejected},
			{"graph.facebook.com", "graph.facebook.com", "down", down},
			{"graph.facebook.com", "graph.facebook.com", "elsewhere", down},
			{"www.amazon.com", "www.amazon.com", "Atza|good", "amzn1.account.A"},
			{"www.amazon.com", "www.amazon.com", "expired", rejected},
			{"www.amazon.com", "www.amazon.com", "issuer", rejected},
			{"www.amazon.com", "www.amazon.com", "wrong", rejected},
			{"www.amazon.com", "www.amazon.com", "no json", down},
			{"graph.facebook.com", "www.amazon.com", "Atza|good", notAuthorized}, // of another provider
			{"www.amazon.com", "evil.test", "Atza|good", "InvalidIdentityToken: evil.test is not a provider of OAuth 2.0 access tokens."},
		} {
			in := &sdksts.AssumeRoleWithWebIdentityInput{RoleArn: roles[c.provider], RoleSessionName: aws.String("app"), WebIdentityToken: &c.token}
			if c.id != "" {
				in.ProviderId = &c.id
			}
			out, err := w.nobody().AssumeRoleWithWebIdentity(w.ctx(), in)
			if err != nil {
				if failure(err) != c.want {
					t.Errorf("%s with %q: %s\nwant %s", c.provider, c.token, failure(err), c.want)
				}
				continue
			}
			provider := c.provider
			if c.id == "" {
				provider = web.URL + "/google"
			}
			if *out.SubjectFromWebIdentityToken != c.want || *out.Audience != "app-1" || *out.Provider != provider {
				t.Errorf("%s: subject %s, audience %s, provider %s", c.provider, *out.SubjectFromWebIdentityToken, *out.Audience, *out.Provider)
			}
			session := w.temp(out.Credentials)
			if _, err := session.IAM.GetUser(w.ctx(), &sdkiam.GetUserInput{UserName: &c.want}); !strings.HasPrefix(failure(err), "NoSuchEntity: ") {
				t.Errorf("%s, what its key allows: %s", c.provider, failure(err))
			}
			if _, err := session.IAM.GetUser(w.ctx(), &sdkiam.GetUserInput{UserName: aws.String("other")}); !strings.HasPrefix(failure(err), "AccessDenied: ") {
				t.Errorf("%s, what its key does not allow: %s", c.provider, failure(err))
			}
		}
		web.Close()
		if _, err := w.nobody().AssumeRoleWithWebIdentity(w.ctx(), &sdksts.AssumeRoleWithWebIdentityInput{RoleArn: roles["www.amazon.com"], RoleSessionName: aws.String("app"), WebIdentityToken: aws.String("Atza|good"), ProviderId: aws.String("www.amazon.com")}); failure(err) != down {
			t.Error(failure(err))
		}
	})
}
