// Usher is a web identity federation platform: user pools, identity pools, STS, IAM and an S3 gateway in one binary.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"usher/internal/iam"
	"usher/internal/server"
)

const intro = `Usher shows the bearer of a web identity ticket to the seat they are entitled to: Cognito user pools, identity pools,
STS, IAM and an S3 gateway behind one address, for unmodified AWS clients.

usage: usher COMMAND [flags]

`

const outro = `
Settings are flags, environment variables, or lines "name = value" of the file that --config names, in this order of
precedence. They are those of serve; the other commands read --data and --listen to find the server.

`

// command is what the first words of the command line name. do returns what runs it, with the arguments that are no flags.
type command struct {
	name, args, about string
	do                func(*invocation, *flag.FlagSet) func(args []string) error
}

// invocation is one run of the command line.
type invocation struct {
	ctx       context.Context
	cfg       server.Config
	out, logs io.Writer
}

func (in *invocation) control() server.Control { return server.Control{Data: in.cfg.Data} }

// commands in the order of the help text.
var commands = []command{
	{"serve", "", "start the server; with no configuration on 127.0.0.1:8080, with SQLite and a local object store", func(in *invocation, _ *flag.FlagSet) func([]string) error {
		return func([]string) error {
			return server.Run(in.ctx, in.cfg, slog.New(slog.NewJSONHandler(in.logs, nil)), in.out)
		}
	}},
	{"env", "", "print the exports that point the AWS CLI and SDKs at the server", func(in *invocation, _ *flag.FlagSet) func([]string) error {
		return func([]string) error { return env(in.cfg, in.out) }
	}},
	{"demo", "", "play the whole story against the running server and print the AWS CLI command of each step", func(in *invocation, _ *flag.FlagSet) func([]string) error {
		return func([]string) error { return demo(in.ctx, in.cfg, in.out) }
	}},
	{"inbox", "", "print the messages (codes, invitations) that no mail server has taken", func(in *invocation, fs *flag.FlagSet) func([]string) error {
		asJSON, limit := fs.Bool("json", false, "print JSON"), fs.Int("n", 20, "how many messages, the newest first")
		return func([]string) error { return inbox(in, *limit, *asJSON) }
	}},
	{"account create", "NAME", "make an account; prints the access key of its user admin", accountCreate},
	{"account list", "", "print the accounts", accountList},
	{"explain", "REQUEST-ID", "say why a request failed: which statement of which policy, which condition on which values, which login, role mapping, rule or tag", explain},
	{"identity show", "IDENTITY", "say who an identity of an identity pool is: its logins, and the users behind them", identityShow},
	{"identity of", "POOL PROVIDER USER", "find the identity that a user has in an identity pool: by sub, username or what the provider calls him", identityOf},
	{"revoke", "KIND WHAT", "end sessions at once: role ARN, user ARN, key AKIA…, session ASIA…, identity ID, sub SUB, sign-in ORIGIN-JTI", revoke},
	{"rotate-keys", "POOL", "give a user pool, or `identity` pools, new keys to sign tokens with; the former ones stay good for the tokens that they have signed", rotateKeys},
	{"pool export", "POOL", "write the users of a user pool to CSV files that import jobs take, with the hashes of their passwords", poolExport},
	{"pool set", "POOL", "change how users of a user pool are named, which AWS freezes: --case-sensitive=false, --aliases email", poolSet},
	{"pool attribute", "POOL NAME", "change an attribute of a user pool, which AWS freezes: --required, --mutable=false, --min, --max, --remove", poolAttribute},
	{"pool recovery-codes", "POOL USERNAME", "print new codes for a user who has lost his second factor, each good once in place of it", poolRecoveryCodes},
	{"trust github", "", "let workflows of a GitHub repository assume a new role", trustGitHub},
	{"trust gitlab", "", "let jobs of a GitLab project assume a new role", trustGitLab},
	{"trust kubernetes", "", "let pods with a service account assume a new role", trustKubernetes},
	{"trust oidc", "", "let bearers of an OpenID Connect issuer's tokens assume a new role", trustOIDC},
	{"admin-key", "", "make another access key of an account's user admin", func(in *invocation, fs *flag.FlagSet) func([]string) error {
		account := fs.String("account", "", "account id (default: the first account)")
		return func([]string) error { return ownerKey(in, in.control().AdminKey, "default", *account) }
	}},
	{"root-key", "", "make an access key of an account's root user", func(in *invocation, fs *flag.FlagSet) func([]string) error {
		account := fs.String("account", "", "account id (default: the first account)")
		return func([]string) error { return ownerKey(in, in.control().RootKey, "root", *account) }
	}},
	{"version", "", "print the version", func(in *invocation, _ *flag.FlagSet) func([]string) error {
		return func([]string) error {
			fmt.Fprintf(in.out, "usher %s %s %s/%s\n", server.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return nil
		}
	}},
}

// synopsis is the command with its arguments.
func (c *command) synopsis() string { return strings.TrimSpace(c.name + " " + c.args) }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "usher:", err)
			os.Exit(1)
		}
	}
}

func run(ctx context.Context, args []string, out, logs io.Writer) error {
	in := &invocation{ctx: ctx, out: out, logs: logs}
	if len(args) == 0 || args[0] == "help" || args[0] == "--help" || args[0] == "-h" {
		help(in)
		return nil
	}
	c, args, err := find(args)
	if err != nil {
		return err
	}
	fs := flag.NewFlagSet("usher "+c.name, flag.ContinueOnError)
	fs.SetOutput(out)
	do := c.do(in, fs)
	own := flag.NewFlagSet("", flag.ContinueOnError) // beside the settings
	fs.VisitAll(func(f *flag.Flag) { own.Var(f.Value, f.Name, f.Usage) })
	in.cfg.Flags(fs)
	fs.Usage = func() {
		fmt.Fprintf(out, "usage: usher %s [flags]\n\n%s\n", c.synopsis(), c.about)
		shown := own
		if c.name == "serve" {
			shown = fs
		} else {
			fmt.Fprintln(out, "The settings --data and --listen find the server: see usher --help.")
		}
		fmt.Fprintln(out)
		shown.SetOutput(out)
		shown.PrintDefaults()
	}
	words, err := parse(fs, args)
	if err != nil {
		return err
	}
	if want := len(strings.Fields(c.args)); len(words) > want {
		return fmt.Errorf("unexpected argument %q", words[want])
	} else if len(words) < want {
		return fmt.Errorf("usage: usher %s [flags]", c.synopsis())
	}
	if err := in.cfg.Load(fs, os.Environ()); err != nil {
		return err
	}
	return do(words)
}

// find takes the command off the arguments.
func find(args []string) (*command, []string, error) {
	for n := min(2, len(args)); n > 0; n-- {
		name := strings.Join(args[:n], " ")
		for i := range commands {
			if commands[i].name == name {
				return &commands[i], args[n:], nil
			}
		}
	}
	var family []string
	for i := range commands {
		if strings.HasPrefix(commands[i].name, args[0]+" ") {
			family = append(family, commands[i].name)
		}
	}
	if family != nil {
		return nil, nil, fmt.Errorf("want one of: %s", strings.Join(family, ", "))
	}
	return nil, nil, fmt.Errorf("unknown command %q; see usher --help", args[0])
}

// parse reads flags wherever they stand and returns the other words.
func parse(fs *flag.FlagSet, args []string) (words []string, err error) {
	for {
		if err := fs.Parse(args); err != nil {
			return nil, err
		}
		if args = fs.Args(); len(args) == 0 {
			return words, nil
		}
		words, args = append(words, args[0]), args[1:]
	}
}

func help(in *invocation) {
	fmt.Fprint(in.out, intro)
	for i := range commands {
		fmt.Fprintf(in.out, "  %-22s  %s\n", commands[i].synopsis(), commands[i].about)
	}
	fmt.Fprint(in.out, outro)
	fs := flag.NewFlagSet("usher", flag.ContinueOnError)
	fs.SetOutput(in.out)
	in.cfg.Flags(fs)
	fs.PrintDefaults()
}

// env prints what a shell must export, and what it must forget since it would come first; `eval "$(usher env)"`.
func env(cfg server.Config, out io.Writer) error {
	fmt.Fprintln(out, "unset AWS_PROFILE AWS_DEFAULT_PROFILE AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN")
	for _, line := range cfg.ClientEnv() {
		name, value, _ := strings.Cut(line, "=")
		fmt.Fprintf(out, "export %s='%s'\n", name, strings.ReplaceAll(value, "'", `'\''`))
	}
	return nil
}

func inbox(in *invocation, limit int, asJSON bool) error {
	kept, err := in.control().Inbox(in.ctx, limit)
	if err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(in.out).Encode(kept)
	}
	if len(kept) == 0 {
		fmt.Fprintln(in.out, "no messages")
	}
	for _, m := range kept {
		fmt.Fprintf(in.out, "%s  %s  %s to %s (%s of %s)\n", m.Created.Local().Format("2006-01-02 15:04:05"), m.Purpose, m.Medium, m.To, m.Username, m.PoolID)
		if m.Subject != "" {
			fmt.Fprintf(in.out, "    %s\n", m.Subject)
		}
		fmt.Fprintf(in.out, "    %s\n", m.Body)
	}
	return nil
}

// ownerKey makes a key and prints it in the form of the AWS shared credentials file.
func ownerKey(in *invocation, create func(context.Context, string) (iam.KeyPair, error), profile, account string) error {
	key, err := create(in.ctx, account)
	if err != nil {
		return err
	}
	fmt.Fprint(in.out, server.SharedCredentials(profile, key))
	return nil
}
