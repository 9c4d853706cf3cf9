package identitypool

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/cognitoidentity"
	sdksts "github.com/aws/aws-sdk-go-v2/service/sts"
)

// kid is the id of the key that a token was signed with.
func kid(t *testing.T, text string) string {
	t.Helper()
	var header struct{ Kid string }
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(text, ".")[0])
	check(t, err)
	check(t, json.Unmarshal(raw, &header))
	return header.Kid
}

// published are the ids of the keys in the key set.
func (w *world) published() (ids []string) {
	w.t.Helper()
	rec := httptest.NewRecorder()
	w.s.Discovery().ServeHTTP(rec, httptest.NewRequest("GET", "/identity/.well-known/jwks.json", nil))
	var set struct{ Keys []struct{ Kid string } }
	body, err := io.ReadAll(rec.Body)
	check(w.t, err)
	check(w.t, json.Unmarshal(body, &set))
	for _, k := range set.Keys {
		ids = append(ids, k.Kid)
	}
	return ids
}

func TestRotation(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		pool := w.newPool(func(in *sdk.CreateIdentityPoolInput) { in.DeveloperProviderName = aws.String("backend") })
		role := w.role("User", pool, "authenticated", "")
		w.setRoles(pool, map[string]string{"authenticated": role}, nil)
		var id string
		issue := func() string {
			t.Helper()
			out, err := w.admin.GetOpenIdTokenForDeveloperIdentity(ctx, &sdk.GetOpenIdTokenForDeveloperIdentityInput{
				IdentityPoolId: &pool, Logins: map[string]string{"backend": "u1"}, TokenDuration: aws.Int64(86400)})
			check(t, err)
			id = *out.IdentityId
			return *out.Token
		}
		// works uses a token in both places that take one.
		works := func(what, text, want string) {
			t.Helper()
			_, err := w.nobody.GetCredentialsForIdentity(ctx, &sdk.GetCredentialsForIdentityInput{IdentityId: &id, Logins: map[string]string{builtIn: text}})
			_, direct := w.stsNobody.AssumeRoleWithWebIdentity(ctx, &sdksts.AssumeRoleWithWebIdentityInput{RoleArn: &role, RoleSessionName: aws.String("me"), WebIdentityToken: &text})
			if want == "" {
				if wantError(t, err, ""); direct != nil {
					t.Errorf("%s: %v", what, direct)
				}
				return
			}
			if wantError(t, err, "NotAuthorizedException: Invalid login token. "+want); direct == nil {
				t.Errorf("%s: STS takes it", what)
			}
		}
		pass := func(d time.Duration) { w.offset.Add(int64(d)) }

		first := issue()
		works("the first", first, "")
		check(t, w.s.RotateKeys(ctx, false))
		if got := w.published(); !slices.Equal(got, []string{"us-east-1-1", "us-east-1-2"}) {
			t.Errorf("published %v", got)
		}
		if got := kid(t, issue()); got != "us-east-1-1" {
			t.Errorf("%s signs before others could fetch it", got)
		}
		pass(keyLead)
		second := issue()
		if got := kid(t, second); got != "us-east-1-2" {
			t.Errorf("%s signs, long after there is a new key", got)
		}
		works("the second", second, "")
		works("the first after the rotation", first, "")
		last := first
		pass(23 * time.Hour)
		check(t, w.s.Sweep(ctx))
		works("the first, hours later", last, "")
		pass(keyRest)
		check(t, w.s.Sweep(ctx))
		if got := w.published(); !slices.Equal(got, []string{"us-east-1-2"}) {
			t.Errorf("published %v, after all tokens of the first key have expired", got)
		}

		// A key that has become known: what it signed counts for nothing at once, remembered or not.
		known, other := issue(), issue()
		works("before it became known", known, "")
		check(t, w.s.RotateKeys(ctx, true))
		works("remembered", known, "Couldn't verify signed token.")
		works("not remembered", other, "Couldn't verify signed token.")
		if got := w.published(); !slices.Equal(got, []string{"us-east-1-3"}) {
			t.Errorf("published %v", got)
		}
		fresh := issue()
		works("of the new key", fresh, "")

		// Several at once each make one, up to a bound.
		var wait sync.WaitGroup
		for range 4 {
			wait.Go(func() {
				if err := w.s.RotateKeys(ctx, false); err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		if got := w.published(); len(got) != 5 {
			t.Errorf("published %v", got)
		}
		for range keysMost - 5 {
			check(t, w.s.RotateKeys(ctx, false))
		}
		if err := w.s.RotateKeys(ctx, false); err == nil {
			t.Error("more keys than are kept")
		}
		works("of an older key", fresh, "")
	})
}

func TestScheduledRotation(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		sweep := func(want ...string) {
			t.Helper()
			check(t, w.s.Sweep(ctx))
			if got := w.published(); !slices.Equal(got, want) {
				t.Errorf("published %v, want %v", got, want)
			}
		}
		w.offset.Add(int64(400 * 24 * time.Hour))
		sweep("us-east-1-1")
		w.s.KeyLife = 30 * 24 * time.Hour
		sweep("us-east-1-1", "us-east-1-2")
		sweep("us-east-1-1", "us-east-1-2")
		w.offset.Add(int64(29 * 24 * time.Hour))
		sweep("us-east-1-2")
		w.offset.Add(int64(24 * time.Hour))
		sweep("us-east-1-2", "us-east-1-3")
	})
}
