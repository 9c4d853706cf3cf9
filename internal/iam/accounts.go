package iam

import (
	"context"
	"strings"

	"usher/internal/api/iam"
	"usher/internal/db"
	"usher/internal/ids"
)

// AdminUser is the name of the first user of an account; AdminPolicy is attached to him.
const (
	AdminUser   = "admin"
	AdminPolicy = "arn:aws:iam::aws:policy/AdministratorAccess"
)

// KeyPair is an access key with its secret, as it is shown once.
type KeyPair struct {
	Account         string
	UserName        string // empty: the root user
	AccessKeyID     string
	SecretAccessKey string
}

func rootARN(account string) string { return "arn:aws:iam::" + account + ":root" }

func (s *Service) accountExists(ctx context.Context, q db.Querier, id string) (bool, error) {
	n, err := db.One[int64](ctx, q, `SELECT COUNT(*) FROM accounts WHERE id = $1`, id)
	return n > 0, err
}

// Bootstrap makes the first account, with its administrator, if there is no account yet. It returns the administrator's
// access key when it has made one, and nil otherwise.
func (s *Service) Bootstrap(ctx context.Context) (*KeyPair, error) {
	var key *KeyPair
	err := s.DB.Tx(ctx, func(tx *db.Tx) error {
		key = nil
		n, err := db.One[int64](ctx, tx, `SELECT COUNT(*) FROM accounts`)
		if err != nil || n > 0 {
			return err
		}
		key, err = s.createAccount(ctx, tx, "default", "default")
		return err
	})
	if err != nil {
		return nil, err
	}
	return key, nil
}

// ErrAccountExists says that the name of an account is taken.
var ErrAccountExists = iam.ErrEntityAlreadyExists.Msg("An account of this name already exists.")

// CreateAccount makes an account with an administrator, and returns his access key.
func (s *Service) CreateAccount(ctx context.Context, name string) (*KeyPair, error) {
	if len(name) < 1 || len(name) > 50 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+=,.@-") != "" {
		return nil, iam.ErrInvalidInput.Msg("The name of an account has 1 to 50 characters: letters, digits and _+=,.@-")
	}
	var key *KeyPair
	err := s.DB.Tx(ctx, func(tx *db.Tx) (err error) {
		key, err = s.createAccount(ctx, tx, name, strings.ToLower(name))
		return err
	})
	if db.IsUnique(err) {
		return nil, ErrAccountExists
	}
	return key, err
}

// createAccount makes an account with an administrator and his access key.
func (s *Service) createAccount(ctx context.Context, tx *db.Tx, name, nameKey string) (*KeyPair, error) {
	admin, err := s.insertAccount(ctx, tx, ids.Account(), name, nameKey)
	if err != nil {
		return nil, err
	}
	key, secret, err := s.insertKey(ctx, tx, admin.AccountID, admin.ID)
	return &KeyPair{Account: admin.AccountID, UserName: AdminUser, AccessKeyID: key.ID, SecretAccessKey: secret}, err
}

// insertAccount makes an account with an administrator, and returns him.
func (s *Service) insertAccount(ctx context.Context, tx *db.Tx, account, name, nameKey string) (*entity, error) {
	now := s.Now().UnixMicro()
	if _, err := tx.ExecContext(ctx, `INSERT INTO accounts (id, name, name_key, created) VALUES ($1, $2, $3, $4)`,
		account, name, nameKey, now); err != nil {
		return nil, err
	}
	admin := &entity{ID: ids.User(), AccountID: account, Kind: userKind, Name: AdminUser, NameKey: AdminUser, Path: "/", Created: now, Rev: 1}
	if err := s.insertEntity(ctx, tx, admin, newEntity{quotaName: "UsersPerAccount", quota: maxUsers}, nil); err != nil {
		return nil, err
	}
	tx.Invalidate(entityScope(account))
	return admin, s.recordAttachment(ctx, tx, admin, AdminPolicy, 0)
}

// MemberAccount is an account to be made in an organization.
type MemberAccount struct {
	Name           string // as Organizations takes it: not unique
	Role           string // name of a role that may do everything,
	TrustedAccount string // and who may assume it: the management account
}

// CreateMemberAccount makes an account like CreateAccount does, but that its administrator has no access key yet, and with a
// role for the management account. It returns the account's id.
func (s *Service) CreateMemberAccount(ctx context.Context, tx *db.Tx, m MemberAccount) (string, error) {
	id := ids.Account()
	if _, err := s.insertAccount(ctx, tx, id, m.Name, id); err != nil {
		return "", err
	}
	role := &entity{ID: ids.Role(), AccountID: id, Kind: roleKind, Name: m.Role, NameKey: strings.ToLower(m.Role), Path: "/", Created: s.Now().UnixMicro(), Rev: 1}
	role.Doc.V.Trust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + rootARN(m.TrustedAccount) + `"},"Action":"sts:AssumeRole"}]}`
	if err := s.insertEntity(ctx, tx, role, newEntity{quotaName: "RolesPerAccount", quota: maxRoles}, nil); err != nil {
		return "", err
	}
	return id, s.recordAttachment(ctx, tx, role, AdminPolicy, 0)
}

// AccountName returns the name of an account.
func (s *Service) AccountName(ctx context.Context, q db.Querier, id string) (string, error) {
	return db.One[string](ctx, q, `SELECT name FROM accounts WHERE id = $1`, id)
}

// AdminKey makes another access key for the administrator of an account, for one who has lost his.
func (s *Service) AdminKey(ctx context.Context, account string) (*KeyPair, error) {
	return s.ownerKey(ctx, account, AdminUser)
}

// RootKey makes an access key for the root user of an account.
func (s *Service) RootKey(ctx context.Context, account string) (*KeyPair, error) {
	return s.ownerKey(ctx, account, "")
}

func (s *Service) ownerKey(ctx context.Context, account, user string) (*KeyPair, error) {
	var pair *KeyPair
	err := s.DB.Tx(ctx, func(tx *db.Tx) error {
		owner := account
		if ok, err := s.accountExists(ctx, tx, account); err != nil {
			return err
		} else if !ok {
			return iam.ErrNoSuchEntity.Msg("The account with id %s cannot be found.", account)
		}
		if user != "" {
			e, err := s.findEntity(ctx, tx, account, userKind, user)
			if isNotFound(err) {
				return noSuchEntity(userKind, user)
			} else if err != nil {
				return err
			}
			owner = e.ID
		}
		n, err := db.One[int64](ctx, tx, `SELECT COUNT(*) FROM iam_access_keys WHERE entity_id = $1`, owner)
		if err != nil {
			return err
		}
		if n >= maxKeysPerUser {
			return quota("AccessKeysPerUser", maxKeysPerUser)
		}
		key, secret, err := s.insertKey(ctx, tx, account, owner)
		pair = &KeyPair{Account: account, UserName: user, AccessKeyID: key.ID, SecretAccessKey: secret}
		return err
	})
	if err != nil {
		return nil, err
	}
	return pair, nil
}

// Account is an account of this installation.
type Account struct{ ID, Name string }

// Accounts lists the accounts in the order in which they were made.
func (s *Service) Accounts(ctx context.Context) ([]Account, error) {
	return db.All[Account](ctx, s.DB, `SELECT id, name FROM accounts ORDER BY created, id`)
}

// GetAccountSummary implements iam:GetAccountSummary.
func (s *Service) GetAccountSummary(ctx context.Context, _ *iam.GetAccountSummaryRequest) (*iam.GetAccountSummaryResponse, error) {
	type counts struct{ Users, Groups, Roles, Policies, InUse, Providers, Devices, DevicesInUse, RootKeys int64 }
	n, err := db.One[counts](ctx, s.DB, `SELECT
		(SELECT COUNT(*) FROM iam_entities WHERE account_id = $1 AND kind = 'user'),
		(SELECT COUNT(*) FROM iam_entities WHERE account_id = $1 AND kind = 'group'),
		(SELECT COUNT(*) FROM iam_entities WHERE account_id = $1 AND kind = 'role'),
		(SELECT COUNT(*) FROM iam_policies WHERE account_id = $1),
		(SELECT COUNT(DISTINCT policy_arn) FROM iam_attachments WHERE account_id = $1),
		(SELECT COUNT(*) FROM iam_oidc_providers WHERE account_id = $1) + (SELECT COUNT(*) FROM iam_saml_providers WHERE account_id = $1),
		(SELECT COUNT(*) FROM iam_mfa_devices WHERE account_id = $1), (SELECT COUNT(*) FROM iam_mfa_devices WHERE account_id = $1 AND user_id <> ''),
		(SELECT COUNT(*) FROM iam_access_keys WHERE entity_id = $1)`, account(ctx))
	if err != nil {
		return nil, err
	}
	present := int32(0)
	if n.RootKeys > 0 {
		present = 1
	}
	return &iam.GetAccountSummaryResponse{SummaryMap: map[string]int32{
		"Users": int32(n.Users), "UsersQuota": maxUsers,
		"Groups": int32(n.Groups), "GroupsQuota": maxGroups, "GroupsPerUserQuota": maxGroupsPerUser,
		"Roles": int32(n.Roles), "RolesQuota": maxRoles,
		"Policies": int32(n.Policies), "PoliciesQuota": maxPolicies, "PolicySizeQuota": 6144,
		"PolicyVersionsInUse": int32(n.InUse), "VersionsPerPolicyQuota": maxVersions,
		"AttachedPoliciesPerUserQuota": maxAttached, "AttachedPoliciesPerGroupQuota": maxAttached, "AttachedPoliciesPerRoleQuota": maxAttached,
		"UserPolicySizeQuota": 2048, "GroupPolicySizeQuota": 5120, "RolePolicySizeQuota": 10240, "AssumeRolePolicySizeQuota": 2048,
		"AccessKeysPerUserQuota": maxKeysPerUser, "Providers": int32(n.Providers),
		"MFADevices": int32(n.Devices), "MFADevicesInUse": int32(n.DevicesInUse),
		"AccountAccessKeysPresent": present, "AccountMFAEnabled": 0,
	}}, nil
}
