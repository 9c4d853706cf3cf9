package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"usher/internal/server"
)

func accountCreate(in *invocation, _ *flag.FlagSet) func([]string) error {
	return func(args []string) error {
		key, err := in.control().CreateAccount(in.ctx, args[0])
		if err != nil {
			return err
		}
		fmt.Fprintf(in.out, "# account %s\n%s", key.Account, server.SharedCredentials(args[0], key))
		return nil
	}
}

func accountList(in *invocation, _ *flag.FlagSet) func([]string) error {
	return func([]string) error {
		list, err := in.control().Accounts(in.ctx)
		for _, a := range list {
			fmt.Fprintf(in.out, "%s  %s\n", a.ID, a.Name)
		}
		return err
	}
}

func explain(in *invocation, _ *flag.FlagSet) func([]string) error {
	return func(args []string) error {
		list, err := in.control().Explain(in.ctx, args[0])
		if err != nil {
			return err
		}
		if len(list) == 0 {
			return fmt.Errorf("no request %s has failed lately; the id is in the error that the client got, and the server that answered must still run, on this database", args[0])
		}
		for _, d := range list {
			what := d.Action
			if d.Resource != "" {
				what += " on " + d.Resource
			}
			fmt.Fprintf(in.out, "%s  %s\n%s\n", d.At.Local().Format("2006-01-02 15:04:05"), d.Caller, what)
			if d.Note != "" {
				fmt.Fprintf(in.out, "  %s\n", d.Note)
			}
			for line := range strings.Lines(d.Text) {
				fmt.Fprintf(in.out, "  %s", line)
			}
		}
		return nil
	}
}

func identityShow(in *invocation, _ *flag.FlagSet) func([]string) error {
	return func(args []string) error {
		i, err := in.control().Identity(in.ctx, args[0])
		return printIdentity(in, i, err)
	}
}

func identityOf(in *invocation, _ *flag.FlagSet) func([]string) error {
	return func(args []string) error {
		i, err := in.control().IdentityOf(in.ctx, args[0], args[1], args[2])
		return printIdentity(in, i, err)
	}
}

func printIdentity(in *invocation, i server.Identity, err error) error {
	if err != nil {
		return err
	}
	const form = "2006-01-02 15:04:05"
	fmt.Fprintf(in.out, "%s %s\n  identity pool  %s\n  created        %s\n  modified       %s\n", i.ID, i.State, i.PoolID, i.Created.Local().Format(form), i.Modified.Local().Format(form))
	for _, l := range i.Logins {
		name := ""
		if n := i.Usernames[l.Subject]; n != "" {
			name = " (" + n + ")"
		}
		fmt.Fprintf(in.out, "  login          %s%s of %s\n", l.Subject, name, l.Provider)
	}
	return nil
}

func revoke(in *invocation, _ *flag.FlagSet) func([]string) error {
	return func(args []string) error {
		if err := in.control().Revoke(in.ctx, args[0], args[1]); err != nil {
			return err
		}
		fmt.Fprintf(in.out, "revoked: no session of %s %s that was issued until now is accepted any more\n", args[0], args[1])
		return nil
	}
}

func rotateKeys(in *invocation, fs *flag.FlagSet) func([]string) error {
	discard := fs.Bool("discard", false, "forget the former keys at once, with every token that they have signed: for when one has become known")
	return func(args []string) error {
		if err := in.control().RotateKeys(in.ctx, args[0], *discard); err != nil {
			return err
		}
		if *discard {
			fmt.Fprintf(in.out, "rotated: tokens of %s that were issued until now are not accepted any more\n", args[0])
		} else {
			fmt.Fprintf(in.out, "rotated: the new keys of %s are published and sign in 10 minutes\n", args[0])
		}
		return nil
	}
}

// trustFlags are the flags that all kinds of `usher trust` have.
type trustFlags struct {
	server.Trust
	policies, jwks string
}

func newTrustFlags(fs *flag.FlagSet, audience string) *trustFlags {
	t := &trustFlags{}
	fs.StringVar(&t.Account, "account", "", "account id (default: the first account)")
	fs.StringVar(&t.Role, "role", "", "name of the role (default: from what is trusted)")
	fs.StringVar(&t.policies, "policy", "", "policies to attach to the role: ARNs or names of AWS managed policies, comma separated")
	fs.StringVar(&t.jwks, "jwks", "", "file with the issuer's keys (JSON Web Key Set or SPIFFE bundle), for an issuer that cannot be reached")
	usage := "audience that tokens must be for"
	if audience != "" {
		usage += " (default " + audience + ")"
	}
	fs.StringVar(&t.Audience, "audience", "", usage)
	return t
}

// run sets it up and says what was done. role is the default name of the role.
func (t *trustFlags) run(in *invocation, role string) error {
	if t.Role == "" {
		t.Role = roleName(role)
	}
	for p := range strings.SplitSeq(t.policies, ",") {
		if p = strings.TrimSpace(p); p == "" {
			continue
		}
		if !strings.HasPrefix(p, "arn:") {
			p = "arn:aws:iam::aws:policy/" + p
		}
		t.Policies = append(t.Policies, p)
	}
	if t.jwks != "" {
		text, err := os.ReadFile(t.jwks)
		if err != nil {
			return err
		}
		t.JWKS = string(text)
	}
	done, err := in.control().Trust(in.ctx, t.Trust)
	if err != nil {
		return err
	}
	for _, step := range done {
		fmt.Fprintln(in.out, step.Did)
	}
	fmt.Fprintln(in.out, "\nThe same with the AWS CLI:")
	for _, step := range done {
		if step.Command != "" {
			fmt.Fprintf(in.out, "  %s\n", step.Command)
		}
	}
	return nil
}

// roleName makes a name that IAM takes.
func roleName(text string) string {
	name := strings.Map(func(r rune) rune {
		if r < 0x80 && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("+=,.@_-", r)) {
			return r
		}
		return '-'
	}, text)
	return name[:min(len(name), 64)]
}

// oneOf is the one of some flags that is set, as given by format.
func oneOf(choices ...[2]string) (string, error) {
	var set []string
	for _, c := range choices {
		if c[1] != "" {
			set = append(set, fmt.Sprintf(c[0], c[1]))
		}
	}
	if len(set) != 1 {
		return "", errors.New("say what may assume the role by exactly one flag; see --help")
	}
	return set[0], nil
}

func trustGitHub(in *invocation, fs *flag.FlagSet) func([]string) error {
	t := newTrustFlags(fs, "sts.amazonaws.com")
	repo := fs.String("repo", "", "OWNER/REPOSITORY")
	branch := fs.String("branch", "", "branch whose workflows may, * for any")
	tag := fs.String("tag", "", "tag whose workflows may, * for any")
	environment := fs.String("environment", "", "environment whose jobs may")
	subject := fs.String("subject", "", "subject as GitHub is configured to write it, with wildcards; instead of the above")
	return func([]string) error {
		t.Issuer, t.Audience = "https://token.actions.githubusercontent.com", cmp.Or(t.Audience, "sts.amazonaws.com")
		what, err := oneOf([2]string{"ref:refs/heads/%s", *branch}, [2]string{"ref:refs/tags/%s", *tag}, [2]string{"environment:%s", *environment}, [2]string{"%s", *subject})
		if err != nil {
			return err
		}
		if t.Subject = what; *subject == "" {
			if owner, name, ok := strings.Cut(*repo, "/"); !ok || owner == "" || name == "" || strings.ContainsAny(*repo, "*?:") {
				return errors.New("--repo: want OWNER/REPOSITORY")
			}
			t.Subject = "repo:" + *repo + ":" + what
		}
		return t.run(in, "github-"+cmp.Or(*repo, what))
	}
}

func trustGitLab(in *invocation, fs *flag.FlagSet) func([]string) error {
	t := newTrustFlags(fs, "the URL")
	url := fs.String("url", "https://gitlab.com", "address of GitLab")
	project := fs.String("project", "", "GROUP/PROJECT")
	branch := fs.String("branch", "", "branch whose jobs may, * for any")
	tag := fs.String("tag", "", "tag whose jobs may, * for any")
	return func([]string) error {
		t.Issuer, t.Audience = *url, cmp.Or(t.Audience, *url)
		what, err := oneOf([2]string{"branch:ref:%s", *branch}, [2]string{"tag:ref:%s", *tag})
		if err != nil {
			return err
		}
		if group, name, ok := strings.Cut(*project, "/"); !ok || group == "" || name == "" || strings.ContainsAny(*project, "*?:") {
			return errors.New("--project: want GROUP/PROJECT")
		}
		t.Subject = "project_path:" + *project + ":ref_type:" + what
		return t.run(in, "gitlab-"+*project)
	}
}

func trustKubernetes(in *invocation, fs *flag.FlagSet) func([]string) error {
	t := newTrustFlags(fs, "sts.amazonaws.com")
	fs.StringVar(&t.Issuer, "issuer", "", "issuer of the cluster's service account tokens (kubectl get --raw /.well-known/openid-configuration)")
	namespace := fs.String("namespace", "default", "namespace of the service account")
	account := fs.String("service-account", "", "name of the service account")
	return func([]string) error {
		if *account == "" || *namespace == "" || strings.ContainsAny(*namespace+*account, "*?:") {
			return errors.New("--service-account: want the name of a service account")
		}
		t.Audience, t.Subject = cmp.Or(t.Audience, "sts.amazonaws.com"), "system:serviceaccount:"+*namespace+":"+*account
		return t.run(in, "kubernetes-"+*namespace+"-"+*account)
	}
}

func trustOIDC(in *invocation, fs *flag.FlagSet) func([]string) error {
	t := newTrustFlags(fs, "")
	fs.StringVar(&t.Issuer, "issuer", "", "the issuer's URL, as in the iss of its tokens")
	fs.StringVar(&t.Subject, "subject", "", "subject that tokens must have; * and ? are wildcards")
	return func([]string) error {
		_, host, _ := strings.Cut(t.Issuer, "://")
		return t.run(in, "oidc-"+host)
	}
}
