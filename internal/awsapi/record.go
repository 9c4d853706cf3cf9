package awsapi

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// record is what is logged about one request, filled as it proceeds.
type record struct {
	start  time.Time
	status int
	err    *Error

	mu      sync.Mutex
	attrs   []slog.Attr
	details []string
}

type (
	recordKey    struct{}
	requestIDKey struct{}
)

// Annotate adds an attribute to the log record of the request that ctx belongs
// to. Never give it a secret.
func Annotate(ctx context.Context, key string, value any) {
	if rec, ok := ctx.Value(recordKey{}).(*record); ok {
		rec.mu.Lock()
		rec.attrs = append(rec.attrs, slog.Any(key, value))
		rec.mu.Unlock()
	}
}

// Detail says more about why the request that ctx belongs to fails, in a line for the operator who asks; it is not logged, and
// may hold what tokens say of a user. Never give it a secret.
func Detail(ctx context.Context, format string, args ...any) {
	if rec, ok := ctx.Value(recordKey{}).(*record); ok {
		rec.mu.Lock()
		if len(rec.details) < detailsMost {
			rec.details = append(rec.details, clip(fmt.Sprintf(format, args...)))
		}
		rec.mu.Unlock()
	}
}

const detailsMost = 100 // lines about one request

// Failure is a request that was answered with an error, and what the client was not told.
type Failure struct {
	RequestID                  string
	At                         time.Time
	Service, Operation, Caller string // empty where the request did not come so far
	Status                     int
	Code, Message              string
	Cause                      string
	Facts                      []string // of Annotate, name=value
	Details                    []string // of Detail
}

func (c *call) failure() Failure {
	e := c.record.err
	f := Failure{RequestID: c.id, At: c.record.start, Status: c.record.status, Code: e.Code, Message: clip(e.Message)}
	if c.service != nil {
		f.Service = c.service.Name
	}
	if c.op != nil {
		f.Operation = c.op.Name
	}
	if caller, ok := CallerFrom(c.ctx); ok {
		f.Caller = caller.ARN
	}
	if e.Err != nil {
		f.Cause = clip(e.Err.Error())
	}
	c.record.mu.Lock()
	defer c.record.mu.Unlock()
	for _, a := range c.record.attrs {
		f.Facts = append(f.Facts, clip(a.String()))
	}
	f.Details = c.record.details
	return f
}

// RequestID returns the id under which the request is answered and logged.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// WithRequestID gives a request that does not go through Server its id.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

// log writes the record. Internal errors are logged whole, at level error.
func (c *call) log() {
	if c.Failed != nil && c.record.err != nil {
		c.Failed(c.failure())
	}
	level := slog.LevelInfo
	if c.record.status >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	if !c.Log.Enabled(c.ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 12)
	attrs = append(attrs, slog.String("request_id", c.id))
	if c.service != nil {
		attrs = append(attrs, slog.String("service", c.service.Name))
	}
	if c.op != nil {
		attrs = append(attrs, slog.String("operation", c.op.Name))
	}
	if caller, ok := CallerFrom(c.ctx); ok {
		attrs = append(attrs, slog.String("caller", caller.ARN), slog.String("access_key", caller.AccessKeyID))
	}
	attrs = append(attrs, slog.Int("status", c.record.status))
	if e := c.record.err; e != nil {
		attrs = append(attrs, slog.String("error", e.Code))
		if e.Err != nil {
			attrs = append(attrs, slog.String("cause", e.Err.Error()))
		}
	}
	c.record.mu.Lock()
	attrs = append(attrs, c.record.attrs...)
	c.record.mu.Unlock()
	attrs = append(attrs, slog.Duration("duration", time.Since(c.record.start)))
	c.Log.LogAttrs(c.ctx, level, "request", attrs...)
}
