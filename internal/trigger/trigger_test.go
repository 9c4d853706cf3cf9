package trigger

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"usher/internal/trigger/triggertest"
)

func event() Event {
	return Event{Version: "1", TriggerSource: "PreSignUp_SignUp", Region: "eu-central-1", UserPoolID: "eu-central-1_EXAMPLE", UserName: "ada",
		CallerContext: CallerContext{SDKVersion: "aws-sdk-unknown-unknown", ClientID: "app"},
		Request:       map[string]any{"userAttributes": map[string]string{"email": "ada@example.org"}}, Response: map[string]any{"autoConfirmUser": false}}
}

type answer struct{ AutoConfirmUser bool }

func TestCall(t *testing.T) {
	server := triggertest.New(t)
	server.Handle("confirm", func(e map[string]any) (any, error) {
		e["response"].(map[string]any)["autoConfirmUser"] = true
		return e, nil
	})
	server.Handle("fail", func(map[string]any) (any, error) { return nil, errors.New("Not allowed") })
	server.Handle("list", func(map[string]any) (any, error) { return []int{1}, nil })
	server.Handle("null", func(map[string]any) (any, error) { return nil, nil })
	server.Handle("nothing", func(e map[string]any) (any, error) { delete(e, "response"); return e, nil })
	server.Handle("wrong-type", func(e map[string]any) (any, error) {
		return map[string]any{"response": map[string]any{"autoConfirmUser": "yes"}}, nil
	})
	server.Handle("huge", func(e map[string]any) (any, error) {
		e["padding"] = strings.Repeat("x", payloadMost)
		return e, nil
	})
	raw := func(status int, header, value, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(header, value)
			w.WriteHeader(status)
			io.WriteString(w, body)
		}
	}
	server.HandleRaw("denied", raw(403, "X-Amzn-Errortype", "AccessDeniedException", `{"Message":"no"}`))
	server.HandleRaw("busy", raw(429, "X-Amzn-Errortype", "TooManyRequestsException", `{"Message":"Rate Exceeded."}`))
	server.HandleRaw("broken", raw(500, "X-Amzn-Errortype", "ServiceException", `{"Message":"no"}`))
	server.HandleRaw("silent", raw(200, "X-Amz-Function-Error", "Unhandled", `{}`))
	server.HandleRaw("typed", raw(200, "X-Amz-Function-Error", "Unhandled", `{"errorType":"Runtime.ExitError"}`))
	server.HandleRaw("not-json", raw(200, "X", "x", `ok`))
	server.HandleRaw("wordy", raw(200, "X-Amz-Function-Error", "Unhandled", `{"errorMessage":"`+strings.Repeat("é", messageMost)+`"}`))
	server.HandleRaw("elsewhere", raw(307, "Location", "https://example.com/", ``))

	i := New(server.URL, server.Credentials())
	for _, c := range []struct{ function, want string }{
		{triggertest.ARN("confirm"), ""},
		{triggertest.ARN("fail"), "function failed: Not allowed"},
		{triggertest.ARN("silent"), "function failed: Unhandled"},
		{triggertest.ARN("typed"), "function failed: Runtime.ExitError"},
		{triggertest.ARN("wordy"), "function failed: " + strings.Repeat("é", messageMost/2)},
		{triggertest.ARN("list"), ErrOutput.Error()},
		{triggertest.ARN("null"), ErrOutput.Error()},
		{triggertest.ARN("nothing"), ErrOutput.Error()},
		{triggertest.ARN("wrong-type"), ErrOutput.Error()},
		{triggertest.ARN("not-json"), ErrOutput.Error()},
		{triggertest.ARN("huge"), ErrOutput.Error() + ": "},
		{triggertest.ARN("denied"), "invoking a function: AccessDeniedException: "},
		{triggertest.ARN("busy"), "invoking a function: TooManyRequestsException: "},
		{triggertest.ARN("broken"), "invoking a function: ServiceException: "},
		{triggertest.ARN("elsewhere"), "invoking a function: "},
		{triggertest.ARN("missing"), "invoking a function: ResourceNotFoundException: "},
		{"arn:aws:lambda:us-west-2:123456789012:function:confirm", "invoking a function: InvalidSignatureException: "}, // signed for its region
		{"arn:aws:s3:::bucket", "invoking a function: InvalidParameterValueException: "},
	} {
		server.Events()
		var got answer
		err := i.Call(t.Context(), c.function, event(), &got)
		switch {
		case c.want == "" && (err != nil || !got.AutoConfirmUser):
			t.Errorf("%s: %+v %v", c.function, got, err)
		case c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want)):
			t.Errorf("%s: got %v, want %s", c.function, err, c.want)
		}
		if n := len(server.Events()); n > 1 {
			t.Errorf("%s: asked %d times", c.function, n)
		}
	}
	if len(i.running) != 0 {
		t.Errorf("calls that have ended are counted: %v", i.running)
	}

	stranger := New(server.URL, credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "another", ""))
	if err := stranger.Call(t.Context(), triggertest.ARN("confirm"), event(), new(answer)); err == nil || !strings.Contains(err.Error(), "InvalidSignatureException") {
		t.Errorf("signed with another secret: %v", err)
	}
	closed := httptest.NewServer(nil)
	closed.Close()
	err := New(closed.URL, server.Credentials()).Call(t.Context(), triggertest.ARN("confirm"), event(), new(answer))
	if e, ok := errors.AsType[*InvokeError](err); !ok || e.Name != "ServiceException" {
		t.Errorf("nobody listens: %v", err)
	}
}

// TestLate: a function that does not answer in time is asked three times in all.
func TestLate(t *testing.T) {
	server := triggertest.New(t)
	var calls atomic.Int32
	answerAt := int32(3)
	server.HandleRaw("slow", func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) < answerAt {
			<-r.Context().Done()
			return
		}
		io.WriteString(w, `{"response":{"autoConfirmUser":true}}`)
	})
	i := New(server.URL, server.Credentials())
	i.timeout = 400 * time.Millisecond
	var got answer
	if err := i.Call(t.Context(), triggertest.ARN("slow"), event(), &got); err != nil || !got.AutoConfirmUser {
		t.Errorf("the third attempt: %v", err)
	}
	calls.Store(0)
	answerAt = 4
	err := i.Call(t.Context(), triggertest.ARN("slow"), event(), &got)
	if e, ok := errors.AsType[*InvokeError](err); !ok || e.Name != "Socket timeout while invoking Lambda function" || calls.Load() != 3 {
		t.Errorf("after %d calls: %v", calls.Load(), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := i.Call(ctx, triggertest.ARN("slow"), event(), &got); !errors.Is(err, context.Canceled) {
		t.Errorf("whose caller has gone: %v", err)
	}
}

// TestAtOnce: a function that hangs takes up a bounded part of the server, and others go on.
func TestAtOnce(t *testing.T) {
	server := triggertest.New(t)
	release, arrived := make(chan struct{}), make(chan struct{}, atOnce)
	server.HandleRaw("hang", func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-release
		io.WriteString(w, `{"response":{}}`)
	})
	server.Handle("quick", func(e map[string]any) (any, error) { return e, nil })
	i := New(server.URL, server.Credentials())
	var wg sync.WaitGroup
	for range atOnce {
		wg.Go(func() {
			if err := i.Call(t.Context(), triggertest.ARN("hang"), event(), new(answer)); err != nil {
				t.Error(err)
			}
		})
	}
	for range atOnce {
		<-arrived
	}
	err := i.Call(t.Context(), triggertest.ARN("hang"), event(), new(answer))
	if e, ok := errors.AsType[*InvokeError](err); !ok || e.Name != "TooManyRequestsException" {
		t.Errorf("one more call: %v", err)
	}
	if err := i.Call(t.Context(), triggertest.ARN("quick"), event(), new(answer)); err != nil {
		t.Errorf("another function: %v", err)
	}
	close(release)
	wg.Wait()
}

func TestFunction(t *testing.T) {
	for text, want := range map[string]bool{
		"arn:aws:lambda:us-east-1:123456789012:function:f":        true,
		"arn:aws:lambda:us-east-1:123456789012:function:f:live":   true,
		"arn:aws-cn:lambda:cn-north-1:123456789012:function:f":    true,
		"arn:aws:lambda:us-east-1:123456789012:function:":         false,
		"arn:aws:lambda:us-east-1:123456789012:layer:f":           false,
		"arn:aws:lambda::123456789012:function:f":                 false,
		"arn:aws:lambda:us-east-1::function:f":                    false,
		"arn:aws:sns:us-east-1:123456789012:function:f":           false,
		"arn:aws:lambda:us-east-1:123456789012:function:../other": false,
		"f": false,
	} {
		if _, ok := Function(text); ok != want {
			t.Errorf("%s: %v", text, ok)
		}
	}
}

// FuzzFunctionError: whatever a function that failed leaves, its message is short, never empty, and not cut within a character.
func FuzzFunctionError(f *testing.F) {
	f.Add([]byte(`{"errorMessage":"Not allowed","errorType":"Error"}`))
	f.Add([]byte(`{"errorMessage":{"a":1}}`))
	f.Add([]byte(`{"errorMessage":"` + strings.Repeat("é", messageMost) + `"}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		m := functionError(payload).Message
		if m == "" || len(m) > messageMost || !utf8.ValidString(m) {
			t.Errorf("%q", m)
		}
	})
}

// TestPretend takes as long as calls did, and no longer than the context.
func TestPretend(t *testing.T) {
	server := triggertest.New(t)
	server.Handle("f", func(e map[string]any) (any, error) { time.Sleep(50 * time.Millisecond); return e, nil })
	i := New(server.URL, server.Credentials())
	took := func(ctx context.Context, function string) (time.Duration, error) {
		start := time.Now()
		err := i.Pretend(ctx, triggertest.ARN(function))
		return time.Since(start), err
	}
	if d, err := took(t.Context(), "f"); err != nil || d > 40*time.Millisecond {
		t.Errorf("before any call: %v %v", d, err)
	}
	for range 20 {
		if err := i.Call(t.Context(), triggertest.ARN("f"), event(), &struct{}{}); err != nil {
			t.Fatal(err)
		}
	}
	if d, err := took(t.Context(), "f"); err != nil || d < 50*time.Millisecond {
		t.Errorf("after calls: %v %v", d, err)
	}
	if d, err := took(t.Context(), "g"); err != nil || d > 40*time.Millisecond {
		t.Errorf("another function: %v %v", d, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := took(ctx, "f"); err != context.Canceled {
		t.Errorf("canceled: %v", err)
	}
}
