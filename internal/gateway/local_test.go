package gateway

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"usher/internal/sigv4"
)

// live is a gateway in front of a real store, with a client of the AWS SDK.
type live struct {
	*fixture
	url  string
	s3   *s3.Client
	data string
	pids func() []string // of the stores started so far
}

func newLive(t testing.TB) *live {
	t.Helper()
	l := &live{data: t.TempDir()}
	var log bytes.Buffer
	out := &lockedWriter{w: &log}
	l.pids = func() (pids []string) {
		out.mu.Lock()
		defer out.mu.Unlock()
		for line := range strings.Lines(log.String()) {
			if _, pid, ok := strings.Cut(line, "pid="); ok {
				pids = append(pids, strings.TrimSpace(pid))
			}
		}
		return pids
	}
	up, stop, err := StartLocal(t.Context(), LocalConfig{Binary: storeBinary, DataDir: l.data, Log: slog.New(slog.NewTextHandler(out, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	l.fixture = newGateway(t, up, nil)
	srv := httptest.NewServer(l.Gateway)
	t.Cleanup(srv.Close)
	l.url = srv.URL
	l.s3 = l.client("AKIAALICE")
	return l
}

func (l *live) client(key string) *s3.Client {
	return s3.New(s3.Options{
		Region: region, BaseEndpoint: aws.String(l.url), UsePathStyle: true,
		Credentials:      credentials.NewStaticCredentialsProvider(key, keys[key].secret, keys[key].token),
		RetryMaxAttempts: 1, RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported,
	})
}

func (l *live) createBucket(t testing.TB, name string) {
	t.Helper()
	if _, err := l.s3.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name}); err != nil {
		t.Fatal(err)
	}
}

func (l *live) put(t testing.TB, bucket, key string, body []byte) {
	t.Helper()
	if _, err := l.s3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(body)}); err != nil {
		t.Fatalf("put %q: %v", key, err)
	}
}

func (l *live) get(t testing.TB, bucket, key string) []byte {
	t.Helper()
	out, err := l.s3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		t.Fatalf("get %q: %v", key, err)
	}
	defer out.Body.Close()
	b, err := io.ReadAll(out.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// wantCode fails the test unless err is the API error of that code.
func wantCode(t testing.TB, what string, err error, code string) {
	t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != code {
		t.Errorf("%s: %v, want %s", what, err, code)
	}
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func TestBuckets(t *testing.T) {
	l := newLive(t)
	ctx := t.Context()
	theirs := l.client("AKIAOTHER")
	for _, name := range []string{"box-b", "box-a", "other.box"} {
		l.createBucket(t, name)
	}
	l.createBucket(t, "box-a") // again: us-east-1 answers 200
	if _, err := theirs.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("their-box")}); err != nil {
		t.Fatal(err)
	}
	_, err := theirs.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("box-a")})
	wantCode(t, "create a bucket of somebody else", err, "BucketAlreadyExists")
	_, err = l.s3.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("far"), CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: "eu-west-1"}})
	wantCode(t, "create a bucket elsewhere", err, "IllegalLocationConstraintException")
	if v := l.rules.asked[len(l.rules.asked)-1].Keys["s3:locationconstraint"]; !slices.Equal(v, []string{"eu-west-1"}) {
		t.Errorf("s3:locationconstraint is %q", v)
	}

	names := func(c *s3.Client, in *s3.ListBucketsInput) (got []string, token string) {
		out, err := c.ListBuckets(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range out.Buckets {
			got = append(got, *b.Name)
		}
		return got, aws.ToString(out.ContinuationToken)
	}
	if got, _ := names(l.s3, &s3.ListBucketsInput{}); !slices.Equal(got, []string{"box-a", "box-b", "other.box"}) {
		t.Errorf("ListBuckets: %q", got)
	}
	if got, _ := names(theirs, &s3.ListBucketsInput{}); !slices.Equal(got, []string{"their-box"}) {
		t.Errorf("ListBuckets of the other account: %q", got)
	}
	got, token := names(l.s3, &s3.ListBucketsInput{MaxBuckets: aws.Int32(1), Prefix: aws.String("box")})
	rest, end := names(l.s3, &s3.ListBucketsInput{MaxBuckets: aws.Int32(1), Prefix: aws.String("box"), ContinuationToken: &token})
	if !slices.Equal(got, []string{"box-a"}) || !slices.Equal(rest, []string{"box-b"}) || end != "" {
		t.Errorf("pages: %q %q %q", got, rest, end)
	}

	if out, err := l.s3.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: aws.String("box-a")}); err != nil || *out.BucketRegion != region {
		t.Errorf("HeadBucket: %v %v", out, err)
	}
	_, err = theirs.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: aws.String("box-a")})
	wantCode(t, "HeadBucket of somebody else", err, "Forbidden")
	if out, err := l.s3.GetBucketLocation(ctx, &s3.GetBucketLocationInput{Bucket: aws.String("box-a")}); err != nil || out.LocationConstraint != "" {
		t.Errorf("GetBucketLocation: %v %v", out, err)
	}

	l.put(t, "box-a", "k", nil)
	_, err = l.s3.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: aws.String("box-a")})
	wantCode(t, "delete a full bucket", err, "BucketNotEmpty")
	if _, err := l.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String("box-a"), Key: aws.String("k")}); err != nil {
		t.Error(err)
	}
	if _, err := l.s3.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: aws.String("box-a")}); err != nil {
		t.Error(err)
	}
	_, err = l.s3.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("box-a")})
	wantCode(t, "list a deleted bucket", err, "NoSuchBucket")
	if _, err := theirs.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("box-a")}); err != nil {
		t.Errorf("take a free name: %v", err)
	}
}

// A bucket whose creation was interrupted is invisible, belongs to who began, and is completed when he asks again.
func TestCreateBucketInterrupted(t *testing.T) {
	l := newLive(t)
	ctx := t.Context()
	for _, upstreamHas := range []bool{false, true} {
		name := "half-made-" + strconv.FormatBool(upstreamHas)
		if _, err := l.register(ctx, name, account); err != nil {
			t.Fatal(err)
		}
		if upstreamHas {
			if res, err := l.ask(ctx, "PUT", name, "", nil, nil, nil); err != nil || res.status != 200 {
				t.Fatal(res, err)
			}
		}
		_, err := l.s3.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &name})
		wantCode(t, "list before", err, "NoSuchBucket")
		_, err = l.client("AKIAOTHER").CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &name})
		wantCode(t, "taken over", err, "BucketAlreadyExists")
		l.createBucket(t, name)
		l.put(t, name, "k", []byte("x"))
	}
	// What the upstream has without the registry is nobody's.
	if res, err := l.ask(ctx, "PUT", "hidden", "", nil, nil, nil); err != nil || res.status != 200 {
		t.Fatal(res, err)
	}
	_, err := l.s3.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("hidden")})
	wantCode(t, "adopt a hidden bucket", err, "BucketAlreadyExists")
	_, err = l.s3.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("hidden")})
	wantCode(t, "list a hidden bucket", err, "NoSuchBucket")
}

func TestObjects(t *testing.T) {
	l := newLive(t)
	ctx := t.Context()
	l.createBucket(t, "box")

	body := []byte("hello, gateway")
	put, err := l.s3.PutObject(ctx, &s3.PutObjectInput{
		Bucket: aws.String("box"), Key: aws.String("dir/a b+ü.txt"), Body: bytes.NewReader(body), ContentType: aws.String("text/x"),
		CacheControl: aws.String("no-store"), ContentDisposition: aws.String("inline"), ContentEncoding: aws.String("identity"),
		Metadata: map[string]string{"colour": "blue"}, Tagging: aws.String("team=a%2Fb+c"),
	})
	if err != nil {
		t.Fatal(err)
	}
	out, err := l.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("box"), Key: aws.String("dir/a b+ü.txt"), ChecksumMode: types.ChecksumModeEnabled})
	if err != nil {
		t.Fatal(err)
	}
	got, _ := io.ReadAll(out.Body)
	if !bytes.Equal(got, body) || *out.ContentType != "text/x" || *out.CacheControl != "no-store" || *out.ContentDisposition != "inline" ||
		*out.ContentEncoding != "identity" || out.Metadata["colour"] != "blue" || *out.ETag != *put.ETag {
		t.Errorf("GetObject: %q %+v", got, out)
	}
	if *out.ETag != fmt.Sprintf("\"%x\"", md5.Sum(body)) {
		t.Errorf("ETag %s", *out.ETag)
	}
	if out.ChecksumCRC32 == nil || *out.ChecksumCRC32 != *put.ChecksumCRC32 {
		t.Errorf("checksum %v, put %v", aws.ToString(out.ChecksumCRC32), aws.ToString(put.ChecksumCRC32))
	}
	tags, err := l.s3.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: aws.String("box"), Key: aws.String("dir/a b+ü.txt")})
	if err != nil || len(tags.TagSet) != 1 || *tags.TagSet[0].Value != "a/b c" {
		t.Errorf("tags: %+v %v", tags, err)
	}

	head, err := l.s3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String("box"), Key: aws.String("dir/a b+ü.txt")})
	if err != nil || *head.ContentLength != int64(len(body)) || *head.ETag != *put.ETag {
		t.Errorf("HeadObject: %+v %v", head, err)
	}
	part, err := l.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("box"), Key: aws.String("dir/a b+ü.txt"), Range: aws.String("bytes=7-9")})
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := io.ReadAll(part.Body); string(got) != "gat" || *part.ContentRange != "bytes 7-9/14" {
		t.Errorf("range: %q %s", got, *part.ContentRange)
	}
	_, err = l.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("box"), Key: aws.String("dir/a b+ü.txt"), Range: aws.String("bytes=99-")})
	wantCode(t, "range behind the end", err, "InvalidRange")
	_, err = l.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("box"), Key: aws.String("dir/a b+ü.txt"), IfNoneMatch: put.ETag})
	wantCode(t, "if-none-match", err, "NotModified")
	_, err = l.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("box"), Key: aws.String("dir/a b+ü.txt"), IfMatch: aws.String(`"x"`)})
	wantCode(t, "if-match", err, "PreconditionFailed")
	_, err = l.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("box"), Key: aws.String("dir/a b+ü.txt"), IfNoneMatch: aws.String("*"), Body: strings.NewReader("x")})
	wantCode(t, "put if-none-match", err, "PreconditionFailed")
	over, err := l.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("box"), Key: aws.String("dir/a b+ü.txt"), ResponseContentType: aws.String("text/y")})
	if err != nil || *over.ContentType != "text/y" {
		t.Errorf("override: %v", err)
	}

	l.put(t, "box", "empty", nil)
	if got := l.get(t, "box", "empty"); len(got) != 0 {
		t.Errorf("empty object is %q", got)
	}

	if _, err := l.s3.PutObjectTagging(ctx, &s3.PutObjectTaggingInput{Bucket: aws.String("box"), Key: aws.String("empty"), Tagging: &types.Tagging{TagSet: []types.Tag{{Key: aws.String("a"), Value: aws.String("1/2")}}}}); err != nil {
		t.Fatal(err)
	}
	if v := l.rules.asked[len(l.rules.asked)-1].Keys["s3:RequestObjectTag/a"]; !slices.Equal(v, []string{"1/2"}) {
		t.Errorf("s3:RequestObjectTag/a is %q", v)
	}
	if tags, err := l.s3.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: aws.String("box"), Key: aws.String("empty")}); err != nil || *tags.TagSet[0].Value != "1/2" {
		t.Errorf("tags: %+v %v", tags, err)
	}
	if _, err := l.s3.DeleteObjectTagging(ctx, &s3.DeleteObjectTaggingInput{Bucket: aws.String("box"), Key: aws.String("empty")}); err != nil {
		t.Error(err)
	}
	if a, err := l.s3.GetObjectAttributes(ctx, &s3.GetObjectAttributesInput{Bucket: aws.String("box"), Key: aws.String("dir/a b+ü.txt"), ObjectAttributes: []types.ObjectAttributes{"ETag", "ObjectSize"}}); err != nil || *a.ObjectSize != 14 {
		t.Errorf("GetObjectAttributes: %+v %v", a, err)
	}

	if _, err := l.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String("box"), Key: aws.String("dir/a b+ü.txt")}); err != nil {
		t.Error(err)
	}
	_, err = l.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("box"), Key: aws.String("dir/a b+ü.txt")})
	wantCode(t, "get what was deleted", err, "NoSuchKey")
	_, err = l.s3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String("box"), Key: aws.String("dir/a b+ü.txt")})
	wantCode(t, "head what was deleted", err, "NotFound")

	// A missing key is a secret to those who may not list.
	l.rules.set("s3:ListBucket*")
	_, err = l.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("box"), Key: aws.String("missing")})
	wantCode(t, "missing key without ListBucket", err, "AccessDenied")
	if !strings.Contains(fmt.Sprint(err), "is not authorized to perform: s3:ListBucket on resource") {
		t.Errorf("missing key without ListBucket: %v", err)
	}
	_, err = l.s3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String("box"), Key: aws.String("missing")})
	wantCode(t, "missing key without ListBucket", err, "Forbidden")
	_, err = l.s3.CopyObject(ctx, &s3.CopyObjectInput{Bucket: aws.String("box"), Key: aws.String("x"), CopySource: aws.String("box/missing")})
	wantCode(t, "missing source without ListBucket", err, "AccessDenied")
}

func TestCopy(t *testing.T) {
	l := newLive(t)
	ctx := t.Context()
	l.createBucket(t, "box")
	l.createBucket(t, "second")
	body := randomBytes(100_000)
	if _, err := l.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("box"), Key: aws.String("a+b/ü?"), Body: bytes.NewReader(body), Tagging: aws.String("k=v")}); err != nil {
		t.Fatal(err)
	}
	l.put(t, "box", "untagged", body)
	copyFrom := func(source, key string) error {
		_, err := l.s3.CopyObject(ctx, &s3.CopyObjectInput{Bucket: aws.String("second"), Key: &key, CopySource: &source})
		return err
	}
	if err := copyFrom("box/"+url.QueryEscape("a+b/ü?"), "copy"); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(l.get(t, "second", "copy"), body) {
		t.Error("copy differs")
	}
	if tags, err := l.s3.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: aws.String("second"), Key: aws.String("copy")}); err != nil || len(tags.TagSet) != 1 {
		t.Errorf("tags of the copy: %+v %v", tags, err)
	}
	l.rules.set("s3:GetObjectTagging*")
	wantCode(t, "copy tags without permission", copyFrom("box/"+url.QueryEscape("a+b/ü?"), "no"), "AccessDenied")
	if err := copyFrom("box/untagged", "yes"); err != nil {
		t.Errorf("copy an untagged object: %v", err)
	}
	l.rules.set("s3:GetObject arn:aws:s3:::box/*")
	wantCode(t, "copy what may not be read", copyFrom("box/untagged", "no"), "AccessDenied")
	l.rules.set()
	wantCode(t, "copy a missing object", copyFrom("box/missing", "no"), "NoSuchKey")
}

func TestListObjects(t *testing.T) {
	l := newLive(t)
	ctx := t.Context()
	l.createBucket(t, "box")
	for _, k := range []string{"a/1", "a/2", "a/b/3", "c", "d e+f&<g>", "z/", "z/1"} {
		l.put(t, "box", k, []byte(k))
	}
	list := func(in *s3.ListObjectsV2Input) (got []string) {
		in.Bucket = aws.String("box")
		pages := s3.NewListObjectsV2Paginator(l.s3, in)
		for pages.HasMorePages() {
			out, err := pages.NextPage(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range out.Contents {
				got = append(got, *o.Key)
			}
			for _, p := range out.CommonPrefixes {
				got = append(got, *p.Prefix)
			}
		}
		return got
	}
	for _, c := range []struct {
		in   s3.ListObjectsV2Input
		want []string
	}{
		{s3.ListObjectsV2Input{}, []string{"a/1", "a/2", "a/b/3", "c", "d e+f&<g>", "z/", "z/1"}},
		{s3.ListObjectsV2Input{MaxKeys: aws.Int32(2)}, []string{"a/1", "a/2", "a/b/3", "c", "d e+f&<g>", "z/", "z/1"}},
		{s3.ListObjectsV2Input{Prefix: aws.String("a/"), Delimiter: aws.String("/")}, []string{"a/1", "a/2", "a/b/"}},
		{s3.ListObjectsV2Input{Delimiter: aws.String("/")}, []string{"c", "d e+f&<g>", "a/", "z/"}},
		{s3.ListObjectsV2Input{StartAfter: aws.String("a/b/3")}, []string{"c", "d e+f&<g>", "z/", "z/1"}},
		{s3.ListObjectsV2Input{Delimiter: aws.String("/"), MaxKeys: aws.Int32(1)}, []string{"a/", "c", "d e+f&<g>", "z/"}},
		{s3.ListObjectsV2Input{Prefix: aws.String("z/"), Delimiter: aws.String("/"), MaxKeys: aws.Int32(1)}, []string{"z/", "z/1"}},
		{s3.ListObjectsV2Input{MaxKeys: aws.Int32(1)}, []string{"a/1", "a/2", "a/b/3", "c", "d e+f&<g>", "z/", "z/1"}},
		{s3.ListObjectsV2Input{Prefix: aws.String("nothing")}, nil},
	} {
		if got := list(&c.in); !slices.Equal(got, c.want) {
			t.Errorf("%+v: %q, want %q", c.in, got, c.want)
		}
	}
	out, err := l.s3.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("box"), FetchOwner: aws.Bool(true)})
	if err != nil || *out.Contents[0].Owner.ID != canonicalUser(account) {
		t.Errorf("owner: %v", err)
	}
	v1, err := l.s3.ListObjects(ctx, &s3.ListObjectsInput{Bucket: aws.String("box"), Marker: aws.String("c"), EncodingType: types.EncodingTypeUrl})
	if err != nil || len(v1.Contents) != 3 {
		t.Errorf("ListObjects: %+v %v", v1, err)
	}
}

// Keys that a file system would resolve are keys of their own.
func TestKeysAreOpaque(t *testing.T) {
	l := newLive(t)
	ctx := t.Context()
	l.createBucket(t, "box")
	keys := []string{"secret/f", "public//secret/f", "public/./f", "public/x/../f", "//secret/f", "/secret/f", ".sgwtmp/multipart/f", "meta/acl", "a//", "a/\x01/f", "%2F", "a%2Ff", "..f", "f.."}
	for _, k := range keys {
		l.put(t, "box", k, []byte(k))
	}
	for _, k := range keys {
		if got := l.get(t, "box", k); string(got) != k {
			t.Errorf("object %q holds %q", k, got)
		}
	}
	out, err := l.s3.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("box"), Prefix: aws.String("public/")})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range out.Contents {
		got = append(got, *o.Key)
	}
	slices.Sort(got)
	if want := []string{"public/./f", "public//secret/f", "public/x/../f"}; !slices.Equal(got, want) {
		t.Errorf("list: %q, want %q", got, want)
	}
	if _, err := l.s3.CopyObject(ctx, &s3.CopyObjectInput{Bucket: aws.String("box"), Key: aws.String("c/../d"), CopySource: aws.String("box/public%2F%2Fsecret/f")}); err != nil {
		t.Fatal(err)
	}
	if got := l.get(t, "box", "c/../d"); string(got) != "public//secret/f" {
		t.Errorf("copy holds %q", got)
	}
	// S3 refuses paths that climb out of the bucket.
	for _, k := range []string{"../x", "..", "a/../../x", "../other/x"} {
		if _, err := l.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("box"), Key: &k, Body: strings.NewReader("x")}); err == nil {
			t.Errorf("%q was stored", k)
		}
	}
	found := 0
	filepath.WalkDir(filepath.Join(l.data, "s3"), func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.Count(strings.TrimPrefix(path, l.data), "/") == 2 {
			found++
		}
		return nil
	})
	if found != 1 && found != 2 { // the bucket, and the store's own lock folder
		t.Errorf("%d folders beside the bucket", found)
	}
}

func TestMultipart(t *testing.T) {
	l := newLive(t)
	ctx := t.Context()
	l.createBucket(t, "box")
	parts := [][]byte{randomBytes(5 << 20), randomBytes(5<<20 + 17), randomBytes(1)}
	up, err := l.s3.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: aws.String("box"), Key: aws.String("big"), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32})
	if err != nil {
		t.Fatal(err)
	}
	var done []types.CompletedPart
	for i, p := range parts[:2] {
		out, err := l.s3.UploadPart(ctx, &s3.UploadPartInput{Bucket: aws.String("box"), Key: aws.String("big"), UploadId: up.UploadId, PartNumber: aws.Int32(int32(i + 1)), Body: bytes.NewReader(p), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32})
		if err != nil {
			t.Fatal(err)
		}
		done = append(done, types.CompletedPart{ETag: out.ETag, PartNumber: aws.Int32(int32(i + 1)), ChecksumCRC32: out.ChecksumCRC32})
	}
	l.put(t, "box", "last", parts[2])
	cp, err := l.s3.UploadPartCopy(ctx, &s3.UploadPartCopyInput{Bucket: aws.String("box"), Key: aws.String("big"), UploadId: up.UploadId, PartNumber: aws.Int32(3), CopySource: aws.String("box/last"), CopySourceRange: aws.String("bytes=0-0")})
	if err != nil {
		t.Fatal(err)
	}
	done = append(done, types.CompletedPart{ETag: cp.CopyPartResult.ETag, PartNumber: aws.Int32(3), ChecksumCRC32: cp.CopyPartResult.ChecksumCRC32})
	list, err := l.s3.ListParts(ctx, &s3.ListPartsInput{Bucket: aws.String("box"), Key: aws.String("big"), UploadId: up.UploadId})
	if err != nil || len(list.Parts) != 3 || *list.Owner.ID != canonicalUser(account) {
		t.Errorf("ListParts: %+v %v", list, err)
	}
	uploads, err := l.s3.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: aws.String("box")})
	if err != nil || len(uploads.Uploads) != 1 || *uploads.Uploads[0].Key != "big" {
		t.Errorf("ListMultipartUploads: %+v %v", uploads, err)
	}
	end, err := l.s3.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: aws.String("box"), Key: aws.String("big"), UploadId: up.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: done}})
	if err != nil {
		t.Fatal(err)
	}
	if *end.Location != l.url+"/box/big" {
		t.Errorf("Location %s", *end.Location)
	}
	if !bytes.Equal(l.get(t, "box", "big"), slices.Concat(parts...)) {
		t.Error("object differs from its parts")
	}
	_, err = l.s3.ListParts(ctx, &s3.ListPartsInput{Bucket: aws.String("box"), Key: aws.String("big"), UploadId: up.UploadId})
	wantCode(t, "list parts of a completed upload", err, "NoSuchUpload")

	up, err = l.s3.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: aws.String("box"), Key: aws.String("gone")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.s3.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: aws.String("box"), Key: aws.String("gone"), UploadId: up.UploadId}); err != nil {
		t.Error(err)
	}
}

func TestDeleteObjects(t *testing.T) {
	l := newLive(t)
	ctx := t.Context()
	l.createBucket(t, "box")
	var objects []types.ObjectIdentifier
	for _, k := range []string{"mine/a", "mine/b&<", "kept/c", "mine/missing"} {
		if k != "mine/missing" {
			l.put(t, "box", k, []byte(k))
		}
		objects = append(objects, types.ObjectIdentifier{Key: aws.String(k)})
	}
	l.rules.set("s3:DeleteObject arn:aws:s3:::box/kept/*")
	out, err := l.s3.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: aws.String("box"), Delete: &types.Delete{Objects: objects}})
	if err != nil {
		t.Fatal(err)
	}
	var deleted []string
	for _, d := range out.Deleted {
		deleted = append(deleted, *d.Key)
	}
	slices.Sort(deleted)
	if !slices.Equal(deleted, []string{"mine/a", "mine/b&<", "mine/missing"}) {
		t.Errorf("deleted %q", deleted)
	}
	if len(out.Errors) != 1 || *out.Errors[0].Key != "kept/c" || *out.Errors[0].Code != "AccessDenied" || !strings.Contains(*out.Errors[0].Message, "s3:DeleteObject on resource") {
		t.Errorf("errors %+v", out.Errors)
	}
	if got := l.get(t, "box", "kept/c"); string(got) != "kept/c" {
		t.Errorf("kept object is %q", got)
	}
	_, err = l.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("box"), Key: aws.String("mine/a")})
	wantCode(t, "deleted object", err, "NoSuchKey")
	quiet, err := l.s3.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: aws.String("box"), Delete: &types.Delete{Objects: objects, Quiet: aws.Bool(true)}})
	if err != nil || len(quiet.Deleted) != 0 || len(quiet.Errors) != 1 {
		t.Errorf("quiet: %+v %v", quiet, err)
	}
}

func TestPresigned(t *testing.T) {
	l := newLive(t)
	ctx := t.Context()
	l.createBucket(t, "box")
	sign := s3.NewPresignClient(s3.New(s3.Options{Region: region, BaseEndpoint: &l.url, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider("ASIATEMP", "temp-secret", "the-token")}))
	send := func(method, url, body string, header http.Header) (int, string) {
		t.Helper()
		req, err := http.NewRequest(method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for name, values := range header {
			if name != "Host" {
				req.Header[name] = values
			}
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(b)
	}
	put, err := sign.PresignPutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("box"), Key: aws.String("p/q r"), Metadata: map[string]string{"m": "1"}})
	if err != nil {
		t.Fatal(err)
	}
	if status, text := send(put.Method, put.URL, "presigned", put.SignedHeader); status != 200 {
		t.Fatalf("put: %d %s", status, text)
	}
	get, err := sign.PresignGetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("box"), Key: aws.String("p/q r")}, s3.WithPresignExpires(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if status, text := send("GET", get.URL, "", nil); status != 200 || text != "presigned" {
		t.Errorf("get: %d %s", status, text)
	}
	if v := l.rules.asked[len(l.rules.asked)-1].Keys["s3:authType"]; !slices.Equal(v, restQuery) {
		t.Errorf("s3:authType is %q", v)
	}
	head, err := sign.PresignHeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String("box"), Key: aws.String("p/q r")})
	if err != nil {
		t.Fatal(err)
	}
	if status, _ := send("HEAD", head.URL, "", nil); status != 200 {
		t.Errorf("head: %d", status)
	}
	if status, text := send("GET", strings.Replace(get.URL, "q%20r", "other", 1), "", nil); status != 403 || code(text) != "SignatureDoesNotMatch" {
		t.Errorf("other key: %d %s", status, text)
	}
	if status, text := send("DELETE", get.URL, "", nil); status != 403 || code(text) != "SignatureDoesNotMatch" {
		t.Errorf("other method: %d %s", status, text)
	}
	if status, text := send("GET", strings.Replace(get.URL, "X-Amz-Expires=60", "X-Amz-Expires=6000", 1), "", nil); status != 403 || code(text) != "SignatureDoesNotMatch" {
		t.Errorf("longer life: %d %s", status, text)
	}
	later := l.Gateway.c.Now
	l.Gateway.c.Now = func() time.Time { return time.Now().Add(2 * time.Minute) }
	if status, text := send("GET", get.URL, "", nil); status != 403 || code(text) != "AccessDenied" || !strings.Contains(text, "<Message>Request has expired</Message><X-Amz-Expires>60</X-Amz-Expires>") {
		t.Errorf("expired: %d %s", status, text)
	}
	l.Gateway.c.Now = later

	// Headers that an SDK has put in the query count as headers.
	acl, err := sign.PresignPutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("box"), Key: aws.String("public"), ACL: types.ObjectCannedACLPublicRead})
	if err != nil {
		t.Fatal(err)
	}
	if status, text := send("PUT", acl.URL, "x", acl.SignedHeader); status != 400 || code(text) != "AccessControlListNotSupported" {
		t.Errorf("ACL in the query: %d %s", status, text)
	}
}

// Uploads of every encoding and size arrive as they were sent, with their checksum.
func TestUploads(t *testing.T) {
	l := newLive(t)
	ctx := t.Context()
	l.createBucket(t, "box")
	encodings := map[string]int{}
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			encodings[r.Header.Get("X-Amz-Content-Sha256")]++
		}
		l.Gateway.ServeHTTP(w, r)
	}))
	defer srv.Close()
	overTLS := s3.New(l.s3.Options(), func(o *s3.Options) { o.BaseEndpoint, o.HTTPClient = &srv.URL, srv.Client() }) // SDKs send trailers over TLS alone
	for _, size := range []int{0, 1, 1000, bufferSize, bufferSize + 1, 3*chunk - 1, 3 * chunk, 20 << 20} {
		body := randomBytes(size)
		for _, alg := range []types.ChecksumAlgorithm{"", types.ChecksumAlgorithmCrc32c, types.ChecksumAlgorithmCrc64nvme, types.ChecksumAlgorithmSha1, types.ChecksumAlgorithmSha256} {
			for _, stream := range []bool{false, true} { // a stream that cannot be read twice is sent with a trailer
				in := &s3.PutObjectInput{Bucket: aws.String("box"), Key: aws.String("k"), Body: bytes.NewReader(body), ChecksumAlgorithm: alg}
				client := l.s3
				if stream {
					if size == 20<<20 && alg != "" {
						continue
					}
					in.Body, in.ContentLength, client = struct{ io.Reader }{in.Body}, aws.Int64(int64(size)), overTLS
				}
				put, err := client.PutObject(ctx, in)
				if err != nil {
					t.Fatalf("%d bytes %s: %v", size, alg, err)
				}
				out, err := l.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("box"), Key: aws.String("k"), ChecksumMode: types.ChecksumModeEnabled})
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(out.Body)
				out.Body.Close()
				if err != nil || !bytes.Equal(got, body) {
					t.Fatalf("%d bytes %s: differs: %v", size, alg, err)
				}
				for _, c := range []struct{ put, got *string }{{put.ChecksumCRC32, out.ChecksumCRC32}, {put.ChecksumCRC32C, out.ChecksumCRC32C}, {put.ChecksumCRC64NVME, out.ChecksumCRC64NVME}, {put.ChecksumSHA1, out.ChecksumSHA1}, {put.ChecksumSHA256, out.ChecksumSHA256}} {
					if aws.ToString(c.put) != aws.ToString(c.got) {
						t.Errorf("%d bytes %s: checksum %q, put %q", size, alg, aws.ToString(c.got), aws.ToString(c.put))
					}
				}
			}
		}
	}
	if encodings[sigv4.StreamingUnsignedTrailer] == 0 || len(encodings) != 1 {
		t.Errorf("streams were sent as %v", encodings)
	}
}

// TestVirtualHosted: the SDK puts the bucket into the host name, where it is signed.
func TestVirtualHosted(t *testing.T) {
	l := newLive(t)
	ctx := t.Context()
	u, err := url.Parse(l.url)
	if err != nil {
		t.Fatal(err)
	}
	hosts := map[string]int{}
	client := s3.New(l.s3.Options(), func(o *s3.Options) {
		o.BaseEndpoint, o.UsePathStyle = aws.String("http://localhost:"+u.Port()), false
		o.HTTPClient = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			hosts[strings.TrimSuffix(addr, ":"+u.Port())]++
			return new(net.Dialer).DialContext(ctx, network, u.Host)
		}}}
	})
	bucket, key := aws.String("box"), aws.String("a b/c+ü.txt")
	if _, err := client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: bucket}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: key, Body: strings.NewReader("virtual")}); err != nil {
		t.Fatal(err)
	}
	if got := l.get(t, "box", *key); string(got) != "virtual" {
		t.Errorf("by path: %q", got)
	}
	if list, err := client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: bucket}); err != nil || len(list.Contents) != 1 || *list.Contents[0].Key != *key {
		t.Errorf("list: %+v %v", list, err)
	}
	get, err := s3.NewPresignClient(client).PresignGetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(ctx, "GET", get.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Options().HTTPClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, _ := io.ReadAll(res.Body); res.StatusCode != 200 || string(b) != "virtual" {
		t.Errorf("presigned: %d %s", res.StatusCode, b)
	}
	if hosts["box.localhost"] == 0 || hosts["localhost"] != 0 {
		t.Errorf("hosts: %v", hosts)
	}
}

// A body that is not the signed one leaves the object as it was, at every size and in every encoding.
func TestTamperedBody(t *testing.T) {
	l := newLive(t)
	l.createBucket(t, "box")
	l.put(t, "box", "k", []byte("before"))
	send := func(r *http.Request, body []byte) (int, string) {
		t.Helper()
		u, _ := url.Parse(l.url)
		out := &http.Request{Method: r.Method, URL: &url.URL{Scheme: "http", Host: u.Host, Path: r.RequestURI}, Host: r.Host, Header: r.Header, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body))}
		res, err := http.DefaultClient.Do(out)
		if err != nil {
			return 0, err.Error()
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(b)
	}
	for _, size := range []int{10, bufferSize, bufferSize + 1, 1 << 20, 5<<20 + 3} {
		for _, at := range []int{0, size / 2, size - 1} {
			body := randomBytes(size)
			r := sign(t, "AKIAALICE", "PUT", "/box/k", body)
			bad := bytes.Clone(body)
			bad[at] ^= 1
			if status, text := send(r, bad); status != 400 || code(text) != "XAmzContentSHA256Mismatch" {
				t.Errorf("%d bytes, changed at %d: %d %s", size, at, status, text)
			}
		}
		// Trailing checksum over other bytes, and one that is missing.
		body := randomBytes(size)
		for trailer, want := range map[string]string{"x-amz-checksum-crc32:AAAAAA==\r\n": "BadDigest", "": "MalformedTrailerError"} {
			encoded := slices.Concat([]byte(strconv.FormatInt(int64(size), 16)+"\r\n"), body, []byte("\r\n0\r\n"+trailer+"\r\n"))
			r := sign(t, "AKIAALICE", "PUT", "/box/k", nil, "x-amz-content-sha256: "+sigv4.StreamingUnsignedTrailer,
				"x-amz-trailer: x-amz-checksum-crc32", "Content-Encoding: aws-chunked", "x-amz-decoded-content-length: "+strconv.Itoa(size))
			if status, text := send(r, encoded); status != 400 || code(text) != want {
				t.Errorf("%d bytes, trailer %q: %d %s", size, trailer, status, text)
			}
		}
		if got := l.get(t, "box", "k"); string(got) != "before" {
			t.Fatalf("%d bytes: object is now %d bytes", size, len(got))
		}
	}
	out, err := l.s3.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String("box")})
	if err != nil || len(out.Contents) != 1 {
		t.Errorf("objects: %+v %v", out.Contents, err)
	}
}

// A store that dies is started again with its data.
func TestStoreIsRestarted(t *testing.T) {
	l := newLive(t)
	l.createBucket(t, "box")
	l.put(t, "box", "k", []byte("kept"))
	pid, err := strconv.Atoi(l.pids()[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for range 200 {
		if len(l.pids()) > 1 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if got := l.get(t, "box", "k"); string(got) != "kept" {
		t.Errorf("object is %q", got)
	}
	l.put(t, "box", "k2", []byte("new"))
}

func TestStartLocal(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	if _, _, err := StartLocal(t.Context(), LocalConfig{Binary: filepath.Join(t.TempDir(), "nothing"), DataDir: t.TempDir(), Log: log}); err == nil {
		t.Error("a missing binary was started")
	}
	// A long path has its socket elsewhere.
	deep := filepath.Join(t.TempDir(), strings.Repeat("d", 120))
	up, stop, err := StartLocal(t.Context(), LocalConfig{Binary: storeBinary, DataDir: deep, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(up.Socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket: %v %v", info, err)
	}
	stop()
	stop()
	if _, err := os.Stat(up.Socket); err == nil {
		t.Error("the socket is still there")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := StartLocal(ctx, LocalConfig{Binary: storeBinary, DataDir: t.TempDir(), Log: log}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
