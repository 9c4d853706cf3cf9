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

	"usher/internal/server"
)

const usage = `Usher shows the bearer of a web identity ticket to the seat they are entitled to: Cognito user pools, identity pools,
STS, IAM and an S3 gateway behind one address, for unmodified AWS clients.

usage: usher COMMAND [flags]

  serve      start the server; with no configuration on 127.0.0.1:8080, with SQLite and a local object store
  env        print the exports that point the AWS CLI and SDKs at the server
  demo       play the whole story against the running server and print the AWS CLI command of each step
  inbox      print the messages (codes, invitations) that no mail server has taken
  admin-key  make another access key of an account's user admin
  root-key   make an access key of an account's root user
  version    print the version

Settings are flags, environment variables, or lines "name = value" of the file that --config names, in this order of
precedence. They are those of serve; the other commands read --data and --listen to find the server.

`

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
	command := ""
	if len(args) > 0 {
		command, args = args[0], args[1:]
	}
	var cfg server.Config
	fs := flag.NewFlagSet("usher "+command, flag.ContinueOnError)
	fs.SetOutput(out)
	cfg.Flags(fs)
	asJSON, limit, account := false, 20, ""
	var do func() error
	switch command {
	case "serve":
		do = func() error { return server.Run(ctx, cfg, slog.New(slog.NewJSONHandler(logs, nil)), out) }
	case "env":
		do = func() error { return env(cfg, out) }
	case "demo":
		do = func() error { return demo(ctx, cfg, out) }
	case "inbox":
		fs.BoolVar(&asJSON, "json", false, "print JSON")
		fs.IntVar(&limit, "n", limit, "how many messages, the newest first")
		do = func() error { return inbox(ctx, cfg, out, limit, asJSON) }
	case "admin-key", "root-key":
		fs.StringVar(&account, "account", "", "account id (default: the first account)")
		do = func() error { return ownerKey(ctx, cfg, out, command, account) }
	case "version":
		fmt.Fprintf(out, "usher %s %s %s/%s\n", server.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		return nil
	case "", "help", "--help", "-h":
		fmt.Fprint(out, usage)
		fs.PrintDefaults()
		return nil
	default:
		return fmt.Errorf("unknown command %q; see usher --help", command)
	}
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if err := cfg.Load(fs, os.Getenv); err != nil {
		return err
	}
	return do()
}

// env prints what a shell must export; `eval "$(usher env)"`.
func env(cfg server.Config, out io.Writer) error {
	for _, line := range cfg.ClientEnv() {
		name, value, _ := strings.Cut(line, "=")
		fmt.Fprintf(out, "export %s='%s'\n", name, strings.ReplaceAll(value, "'", `'\''`))
	}
	return nil
}

func inbox(ctx context.Context, cfg server.Config, out io.Writer, limit int, asJSON bool) error {
	kept, err := server.Control{Data: cfg.Data}.Inbox(ctx, limit)
	if err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(out).Encode(kept)
	}
	if len(kept) == 0 {
		fmt.Fprintln(out, "no messages")
	}
	for _, m := range kept {
		fmt.Fprintf(out, "%s  %s  %s to %s (%s of %s)\n", m.Created.Local().Format("2006-01-02 15:04:05"), m.Purpose, m.Medium, m.To, m.Username, m.PoolID)
		if m.Subject != "" {
			fmt.Fprintf(out, "    %s\n", m.Subject)
		}
		fmt.Fprintf(out, "    %s\n", m.Body)
	}
	return nil
}

// ownerKey makes a key and prints it in the form of the AWS shared credentials file.
func ownerKey(ctx context.Context, cfg server.Config, out io.Writer, command, account string) error {
	control := server.Control{Data: cfg.Data}
	create, profile := control.AdminKey, "default"
	if command == "root-key" {
		create, profile = control.RootKey, "root"
	}
	key, err := create(ctx, account)
	if err != nil {
		return err
	}
	fmt.Fprint(out, server.SharedCredentials(profile, key))
	return nil
}
