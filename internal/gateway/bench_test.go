package gateway

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"usher/internal/sigv4"
)

// newBenchStore is an upstream on a unix socket, and for comparison on TCP, that does as little as it can.
func newBenchStore(b *testing.B, size int) Upstream {
	b.Helper()
	dir, err := os.MkdirTemp("", "s3")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		b.Fatal(err)
	}
	content := randomBytes(size)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			io.Copy(io.Discard, r.Body)
			return
		}
		h := w.Header()
		h["Content-Length"] = []string{strconv.Itoa(size)}
		h["Content-Type"] = []string{"application/octet-stream"}
		h["Etag"] = []string{`"d41d8cd98f00b204e9800998ecf8427e"`}
		h["Last-Modified"] = []string{"Sat, 21 Nov 2026 09:00:00 GMT"}
		h["Accept-Ranges"] = []string{"bytes"}
		w.Write(content)
	})}
	go srv.Serve(l)
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go srv.Serve(tcp)
	b.Cleanup(func() { srv.Close() })
	return Upstream{URL: "http://" + tcp.Addr().String(), Socket: filepath.Join(dir, "s"), AccessKeyID: "UPSTREAMKEY", SecretAccessKey: "secret", Region: region, OpaqueKeys: true}
}

func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkGet compares a get through the gateway with one straight from the upstream. Client and upstream run in the
// same process: what the gateway adds is the difference of the cpu/op columns.
func BenchmarkGet(b *testing.B) {
	for _, size := range []int{1 << 10, 8 << 20} {
		up := newBenchStore(b, size)
		f := newGateway(b, up, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(io.Discard, nil)) })
		f.own(b, "box", account)
		srv := httptest.NewServer(f)
		b.Cleanup(srv.Close)
		for _, way := range []struct {
			name   string
			client *http.Transport
			host   string
		}{{"direct", &http.Transport{}, up.URL[len("http://"):]}, {"gateway", &http.Transport{}, srv.Listener.Addr().String()}} {
			b.Run(fmt.Sprintf("%dKiB/%s", size>>10, way.name), func(b *testing.B) {
				b.SetBytes(int64(size))
				b.ReportAllocs()
				buf := make([]byte, 256<<10)
				start := cpu()
				for b.Loop() {
					r, _ := http.NewRequest("GET", "http://"+way.host+"/box/object", nil)
					sigv4.Sign(r, sigv4.Credentials{AccessKeyID: "AKIAALICE", SecretAccessKey: "alice-secret"}, sigv4.EmptyHash, time.Now(), region, "s3")
					res, err := way.client.RoundTrip(r)
					if err != nil {
						b.Fatal(err)
					}
					n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, res.Body, buf)
					res.Body.Close()
					if err != nil || n != int64(size) || res.StatusCode != 200 {
						b.Fatal(res.StatusCode, n, err)
					}
					f.rules.asked = nil
				}
				b.ReportMetric(float64(cpu()-start)/1e3/float64(b.N), "cpu-µs/op")
			})
		}
	}
}

// BenchmarkPut uploads 8 MiB whose hash is signed.
func BenchmarkPut(b *testing.B) {
	up := newBenchStore(b, 0)
	f := newGateway(b, up, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(io.Discard, nil)) })
	f.own(b, "box", account)
	srv := httptest.NewServer(f)
	b.Cleanup(srv.Close)
	body := randomBytes(8 << 20)
	hash := sigv4.PayloadHash(body)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		r, _ := http.NewRequest("PUT", srv.URL+"/box/object", bytes.NewReader(body))
		sigv4.Sign(r, sigv4.Credentials{AccessKeyID: "AKIAALICE", SecretAccessKey: "alice-secret"}, hash, time.Now(), region, "s3")
		res, err := http.DefaultTransport.RoundTrip(r)
		if err != nil || res.StatusCode != 200 {
			b.Fatal(res, err)
		}
		res.Body.Close()
	}
}

// BenchmarkServe is the gateway's own work for a 1 KiB get, with the upstream but without a client connection.
func BenchmarkServe(b *testing.B) {
	up := newBenchStore(b, 1<<10)
	f := newGateway(b, up, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(io.Discard, nil)) })
	f.own(b, "box", account)
	r := sign(b, "AKIAALICE", "GET", "/box/object", nil)
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		f.ServeHTTP(w, r)
		if w.Code != 200 {
			b.Fatal(w.Code, w.Body)
		}
		f.rules.asked = nil
	}
}

// BenchmarkGetLocal is BenchmarkGet with the real store, which is a process of its own: cpu/op does not count it.
func BenchmarkGetLocal(b *testing.B) {
	l := newLive(b)
	l.c.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	l.createBucket(b, "box")
	up := l.c.Upstream
	direct := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", up.Socket)
	}}
	for _, size := range []int{1 << 10, 8 << 20} {
		l.put(b, "box", "object", randomBytes(size))
		for _, way := range []struct {
			name, url string
			client    *http.Transport
			key       sigv4.Credentials
		}{
			{"direct", up.URL, direct, sigv4.Credentials{AccessKeyID: up.AccessKeyID, SecretAccessKey: up.SecretAccessKey}},
			{"gateway", l.url, &http.Transport{}, sigv4.Credentials{AccessKeyID: "AKIAALICE", SecretAccessKey: "alice-secret"}},
		} {
			b.Run(fmt.Sprintf("%dKiB/%s", size>>10, way.name), func(b *testing.B) {
				b.SetBytes(int64(size))
				buf := make([]byte, 256<<10)
				start := cpu()
				for b.Loop() {
					r, _ := http.NewRequest("GET", way.url+"/box/object", nil)
					sigv4.Sign(r, way.key, sigv4.EmptyHash, time.Now(), region, "s3")
					res, err := way.client.RoundTrip(r)
					if err != nil {
						b.Fatal(err)
					}
					n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, res.Body, buf)
					res.Body.Close()
					if err != nil || n != int64(size) || res.StatusCode != 200 {
						b.Fatal(res.StatusCode, n, err)
					}
					l.rules.asked = nil
				}
				b.ReportMetric(float64(cpu()-start)/1e3/float64(b.N), "cpu-µs/op")
			})
		}
	}
}
