package gateway

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"net/http"
	"unicode/utf8"

	"usher/internal/awsapi"
)

// deletion is one object of DeleteObjects.
type deletion struct {
	Key              string
	VersionID        string `xml:"VersionId"`
	ETag             string
	LastModifiedTime string
	Size             string
}

// deleteObjects decides key by key. What is denied stands in the answer beside what was deleted.
func (g *Gateway) deleteObjects(w *answer, q *request) error {
	var in struct {
		XMLName xml.Name   `xml:"Delete"`
		Quiet   bool       `xml:"Quiet"`
		Objects []deletion `xml:"Object"`
	}
	if err := xml.Unmarshal(q.body.small, &in); err != nil || len(in.Objects) == 0 || len(in.Objects) > 1000 {
		return errMalformedXML
	}

	type failure struct{ Key, VersionId, Code, Message string }
	var failures []failure
	ctx := q.http.Context()
	out := append([]byte(xmlHeader), `<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/">`...)
	allowed := 0
	for _, o := range in.Objects {
		fail := func(e *s3Error) { failures = append(failures, failure{o.Key, o.VersionID, e.Code, e.Message}) }
		switch {
		case o.Key == "" || !utf8.ValidString(o.Key):
			return errMalformedXML
		case len(o.Key) > 1024:
			fail(errKeyTooLong)
			continue
		case !g.c.Upstream.OpaqueKeys && !plainKey(o.Key):
			fail(errInvalidURI)
			continue
		}
		err := g.decide(q, q.deletes(o)...)
		if errors.Is(err, awsapi.ErrAccessDenied) {
			fail(q.asS3(err))
			continue
		} else if err != nil {
			return err
		}
		allowed++
		out = append(out, "<Object>"...)
		out = appendElement(out, "Key", o.Key)
		for _, p := range [...]param{{"VersionId", o.VersionID}, {"ETag", o.ETag}, {"LastModifiedTime", o.LastModifiedTime}, {"Size", o.Size}} {
			if p.value != "" {
				out = appendElement(out, p.name, p.value)
			}
		}
		out = append(out, "</Object>"...)
	}
	if in.Quiet {
		out = appendElement(out, "Quiet", "true")
	}
	out = append(out, "</Delete>"...)

	var result struct {
		Deleted []struct{ Key, VersionId, DeleteMarker, DeleteMarkerVersionId string }
		Error   []failure
	}
	if allowed > 0 {
		sum := md5.Sum(out)
		header := http.Header{"Content-Md5": {base64.StdEncoding.EncodeToString(sum[:])}, "Content-Type": xmlType}
		if q.bypassesRetention() {
			header["X-Amz-Bypass-Governance-Retention"] = []string{"true"}
		}
		res, err := g.ask(ctx, http.MethodPost, q.bucket, "", []param{{"delete", ""}}, header, out)
		if err != nil {
			return err
		}
		if res.status != http.StatusOK {
			return res.err()
		}
		if err := xml.Unmarshal(res.body, &result); err != nil {
			return errInternal.because(err)
		}
	}

	b := append([]byte(xmlHeader), `<DeleteResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">`...)
	if !in.Quiet {
		for _, d := range result.Deleted {
			b = append(b, "<Deleted>"...)
			for _, p := range [...]param{{"Key", d.Key}, {"VersionId", d.VersionId}, {"DeleteMarker", d.DeleteMarker}, {"DeleteMarkerVersionId", d.DeleteMarkerVersionId}} {
				if p.value != "" {
					b = appendElement(b, p.name, p.value)
				}
			}
			b = append(b, "</Deleted>"...)
		}
	}
	for _, f := range append(failures, result.Error...) {
		b = append(b, "<Error>"...)
		b = appendElement(b, "Key", f.Key)
		if f.VersionId != "" {
			b = appendElement(b, "VersionId", f.VersionId)
		}
		b = appendElement(b, "Code", f.Code)
		b = appendElement(b, "Message", f.Message)
		b = append(b, "</Error>"...)
	}
	writeXML(w, http.StatusOK, append(b, "</DeleteResult>"...))
	return nil
}

// deletes is what deleting one object needs permission for.
func (q *request) deletes(o deletion) []awsapi.Target {
	keys := make(map[string][]string, len(q.keys)+1)
	for k, v := range q.keys {
		keys[k] = v
	}
	t := awsapi.Target{Action: "s3:DeleteObject", Resource: resource(q.bucket, o.Key), Keys: keys, Account: q.owner}
	if o.VersionID != "" {
		t.Action = "s3:DeleteObjectVersion"
		keys["s3:versionid"] = []string{o.VersionID}
	}
	targets := []awsapi.Target{t}
	if q.bypassesRetention() {
		t.Action = "s3:BypassGovernanceRetention"
		targets = append(targets, t)
	}
	return targets
}
