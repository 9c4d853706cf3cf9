package userpool

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	cip "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
)

func TestFixedIDs(t *testing.T) {
	eachEngine(t, func(t *testing.T, ts *testServer) {
		ctx := t.Context()
		create := func(sdk *cip.Client, tags map[string]string) (string, error) {
			out, err := sdk.CreateUserPool(ctx, &cip.CreateUserPoolInput{PoolName: aws.String("p"), UserPoolTags: tags})
			if err != nil {
				return "", err
			}
			return *out.UserPool.Id, nil
		}
		client := func(pool, name string) (string, error) {
			out, err := ts.sdk.CreateUserPoolClient(ctx, &cip.CreateUserPoolClientInput{UserPoolId: &pool, ClientName: &name})
			if err != nil {
				return "", err
			}
			return *out.UserPoolClient.ClientId, nil
		}
		tags := map[string]string{"_custom_id_": "fixed1", "_custom_id_:web": "my_web_client", "_custom_id_:bad": "no spaces"}
		other := ts.client(otherAccount)
		for _, c := range []struct{ tag, want string }{{"fixed1", "eu-central-1_fixed1"}, {"eu-central-1_Fixed2", "eu-central-1_Fixed2"}} {
			tags["_custom_id_"] = c.tag
			if id, err := create(ts.sdk, tags); err != nil || id != c.want {
				t.Errorf("%s: %s %v", c.tag, id, err)
			}
			for _, sdk := range []*cip.Client{ts.sdk, other} {
				_, err := create(sdk, tags)
				wantError(t, c.tag+" again", err, "InvalidParameterException", "The user pool id "+c.want+" is taken.")
			}
		}
		for _, id := range []string{"", "us-east-1_x", "a b", "a/b", "a_b", strings.Repeat("x", 41)} {
			_, err := create(ts.sdk, map[string]string{"_custom_id_": id})
			wantError(t, id, err, "InvalidParameterException", "The tag _custom_id_ takes up to 40 letters and digits, with or without eu-central-1_ before them.")
		}
		const pool = "eu-central-1_fixed1"
		if id, err := client(pool, "web"); err != nil || id != "my_web_client" {
			t.Errorf("%s %v", id, err)
		}
		if id, err := client(pool, "another"); err != nil || len(id) != 26 {
			t.Errorf("%s %v", id, err)
		}
		for _, p := range []string{pool, "eu-central-1_Fixed2"} {
			_, err := client(p, "web")
			wantError(t, "client id of "+p, err, "InvalidParameterException", "The client id my_web_client is taken.")
		}
		_, err := client(pool, "bad")
		wantError(t, "bad client id", err, "InvalidParameterException", "A client id has up to 128 letters, digits, _ and +.")

		// The id of a deleted pool is its account's, once nothing is left of it.
		if _, err := ts.sdk.DeleteUserPool(ctx, &cip.DeleteUserPoolInput{UserPoolId: aws.String(pool)}); err != nil {
			t.Fatal(err)
		}
		tags["_custom_id_"] = "fixed1"
		_, err = create(ts.sdk, tags)
		wantError(t, "before the sweep", err, "InvalidParameterException", "The user pool id "+pool+" is taken.")
		if err := ts.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
		_, err = create(other, tags)
		wantError(t, "another account", err, "InvalidParameterException", "The user pool id "+pool+" is taken.")
		if id, err := create(ts.sdk, tags); err != nil || id != pool {
			t.Errorf("%s %v", id, err)
		}
		if id, err := client(pool, "web"); err != nil || id != "my_web_client" {
			t.Errorf("%s %v", id, err)
		}
	})
}
