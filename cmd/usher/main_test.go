package main

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"usher/internal/server"
)

// TestHelp: the help text and the README name every command and every setting, in the same words.
func TestHelp(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), []string{"--help"}, &out, &out); err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for i := range commands {
		c := &commands[i]
		if line := "| `usher " + c.synopsis() + "` | " + c.about + " |\n"; !strings.Contains(string(readme), line) {
			t.Errorf("README.md does not have %q", line)
		}
		found := false
		for line := range strings.Lines(out.String()) {
			found = found || strings.HasPrefix(line, "  "+c.synopsis()+" ") && strings.HasSuffix(line, "  "+c.about+"\n")
		}
		if !found {
			t.Errorf("usher --help does not tell of %s", c.name)
		}
	}
	for _, name := range server.SettingNames() {
		if !strings.Contains(out.String(), "  -"+name+" ") && !strings.Contains(out.String(), "  -"+name+"\n") {
			t.Errorf("usher --help does not tell of --%s", name)
		}
		if !strings.Contains(string(readme), "`--"+name+"`") {
			t.Errorf("README.md does not tell of --%s", name)
		}
		if _, rest, _ := strings.Cut(out.String(), "  -"+name+" "); strings.HasPrefix(rest, "usher ") {
			t.Errorf("usher --help takes a command for the value of --%s", name)
		}
	}
}

func TestCommandLine(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"nonsense", `unknown command "nonsense"`},
		{"trust", "want one of: trust github, trust gitlab, trust kubernetes, trust oidc"},
		{"account", "want one of: account create, account list"},
		{"pool", "want one of: pool export, pool set, pool attribute, pool recovery-codes"},
		{"pool export --data DATA eu-central-1_AbCdEfGhI --out -", server.ErrNotRunning.Error()},
		{"pool recovery-codes --data DATA eu-central-1_AbCdEfGhI ada", server.ErrNotRunning.Error()},
		{"pool set --data DATA eu-central-1_AbCdEfGhI --case-sensitive=maybe", "invalid"},
		{"pool set --data DATA eu-central-1_AbCdEfGhI --case-sensitive=false", server.ErrNotRunning.Error()},
		{"pool attribute --data DATA eu-central-1_AbCdEfGhI custom:x --remove", server.ErrNotRunning.Error()},
		{"account create", "usage: usher account create NAME [flags]"},
		{"account create a b", `unexpected argument "b"`},
		{"env x", `unexpected argument "x"`},
		{"account list --nonsense", "flag provided but not defined"},
		{"trust github --repo acme/site", "exactly one flag"},
		{"trust github --repo acme/site --branch main --tag v1", "exactly one flag"},
		{"trust github --repo acme --branch main", "want OWNER/REPOSITORY"},
		{"trust github --repo acme/* --branch main", "want OWNER/REPOSITORY"},
		{"trust gitlab --project acme --branch main", "want GROUP/PROJECT"},
		{"trust kubernetes --issuer https://k8s.example --service-account *", "want the name of a service account"},
		{"explain --data DATA some-id", server.ErrNotRunning.Error()},
		{"rotate-keys --data DATA eu-central-1_AbCdEfGhI", server.ErrNotRunning.Error()},
		{"env --key-days x", `--key-days "x": want a number of days`},
		{"revoke role --data DATA some-arn", server.ErrNotRunning.Error()},
		{"account list --data DATA", server.ErrNotRunning.Error()},
	} {
		var out bytes.Buffer
		args := strings.Fields(strings.ReplaceAll(c.line, "DATA", t.TempDir()))
		if err := run(t.Context(), args, &out, &out); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("usher %s: %v, want %q", c.line, err, c.want)
		}
	}
	var out bytes.Buffer
	if err := run(t.Context(), []string{"trust", "oidc", "--help"}, &out, &out); !errors.Is(err, flag.ErrHelp) || !strings.Contains(out.String(), "-subject") || strings.Contains(out.String(), "-smtp") ||
		!strings.Contains(out.String(), "--data and --listen find the server") {
		t.Errorf("%v %s", err, &out)
	}
}

// TestFlagsStandAnywhere: before, between and after the other words.
func TestFlagsStandAnywhere(t *testing.T) {
	for _, line := range []string{"--n 3 a b", "a --n 3 b", "a b --n=3", "a b -n 3"} {
		fs := flag.NewFlagSet("", flag.ContinueOnError)
		n := fs.Int("n", 0, "")
		words, err := parse(fs, strings.Fields(line))
		if err != nil || *n != 3 || !slices.Equal(words, []string{"a", "b"}) {
			t.Errorf("%s: %v %d %v", line, words, *n, err)
		}
	}
}
