// Package server puts Usher together: configuration, routing of one listener to every API, wiring, start and stop.
package server

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"usher/internal/policy"
)

// Version is set at link time.
var Version = "devel"

// Config is everything that an operator can set; its comments are the manual. Each setting is a flag of `usher serve`,
// an environment variable, and a line `name = value` of the configuration file; a flag beats the environment, which
// beats the file. An unknown name is an error. The zero value of each is its default. Secrets are file paths.
type Config struct {
	// Listen is the address of the one listener that serves every API: host:port. Default 127.0.0.1:8080.
	Listen string
	// Data is the folder of everything that Usher keeps: database, keys, credentials, objects. Default ~/.usher.
	Data string
	// PublicURL is the address that clients use, without a trailing slash. Token issuers are beneath it. Default http://LISTEN.
	PublicURL string
	// TrustedProxies are the networks or addresses of the reverse proxies in front, comma separated. They, and nobody else, are
	// believed what X-Forwarded-For, -Proto and -Host say of a request: policies test the address and the TLS of the client, and
	// GuestsPerMinute counts by address.
	TrustedProxies string
	// AliasURLs are other public URLs that mean this server, comma separated, such as the one before PublicURL was changed:
	// tokens that say they are issued beneath one, and login keys, OIDC providers and condition keys that name one, are accepted.
	AliasURLs string
	// CompatIssuer is empty or aws: tokens then say that they are issued by cognito-idp.REGION.amazonaws.com and
	// cognito-identity.amazonaws.com, for code in closed networks that compares iss literally. Nobody else can find their keys.
	CompatIssuer string
	// Database is sqlite:PATH or postgres://…; default sqlite:DATA/usher.db.
	Database string
	// Region is the AWS region in ids and resource names, and what request signatures must name. Default us-east-1.
	Region string
	// KeyFile holds the key-encryption keys, one `id:base64` a line, the first in use. Default DATA/key, made at the first
	// start. The environment variable USHER_KEY may hold the same text instead.
	KeyFile string
	// Key is the text of the key-encryption keys, from the environment only.
	Key string
	// SMTP is host:port of the mail server for codes and invitations. Empty: messages are kept, `usher inbox` prints them.
	SMTP string
	// SMTPFrom is the sender of mail. Default no-reply@HOST of the public URL.
	SMTPFrom string
	// SMTPUser and SMTPPasswordFile authenticate to the mail server.
	SMTPUser, SMTPPasswordFile string
	// SMTPTLS is how the mail server is spoken to: starttls (required; the default), tls (from the first byte), or none
	// (the default and only allowed for a server on this machine).
	SMTPTLS string
	// SMS is where text messages go: the URL of a webhook, which gets POST of {"to","body"}, or sns:URL of an SNS API, which
	// gets Publish. Plain http:// only on this machine. Empty: messages are kept, `usher inbox` prints them.
	SMS string
	// SMSCredentialsFile holds what authenticates there: a token, sent to the webhook as Authorization: Bearer, or
	// `access-key-id:secret` for SNS, which without the file takes the environment variables of the AWS SDKs.
	SMSCredentialsFile string
	// Lambda is the URL of the Lambda API that runs the triggers of user pools, such as
	// https://lambda.eu-central-1.amazonaws.com. Plain http:// only on this machine. Empty: LambdaConfig is refused.
	Lambda string
	// LambdaCredentialsFile holds `access-key-id:secret` for it; without one the environment variables of the AWS SDKs are
	// taken. Whoever may configure a user pool may have any function invoked that these credentials may invoke.
	LambdaCredentialsFile string
	// S3Upstream is the URL of the S3-compatible store behind the gateway. Empty: the local store usher-s3 in DATA/s3.
	S3Upstream string
	// S3CredentialsFile holds `access-key-id:secret` for the store behind the gateway.
	S3CredentialsFile string
	// S3Region is the region to sign with for that store. Default: Region.
	S3Region string
	// S3Hosts are further host names whose subdomains name buckets, comma separated. localhost and the public host always do.
	S3Hosts string
	// S3CORSOrigins are the origins whose browsers may call S3, comma separated. Default *: signatures, not origins, protect.
	S3CORSOrigins string
	// S3OpaqueKeys says that the store takes keys as they are, as S3 does. Without it keys with an empty, "." or ".." segment
	// are refused, since a store that resolves them as paths would let one object answer to several keys.
	S3OpaqueKeys bool
	// SharedIssuers are OIDC issuers, besides those that are known, that serve many tenants: host[/path][=claim+claim], comma
	// separated. A role that trusts one must pin one of the claims, by default sub, to more than wildcards.
	SharedIssuers string
	// SignOutEndsSessions has the temporary credentials that a user of a user pool got through an identity pool end with his
	// sign-in: when he or an administrator signs him out or his refresh token is revoked, when he is disabled or deleted. On
	// AWS they live on.
	SignOutEndsSessions bool
	// UpstreamSTS are identity pools whose credentials another STS gives (AWS's, Ceph's, another Usher's): POOL=URL, comma
	// separated. It must know {PublicURL}/identity as an OIDC provider with the pool's id as client id, and has the roles that the
	// pool names. Plain http:// only on this machine.
	UpstreamSTS string
	// ProviderURLs are where public web identity providers are found, if not at their own addresses: google=URL, apple=URL,
	// facebook=URL, amazon=URL, twitter=URL, comma separated. Plain http:// only on this machine.
	ProviderURLs string
	// GuestsPerMinute is how many guests one client address may make in identity pools in a minute; 0 is any number. Default 1500, and any number
	// where only this machine can reach the server.
	// Behind a proxy that is not among TrustedProxies all clients are one.
	GuestsPerMinute string
	// KeyDays is after how many days the signing keys of user pools and identity pools are rotated. Empty or 0: only by `usher rotate-keys`.
	KeyDays string
	// OutboundPrivate allows keys of OIDC issuers, and documents of the identity providers of user pools, to be fetched from private
	// addresses.
	OutboundPrivate bool
	// ConfigFile is the configuration file.
	ConfigFile string

	keyLife         time.Duration  // KeyDays
	trusted         []netip.Prefix // TrustedProxies
	guestsPerMinute int
	upstreams       map[string]string // UpstreamSTS
	providers       map[string]string // ProviderURLs
	ignored         []string          // variables USHER_… that are no setting
}

// setting is one line of the manual.
type setting struct {
	name, env, usage string
	text             *string
	flag             *bool
}

func (c *Config) settings() []setting {
	return []setting{
		{"listen", "USHER_LISTEN", "address to listen on (default 127.0.0.1:8080)", &c.Listen, nil},
		{"data", "USHER_DATA", "folder of database, keys, credentials and objects (default ~/.usher)", &c.Data, nil},
		{"public-url", "USHER_PUBLIC_URL", "address that clients use; token issuers are beneath it (default http://LISTEN)", &c.PublicURL, nil},
		{"trusted-proxies", "USHER_TRUSTED_PROXIES", "networks or addresses of reverse proxies, comma separated, whose X-Forwarded-For, -Proto and -Host are believed", &c.TrustedProxies, nil},
		{"alias-urls", "USHER_ALIAS_URLS", "other public URLs that mean this server, such as former ones, comma separated; tokens, login keys and policies that name one are accepted", &c.AliasURLs, nil},
		{"compat-issuer", "USHER_COMPAT_ISSUER", "aws: tokens say that AWS issued them, for closed networks with code that compares iss literally (default: issuers are beneath the public URL)", &c.CompatIssuer, nil},
		{"database", "USHER_DATABASE", "sqlite:PATH or postgres://… (default sqlite:DATA/usher.db)", &c.Database, nil},
		{"region", "USHER_REGION", "AWS region in ids, resource names and signatures (default us-east-1)", &c.Region, nil},
		{"key-file", "USHER_KEY_FILE", "key-encryption keys, one id:base64 a line, the first in use (default DATA/key, made at the first start); USHER_KEY may hold the text itself", &c.KeyFile, nil},
		{"smtp", "USHER_SMTP", "mail server host:port; without one messages are kept for `usher inbox`", &c.SMTP, nil},
		{"smtp-from", "USHER_SMTP_FROM", "sender of mail (default no-reply@ the public host)", &c.SMTPFrom, nil},
		{"smtp-user", "USHER_SMTP_USER", "user name at the mail server", &c.SMTPUser, nil},
		{"smtp-password-file", "USHER_SMTP_PASSWORD_FILE", "file with the password at the mail server", &c.SMTPPasswordFile, nil},
		{"smtp-tls", "USHER_SMTP_TLS", "starttls, tls or none (default starttls; none for a mail server on this machine, and only there)", &c.SMTPTLS, nil},
		{"sms", "USHER_SMS", "where SMS go: URL of a webhook (POST of {\"to\",\"body\"}) or sns:URL of an SNS API; without one messages are kept for `usher inbox`", &c.SMS, nil},
		{"sms-credentials-file", "USHER_SMS_CREDENTIALS_FILE", "file with the webhook's bearer token, or access-key-id:secret for SNS (default: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)", &c.SMSCredentialsFile, nil},
		{"lambda", "USHER_LAMBDA", "URL of the Lambda API that runs the triggers of user pools; without one triggers are refused", &c.Lambda, nil},
		{"lambda-credentials-file", "USHER_LAMBDA_CREDENTIALS_FILE", "file with access-key-id:secret for the Lambda API (default: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)", &c.LambdaCredentialsFile, nil},
		{"s3-upstream", "USHER_S3_UPSTREAM", "URL of the S3-compatible store behind the gateway (default: the local store usher-s3 in DATA/s3)", &c.S3Upstream, nil},
		{"s3-credentials-file", "USHER_S3_CREDENTIALS_FILE", "file with access-key-id:secret for that store", &c.S3CredentialsFile, nil},
		{"s3-region", "USHER_S3_REGION", "region to sign with for that store (default: the region)", &c.S3Region, nil},
		{"s3-hosts", "USHER_S3_HOSTS", "further host names whose subdomains name buckets, comma separated", &c.S3Hosts, nil},
		{"s3-cors-origins", "USHER_S3_CORS_ORIGINS", "origins whose browsers may call S3, comma separated (default *)", &c.S3CORSOrigins, nil},
		{"s3-opaque-keys", "USHER_S3_OPAQUE_KEYS", "the store behind --s3-upstream takes keys as they are, as S3 does, not as paths", nil, &c.S3OpaqueKeys},
		{"shared-issuers", "USHER_SHARED_ISSUERS", "OIDC issuers of many tenants, of which a role must pin a claim: host[/path][=claim+claim], comma separated, besides those that are known", &c.SharedIssuers, nil},
		{"sign-out-ends-sessions", "USHER_SIGN_OUT_ENDS_SESSIONS", "temporary credentials that identity pools gave a user of a user pool end when he is signed out, disabled or deleted", nil, &c.SignOutEndsSessions},
		{"upstream-sts", "USHER_UPSTREAM_STS", "identity pools whose credentials another STS gives, which knows PUBLIC-URL/identity as an OIDC provider: POOL=URL, comma separated", &c.UpstreamSTS, nil},
		{"provider-urls", "USHER_PROVIDER_URLS", "where public web identity providers are found, if elsewhere: google=URL, apple=URL, facebook=URL, amazon=URL, twitter=URL, comma separated", &c.ProviderURLs, nil},
		{"guests-per-minute", "USHER_GUESTS_PER_MINUTE", "how many guests one client address may make in identity pools in a minute; 0 is any number (default 1500; any number where only this machine can reach the server)", &c.GuestsPerMinute, nil},
		{"key-days", "USHER_KEY_DAYS", "rotate the signing keys of user pools and identity pools after so many days (default: only by usher rotate-keys)", &c.KeyDays, nil},
		{"outbound-private", "USHER_OUTBOUND_PRIVATE", "allow OIDC issuers and SAML metadata on private addresses", nil, &c.OutboundPrivate},
		{"config", "USHER_CONFIG", "configuration file: lines of name = value", &c.ConfigFile, nil},
	}
}

// SettingNames are the names of all settings.
func SettingNames() []string {
	var names []string
	for _, s := range new(Config).settings() {
		names = append(names, s.name)
	}
	return names
}

// Flags registers every setting on fs; Load reads what was set.
func (c *Config) Flags(fs *flag.FlagSet) {
	for _, s := range c.settings() {
		usage := strings.ReplaceAll(s.usage, "`", "'") + " [" + s.env + "]" // package flag takes a quoted word for the name of the value
		if s.flag != nil {
			fs.BoolVar(s.flag, s.name, false, usage)
		} else {
			fs.StringVar(s.text, s.name, "", usage)
		}
	}
}

// Load fills what no flag set from the environment and the configuration file, applies the defaults and checks the whole.
// fs are the parsed flags; environ is os.Environ(). A variable USHER_… that is no setting is not an error, since Kubernetes
// makes such ones for a service named usher; serve names it.
func (c *Config) Load(fs *flag.FlagSet, environ []string) error {
	env := map[string]string{}
	for _, line := range environ {
		if name, value, _ := strings.Cut(line, "="); strings.HasPrefix(name, "USHER_") {
			env[name] = value
		}
	}
	set := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { set[f.Name] = true })
	apply := func(s setting, value, from string) error {
		if set[s.name] || value == "" {
			return nil
		}
		set[s.name] = true
		if s.flag == nil {
			*s.text = value
			return nil
		}
		b, err := strconv.ParseBool(value)
		if err != nil {
			return fmt.Errorf("%s: want true or false, not %q", from, value)
		}
		*s.flag = b
		return nil
	}
	for _, s := range c.settings() {
		if err := apply(s, env[s.env], s.env); err != nil {
			return err
		}
		delete(env, s.env)
	}
	c.Key = env["USHER_KEY"]
	delete(env, "USHER_KEY")
	c.ignored = slices.Sorted(maps.Keys(env))
	if c.ConfigFile != "" {
		lines, err := readConfigFile(c.ConfigFile)
		if err != nil {
			return err
		}
		for _, s := range c.settings() {
			if v, ok := lines[s.name]; ok && s.name != "config" {
				if err := apply(s, v, c.ConfigFile+": "+s.name); err != nil {
					return err
				}
				delete(lines, s.name)
			}
		}
		for name := range lines {
			return fmt.Errorf("%s: unknown setting %q", c.ConfigFile, name)
		}
	}
	return c.Complete()
}

// readConfigFile reads `name = value` lines; # starts a comment line; a name may stand once.
func readConfigFile(path string) (map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := map[string]string{}
	scan := bufio.NewScanner(io.LimitReader(f, 1<<20))
	for n := 1; scan.Scan(); n++ {
		line := strings.TrimSpace(scan.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if _, twice := lines[name]; !ok || name == "" || twice {
			return nil, fmt.Errorf("%s:%d: want one line `name = value` for each setting", path, n)
		}
		lines[name] = value
	}
	return lines, scan.Err()
}

var regionForm = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-\d$`)

// Complete applies the defaults and checks what can be checked without touching the world.
func (c *Config) Complete() error {
	def := func(p *string, v string) {
		if *p == "" {
			*p = v
		}
	}
	def(&c.Listen, "127.0.0.1:8080")
	if c.Data == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return fmt.Errorf("no home folder; set --data: %w", err)
		}
		c.Data = filepath.Join(home, ".usher")
	}
	var err error
	if c.Data, err = filepath.Abs(c.Data); err != nil {
		return err
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return fmt.Errorf("--listen %q: want host:port", c.Listen)
	}
	def(&c.Region, "us-east-1")
	if !regionForm.MatchString(c.Region) {
		return fmt.Errorf("--region %q is not a region name like eu-central-1", c.Region)
	}
	def(&c.Database, "sqlite:"+filepath.Join(c.Data, "usher.db"))
	def(&c.KeyFile, filepath.Join(c.Data, "key"))
	if c.KeyDays != "" {
		days, err := strconv.ParseUint(c.KeyDays, 10, 16)
		if err != nil {
			return fmt.Errorf("--key-days %q: want a number of days", c.KeyDays)
		}
		c.keyLife = time.Duration(days) * 24 * time.Hour
	}
	def(&c.S3Region, c.Region)
	def(&c.S3CORSOrigins, "*")
	if c.trusted, err = parseProxies(c.TrustedProxies); err != nil {
		return err
	}
	if c.PublicURL != "" {
		if c.PublicURL, err = publicURL(c.PublicURL); err != nil {
			return fmt.Errorf("--public-url %w", err)
		}
	}
	if err := c.completeIdentities(); err != nil {
		return err
	}
	if c.SMTP != "" {
		host, _, err := net.SplitHostPort(c.SMTP)
		if err != nil {
			return fmt.Errorf("--smtp %q: want host:port", c.SMTP)
		}
		if isLoopbackHost(host) {
			def(&c.SMTPTLS, "none")
		} else {
			def(&c.SMTPTLS, "starttls")
		}
		switch {
		case c.SMTPTLS != "starttls" && c.SMTPTLS != "tls" && c.SMTPTLS != "none":
			return fmt.Errorf("--smtp-tls %q: want starttls, tls or none", c.SMTPTLS)
		case c.SMTPTLS == "none" && !isLoopbackHost(host):
			return errors.New("--smtp-tls none: codes would cross the network in clear; only for a mail server on this machine")
		}
	}
	if c.SMS != "" {
		sms, _ := c.snsEndpoint()
		if err := checkOutbound("sms", sms); err != nil {
			return err
		}
	}
	if c.Lambda != "" {
		if err := checkOutbound("lambda", c.Lambda); err != nil {
			return err
		}
	}
	if c.S3Upstream != "" && c.S3CredentialsFile == "" {
		return errors.New("--s3-upstream needs --s3-credentials-file")
	}
	return nil
}

// loopback reports whether only this machine can reach the listener.
func (c *Config) loopback() bool {
	host, _, _ := net.SplitHostPort(c.Listen)
	return isLoopbackHost(host)
}

func isLoopbackHost(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// CredentialsFile is where the first start writes the access key of the user admin, in the form of the AWS shared credentials file.
func (c *Config) CredentialsFile() string { return filepath.Join(c.Data, "credentials") }

// ClientEnv returns NAME=value lines that point AWS clients at the server.
func (c *Config) ClientEnv() []string {
	return []string{
		"AWS_ENDPOINT_URL=" + c.Endpoint(),
		"AWS_REGION=" + c.Region,
		"AWS_DEFAULT_REGION=" + c.Region,
		"AWS_SHARED_CREDENTIALS_FILE=" + c.CredentialsFile(),
	}
}

// publicURL is PublicURL or the address that is listened on; of a listener on every address, the one of this machine.
func (c *Config) publicURL(listen string) string {
	if c.PublicURL != "" {
		return c.PublicURL
	}
	if host, port, err := net.SplitHostPort(listen); err == nil {
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			listen = net.JoinHostPort("127.0.0.1", port)
		}
	}
	return "http://" + listen
}

// Endpoint is the address that clients on this machine use.
func (c *Config) Endpoint() string { return c.publicURL(c.Listen) }

// ReadCredentials returns the access key of the user admin that the first start wrote.
func (c *Config) ReadCredentials() (accessKeyID, secret string, err error) {
	text, err := os.ReadFile(c.CredentialsFile())
	if err != nil {
		return "", "", err
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, "=")
		switch strings.TrimSpace(name) {
		case "aws_access_key_id":
			accessKeyID = strings.TrimSpace(value)
		case "aws_secret_access_key":
			secret = strings.TrimSpace(value)
		}
	}
	if accessKeyID == "" || secret == "" {
		return "", "", fmt.Errorf("%s holds no access key", c.CredentialsFile())
	}
	return accessKeyID, secret, nil
}

// sharedIssuers are the issuers of many tenants with the claims that tell the tenants apart.
func (c *Config) sharedIssuers() map[string][]string {
	all := maps.Clone(policy.SharedIssuers)
	for _, entry := range list(c.SharedIssuers) {
		issuer, claims, ok := strings.Cut(entry, "=")
		if !ok {
			claims = "sub"
		}
		all[strings.TrimSuffix(strings.TrimPrefix(issuer, "https://"), "/")] = strings.Split(claims, "+")
	}
	return all
}

// privateNetworks are the addresses beyond the public ones that keys of OIDC issuers may be fetched from.
func (c *Config) privateNetworks() []netip.Prefix {
	if !c.OutboundPrivate {
		return nil
	}
	return []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
}
