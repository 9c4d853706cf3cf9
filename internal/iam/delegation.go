package iam

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"usher/internal/api/iam"
	"usher/internal/arn"
	"usher/internal/awsapi"
	"usher/internal/db"
	"usher/internal/ids"
	"usher/internal/policy"
)

// Temporary delegation: an account asks another for temporary permissions, somebody there takes the request on, accepts it and
// releases a token, which the asking account trades for credentials at STS (IAM User Guide, "IAM temporary delegation"). What the
// credentials may do is what both the request says and who accepted it may do.

// Approver is who accepts a delegation request: an IAM user, or a session of a role.
type Approver struct {
	ARN            string            `json:"arn"`
	ID             string            `json:"id"` // unique id of the user or role
	Role           bool              `json:"role,omitempty"`
	SourceIdentity string            `json:"sourceIdentity,omitempty"`
	Tags           map[string]string `json:"tags,omitempty"` // of the session
}

// delegation is a row of iam_delegations.
type delegation struct {
	ID, Requestor, Workflow           string
	OwnerAccount, OwnerID, ApproverID string
	State                             string
	Expires, Created, Rev             int64
	Doc                               db.JSON[delegationDoc]
}

const delegationColumns = `id, requestor_id, workflow_id, owner_account, owner_id, approver, state, expires, created, rev, doc`

type delegationDoc struct {
	Description string                   `json:"description"`
	Message     string                   `json:"message,omitempty"`
	Permissions iam.DelegationPermission `json:"permissions"`
	Policy      string                   `json:"policy"` // with the parameters put in
	RedirectURL string                   `json:"redirectUrl,omitempty"`
	Channel     string                   `json:"channel"`
	Seconds     int32                    `json:"seconds"` // how long the token can be traded
	OnlyOwner   bool                     `json:"onlyOwner,omitempty"`
	Notes       string                   `json:"notes,omitempty"`
	Rejection   string                   `json:"rejection,omitempty"`
	Updated     int64                    `json:"updated"`
	Approver    *Approver                `json:"approver,omitempty"`
	Secret      []byte                   `json:"secret,omitempty"` // SHA-256 of the token's
}

const (
	maxDelegations = 1000           // open requests of an account
	unclaimedLife  = 24 * time.Hour // of a request that nobody has taken on
	requestLife    = 7 * 24 * time.Hour
)

// stateAt is the state of a request, which expires by itself.
func (d *delegation) stateAt(now time.Time) string {
	if now.UnixMicro() >= d.Expires {
		return iam.StateTypeExpired
	}
	return d.State
}

func (d *delegation) wire(now time.Time) *iam.DelegationRequest {
	v := &d.Doc.V
	out := &iam.DelegationRequest{
		DelegationRequestId: &d.ID, Description: &v.Description, Permissions: &v.Permissions, PermissionPolicy: &v.Policy, State: new(d.stateAt(now)),
		ExpirationTime: timeOf(d.Expires), RequestorId: &d.Requestor, CreateDate: timeOf(d.Created), SessionDuration: &v.Seconds, OnlySendByOwner: &v.OnlyOwner, UpdatedTime: timeOf(v.Updated),
	}
	for text, member := range map[*string]**string{&d.OwnerAccount: &out.OwnerAccountId, &d.OwnerID: &out.OwnerId, &v.Message: &out.RequestMessage,
		&v.RedirectURL: &out.RedirectUrl, &v.Notes: &out.Notes, &v.Rejection: &out.RejectionReason} {
		if *text != "" {
			*member = text
		}
	}
	if v.Approver != nil {
		out.ApproverId = &v.Approver.ARN
	}
	return out
}

// CreateDelegationRequest implements iam:CreateDelegationRequest. The template is a managed policy of the asking account or of
// AWS, in which @{name} stands for a parameter.
func (s *Service) CreateDelegationRequest(ctx context.Context, in *iam.CreateDelegationRequestRequest) (*iam.CreateDelegationRequestResponse, error) {
	topic, err := arn.Parse(*in.NotificationChannel)
	if err != nil || topic.Service != "sns" || topic.AccountID != account(ctx) {
		return nil, iam.ErrInvalidInput.Msg("NotificationChannel must be the ARN of an SNS topic of the calling account.")
	}
	var d *delegation
	err = s.DB.Tx(ctx, func(tx *db.Tx) error {
		now := s.Now()
		d = &delegation{ID: ids.UUID(), Requestor: account(ctx), Workflow: *in.RequestorWorkflowId, OwnerAccount: str(in.OwnerAccountId), State: iam.StateTypeUnassigned,
			Expires: now.Add(unclaimedLife).UnixMicro(), Created: now.UnixMicro(), Rev: 1}
		d.Doc.V = delegationDoc{Description: *in.Description, Message: str(in.RequestMessage), Permissions: *in.Permissions, RedirectURL: str(in.RedirectUrl),
			Channel: *in.NotificationChannel, Seconds: *in.SessionDuration, OnlyOwner: in.OnlySendByOwner != nil && *in.OnlySendByOwner, Updated: d.Created}
		var err error
		if d.Doc.V.Policy, err = s.renderTemplate(ctx, tx, in.Permissions); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM iam_delegations WHERE requestor_id = $1 AND expires < $2`, d.Requestor, now.Add(-requestLife).UnixMicro()); err != nil {
			return err
		}
		n, err := db.One[int64](ctx, tx, `SELECT COUNT(*) FROM iam_delegations WHERE requestor_id = $1`, d.Requestor)
		if err != nil {
			return err
		}
		if n >= maxDelegations {
			return quota("DelegationRequestsPerAccount", maxDelegations)
		}
		res, err := tx.ExecContext(ctx, `INSERT INTO iam_delegations (`+delegationColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING`,
			d.ID, d.Requestor, d.Workflow, d.OwnerAccount, d.OwnerID, d.ApproverID, d.State, d.Expires, d.Created, d.Rev, d.Doc)
		if err != nil {
			return err
		}
		if n, err = res.RowsAffected(); err == nil && n == 0 {
			err = iam.ErrEntityAlreadyExists.Msg("A delegation request with the workflow id %s already exists.", d.Workflow)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &iam.CreateDelegationRequestResponse{DelegationRequestId: &d.ID}, nil
}

// renderTemplate puts the parameters of a request into its template. The result is a policy of a session.
func (s *Service) renderTemplate(ctx context.Context, q db.Querier, p *iam.DelegationPermission) (string, error) {
	template := str(p.PolicyTemplateArn)
	m, err := s.findPolicy(ctx, q, template)
	if isNotFound(err) || err == nil && m.AccountID != awsAccount && m.AccountID != account(ctx) {
		return "", iam.ErrInvalidInput.Msg("The policy template %s does not exist.", template)
	} else if err != nil {
		return "", err
	}
	var values []string
	for _, v := range p.Parameters {
		if v.Name == nil || len(v.Values) == 0 || str(v.Type) != iam.PolicyParameterTypeEnumStringList && len(v.Values) != 1 {
			return "", iam.ErrInvalidInput.Msg("A parameter needs a name and a value; only those of type stringList may have several.")
		}
		text, err := json.Marshal(v.Values)
		if err != nil {
			return "", err
		}
		if str(v.Type) == iam.PolicyParameterTypeEnumStringList { // stands for a whole element
			values = append(values, `"@{`+*v.Name+`}"`, string(text))
		} else {
			values = append(values, `@{`+*v.Name+`}`, strings.TrimSuffix(strings.TrimPrefix(string(text), `["`), `"]`))
		}
	}
	text := strings.NewReplacer(values...).Replace(m.version(m.Doc.V.Default).Document)
	if strings.Contains(text, "@{") {
		return "", iam.ErrInvalidInput.Msg("The policy template has a parameter that was not given.")
	}
	if err := policy.Validate(text, policy.KindSession); err != nil {
		return "", iam.ErrInvalidInput.Msg("The policy template does not make a valid policy: %s", err)
	}
	return text, nil
}

func (s *Service) findDelegation(ctx context.Context, q db.Querier, id string) (*delegation, error) {
	d, err := db.One[delegation](ctx, q, `SELECT `+delegationColumns+` FROM iam_delegations WHERE id = $1`, id)
	if isNotFound(err) {
		err = noSuchDelegation(id)
	}
	return &d, err
}

func noSuchDelegation(id string) error {
	return iam.ErrNoSuchEntity.Msg("The delegation request with id %s cannot be found.", id)
}

// GetDelegationRequest implements iam:GetDelegationRequest. A request that no account has taken on is there for all who know its id.
func (s *Service) GetDelegationRequest(ctx context.Context, in *iam.GetDelegationRequestRequest) (*iam.GetDelegationRequestResponse, error) {
	d, err := s.findDelegation(ctx, s.DB, *in.DelegationRequestId)
	if err != nil {
		return nil, err
	}
	if d.OwnerAccount != "" && d.OwnerAccount != account(ctx) {
		return nil, noSuchDelegation(d.ID)
	}
	out := &iam.GetDelegationRequestResponse{DelegationRequest: d.wire(s.Now())}
	if in.DelegationPermissionCheck != nil && *in.DelegationPermissionCheck {
		out.PermissionCheckStatus, out.PermissionCheckResult = new(iam.PermissionCheckStatusTypeComplete), new(iam.PermissionCheckResultTypeUnsure)
	}
	return out, nil
}

// ListDelegationRequests implements iam:ListDelegationRequests: those that somebody of the account has taken on.
func (s *Service) ListDelegationRequests(ctx context.Context, in *iam.ListDelegationRequestsRequest) (*iam.ListDelegationRequestsResponse, error) {
	p, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	rows, err := db.All[delegation](ctx, s.DB, `SELECT `+delegationColumns+` FROM iam_delegations
		WHERE owner_account = $1 AND owner_id <> '' AND ($2 = '' OR owner_id = $2) AND id > $3 ORDER BY id LIMIT $4`, account(ctx), str(in.OwnerId), p.after, p.size+1)
	if err != nil {
		return nil, err
	}
	out := &iam.ListDelegationRequestsResponse{}
	for _, d := range cut(p, rows, func(d delegation) string { return d.ID }) {
		out.DelegationRequests = append(out.DelegationRequests, *d.wire(s.Now()))
	}
	out.IsTruncated, out.Marker = p.isTruncated(), p.marker()
	return out, nil
}

// moveDelegation takes a request of the caller's account from one of some states to another, in which it lives for a while.
func (s *Service) moveDelegation(ctx context.Context, id, to string, life time.Duration, from []string, change func(*db.Tx, *delegation) error) error {
	return s.DB.Tx(ctx, func(tx *db.Tx) error {
		d, err := s.findDelegation(ctx, tx, id)
		if err != nil {
			return err
		}
		if d.OwnerAccount != account(ctx) && (d.OwnerAccount != "" || to != iam.StateTypeAssigned) {
			return noSuchDelegation(id)
		}
		now := s.Now()
		state, fits := d.stateAt(now), false
		for _, name := range from {
			fits = fits || state == name
		}
		if !fits {
			return iam.ErrInvalidInput.Msg("The delegation request is in the state %s.", state)
		}
		d.State, d.Expires, d.Doc.V.Updated = to, now.Add(life).UnixMicro(), now.UnixMicro()
		if err := change(tx, d); err != nil {
			return err
		}
		return db.Changed(tx.ExecContext(ctx, `UPDATE iam_delegations SET owner_account = $1, owner_id = $2, approver = $3, state = $4, expires = $5, doc = $6, rev = rev + 1
			WHERE id = $7 AND rev = $8`, d.OwnerAccount, d.OwnerID, d.ApproverID, d.State, d.Expires, d.Doc, d.ID, d.Rev))
	})
}

// AssociateDelegationRequest implements iam:AssociateDelegationRequest: the caller takes a request on.
func (s *Service) AssociateDelegationRequest(ctx context.Context, in *iam.AssociateDelegationRequestRequest) error {
	return s.moveDelegation(ctx, *in.DelegationRequestId, iam.StateTypeAssigned, requestLife, []string{iam.StateTypeUnassigned}, func(_ *db.Tx, d *delegation) error {
		c, _ := awsapi.CallerFrom(ctx)
		d.OwnerAccount, d.OwnerID = c.AccountID, c.ARN
		return nil
	})
}

// UpdateDelegationRequest implements iam:UpdateDelegationRequest: somebody else is to accept it.
func (s *Service) UpdateDelegationRequest(ctx context.Context, in *iam.UpdateDelegationRequestRequest) error {
	return s.moveDelegation(ctx, *in.DelegationRequestId, iam.StateTypePendingApproval, requestLife, []string{iam.StateTypeAssigned, iam.StateTypePendingApproval}, func(_ *db.Tx, d *delegation) error {
		if in.Notes != nil {
			d.Doc.V.Notes = *in.Notes
		}
		return nil
	})
}

// AcceptDelegationRequest implements iam:AcceptDelegationRequest. The credentials will have no more permissions than the caller.
func (s *Service) AcceptDelegationRequest(ctx context.Context, in *iam.AcceptDelegationRequestRequest) error {
	approver, err := s.Approver(ctx)
	if err != nil {
		return err
	}
	return s.moveDelegation(ctx, *in.DelegationRequestId, iam.StateTypeAccepted, requestLife, []string{iam.StateTypeAssigned, iam.StateTypePendingApproval}, func(_ *db.Tx, d *delegation) error {
		d.ApproverID, d.Doc.V.Approver = approver.ID, approver
		return nil
	})
}

// RejectDelegationRequest implements iam:RejectDelegationRequest, as long as the token is not released.
func (s *Service) RejectDelegationRequest(ctx context.Context, in *iam.RejectDelegationRequestRequest) error {
	return s.moveDelegation(ctx, *in.DelegationRequestId, iam.StateTypeRejected, requestLife, []string{iam.StateTypeAssigned, iam.StateTypePendingApproval, iam.StateTypeAccepted}, func(_ *db.Tx, d *delegation) error {
		d.Doc.V.Rejection = str(in.Notes)
		return nil
	})
}

// SendDelegationToken implements iam:SendDelegationToken. The token goes to the topic of the account that asked.
func (s *Service) SendDelegationToken(ctx context.Context, in *iam.SendDelegationTokenRequest) error {
	return s.moveDelegation(ctx, *in.DelegationRequestId, iam.StateTypeFinalized, 0, []string{iam.StateTypeAccepted}, func(tx *db.Tx, d *delegation) error {
		c, _ := awsapi.CallerFrom(ctx)
		if d.Doc.V.OnlyOwner && c.ARN != d.OwnerID {
			return iam.ErrInvalidInput.Msg("Only the owner of the delegation request may send its token.")
		}
		secret := make([]byte, 32)
		rand.Read(secret)
		sum := sha256.Sum256(secret)
		d.Doc.V.Secret, d.Expires = sum[:], s.Now().Add(time.Duration(d.Doc.V.Seconds)*time.Second).UnixMicro()
		text, err := json.Marshal(map[string]string{
			"delegationRequestId": d.ID, "requestorWorkflowId": d.Workflow, "state": d.State, "ownerAccountId": d.OwnerAccount,
			"exchangeToken": d.ID + "." + base64.RawURLEncoding.EncodeToString(secret), "expirationTime": timeOf(d.Expires).Format(time.RFC3339),
		})
		if err != nil {
			return err
		}
		return s.Publish(ctx, tx, d.Doc.V.Channel, string(text))
	})
}

// Delegation is what a trade-in token stands for.
type Delegation struct {
	Requestor string // account
	Account   string // whose permissions they are
	Approver  Approver
	Policy    string
	Expires   time.Time
}

// Delegation returns what a trade-in token of an account stands for; db.ErrNotFound for any other text. It may have expired.
func (s *Service) Delegation(ctx context.Context, requestor, text string) (*Delegation, error) {
	id, encoded, _ := strings.Cut(text, ".")
	secret, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return nil, db.ErrNotFound
	}
	d, err := db.One[delegation](ctx, s.DB, `SELECT `+delegationColumns+` FROM iam_delegations WHERE id = $1 AND requestor_id = $2 AND state = $3`, id, requestor, iam.StateTypeFinalized)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(secret)
	if subtle.ConstantTimeCompare(sum[:], d.Doc.V.Secret) != 1 || d.Doc.V.Approver == nil {
		return nil, db.ErrNotFound
	}
	return &Delegation{d.Requestor, d.OwnerAccount, *d.Doc.V.Approver, d.Doc.V.Policy, time.UnixMicro(d.Expires)}, nil
}

// EndDelegations ends what a user or role has accepted, in the transaction that ends his sessions.
func (s *Service) EndDelegations(ctx context.Context, tx *db.Tx, approver string) error {
	_, err := tx.ExecContext(ctx, `UPDATE iam_delegations SET expires = $1, rev = rev + 1 WHERE approver = $2 AND state IN ($3, $4) AND expires > $1`,
		s.Now().UnixMicro(), approver, iam.StateTypeAccepted, iam.StateTypeFinalized)
	return err
}

// delegationTarget is the request that an operation on delegation requests is about.
func (t *targeting) delegationTarget() (string, error) {
	resource := "arn:aws:iam::" + account(t.ctx) + ":delegation-request/"
	switch in := t.in.Addr().Interface().(type) {
	case *iam.CreateDelegationRequestRequest:
		t.keys["iam:DelegationDuration"] = []string{strconv.Itoa(int(*in.SessionDuration))}
		t.keys["iam:NotificationChannel"] = []string{*in.NotificationChannel}
		t.keys["iam:TemplateArn"] = []string{str(in.Permissions.PolicyTemplateArn)}
		return resource + "*", nil
	case *iam.ListDelegationRequestsRequest:
		if in.OwnerId != nil {
			t.keys["iam:DelegationRequestOwner"] = []string{*in.OwnerId}
		}
		return "*", nil
	}
	id := *t.text("DelegationRequestId")
	d, err := t.findDelegation(t.ctx, t.DB, id)
	if err == nil && d.OwnerID != "" && d.OwnerAccount == account(t.ctx) {
		t.keys["iam:DelegationRequestOwner"] = []string{d.OwnerID}
	}
	return resource + id, ignoreModeled(err)
}
