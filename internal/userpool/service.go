package userpool

import (
	"context"
	"embed"
	"log/slog"
	"time"

	"usher/internal/api/cognitoidp"
	"usher/internal/awsapi"
	"usher/internal/db"
	"usher/internal/notify"
	"usher/internal/seal"
	"usher/internal/srp"
	"usher/internal/token"
	"usher/internal/trigger"
)

// Schema holds the migrations of the service's tables.
//
//go:embed schema/*.sql
var Schema embed.FS

var _ cognitoidp.Service = (*Service)(nil)

// Service serves user pools. New makes one.
type Service struct {
	DB        *db.DB
	Seal      *seal.Keyring
	Signer    *token.Signer
	Outbox    Outbox
	Triggers  *trigger.Invoker // nil: pools cannot have triggers
	Remote    *token.Remote    // fetches documents of identity providers; nil: from public addresses
	Region    string           // of the pools that are created
	PublicURL string           // base of the issuers, without a slash at the end
	AliasURLs []string         // further bases, such as former ones, whose tokens are accepted
	AWSIssuer bool             // tokens say that AWS issued them, and such are accepted
	KeyLife   time.Duration    // how long keys sign before they are rotated; 0: until an operator rotates them
	Now       func() time.Time
	Log       *slog.Logger
	// SignedOut, if set, is called in the transaction that signs a user out: of everything, or of the one sign-in that origin
	// names, if it is not empty.
	SignedOut func(ctx context.Context, tx *db.Tx, sub, origin string) error

	pools   *db.Cache[string, *pool]
	clients *db.Cache[string, *client]

	verifiers *seal.Box // SRP verifiers, each for its pool and sub
	secrets   *seal.Box // client secrets, each for its client
	pages     *seal.Box // pagination tokens, each for its listing

	estimates *estimates

	decoyVerifier []byte // sealed; opened where an invented user has none

	totpSecrets     *seal.Box // of authenticator apps, each for its pool and sub
	providerSecrets *seal.Box // of identity providers, each for its pool and name
	samlKeys        *seal.Box // each for its pool
	deviceVerifiers *seal.Box // SRP verifiers of devices, each for its pool, sub and key
	passkeys        *seal.Box // public keys of passkeys, each for its pool, sub and id

	auth authState
}

// Outbox takes messages to users. What is enqueued in a transaction is delivered, with retry, once the transaction is
// committed.
type Outbox interface {
	Enqueue(ctx context.Context, tx *db.Tx, m notify.Message) error
}

// How many pools and clients are kept in memory.
const (
	maxCachedPools   = 10_000
	maxCachedClients = 50_000
)

// Quotas, as on AWS ("Quotas in Amazon Cognito").
const (
	maxPools            = 1000 // of an account
	maxClients          = 1000 // of a pool
	maxCustomAttributes = 50
	maxGroups           = 10_000
	maxGroupsOfUser     = 100
	maxTags             = 50
)

// New returns s, ready to serve.
func New(s Service) *Service {
	if s.Remote == nil {
		s.Remote = &token.Remote{}
	}
	s.pools = db.NewCache[string, *pool](s.DB, "user pools", maxCachedPools)
	s.clients = db.NewCache[string, *client](s.DB, "app clients", maxCachedClients)
	s.verifiers = s.Seal.Box("user pool password verifier")
	s.estimates = &estimates{pools: map[string]estimate{}}
	s.decoyVerifier = s.verifiers.Seal(make([]byte, srp.VerifierSize), verifierOwner("", ""))
	s.secrets = s.Seal.Box("app client secret")
	s.pages = s.Seal.Box("user pool pagination token")
	s.totpSecrets = s.Seal.Box("user pool software token")
	s.providerSecrets = s.Seal.Box("user pool identity provider secret")
	s.samlKeys = s.Seal.Box("user pool SAML key")
	s.deviceVerifiers = s.Seal.Box("user pool device verifier")
	s.passkeys = s.Seal.Box("user pool passkey")
	s.initAuth()
	return &s
}

// API returns the service for awsapi.Server.
func (s *Service) API() *awsapi.Service {
	return &awsapi.Service{
		Name:       "cognito-idp",
		Protocol:   cognitoidp.Protocol,
		Operations: cognitoidp.Operations(s),
		Targets:    s.Targets,
		Bearer:     s.Bearer,
	}
}
