package iam

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"runtime"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"usher/internal/api/iam"
	"usher/internal/db"
)

// passwordHash is a password hashed with Argon2id (RFC 9106), together with the costs that it was hashed with.
type passwordHash struct {
	Memory uint32 `json:"memory"` // KiB
	Time   uint32 `json:"time"`   // passes
	Salt   []byte `json:"salt"`
	Hash   []byte `json:"hash"`
}

// Costs of new hashes: OWASP's recommendation for Argon2id (Password Storage Cheat Sheet).
const (
	hashMemory = 19 << 10 // KiB
	hashTime   = 2
	hashSize   = 32
	saltSize   = 16
)

// hashing bounds how many passwords are hashed at a time, and so the memory that it takes.
var hashing = make(chan struct{}, runtime.GOMAXPROCS(0))

func argon2id(ctx context.Context, password string, h *passwordHash) ([]byte, error) {
	select {
	case hashing <- struct{}{}:
		defer func() { <-hashing }()
		return argon2.IDKey([]byte(password), h.Salt, h.Time, h.Memory, 1, hashSize), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func hashPassword(ctx context.Context, password string) (passwordHash, error) {
	h := passwordHash{Memory: hashMemory, Time: hashTime, Salt: make([]byte, saltSize)}
	rand.Read(h.Salt)
	var err error
	h.Hash, err = argon2id(ctx, password, &h)
	return h, err
}

func (h *passwordHash) matches(ctx context.Context, password string) (bool, error) {
	got, err := argon2id(ctx, password, h)
	return err == nil && subtle.ConstantTimeCompare(got, h.Hash) == 1, err
}

// loginProfile is a row of iam_login_profiles.
type loginProfile struct {
	UserID       string
	Created, Rev int64
	Doc          db.JSON[profileDoc]
}

const profileColumns = `user_id, created, rev, doc`

type profileDoc struct {
	Password      passwordHash   `json:"password"`
	Changed       int64          `json:"changed"` // µs
	ResetRequired bool           `json:"resetRequired,omitempty"`
	Old           []passwordHash `json:"old,omitempty"` // earlier passwords, the last first
	Guesses       guesses        `json:"guesses"`
}

// maxReuse is how many passwords a password policy can make a user avoid, his present one included.
const maxReuse = 24

// change replaces the password.
func (d *profileDoc) change(to passwordHash, now int64) {
	d.Old = slices.Insert(d.Old, 0, d.Password)
	d.Old = d.Old[:min(len(d.Old), maxReuse-1)]
	d.Password, d.Changed, d.Guesses = to, now, guesses{}
}

func noSuchProfile(user string) error {
	return iam.ErrNoSuchEntity.Msg("Login Profile for User %s cannot be found.", user)
}

var (
	errRootPassword  = errValidation.Msg("The root user signs in nowhere with a password. `usher root-key` makes an access key for it.")
	errWrongPassword = errAccessDenied.Msg("The old password was incorrect.")
	errReused        = iam.ErrPasswordPolicyViolation.Msg("Password does not conform to the account password policy: it was used before.")
)

// profile reads a user and his login profile.
func (s *Service) profile(ctx context.Context, q db.Querier, name *string) (*entity, *loginProfile, error) {
	e, id, err := s.requireUser(ctx, q, name)
	if err != nil {
		return nil, nil, err
	}
	if e == nil {
		return nil, nil, noSuchProfile(rootARN(id))
	}
	p, err := db.One[loginProfile](ctx, q, `SELECT `+profileColumns+` FROM iam_login_profiles WHERE user_id = $1`, e.ID)
	if isNotFound(err) {
		err = noSuchProfile(e.Name)
	}
	return e, &p, err
}

func (s *Service) changeProfile(ctx context.Context, name *string, change func(*loginProfile) error) error {
	return s.DB.Tx(ctx, func(tx *db.Tx) error {
		_, p, err := s.profile(ctx, tx, name)
		if err != nil {
			return err
		}
		if err := change(p); err != nil {
			return err
		}
		return db.Changed(tx.ExecContext(ctx, `UPDATE iam_login_profiles SET doc = $1, rev = rev + 1 WHERE user_id = $2 AND rev = $3`, p.Doc, p.UserID, p.Rev))
	})
}

func wireProfile(e *entity, p *loginProfile) *iam.LoginProfile {
	return &iam.LoginProfile{UserName: &e.Name, CreateDate: timeOf(p.Created), PasswordResetRequired: &p.Doc.V.ResetRequired}
}

// CreateLoginProfile implements iam:CreateLoginProfile.
func (s *Service) CreateLoginProfile(ctx context.Context, in *iam.CreateLoginProfileRequest) (*iam.CreateLoginProfileResponse, error) {
	if e, _, err := s.requireUser(ctx, s.DB, in.UserName); err == nil && e == nil {
		return nil, errRootPassword
	}
	if in.Password == nil {
		return nil, errValidation.Msg("1 validation error detected: Value at 'password' failed to satisfy constraint: Member must not be null")
	}
	if err := s.checkPassword(ctx, *in.Password); err != nil {
		return nil, err
	}
	hash, err := hashPassword(ctx, *in.Password)
	if err != nil {
		return nil, err
	}
	var e *entity
	var p *loginProfile
	err = s.DB.Tx(ctx, func(tx *db.Tx) error {
		if e, _, err = s.requireUser(ctx, tx, in.UserName); err != nil {
			return err
		}
		if e == nil {
			return errRootPassword
		}
		now := s.Now().UnixMicro()
		p = &loginProfile{UserID: e.ID, Created: now, Rev: 1, Doc: db.JSON[profileDoc]{V: profileDoc{
			Password: hash, Changed: now, ResetRequired: in.PasswordResetRequired != nil && *in.PasswordResetRequired,
		}}}
		res, err := tx.ExecContext(ctx, `INSERT INTO iam_login_profiles (`+profileColumns+`) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`, p.UserID, p.Created, p.Rev, p.Doc)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if err == nil && n == 0 {
			err = iam.ErrEntityAlreadyExists.Msg("Login Profile for user %s already exists.", e.Name)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &iam.CreateLoginProfileResponse{LoginProfile: wireProfile(e, p)}, nil
}

// GetLoginProfile implements iam:GetLoginProfile.
func (s *Service) GetLoginProfile(ctx context.Context, in *iam.GetLoginProfileRequest) (*iam.GetLoginProfileResponse, error) {
	e, p, err := s.profile(ctx, s.DB, in.UserName)
	if err != nil {
		return nil, err
	}
	return &iam.GetLoginProfileResponse{LoginProfile: wireProfile(e, p)}, nil
}

// UpdateLoginProfile implements iam:UpdateLoginProfile.
func (s *Service) UpdateLoginProfile(ctx context.Context, in *iam.UpdateLoginProfileRequest) error {
	var hash passwordHash
	if in.Password != nil {
		if err := s.checkPassword(ctx, *in.Password); err != nil {
			return err
		}
		var err error
		if hash, err = hashPassword(ctx, *in.Password); err != nil {
			return err
		}
	}
	return s.changeProfile(ctx, in.UserName, func(p *loginProfile) error {
		if in.Password != nil {
			p.Doc.V.change(hash, s.Now().UnixMicro())
		}
		if in.PasswordResetRequired != nil {
			p.Doc.V.ResetRequired = *in.PasswordResetRequired
		}
		return nil
	})
}

// DeleteLoginProfile implements iam:DeleteLoginProfile.
func (s *Service) DeleteLoginProfile(ctx context.Context, in *iam.DeleteLoginProfileRequest) error {
	return s.DB.Tx(ctx, func(tx *db.Tx) error {
		_, p, err := s.profile(ctx, tx, in.UserName)
		if err != nil {
			return err
		}
		return db.Changed(tx.ExecContext(ctx, `DELETE FROM iam_login_profiles WHERE user_id = $1 AND rev = $2`, p.UserID, p.Rev))
	})
}

// ChangePassword implements iam:ChangePassword: the calling user's own. Many wrong old passwords in a row make the next
// attempt wait.
func (s *Service) ChangePassword(ctx context.Context, in *iam.ChangePasswordRequest) error {
	_, p, err := s.profile(ctx, s.DB, nil)
	if id, ok := callerUser(ctx); !ok || id == account(ctx) {
		return iam.ErrInvalidUserType.Msg("Only IAM Users can change their own password.")
	} else if err != nil {
		return err
	}
	d := &p.Doc.V
	if d.Guesses.mustWait(s.Now()) {
		return errWrongPassword
	}
	if right, err := d.Password.matches(ctx, *in.OldPassword); err != nil {
		return err
	} else if !right {
		err := s.changeProfile(ctx, nil, func(p *loginProfile) error {
			p.Doc.V.Guesses.note(false, s.Now())
			return nil
		})
		if err != nil {
			return err
		}
		return errWrongPassword
	}
	if err := s.checkPassword(ctx, *in.NewPassword); err != nil {
		return err
	}
	if err := s.checkReuse(ctx, d, *in.NewPassword); err != nil {
		return err
	}
	hash, err := hashPassword(ctx, *in.NewPassword)
	if err != nil {
		return err
	}
	rev := p.Rev
	return s.changeProfile(ctx, nil, func(p *loginProfile) error {
		if p.Rev != rev {
			return iam.ErrEntityTemporarilyUnmodifiable.Msg("The password was changed at the same time. Please try again.")
		}
		p.Doc.V.change(hash, s.Now().UnixMicro())
		p.Doc.V.ResetRequired = false
		return nil
	})
}

// checkReuse refuses a password that was one of the last, as many as the policy says.
func (s *Service) checkReuse(ctx context.Context, d *profileDoc, password string) error {
	policy, err := s.passwordPolicy(ctx)
	if err != nil || policy == nil || policy.PasswordReusePrevention == nil {
		return err
	}
	last := append([]passwordHash{d.Password}, d.Old...)
	for _, h := range last[:min(len(last), int(*policy.PasswordReusePrevention))] {
		if same, err := h.matches(ctx, password); err != nil {
			return err
		} else if same {
			return errReused
		}
	}
	return nil
}

// passwordSymbols are what counts as a symbol (IAM User Guide, "Set an account password policy for IAM users").
const passwordSymbols = "!@#$%^&*()_+-=[]{}|'"

// checkPassword refuses a password that the account's policy, or AWS's default policy, does not admit.
func (s *Service) checkPassword(ctx context.Context, password string) error {
	policy, err := s.passwordPolicy(ctx)
	if err != nil {
		return err
	}
	classes := []struct {
		name, characters string
		required         *bool
	}{
		{"uppercase letter", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", nil},
		{"lowercase letter", "abcdefghijklmnopqrstuvwxyz", nil},
		{"number", "0123456789", nil},
		{"symbol", passwordSymbols, nil},
	}
	minimum, found := 8, 0
	if policy != nil {
		minimum = int(*policy.MinimumPasswordLength)
		classes[0].required, classes[1].required = policy.RequireUppercaseCharacters, policy.RequireLowercaseCharacters
		classes[2].required, classes[3].required = policy.RequireNumbers, policy.RequireSymbols
	}
	if utf8.RuneCountInString(password) < minimum {
		return iam.ErrPasswordPolicyViolation.Msg("Password should have a minimum length of %d", minimum)
	}
	for _, c := range classes {
		has := strings.ContainsAny(password, c.characters)
		if has {
			found++
		} else if c.required != nil && *c.required {
			return iam.ErrPasswordPolicyViolation.Msg("Password should have at least one %s", c.name)
		}
	}
	if policy == nil && found < 3 {
		return iam.ErrPasswordPolicyViolation.Msg("Password should have a mix of at least three of uppercase letters, lowercase letters, numbers and symbols")
	}
	return nil
}

// passwordPolicy is the policy of the caller's account; nil if it has none.
func (s *Service) passwordPolicy(ctx context.Context) (*iam.PasswordPolicy, error) {
	doc, err := db.One[db.JSON[iam.PasswordPolicy]](ctx, s.DB, `SELECT doc FROM iam_password_policies WHERE account_id = $1`, account(ctx))
	if isNotFound(err) {
		return nil, nil
	}
	return &doc.V, err
}

// GetAccountPasswordPolicy implements iam:GetAccountPasswordPolicy.
func (s *Service) GetAccountPasswordPolicy(ctx context.Context, _ *iam.GetAccountPasswordPolicyRequest) (*iam.GetAccountPasswordPolicyResponse, error) {
	policy, err := s.passwordPolicy(ctx)
	if err != nil {
		return nil, err
	}
	if policy == nil {
		return nil, iam.ErrNoSuchEntity.Msg("The Password Policy with domain name %s cannot be found.", account(ctx))
	}
	return &iam.GetAccountPasswordPolicyResponse{PasswordPolicy: policy}, nil
}

// UpdateAccountPasswordPolicy implements iam:UpdateAccountPasswordPolicy. What is not given gets its default.
func (s *Service) UpdateAccountPasswordPolicy(ctx context.Context, in *iam.UpdateAccountPasswordPolicyRequest) error {
	or := func(p *bool) *bool { return new(p != nil && *p) }
	minimum := int32(6)
	if in.MinimumPasswordLength != nil {
		minimum = *in.MinimumPasswordLength
	}
	policy := iam.PasswordPolicy{
		MinimumPasswordLength: &minimum, RequireSymbols: or(in.RequireSymbols), RequireNumbers: or(in.RequireNumbers),
		RequireUppercaseCharacters: or(in.RequireUppercaseCharacters), RequireLowercaseCharacters: or(in.RequireLowercaseCharacters),
		AllowUsersToChangePassword: or(in.AllowUsersToChangePassword), ExpirePasswords: new(in.MaxPasswordAge != nil), MaxPasswordAge: in.MaxPasswordAge,
		PasswordReusePrevention: in.PasswordReusePrevention, HardExpiry: in.HardExpiry,
	}
	return s.DB.Tx(ctx, func(tx *db.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO iam_password_policies (account_id, doc) VALUES ($1, $2)
			ON CONFLICT (account_id) DO UPDATE SET doc = excluded.doc`, account(ctx), db.JSON[iam.PasswordPolicy]{V: policy})
		return err
	})
}

// DeleteAccountPasswordPolicy implements iam:DeleteAccountPasswordPolicy.
func (s *Service) DeleteAccountPasswordPolicy(ctx context.Context, _ *iam.DeleteAccountPasswordPolicyRequest) error {
	return s.DB.Tx(ctx, func(tx *db.Tx) error {
		res, err := tx.ExecContext(ctx, `DELETE FROM iam_password_policies WHERE account_id = $1`, account(ctx))
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if err == nil && n == 0 {
			err = iam.ErrNoSuchEntity.Msg("The account policy with name PasswordPolicy cannot be found.")
		}
		return err
	})
}
