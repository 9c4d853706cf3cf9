package gateway

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"usher/internal/awsapi"
	"usher/internal/policy/catalog"
)

// TestReadsTags: the tags of an object are a condition key of just those actions of which the catalog says so.
func TestReadsTags(t *testing.T) {
	for _, op := range operations {
		for _, name := range []string{op.action, op.version} {
			if name == "" {
				continue
			}
			action, ok := catalog.Lookup(name)
			if !ok {
				t.Errorf("%s is not in the catalog", name)
				continue
			}
			has := slices.ContainsFunc(action.ConditionKeys(), func(key string) bool { return len(key) > len(existingTag) && key[:len(existingTag)] == existingTag })
			if has != readsTags(name) {
				t.Errorf("%s: tags are a key %v, looked for %v", name, has, readsTags(name))
			}
		}
	}
}

// TestTagsOfTheStore: what the store says of the tags of an object. Only a plain "there is none" means none.
func TestTagsOfTheStore(t *testing.T) {
	const none = ""
	for name, c := range map[string]struct {
		status int
		body   string
		team   string
		fails  bool
	}{
		"tags":           {200, `<Tagging xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><TagSet><Tag><Key>team</Key><Value>r&amp;d</Value></Tag></TagSet></Tagging>`, "r&d", false},
		"no tags":        {200, `<Tagging><TagSet></TagSet></Tagging>`, none, false},
		"no object":      {404, `<Error><Code>NoSuchKey</Code></Error>`, none, false},
		"no version":     {404, `<Error><Code>NoSuchVersion</Code></Error>`, none, false},
		"delete marker":  {405, `<Error><Code>MethodNotAllowed</Code></Error>`, none, false},
		"no bucket":      {404, `<Error><Code>NoSuchBucket</Code></Error>`, none, true},
		"not built":      {501, `<Error><Code>NotImplemented</Code></Error>`, none, true},
		"refused":        {403, `<Error><Code>AccessDenied</Code></Error>`, none, true},
		"broken":         {500, ``, none, true},
		"not a document": {200, `{"tags":{}}`, none, true},
		"another one":    {200, `<ListBucketResult/>`, none, true},
	} {
		asked := 0
		store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if asked++; r.URL.Path != "/box/k" || r.URL.RawQuery != "tagging=&versionId=v1" {
				t.Errorf("%s: asked for %s", name, r.URL)
			}
			w.WriteHeader(c.status)
			io.WriteString(w, c.body)
		}))
		g := newGateway(t, Upstream{URL: store.URL, AccessKeyID: "up", SecretAccessKey: "up", Region: region}, nil)
		targets := g.withTags([]awsapi.Target{{Action: "s3:GetObjectVersion", Resource: resource("box", "k")}, {Action: "s3:GetObjectVersionAttributes", Resource: resource("box", "k")},
			{Action: "s3:PutObject", Resource: resource("box", "k")}, {Action: "s3:GetObjectVersion", Resource: resource("box", "l")}}, "box", "k", "v1")
		if targets[2].More != nil || targets[3].More != nil {
			t.Errorf("%s: tags for what has none", name)
		}
		for _, target := range targets[:2] {
			keys, err := target.More.Find(t.Context())
			team := ""
			if v := keys["s3:ExistingObjectTag/team"]; len(v) == 1 {
				team = v[0]
			}
			if c.fails != (err != nil) || team != c.team {
				t.Errorf("%s: %v %v", name, keys, err)
			}
		}
		if asked != 1 {
			t.Errorf("%s: the store is asked %d times", name, asked)
		}
		store.Close()
	}
}
