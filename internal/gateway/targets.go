package gateway

import (
	"crypto/tls"
	"net/netip"
	"strconv"
	"strings"

	"usher/internal/awsapi"
)

// decide lists what the request needs permission for: the operation's own action first, then those that its headers
// ask for (Service Authorization Reference, "Actions, resources, and condition keys for Amazon S3").
func (q *request) decide() {
	arn := resource(q.bucket, q.key)
	q.keys = q.requestKeys()
	add := func(action string) {
		q.targets = append(q.targets, awsapi.Target{Action: action, Resource: arn, Keys: q.keys, Account: q.owner})
	}
	versioned := q.has("versionId")
	switch op := q.op; {
	case op.flags&manyTargets != 0:
		return
	case op.on == service:
		q.targets = append(q.targets, awsapi.Target{Action: op.action, Resource: "*", Keys: q.keys})
		return
	case op.flags&attributes != 0 && versioned:
		add("s3:GetObjectVersion")
		add(op.version)
	case op.flags&attributes != 0:
		add("s3:GetObject")
		add(op.action)
	case versioned:
		add(op.version)
	default:
		add(op.action)
	}
	if q.op.flags&creates != 0 {
		if q.asksForACL() {
			add("s3:PutObjectAcl")
		}
		if len(q.tags) > 0 {
			add("s3:PutObjectTagging")
		}
		if q.header.Get("X-Amz-Object-Lock-Mode") != "" || q.header.Get("X-Amz-Object-Lock-Retain-Until-Date") != "" {
			add("s3:PutObjectRetention")
		}
		if q.header.Get("X-Amz-Object-Lock-Legal-Hold") != "" {
			add("s3:PutObjectLegalHold")
		}
	}
	if q.op.name == "CreateBucket" {
		if q.asksForACL() {
			add("s3:PutBucketAcl")
		}
		if q.header.Get("X-Amz-Object-Ownership") != "" {
			add("s3:PutBucketOwnershipControls")
		}
		if strings.EqualFold(q.header.Get("X-Amz-Bucket-Object-Lock-Enabled"), "true") {
			add("s3:PutBucketObjectLockConfiguration")
			add("s3:PutBucketVersioning")
		}
	}
	if q.bypassesRetention() {
		add("s3:BypassGovernanceRetention")
	}
	if s := q.source; s != nil {
		action := "s3:GetObject"
		if s.version != "" {
			action = "s3:GetObjectVersion"
		}
		q.targets = append(q.targets, q.sourceTarget(action))
	}
}

// sourceTarget is an action on the source of a copy, whose version is its own.
func (q *request) sourceTarget(action string) awsapi.Target {
	s := q.source
	keys := q.commonKeys()
	keys["s3:ResourceAccount"] = []string{s.owner}
	if s.version != "" {
		keys["s3:versionid"] = []string{s.version}
	}
	return awsapi.Target{Action: action, Resource: resource(s.bucket, s.key), Keys: keys, Account: s.owner}
}

func (q *request) bypassesRetention() bool {
	return q.op.flags&bypasses != 0 && strings.EqualFold(q.header.Get("X-Amz-Bypass-Governance-Retention"), "true")
}

func (q *request) asksForACL() bool {
	if len(q.header["X-Amz-Acl"]) > 0 {
		return true
	}
	for name := range q.header {
		if strings.HasPrefix(name, "X-Amz-Grant-") {
			return true
		}
	}
	return false
}

// commonKeys are the condition keys of every S3 request: what the request itself tells of the global ones, and the
// service's own. Those of the principal, and the time, are the authorizer's.
func (q *request) commonKeys() map[string][]string {
	keys := make(map[string][]string, 16)
	values := make([]string, 0, 8) // one allocation for all values made here
	set := func(name, value string) {
		values = append(values, value)
		keys[name] = values[len(values)-1 : len(values) : len(values)]
	}
	if a, err := netip.ParseAddrPort(q.http.RemoteAddr); err == nil { // a unix socket has no address
		set("aws:SourceIp", a.Addr().Unmap().WithZone("").String())
	}
	if t := q.http.TLS; t != nil {
		set("aws:SecureTransport", "true")
		if t.Version >= tls.VersionTLS10 {
			set("s3:TlsVersion", "1."+strconv.Itoa(int(t.Version)-tls.VersionTLS10))
		}
	} else {
		set("aws:SecureTransport", "false")
	}
	if v := q.http.Header["User-Agent"]; len(v) > 0 {
		keys["aws:UserAgent"] = v[:1]
	}
	if v := q.http.Header["Referer"]; len(v) > 0 {
		keys["aws:referer"] = v[:1]
	}
	if s := q.signature; s != nil {
		set("aws:RequestedRegion", s.Region)
		set("s3:signatureAge", strconv.FormatInt(max(0, q.began.Sub(s.Time).Milliseconds()), 10))
		keys["s3:signatureversion"] = signatureVersion
		keys["s3:authType"] = restHeader
		if s.Presigned {
			keys["s3:authType"] = restQuery
		}
	}
	if q.owner != "" {
		set("s3:ResourceAccount", q.owner)
	}
	return keys
}

var (
	signatureVersion = []string{"AWS4-HMAC-SHA256"}
	restHeader       = []string{"REST-HEADER"}
	restQuery        = []string{"REST-QUERY-STRING"}
)

// headerKeys are the condition keys named after a header. They are present exactly when the header is.
var headerKeys = func() map[string]string {
	keys := map[string]string{
		"If-Match": "s3:if-match", "If-None-Match": "s3:if-none-match",
		"X-Amz-Object-Lock-Mode":              "s3:object-lock-mode",
		"X-Amz-Object-Lock-Retain-Until-Date": "s3:object-lock-retain-until-date",
		"X-Amz-Object-Lock-Legal-Hold":        "s3:object-lock-legal-hold",
	}
	for _, name := range [...]string{"X-Amz-Acl", "X-Amz-Content-Sha256", "X-Amz-Copy-Source", "X-Amz-Metadata-Directive",
		"X-Amz-Server-Side-Encryption", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id", "X-Amz-Server-Side-Encryption-Customer-Algorithm",
		"X-Amz-Storage-Class", "X-Amz-Website-Redirect-Location", "X-Amz-Object-Ownership", "X-Amz-Bucket-Namespace",
		"X-Amz-Grant-Read", "X-Amz-Grant-Write", "X-Amz-Grant-Read-Acp", "X-Amz-Grant-Write-Acp", "X-Amz-Grant-Full-Control"} {
		keys[name] = "s3:" + strings.ToLower(name)
	}
	return keys
}()

// requestKeys are the condition keys of the request's own resource.
func (q *request) requestKeys() map[string][]string {
	keys := q.commonKeys()
	for name, values := range q.header {
		if key, ok := headerKeys[name]; ok && len(values) > 0 {
			keys[key] = values[:1]
		}
	}
	for _, p := range q.params {
		switch p.name {
		case "prefix", "delimiter", "max-keys":
			if q.op.on == bucket {
				keys["s3:"+p.name] = []string{p.value}
			}
		case "versionId":
			keys["s3:versionid"] = []string{p.value}
		}
	}
	if q.source != nil {
		// The policy compares with the decoded form, bucket/key.
		keys["s3:x-amz-copy-source"] = []string{q.source.bucket + "/" + q.source.key}
	}
	if q.op.flags&creates != 0 {
		creation := "true"
		if q.op.name == "CreateMultipartUpload" {
			creation = "false"
		}
		keys["s3:ObjectCreationOperation"] = []string{creation}
	}
	if len(q.tags) > 0 {
		var names []string
		for _, t := range q.tags {
			keys["s3:RequestObjectTag/"+t.name] = []string{t.value}
			names = append(names, t.name)
		}
		keys["s3:RequestObjectTagKeys"] = names
	}
	if q.location != "" {
		keys["s3:locationconstraint"] = []string{q.location}
	}
	if q.op.name == "CompleteMultipartUpload" {
		keys["s3:ObjectCreationOperation"] = []string{"true"}
	} else if strings.HasPrefix(q.op.name, "UploadPart") {
		keys["s3:ObjectCreationOperation"] = []string{"false"}
	}
	return keys
}
