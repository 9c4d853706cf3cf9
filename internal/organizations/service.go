// Package organizations is AWS Organizations: many accounts under one management account, in a tree of organizational units,
// and the service control policies that bound what the accounts' users and roles may do.
//
// A server has one organization at most. The first account that calls CreateOrganization is its management account; the
// organization's accounts are those that it makes. What decisions need of all this is read by Membership.
//
// Source: the AWS Organizations API Reference and User Guide.
package organizations

import (
	"context"
	"embed"
	"encoding/base64"
	"errors"
	"time"
	"unicode/utf8"

	"usher/internal/api/organizations"
	"usher/internal/awsapi"
	"usher/internal/db"
	"usher/internal/iam"
)

var (
	_ organizations.Service = (*Service)(nil)
	_ iam.Organizations     = (*Service)(nil)
)

// Schema holds the migrations of the tables.
//
//go:embed schema/*.sql
var Schema embed.FS

// Service is Organizations.
type Service struct {
	DB  *db.DB
	IAM *iam.Service // makes accounts
	Now func() time.Time
}

// Quotas (AWS Organizations User Guide, "Quotas and service limits"). That of accounts is raised, as AWS does on request.
const (
	maxAccounts = 1000
	maxUnits    = 1000
	maxDepth    = 5 // units one in another
	maxPolicies = 1000
	maxAttached = 10 // policies of one target
	maxContent  = 10240
	maxTags     = 50
)

// Scopes of what is cached elsewhere: what depends on one account's membership, and on the tree, its policies and settings.
func accountScope(id string) string { return "organizations/account/" + id }

const structureScope = "organizations/structure"

// organization is a row of organizations.
type organization struct {
	ID, Management, Root string
	Created, Rev         int64
	Doc                  db.JSON[organizationDoc]
}

const organizationColumns = `id, management_id, root_id, created, rev, doc`

type organizationDoc struct {
	SCP      bool             `json:"scp,omitempty"`      // the policy type is enabled in the root
	Services map[string]int64 `json:"services,omitempty"` // with trusted access, and since when
}

// arn names something of the organization, which the management account owns.
func (o *organization) arn(kind, id string) string {
	return "arn:aws:organizations::" + o.Management + ":" + kind + "/" + o.ID + "/" + id
}

var (
	errNotAllowed = organizations.ErrAccessDenied.Msg("You don't have permissions to access this resource.")
	errNotMember  = organizations.ErrAWSOrganizationsNotInUse.Msg("Your account is not a member of an organization.")
	errNextToken  = organizations.ErrInvalidInput.Msg("The provided NextToken is not valid.").Member("Reason", "INVALID_NEXT_TOKEN")
)

func tooMany(reason, format string, args ...any) error {
	return organizations.ErrConstraintViolation.Msg(format, args...).Member("Reason", reason)
}

// account is the caller's.
func account(ctx context.Context) string {
	c, _ := awsapi.CallerFrom(ctx)
	return c.AccountID
}

// own is the organization that the caller's account is a member of.
func (s *Service) own(ctx context.Context, q db.Querier) (*organization, error) {
	o, err := db.One[organization](ctx, q, `SELECT `+organizationColumns+` FROM organizations
		WHERE id = (SELECT organization_id FROM organization_accounts WHERE account_id = $1)`, account(ctx))
	if isNotFound(err) {
		err = errNotMember
	}
	return &o, err
}

// managed is own for what the management account alone may do.
func (s *Service) managed(ctx context.Context, q db.Querier) (*organization, error) {
	o, err := s.own(ctx, q)
	if err == nil && o.Management != account(ctx) {
		err = errNotAllowed
	}
	return o, err
}

// readable is own for what delegated administrators may do too.
func (s *Service) readable(ctx context.Context, q db.Querier) (*organization, error) {
	o, err := s.own(ctx, q)
	if err != nil || o.Management == account(ctx) {
		return o, err
	}
	n, err := db.One[int64](ctx, q, `SELECT COUNT(*) FROM organization_administrators WHERE account_id = $1`, account(ctx))
	if err == nil && n == 0 {
		err = errNotAllowed
	}
	return o, err
}

// change runs a transaction of the management account.
func (s *Service) change(ctx context.Context, do func(tx *db.Tx, o *organization) error) error {
	return s.DB.Tx(ctx, func(tx *db.Tx) error {
		o, err := s.managed(ctx, tx)
		if err != nil {
			return err
		}
		return do(tx, o)
	})
}

// update stores o.
func (s *Service) update(ctx context.Context, tx *db.Tx, o *organization) error {
	tx.Invalidate(structureScope)
	return db.Changed(tx.ExecContext(ctx, `UPDATE organizations SET doc = $1, rev = rev + 1 WHERE id = $2 AND rev = $3`, o.Doc, o.ID, o.Rev))
}

// page is one page of a list; the token holds the key of the last element of the page before.
type page struct {
	after string
	size  int
	next  *string
}

const maxPage = 20

func newPage(token *string, max *int32) (*page, error) {
	p := &page{size: maxPage}
	if max != nil {
		p.size = int(*max)
	}
	if token != nil {
		key, err := base64.RawURLEncoding.DecodeString(*token)
		if err != nil || len(key) == 0 || !utf8.Valid(key) {
			return nil, errNextToken
		}
		p.after = string(key)
	}
	return p, nil
}

// cut keeps what belongs on the page, of a list in order that may be longer.
func cut[T any](p *page, list []T, key func(T) string) []T {
	if len(list) > p.size {
		list = list[:p.size]
		p.next = new(base64.RawURLEncoding.EncodeToString([]byte(key(list[p.size-1]))))
	}
	return list
}

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
