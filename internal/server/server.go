package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"usher/internal/access"
	"usher/internal/api/cognitoidp"
	iamapi "usher/internal/api/iam"
	orgapi "usher/internal/api/organizations"
	stsapi "usher/internal/api/sts"
	"usher/internal/awsapi"
	"usher/internal/db"
	"usher/internal/gateway"
	"usher/internal/iam"
	"usher/internal/identitypool"
	"usher/internal/notify"
	"usher/internal/organizations"
	"usher/internal/policy"
	"usher/internal/seal"
	"usher/internal/srp"
	"usher/internal/sts"
	"usher/internal/token"
	"usher/internal/userpool"
)

// Server is a whole Usher without its listeners; an http.Handler.
type Server struct {
	cfg       Config
	publicURL string
	log       *slog.Logger

	db         *db.DB
	keys       *seal.Keyring
	outbox     *notify.Outbox
	signer     *token.Signer
	iam        *iam.Service
	sts        *sts.Service
	orgs       *organizations.Service
	gate       *access.Gate
	denials    *access.Denials
	questions  *access.Questions
	users      *userpool.Service
	identities *identitypool.Service
	gateway    *gateway.Gateway

	aws, discovery, confirmLink, own http.Handler

	background sync.WaitGroup
	stop       context.CancelFunc // ends what runs in the background
	closers    []func()           // in the order in which they were opened
}

// New opens what cfg names and wires the services. listen is the address that the listener really has. On a first start
// it makes the data folder, the keys, the first account and its credentials file.
func New(ctx context.Context, cfg Config, listen string, log *slog.Logger) (_ *Server, err error) {
	background, stop := context.WithCancel(context.Background())
	s := &Server{cfg: cfg, log: log, publicURL: cfg.publicURL(listen), stop: stop}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if err := os.MkdirAll(cfg.Data, 0o700); err != nil {
		return nil, err
	}
	if s.keys, err = loadKeys(&cfg); err != nil {
		return nil, err
	}
	if s.db, err = db.Open(ctx, db.Config{URL: cfg.Database, Schemas: []db.Schema{
		{Name: "iam", Files: iam.Schema}, {Name: "sts", Files: sts.Schema}, {Name: "userpool", Files: userpool.Schema}, {Name: "identitypool", Files: identitypool.Schema},
		{Name: "gateway", Files: gateway.Schema}, {Name: "notify", Files: notify.Schema}, {Name: "organizations", Files: organizations.Schema},
		{Name: "access", Files: access.Schema},
	}}); err != nil {
		return nil, err
	}
	s.opened(func() {
		if err := s.db.Close(); err != nil {
			log.Error("closing the database", "error", err)
		}
	})
	if err := s.wire(ctx); err != nil {
		return nil, err
	}
	s.background.Go(func() { s.outbox.Run(background) })
	s.background.Go(func() {
		if err := s.iam.Run(background); err != nil && !errors.Is(err, context.Canceled) {
			log.Error("last use of access keys", "error", err)
		}
	})
	s.background.Go(func() { s.sweep(background) })
	s.background.Go(func() {
		s.questions.Run(background, func(err error) { log.Error("explaining denials to other nodes", "error", err) })
	})
	return s, nil
}

// sweepEvery is how often what has expired is deleted.
const sweepEvery = 5 * time.Minute

func (s *Server) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		for _, sweep := range []func(context.Context) error{s.users.Sweep, s.sts.Sweep, s.identities.Sweep} {
			if err := sweep(ctx); err != nil && ctx.Err() == nil {
				s.log.Error("deleting what has expired", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (s *Server) opened(close func()) { s.closers = append(s.closers, close) }

// wire makes the services, the ones below first.
func (s *Server) wire(ctx context.Context) error {
	cfg, now := &s.cfg, time.Now
	outbox := notify.Outbox{DB: s.db, Box: s.keys.Box("outbox"), Now: now, Log: s.log}
	if cfg.SMTP != "" {
		mail, err := s.mail()
		if err != nil {
			return err
		}
		outbox.Email = mail
	}
	if cfg.SMS != "" {
		sms, err := s.sms()
		if err != nil {
			return err
		}
		outbox.SMS = sms
	}
	s.outbox = notify.New(outbox)
	s.denials = access.NewDenials()
	s.questions = &access.Questions{DB: s.db, Denials: s.denials, Now: now}
	srp.Warm()
	s.signer = token.NewSigner(0)
	s.opened(s.signer.Close)

	s.iam = iam.New(iam.Service{
		DB: s.db, Box: s.keys.Box("access-keys"), Now: now, AllowLoopbackHTTP: cfg.loopback(), OutboundURL: s.publicURL + "/sts",
		ReservedIssuer: s.isIdentityIssuer,
		SharedIssuers:  cfg.sharedIssuers(),
		Organizations:  memberships{s},
		Approver:       approver,
		Publish:        s.publish,
	})
	s.orgs = &organizations.Service{DB: s.db, IAM: s.iam, Now: now}
	if err := s.bootstrap(ctx); err != nil {
		return err
	}
	// STS and identity pools each keep the keys of issuers elsewhere, and forget tokens of keys that were withdrawn.
	remote := func() *token.Remote {
		return &token.Remote{AllowedNetworks: cfg.privateNetworks(), AllowHTTP: cfg.loopback()}
	}
	var err error
	if s.sts, err = sts.New(sts.Service{
		IAM: s.iam, DB: s.db, Keys: s.keys, Local: localIssuers{s}, IdentityIssuers: s.identityIssuers(), SAMLEndpoints: s.samlEndpoints(), Now: now,
		Remote:    remote(),
		Providers: cfg.stsProviders(),
		Denials:   s.denials,
	}); err != nil {
		return err
	}
	s.gate = access.New(access.Gate{Identities: s.sts, DB: s.db, Region: cfg.Region, Now: now, Resources: bucketPolicies{s}, Denials: s.denials})

	triggers, err := s.triggers()
	if err != nil {
		return err
	}
	var signedOut func(context.Context, *db.Tx, string, string) error
	if cfg.SignOutEndsSessions {
		signedOut = s.endSessions
	}
	s.users = userpool.New(userpool.Service{
		SignedOut: signedOut,
		DB:        s.db, Seal: s.keys, Signer: s.signer, Outbox: s.outbox, Triggers: triggers, Remote: remote(), Region: cfg.Region, PublicURL: s.publicURL, AliasURLs: list(cfg.AliasURLs),
		AWSIssuer: cfg.CompatIssuer == "aws", KeyLife: cfg.keyLife, Now: now, Log: s.log,
	})
	s.identities, err = identitypool.New(ctx, identitypool.Config{
		DB: s.db, Seal: s.keys, Signer: s.signer, Issuer: s.sts, UserPools: s.users, Authorizer: s.gate, Remote: remote(), OIDC: s.oidcProvider, SAML: s.sts, Region: cfg.Region,
		PublicURL: s.publicURL, AliasURLs: list(cfg.AliasURLs), AWSIssuer: cfg.CompatIssuer == "aws", Upstreams: cfg.upstreams, Endpoints: cfg.identityEndpoints(), KeyLife: cfg.keyLife,
		GuestsPerMinute: s.guestsPerMinute(), Now: now, Log: s.log,
	})
	if err != nil {
		return err
	}
	if err := s.openGateway(ctx); err != nil {
		return err
	}

	s.aws = &awsapi.Server{
		Authenticator: s.gate, Authorizer: s.gate, Log: s.log, Failed: s.denials.AddFailure,
		Services: []*awsapi.Service{
			{Name: "iam", Protocol: iamapi.Protocol, Operations: iamapi.Operations(s.iam), Targets: s.iam.Targets},
			{Name: "sts", Protocol: stsapi.Protocol, Operations: stsapi.Operations(s.sts), Targets: s.sts.Targets},
			{Name: "organizations", Protocol: orgapi.Protocol, Operations: orgapi.Operations(s.orgs), Targets: s.orgs.Targets},
			s.users.API(), s.identities.API(),
		},
	}
	s.discovery = s.discoveryPages()
	s.confirmLink = s.users.ConfirmLink()
	s.own = s.ownPages()
	return nil
}

// endSessions ends the temporary credentials that a user of a user pool, or one sign-in of his, led to.
func (s *Server) endSessions(ctx context.Context, tx *db.Tx, sub, origin string) error {
	if origin != "" {
		return s.sts.RevokeIn(ctx, tx, sts.Subject{Kind: sts.SessionsOfSignIn, ID: origin})
	}
	return s.sts.RevokeIn(ctx, tx, sts.Subject{Kind: sts.SessionsOfUserSub, ID: sub})
}

// bootstrap makes the first account and writes its administrator's key where the command line finds it.
func (s *Server) bootstrap(ctx context.Context) error {
	if _, err := os.Stat(s.cfg.CredentialsFile()); err == nil {
		if accounts, err := s.iam.Accounts(ctx); err != nil {
			return err
		} else if len(accounts) == 0 {
			return fmt.Errorf("the database is empty, and %s is of another one: name that database, or another data folder", s.cfg.CredentialsFile())
		}
	}
	key, err := s.iam.Bootstrap(ctx)
	if err != nil || key == nil {
		return err
	}
	if err := writeNew(s.cfg.CredentialsFile(), []byte(SharedCredentials("default", *key))); err != nil {
		return fmt.Errorf("the access key of the user admin could not be written (`usher admin-key` makes another): %w", err)
	}
	return nil
}

func (s *Server) mail() (*notify.SMTP, error) {
	cfg := &s.cfg
	m := &notify.SMTP{Addr: cfg.SMTP, From: cfg.SMTPFrom, User: cfg.SMTPUser, TLS: cfg.SMTPTLS}
	if m.From == "" {
		u, err := url.Parse(s.publicURL)
		if err != nil {
			return nil, err
		}
		host := u.Hostname()
		if net.ParseIP(host) != nil {
			host = "localhost"
		}
		m.From = "no-reply@" + host
	}
	if cfg.SMTPPasswordFile != "" {
		text, err := os.ReadFile(cfg.SMTPPasswordFile)
		if err != nil {
			return nil, err
		}
		m.Password = strings.TrimSpace(string(text))
	}
	return m, nil
}

// openGateway starts the local store, or takes the configured one.
func (s *Server) openGateway(ctx context.Context) error {
	cfg := &s.cfg
	var upstream gateway.Upstream
	if cfg.S3Upstream == "" {
		local, stop, err := gateway.StartLocal(ctx, gateway.LocalConfig{DataDir: cfg.Data, Region: cfg.Region, Log: s.log})
		if err != nil {
			return err
		}
		s.opened(stop)
		upstream = local
	} else {
		text, err := os.ReadFile(cfg.S3CredentialsFile)
		if err != nil {
			return err
		}
		id, secret, ok := strings.Cut(strings.TrimSpace(string(text)), ":")
		if !ok || id == "" || secret == "" {
			return fmt.Errorf("%s: want access-key-id:secret", cfg.S3CredentialsFile)
		}
		upstream = gateway.Upstream{URL: cfg.S3Upstream, AccessKeyID: id, SecretAccessKey: secret, Region: cfg.S3Region, OpaqueKeys: cfg.S3OpaqueKeys}
	}
	hosts := []string{"localhost"}
	if u, err := url.Parse(s.publicURL); err == nil && net.ParseIP(u.Hostname()) == nil && u.Hostname() != "localhost" {
		hosts = append(hosts, u.Hostname())
	}
	hosts = append(hosts, list(cfg.S3Hosts)...)
	var err error
	s.gateway, err = gateway.New(gateway.Config{
		Upstream: upstream, DB: s.db, Credentials: s.gate, Authorizer: s.gate, Principals: s.iam, Region: cfg.Region, Hosts: hosts, CORSOrigins: list(cfg.S3CORSOrigins), Log: s.log, Now: time.Now,
	})
	if err == nil {
		s.opened(s.gateway.Close)
	}
	return err
}

// list splits a setting at its commas.
func list(text string) []string {
	var parts []string
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}

// memberships gives IAM the organization: it is made after IAM, which it asks for accounts.
type memberships struct{ *Server }

// Membership implements iam.Organizations.
func (s memberships) Membership(ctx context.Context, account string, on func(...string)) (*iam.Membership, error) {
	return s.orgs.Membership(ctx, account, on)
}

// bucketPolicies gives the gate the policies of buckets: the gateway is made after the gate, which it asks.
type bucketPolicies struct{ *Server }

// ResourcePolicy implements access.ResourcePolicies.
func (s bucketPolicies) ResourcePolicy(ctx context.Context, resource, owner, caller string) ([]policy.Source, error) {
	return s.gateway.ResourcePolicy(ctx, resource, owner, caller)
}

// oidcProvider finds an OIDC provider of an account for its identity pools.
func (s *Server) oidcProvider(ctx context.Context, account, issuer string) (*identitypool.OIDCProvider, error) {
	p, err := s.iam.OIDCProvider(ctx, account, issuer)
	return (*identitypool.OIDCProvider)(p), err
}

// localIssuers gives STS the keys of the tokens that this server issues, without the network.
type localIssuers struct{ *Server }

// LocalIssuer implements sts.LocalIssuers.
func (s localIssuers) LocalIssuer(ctx context.Context, iss string) (sts.LocalIssuer, bool, error) {
	if s.identities.IsIssuer(iss) {
		keys, err := s.identities.VerificationKeys(ctx)
		return sts.LocalIssuer{Kind: sts.IdentityPoolIssuer, Keys: keys}, true, err
	}
	pool, ok := s.users.PoolOfIssuer(iss)
	if !ok {
		return sts.LocalIssuer{}, false, nil
	}
	keys, err := s.users.VerificationKeys(ctx, pool)
	if errors.Is(err, cognitoidp.ErrResourceNotFound) {
		return sts.LocalIssuer{}, false, nil
	}
	var urls []string
	for _, u := range s.urls() {
		urls = append(urls, u+"/"+pool)
	}
	return sts.LocalIssuer{Kind: sts.UserPoolIssuer, Keys: keys, URLs: urls}, true, err
}

func (s *Server) discoveryPages() http.Handler {
	users, identities, outbound := s.users.Discovery(), s.identities.Discovery(), s.sts.Discovery("/sts/")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/identity/"):
			identities.ServeHTTP(w, r)
		case strings.HasPrefix(r.URL.Path, "/sts/"):
			outbound.ServeHTTP(w, r)
		default:
			users.ServeHTTP(w, r)
		}
	})
}

// Close ends what runs in the background, then closes everything, the last opened first.
func (s *Server) Close() {
	s.stop()
	s.background.Wait()
	for i := len(s.closers) - 1; i >= 0; i-- {
		s.closers[i]()
	}
	s.closers = nil
}

const (
	headerMost  = 10 * time.Second // how long the head of a request may take to arrive
	idleMost    = 2 * time.Minute
	stopMost    = 30 * time.Second // how long requests under way may take when the server stops
	headerBytes = 64 << 10
)

// Run serves until ctx ends, then lets what is under way finish. It says on out where things are.
func Run(ctx context.Context, cfg Config, log *slog.Logger, out io.Writer) error {
	lock, err := lockData(cfg.Data)
	if err != nil {
		return err
	}
	defer lock.Close()
	listener, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return err
	}
	defer listener.Close()
	s, err := New(ctx, cfg, listener.Addr().String(), log)
	if err != nil {
		return err
	}
	defer s.Close()
	controlListener, closeControl, err := listenControl(cfg.Data)
	if err != nil {
		return err
	}
	defer closeControl()

	public := &http.Server{Handler: s, ReadHeaderTimeout: headerMost, IdleTimeout: idleMost, MaxHeaderBytes: headerBytes,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	control := &http.Server{Handler: s.control(), ReadHeaderTimeout: headerMost}
	failed := make(chan error, 2)
	go func() { failed <- public.Serve(listener) }()
	go func() { failed <- control.Serve(controlListener) }()
	s.greet(out)

	select {
	case err = <-failed:
	case <-ctx.Done():
		log.Info("stopping")
	}
	stop, cancel := context.WithTimeout(context.Background(), stopMost)
	defer cancel()
	return errors.Join(err, public.Shutdown(stop), control.Shutdown(stop))
}

// lockData keeps a second server away from a data folder: two would share one object store and one control socket. The
// kernel releases the lock when the process ends, however it ends.
func lockData(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("the data folder %s is in use by another usher: %w", dir, err)
	}
	return f, nil
}

// private reports whether only persons on this machine speak to the server: it listens on loopback and is not known
// elsewhere through a proxy.
func (s *Server) private() bool {
	u, err := url.Parse(s.publicURL)
	return err == nil && s.cfg.loopback() && isLoopbackHost(u.Hostname())
}

// greet says where the server is, where the credentials are, and what is relaxed.
func (s *Server) greet(out io.Writer) {
	fmt.Fprintf(out, "usher %s\n  endpoint     %s\n  region       %s\n  data         %s\n  credentials  %s (IAM user admin)\n",
		Version, s.publicURL, s.cfg.Region, s.cfg.Data, s.cfg.CredentialsFile())
	if s.cfg.loopback() {
		fmt.Fprintf(out, "  relaxed, because only this machine can reach the listener: http:// issuers on loopback addresses are accepted as OIDC providers\n")
	} else if s.cfg.PublicURL == "" {
		fmt.Fprintf(out, "  plain HTTP on the network: for clients elsewhere put TLS in front, name its address with --public-url and the proxy with --trusted-proxies\n")
	}
	if s.guestsPerMinute() == 0 {
		fmt.Fprintf(out, "  relaxed: a client may make any number of guests in identity pools; --guests-per-minute limits them\n")
	}
	if s.cfg.OutboundPrivate {
		fmt.Fprintf(out, "  relaxed by --outbound-private: keys of OIDC issuers are fetched from private addresses too\n")
	}
	if s.cfg.SMTP == "" {
		where := "`usher inbox`"
		if s.private() {
			where += " or " + s.publicURL + "/_usher/inbox"
		}
		fmt.Fprintf(out, "  no mail server: codes and invitations are kept for %s\n", where)
	} else if s.cfg.SMS == "" {
		fmt.Fprintf(out, "  no SMS sender: text messages are kept for `usher inbox`\n")
	}
	for _, name := range s.cfg.ignored {
		fmt.Fprintf(out, "  ignored      %s in the environment: no setting has this name\n", name)
	}
	fmt.Fprintf(out, "  try          eval \"$(usher env)\"; aws sts get-caller-identity    or    usher demo\n")
}
