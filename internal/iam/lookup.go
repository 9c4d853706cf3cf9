package iam

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"usher/internal/api/iam"
	"usher/internal/arn"
	"usher/internal/db"
	"usher/internal/policy"
	"usher/internal/token"
)

// AccessKey is a long-term access key as a verifier of signatures needs it. It is shared: read only.
type AccessKey struct {
	ID      string
	Account string
	Owner   string // unique id of the user, or the account id: the root user
	Active  bool
	Secret  string
}

// AccessKey returns the access key with an id; db.ErrNotFound if there is none. That there is none is remembered too, so
// that a wrong id costs no more than a wrong signature.
func (s *Service) AccessKey(ctx context.Context, id string) (*AccessKey, error) {
	key, err := s.keys.Get(ctx, id, keyScope(id), func(ctx context.Context) (*AccessKey, error) {
		row, err := db.One[keyRow](ctx, s.DB, `SELECT `+keyColumns+` FROM iam_access_keys WHERE id = $1`, id)
		if isNotFound(err) {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
		secret, err := s.Box.Open(row.Secret, []byte(row.ID))
		if err != nil {
			return nil, fmt.Errorf("iam: secret of access key %s: %w", row.ID, err)
		}
		return &AccessKey{ID: row.ID, Account: row.AccountID, Owner: row.EntityID, Active: row.Status == iam.StatusTypeActive, Secret: string(secret)}, nil
	})
	if err == nil && key == nil {
		err = db.ErrNotFound
	}
	return key, err
}

// Principal is a user, a role or the root user of an account, with everything that decisions about it need. It is shared
// and immutable; a change in IAM makes a new one.
type Principal struct {
	Account string
	ID      string // unique id; the account id for root
	Name    string // user or role name; empty for root
	ARN     string
	Root    bool
	Role    bool

	Tags     map[string]string
	Identity []policy.Source // inline and attached policies, of groups as well
	Boundary *policy.Source  // nil if there is none

	Organization *Membership // of the account; nil if it is in none
	// ServiceControl are the service control policies that count for the principal, by level. None do for service-linked roles.
	ServiceControl [][]policy.Source

	// Of roles.
	Trust      []policy.Source // the trust policy, users and roles in it by unique id
	MaxSession time.Duration
}

// Principal returns the user or role with a unique id, or the root user of the account with that id. Its error is
// db.ErrNotFound if there is none, or no more.
func (s *Service) Principal(ctx context.Context, id string) (*Principal, error) {
	return s.principals.GetScoped(ctx, id, func(ctx context.Context, on func(...string)) (*Principal, error) {
		on(entityScope(id))
		if isAccount(id) {
			ok, err := s.accountExists(ctx, s.DB, id)
			if err == nil && !ok {
				err = db.ErrNotFound
			}
			if err != nil {
				return nil, err
			}
			p := &Principal{Account: id, ID: id, ARN: rootARN(id), Root: true}
			return p, s.addOrganization(ctx, p, on)
		}
		return s.loadPrincipal(ctx, id, on)
	})
}

func (s *Service) loadPrincipal(ctx context.Context, id string, on func(...string)) (*Principal, error) {
	e, err := s.entityByID(ctx, s.DB, id)
	if err != nil {
		return nil, err
	}
	if e.Kind == groupKind {
		return nil, db.ErrNotFound
	}
	p := &Principal{Account: e.AccountID, ID: e.ID, Name: e.Name, ARN: e.ARN(), Role: e.Kind == roleKind, Tags: map[string]string{}}
	for _, t := range e.Doc.V.Tags {
		p.Tags[t.Key] = t.Value
	}
	if err := s.addPolicies(ctx, p, e, on); err != nil {
		return nil, err
	}
	if err := s.addOrganization(ctx, p, on); err != nil {
		return nil, err
	}
	if p.Role && strings.HasPrefix(e.Path, servicePath) {
		p.ServiceControl = nil
	}
	if e.Doc.V.Boundary != "" {
		src, err := s.managedSource(ctx, e.Doc.V.Boundary, on)
		if err != nil {
			return nil, err
		}
		p.Boundary = &src
	}
	if p.Role {
		p.MaxSession = time.Duration(e.maxSession()) * time.Second
		trust, err := compileTrust(e.Doc.V.Trust, e.Doc.V.TrustIDs)
		if err != nil {
			return nil, fmt.Errorf("iam: trust policy of %s: %w", p.ARN, err)
		}
		p.Trust = []policy.Source{{ID: "AssumeRolePolicyDocument", Type: "resource", ARN: p.ARN, Policy: trust}}
		return p, nil
	}
	groups, err := s.groupsOf(ctx, s.DB, e.ID)
	if err != nil {
		return nil, err
	}
	for i := range groups {
		on(entityScope(groups[i].ID))
		if err := s.addPolicies(ctx, p, &groups[i], on); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// addOrganization adds what the account's organization says.
func (s *Service) addOrganization(ctx context.Context, p *Principal, on func(...string)) (err error) {
	if p.Organization, err = s.membership(ctx, p.Account, on); p.Organization != nil {
		p.ServiceControl = p.Organization.ServiceControl
	}
	return err
}

// addPolicies adds the inline and attached policies of a user, role or group.
func (s *Service) addPolicies(ctx context.Context, p *Principal, e *entity, on func(...string)) error {
	for _, name := range sortedKeys(e.Doc.V.Inline) {
		compiled, err := policy.Parse(e.Doc.V.Inline[name])
		if err != nil {
			return fmt.Errorf("iam: policy %s of %s: %w", name, e.ARN(), err)
		}
		p.Identity = append(p.Identity, policy.Source{ID: name, Type: e.Kind, Policy: compiled})
	}
	attached, err := db.All[string](ctx, s.DB, `SELECT policy_arn FROM iam_attachments WHERE entity_id = $1 AND boundary = 0 ORDER BY policy_arn`, e.ID)
	if err != nil {
		return err
	}
	for _, a := range attached {
		src, err := s.managedSource(ctx, a, on)
		if err != nil {
			return err
		}
		p.Identity = append(p.Identity, src)
	}
	return nil
}

// ManagedPolicy returns the default version of a managed policy. If there is no such policy, the source has no Policy:
// decisions that it applies to deny.
func (s *Service) ManagedPolicy(ctx context.Context, text string) (policy.Source, error) {
	return s.policies.GetScoped(ctx, text, func(ctx context.Context, on func(...string)) (policy.Source, error) {
		return s.managedSource(ctx, text, on)
	})
}

func (s *Service) managedSource(ctx context.Context, text string, on func(...string)) (policy.Source, error) {
	on(policyScope(text))
	m, err := s.findPolicy(ctx, s.DB, text)
	if isNotFound(err) {
		return policy.Source{ID: policyName(text), ARN: text}, nil
	} else if err != nil {
		return policy.Source{}, err
	}
	src := policy.Source{ID: m.Name, Type: "user-managed", ARN: m.ARN}
	if m.AccountID == awsAccount {
		src.Type = "aws-managed"
	}
	if src.Policy, err = policy.Parse(m.version(m.Doc.V.Default).Document); err != nil {
		return policy.Source{}, fmt.Errorf("iam: policy %s: %w", text, err)
	}
	return src, nil
}

// RoleByARN returns the role with exactly this ARN; db.ErrNotFound if there is none.
func (s *Service) RoleByARN(ctx context.Context, text string) (*Principal, error) {
	a, err := arn.Parse(text)
	if err != nil || a.Service != "iam" {
		return nil, db.ErrNotFound
	}
	kind, name := a.Type()
	if kind != roleKind {
		return nil, db.ErrNotFound
	}
	name = strings.ToLower(name[strings.LastIndexByte(name, '/')+1:])
	id, err := s.roles.Get(ctx, a.AccountID+"/"+name, roleScope(a.AccountID, name), func(ctx context.Context) (string, error) {
		return db.One[string](ctx, s.DB, `SELECT id FROM iam_entities WHERE account_id = $1 AND kind = $2 AND name_key = $3`, a.AccountID, roleKind, name)
	})
	if err != nil {
		return nil, err
	}
	p, err := s.Principal(ctx, id)
	if err == nil && p.ARN != text {
		err = db.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

// OIDCProvider is an OpenID Connect provider of an account. It is shared: read only.
type OIDCProvider struct {
	ARN         string
	URL         string // the issuer, with its scheme
	Name        string // the URL without scheme: prefix of condition keys
	ClientIDs   []string
	Thumbprints []string
	Keys        []token.PublicKey // uploaded: the issuer is not contacted; nil: they are discovered
}

// OIDCProvider returns the provider of an account whose URL is exactly the issuer's; db.ErrNotFound if there is none.
func (s *Service) OIDCProvider(ctx context.Context, account, issuer string) (*OIDCProvider, error) {
	list, err := s.providers.Get(ctx, account, oidcScope(account), func(ctx context.Context) ([]OIDCProvider, error) {
		rows, err := db.All[provider](ctx, s.DB, `SELECT `+providerColumns+` FROM iam_oidc_providers WHERE account_id = $1 ORDER BY arn LIMIT $2`, account, maxOIDCProviders)
		var list []OIDCProvider
		for _, r := range rows {
			_, name, _ := strings.Cut(r.URL, "://")
			keys, err := r.keys()
			if err != nil {
				return nil, fmt.Errorf("iam: keys of %s: %w", r.ARN, err)
			}
			list = append(list, OIDCProvider{ARN: r.ARN, URL: r.URL, Name: name, ClientIDs: r.Doc.V.ClientIDs, Thumbprints: r.Doc.V.Thumbprints, Keys: keys})
		}
		return list, err
	})
	if err != nil {
		return nil, err
	}
	for i := range list {
		if list[i].URL == issuer {
			return &list[i], nil
		}
	}
	return nil, db.ErrNotFound
}

// AccountExists reports whether an account is one of this installation.
func (s *Service) AccountExists(ctx context.Context, id string) (bool, error) {
	_, err := s.Principal(ctx, id)
	if errors.Is(err, db.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
