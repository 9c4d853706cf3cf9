package server_test

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// offered is what came of requests that were begun at a fixed rate, whatever became of those before.
type offered struct {
	rate      float64 // of those that were answered with success
	latencies []time.Duration
	errors    map[string]int
	started   int
}

// at returns a percentile of the latencies, counted from when a request should have begun.
func (o *offered) at(percent float64) time.Duration {
	if len(o.latencies) == 0 {
		return 0
	}
	return o.latencies[min(int(float64(len(o.latencies))*percent/100), len(o.latencies)-1)]
}

// mostOpen bounds the requests that the driver has open: what does not fit is not sent, and counted.
const mostOpen = 4096

func offer(rate float64, length time.Duration, request func(int) error) *offered {
	o := &offered{errors: map[string]int{}}
	var mu sync.Mutex
	var wg sync.WaitGroup
	var open atomic.Int64
	start := time.Now()
	for i := 0; ; i++ {
		due := start.Add(time.Duration(float64(i) / rate * 1e9))
		if due.Sub(start) >= length {
			break
		}
		if wait := time.Until(due); wait > 0 {
			time.Sleep(wait)
		}
		o.started++
		if open.Add(1) > mostOpen {
			open.Add(-1)
			mu.Lock()
			o.errors["not sent"]++
			mu.Unlock()
			continue
		}
		wg.Go(func() {
			defer open.Add(-1)
			err := request(i)
			took := time.Since(due)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				o.errors[err.Error()]++
				return
			}
			o.latencies = append(o.latencies, took)
		})
	}
	wg.Wait()
	o.rate = float64(len(o.latencies)) / time.Since(start).Seconds()
	slices.Sort(o.latencies)
	return o
}

// saturate is the rate at which clients that never pause are answered.
func saturate(callers int, length time.Duration, request func(int) error) (rate float64, err error) {
	var done atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	start := time.Now()
	for range callers {
		wg.Go(func() {
			for i := 0; time.Since(start) < length; i++ {
				if err := request(i); err != nil {
					failed.Store(&err)
					return
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	if e := failed.Load(); e != nil {
		err = *e
	}
	return float64(done.Load()) / time.Since(start).Seconds(), err
}

// BenchmarkOverload finds the rate at which the server is saturated, offers half of it and then three times it, and reports
// the latencies, what still succeeds, which errors there are, and the most memory; with three times the rate also how
// GetUser, which is cheap, fares beside it, and the health check. Driver and server share the processor: on a busy machine
// the latencies are those of the machine. One round takes half a minute: -benchtime 1x.
func BenchmarkOverload(b *testing.B) {
	for _, operation := range []string{"Refresh", "PasswordSignIn"} {
		b.Run(operation, func(b *testing.B) {
			a := serveApp(b)
			a.addUser("ada")
			t, err := a.signIn("ada")
			if err != nil {
				b.Fatal(err)
			}
			request := a.refresh
			if operation == "PasswordSignIn" {
				names := make([]string, 32) // attempts on one name take turns
				for i := range names {
					names[i] = fmt.Sprintf("user-%d", i)
					a.addUser(names[i])
				}
				request = func(i int) error { _, err := a.signIn(names[i%len(names)]); return err }
			}
			getUser := func(int) error {
				return a.call(b.Context(), "GetUser", map[string]string{"AccessToken": t.AuthenticationResult.AccessToken}, nil)
			}
			health := func(int) error {
				res, err := a.http.Get(a.endpoint + "/_usher/health")
				if err != nil {
					return err
				}
				defer res.Body.Close()
				if res.StatusCode != http.StatusOK {
					return fmt.Errorf("health %d", res.StatusCode)
				}
				return nil
			}
			if _, err := saturate(32, 2*time.Second, request); err != nil { // warm up
				b.Fatal(err)
			}
			for b.Loop() {
				rate, err := saturate(32, 5*time.Second, request)
				if err != nil {
					b.Fatal(err)
				}
				_, before := a.usage()
				half := offer(rate/2, 8*time.Second, request)
				var over, cheap, healthy *offered
				var wg sync.WaitGroup
				wg.Go(func() { over = offer(3*rate, 12*time.Second, request) })
				wg.Go(func() { cheap = offer(50, 12*time.Second, getUser) })
				wg.Go(func() { healthy = offer(10, 12*time.Second, health) })
				wg.Wait()
				_, after := a.usage()
				ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
				b.ReportMetric(rate, "saturated/s")
				b.ReportMetric(ms(half.at(50)), "half-p50-ms")
				b.ReportMetric(ms(half.at(99)), "half-p99-ms")
				b.ReportMetric(float64(half.at(99))/float64(half.at(50)), "half-p99/p50")
				b.ReportMetric(over.rate/rate, "overload-throughput")
				b.ReportMetric(ms(over.at(50)), "overload-p50-ms")
				b.ReportMetric(ms(over.at(99)), "overload-p99-ms")
				b.ReportMetric(ms(cheap.at(50)), "getuser-p50-ms")
				b.ReportMetric(ms(cheap.at(99)), "getuser-p99-ms")
				b.ReportMetric(float64(before)/1e6, "peak-before-MB")
				b.ReportMetric(float64(after)/1e6, "peak-MB")
				b.Logf("%s: half %d started, errors %v; overload %d started, errors %v; GetUser %d errors %v; health %d errors %v", operation,
					half.started, half.errors, over.started, over.errors, cheap.started, cheap.errors, healthy.started, healthy.errors)
			}
		})
	}
}
