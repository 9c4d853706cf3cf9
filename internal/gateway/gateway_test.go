package gateway

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"usher/internal/awsapi"
	"usher/internal/db"
	"usher/internal/db/dbtest"
	"usher/internal/sigv4"
)

const (
	region  = "us-east-1"
	account = "111122223333"
	other   = "444455556666"
)

// keys are the access keys of the tests: name, secret, account.
type testKeys map[string]struct{ secret, account, token string }

var keys = testKeys{
	"AKIAALICE": {"alice-secret", account, ""},
	"ASIATEMP":  {"temp-secret", account, "the-token"},
	"AKIAOTHER": {"other-secret", other, ""},
}

func (k testKeys) SigningKey(_ context.Context, claims *sigv4.Request) ([]byte, awsapi.Caller, error) {
	key, ok := k[claims.AccessKeyID]
	switch {
	case !ok, claims.SessionToken != key.token && claims.SessionToken != "expired":
		return nil, awsapi.Caller{}, awsapi.ErrInvalidClientToken
	case claims.SessionToken == "expired":
		return nil, awsapi.Caller{}, awsapi.ErrExpiredToken
	}
	return sigv4.SigningKey(key.secret, claims.Date, claims.Region, claims.Service),
		awsapi.Caller{AccountID: key.account, ARN: "arn:aws:iam::" + key.account + ":user/" + claims.AccessKeyID, AccessKeyID: claims.AccessKeyID}, nil
}

// rules is an authorizer that records what it is asked and denies what a rule matches. Without rules it allows all to
// the owner's account.
type rules struct {
	mu    sync.Mutex
	asked []awsapi.Target
	deny  []string // "action resource", or a prefix that ends in *
}

func (r *rules) Decide(_ context.Context, caller awsapi.Caller, targets []awsapi.Target) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, targets...)
	for _, t := range targets {
		denied := caller.AccountID == "" || t.Account != "" && t.Account != caller.AccountID
		for _, d := range r.deny {
			prefix, wild := strings.CutSuffix(d, "*")
			denied = denied || t.Action+" "+t.Resource == d || wild && strings.HasPrefix(t.Action+" "+t.Resource, prefix)
		}
		if denied {
			return awsapi.ErrAccessDenied.Msg("User: %s is not authorized to perform: %s on resource: %q because no identity-based policy allows the %s action", caller.ARN, t.Action, t.Resource, t.Action)
		}
	}
	return nil
}

func (r *rules) set(deny ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deny, r.asked = deny, nil
}

// people are the users of the tests: alice of account, whose id is AIDAALICE, and the accounts.
type people struct{}

func (people) ResolvePrincipal(_ context.Context, _ db.Querier, kind, value string) (string, bool, error) {
	switch {
	case kind == "AWS" && value == aliceARN:
		return "AIDAALICE", true, nil
	case kind == "AWS":
		return "", value == "*" || value == account || value == other, nil
	}
	return "", false, nil
}

func (people) PrincipalARN(_ context.Context, _ db.Querier, id string) (string, error) {
	if id == "AIDAALICE" {
		return aliceARN, nil
	}
	return "", nil
}

const aliceARN = "arn:aws:iam::" + account + ":user/alice"

type fixture struct {
	*Gateway
	rules *rules
	db    *db.DB
	log   *bytes.Buffer
}

// newGateway returns a gateway over a database where account owns the bucket "box" and other owns "theirs".
func newGateway(t testing.TB, u Upstream, change func(*Config)) *fixture {
	t.Helper()
	f := &fixture{rules: &rules{}, db: dbtest.Open(t, dbtest.SQLite(t), db.Schema{Name: "gateway", Files: Schema}), log: &bytes.Buffer{}}
	c := Config{Upstream: u, DB: f.db, Credentials: keys, Authorizer: f.rules, Principals: people{}, Region: region, Hosts: []string{"localhost", "s3.example.com"},
		Log: slog.New(slog.NewTextHandler(&lockedWriter{w: f.log}, nil)), Now: time.Now}
	if change != nil {
		change(&c)
	}
	var err error
	if f.Gateway, err = New(c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

func (f *fixture) own(t testing.TB, name, account string) {
	t.Helper()
	err := f.db.Tx(t.Context(), func(tx *db.Tx) error {
		tx.Invalidate(bucketScope(name))
		_, err := tx.ExecContext(t.Context(), `INSERT INTO gateway_buckets (name, account_id, state, created) VALUES ($1, $2, 'ready', 0)`, name, account)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// received is what the upstream of a test got.
type received struct {
	method, target, host string
	header               http.Header
	body                 []byte
	err                  error
}

// recorder is an upstream that notes each request and answers with answer, or 200.
type recorder struct {
	mu     sync.Mutex
	all    []received
	answer http.HandlerFunc
}

func (u *recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	u.mu.Lock()
	u.all = append(u.all, received{r.Method, r.RequestURI, r.Host, r.Header.Clone(), b, err})
	u.mu.Unlock()
	if u.answer != nil {
		u.answer(w, r)
	}
}

func (u *recorder) take() []received {
	u.mu.Lock()
	defer u.mu.Unlock()
	all := u.all
	u.all = nil
	return all
}

// startRecorder serves the recorder on a unix socket, or on TCP.
func startRecorder(t testing.TB, sealed bool) (*recorder, Upstream) {
	t.Helper()
	u := &recorder{}
	s := httptest.NewUnstartedServer(u)
	up := Upstream{AccessKeyID: "UPSTREAMKEY", SecretAccessKey: "upstream-secret", Region: "eu-upstream-1", OpaqueKeys: true}
	if sealed {
		dir, err := os.MkdirTemp("", "s3")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		up.Socket, up.URL = filepath.Join(dir, "s"), "http://store"
		s.Listener.Close()
		if s.Listener, err = net.Listen("unix", up.Socket); err != nil {
			t.Fatal(err)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	if !sealed {
		up.URL = s.URL
	}
	return u, up
}

// sign makes a signed request. headers are "Name: value" lines.
func sign(t testing.TB, key, method, target string, body []byte, headers ...string) *http.Request {
	t.Helper()
	var r io.Reader
	if body != nil {
		r = bytes.NewReader(body)
	}
	req := httptest.NewRequest(method, "/", r)
	setTarget(req, target)
	req.Host = "127.0.0.1:8080"
	hash := ""
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		switch {
		case name == "Host":
			req.Host = value
		case http.CanonicalHeaderKey(name) == "X-Amz-Content-Sha256":
			hash = value
		default:
			req.Header.Add(name, value)
		}
	}
	if key == "" {
		return req
	}
	if hash == "" {
		hash = sigv4.PayloadHash(body)
	}
	sigv4.Sign(req, sigv4.Credentials{AccessKeyID: key, SecretAccessKey: keys[key].secret, SessionToken: keys[key].token}, hash, time.Now(), region, "s3")
	return req
}

// setTarget gives a request its target as a server does; one that cannot be parsed leaves no URL.
func setTarget(r *http.Request, target string) {
	r.RequestURI = target
	r.URL, _ = url.ParseRequestURI(target)
}

func (f *fixture) do(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	return w
}

func code(body string) string {
	_, after, _ := strings.Cut(body, "<Code>")
	c, _, _ := strings.Cut(after, "</Code>")
	return c
}

// TestMain builds the store that end-to-end tests run against.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "gateway-test")
	if err != nil {
		panic(err)
	}
	storeBinary = filepath.Join(dir, "usher-s3")
	build := exec.Command("go", "build", "-o", storeBinary, ".")
	build.Dir = filepath.Join("..", "..", "usher-s3")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building usher-s3: %v\n%s", err, out)
		os.Exit(1)
	}
	status := m.Run()
	os.RemoveAll(dir)
	os.Exit(status)
}

var storeBinary string

// What a request is taken for. want lists the decisions as "action resource", separated by commas; keys some of the
// condition keys as "key=value", of the first.
var mapping = []struct {
	method, target, headers string // headers separated by "|"
	operation, want, keys   string
}{
	{"GET", "/", "", "ListBuckets", "s3:ListAllMyBuckets *", "s3:authType=REST-HEADER,s3:signatureversion=AWS4-HMAC-SHA256,aws:SecureTransport=false,aws:SourceIp=192.0.2.1"},
	{"PUT", "/new-box", "", "CreateBucket", "s3:CreateBucket new-box", ""},
	{"PUT", "/new-box", "x-amz-acl: private", "CreateBucket", "s3:CreateBucket new-box,s3:PutBucketAcl new-box", "s3:x-amz-acl=private"},
	{"PUT", "/new-box", "x-amz-object-ownership: ObjectWriter", "CreateBucket", "s3:CreateBucket new-box,s3:PutBucketOwnershipControls new-box", "s3:x-amz-object-ownership=ObjectWriter"},
	{"PUT", "/new-box", "x-amz-bucket-object-lock-enabled: true", "CreateBucket", "s3:CreateBucket new-box,s3:PutBucketObjectLockConfiguration new-box,s3:PutBucketVersioning new-box", ""},
	{"DELETE", "/box", "", "DeleteBucket", "s3:DeleteBucket box", "s3:ResourceAccount=" + account},
	{"HEAD", "/box", "", "HeadBucket", "s3:ListBucket box", ""},
	{"HEAD", "/box/", "", "HeadBucket", "s3:ListBucket box", ""},
	{"GET", "/box?location", "", "GetBucketLocation", "s3:GetBucketLocation box", ""},
	{"GET", "/box", "", "ListObjects", "s3:ListBucket box", "!s3:prefix"},
	{"GET", "/box?prefix=home%2Fann+e%2F&delimiter=/&max-keys=7&marker=x&encoding-type=url", "", "ListObjects", "s3:ListBucket box", "s3:prefix=home/ann e/,s3:delimiter=/,s3:max-keys=7"},
	{"GET", "/box?list-type=2&prefix=&x-id=ListObjectsV2", "", "ListObjectsV2", "s3:ListBucket box", "s3:prefix="},
	{"GET", "/box?versions&prefix=a", "", "ListObjectVersions", "s3:ListBucketVersions box", "s3:prefix=a"},
	{"GET", "/box?uploads", "", "ListMultipartUploads", "s3:ListBucketMultipartUploads box", ""},
	{"GET", "/box?acl", "", "GetBucketAcl", "s3:GetBucketAcl box", ""},
	{"PUT", "/box?acl", "", "PutBucketAcl", "s3:PutBucketAcl box", ""},
	{"GET", "/box?policy", "", "GetBucketPolicy", "s3:GetBucketPolicy box", ""},
	{"PUT", "/box?policy", "", "PutBucketPolicy", "s3:PutBucketPolicy box", ""},
	{"DELETE", "/box?policy", "", "DeleteBucketPolicy", "s3:DeleteBucketPolicy box", ""},
	{"GET", "/box?policyStatus", "", "GetBucketPolicyStatus", "s3:GetBucketPolicyStatus box", ""},
	{"GET", "/box?cors", "", "GetBucketCors", "s3:GetBucketCORS box", ""},
	{"DELETE", "/box?cors", "", "DeleteBucketCors", "s3:PutBucketCORS box", ""},
	{"DELETE", "/box?lifecycle", "", "DeleteBucketLifecycle", "s3:PutLifecycleConfiguration box", ""},
	{"GET", "/box?versioning", "", "GetBucketVersioning", "s3:GetBucketVersioning box", ""},
	{"PUT", "/box?versioning", "", "PutBucketVersioning", "s3:PutBucketVersioning box", ""},
	{"PUT", "/box?tagging", "", "PutBucketTagging", "s3:PutBucketTagging box", ""},
	{"DELETE", "/box?encryption", "", "DeleteBucketEncryption", "s3:PutEncryptionConfiguration box", ""},
	{"DELETE", "/box?website", "", "DeleteBucketWebsite", "s3:DeleteBucketWebsite box", ""},
	{"GET", "/box?logging", "", "GetBucketLogging", "s3:GetBucketLogging box", ""},
	{"PUT", "/box?notification", "", "PutBucketNotificationConfiguration", "s3:PutBucketNotification box", ""},
	{"DELETE", "/box?replication", "", "DeleteBucketReplication", "s3:PutReplicationConfiguration box", ""},
	{"GET", "/box?requestPayment", "", "GetBucketRequestPayment", "s3:GetBucketRequestPayment box", ""},
	{"PUT", "/box?accelerate", "", "PutBucketAccelerateConfiguration", "s3:PutAccelerateConfiguration box", ""},
	{"PUT", "/box?object-lock", "", "PutObjectLockConfiguration", "s3:PutBucketObjectLockConfiguration box", ""},
	{"DELETE", "/box?ownershipControls", "", "DeleteBucketOwnershipControls", "s3:PutBucketOwnershipControls box", ""},
	{"GET", "/box?publicAccessBlock", "", "GetPublicAccessBlock", "s3:GetBucketPublicAccessBlock box", ""},
	{"DELETE", "/box?publicAccessBlock", "", "DeletePublicAccessBlock", "s3:PutBucketPublicAccessBlock box", ""},
	{"PUT", "/box?publicAccessBlock", "", "PutPublicAccessBlock", "s3:PutBucketPublicAccessBlock box", ""},
	{"GET", "/box?inventory&id=1", "", "GetBucketInventoryConfiguration", "s3:GetInventoryConfiguration box", ""},
	{"DELETE", "/box?intelligent-tiering&id=1", "", "DeleteBucketIntelligentTieringConfiguration", "s3:PutIntelligentTieringConfiguration box", ""},
	{"POST", "/box", "", "PostObject", "s3:PutObject box", ""},

	{"GET", "/box/a.txt", "", "GetObject", "s3:GetObject box/a.txt", "!s3:versionid"},
	{"GET", "/box/a.txt?x-id=GetObject", "", "GetObject", "s3:GetObject box/a.txt", ""},
	{"GET", "/box/a.txt?partNumber=1&response-content-type=text/plain", "Range: bytes=0-1", "GetObject", "s3:GetObject box/a.txt", ""},
	{"GET", "/box/a.txt?versionId=v1", "", "GetObject", "s3:GetObjectVersion box/a.txt", "s3:versionid=v1"},
	{"HEAD", "/box/a.txt", "If-Match: x", "HeadObject", "s3:GetObject box/a.txt", "s3:if-match=x"},
	{"HEAD", "/box/a.txt?versionId=v1", "", "HeadObject", "s3:GetObjectVersion box/a.txt", ""},
	{"GET", "/a.txt", "Host: box.localhost:8080", "GetObject", "s3:GetObject box/a.txt", ""},
	{"GET", "/a.txt", "Host: box.s3.localhost", "GetObject", "s3:GetObject box/a.txt", ""},
	{"GET", "/a.txt", "Host: BOX.s3.example.com.", "GetObject", "s3:GetObject box/a.txt", ""},
	{"GET", "/box/a.txt", "Host: s3.localhost", "GetObject", "s3:GetObject box/a.txt", ""},
	{"GET", "/box/a.txt", "Host: elsewhere.example", "GetObject", "s3:GetObject box/a.txt", ""},
	{"GET", "/", "Host: box.localhost", "ListObjects", "s3:ListBucket box", ""},
	{"GET", "/box//a", "", "GetObject", "s3:GetObject box//a", ""},
	{"GET", "/box/%2Fa", "", "GetObject", "s3:GetObject box//a", ""},
	{"GET", "/box/../secret/a", "", "GetObject", "s3:GetObject box/../secret/a", ""},
	{"GET", "/box/a%2F..%2Fb", "", "GetObject", "s3:GetObject box/a/../b", ""},
	{"GET", "/box/a/./b/", "", "GetObject", "s3:GetObject box/a/./b/", ""},
	{"GET", "/box/a%252Fb", "", "GetObject", "s3:GetObject box/a%2Fb", ""},
	{"GET", "/box/a+b%2Bc%20d", "", "GetObject", "s3:GetObject box/a+b+c d", ""},
	{"GET", "/box/%C3%BC/%3Fx", "", "GetObject", "s3:GetObject box/ü/?x", ""},
	{"GET", "/box/acl", "", "GetObject", "s3:GetObject box/acl", ""},
	{"PUT", "/box/a", "", "PutObject", "s3:PutObject box/a", "s3:ObjectCreationOperation=true,s3:x-amz-content-sha256=" + sigv4.EmptyHash},
	{"PUT", "/box/a", "x-amz-acl: bucket-owner-full-control", "PutObject", "s3:PutObject box/a,s3:PutObjectAcl box/a", "s3:x-amz-acl=bucket-owner-full-control"},
	{"PUT", "/box/a", "x-amz-grant-read: id=1", "PutObject", "s3:PutObject box/a,s3:PutObjectAcl box/a", "s3:x-amz-grant-read=id=1"},
	{"PUT", "/box/a", "x-amz-tagging: k=v+1&l=", "PutObject", "s3:PutObject box/a,s3:PutObjectTagging box/a", "s3:RequestObjectTag/k=v 1,s3:RequestObjectTag/l=,s3:RequestObjectTagKeys=k;l"},
	{"PUT", "/box/a", "x-amz-object-lock-mode: GOVERNANCE|x-amz-object-lock-legal-hold: ON", "PutObject", "s3:PutObject box/a,s3:PutObjectRetention box/a,s3:PutObjectLegalHold box/a", "s3:object-lock-mode=GOVERNANCE"},
	{"PUT", "/box/a", "x-amz-storage-class: STANDARD_IA|x-amz-server-side-encryption: AES256", "PutObject", "s3:PutObject box/a", "s3:x-amz-storage-class=STANDARD_IA,s3:x-amz-server-side-encryption=AES256"},
	{"PUT", "/box/a", "x-amz-copy-source: /box/src", "CopyObject", "s3:PutObject box/a,s3:GetObject box/src", "s3:x-amz-copy-source=box/src"},
	{"PUT", "/box/a", "x-amz-copy-source: box/d%2Fs%20x?versionId=v%2F1", "CopyObject", "s3:PutObject box/a,s3:GetObjectVersion box/d/s x", ""},
	{"PUT", "/box/a", "x-amz-copy-source: theirs/a%2B+b", "CopyObject", "s3:PutObject box/a,s3:GetObject theirs/a+ b", ""},
	{"PUT", "/box/a", "x-amz-copy-source: box/..%2Fx//y", "CopyObject", "s3:PutObject box/a,s3:GetObject box/../x//y", ""},
	{"DELETE", "/box/a", "", "DeleteObject", "s3:DeleteObject box/a", ""},
	{"DELETE", "/box/a?versionId=v1", "x-amz-bypass-governance-retention: true", "DeleteObject", "s3:DeleteObjectVersion box/a,s3:BypassGovernanceRetention box/a", "s3:versionid=v1"},
	{"GET", "/box/a?attributes", "x-amz-object-attributes: ETag", "GetObjectAttributes", "s3:GetObject box/a,s3:GetObjectAttributes box/a", ""},
	{"GET", "/box/a?attributes&versionId=v1", "", "GetObjectAttributes", "s3:GetObjectVersion box/a,s3:GetObjectVersionAttributes box/a", ""},
	{"GET", "/box/a?acl", "", "GetObjectAcl", "s3:GetObjectAcl box/a", ""},
	{"PUT", "/box/a?acl&versionId=v1", "", "PutObjectAcl", "s3:PutObjectVersionAcl box/a", ""},
	{"GET", "/box/a?tagging", "", "GetObjectTagging", "s3:GetObjectTagging box/a", ""},
	{"GET", "/box/a?tagging&versionId=v1", "", "GetObjectTagging", "s3:GetObjectVersionTagging box/a", ""},
	{"DELETE", "/box/a?tagging", "", "DeleteObjectTagging", "s3:DeleteObjectTagging box/a", ""},
	{"GET", "/box/a?retention", "", "GetObjectRetention", "s3:GetObjectRetention box/a", ""},
	{"PUT", "/box/a?retention", "x-amz-bypass-governance-retention: true", "PutObjectRetention", "s3:PutObjectRetention box/a,s3:BypassGovernanceRetention box/a", ""},
	{"PUT", "/box/a?legal-hold", "", "PutObjectLegalHold", "s3:PutObjectLegalHold box/a", ""},
	{"GET", "/box/a?torrent", "", "GetObjectTorrent", "s3:GetObjectTorrent box/a", ""},
	{"POST", "/box/a?restore", "", "RestoreObject", "s3:RestoreObject box/a", ""},
	{"POST", "/box/a?select&select-type=2", "", "SelectObjectContent", "s3:GetObject box/a", ""},
	{"POST", "/box/a?uploads", "x-amz-tagging: k=v", "CreateMultipartUpload", "s3:PutObject box/a,s3:PutObjectTagging box/a", "s3:ObjectCreationOperation=false"},
	{"PUT", "/box/a?partNumber=1&uploadId=u", "", "UploadPart", "s3:PutObject box/a", "s3:ObjectCreationOperation=false"},
	{"PUT", "/box/a?partNumber=1&uploadId=u", "x-amz-copy-source: box/src", "UploadPartCopy", "s3:PutObject box/a,s3:GetObject box/src", ""},
	{"POST", "/box/a?uploadId=u", "", "CompleteMultipartUpload", "s3:PutObject box/a", "s3:ObjectCreationOperation=true"},
	{"DELETE", "/box/a?uploadId=u", "", "AbortMultipartUpload", "s3:AbortMultipartUpload box/a", ""},
	{"GET", "/box/a?uploadId=u&max-parts=2", "", "ListParts", "s3:ListMultipartUploadParts box/a", ""},
}

func TestMapping(t *testing.T) {
	_, up := startRecorder(t, true)
	f := newGateway(t, up, nil)
	f.own(t, "box", account)
	f.own(t, "theirs", other)
	seen := map[string]bool{}
	for _, c := range mapping {
		f.rules.set("*")
		f.log.Reset()
		var headers []string
		if c.headers != "" {
			headers = strings.Split(c.headers, "|")
		}
		w := f.do(sign(t, "AKIAALICE", c.method, c.target, nil, headers...))
		name := c.method + " " + c.target + " " + c.headers
		if w.Code != http.StatusForbidden {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
			continue
		}
		var got []string
		for _, a := range f.rules.asked {
			got = append(got, a.Action+" "+strings.TrimPrefix(a.Resource, "arn:aws:s3:::"))
		}
		if want := strings.Split(c.want, ","); !slices.Equal(got, want) {
			t.Errorf("%s: decided on %q, want %q", name, got, want)
			continue
		}
		if !strings.Contains(f.log.String(), "operation="+c.operation+" ") {
			t.Errorf("%s: log says %s, want operation %s", name, f.log, c.operation)
		}
		seen[c.operation] = true
		if c.keys == "" {
			continue
		}
		have := f.rules.asked[0].Keys
		for pair := range strings.SplitSeq(c.keys, ",") {
			if absent, ok := strings.CutPrefix(pair, "!"); ok {
				if v, ok := have[absent]; ok {
					t.Errorf("%s: key %s is %q", name, absent, v)
				}
				continue
			}
			key, value, _ := strings.Cut(pair, "=")
			if v, ok := have[key]; !ok || strings.Join(v, ";") != value {
				t.Errorf("%s: key %s is %q, want %q", name, key, v, value)
			}
		}
	}
	for _, op := range operations {
		if op.flags&(manyTargets|document) == 0 && !seen[op.name] && op.serve != nil {
			t.Errorf("no case for %s", op.name)
		}
	}
}

// Requests that must not reach the upstream.
func TestRefused(t *testing.T) {
	upstream, up := startRecorder(t, true)
	f := newGateway(t, up, nil)
	f.own(t, "box", account)
	f.own(t, "theirs", other)
	long := strings.Repeat("k", 1025)
	for _, c := range []struct {
		method, target, headers string
		status                  int
		code                    string
	}{
		{"GET", "/box?acl&policy", "", 400, "InvalidArgument"},
		{"GET", "/box/a?tagging&acl", "", 400, "InvalidArgument"},
		{"GET", "/box/a?uploadId=1&uploads", "", 400, "InvalidArgument"},
		{"GET", "/box?ACL", "", 501, "NotImplemented"},
		{"GET", "/box/a?Tagging", "", 501, "NotImplemented"},
		{"GET", "/box/a?unknown", "", 501, "NotImplemented"},
		{"GET", "/box?session", "", 501, "NotImplemented"},
		{"GET", "/box/a?prefix=x", "", 501, "NotImplemented"},
		{"PUT", "/box/a?versionId=1", "", 501, "NotImplemented"},
		{"GET", "/box/a?x-amz-acl=private", "", 501, "NotImplemented"},
		{"GET", "/box/a?partNumber=1&partNumber=2", "", 400, "InvalidArgument"},
		{"GET", "/box?prefix=a&prefix=b", "", 400, "InvalidArgument"},
		{"GET", "/box?list-type=3", "", 400, "InvalidArgument"},
		{"GET", "/box/a?versionId=", "", 400, "InvalidArgument"},
		{"GET", "/box?list-type=2&location", "", 400, "InvalidArgument"},
		{"PUT", "/box/a?uploadId=1", "", 400, "InvalidArgument"},
		{"PUT", "/box/a?uploadId=&partNumber=1", "", 404, "NoSuchUpload"},
		{"DELETE", "/box/a?uploadId=..%2F..%2F..%2F..%2Fvictim", "", 404, "NoSuchUpload"},
		{"PUT", "/box/a?uploadId=..&partNumber=1", "", 404, "NoSuchUpload"},
		{"HEAD", "/box?acl", "", 405, ""},
		{"PATCH", "/create-user", "", 405, "MethodNotAllowed"},
		{"PATCH", "/box/a", "", 405, "MethodNotAllowed"},
		{"POST", "/box/a", "", 405, "MethodNotAllowed"},
		{"DELETE", "/", "", 405, "MethodNotAllowed"},
		{"GET", "/box/%zz", "", 400, "InvalidURI"},
		{"GET", "/box/%FF", "", 400, "InvalidURI"},
		{"GET", "/box/a?prefix=%zz", "", 400, "InvalidURI"},
		{"GET", "/box/" + long, "", 400, "KeyTooLongError"},
		{"GET", "//box/a", "", 400, "InvalidBucketName"},
		{"GET", "/box%2Fa", "", 400, "InvalidBucketName"},
		{"GET", "/Box/a", "", 400, "InvalidBucketName"},
		{"GET", "/../a", "", 400, "InvalidBucketName"},
		{"GET", "/127.0.0.1/a", "", 400, "InvalidBucketName"},
		{"GET", "/a", "Host: x..y.localhost", 400, "InvalidBucketName"},
		{"GET", "/nobody/a", "", 404, "NoSuchBucket"},
		{"GET", "/theirs/a", "", 403, "AccessDenied"},
		{"PUT", "/box/a", "x-amz-copy-source: theirs/a", 403, "AccessDenied"},
		{"PUT", "/box/a", "x-amz-copy-source: nobody/a", 404, "NoSuchBucket"},
		{"PUT", "/box/a", "x-amz-copy-source: box", 400, "InvalidArgument"},
		{"PUT", "/box/a", "x-amz-copy-source: box/%zz", 400, "InvalidArgument"},
		{"PUT", "/box/a", "x-amz-copy-source: box/a?versionId=1&x=2", 400, "InvalidArgument"},
		{"PUT", "/box/a", "x-amz-copy-source: box/a?acl", 400, "InvalidArgument"},
		{"PUT", "/box/a", "x-amz-copy-source: box/a%3FversionId=1", 400, "InvalidArgument"},
		{"PUT", "/box/a", "x-amz-copy-source: ", 400, "InvalidArgument"},
		{"GET", "/box/a", "x-amz-copy-source: box/b", 400, "InvalidArgument"},
		{"PUT", "/box/a", "x-amz-acl: public-read", 400, "AccessControlListNotSupported"},
		{"PUT", "/box/a", "x-amz-grant-full-control: id=x", 400, "AccessControlListNotSupported"},
		{"PUT", "/box/a", "x-amz-acl: private|x-amz-grant-read: id=x", 400, "AccessControlListNotSupported"},
		{"POST", "/box/a?uploads", "x-amz-acl: public-read", 400, "AccessControlListNotSupported"},
		{"PUT", "/new-box", "x-amz-acl: public-read", 400, "InvalidBucketAclWithObjectOwnership"},
		{"PUT", "/xn--box", "", 400, "InvalidBucketName"},
		{"PUT", "/theirs", "", 409, "BucketAlreadyExists"},
		{"PUT", "/box/a", "x-amz-tagging: k=1&k=2", 400, "InvalidTag"},
		{"PUT", "/box/a", "x-amz-tagging: %zz", 400, "InvalidArgument"},
		{"PUT", "/box/a", "x-amz-storage-class: A|x-amz-storage-class: B", 400, "InvalidArgument"},
		{"GET", "/box/a", "x-amz-expected-bucket-owner: " + other, 403, "AccessDenied"},
		{"GET", "/box?versioning", "", 501, "NotImplemented"},
		{"PUT", "/box/a", "x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD", 411, "MissingContentLength"},
		{"PUT", "/box/a", "x-amz-content-sha256: " + strings.Repeat("0", 64), 400, "XAmzContentSHA256Mismatch"},
		{"PUT", "/box/a", "x-amz-content-sha256: nonsense", 400, "InvalidArgument"},
	} {
		f.rules.set()
		var headers []string
		if c.headers != "" {
			headers = strings.Split(c.headers, "|")
		}
		w := f.do(sign(t, "AKIAALICE", c.method, c.target, nil, headers...))
		if w.Code != c.status || c.code != "" && code(w.Body.String()) != c.code {
			t.Errorf("%s %.60s %s: %d %s, want %d %s", c.method, c.target, c.headers, w.Code, w.Body, c.status, c.code)
		}
		if got := upstream.take(); len(got) > 0 {
			t.Errorf("%s %.60s %s: reached the upstream as %s %s", c.method, c.target, c.headers, got[0].method, got[0].target)
		}
		if w.Header().Get("X-Amz-Request-Id") == "" || c.method != "HEAD" && !strings.Contains(w.Body.String(), "<RequestId>"+w.Header().Get("X-Amz-Request-Id")) {
			t.Errorf("%s %s: no request id in %s", c.method, c.target, w.Body)
		}
	}
}

func TestAuthenticationErrors(t *testing.T) {
	upstream, up := startRecorder(t, true)
	f := newGateway(t, up, nil)
	f.own(t, "box", account)
	get := func(change func(r *http.Request)) *http.Request {
		r := sign(t, "AKIAALICE", "GET", "/box/a", nil)
		change(r)
		return r
	}
	for _, c := range []struct {
		name   string
		r      *http.Request
		status int
		code   string
		text   string
	}{
		{"anonymous", sign(t, "", "GET", "/box/a", nil), 403, "AccessDenied", "<Message>Access Denied</Message>"},
		{"anonymous with overrides", sign(t, "", "GET", "/box/a?response-expires=1", nil), 400, "InvalidRequest", ""},
		{"other path", get(func(r *http.Request) { setTarget(r, "/box/b") }), 403, "SignatureDoesNotMatch", "<AWSAccessKeyId>AKIAALICE</AWSAccessKeyId>"},
		{"other method", get(func(r *http.Request) { r.Method = "DELETE" }), 403, "SignatureDoesNotMatch", "<CanonicalRequest>DELETE"},
		{"other host", get(func(r *http.Request) { r.Host = "box.localhost" }), 403, "SignatureDoesNotMatch", "<StringToSignBytes>41 57 53 34"},
		{"further query", get(func(r *http.Request) { setTarget(r, "/box/a?versionId=1") }), 403, "SignatureDoesNotMatch", ""},
		{"unsigned x-amz header", get(func(r *http.Request) { r.Header.Set("X-Amz-Acl", "public-read") }), 403, "AccessDenied", "<HeadersNotSigned>x-amz-acl</HeadersNotSigned>"},
		{"unknown key", get(func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "AKIAALICE", "AKIANOBODY", 1))
		}), 403, "InvalidAccessKeyId", "<AWSAccessKeyId>AKIANOBODY</AWSAccessKeyId>"},
		{"other region", get(func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), region, "eu-west-1", 1))
		}), 400, "AuthorizationHeaderMalformed", "<Region>us-east-1</Region>"},
		{"other service", get(func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "/s3/", "/sts/", 1))
		}), 400, "AuthorizationHeaderMalformed", ""},
		{"version 2", get(func(r *http.Request) { r.Header.Set("Authorization", "AWS AKIA:xyz") }), 400, "InvalidRequest", "AWS4-HMAC-SHA256"},
		{"two mechanisms", get(func(r *http.Request) { setTarget(r, "/box/a?X-Amz-Signature=1") }), 400, "InvalidArgument", "Only one auth mechanism"},
		{"old", get(func(r *http.Request) {
			sigv4.Sign(r, sigv4.Credentials{AccessKeyID: "AKIAALICE", SecretAccessKey: "alice-secret"}, sigv4.EmptyHash, time.Now().Add(-time.Hour), region, "s3")
		}), 403, "RequestTimeTooSkewed", "<MaxAllowedSkewMilliseconds>900000</MaxAllowedSkewMilliseconds>"},
		{"foreign token", func() *http.Request {
			r := httptest.NewRequest("GET", "/box/a", nil)
			sigv4.Sign(r, sigv4.Credentials{AccessKeyID: "ASIATEMP", SecretAccessKey: "temp-secret", SessionToken: "the-tokem"}, sigv4.EmptyHash, time.Now(), region, "s3")
			return r
		}(), 400, "InvalidToken", ""},
		{"expired token", func() *http.Request {
			r := httptest.NewRequest("GET", "/box/a", nil)
			sigv4.Sign(r, sigv4.Credentials{AccessKeyID: "ASIATEMP", SecretAccessKey: "temp-secret", SessionToken: "expired"}, sigv4.EmptyHash, time.Now(), region, "s3")
			return r
		}(), 400, "ExpiredToken", ""},
	} {
		w := f.do(c.r)
		if w.Code != c.status || code(w.Body.String()) != c.code || !strings.Contains(w.Body.String(), c.text) {
			t.Errorf("%s: %d %s, want %d %s %s", c.name, w.Code, w.Body, c.status, c.code, c.text)
		}
		if len(upstream.take()) > 0 {
			t.Errorf("%s: reached the upstream", c.name)
		}
	}
}

// An upstream that resolves paths gets no key that it could take for another.
func TestPathResolvingUpstream(t *testing.T) {
	upstream, up := startRecorder(t, true)
	up.OpaqueKeys = false
	f := newGateway(t, up, nil)
	f.own(t, "box", account)
	for _, c := range []struct{ target, source string }{
		{"/box/a/../b", ""}, {"/box//b", ""}, {"/box/a//b", ""}, {"/box/..", ""}, {"/box/./b", ""}, {"/box/%2Fb", ""}, {"/box/a/%2E%2E/b", ""},
		{"/box/a", "box/x/..%2Fy"}, {"/box/a", "box//y"},
	} {
		var r *http.Request
		if c.source != "" {
			r = sign(t, "AKIAALICE", "PUT", c.target, nil, "x-amz-copy-source: "+c.source)
		} else {
			r = sign(t, "AKIAALICE", "GET", c.target, nil)
		}
		if w := f.do(r); w.Code != 400 || len(upstream.take()) > 0 {
			t.Errorf("%v: %d", c, w.Code)
		}
	}
	if w := f.do(sign(t, "AKIAALICE", "GET", "/box/a/...b/c/", nil)); w.Code != 200 || len(upstream.take()) != 1 {
		t.Errorf("plain key: %d", w.Code)
	}
}

// TestSlowDown: what is too much at once is refused as S3 does, before anything else, and only for as long.
func TestSlowDown(t *testing.T) {
	_, up := startRecorder(t, false)
	f := newGateway(t, up, nil)
	f.underWay.Store(mostRequests)
	get := func() *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		f.ServeHTTP(w, httptest.NewRequest("GET", "http://localhost/box/key", nil))
		return w
	}
	if w := get(); w.Code != 503 || !strings.Contains(w.Body.String(), "<Code>SlowDown</Code>") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if n := f.underWay.Load(); n != mostRequests {
		t.Errorf("%d requests under way", n)
	}
	f.underWay.Store(0)
	if w := get(); w.Code != 404 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
