package iam

import (
	"testing"
	"time"

	"usher/internal/db"
	"usher/internal/policy"
	"usher/internal/seal"
)

// BenchmarkHashPassword: what a right or wrong password costs.
func BenchmarkHashPassword(b *testing.B) {
	for b.Loop() {
		if _, err := hashPassword(b.Context(), "correct horse battery staple"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSimulate decides one action on one resource and finds where the answer comes from.
func BenchmarkSimulate(b *testing.B) {
	p, err := policy.Parse(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"true"}}}]}`)
	if err != nil {
		b.Fatal(err)
	}
	sim := &simulation{principal: policy.Principal{Kind: policy.User, AccountID: "111122223333"}, policies: policy.Policies{Identity: []policy.Source{{ID: "p", Policy: p}}}}
	for b.Loop() {
		if _, err := sim.evaluate("s3:GetObject", "arn:aws:s3:::box/key"); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzCode: no text but the code is accepted, and none breaks anything.
func FuzzCode(f *testing.F) {
	ring, err := seal.Parse(seal.Generate())
	if err != nil {
		f.Fatal(err)
	}
	now := time.Unix(1_795_255_200, 0)
	s := &Service{Box: ring.Box("access-keys"), Now: func() time.Time { return now }}
	// RFC 6238's secret in the place of a random one.
	d := mfaDevice{Serial: "arn:aws:iam::111122223333:mfa/phone", Secret: s.Box.Seal([]byte("12345678901234567890"), []byte("arn:aws:iam::111122223333:mfa/phone"))}
	seed, err := s.seed(&d)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("000000")
	f.Add("")
	f.Fuzz(func(t *testing.T, code string) {
		device := d
		device.Doc = db.JSON[mfaDoc]{}
		right, err := s.spend(&device, code)
		if err != nil {
			t.Fatal(err)
		}
		want := false
		for step := now.Unix()/mfaStep - mfaSlack; step <= now.Unix()/mfaStep+mfaSlack; step++ {
			match, err := codeAt(seed, step, code)
			want = want || match && err == nil
		}
		if right != want || right != (device.Doc.V.Guesses.Wrong == 0) {
			t.Errorf("%q: %v, want %v, %+v", code, right, want, device.Doc.V.Guesses)
		}
	})
}

// TestRFC6238 checks codes against the test values of RFC 6238, appendix B (SHA-1, the last six of eight digits).
func TestRFC6238(t *testing.T) {
	const seed = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
	for at, want := range map[int64]string{59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130"} {
		if ok, err := codeAt(seed, at/mfaStep, want); !ok || err != nil {
			t.Errorf("time %d: %v, %v", at, ok, err)
		}
	}
}
