package server

import (
	"context"

	"usher/internal/access"
	"usher/internal/awsapi"
	"usher/internal/db"
	"usher/internal/iam"
	"usher/internal/notify"
	"usher/internal/policy"
)

var errNoApprover = &awsapi.Error{Code: "AccessDenied", Status: 403, Message: "Delegation requests are accepted by IAM users, and by sessions of roles that no session policy limits."}

// approver is who makes the call, for iam.Service.Approver. What limits a session, such as its policies or the claims of a token,
// would be lost in credentials that are his, so that it cannot accept.
func approver(ctx context.Context) (*iam.Approver, error) {
	p := access.PrincipalOf(ctx)
	if p == nil {
		return nil, awsapi.ErrMissingAuthentication
	}
	a := &iam.Approver{ARN: p.ARN, ID: p.ID}
	switch {
	case p.Kind == policy.User:
		return a, nil
	case p.Kind != policy.RoleSession, p.Session.Policy != "", len(p.Session.PolicyARNs) > 0, p.Session.Provider != "", p.Session.Delegated:
		return nil, errNoApprover
	}
	a.Role, a.SourceIdentity, a.Tags = true, p.Session.SourceIdentity, map[string]string{}
	for _, t := range p.Session.Tags {
		a.Tags[t.Key] = t.Value
	}
	return a, nil
}

// publish sends a message to an SNS topic, for iam.Service.Publish.
func (s *Server) publish(ctx context.Context, tx *db.Tx, topic, message string) error {
	return s.outbox.Enqueue(ctx, tx, notify.Message{Medium: notify.Topic, To: topic, Subject: "Delegation request", Body: message, Purpose: "delegation"})
}
