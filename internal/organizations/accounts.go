package organizations

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"usher/internal/api/organizations"
	"usher/internal/db"
	"usher/internal/iam"
	"usher/internal/ids"
)

// accessRole is the role of a new account that the management account may assume.
const accessRole = "OrganizationAccountAccessRole"

// keptRequests is how long AWS tells what became of a request for an account.
const keptRequests = 90 * 24 * time.Hour

// member is a row of organization_accounts.
type member struct {
	ID, Organization, Parent, EmailKey string
	Joined                             int64
	Doc                                db.JSON[memberDoc]
}

const memberColumns = `account_id, organization_id, parent_id, email_key, joined, doc`

type memberDoc struct {
	Name   string `json:"name"`
	Email  string `json:"email,omitempty"`
	Method string `json:"method"`
}

// member finds an account of the organization.
func (s *Service) member(ctx context.Context, q db.Querier, o *organization, id string) (*member, error) {
	m, err := db.One[member](ctx, q, `SELECT `+memberColumns+` FROM organization_accounts WHERE account_id = $1 AND organization_id = $2`, id, o.ID)
	if isNotFound(err) {
		err = organizations.ErrAccountNotFound.Msg("You specified an account that doesn't exist.")
	}
	return &m, err
}

func (s *Service) insertMember(ctx context.Context, tx *db.Tx, m *member) error {
	tx.Invalidate(accountScope(m.ID))
	_, err := tx.ExecContext(ctx, `INSERT INTO organization_accounts (`+memberColumns+`) VALUES ($1, $2, $3, $4, $5, $6)`,
		m.ID, m.Organization, m.Parent, m.EmailKey, m.Joined, m.Doc)
	return err
}

func (m *member) wire(o *organization, path []string) *organizations.Account {
	a := &organizations.Account{
		Id: &m.ID, Arn: new(o.arn("account", m.ID)), Name: &m.Doc.V.Name, Status: new(organizations.AccountStatusActive), State: new(organizations.AccountStateActive),
		JoinedMethod: &m.Doc.V.Method, JoinedTimestamp: timeOf(m.Joined),
	}
	if m.Doc.V.Email != "" {
		a.Email = &m.Doc.V.Email
	}
	if path != nil {
		a.Paths = []string{o.path(path) + m.ID + "/"}
	}
	return a
}

// accountRequest is a row of organization_requests.
type accountRequest struct {
	ID, Organization, State string
	Created                 int64
	Doc                     db.JSON[requestDoc]
}

const requestColumns = `id, organization_id, state, created, doc`

type requestDoc struct {
	Name      string `json:"name"`
	AccountID string `json:"accountId,omitempty"`
	Failure   string `json:"failure,omitempty"`
}

func (r *accountRequest) wire() *organizations.CreateAccountStatus {
	out := &organizations.CreateAccountStatus{Id: &r.ID, AccountName: &r.Doc.V.Name, State: &r.State, RequestedTimestamp: timeOf(r.Created), CompletedTimestamp: timeOf(r.Created)}
	if r.Doc.V.AccountID != "" {
		out.AccountId = &r.Doc.V.AccountID
	}
	if r.Doc.V.Failure != "" {
		out.FailureReason = &r.Doc.V.Failure
	}
	return out
}

// CreateAccount implements organizations:CreateAccount. Clients expect to wait for the account; here it is there when the
// call returns, in one transaction with all that belongs to it.
func (s *Service) CreateAccount(ctx context.Context, in *organizations.CreateAccountRequest) (*organizations.CreateAccountResponse, error) {
	tags, err := newTags(in.Tags)
	if err != nil {
		return nil, err
	}
	var r *accountRequest
	err = s.change(ctx, func(tx *db.Tx, o *organization) error {
		r = &accountRequest{ID: ids.AccountRequest(), Organization: o.ID, State: organizations.CreateAccountStateSucceeded, Created: s.Now().UnixMicro()}
		r.Doc.V.Name = *in.AccountName
		n, err := db.One[int64](ctx, tx, `SELECT COUNT(*) FROM organization_accounts WHERE organization_id = $1`, o.ID)
		if err != nil {
			return err
		}
		if n >= maxAccounts {
			return tooMany("ACCOUNT_NUMBER_LIMIT_EXCEEDED", "You have exceeded the allowed number of AWS accounts.")
		}
		key := strings.ToLower(*in.Email)
		if n, err = db.One[int64](ctx, tx, `SELECT COUNT(*) FROM organization_accounts WHERE email_key = $1`, key); err != nil {
			return err
		}
		if n > 0 {
			r.State, r.Doc.V.Failure = organizations.CreateAccountStateFailed, organizations.CreateAccountFailureReasonEmailAlreadyExists
		} else if r.Doc.V.AccountID, err = s.makeAccount(ctx, tx, o, in, key, tags); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM organization_requests WHERE organization_id = $1 AND created < $2`, o.ID, s.Now().Add(-keptRequests).UnixMicro()); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO organization_requests (`+requestColumns+`) VALUES ($1, $2, $3, $4, $5)`, r.ID, r.Organization, r.State, r.Created, r.Doc)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &organizations.CreateAccountResponse{CreateAccountStatus: r.wire()}, nil
}

func (s *Service) makeAccount(ctx context.Context, tx *db.Tx, o *organization, in *organizations.CreateAccountRequest, emailKey string, tags []tag) (string, error) {
	id, err := s.IAM.CreateMemberAccount(ctx, tx, iam.MemberAccount{Name: *in.AccountName, Role: cmp.Or(str(in.RoleName), accessRole), TrustedAccount: o.Management})
	if err != nil {
		return "", err
	}
	m := &member{ID: id, Organization: o.ID, Parent: o.Root, EmailKey: emailKey, Joined: s.Now().UnixMicro()}
	m.Doc.V = memberDoc{Name: *in.AccountName, Email: *in.Email, Method: organizations.AccountJoinedMethodCreated}
	if err := s.insertMember(ctx, tx, m); err != nil {
		return "", err
	}
	if o.Doc.V.SCP {
		if err := s.attach(ctx, tx, o, fullAccess.ID, id); err != nil {
			return "", err
		}
	}
	return id, s.putTags(ctx, tx, o, id, tags)
}

// DescribeCreateAccountStatus implements organizations:DescribeCreateAccountStatus.
func (s *Service) DescribeCreateAccountStatus(ctx context.Context, in *organizations.DescribeCreateAccountStatusRequest) (*organizations.DescribeCreateAccountStatusResponse, error) {
	o, err := s.readable(ctx, s.DB)
	if err != nil {
		return nil, err
	}
	r, err := db.One[accountRequest](ctx, s.DB, `SELECT `+requestColumns+` FROM organization_requests WHERE id = $1 AND organization_id = $2`, *in.CreateAccountRequestId, o.ID)
	if isNotFound(err) {
		return nil, organizations.ErrCreateAccountStatusNotFound.Msg("You specified a CreateAccountStatus that doesn't exist.")
	} else if err != nil {
		return nil, err
	}
	return &organizations.DescribeCreateAccountStatusResponse{CreateAccountStatus: r.wire()}, nil
}

// ListCreateAccountStatus implements organizations:ListCreateAccountStatus.
func (s *Service) ListCreateAccountStatus(ctx context.Context, in *organizations.ListCreateAccountStatusRequest) (*organizations.ListCreateAccountStatusResponse, error) {
	p, err := newPage(in.NextToken, in.MaxResults)
	if err != nil {
		return nil, err
	}
	o, err := s.readable(ctx, s.DB)
	if err != nil {
		return nil, err
	}
	wanted := func(state string) bool { return len(in.States) == 0 || slices.Contains(in.States, state) }
	succeeded, failed := "", ""
	if wanted(organizations.CreateAccountStateSucceeded) {
		succeeded = organizations.CreateAccountStateSucceeded
	}
	if wanted(organizations.CreateAccountStateFailed) {
		failed = organizations.CreateAccountStateFailed
	}
	rows, err := db.All[accountRequest](ctx, s.DB, `SELECT `+requestColumns+` FROM organization_requests WHERE organization_id = $1 AND id > $2 AND state IN ($3, $4) ORDER BY id LIMIT $5`,
		o.ID, p.after, succeeded, failed, p.size+1)
	if err != nil {
		return nil, err
	}
	out := &organizations.ListCreateAccountStatusResponse{}
	for _, r := range cut(p, rows, func(r accountRequest) string { return r.ID }) {
		out.CreateAccountStatuses = append(out.CreateAccountStatuses, *r.wire())
	}
	out.NextToken = p.next
	return out, nil
}

// DescribeAccount implements organizations:DescribeAccount.
func (s *Service) DescribeAccount(ctx context.Context, in *organizations.DescribeAccountRequest) (*organizations.DescribeAccountResponse, error) {
	o, err := s.readable(ctx, s.DB)
	if err != nil {
		return nil, err
	}
	m, err := s.member(ctx, s.DB, o, *in.AccountId)
	if err != nil {
		return nil, err
	}
	path, err := s.ancestors(ctx, s.DB, o, m.Parent)
	if err != nil {
		return nil, err
	}
	return &organizations.DescribeAccountResponse{Account: m.wire(o, path)}, nil
}

// ListAccounts implements organizations:ListAccounts.
func (s *Service) ListAccounts(ctx context.Context, in *organizations.ListAccountsRequest) (*organizations.ListAccountsResponse, error) {
	list, next, err := s.listAccounts(ctx, nil, in.NextToken, in.MaxResults)
	return &organizations.ListAccountsResponse{Accounts: list, NextToken: next}, err
}

// ListAccountsForParent implements organizations:ListAccountsForParent.
func (s *Service) ListAccountsForParent(ctx context.Context, in *organizations.ListAccountsForParentRequest) (*organizations.ListAccountsForParentResponse, error) {
	list, next, err := s.listAccounts(ctx, in.ParentId, in.NextToken, in.MaxResults)
	return &organizations.ListAccountsForParentResponse{Accounts: list, NextToken: next}, err
}

func (s *Service) listAccounts(ctx context.Context, parent, token *string, max *int32) ([]organizations.Account, *string, error) {
	p, err := newPage(token, max)
	if err != nil {
		return nil, nil, err
	}
	o, err := s.readable(ctx, s.DB)
	if err != nil {
		return nil, nil, err
	}
	if parent != nil {
		if err := s.isParent(ctx, s.DB, o, *parent); err != nil {
			return nil, nil, err
		}
	}
	rows, err := db.All[member](ctx, s.DB, `SELECT `+memberColumns+` FROM organization_accounts
		WHERE organization_id = $1 AND account_id > $2 AND ($3 = '' OR parent_id = $3) ORDER BY account_id LIMIT $4`, o.ID, p.after, str(parent), p.size+1)
	if err != nil {
		return nil, nil, err
	}
	var list []organizations.Account
	for _, m := range cut(p, rows, func(m member) string { return m.ID }) {
		path, err := s.ancestors(ctx, s.DB, o, m.Parent)
		if err != nil {
			return nil, nil, err
		}
		list = append(list, *m.wire(o, path))
	}
	return list, p.next, nil
}

// MoveAccount implements organizations:MoveAccount.
func (s *Service) MoveAccount(ctx context.Context, in *organizations.MoveAccountRequest) error {
	return s.change(ctx, func(tx *db.Tx, o *organization) error {
		m, err := s.member(ctx, tx, o, *in.AccountId)
		if err != nil {
			return err
		}
		if err := s.isParent(ctx, tx, o, *in.SourceParentId); isModeled(err) || err == nil && m.Parent != *in.SourceParentId {
			return organizations.ErrSourceParentNotFound.Msg("You specified a source parent that doesn't exist, or that doesn't contain the account.")
		} else if err != nil {
			return err
		}
		if err := s.isParent(ctx, tx, o, *in.DestinationParentId); isModeled(err) {
			return organizations.ErrDestinationParentNotFound.Msg("You specified a destination parent that doesn't exist.")
		} else if err != nil {
			return err
		}
		if *in.SourceParentId == *in.DestinationParentId {
			return organizations.ErrDuplicateAccount.Msg("The account is already in the destination.")
		}
		tx.Invalidate(accountScope(m.ID))
		return db.Changed(tx.ExecContext(ctx, `UPDATE organization_accounts SET parent_id = $1 WHERE account_id = $2 AND parent_id = $3`, *in.DestinationParentId, m.ID, m.Parent))
	})
}

// RemoveAccountFromOrganization implements organizations:RemoveAccountFromOrganization. The account goes on by itself.
func (s *Service) RemoveAccountFromOrganization(ctx context.Context, in *organizations.RemoveAccountFromOrganizationRequest) error {
	return s.change(ctx, func(tx *db.Tx, o *organization) error {
		m, err := s.member(ctx, tx, o, *in.AccountId)
		if err != nil {
			return err
		}
		if m.ID == o.Management {
			return organizations.ErrMasterCannotLeaveOrganization.Msg("You can't remove a management account from an organization.")
		}
		n, err := db.One[int64](ctx, tx, `SELECT COUNT(*) FROM organization_administrators WHERE account_id = $1`, m.ID)
		if err != nil {
			return err
		}
		if n > 0 {
			return tooMany("CANNOT_REMOVE_DELEGATED_ADMINISTRATOR_FROM_ORG", "You can't remove a delegated administrator from an organization. Deregister it first.")
		}
		if err := s.forget(ctx, tx, m.ID); err != nil {
			return err
		}
		tx.Invalidate(accountScope(m.ID))
		return db.Changed(tx.ExecContext(ctx, `DELETE FROM organization_accounts WHERE account_id = $1`, m.ID))
	})
}

// forget removes what hangs on a unit, an account or a policy.
func (s *Service) forget(ctx context.Context, tx *db.Tx, id string) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM organization_attachments WHERE target_id = $1`, id); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM organization_tags WHERE resource_id = $1`, id)
	return err
}
