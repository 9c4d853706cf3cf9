package server

import (
	"context"

	"usher/internal/notify"
)

// Inbox returns the messages that no mail server has taken, newest first, at most limit.
func (s *Server) Inbox(ctx context.Context, limit int) ([]notify.Message, error) {
	return s.outbox.Inbox(ctx, limit)
}
