package ushertest_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"

	"usher/internal/db/dbtest"
	"usher/internal/ushertest"
)

// TestExistingObjectTags: policies of users and of buckets test the tags that a stored object has.
func TestExistingObjectTags(t *testing.T) {
	w := newAccounts(t, ushertest.New(t, dbtest.SQLite(t)))
	ctx, box := t.Context(), aws.String("tagged")
	must(w.a.S3.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: box}))(t)
	for key, tags := range map[string]string{"red": "team=red", "blue": "team=blue&level=a%2Fb", "none": "", "secret": "team=red&secret=yes"} {
		must(w.a.S3.PutObject(ctx, &s3.PutObjectInput{Bucket: box, Key: &key, Body: bytes.NewReader([]byte(key)), Tagging: &tags}))(t)
	}
	allow := `{"Effect":"Allow","Action":["s3:GetObject*","s3:PutObject*","s3:DeleteObject*","s3:ListBucket"],"Resource":["arn:aws:s3:::tagged","arn:aws:s3:::tagged/*"]`
	get := func(key string) error {
		res, err := w.alice.S3.GetObject(ctx, &s3.GetObjectInput{Bucket: box, Key: &key})
		if err == nil {
			res.Body.Close()
		}
		return err
	}
	readable := func() string {
		var list []string
		for _, key := range []string{"red", "blue", "none", "secret"} {
			switch err := get(key); {
			case err == nil:
				list = append(list, key)
			case !strings.Contains(err.Error(), "AccessDenied"):
				t.Errorf("%s: %v", key, err)
			}
		}
		return strings.Join(list, " ")
	}
	for _, c := range []struct{ what, identity, bucket, want string }{
		{"no condition", allow + `}`, "", "red blue none secret"},
		{"allow with a tag", allow + `,"Condition":{"StringEquals":{"s3:ExistingObjectTag/team":"red"}}}`, "", "red secret"},
		{"a value that is escaped", allow + `,"Condition":{"StringEquals":{"s3:ExistingObjectTag/level":"a/b"}}}`, "", "blue"},
		{"allow unless tagged", allow + `,"Condition":{"StringNotEquals":{"s3:ExistingObjectTag/secret":"yes"}}}`, "", "red blue none"},
		{"allow if untagged", allow + `,"Condition":{"Null":{"s3:ExistingObjectTag/team":"true"}}}`, "", "none"},
		{"deny with a tag", allow + `},{"Effect":"Deny","Action":"s3:*","Resource":"*","Condition":{"StringEquals":{"s3:ExistingObjectTag/Secret":"yes"}}}`, "", "red blue none"},
		{"deny by the bucket", allow + `}`, `{"Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::tagged/*","Condition":{"StringNotEquals":{"s3:ExistingObjectTag/team":"red"}}}`, "red secret"},
	} {
		w.allow(c.identity)
		if c.bucket != "" {
			must(w.a.S3.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: box, Policy: document(c.bucket)}))(t)
		}
		if got := readable(); got != c.want {
			t.Errorf("%s: reads %q, want %q", c.what, got, c.want)
		}
	}
	must(w.a.S3.DeleteBucketPolicy(ctx, &s3.DeleteBucketPolicyInput{Bucket: box}))(t)

	// Whoever may write tags only where they are his cannot take a foreign object; the explanation names the tag.
	w.allow(allow + `,"Condition":{"StringEquals":{"s3:ExistingObjectTag/team":"red"}}}`)
	tag := func(key, value string) error {
		_, err := w.alice.S3.PutObjectTagging(ctx, &s3.PutObjectTaggingInput{Bucket: box, Key: &key, Tagging: &s3types.Tagging{TagSet: []s3types.Tag{{Key: aws.String("team"), Value: &value}}}})
		return err
	}
	err := tag("blue", "red")
	if err == nil || !strings.Contains(w.explained(err), `StringEquals s3:ExistingObjectTag/team ["red"] not met: the request has ["blue"]`) {
		t.Errorf("a foreign object is tagged: %v", err)
	}
	if err := get("nothing"); err == nil || !strings.Contains(err.Error(), "AccessDenied") {
		t.Errorf("an object that is not there has no tag: %v", err)
	}
	if err := tag("red", "green"); err != nil {
		t.Error(err)
	}
	if got := readable(); got != "secret" {
		t.Errorf("after the tag was changed: reads %q", got)
	}
	// The source of a copy is read with its own tags. What is overwritten has none in PutObject, as on AWS.
	w.allow(allow + `},{"Effect":"Deny","Action":"s3:GetObject","Resource":"*","Condition":{"StringEquals":{"s3:ExistingObjectTag/secret":"yes"}}}`)
	dup := func(from string) error {
		_, err := w.alice.S3.CopyObject(ctx, &s3.CopyObjectInput{Bucket: box, Key: aws.String("copy"), CopySource: aws.String("tagged/" + from)})
		return err
	}
	if err := dup("secret"); err == nil || !strings.Contains(err.Error(), "with an explicit deny in an identity-based policy") {
		t.Errorf("a tagged source is copied: %v", err)
	}
	if err := dup("blue"); err != nil {
		t.Error(err)
	}
	must(w.alice.S3.PutObject(ctx, &s3.PutObjectInput{Bucket: box, Key: aws.String("secret"), Body: bytes.NewReader(nil)}))(t)
}
