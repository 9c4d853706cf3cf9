package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/s3response"
)

// TestNoWayOut: ids that a client makes up lead neither into another bucket nor out of the store.
func TestNoWayOut(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	s, err := openStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range []string{"mine", "victim"} {
		if err := os.Mkdir(filepath.Join(dir, "s3", b), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	put := func(bucket, key, text string) {
		t.Helper()
		if _, err := s.PutObject(ctx, s3response.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader(text), ContentLength: aws.Int64(int64(len(text)))}); err != nil {
			t.Fatal(err)
		}
	}
	put("victim", "k", "secret")
	put("mine", "x", "own")
	mine, x := aws.String("mine"), aws.String("x")
	for _, id := range []string{"../../../../victim", "../../../../../../etc", "..", ".", "", "/", "victim", strings.Repeat("../", 20)} {
		if _, err := s.UploadPart(ctx, &s3.UploadPartInput{Bucket: mine, Key: x, UploadId: &id, PartNumber: aws.Int32(7), Body: strings.NewReader("evil"), ContentLength: aws.Int64(4)}); err == nil {
			t.Errorf("UploadPart takes the upload id %q", id)
		}
		if _, err := s.UploadPartCopy(ctx, &s3.UploadPartCopyInput{Bucket: mine, Key: x, UploadId: &id, PartNumber: aws.Int32(7), CopySource: aws.String("mine/x")}); err == nil {
			t.Errorf("UploadPartCopy takes the upload id %q", id)
		}
		if _, _, err := s.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: mine, Key: x, UploadId: &id, MultipartUpload: &types.CompletedMultipartUpload{
			Parts: []types.CompletedPart{{PartNumber: aws.Int32(1), ETag: aws.String("e")}}}}); err == nil {
			t.Errorf("CompleteMultipartUpload takes the upload id %q", id)
		}
		if _, err := s.ListParts(ctx, &s3.ListPartsInput{Bucket: mine, Key: x, UploadId: &id}); err == nil {
			t.Errorf("ListParts takes the upload id %q", id)
		}
		if err := s.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: mine, Key: x, UploadId: &id}); err == nil {
			t.Errorf("AbortMultipartUpload takes the upload id %q", id)
		}
	}
	for _, version := range []string{"../../victim/k", "../victim/k", "..", "k"} {
		if out, err := s.GetObject(ctx, &s3.GetObjectInput{Bucket: mine, Key: x, VersionId: &version}); err == nil {
			text, _ := io.ReadAll(out.Body)
			if string(text) != "own" {
				t.Errorf("GetObject with the version id %q gives %q", version, text)
			}
		}
		s.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: mine, Key: x, VersionId: &version})
		put("mine", "x", "own")
	}
	out, err := s.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("victim"), Key: aws.String("k")})
	if err != nil {
		t.Fatalf("the other bucket's object is gone: %v", err)
	}
	if text, _ := io.ReadAll(out.Body); string(text) != "secret" {
		t.Errorf("the other bucket's object is %q", text)
	}
	entries, err := os.ReadDir(filepath.Join(dir, "s3", "victim"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() == "7" {
			t.Error("a part was written into the other bucket")
		}
	}
}
