package awsapi

import (
	"context"
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

	mu    sync.Mutex
	attrs []slog.Attr
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
