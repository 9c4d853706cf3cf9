package server_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentity"

	"usher/internal/db/dbtest"
)

// TestKill9Merges kills the server with SIGKILL while identities are linked and merged: after the restart every acknowledged
// link and merge is there whole, and those under way have happened whole or not at all.
func TestKill9Merges(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { kill9Merges(t, "") })
	t.Run("postgres", func(t *testing.T) { kill9Merges(t, dbtest.Postgres(t)) })
}

func kill9Merges(t *testing.T, database string) {
	ctx := t.Context()
	data, listen := t.TempDir(), freeAddress(t)
	p := serve(t, data, listen, database)
	identities := cognitoidentity.NewFromConfig(p.admin(t))
	created, err := identities.CreateIdentityPool(ctx, &cognitoidentity.CreateIdentityPoolInput{IdentityPoolName: aws.String("crash"), DeveloperProviderName: aws.String("backend")})
	if err != nil {
		t.Fatal(err)
	}
	pool := created.IdentityPoolId
	signIn := func(identities *cognitoidentity.Client, user string) (string, error) {
		out, err := identities.GetOpenIdTokenForDeveloperIdentity(ctx, &cognitoidentity.GetOpenIdTokenForDeveloperIdentityInput{IdentityPoolId: pool, Logins: map[string]string{"backend": user}})
		if err != nil {
			return "", err
		}
		return *out.IdentityId, nil
	}

	// pair is two users whose identities are merged, and what was acknowledged of it.
	type pair struct {
		kept, gone     string // users
		keptID, goneID string
		merged         bool
	}
	var mu sync.Mutex
	var pairs []*pair
	merges := 0
	const enough = 150
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := 0; ; i++ {
				one := &pair{kept: fmt.Sprintf("kept-%d-%d", w, i), gone: fmt.Sprintf("gone-%d-%d", w, i)}
				mu.Lock()
				pairs = append(pairs, one)
				mu.Unlock()
				var err error
				if one.keptID, err = signIn(identities, one.kept); err != nil {
					return
				}
				if one.goneID, err = signIn(identities, one.gone); err != nil {
					return
				}
				if _, err := identities.MergeDeveloperIdentities(ctx, &cognitoidentity.MergeDeveloperIdentitiesInput{IdentityPoolId: pool, DeveloperProviderName: aws.String("backend"),
					SourceUserIdentifier: &one.gone, DestinationUserIdentifier: &one.kept}); err != nil {
					return
				}
				one.merged = true
				mu.Lock()
				if merges++; merges == enough {
					p.cmd.Process.Kill()
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	p.cmd.Wait()
	if merges < enough {
		t.Fatalf("the load ended early, with %d merges", merges)
	}

	p = serve(t, data, listen, database)
	identities = cognitoidentity.NewFromConfig(p.admin(t))
	owner := func(user string) string {
		out, err := identities.LookupDeveloperIdentity(ctx, &cognitoidentity.LookupDeveloperIdentityInput{IdentityPoolId: pool, DeveloperUserIdentifier: &user})
		if err != nil {
			return ""
		}
		return *out.IdentityId
	}
	users := func(id string) []string {
		out, err := identities.LookupDeveloperIdentity(ctx, &cognitoidentity.LookupDeveloperIdentityInput{IdentityPoolId: pool, IdentityId: &id})
		if err != nil {
			t.Fatalf("identity %s: %v", id, err)
		}
		return out.DeveloperUserIdentifierList
	}
	for _, one := range pairs {
		kept, gone := owner(one.kept), owner(one.gone)
		switch {
		case one.keptID != "" && kept != one.keptID:
			t.Fatalf("%s has %q, was told %s", one.kept, kept, one.keptID)
		case one.merged && gone != kept, one.goneID != "" && gone != one.goneID && gone != kept:
			t.Fatalf("%s has %q, was told %s, merged %v into %s", one.gone, gone, one.goneID, one.merged, kept)
		}
		if kept != "" && gone == kept {
			if got := users(kept); !slices.Equal(got, []string{one.gone, one.kept}) {
				t.Fatalf("%s has the users %q", kept, got)
			}
			if one.goneID != "" {
				if got := users(one.goneID); len(got) != 0 {
					t.Fatalf("%s was merged and has the users %q", one.goneID, got)
				}
			}
		} else if gone != "" {
			if got := users(gone); !slices.Equal(got, []string{one.gone}) {
				t.Fatalf("%s has the users %q", gone, got)
			}
		}
	}
	// Who was merged away is hidden, and nobody else is.
	visible := map[string]bool{}
	in := &cognitoidentity.ListIdentitiesInput{IdentityPoolId: pool, MaxResults: aws.Int32(60), HideDisabled: true}
	for first := true; first || in.NextToken != nil; first = false {
		page, err := identities.ListIdentities(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range page.Identities {
			visible[*i.IdentityId] = true
		}
		in.NextToken = page.NextToken
	}
	for _, one := range pairs {
		if one.merged && (!visible[one.keptID] || visible[one.goneID]) {
			t.Fatalf("after the merge %s is listed %v and %s %v", one.keptID, visible[one.keptID], one.goneID, visible[one.goneID])
		}
	}
	// The restarted server goes on.
	if again, err := signIn(identities, pairs[0].gone); err != nil || again != owner(pairs[0].gone) {
		t.Errorf("%s signs in as %s, %v", pairs[0].gone, again, err)
	}
}
