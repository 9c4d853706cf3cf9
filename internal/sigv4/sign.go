package sigv4

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Credentials are what a request is signed with.
type Credentials struct {
	AccessKeyID     string
	SecretAccessKey string
	SessionToken    string // empty for long-term keys
}

// Sign signs a request that is to be sent, in its Authorization header. It sets X-Amz-Date, for S3
// X-Amz-Content-Sha256, and X-Amz-Security-Token if there is a token, and replaces what was there of them.
// payloadHash is the hexadecimal SHA-256 of the body, or UnsignedPayload. Signed are the host, Content-Type,
// Content-MD5 and all X-Amz-* headers; the caller must not change these afterwards.
func Sign(req *http.Request, creds Credentials, payloadHash string, now time.Time, region, service string) {
	sign(req, creds, payloadHash, now, region, service, nil)
}

// Sign is the function Sign with a key that is derived once a day.
func (c *KeyCache) Sign(req *http.Request, creds Credentials, payloadHash string, now time.Time, region, service string) {
	sign(req, creds, payloadHash, now, region, service, c)
}

func sign(req *http.Request, creds Credentials, payloadHash string, now time.Time, region, service string, keys *KeyCache) {
	timestamp := now.UTC().Format(timeFormat)
	req.Header.Del("Authorization")
	req.Header.Set("X-Amz-Date", timestamp)
	req.Header.Del("X-Amz-Security-Token")
	if creds.SessionToken != "" {
		req.Header.Set("X-Amz-Security-Token", creds.SessionToken)
	}
	if isS3(service) {
		req.Header.Set("X-Amz-Content-Sha256", payloadHash)
	}
	names := []string{"host"}
	for key := range req.Header {
		if strings.HasPrefix(key, "X-Amz-") || key == "Content-Type" || key == "Content-Md5" {
			names = append(names, lowerName(key))
		}
	}
	slices.Sort(names)
	q := &Request{r: req, AccessKeyID: creds.AccessKeyID, Date: timestamp[:8], Region: region, Service: service,
		SignedHeaders: names, signedHeaders: strings.Join(names, ";")}

	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	s.appendCanonicalRequest(q, payloadHash)
	digest := sha256.Sum256(s.buf)
	scope := string(q.appendScope(nil))
	var key []byte
	if keys == nil {
		key = SigningKey(creds.SecretAccessKey, q.Date, region, service)
	} else {
		key = keys.Key(creds.AccessKeyID, creds.SecretAccessKey, q.Date, region, service)
	}
	signature := mac(key, algorithm+"\n"+timestamp+"\n"+scope+"\n"+hex.EncodeToString(digest[:]))
	req.Header.Set("Authorization", algorithm+" Credential="+creds.AccessKeyID+"/"+scope+
		", SignedHeaders="+q.signedHeaders+", Signature="+hex.EncodeToString(signature))
}
