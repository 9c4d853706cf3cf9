package gateway

import (
	"context"
	"encoding/xml"
	"fmt"
	"net/http"
	"sync"
	"time"

	"usher/internal/awsapi"
)

const existingTag = "s3:ExistingObjectTag/"

// readsTags reports whether policies on an action may ask for the tags that the object has (Service Authorization Reference,
// "Actions, resources, and condition keys for Amazon S3").
func readsTags(action string) bool {
	switch action {
	case "s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectAttributes", "s3:GetObjectVersionAttributes",
		"s3:GetObjectAcl", "s3:GetObjectVersionAcl", "s3:PutObjectAcl", "s3:PutObjectVersionAcl",
		"s3:GetObjectTagging", "s3:GetObjectVersionTagging", "s3:PutObjectTagging", "s3:PutObjectVersionTagging",
		"s3:DeleteObjectTagging", "s3:DeleteObjectVersionTagging":
		return true
	}
	return false
}

// withTags lets policies on targets, which are of the same object, ask for the tags that it has. The store is asked once, when
// the first of them does; what it answers counts for the whole request.
func (g *Gateway) withTags(targets []awsapi.Target, bucket, key, version string) []awsapi.Target {
	var more *awsapi.MoreKeys
	for i := range targets {
		if !readsTags(targets[i].Action) || targets[i].Resource != resource(bucket, key) {
			continue
		}
		if more == nil {
			t := &objectTags{g: g, bucket: bucket, key: key, version: version}
			more = &awsapi.MoreKeys{Prefix: existingTag, Find: t.find}
		}
		targets[i].More = more
	}
	return targets
}

// objectTags are the tags of a stored object, as condition keys.
type objectTags struct {
	g                    *Gateway
	bucket, key, version string

	once sync.Once // an explanation may ask while the request goes on
	keys map[string][]string
	err  error
}

// tagsTime is how long the store may take to tell the tags of an object.
const tagsTime = 10 * time.Second

func (t *objectTags) find(ctx context.Context) (map[string][]string, error) {
	t.once.Do(func() {
		ctx, cancel := context.WithTimeout(ctx, tagsTime)
		defer cancel()
		t.keys, t.err = t.ask(ctx)
	})
	return t.keys, t.err
}

// ask fetches the tags. An object that is not there has none.
func (t *objectTags) ask(ctx context.Context) (map[string][]string, error) {
	params := []param{{"tagging", ""}}
	if t.version != "" {
		params = append(params, param{"versionId", t.version})
	}
	res, err := t.g.ask(ctx, http.MethodGet, t.bucket, t.key, params, nil, nil)
	if err != nil {
		return nil, err
	}
	if res.status != http.StatusOK {
		switch code := res.code(); code {
		case "NoSuchKey", "NoSuchVersion", "MethodNotAllowed": // the last is said of a delete marker
			return nil, nil
		default:
			return nil, fmt.Errorf("gateway: the store answers %d %s to a question for the tags of an object", res.status, code)
		}
	}
	var in struct {
		XMLName xml.Name                      `xml:"Tagging"`
		Tags    []struct{ Key, Value string } `xml:"TagSet>Tag"`
	}
	if err := xml.Unmarshal(res.body, &in); err != nil {
		return nil, fmt.Errorf("gateway: tags of an object: %w", err)
	}
	keys := make(map[string][]string, len(in.Tags))
	for _, tag := range in.Tags {
		keys[existingTag+tag.Key] = []string{tag.Value}
	}
	return keys, nil
}
