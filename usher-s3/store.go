package main

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/uuid"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/s3api/middlewares"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
)

// store is versitygw's posix backend with two corrections: each object key has
// a file name of its own (names), and what was acknowledged is on disk.
//
// Only the operations below are served. All others answer NotImplemented by
// way of BackendUnsupported, so that no key reaches the file system unmapped.
type store struct {
	backend.BackendUnsupported
	p     *posix.Posix
	names names
}

var _ backend.Backend = (*store)(nil)

func (s *store) String() string { return "usher-s3" }
func (s *store) Shutdown()      { s.p.Shutdown() }

// Buckets.

func (s *store) ListBuckets(ctx context.Context, in s3response.ListBucketsInput) (s3response.ListAllMyBucketsResult, error) {
	return s.p.ListBuckets(ctx, in)
}

func (s *store) HeadBucket(ctx context.Context, in *s3.HeadBucketInput) (*s3.HeadBucketOutput, error) {
	return s.p.HeadBucket(ctx, in)
}

func (s *store) GetBucketAcl(ctx context.Context, in *s3.GetBucketAclInput) ([]byte, error) {
	return s.p.GetBucketAcl(ctx, in)
}

// GetBucketPolicy has none to show: the one client of this store is its owner.
func (s *store) GetBucketPolicy(context.Context, string) ([]byte, error) {
	return nil, s3err.GetAPIError(s3err.ErrNoSuchBucketPolicy)
}

// GetObjectLockConfiguration is asked for before each overwrite and delete.
func (s *store) GetObjectLockConfiguration(ctx context.Context, bucket string) ([]byte, error) {
	return s.p.GetObjectLockConfiguration(ctx, bucket)
}

func (s *store) GetBucketVersioning(ctx context.Context, bucket string) (s3response.GetBucketVersioningOutput, error) {
	return s.p.GetBucketVersioning(ctx, bucket)
}

func (s *store) CreateBucket(ctx context.Context, in *s3.CreateBucketInput, acl []byte) error {
	if err := s.p.CreateBucket(ctx, in, acl); err != nil {
		return err
	}
	return syncDir(".")
}

func (s *store) DeleteBucket(ctx context.Context, bucket string) error {
	if err := s.p.DeleteBucket(ctx, bucket); err != nil {
		return err
	}
	return syncDir(".")
}

// Objects.

func (s *store) PutObject(ctx context.Context, in s3response.PutObjectInput) (s3response.PutObjectOutput, error) {
	key, err := s.file(in.Key)
	if err != nil {
		return s3response.PutObjectOutput{}, err
	}
	in.Key = key
	in.Body = whole(in.Body, in.ContentLength)
	out, err := s.p.PutObject(ctx, in)
	if err != nil {
		return out, err
	}
	return out, syncObject(*in.Bucket, *key)
}

func (s *store) GetObject(ctx context.Context, in *s3.GetObjectInput) (*s3.GetObjectOutput, error) {
	key, err := s.file(in.Key)
	if err != nil {
		return nil, err
	}
	in.Key = key
	return s.p.GetObject(ctx, in)
}

func (s *store) HeadObject(ctx context.Context, in *s3.HeadObjectInput) (*s3.HeadObjectOutput, error) {
	key, err := s.file(in.Key)
	if err != nil {
		return nil, err
	}
	in.Key = key
	return s.p.HeadObject(ctx, in)
}

func (s *store) GetObjectAttributes(ctx context.Context, in *s3.GetObjectAttributesInput) (s3response.GetObjectAttributesResponse, error) {
	key, err := s.file(in.Key)
	if err != nil {
		return s3response.GetObjectAttributesResponse{}, err
	}
	in.Key = key
	return s.p.GetObjectAttributes(ctx, in)
}

func (s *store) DeleteObject(ctx context.Context, in *s3.DeleteObjectInput) (*s3.DeleteObjectOutput, error) {
	key, err := s.file(in.Key)
	if err != nil {
		return nil, err
	}
	in.Key = key
	out, err := s.p.DeleteObject(ctx, in)
	if err != nil {
		return out, err
	}
	return out, syncParents(*in.Bucket, *key)
}

func (s *store) DeleteObjects(ctx context.Context, in *s3.DeleteObjectsInput) (s3response.DeleteResult, error) {
	for i := range in.Delete.Objects {
		key, err := s.file(in.Delete.Objects[i].Key)
		if err != nil {
			return s3response.DeleteResult{}, err
		}
		in.Delete.Objects[i].Key = key
	}
	out, err := s.p.DeleteObjects(ctx, in)
	if err != nil {
		return out, err
	}
	for i := range out.Deleted {
		if err := syncParents(*in.Bucket, *out.Deleted[i].Key); err != nil {
			return out, err
		}
		out.Deleted[i].Key = s.key(out.Deleted[i].Key)
	}
	for i := range out.Error {
		out.Error[i].Key = s.key(out.Error[i].Key)
	}
	return out, nil
}

func (s *store) CopyObject(ctx context.Context, in s3response.CopyObjectInput) (s3response.CopyObjectOutput, error) {
	key, err := s.file(in.Key)
	if err != nil {
		return s3response.CopyObjectOutput{}, err
	}
	if in.CopySource, err = s.copySource(in.CopySource); err != nil {
		return s3response.CopyObjectOutput{}, err
	}
	in.Key = key
	out, err := s.p.CopyObject(ctx, in)
	if err != nil {
		return out, err
	}
	return out, syncObject(*in.Bucket, *key)
}

func (s *store) GetObjectTagging(ctx context.Context, bucket, object, version string) (map[string]string, error) {
	key, err := s.file(&object)
	if err != nil {
		return nil, err
	}
	return s.p.GetObjectTagging(ctx, bucket, *key, version)
}

func (s *store) PutObjectTagging(ctx context.Context, bucket, object, version string, tags map[string]string) error {
	key, err := s.file(&object)
	if err != nil {
		return err
	}
	return s.p.PutObjectTagging(ctx, bucket, *key, version, tags)
}

func (s *store) DeleteObjectTagging(ctx context.Context, bucket, object, version string) error {
	key, err := s.file(&object)
	if err != nil {
		return err
	}
	return s.p.DeleteObjectTagging(ctx, bucket, *key, version)
}

// GetObjectLegalHold and GetObjectRetention are asked for before an object is
// overwritten or deleted in a bucket with a lock.

func (s *store) GetObjectLegalHold(ctx context.Context, bucket, object, version string) (*bool, error) {
	key, err := s.file(&object)
	if err != nil {
		return nil, err
	}
	return s.p.GetObjectLegalHold(ctx, bucket, *key, version)
}

func (s *store) GetObjectRetention(ctx context.Context, bucket, object, version string) ([]byte, error) {
	key, err := s.file(&object)
	if err != nil {
		return nil, err
	}
	return s.p.GetObjectRetention(ctx, bucket, *key, version)
}

// Listings.

func (s *store) ListObjects(ctx context.Context, in *s3.ListObjectsInput) (s3response.ListObjectsResult, error) {
	prefix, marker := in.Prefix, in.Marker
	in.Prefix, in.Marker = s.prefix(prefix), s.marker(marker, prefix, in.Delimiter)
	out, err := s.p.ListObjects(ctx, in)
	if err != nil {
		return out, err
	}
	out.Prefix, out.Marker, out.NextMarker = prefix, marker, s.key(out.NextMarker)
	out.Contents, out.CommonPrefixes = s.listed(prefix, out.Contents, out.CommonPrefixes)
	return out, nil
}

func (s *store) ListObjectsV2(ctx context.Context, in *s3.ListObjectsV2Input) (s3response.ListObjectsV2Result, error) {
	prefix, after, token := in.Prefix, in.StartAfter, in.ContinuationToken
	in.Prefix, in.StartAfter = s.prefix(prefix), s.marker(after, prefix, in.Delimiter)
	if token != nil && *token != "" {
		b, err := base64.RawURLEncoding.DecodeString(*token)
		if err != nil {
			return s3response.ListObjectsV2Result{}, s3err.GetAPIError(s3err.ErrBadRequest)
		}
		marker := string(b)
		in.ContinuationToken = &marker
	}
	out, err := s.p.ListObjectsV2(ctx, in)
	if err != nil {
		return out, err
	}
	out.Prefix, out.StartAfter, out.ContinuationToken = prefix, nonEmpty(after), nonEmpty(token)
	if next := out.NextContinuationToken; next != nil && *next != "" {
		// The file name itself: the key "a/" and the common prefix "a/" differ in it.
		token := base64.RawURLEncoding.EncodeToString([]byte(*next))
		out.NextContinuationToken = &token
	}
	out.Contents, out.CommonPrefixes = s.listed(prefix, out.Contents, out.CommonPrefixes)
	count := int32(len(out.Contents) + len(out.CommonPrefixes))
	out.KeyCount = &count
	return out, nil
}

// listed turns file names into keys and leaves out those that only their
// escaped form matched.
func (s *store) listed(prefix *string, objects []s3response.Object, commons []types.CommonPrefix) ([]s3response.Object, []types.CommonPrefix) {
	want := ""
	if prefix != nil {
		want = *prefix
	}
	kept := objects[:0]
	for _, o := range objects {
		if o.Key = s.key(o.Key); strings.HasPrefix(*o.Key, want) {
			kept = append(kept, o)
		}
	}
	keptCommons := commons[:0]
	for _, c := range commons {
		if c.Prefix = s.key(c.Prefix); strings.HasPrefix(*c.Prefix, want) {
			keptCommons = append(keptCommons, c)
		}
	}
	return kept, keptCommons
}

// Multipart uploads.

func (s *store) CreateMultipartUpload(ctx context.Context, in s3response.CreateMultipartUploadInput) (s3response.InitiateMultipartUploadResult, error) {
	key, err := s.file(in.Key)
	if err != nil {
		return s3response.InitiateMultipartUploadResult{}, err
	}
	in.Key = key
	out, err := s.p.CreateMultipartUpload(ctx, in)
	out.Key = s.names.key(out.Key)
	return out, err
}

func (s *store) UploadPart(ctx context.Context, in *s3.UploadPartInput) (*s3.UploadPartOutput, error) {
	if err := checkUpload(in.UploadId); err != nil {
		return nil, err
	}
	key, err := s.file(in.Key)
	if err != nil {
		return nil, err
	}
	in.Key = key
	in.Body = whole(in.Body, in.ContentLength)
	return s.p.UploadPart(ctx, in)
}

func (s *store) UploadPartCopy(ctx context.Context, in *s3.UploadPartCopyInput) (s3response.CopyPartResult, error) {
	if err := checkUpload(in.UploadId); err != nil {
		return s3response.CopyPartResult{}, err
	}
	key, err := s.file(in.Key)
	if err != nil {
		return s3response.CopyPartResult{}, err
	}
	if in.CopySource, err = s.copySource(in.CopySource); err != nil {
		return s3response.CopyPartResult{}, err
	}
	in.Key = key
	return s.p.UploadPartCopy(ctx, in)
}

func (s *store) CompleteMultipartUpload(ctx context.Context, in *s3.CompleteMultipartUploadInput) (s3response.CompleteMultipartUploadResult, string, error) {
	if err := checkUpload(in.UploadId); err != nil {
		return s3response.CompleteMultipartUploadResult{}, "", err
	}
	key, err := s.file(in.Key)
	if err != nil {
		return s3response.CompleteMultipartUploadResult{}, "", err
	}
	in.Key = key
	out, version, err := s.p.CompleteMultipartUpload(ctx, in)
	if err != nil {
		return out, version, err
	}
	out.Key = s.key(out.Key)
	return out, version, syncObject(*in.Bucket, *key)
}

func (s *store) AbortMultipartUpload(ctx context.Context, in *s3.AbortMultipartUploadInput) error {
	if err := checkUpload(in.UploadId); err != nil {
		return err
	}
	key, err := s.file(in.Key)
	if err != nil {
		return err
	}
	in.Key = key
	return s.p.AbortMultipartUpload(ctx, in)
}

func (s *store) ListParts(ctx context.Context, in *s3.ListPartsInput) (s3response.ListPartsResult, error) {
	if err := checkUpload(in.UploadId); err != nil {
		return s3response.ListPartsResult{}, err
	}
	key, err := s.file(in.Key)
	if err != nil {
		return s3response.ListPartsResult{}, err
	}
	in.Key = key
	out, err := s.p.ListParts(ctx, in)
	out.Key = s.names.key(out.Key)
	return out, err
}

func (s *store) ListMultipartUploads(ctx context.Context, in *s3.ListMultipartUploadsInput) (s3response.ListMultipartUploadsResult, error) {
	in.Prefix, in.KeyMarker = s.prefix(in.Prefix), s.marker(in.KeyMarker, in.Prefix, in.Delimiter)
	out, err := s.p.ListMultipartUploads(ctx, in)
	if err != nil {
		return out, err
	}
	out.Prefix, out.KeyMarker, out.NextKeyMarker = s.names.key(out.Prefix), s.names.key(out.KeyMarker), s.names.key(out.NextKeyMarker)
	for i := range out.Uploads {
		out.Uploads[i].Key = s.names.key(out.Uploads[i].Key)
	}
	for i := range out.CommonPrefixes {
		out.CommonPrefixes[i].Prefix = s.names.key(out.CommonPrefixes[i].Prefix)
	}
	return out, nil
}

// checkUpload refuses what CreateMultipartUpload has not returned. The posix backend makes a path of the id: one with ".."
// would lead into another bucket, or out of the store.
func checkUpload(id *string) error {
	if id == nil || len(*id) != 36 || uuid.Validate(*id) != nil {
		return s3err.GetNoSuchUploadErr("")
	}
	return nil
}

// whole returns r, but takes an end before n bytes for an error. The HTTP server takes a connection that is closed
// early for the end of the body, and the posix backend would keep what it got.
func whole(r io.Reader, n *int64) io.Reader {
	if _, chunked := r.(middlewares.ChecksumReader); r == nil || n == nil || chunked {
		return r // chunks tell where they end
	}
	return &wholeReader{r, *n}
}

type wholeReader struct {
	r    io.Reader
	left int64
}

func (w *wholeReader) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	w.left -= int64(n)
	if err == io.EOF && w.left > 0 {
		err = s3err.GetAPIError(s3err.ErrIncompleteBody)
	}
	return n, err
}

// file is the file name of the key, or an error for a key that no file can
// have as its name.
func (s *store) file(key *string) (*string, error) {
	if key == nil || strings.IndexByte(*key, 0) >= 0 {
		return nil, s3err.GetAPIError(s3err.ErrBadRequest)
	}
	f := s.names.file(*key)
	for rest := f; rest != ""; {
		var segment string
		segment, rest, _ = strings.Cut(rest, "/")
		if len(segment) > 255 {
			return nil, s3err.GetKeyTooLongErr(int64(len(*key)), 255)
		}
	}
	return &f, nil
}

func (s *store) prefix(p *string) *string {
	if p == nil {
		return nil
	}
	f := s.names.prefix(*p)
	return &f
}

// marker is where a listing goes on: after a key, or after all keys of a common
// prefix, which ends in the delimiter.
func (s *store) marker(m, prefix, delimiter *string) *string {
	if m == nil || *m == "" {
		return m
	}
	if delimiter != nil && *delimiter != "" && strings.HasSuffix(*m, *delimiter) && (prefix == nil || *prefix != *m) {
		return s.prefix(m)
	}
	f := s.names.file(*m)
	return &f
}

func nonEmpty(s *string) *string {
	if s != nil && *s == "" {
		return nil
	}
	return s
}

func (s *store) key(file *string) *string {
	if file == nil {
		return nil
	}
	k := s.names.key(*file)
	return &k
}

// copySource maps the key within a CopySource, which the posix backend parses
// again.
func (s *store) copySource(source *string) (*string, error) {
	if source == nil {
		return nil, s3err.GetAPIError(s3err.ErrBadRequest)
	}
	bucket, key, version, err := backend.ParseCopySource(*source)
	if err != nil {
		return nil, err
	}
	file, err := s.file(&key)
	if err != nil {
		return nil, err
	}
	// Queries escape every byte that the parser splits at.
	mapped := url.QueryEscape(bucket) + "/" + url.QueryEscape(*file)
	if version != "" {
		mapped += "?versionId=" + url.QueryEscape(version)
	}
	return &mapped, nil
}

// syncObject makes an object durable: its bytes, its attributes and its name.
// Paths are relative, because the posix backend lives in its root directory.
func syncObject(bucket, key string) error {
	f, err := os.Open(filepath.Join(bucket, key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // deleted again meanwhile
	} else if err != nil {
		return err
	}
	err = f.Sync()
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return syncParents(bucket, key)
}

// syncParents makes the entries of a key's folders durable, from the deepest
// one that exists up to the bucket.
func syncParents(bucket, key string) error {
	for dir := filepath.Dir(filepath.Join(bucket, key)); dir != "." && dir != "/"; dir = filepath.Dir(dir) {
		if err := syncDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
