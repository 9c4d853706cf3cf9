package server

import (
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
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
	var environ []string
	for name, value := range env {
		environ = append(environ, name+"="+value)
	}
	return c, c.Load(fs, environ)
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

// TestIgnoredVariables: a misspelt variable is named, and those of other programs are nobody's business.
func TestIgnoredVariables(t *testing.T) {
	c, err := load(t, nil, map[string]string{"USHER_REGOIN": "eu-west-1", "USHER_PORT": "tcp://10.0.0.1:80", "USHER_KEY": "k:AAAA", "USHER_DATA": "/srv", "PATH": "/bin"}, "")
	if err != nil || !slices.Equal(c.ignored, []string{"USHER_PORT", "USHER_REGOIN"}) || c.Key != "k:AAAA" || c.Data != "/srv" {
		t.Errorf("got %+v %v", c, err)
	}
}

// TestGuestsPerMinute: guests are limited unless only this machine can reach the server.
func TestGuestsPerMinute(t *testing.T) {
	for _, c := range []struct {
		flags string
		want  int
	}{
		{"", 0},
		{"--guests-per-minute 7", 7},
		{"--public-url https://id.example.org", guestsPerMinute},
		{"--listen 0.0.0.0:8080", guestsPerMinute},
		{"--listen 0.0.0.0:8080 --guests-per-minute 0", 0},
	} {
		cfg, err := load(t, strings.Fields(c.flags), nil, "")
		if err != nil {
			t.Fatal(err)
		}
		if s := (&Server{cfg: cfg, publicURL: cfg.publicURL(cfg.Listen)}); s.guestsPerMinute() != c.want {
			t.Errorf("%q: %d, want %d", c.flags, s.guestsPerMinute(), c.want)
		}
	}
}

func TestEndpoint(t *testing.T) {
	for _, c := range []struct{ flags, want string }{
		{"", "http://127.0.0.1:8080"},
		{"--listen [::1]:80", "http://[::1]:80"},
		{"--listen :81", "http://127.0.0.1:81"},
		{"--listen 0.0.0.0:81", "http://127.0.0.1:81"},
		{"--listen [::]:81", "http://127.0.0.1:81"},
		{"--listen 192.0.2.1:81", "http://192.0.2.1:81"},
		{"--listen :81 --public-url https://id.example.org/", "https://id.example.org"},
	} {
		if got, err := load(t, strings.Fields(c.flags), nil, ""); err != nil || got.Endpoint() != c.want {
			t.Errorf("%q: got %s %v, want %s", c.flags, got.Endpoint(), err, c.want)
		}
	}
}

func TestRefusedSettings(t *testing.T) {
	for _, c := range []struct{ name, want, flags, file string }{
		{"unknown key", `unknown setting "listn"`, "", "listn = 127.0.0.1:1"},
		{"config within the file", `unknown setting "config"`, "", "config = x"},
		{"no value", "want one line", "", "listen"},
		{"twice", "want one line", "", "listen = 127.0.0.1:1\nlisten = 127.0.0.1:2"},
		{"alias", `--alias-urls "old.example.org": want http(s)`, "--alias-urls https://a.example.org,old.example.org", ""},
		{"compat issuer", "want aws", "--compat-issuer gcp", ""},
		{"upstream without a URL", "want NAME=URL", "--upstream-sts us-east-1:1", ""},
		{"upstream of what is no pool", "identity pool's id", "--upstream-sts pool=https://sts.amazonaws.com", ""},
		{"upstream twice", "each name once", "--upstream-sts us-east-1:1=https://a.example.org,us-east-1:1=https://b.example.org", ""},
		{"upstream in clear", "--upstream-sts: codes and tokens would cross", "--upstream-sts us-east-1:1=http://sts.example.org", ""},
		{"guests of a minute", "want a number", "--guests-per-minute many", ""},
		{"unknown provider", "google, apple, facebook, amazon or twitter", "--provider-urls github=https://api.github.com", ""},
		{"not a bool", "want true or false", "", "outbound-private = maybe"},
		{"unknown flag", "not defined", "--listn x", ""},
		{"no port", "want host:port", "--listen 127.0.0.1", ""},
		{"region", "is not a region name", "--region Europe", ""},
		{"public URL", "want http(s)://host", "--public-url id.example.org", ""},
		{"public URL with a query", "want http(s)://host", "--public-url https://id.example.org/?a", ""},
		{"mail in clear across the network", "cross the network in clear", "--smtp mail.example.org:25 --smtp-tls none", ""},
		{"mail with unknown TLS", "want starttls", "--smtp mail.example.org:25 --smtp-tls maybe", ""},
		{"SMS in clear across the network", "cross the network in clear", "--sms http://sms.example.org/send", ""},
		{"SMS to SNS in clear", "cross the network in clear", "--sms sns:http://sns.eu-west-1.amazonaws.com", ""},
		{"SMS to no URL", "want http(s)://host", "--sms sms.example.org", ""},
		{"Lambda in clear across the network", "cross the network in clear", "--lambda http://lambda.example.org", ""},
		{"Lambda at no URL", "want http(s)://host", "--lambda lambda.example.org:443", ""},
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

func TestOutbound(t *testing.T) {
	for _, flags := range []string{"--sms https://sms.example.org/send?key=x", "--sms http://127.0.0.1:1/", "--sms sns:https://sns.eu-west-1.amazonaws.com",
		"--lambda https://lambda.eu-west-1.amazonaws.com", "--lambda http://localhost:3001/"} {
		if _, err := load(t, strings.Fields(flags), nil, ""); err != nil {
			t.Errorf("%s: %v", flags, err)
		}
	}
	for endpoint, want := range map[string]string{"https://sns.eu-west-1.amazonaws.com": "eu-west-1", "https://sns.example.org": "us-east-1", "http://127.0.0.1:4100": "us-east-1"} {
		if got := snsRegion(endpoint, "us-east-1"); got != want {
			t.Errorf("region of %s: %s", endpoint, got)
		}
	}
}

func TestAWSCredentials(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	t.Setenv("AWS_SESSION_TOKEN", "")
	if _, err := awsCredentials("lambda", ""); err == nil || !strings.Contains(err.Error(), "--lambda-credentials-file") {
		t.Errorf("none: %v", err)
	}
	file := filepath.Join(t.TempDir(), "key")
	for text, want := range map[string]string{"AKIA:secret\n": "AKIA secret ", "AKIA:sec/ret+:token": "AKIA sec/ret+ token", "AKIA": "", "": "", ":": ""} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got := ""
		if p, err := awsCredentials("lambda", file); err == nil {
			c, _ := p.Retrieve(t.Context())
			got = c.AccessKeyID + " " + c.SecretAccessKey + " " + c.SessionToken
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "ASIA")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "s")
	t.Setenv("AWS_SESSION_TOKEN", "t")
	p, err := awsCredentials("lambda", "")
	if err != nil {
		t.Fatal(err)
	}
	if c, _ := p.Retrieve(t.Context()); c.AccessKeyID != "ASIA" || c.SessionToken != "t" {
		t.Errorf("from the environment: %+v", c)
	}
}
