package gateway

import (
	"net/http"
	"strings"
)

// level is what a request addresses.
type level byte

const (
	service level = 's'
	bucket  level = 'b'
	object  level = 'o'
)

// operation is one row of the S3 API as the Service Authorization Reference lists it: how a request selects it, and
// what it must be allowed to do.
type operation struct {
	method   string
	on       level
	selector string // query parameter that names the sub-resource
	name     string
	action   string
	version  string // action when the request names a version
	params   string // further query parameters; versionId is allowed where version is set
	flags    flags
	serve    func(*Gateway, *answer, *request) error // nil: recognised and authorised, but not implemented
}

type flags uint16

const (
	creates     flags = 1 << iota // makes an object: headers may ask for ACL, tags and locks, each an action of its own
	copies                        // selected by x-amz-copy-source
	upload                        // the body is object data and is streamed
	document                      // the body is a small document, read before the request is decided
	reads                         // answers AccessDenied for a missing key unless the caller may list the bucket
	bypasses                      // x-amz-bypass-governance-retention needs an action of its own
	attributes                    // needs s3:GetObject as well
	manyTargets                   // the operation decides per key
)

const (
	overrides  = "response-cache-control response-content-disposition response-content-encoding response-content-language response-content-type response-expires"
	uploadBody = creates | upload
)

// operations is the table. Its order is that of the S3 API Reference, grouped by resource.
var operations = []operation{
	{http.MethodGet, service, "", "ListBuckets", "s3:ListAllMyBuckets", "", "max-buckets continuation-token prefix bucket-region", 0, (*Gateway).listBuckets},

	{http.MethodPut, bucket, "", "CreateBucket", "s3:CreateBucket", "", "", document, (*Gateway).createBucket},
	{http.MethodDelete, bucket, "", "DeleteBucket", "s3:DeleteBucket", "", "", 0, (*Gateway).deleteBucket},
	{http.MethodHead, bucket, "", "HeadBucket", "s3:ListBucket", "", "", 0, (*Gateway).headBucket},
	{http.MethodGet, bucket, "location", "GetBucketLocation", "s3:GetBucketLocation", "", "", 0, (*Gateway).getBucketLocation},
	{http.MethodGet, bucket, "", "ListObjects", "s3:ListBucket", "", "prefix delimiter max-keys marker encoding-type", 0, (*Gateway).forward},
	{http.MethodGet, bucket, "list-type", "ListObjectsV2", "s3:ListBucket", "", "prefix delimiter max-keys continuation-token start-after fetch-owner encoding-type", 0, (*Gateway).forward},
	{http.MethodGet, bucket, "versions", "ListObjectVersions", "s3:ListBucketVersions", "", "prefix delimiter max-keys key-marker version-id-marker encoding-type", 0, nil},
	{http.MethodGet, bucket, "uploads", "ListMultipartUploads", "s3:ListBucketMultipartUploads", "", "prefix delimiter max-uploads key-marker upload-id-marker encoding-type", 0, (*Gateway).forward},
	{http.MethodPost, bucket, "delete", "DeleteObjects", "s3:DeleteObject", "", "", document | bypasses | manyTargets, (*Gateway).deleteObjects},
	{http.MethodPost, bucket, "", "PostObject", "s3:PutObject", "", "", 0, nil},

	{http.MethodGet, bucket, "acl", "GetBucketAcl", "s3:GetBucketAcl", "", "", 0, nil},
	{http.MethodPut, bucket, "acl", "PutBucketAcl", "s3:PutBucketAcl", "", "", 0, nil},
	{http.MethodGet, bucket, "policy", "GetBucketPolicy", "s3:GetBucketPolicy", "", "", 0, (*Gateway).getBucketPolicy},
	{http.MethodPut, bucket, "policy", "PutBucketPolicy", "s3:PutBucketPolicy", "", "", document, (*Gateway).putBucketPolicy},
	{http.MethodDelete, bucket, "policy", "DeleteBucketPolicy", "s3:DeleteBucketPolicy", "", "", 0, (*Gateway).deleteBucketPolicy},
	{http.MethodGet, bucket, "policyStatus", "GetBucketPolicyStatus", "s3:GetBucketPolicyStatus", "", "", 0, (*Gateway).getBucketPolicyStatus},
	{http.MethodGet, bucket, "cors", "GetBucketCors", "s3:GetBucketCORS", "", "", 0, nil},
	{http.MethodPut, bucket, "cors", "PutBucketCors", "s3:PutBucketCORS", "", "", 0, nil},
	{http.MethodDelete, bucket, "cors", "DeleteBucketCors", "s3:PutBucketCORS", "", "", 0, nil},
	{http.MethodGet, bucket, "lifecycle", "GetBucketLifecycleConfiguration", "s3:GetLifecycleConfiguration", "", "", 0, nil},
	{http.MethodPut, bucket, "lifecycle", "PutBucketLifecycleConfiguration", "s3:PutLifecycleConfiguration", "", "", 0, nil},
	{http.MethodDelete, bucket, "lifecycle", "DeleteBucketLifecycle", "s3:PutLifecycleConfiguration", "", "", 0, nil},
	{http.MethodGet, bucket, "versioning", "GetBucketVersioning", "s3:GetBucketVersioning", "", "", 0, nil},
	{http.MethodPut, bucket, "versioning", "PutBucketVersioning", "s3:PutBucketVersioning", "", "", 0, nil},
	{http.MethodGet, bucket, "tagging", "GetBucketTagging", "s3:GetBucketTagging", "", "", 0, nil},
	{http.MethodPut, bucket, "tagging", "PutBucketTagging", "s3:PutBucketTagging", "", "", 0, nil},
	{http.MethodDelete, bucket, "tagging", "DeleteBucketTagging", "s3:PutBucketTagging", "", "", 0, nil},
	{http.MethodGet, bucket, "encryption", "GetBucketEncryption", "s3:GetEncryptionConfiguration", "", "", 0, nil},
	{http.MethodPut, bucket, "encryption", "PutBucketEncryption", "s3:PutEncryptionConfiguration", "", "", 0, nil},
	{http.MethodDelete, bucket, "encryption", "DeleteBucketEncryption", "s3:PutEncryptionConfiguration", "", "", 0, nil},
	{http.MethodGet, bucket, "website", "GetBucketWebsite", "s3:GetBucketWebsite", "", "", 0, nil},
	{http.MethodPut, bucket, "website", "PutBucketWebsite", "s3:PutBucketWebsite", "", "", 0, nil},
	{http.MethodDelete, bucket, "website", "DeleteBucketWebsite", "s3:DeleteBucketWebsite", "", "", 0, nil},
	{http.MethodGet, bucket, "logging", "GetBucketLogging", "s3:GetBucketLogging", "", "", 0, nil},
	{http.MethodPut, bucket, "logging", "PutBucketLogging", "s3:PutBucketLogging", "", "", 0, nil},
	{http.MethodGet, bucket, "notification", "GetBucketNotificationConfiguration", "s3:GetBucketNotification", "", "", 0, nil},
	{http.MethodPut, bucket, "notification", "PutBucketNotificationConfiguration", "s3:PutBucketNotification", "", "", 0, nil},
	{http.MethodGet, bucket, "replication", "GetBucketReplication", "s3:GetReplicationConfiguration", "", "", 0, nil},
	{http.MethodPut, bucket, "replication", "PutBucketReplication", "s3:PutReplicationConfiguration", "", "", 0, nil},
	{http.MethodDelete, bucket, "replication", "DeleteBucketReplication", "s3:PutReplicationConfiguration", "", "", 0, nil},
	{http.MethodGet, bucket, "requestPayment", "GetBucketRequestPayment", "s3:GetBucketRequestPayment", "", "", 0, nil},
	{http.MethodPut, bucket, "requestPayment", "PutBucketRequestPayment", "s3:PutBucketRequestPayment", "", "", 0, nil},
	{http.MethodGet, bucket, "accelerate", "GetBucketAccelerateConfiguration", "s3:GetAccelerateConfiguration", "", "", 0, nil},
	{http.MethodPut, bucket, "accelerate", "PutBucketAccelerateConfiguration", "s3:PutAccelerateConfiguration", "", "", 0, nil},
	{http.MethodGet, bucket, "object-lock", "GetObjectLockConfiguration", "s3:GetBucketObjectLockConfiguration", "", "", 0, nil},
	{http.MethodPut, bucket, "object-lock", "PutObjectLockConfiguration", "s3:PutBucketObjectLockConfiguration", "", "", 0, nil},
	{http.MethodGet, bucket, "ownershipControls", "GetBucketOwnershipControls", "s3:GetBucketOwnershipControls", "", "", 0, nil},
	{http.MethodPut, bucket, "ownershipControls", "PutBucketOwnershipControls", "s3:PutBucketOwnershipControls", "", "", 0, nil},
	{http.MethodDelete, bucket, "ownershipControls", "DeleteBucketOwnershipControls", "s3:PutBucketOwnershipControls", "", "", 0, nil},
	{http.MethodGet, bucket, "publicAccessBlock", "GetPublicAccessBlock", "s3:GetBucketPublicAccessBlock", "", "", 0, (*Gateway).getPublicAccessBlock},
	{http.MethodPut, bucket, "publicAccessBlock", "PutPublicAccessBlock", "s3:PutBucketPublicAccessBlock", "", "", document, (*Gateway).putPublicAccessBlock},
	{http.MethodDelete, bucket, "publicAccessBlock", "DeletePublicAccessBlock", "s3:PutBucketPublicAccessBlock", "", "", 0, (*Gateway).deletePublicAccessBlock},
	{http.MethodGet, bucket, "analytics", "GetBucketAnalyticsConfiguration", "s3:GetAnalyticsConfiguration", "", "id continuation-token", 0, nil},
	{http.MethodPut, bucket, "analytics", "PutBucketAnalyticsConfiguration", "s3:PutAnalyticsConfiguration", "", "id", 0, nil},
	{http.MethodDelete, bucket, "analytics", "DeleteBucketAnalyticsConfiguration", "s3:PutAnalyticsConfiguration", "", "id", 0, nil},
	{http.MethodGet, bucket, "inventory", "GetBucketInventoryConfiguration", "s3:GetInventoryConfiguration", "", "id continuation-token", 0, nil},
	{http.MethodPut, bucket, "inventory", "PutBucketInventoryConfiguration", "s3:PutInventoryConfiguration", "", "id", 0, nil},
	{http.MethodDelete, bucket, "inventory", "DeleteBucketInventoryConfiguration", "s3:PutInventoryConfiguration", "", "id", 0, nil},
	{http.MethodGet, bucket, "metrics", "GetBucketMetricsConfiguration", "s3:GetMetricsConfiguration", "", "id continuation-token", 0, nil},
	{http.MethodPut, bucket, "metrics", "PutBucketMetricsConfiguration", "s3:PutMetricsConfiguration", "", "id", 0, nil},
	{http.MethodDelete, bucket, "metrics", "DeleteBucketMetricsConfiguration", "s3:PutMetricsConfiguration", "", "id", 0, nil},
	{http.MethodGet, bucket, "intelligent-tiering", "GetBucketIntelligentTieringConfiguration", "s3:GetIntelligentTieringConfiguration", "", "id continuation-token", 0, nil},
	{http.MethodPut, bucket, "intelligent-tiering", "PutBucketIntelligentTieringConfiguration", "s3:PutIntelligentTieringConfiguration", "", "id", 0, nil},
	{http.MethodDelete, bucket, "intelligent-tiering", "DeleteBucketIntelligentTieringConfiguration", "s3:PutIntelligentTieringConfiguration", "", "id", 0, nil},

	{http.MethodGet, object, "", "GetObject", "s3:GetObject", "s3:GetObjectVersion", "partNumber " + overrides, reads, (*Gateway).forward},
	{http.MethodHead, object, "", "HeadObject", "s3:GetObject", "s3:GetObjectVersion", "partNumber " + overrides, reads, (*Gateway).forward},
	{http.MethodPut, object, "", "PutObject", "s3:PutObject", "", "", uploadBody, (*Gateway).forward},
	{http.MethodPut, object, "", "CopyObject", "s3:PutObject", "", "", creates | copies, (*Gateway).copyObject},
	{http.MethodDelete, object, "", "DeleteObject", "s3:DeleteObject", "s3:DeleteObjectVersion", "", bypasses, (*Gateway).forward},
	{http.MethodGet, object, "attributes", "GetObjectAttributes", "s3:GetObjectAttributes", "s3:GetObjectVersionAttributes", "", reads | attributes, (*Gateway).forward},
	{http.MethodGet, object, "acl", "GetObjectAcl", "s3:GetObjectAcl", "s3:GetObjectVersionAcl", "", reads, nil},
	{http.MethodPut, object, "acl", "PutObjectAcl", "s3:PutObjectAcl", "s3:PutObjectVersionAcl", "", reads, nil},
	{http.MethodGet, object, "tagging", "GetObjectTagging", "s3:GetObjectTagging", "s3:GetObjectVersionTagging", "", reads, (*Gateway).forward},
	{http.MethodPut, object, "tagging", "PutObjectTagging", "s3:PutObjectTagging", "s3:PutObjectVersionTagging", "", reads | document, (*Gateway).forward},
	{http.MethodDelete, object, "tagging", "DeleteObjectTagging", "s3:DeleteObjectTagging", "s3:DeleteObjectVersionTagging", "", reads, (*Gateway).forward},
	{http.MethodGet, object, "retention", "GetObjectRetention", "s3:GetObjectRetention", "s3:GetObjectRetention", "", reads, nil},
	{http.MethodPut, object, "retention", "PutObjectRetention", "s3:PutObjectRetention", "s3:PutObjectRetention", "", reads | bypasses, nil},
	{http.MethodGet, object, "legal-hold", "GetObjectLegalHold", "s3:GetObjectLegalHold", "s3:GetObjectLegalHold", "", reads, nil},
	{http.MethodPut, object, "legal-hold", "PutObjectLegalHold", "s3:PutObjectLegalHold", "s3:PutObjectLegalHold", "", reads, nil},
	{http.MethodGet, object, "torrent", "GetObjectTorrent", "s3:GetObjectTorrent", "s3:GetObjectVersionTorrent", "", reads, nil},
	{http.MethodPost, object, "restore", "RestoreObject", "s3:RestoreObject", "s3:RestoreObject", "", reads, nil},
	{http.MethodPost, object, "select", "SelectObjectContent", "s3:GetObject", "", "select-type", reads, nil},

	{http.MethodPost, object, "uploads", "CreateMultipartUpload", "s3:PutObject", "", "", creates, (*Gateway).forward},
	{http.MethodPut, object, "uploadId", "UploadPart", "s3:PutObject", "", "partNumber", upload, (*Gateway).forward},
	{http.MethodPut, object, "uploadId", "UploadPartCopy", "s3:PutObject", "", "partNumber", copies, (*Gateway).forward},
	{http.MethodPost, object, "uploadId", "CompleteMultipartUpload", "s3:PutObject", "", "", upload, (*Gateway).forward},
	{http.MethodDelete, object, "uploadId", "AbortMultipartUpload", "s3:AbortMultipartUpload", "", "", 0, (*Gateway).forward},
	{http.MethodGet, object, "uploadId", "ListParts", "s3:ListMultipartUploadParts", "", "max-parts part-number-marker encoding-type", 0, (*Gateway).forward},
}

type selection struct {
	method   string
	on       level
	selector string
	copies   bool
}

var (
	bySelection = map[selection]*operation{}
	selectors   = map[level]map[string]bool{service: {}, bucket: {}, object: {}}
)

func init() {
	for i := range operations {
		op := &operations[i]
		bySelection[selection{op.method, op.on, op.selector, op.flags&copies != 0}] = op
		if op.selector != "" {
			selectors[op.on][op.selector] = true
		}
	}
}

// allowsParam reports whether the operation knows the parameter besides its selector.
func (op *operation) allowsParam(name string) bool {
	if name == "versionId" {
		return op.version != ""
	}
	for rest := op.params; rest != ""; {
		var p string
		if p, rest, _ = strings.Cut(rest, " "); p == name {
			return true
		}
	}
	return false
}

// operation finds the row for the request. What no row describes exactly is not implemented: an unknown parameter may
// be a sub-resource whose operation needs another action than the one it would be taken for.
func (q *request) operation() (*operation, *s3Error) {
	s := selection{method: q.method, on: service}
	switch {
	case q.key != "":
		s.on = object
	case q.bucket != "":
		s.on = bucket
	}
	known := selectors[s.on]
	for _, p := range q.params {
		if !known[p.name] {
			continue
		}
		if s.selector != "" {
			return nil, errInvalidArgument.msg("Conflicting query string parameters: %s, %s", s.selector, p.name).
				with("ArgumentName", "ResourceType").with("ArgumentValue", s.selector)
		}
		s.selector = p.name
	}
	_, s.copies = q.header["X-Amz-Copy-Source"]
	op, ok := bySelection[s]
	if !ok {
		switch {
		case s.copies:
			return nil, errInvalidArgument.msg("You can only specify a copy source header for copy requests.").
				with("ArgumentName", "x-amz-copy-source")
		case s.selector == "" && len(q.params) > 0:
			return nil, errNotImplemented.with("Header", q.params[0].name)
		}
		resourceType := q.resourceType()
		if s.selector != "" {
			resourceType = strings.ToUpper(s.selector)
		}
		return nil, errMethodNotAllowed.with("Method", q.method).with("ResourceType", resourceType)
	}
	for _, p := range q.params {
		if p.name != op.selector && !op.allowsParam(p.name) {
			return nil, errNotImplemented.with("Header", p.name)
		}
	}
	switch {
	case q.has("versionId") && q.param("versionId") == "":
		return nil, errInvalidArgument.msg("Version id cannot be the empty string").with("ArgumentName", "versionId")
	case op.selector == "list-type" && q.param("list-type") != "2":
		return nil, errInvalidArgument.msg("Invalid List Type specified in Request").with("ArgumentName", "list-type")
	case strings.HasPrefix(op.name, "UploadPart") && !q.has("partNumber"):
		return nil, errInvalidArgument.msg("Part number must be an integer between 1 and 10000, inclusive").with("ArgumentName", "partNumber")
	case q.has("uploadId") && !plausibleUpload(q.param("uploadId")):
		return nil, errNoSuchUpload
	}
	return op, nil
}

// plausibleUpload refuses upload ids that no store hands out: many make a path of the id, and one with ".." would lead out
// of the bucket that was authorised.
func plausibleUpload(id string) bool {
	return id != "" && id != "." && id != ".." && !strings.ContainsAny(id, "/\\\x00")
}

// resourceType is what errors call the thing that is addressed.
func (q *request) resourceType() string {
	switch {
	case q.key != "":
		return "OBJECT"
	case q.bucket != "":
		return "BUCKET"
	}
	return "SERVICE"
}
