package access

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"time"

	"usher/internal/awsapi"
	"usher/internal/policy"
)

// Principal is who makes a signed request, with the policies that IAM holds for him at this moment. It is shared and
// immutable.
//
// ID is the unique id of the IAM user or role behind the credentials, or the account id for the root user. ParentARN is,
// of a role session, the role; of a federated user, the user who called GetFederationToken.
type Principal struct {
	policy.Principal

	Name     string            // of the user or role
	Tags     map[string]string // of the user or role
	Identity []policy.Source   // inline, attached, and those of groups
	Boundary *policy.Source    // nil if there is none

	Organization   Organization      // of the account; zero if it is in none
	ServiceControl [][]policy.Source // service control policies that count, by level

	Session         *Session        // what temporary credentials carry; nil for long-term keys
	SessionPolicies []policy.Source // those of the session that still exist
}

// Organization is the place of an account in an organization.
type Organization struct {
	ID   string
	Path string // such as o-…/r-…/ou-…/
}

// UserID is the UserId of GetCallerIdentity and the value of aws:userid.
func (p *Principal) UserID() string {
	switch p.Kind {
	case policy.RoleSession:
		return p.ID + ":" + p.SessionName
	case policy.FederatedUser:
		return p.AccountID + ":" + p.SessionName
	}
	return p.ID
}

// principalARN is the value of aws:PrincipalArn.
func (p *Principal) principalARN() string {
	if p.Kind == policy.RoleSession {
		return p.ParentARN
	}
	return p.ARN
}

// kindName is the value of aws:PrincipalType.
func (p *Principal) kindName() string {
	switch p.Kind {
	case policy.Root:
		return "Account"
	case policy.User:
		return "User"
	case policy.RoleSession:
		return "AssumedRole"
	case policy.FederatedUser:
		return "FederatedUser"
	}
	return "Anonymous"
}

// policies are the policies on the side of the caller.
func (p *Principal) policies() policy.Policies {
	return policy.Policies{
		Identity: p.Identity, Boundary: p.Boundary, SCP: p.ServiceControl,
		Session: p.SessionPolicies, HasSession: p.Session != nil && (p.Session.Policy != "" || len(p.Session.PolicyARNs) > 0),
	}
}

// Session is what temporary credentials carry.
type Session struct {
	Name   string // role session name, or name of the federated user
	Issued time.Time
	Expiry time.Time

	// Chained says that the role was assumed by a role session.
	Chained bool
	// AssumedRoot says that another account acts as the root user, for the task that the session policy is for.
	AssumedRoot bool
	// Delegated says that another account has the session by a delegation request.
	Delegated bool
	// MFATime is when a one-time password was given; zero without.
	MFATime time.Time

	// Provider is the value of aws:FederatedProvider. Keys are the condition keys of the provider by their full names,
	// such as "cognito-identity.amazonaws.com:sub".
	Provider string
	Keys     []Key

	Tags           []Tag // session tags, passed and inherited
	SourceIdentity string

	Policy     string   // inline session policy
	PolicyARNs []string // managed session policies

	// IdentityID is the Cognito identity that the credentials were issued for; UserSub and OriginJTI name the user-pool
	// user and the sign-in behind it. ParentKey is the long-term key that called GetSessionToken or GetFederationToken.
	// They are for revocation and the audit trail.
	IdentityID string
	UserSub    string
	OriginJTI  string
	ParentKey  string
}

// Key is a condition key and its values.
type Key struct {
	Name   string
	Values []string
}

// Tag is a session tag. A transitive tag is inherited by the sessions of roles that the session assumes.
type Tag struct {
	Key, Value string
	Transitive bool
}

// PrincipalOf returns who signed the request that ctx belongs to; nil if it is not signed.
func PrincipalOf(ctx context.Context) *Principal {
	caller, _ := awsapi.CallerFrom(ctx)
	if s, ok := caller.Session.(*signed); ok {
		return s.principal
	}
	return nil
}

// RegionOf returns the region that the request which ctx belongs to was signed for; empty if it is not signed.
func RegionOf(ctx context.Context) string {
	caller, _ := awsapi.CallerFrom(ctx)
	if s, ok := caller.Session.(*signed); ok {
		return s.request.region
	}
	return ""
}

type requestKey struct{}

// WithRequest returns a context that knows what a request tells about itself, for the trust policies of operations that
// take no signature.
func WithRequest(ctx context.Context, r *http.Request) context.Context {
	facts := factsOf(r, "", "")
	facts.client, _ = netip.ParseAddr(facts.sourceIP)
	return context.WithValue(ctx, requestKey{}, facts)
}

// Client returns the address of the client, for limits on what one may do: what the server has found out about its connection,
// as in aws:SourceIp. It is the zero Addr where that is unknown.
func Client(ctx context.Context) netip.Addr {
	facts, _ := ctx.Value(requestKey{}).(requestFacts)
	return facts.client
}

// FromService returns a context in which the request comes from this server itself, as far as the network is concerned: what
// one of its services asks of another on behalf of a client.
func FromService(ctx context.Context) context.Context {
	facts, ok := ctx.Value(requestKey{}).(requestFacts)
	if !ok {
		return ctx
	}
	facts.sourceIP = "127.0.0.1"
	return context.WithValue(ctx, requestKey{}, facts)
}

// SetRequestKeys sets the global condition keys that describe the request of WithRequest, and the time.
func SetRequestKeys(ctx context.Context, c *policy.Context, now time.Time) {
	facts, _ := ctx.Value(requestKey{}).(requestFacts)
	facts.set(c, now)
}

// signed is the Session of an awsapi.Caller: who signed, and what the request tells about itself.
type signed struct {
	principal *Principal
	accessKey string
	uses      string // see usedBy
	request   requestFacts
}

// requestFacts are the global condition keys that describe the request (IAM User Guide, "AWS global condition context
// keys", properties of the network and of the request).
type requestFacts struct {
	service, region string
	sourceIP        string // empty where the caller of Decide gives it with the targets
	tls             bool
	userAgent       string
	referer         string
	client          netip.Addr // see Client
}

func factsOf(r *http.Request, service, region string) requestFacts {
	return requestFacts{service: service, region: region, sourceIP: peer(r), tls: r.TLS != nil, userAgent: r.UserAgent(), referer: r.Referer()}
}

// peer is the address that the connection comes from.
func peer(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Unmap().WithZone("").String()
	}
	return "" // a unix socket has no address
}
