// Package iam is AWS Identity and Access Management: the accounts of an installation with their users, groups, roles,
// policies, access keys and OIDC providers.
//
// The operations are those of the IAM API. Two readers beside them need IAM on every request, and get it from memory,
// current to the last acknowledged change: who an access key belongs to (AccessKey), and which policies apply to a user
// or role (Principal, RoleByARN).
//
// Source: the IAM API Reference and the IAM User Guide.
package iam

import (
	"context"
	"embed"
	"errors"
	"strings"
	"time"

	"usher/internal/api/iam"
	"usher/internal/awsapi"
	"usher/internal/db"
	"usher/internal/policy"
	"usher/internal/seal"
)

var _ iam.Service = (*Service)(nil)

// Schema holds the migrations of the tables.
//
//go:embed schema/*.sql
var Schema embed.FS

// Service is IAM. Make it with New.
type Service struct {
	DB  *db.DB
	Box *seal.Box // seals the secrets of access keys, MFA devices and issuers, each bound to its id
	Now func() time.Time

	// AllowLoopbackHTTP admits OIDC providers whose URL is http:// on a loopback address, with a port. It must be off
	// unless the server itself listens on loopback only.
	AllowLoopbackHTTP bool
	// ReservedIssuer, if set, reports issuers that are built in and cannot be registered as OIDC providers: this
	// server's own identity pools. The URL has its scheme.
	ReservedIssuer func(url string) bool
	// OutboundURL is what the issuers of outbound federation have in common, such as https://usher.example.com/sts; each adds
	// a slash and its id. Empty: accounts cannot be issuers.
	OutboundURL string
	// SharedIssuers are issuers without their scheme that serve many tenants, each with the claims of which a trust policy must
	// pin one; nil: policy.SharedIssuers.
	SharedIssuers map[string][]string
	// Organizations knows which accounts are members of an organization; nil: none is.
	Organizations Organizations
	// Approver tells who makes the call, as one who can accept a delegation request; the error says why he cannot.
	Approver func(ctx context.Context) (*Approver, error)
	// Publish sends a message to an SNS topic after the transaction.
	Publish func(ctx context.Context, tx *db.Tx, topic, message string) error

	keys          *db.Cache[string, *AccessKey]
	principals    *db.Cache[string, *Principal]
	policies      *db.Cache[string, policy.Source]
	roles         *db.Cache[string, string]
	providers     *db.Cache[string, []OIDCProvider]
	samlProviders *db.Cache[string, *SAMLProvider]
	issuers       *db.Cache[string, OutboundIssuer]
	memberships   *db.Cache[string, *Membership]
	outboundKeys  *db.Cache[struct{}, []OutboundKey]
	used          *usage
}

// New returns s, ready for use.
func New(s Service) *Service {
	s.keys = db.NewCache[string, *AccessKey](s.DB, "iam access keys", 100_000)
	s.principals = db.NewCache[string, *Principal](s.DB, "iam principals", 20_000)
	s.policies = db.NewCache[string, policy.Source](s.DB, "iam policies", 20_000)
	s.roles = db.NewCache[string, string](s.DB, "iam roles", 20_000)
	s.providers = db.NewCache[string, []OIDCProvider](s.DB, "iam oidc providers", 10_000)
	s.samlProviders = db.NewCache[string, *SAMLProvider](s.DB, "iam saml providers", 10_000)
	s.issuers = db.NewCache[string, OutboundIssuer](s.DB, "iam outbound issuers", 10_000)
	s.memberships = db.NewCache[string, *Membership](s.DB, "iam memberships", 10_000)
	s.outboundKeys = db.NewCache[struct{}, []OutboundKey](s.DB, "iam outbound keys", 1)
	s.used = &usage{pending: map[string]lastUse{}}
	return &s
}

// Scopes of what the caches hold.
func entityScope(id string) string         { return "iam/entity/" + id }
func policyScope(arn string) string        { return "iam/policy/" + arn }
func keyScope(id string) string            { return "iam/key/" + id }
func oidcScope(account string) string      { return "iam/oidc/" + account }
func roleScope(account, key string) string { return "iam/role/" + account + "/" + key }

// Quotas of an account (IAM User Guide, "IAM and AWS STS quotas").
const (
	maxUsers         = 5000
	maxGroups        = 300
	maxRoles         = 1000
	maxPolicies      = 1500
	maxVersions      = 5
	maxAttached      = 10 // managed policies of one user, group or role
	maxGroupsPerUser = 10
	maxKeysPerUser   = 2
	maxTags          = 50
	maxOIDCProviders = 100
	maxClientIDs     = 100
	maxThumbprints   = 5
)

// account is the account that a call concerns: the caller's.
func account(ctx context.Context) string {
	c, _ := awsapi.CallerFrom(ctx)
	return c.AccountID
}

// callerUser is the unique id of the IAM user who makes the call, or the account id for the root user.
func callerUser(ctx context.Context) (id string, ok bool) {
	c, _ := awsapi.CallerFrom(ctx)
	return c.UserID, c.UserID != "" && (c.UserID == c.AccountID || strings.HasPrefix(c.UserID, "AIDA") && !strings.Contains(c.UserID, ":"))
}

var (
	errValidation       = &awsapi.Error{Code: "ValidationError", Status: 400}
	errAccessDenied     = &awsapi.Error{Code: "AccessDenied", Status: 403}
	errMustSpecifyUser  = errValidation.Msg("Must specify userName when calling with non-User credentials")
	errUnparsableARN    = errValidation.Msg("Invalid ARN:  Could not be parsed!")
	errInvalidMarker    = errValidation.Msg("Invalid Marker.")
	errDuplicateTagKeys = iam.ErrInvalidInput.Msg("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
	errTooManyTags      = iam.ErrLimitExceeded.Msg("The number of tags has reached the maximum limit.")
)

func quota(name string, n int) error {
	return iam.ErrLimitExceeded.Msg("Cannot exceed quota for %s: %d", name, n)
}

// str reads an optional text.
func str(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

func timeOf(micros int64) *time.Time {
	t := time.UnixMicro(micros).UTC()
	return &t
}

func isNotFound(err error) bool { return errors.Is(err, db.ErrNotFound) }
