package server_test

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// BenchmarkExistence asks in turn about users who exist and users who do not, over HTTP, and reports whether the times tell
// them apart: the probability that an answer about an existing user took longer than one about a missing user (auc, 0.5 when
// nothing is told), the statistic z of the Mann-Whitney test of that, p of the Kolmogorov-Smirnov test and the
// difference of the medians. Give it a number of pairs: -benchtime 1000x.
func BenchmarkExistence(b *testing.B) {
	a := serveApp(b)
	ctx := b.Context()
	wrong := func(err error, code string) error {
		if r, ok := err.(*refusal); ok && r.code == code {
			return nil
		}
		return fmt.Errorf("%v instead of %s", err, code)
	}
	srpA := func(name string) map[string]any {
		return map[string]any{"AuthFlow": "USER_SRP_AUTH", "ClientId": a.client, "AuthParameters": map[string]string{"USERNAME": name, "SRP_A": strings.Repeat("5", 700)}}
	}
	type challenge struct{ ChallengeParameters map[string]string }
	nothing := func(string) (any, error) { return nil, nil }
	named := func(operation, code string, more ...string) func(string, any) error {
		return func(name string, _ any) error {
			in := map[string]string{"ClientId": a.client, "Username": name}
			for i := 0; i < len(more); i += 2 {
				in[more[i]] = more[i+1]
			}
			err := a.call(ctx, operation, in, nil)
			if code != "" {
				err = wrong(err, code)
			}
			return err
		}
	}
	forgot := named("ForgotPassword", "")
	for _, probe := range []struct {
		name    string
		times   int // a name can be asked about before a limit
		prepare func(name string) (any, error)
		ask     func(name string, prepared any) error
	}{
		{"SRP", 100, nothing, func(name string, _ any) error { return a.call(ctx, "InitiateAuth", srpA(name), nil) }},
		{"Password", 4, nothing, func(name string, _ any) error {
			return wrong(a.call(ctx, "InitiateAuth", map[string]any{"AuthFlow": "USER_PASSWORD_AUTH", "ClientId": a.client,
				"AuthParameters": map[string]string{"USERNAME": name, "PASSWORD": "Another-1!"}}, nil), "NotAuthorizedException")
		}},
		{"PasswordVerifier", 4, func(name string) (any, error) {
			var c challenge
			err := a.call(ctx, "InitiateAuth", srpA(name), &c)
			return c, err
		}, func(_ string, prepared any) error {
			p := prepared.(challenge).ChallengeParameters
			signature := make([]byte, 32)
			rand.Read(signature)
			return wrong(a.call(ctx, "RespondToAuthChallenge", map[string]any{"ChallengeName": "PASSWORD_VERIFIER", "ClientId": a.client, "ChallengeResponses": map[string]string{
				"USERNAME": p["USERNAME"], "PASSWORD_CLAIM_SECRET_BLOCK": p["SECRET_BLOCK"], "PASSWORD_CLAIM_SIGNATURE": base64.StdEncoding.EncodeToString(signature),
				"TIMESTAMP": time.Now().UTC().Format("Mon Jan 2 15:04:05 UTC 2006"),
			}}, nil), "NotAuthorizedException")
		}},
		{"ForgotPassword", 18, nothing, forgot},
		{"ConfirmForgotPassword", 8, func(name string) (any, error) { return nil, forgot(name, nil) },
			named("ConfirmForgotPassword", "CodeMismatchException", "ConfirmationCode", "000", "Password", "Another-1!")},
		{"ResendConfirmationCode", 5, nothing, named("ResendConfirmationCode", "")},
		{"ConfirmSignUp", 14, nothing, named("ConfirmSignUp", "ExpiredCodeException", "ConfirmationCode", "000")},
	} {
		b.Run(probe.name, func(b *testing.B) {
			names, run := [2]string{"is", "no"}, time.Now().UnixNano()
			name := func(kind, i int) string {
				return fmt.Sprintf("%s-%s-%d-%d-%d", strings.ToLower(probe.name), names[kind], run, b.N, i/probe.times)
			}
			for i := 0; i < b.N; i += probe.times {
				a.addUser(name(0, i))
			}
			var times [2][]float64
			b.ResetTimer()
			for i := range b.N {
				for turn := range 2 {
					kind := (i + turn) % 2
					prepared, err := probe.prepare(name(kind, i))
					if err != nil {
						b.Fatal(err)
					}
					start := time.Now()
					if err := probe.ask(name(kind, i), prepared); err != nil {
						b.Fatal(names[kind], ": ", err)
					}
					times[kind] = append(times[kind], float64(time.Since(start).Nanoseconds())/1000)
				}
			}
			auc, z := mannWhitney(times[0], times[1])
			b.ReportMetric(auc, "auc")
			b.ReportMetric(z, "z")
			b.ReportMetric(kolmogorovSmirnov(times[0], times[1]), "ks-p")
			b.ReportMetric(median(times[0]), "median-µs")
			b.ReportMetric(median(times[0])-median(times[1]), "difference-µs")
		})
	}
}

func median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	return (x[(len(x)-1)/2] + x[len(x)/2]) / 2
}

// mannWhitney returns the probability that a value of x is greater than one of y, ties counted half, and how many standard
// deviations that is from a half if both are of one distribution.
func mannWhitney(x, y []float64) (auc, z float64) {
	y = slices.Sorted(slices.Values(y))
	var u float64
	for _, v := range x {
		below, _ := slices.BinarySearch(y, v)
		upTo := below
		for upTo < len(y) && y[upTo] == v {
			upTo++
		}
		u += float64(below) + float64(upTo-below)/2
	}
	n, m := float64(len(x)), float64(len(y))
	return u / (n * m), (u - n*m/2) / math.Sqrt(n*m*(n+m+1)/12)
}

// kolmogorovSmirnov returns the probability of a distance as great as that between x and y if both are of one distribution.
func kolmogorovSmirnov(x, y []float64) float64 {
	x, y = slices.Sorted(slices.Values(x)), slices.Sorted(slices.Values(y))
	var d float64
	for i, j := 0, 0; i < len(x) && j < len(y); {
		v := min(x[i], y[j])
		for i < len(x) && x[i] == v {
			i++
		}
		for j < len(y) && y[j] == v {
			j++
		}
		d = max(d, math.Abs(float64(i)/float64(len(x))-float64(j)/float64(len(y))))
	}
	n := math.Sqrt(float64(len(x)) * float64(len(y)) / float64(len(x)+len(y)))
	t, p := (n+0.12+0.11/n)*d, 0.0
	if t < 0.2 {
		return 1 // the series converges slowly there
	}
	for k := 1.0; k <= 100; k++ {
		p += 2 * math.Pow(-1, k-1) * math.Exp(-2*k*k*t*t)
	}
	return min(max(p, 0), 1)
}

// TestStatistics: the statistics of BenchmarkExistence know samples of one distribution from samples of two.
func TestStatistics(t *testing.T) {
	var low, high, same []float64
	for i := range 1000 {
		v := float64(i*7919%1000) / 10
		low, same, high = append(low, v), append(same, v+0.01), append(high, v+10)
	}
	if auc, z := mannWhitney(high, low); auc < 0.58 || auc > 0.61 || z < 5 {
		t.Errorf("shifted: auc %f z %f", auc, z)
	}
	if auc, z := mannWhitney(low, high); auc > 0.42 || z > -5 {
		t.Errorf("shifted the other way: auc %f z %f", auc, z)
	}
	if auc, z := mannWhitney(low, same); math.Abs(auc-0.5) > 0.01 || math.Abs(z) > 1 {
		t.Errorf("alike: auc %f z %f", auc, z)
	}
	if auc, z := mannWhitney([]float64{1, 2}, []float64{1, 2}); auc != 0.5 || z != 0 {
		t.Errorf("ties: auc %f z %f", auc, z)
	}
	if p := kolmogorovSmirnov(low, high); p > 1e-3 {
		t.Errorf("shifted: p %f", p)
	}
	if p := kolmogorovSmirnov(low, same); p < 0.9 {
		t.Errorf("alike: p %f", p)
	}
}
