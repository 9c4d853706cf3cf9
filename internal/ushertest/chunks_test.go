package ushertest_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"usher/internal/ushertest"
)

// TestSignedChunks uploads a body whose every chunk is signed (AWS documentation, "Signature calculations for the
// Authorization header: transferring payload in multiple chunks"), as SDKs for Java and .NET do over plain HTTP. What a
// chunk's signature does not cover is not stored.
func TestSignedChunks(t *testing.T) {
	ushertest.Each(t, func(t *testing.T, s *ushertest.Server) {
		ctx, cfg := t.Context(), s.Admin(t)
		objects := ushertest.ClientsFor(cfg).S3
		if _, err := objects.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("chunks")}); err != nil {
			t.Fatal(err)
		}
		chunks := []string{strings.Repeat("a", 64<<10), strings.Repeat("b", 64<<10), "the rest"}
		size := len(strings.Join(chunks, ""))
		for _, c := range []struct {
			name, code string // code is that of the error
			tamper     func(body []byte) []byte
		}{
			{"as signed", "", func(b []byte) []byte { return b }},
			{"flipped byte", "SignatureDoesNotMatch", func(b []byte) []byte { b[len(b)/2] ^= 1; return b }},
			{"flipped in the last chunk", "SignatureDoesNotMatch", func(b []byte) []byte { return bytes.Replace(b, []byte("the rest"), []byte("the REST"), 1) }},
			{"chunks exchanged", "SignatureDoesNotMatch", func(b []byte) []byte {
				n := bytes.Index(b, []byte("\r\nbbb")) - len("10000;chunk-signature=") - 64
				return append(append(bytes.Clone(b[n:2*n]), b[:n]...), b[2*n:]...)
			}},
			{"end left out", "IncompleteBody", func(b []byte) []byte { return b[:bytes.LastIndex(b, []byte("0;chunk"))] }},
		} {
			t.Run(c.name, func(t *testing.T) {
				key := strings.ReplaceAll(c.name, " ", "-")
				status, answer := putChunks(t, cfg, s.URL+"/chunks/"+key, chunks, size, c.tamper)
				stored, err := objects.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("chunks"), Key: &key})
				if c.code == "" {
					if status != http.StatusOK || err != nil {
						t.Fatalf("%d %s, %v", status, answer, err)
					}
					defer stored.Body.Close()
					if got, err := io.ReadAll(stored.Body); err != nil || string(got) != strings.Join(chunks, "") {
						t.Errorf("%d bytes stored, %v", len(got), err)
					}
					return
				}
				if status/100 != 4 || !strings.Contains(answer, "<Code>"+c.code+"</Code>") {
					t.Errorf("%d %s, want %s", status, answer, c.code)
				}
				if err == nil {
					t.Error("something was stored")
				}
			})
		}
	})
}

// putChunks signs and sends a PUT of chunks; tamper changes the body after it was signed.
func putChunks(t *testing.T, cfg aws.Config, url string, chunks []string, size int, tamper func([]byte) []byte) (int, string) {
	t.Helper()
	const payload = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	creds, err := cfg.Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Encoding", "aws-chunked")
	req.Header.Set("X-Amz-Decoded-Content-Length", strconv.Itoa(size))
	req.Header.Set("X-Amz-Content-Sha256", payload)
	now := time.Now().UTC()
	if err := v4.NewSigner().SignHTTP(t.Context(), creds, req, payload, "s3", ushertest.Region, now); err != nil {
		t.Fatal(err)
	}

	_, signature, _ := strings.Cut(req.Header.Get("Authorization"), "Signature=")
	scope := now.Format("20060102") + "/" + ushertest.Region + "/s3/aws4_request"
	signing := []byte("AWS4" + creds.SecretAccessKey)
	for part := range strings.SplitSeq(scope, "/") {
		signing = mac(signing, part)
	}
	var body bytes.Buffer
	for _, chunk := range append(chunks[:len(chunks):len(chunks)], "") {
		signature = hex.EncodeToString(mac(signing, strings.Join([]string{"AWS4-HMAC-SHA256-PAYLOAD", now.Format("20060102T150405Z"), scope, signature,
			hash(""), hash(chunk)}, "\n")))
		fmt.Fprintf(&body, "%x;chunk-signature=%s\r\n%s\r\n", len(chunk), signature, chunk)
	}
	sent := tamper(body.Bytes())
	req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(sent)), int64(len(sent))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(answer)
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
