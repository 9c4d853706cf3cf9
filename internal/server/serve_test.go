package server_test

import (
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"usher/internal/server"
)

func usher(t *testing.T, p *process, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "usher"), args...)
	cmd.Env = append(os.Environ(), "USHER_DATA="+p.data, "USHER_LISTEN="+strings.TrimPrefix(p.endpoint, "http://"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("usher %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestServe goes through the life of a server: files of the first start, commands, demo, SIGTERM.
func TestServe(t *testing.T) {
	p := serve(t, t.TempDir(), freeAddress(t), "")
	for _, name := range []string{"credentials", "key", "usher.db", "control.sock"} {
		info, err := os.Stat(filepath.Join(p.data, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v: others may read it", name, info.Mode())
		}
	}
	credentials := readFile(t, filepath.Join(p.data, "credentials"))
	if !strings.HasPrefix(credentials, "[default]\naws_access_key_id = AKIA") || !strings.Contains(credentials, "\naws_secret_access_key = ") {
		t.Errorf("credentials file: %q", credentials)
	}

	if out := usher(t, p, "env"); !strings.Contains(out, "export AWS_ENDPOINT_URL='"+p.endpoint+"'\n") {
		t.Errorf("env: %s", out)
	} else {
		// Credentials that the shell had before do not come first.
		cmd := exec.CommandContext(t.Context(), "sh", "-c", out+`echo "$AWS_PROFILE$AWS_ACCESS_KEY_ID$AWS_SESSION_TOKEN"`)
		cmd.Env = append(os.Environ(), "AWS_PROFILE=work", "AWS_ACCESS_KEY_ID=AKIAOTHER", "AWS_SESSION_TOKEN=x")
		if left, err := cmd.Output(); err != nil || string(left) != "\n" {
			t.Errorf("env leaves other credentials: %q %v", left, err)
		}
	}
	if out := usher(t, p, "demo"); !strings.Contains(out, "16. Elsewhere she is refused.") || !strings.Contains(out, "AccessDenied: User: arn:aws:sts::") {
		t.Errorf("demo: %s", out)
	}
	if out := usher(t, p, "inbox"); !strings.Contains(out, "EMAIL to ada@example.org") {
		t.Errorf("inbox: %s", out)
	}
	root := usher(t, p, "root-key")
	if !strings.HasPrefix(root, "[root]\naws_access_key_id = AKIA") {
		t.Errorf("root-key: %s", root)
	}
	if out := usher(t, p, "version"); !strings.HasPrefix(out, "usher ") {
		t.Errorf("version: %s", out)
	}

	child := children(t, p.cmd.Process.Pid)
	if len(child) != 1 {
		t.Fatalf("children: %v", child)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
	if _, err := os.Stat("/proc/" + child[0]); err == nil {
		t.Error("the object store outlives the server")
	}
	if _, err := os.Stat(filepath.Join(p.data, "control")); err == nil {
		t.Error("the control file stays")
	}

	// The data is there when it starts again; the credentials are not written anew.
	again := serve(t, p.data, freeAddress(t), "")
	if readFile(t, filepath.Join(again.data, "credentials")) != credentials {
		t.Error("a second start changed the credentials")
	}
	if out := usher(t, again, "demo"); !strings.Contains(out, "All of it is still there") {
		t.Errorf("demo after a restart: %s", out)
	}
}

// TestOtherDatabase: the credentials of a data folder are not overwritten when it is pointed at an empty database.
func TestOtherDatabase(t *testing.T) {
	p := serve(t, t.TempDir(), freeAddress(t), "")
	credentials := readFile(t, filepath.Join(p.data, "credentials"))
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.cmd.Wait()
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "usher"), "serve", "--listen", freeAddress(t), "--data", p.data, "--database", "sqlite:"+filepath.Join(t.TempDir(), "other.db"))
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "name that database, or another data folder") {
		t.Errorf("serve: %v %s", err, out)
	}
	if readFile(t, filepath.Join(p.data, "credentials")) != credentials {
		t.Error("the credentials were overwritten")
	}
}

// TestRelaxed: http:// issuers are for a server that only this machine can reach, and it says so.
func TestRelaxed(t *testing.T) {
	_, port, _ := net.SplitHostPort(freeAddress(t))
	for _, c := range []struct {
		listen  string
		relaxed bool
	}{
		{"127.0.0.1:" + port, true},
		{"0.0.0.0:" + port, false},
	} {
		p := serve(t, t.TempDir(), c.listen, "")
		_, err := iam.NewFromConfig(p.admin(t)).CreateOpenIDConnectProvider(t.Context(), &iam.CreateOpenIDConnectProviderInput{
			Url: aws.String("http://127.0.0.1:1/issuer"), ClientIDList: []string{"app"}})
		if (err == nil) != c.relaxed || err != nil && !strings.Contains(err.Error(), "Invalid Open ID Connect Provider URL") {
			t.Errorf("%s: http:// issuer: %v", c.listen, err)
		}
		if res, err := http.Get(p.endpoint + "/_usher/inbox"); err != nil || (res.StatusCode == 200) != c.relaxed {
			t.Errorf("%s: inbox page: %v %v", c.listen, res, err)
		} else {
			res.Body.Close()
		}
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		p.cmd.Wait()
		if log := p.log.String(); strings.Contains(log, "  relaxed, because only this machine can reach the listener") != c.relaxed ||
			strings.Contains(log, "  plain HTTP on the network") == c.relaxed {
			t.Errorf("%s: says %s", c.listen, log)
		}
	}
}

// TestChildDiesWithServer: kill -9 leaves no object store behind.
func TestChildDiesWithServer(t *testing.T) {
	p := serve(t, t.TempDir(), freeAddress(t), "")
	child := children(t, p.cmd.Process.Pid)
	p.cmd.Process.Kill()
	p.cmd.Wait()
	for range 200 {
		if _, err := os.Stat("/proc/" + child[0]); err != nil {
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Error("the object store outlives a killed server")
}

func children(t *testing.T, pid int) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, f := range files {
		all = append(all, strings.Fields(readFile(t, f))...)
	}
	return all
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestInboxPage: only a person on this machine sees it, not a page of another site and not through another name.
func TestInboxPage(t *testing.T) {
	p := serve(t, t.TempDir(), freeAddress(t), "")
	usher(t, p, "demo")
	for _, c := range []struct {
		name, host, site, proxy string
		status                  int
	}{
		{"a person", "", "", "", 200},
		{"typed into a browser", "", "none", "", 200},
		{"by its name", "localhost", "", "", 200},
		{"another site's page", "", "cross-site", "", 404},
		{"a rebound name", "evil.example", "", "", 404},
		{"through a proxy", "", "none", "203.0.113.7", 404},
	} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", p.endpoint+"/_usher/inbox", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = c.host
		if c.site != "" {
			req.Header.Set("Sec-Fetch-Site", c.site)
		}
		if c.proxy != "" {
			req.Header.Set("X-Forwarded-For", c.proxy)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != c.status || (c.status == 200) != strings.Contains(string(body), "ada@example.org") {
			t.Errorf("%s: %d %s", c.name, res.StatusCode, body)
		}
	}
}

// TestHelp: every command and every setting is in the help.
func TestHelp(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), filepath.Join(bin, "usher"), "--help").CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	readme := readFile(t, "../../README.md")
	for _, command := range []string{"serve", "env", "demo", "inbox", "admin-key", "root-key", "version"} {
		if !strings.Contains(string(out), "\n  "+command+" ") {
			t.Errorf("help does not name the command %s", command)
		}
	}
	for _, name := range server.SettingNames() {
		if !strings.Contains(string(out), "-"+name+" ") && !strings.Contains(string(out), "-"+name+"\n") {
			t.Errorf("help does not name the setting %s", name)
		}
		if !strings.Contains(readme, "`--"+name+"`") {
			t.Errorf("README does not name --%s", name)
		}
	}
}

// TestWrongUse: mistakes get one clear line and exit code 1.
func TestWrongUse(t *testing.T) {
	data := t.TempDir()
	for _, c := range []struct{ want, args string }{
		{"unknown command", "sevre"},
		{"not running", "inbox --data " + data},
		{"want host:port", "serve --listen nowhere --data " + data},
		{"unexpected argument", "serve now"},
	} {
		out, err := exec.CommandContext(t.Context(), filepath.Join(bin, "usher"), strings.Fields(c.args)...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), c.want) {
			t.Errorf("usher %s: %v: %s", c.args, err, out)
		}
	}
}
