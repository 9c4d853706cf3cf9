package server

import (
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func load(t *testing.T, args []string, env map[string]string, file string) (Config, error) {
	t.Helper()
	if file != "" {
		path := filepath.Join(t.TempDir(), "usher.conf")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config", path)
	}
	var c Config
	fs := flag.NewFlagSet("test", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	c.Flags(fs)
	if err := fs.Parse(args); err != nil {
		return c, err
	}
	return c, c.Load(fs, func(name string) string { return env[name] })
}

func TestPrecedence(t *testing.T) {
	env := map[string]string{"USHER_LISTEN": "127.0.0.1:2", "USHER_REGION": "eu-west-1", "USHER_OUTBOUND_PRIVATE": "true"}
	c, err := load(t, []string{"--listen", "127.0.0.1:1"}, env, "# a comment\nregion = eu-west-2\nlisten=127.0.0.1:3\ndata = /srv/usher\n\n")
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen != "127.0.0.1:1" || c.Region != "eu-west-1" || c.Data != "/srv/usher" || !c.OutboundPrivate {
		t.Errorf("a flag beats the environment, which beats the file: %+v", c)
	}
	if c.Database != "sqlite:/srv/usher/usher.db" || c.KeyFile != "/srv/usher/key" || c.Endpoint() != "http://127.0.0.1:1" {
		t.Errorf("defaults follow the data folder and the listener: %+v", c)
	}
}

func TestRefusedSettings(t *testing.T) {
	for _, c := range []struct{ name, want, flags, file string }{
		{"unknown key", `unknown setting "listn"`, "", "listn = 127.0.0.1:1"},
		{"config within the file", `unknown setting "config"`, "", "config = x"},
		{"no value", "want one line", "", "listen"},
		{"twice", "want one line", "", "listen = 127.0.0.1:1\nlisten = 127.0.0.1:2"},
		{"not a bool", "want true or false", "", "outbound-private = maybe"},
		{"unknown flag", "not defined", "--listn x", ""},
		{"no port", "want host:port", "--listen 127.0.0.1", ""},
		{"region", "is not a region name", "--region Europe", ""},
		{"public URL", "want http(s)://host", "--public-url id.example.org", ""},
		{"public URL with a query", "want http(s)://host", "--public-url https://id.example.org/?a", ""},
		{"mail in clear across the network", "cross the network in clear", "--smtp mail.example.org:25 --smtp-tls none", ""},
		{"mail with unknown TLS", "want starttls", "--smtp mail.example.org:25 --smtp-tls maybe", ""},
		{"upstream without keys", "needs --s3-credentials-file", "--s3-upstream https://s3.example.org", ""},
	} {
		_, err := load(t, strings.Fields(c.flags), nil, c.file)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

func TestMailIsEncryptedByDefault(t *testing.T) {
	for addr, want := range map[string]string{"mail.example.org:587": "starttls", "127.0.0.1:25": "none", "localhost:25": "none"} {
		if c, err := load(t, []string{"--smtp", addr}, nil, ""); err != nil || c.SMTPTLS != want {
			t.Errorf("%s: got %q %v, want %q", addr, c.SMTPTLS, err, want)
		}
	}
}

// TestVariables: the variable of a setting follows from its name.
func TestVariables(t *testing.T) {
	var c Config
	for _, s := range c.settings() {
		if want := "USHER_" + strings.ToUpper(strings.ReplaceAll(s.name, "-", "_")); s.env != want {
			t.Errorf("the variable of --%s is %s, want %s", s.name, s.env, want)
		}
	}
}
