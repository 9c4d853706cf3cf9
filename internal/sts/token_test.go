package sts

import (
	"math/rand/v2"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"usher/internal/access"
	"usher/internal/policy"
)

func issuedAt(seconds int64) time.Time { return time.Unix(seconds, 0).UTC() }

// cognito is what a session of an identity pool holds.
func cognito() *bearer {
	const pool, sub = "us-east-1:7e0f3f0a-1111-4000-8000-000000000001", "us-east-1:7e0f3f0a-2222-4000-8000-000000000002"
	const provider, user = "cognito-idp.us-east-1.amazonaws.com/us-east-1_Ab1Cd2Ef3", "0d5e3f0a-3333-4000-8000-000000000003"
	return &bearer{
		seed: []byte("0123456789abcdef"), secretKey: "k01234567", kind: policy.RoleSession, account: "000000000123", id: "AROA0123456789ABCDEFG",
		session: access.Session{
			Name: "CognitoIdentityCredentials", Issued: issuedAt(1_790_000_000), Expiry: issuedAt(1_790_003_600), Provider: IdentityPools,
			Keys: []access.Key{
				{Name: IdentityPools + ":amr", Values: []string{"authenticated", provider, provider + ":CognitoSignIn:" + user}},
				{Name: IdentityPools + ":aud", Values: []string{pool}}, {Name: IdentityPools + ":sub", Values: []string{sub}},
			},
			Tags:       []access.Tag{{Key: "username", Value: user}, {Key: "client", Value: "7mabcdefghijklmnopqrstuvwx"}},
			IdentityID: sub, UserSub: user, OriginJTI: "aaaaaaaa-3333-4000-8000-000000000003",
		},
	}
}

func full() *bearer {
	b := cognito()
	b.epoch = 300
	b.session.Chained, b.session.MFATime, b.session.SourceIdentity, b.session.ParentKey = true, issuedAt(1_789_999_000), "alice", "AKIAAAAAAAAAAAAAAAAA"
	b.session.Policy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetObject","s3:PutObject"],"Resource":"arn:aws:s3:::box/${cognito-identity.amazonaws.com:sub}/*"}]}`
	b.session.PolicyARNs = []string{"arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess", "arn:aws:iam::000000000123:policy/own"}
	b.session.Tags = append(b.session.Tags, access.Tag{Key: "dept", Value: "", Transitive: true})
	return b
}

func TestPayload(t *testing.T) {
	for name, b := range map[string]*bearer{
		"cognito": cognito(),
		"full":    full(),
		"assumed root": {seed: make([]byte, seedSize), secretKey: "k", kind: policy.Root, account: "999999999999", id: "999999999999", session: access.Session{
			Issued: issuedAt(1), Expiry: issuedAt(2), AssumedRoot: true, PolicyARNs: []string{"arn:aws:iam::aws:policy/root-task/S3UnlockBucketPolicy"}}},
		"delegated": {seed: make([]byte, seedSize), secretKey: "k", kind: policy.FederatedUser, account: "999999999999", id: "AIDA0123456789ABCDEFG", session: access.Session{
			Name: "delegated-111122223333", Issued: issuedAt(1), Expiry: issuedAt(2), Delegated: true, Policy: "{}"}},
		"root": {seed: make([]byte, seedSize), secretKey: "k", kind: policy.Root, account: "999999999999", id: "999999999999", session: access.Session{Issued: issuedAt(1), Expiry: issuedAt(2)}},
	} {
		payload, grants := appendPayload(nil, b)
		got, err := parsePayload(payload)
		if err != nil || !reflect.DeepEqual(got, b) {
			t.Errorf("%s: %v\n%+v, want\n%+v", name, err, got, b)
		}
		t.Logf("%s: %d bytes, %d of them policies and tags", name, len(payload), grants)
		for n := range payload {
			if got, err := parsePayload(payload[:n]); err == nil && reflect.DeepEqual(got, b) {
				t.Errorf("%s: the first %d bytes are enough", name, n)
			}
		}
		for _, bad := range [][]byte{nil, {tokenVersion + 1}, append([]byte{tokenVersion + 1}, payload[1:]...), append(payload[:len(payload):len(payload)], 200, 0)} {
			if _, err := parsePayload(bad); err == nil {
				t.Errorf("%s: opened %x", name, bad)
			}
		}
	}
	if payload, _ := appendPayload(nil, cognito()); len(payload) > 540 {
		t.Errorf("a session of an identity pool takes %d bytes", len(payload))
	}
}

// TestGrantsAreBounded: what a small token unfolds to is bounded.
func TestGrantsAreBounded(t *testing.T) {
	b := full()
	b.session.Policy = strings.Repeat("x", 2*maxInflated)
	payload, _ := appendPayload(nil, b)
	if _, err := parsePayload(payload); err == nil {
		t.Errorf("%d bytes unfolded to more than %d", len(payload), maxInflated)
	}
}

func FuzzPayload(f *testing.F) {
	for _, b := range []*bearer{cognito(), full()} {
		payload, _ := appendPayload(nil, b)
		f.Add(payload)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		b, err := parsePayload(payload)
		if err != nil {
			return
		}
		again, _ := appendPayload(nil, b)
		back, err := parsePayload(again)
		if err != nil || !reflect.DeepEqual(back, b) {
			t.Errorf("%v: %+v became %+v", err, b, back)
		}
	})
}

// FuzzShared writes and reads texts by their common beginnings.
func FuzzShared(f *testing.F) {
	f.Add("authenticated", "authority", "")
	f.Fuzz(func(t *testing.T, before, v, rest string) {
		got, left, err := cutShared(before, string(appendShared(nil, before, v))+rest)
		if err != nil || got != v || left != rest {
			t.Errorf("%q %q %v", got, left, err)
		}
	})
}

func TestRandomPayloadsDoNotOpen(t *testing.T) {
	for range 2000 {
		b := make([]byte, 1+rand.IntN(60))
		for i := range b {
			b[i] = byte(rand.UintN(256))
		}
		b[0] = tokenVersion
		if got, err := parsePayload(b); err == nil {
			t.Errorf("%x opened as %+v", b, got)
		}
	}
}

// TestDeflated: what is remembered is what would be made, and it does not grow without bound.
func TestDeflated(t *testing.T) {
	d := deflated{made: map[string][]byte{}}
	for i := range 3 * mostDeflated {
		text := []byte(strings.Repeat(`"s3:GetObject"`, 30) + strconv.Itoa(i))
		for range 2 {
			back, err := inflate(string(d.deflate(text)))
			if err != nil || back != string(text) {
				t.Fatalf("%d: %q %v", i, back, err)
			}
		}
		if once, again := d.deflate(text), d.deflate(text); &once[0] != &again[0] {
			t.Fatalf("%d is made again", i)
		}
		if len(d.made) > mostDeflated {
			t.Fatalf("%d remembered", len(d.made))
		}
	}
}
