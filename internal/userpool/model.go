package userpool

import (
	"slices"
	"strings"
	"time"

	"usher/internal/api/cognitoidp"
	"usher/internal/db"
)

// Attributes with rules of their own.
const (
	attrSub               = "sub"
	attrEmail             = "email"
	attrEmailVerified     = "email_verified"
	attrPhone             = "phone_number"
	attrPhoneVerified     = "phone_number_verified"
	attrPreferredUsername = "preferred_username"
	attrIdentities        = "identities"
)

// pool is a user pool as the cache keeps it: shared, never changed.
type pool struct {
	ID, AccountID string
	Created       time.Time
	Modified      time.Time
	Rev           int64

	// Settings is the pool as DescribeUserPool answers it, without id, dates, ARN and number of users.
	Settings cognitoidp.UserPoolType

	epoch  int64 // of the names and attributes of users; see sameEpoch
	mfa    mfaSettings
	schema map[string]*cognitoidp.SchemaAttributeType

	// Not in a pool that was read in a transaction:
	keys     *poolKeys
	sessions sessionSettings
}

type poolRow struct {
	ID, AccountID, Name    string
	Created, Modified, Rev int64
	Doc                    db.JSON[cognitoidp.UserPoolType]
	MFA                    db.JSON[mfaSettings]
	Epoch                  int64
}

const poolColumns = `id, account_id, name, created, modified, rev, doc, mfa,
	COALESCE((SELECT e.epoch FROM user_pool_epochs e WHERE e.pool_id = user_pools.id), 0)`

func (r *poolRow) pool() *pool {
	p := &pool{
		ID: r.ID, AccountID: r.AccountID,
		Created: timeOf(r.Created), Modified: timeOf(r.Modified), Rev: r.Rev,
		Settings: r.Doc.V, mfa: r.MFA.V, epoch: r.Epoch,
	}
	p.Settings.Name = &r.Name
	p.schema = make(map[string]*cognitoidp.SchemaAttributeType, len(p.Settings.SchemaAttributes))
	for i := range p.Settings.SchemaAttributes {
		a := &p.Settings.SchemaAttributes[i]
		p.schema[*a.Name] = a
	}
	return p
}

// name returns the part of the pool's id that SRP calls the pool name.
func (p *pool) name() string {
	_, name, _ := strings.Cut(p.ID, "_")
	return name
}

// region returns the region in the pool's id.
func (p *pool) region() string {
	region, _, _ := strings.Cut(p.ID, "_")
	return region
}

// caseSensitive reports whether usernames and aliases that differ in case are different.
func (p *pool) caseSensitive() bool {
	c := p.Settings.UsernameConfiguration
	return c == nil || deref(c.CaseSensitive)
}

// key returns what a username or alias is compared by.
func (p *pool) key(name string) string {
	if p.caseSensitive() {
		return name
	}
	return strings.ToLower(name)
}

// autoVerifies reports whether the pool sends a code to verify new values of email or phone_number.
func (p *pool) autoVerifies(attr string) bool {
	return slices.Contains(p.Settings.AutoVerifiedAttributes, attr)
}

// verifiesBeforeUpdate reports whether a new value of email or phone_number takes effect only when it is verified.
func (p *pool) verifiesBeforeUpdate(attr string) bool {
	s := p.Settings.UserAttributeUpdateSettings
	return s != nil && slices.Contains(s.AttributesRequireVerificationBeforeUpdate, attr)
}

// temporaryPasswordLife is how long a password that an administrator chose can be signed in with.
func (p *pool) temporaryPasswordLife() time.Duration {
	return time.Duration(*p.Settings.Policies.PasswordPolicy.TemporaryPasswordValidityDays) * 24 * time.Hour
}

// client is an app client as the cache keeps it: shared, never changed.
type client struct {
	ID, PoolID string
	Created    time.Time
	Modified   time.Time
	Rev        int64

	// Settings is the client as DescribeUserPoolClient answers it, without ids, dates and secret.
	Settings cognitoidp.UserPoolClientType

	Secrets []string // any of them authenticates; none is a public client

	AccessTokenLife, IDTokenLife, RefreshTokenLife time.Duration
	SessionLife                                    time.Duration // of a sign-in under way

	// Flows are the values of ExplicitAuthFlows, with the defaults filled in.
	Flows []string

	schema map[string]*cognitoidp.SchemaAttributeType // the pool's
}

type clientRow struct {
	ID, PoolID, Name       string
	Created, Modified, Rev int64
	Doc                    db.JSON[cognitoidp.UserPoolClientType]
	Secrets                db.JSON[[]clientSecret]
}

const clientColumns = `id, pool_id, name, created, modified, rev, doc, secrets`

// clientSecret is one of a client's secrets as it is stored.
type clientSecret struct {
	ID      string // {client id}--{seconds since 1970}
	Created int64
	Sealed  []byte // for the client's id
}

// hidesUsers reports whether answers must not tell whether a user exists.
func (c *client) hidesUsers() bool {
	return deref(c.Settings.PreventUserExistenceErrors) == cognitoidp.PreventUserExistenceErrorTypesEnabled
}

// revocable reports whether tokens of the client can be revoked, and carry the claims for that.
func (c *client) revocable() bool { return deref(c.Settings.EnableTokenRevocation) }

// user is a user of a pool.
type user struct {
	userRow

	// MoveAliases makes updateUser and insertUser take verified aliases from those who hold them, instead of failing.
	MoveAliases bool

	aliases     map[string]string // as stored: value key by kind
	searched    searchable        // as stored
	recoverable bool              // may have recovery codes, as stored

	fakeVerifier []byte // of an invented user: for SRP, not sealed
}

// userRow is the columns of a user. Times are in microseconds since 1970.
type userRow struct {
	PoolID      string
	Key         string // what the username is compared by
	Username    string
	Sub         string
	Status      string
	Enabled     bool
	Created     int64
	Modified    int64
	Rev         int64
	TokensAfter int64 // tokens issued up to then are revoked
	Failures    int64
	FailedAt    int64
	Salt        []byte // of the verifier; nil without a password
	Verifier    []byte // sealed
	PasswordSet int64
	Doc         db.JSON[userDoc]
}

const userColumns = `u.pool_id, u.username_key, u.username, u.sub, u.status, u.enabled, u.created, u.modified, u.rev, u.tokens_after,
	u.failures, u.failed_at, u.salt, u.verifier, u.password_set, u.doc`

// userDoc is what SQL need not know of a user.
type userDoc struct {
	Attributes map[string]string `json:"attributes"`        // without sub
	Pending    map[string]string `json:"pending,omitempty"` // values of email and phone_number that wait for verification
	History    []oldPassword     `json:"history,omitempty"` // newest first, without the current one
	Hash       []byte            `json:"hash,omitempty"`    // slow hash of the password, sealed like the verifier; see passwordStorage
	MFA        userMFA           `json:"mfa,omitzero"`
	Passkeys   map[string]int    `json:"passkeys,omitempty"` // how many, by relying party
	Identities []identity        `json:"identities,omitempty"`
}

// oldPassword is a password that may not be used again.
type oldPassword struct {
	Salt, Verifier []byte // the verifier is sealed like the current one
	Hash           []byte `json:",omitempty"`
}

func (u *user) attributes() map[string]string { return u.Doc.V.Attributes }

func (u *user) hasPassword() bool { return u.Verifier != nil || u.Doc.V.Hash != nil }

// verified reports whether the user's email or phone_number is verified.
func (u *user) verified(attr string) bool { return u.Doc.V.Attributes[attr+"_verified"] == "true" }

// set gives an attribute a value; the empty value deletes it.
func (u *user) set(attr, value string) {
	if value == "" {
		delete(u.Doc.V.Attributes, attr)
		return
	}
	if u.Doc.V.Attributes == nil {
		u.Doc.V.Attributes = map[string]string{}
	}
	u.Doc.V.Attributes[attr] = value
}

// revokeTokens makes every token of the user that was issued up to now invalid. It never takes back an earlier revocation,
// even where the clock does not advance or was set back.
func (u *user) revokeTokens(now time.Time) { u.TokensAfter = max(now.UnixMicro(), u.TokensAfter+1) }

// group is a group of users.
type group struct {
	PoolID, Name      string
	Description       *string
	RoleArn           *string
	Precedence        *int64
	Created, Modified int64
}

const groupColumns = `g.pool_id, g.name, g.description, g.role_arn, g.precedence, g.created, g.modified`

func timeOf(micros int64) time.Time { return time.UnixMicro(micros).UTC() }

func deref[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
