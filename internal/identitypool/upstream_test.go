package identitypool

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/service/cognitoidentity"
	sdkiam "github.com/aws/aws-sdk-go-v2/service/iam"
)

// TestUpstream has the credentials of a pool come from an STS over HTTP: the world's own, which knows the issuer.
func TestUpstream(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		pool := w.newPool(nil)
		w.setRoles(pool, map[string]string{"authenticated": w.role("User", pool, "authenticated", allowAll), "unauthenticated": w.role("Guest", pool, "unauthenticated", allowAll)}, nil)
		down := httptest.NewServer(http.NotFoundHandler())
		down.Close()
		broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("<html>welcome</html>")) }))
		defer broken.Close()
		w.s.Upstreams = map[string]string{pool: w.server.URL + "/"}
		ann := w.login(uuid())
		id, guest := w.getID(pool, ann), w.getID(pool, nil)
		if role, err := w.roleOf(id, ann); role != "User" {
			t.Errorf("role %s, %v", role, err)
		}
		out, err := w.nobody.GetCredentialsForIdentity(ctx, &sdk.GetCredentialsForIdentityInput{IdentityId: &guest})
		check(t, err)
		asIAM, _ := w.as(out.Credentials.AccessKeyId, out.Credentials.SecretKey, out.Credentials.SessionToken)
		_, err = asIAM.ListUsers(ctx, &sdkiam.ListUsersInput{})
		wantError(t, err, "AccessDenied: ") // the session policies of guests went along

		w.setRoles(pool, map[string]string{"authenticated": w.role("Other", "us-east-1:00000000-0000-0000-0000-000000000000", "authenticated", "")}, nil)
		_, err = w.roleOf(id, ann)
		wantError(t, err, "InvalidIdentityPoolConfigurationException: ")
		refusal := regexp.MustCompile(`^the STS at ` + regexp.QuoteMeta(w.server.URL) + `/ refused arn:aws:iam::\d+:role/Other, by its request [0-9a-f-]{36}$`)
		if details := w.lastFailure.Load().Details; !slices.ContainsFunc(details, refusal.MatchString) {
			t.Errorf("explained by %q", details)
		}
		for _, url := range []string{down.URL, broken.URL} {
			w.s.Upstreams = map[string]string{pool: url}
			_, err = w.roleOf(id, ann)
			wantError(t, err, "ExternalServiceException: ")
		}
	})
}
