package server

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"usher/internal/iam"
	"usher/internal/notify"
)

// The control socket lets the command line act on a running server. It is a unix socket in a folder that only its owner
// may enter, so that whoever may use it may read the data anyway.

// socketMost is the longest path that a unix socket may have on all systems (sun_path is 104 bytes on some).
const socketMost = 100

// controlFile holds the path of the socket, which is elsewhere when the data folder's path is too long for one.
func controlFile(data string) string { return filepath.Join(data, "control") }

// listenControl opens the socket and returns what closes it.
func listenControl(data string) (net.Listener, func(), error) {
	path := filepath.Join(data, "control.sock")
	if len(path) > socketMost {
		dir, err := os.MkdirTemp("", "usher-")
		if err != nil {
			return nil, nil, err
		}
		path = filepath.Join(dir, "control.sock")
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, nil, err
	}
	err = os.Chmod(path, 0o600)
	if err == nil {
		err = os.WriteFile(controlFile(data), []byte(path), 0o600)
	}
	if err != nil {
		l.Close()
		return nil, nil, err
	}
	return l, func() {
		l.Close()
		os.Remove(controlFile(data))
		if dir := filepath.Dir(path); dir != data {
			os.RemoveAll(dir)
		}
	}, nil
}

// control answers the socket.
func (s *Server) control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /inbox", func(w http.ResponseWriter, r *http.Request) {
		limit, err := strconv.Atoi(r.FormValue("limit"))
		if err != nil || limit < 1 {
			limit = 20
		}
		kept, err := s.Inbox(r.Context(), limit)
		answer(w, kept, err)
	})
	mux.HandleFunc("POST /root-key", func(w http.ResponseWriter, r *http.Request) {
		key, err := s.ownerKey(r.Context(), r.FormValue("account"), s.RootKey)
		answer(w, key, err)
	})
	mux.HandleFunc("POST /admin-key", func(w http.ResponseWriter, r *http.Request) {
		key, err := s.ownerKey(r.Context(), r.FormValue("account"), s.iam.AdminKey)
		answer(w, key, err)
	})
	s.adminRoutes(mux)
	s.poolRoutes(mux)
	return s.refreshed(mux)
}

// ownerKey makes a key in an account, "" for the first.
func (s *Server) ownerKey(ctx context.Context, account string, create func(context.Context, string) (*iam.KeyPair, error)) (*iam.KeyPair, error) {
	if account == "" {
		accounts, err := s.iam.Accounts(ctx)
		if err != nil {
			return nil, err
		}
		account = accounts[0].ID
	}
	return create(ctx, account)
}

// readJSON reads what Control.call sent.
func readJSON(w http.ResponseWriter, r *http.Request, in any) error {
	return json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(in)
}

func answer(w http.ResponseWriter, v any, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

// Control speaks to the server that runs on a data folder.
type Control struct {
	Data string

	patience time.Duration // for an answer; 0: the usual
}

// patient returns c with another patience.
func (c Control) patient(d time.Duration) Control {
	c.patience = d
	return c
}

// ErrNotRunning says that no server answers on the data folder.
var ErrNotRunning = errors.New("usher is not running on this data folder; start it with `usher serve`")

// call sends in as JSON, unless it is nil, and reads the answer into out.
func (c Control) call(ctx context.Context, method, target string, in, out any) error {
	socket, err := os.ReadFile(controlFile(c.Data))
	if err != nil {
		return fmt.Errorf("%w (%s)", ErrNotRunning, c.Data)
	}
	client := http.Client{Timeout: cmp.Or(c.patience, 30*time.Second), Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", string(socket))
		},
	}}
	var content io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		content = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://control"+target, content)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotRunning, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 64<<20))
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return errors.New(strings.TrimSpace(string(body)))
	}
	return json.Unmarshal(body, out)
}

// Inbox returns the kept messages, newest first.
func (c Control) Inbox(ctx context.Context, limit int) ([]notify.Message, error) {
	var kept []notify.Message
	err := c.call(ctx, http.MethodGet, "/inbox?limit="+strconv.Itoa(limit), nil, &kept)
	return kept, err
}

// RootKey makes an access key of the root user of an account, "" for the first account.
func (c Control) RootKey(ctx context.Context, account string) (iam.KeyPair, error) {
	var key iam.KeyPair
	err := c.call(ctx, http.MethodPost, "/root-key?account="+url.QueryEscape(account), nil, &key)
	return key, err
}

// AdminKey makes another access key of the user admin of an account, "" for the first account.
func (c Control) AdminKey(ctx context.Context, account string) (iam.KeyPair, error) {
	var key iam.KeyPair
	err := c.call(ctx, http.MethodPost, "/admin-key?account="+url.QueryEscape(account), nil, &key)
	return key, err
}

// SharedCredentials is a key in the form of the AWS shared credentials file.
func SharedCredentials(profile string, key iam.KeyPair) string {
	return fmt.Sprintf("[%s]\naws_access_key_id = %s\naws_secret_access_key = %s\n", profile, key.AccessKeyID, key.SecretAccessKey)
}
