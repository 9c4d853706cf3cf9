package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"usher/internal/access"
	"usher/internal/iam"
	"usher/internal/ids"
	"usher/internal/sts"
)

// adminRoutes are what operators do through the control socket and the AWS APIs have no operation for.
func (s *Server) adminRoutes(mux *http.ServeMux) {
	mux.HandleFunc("POST /accounts", func(w http.ResponseWriter, r *http.Request) {
		key, err := s.CreateAccount(r.Context(), r.FormValue("name"))
		answer(w, key, err)
	})
	mux.HandleFunc("GET /accounts", func(w http.ResponseWriter, r *http.Request) {
		list, err := s.Accounts(r.Context())
		answer(w, list, err)
	})
	mux.HandleFunc("GET /explain", func(w http.ResponseWriter, r *http.Request) {
		list, err := s.Explain(r.Context(), r.FormValue("request"))
		answer(w, list, err)
	})
	s.identityRoutes(mux)
	mux.HandleFunc("POST /revoke", func(w http.ResponseWriter, r *http.Request) {
		answer(w, struct{}{}, s.Revoke(r.Context(), r.FormValue("kind"), r.FormValue("what")))
	})
	mux.HandleFunc("POST /rotate-keys", func(w http.ResponseWriter, r *http.Request) {
		answer(w, struct{}{}, s.RotateKeys(r.Context(), r.FormValue("pool"), r.FormValue("discard") == "true"))
	})
	mux.HandleFunc("POST /trust", func(w http.ResponseWriter, r *http.Request) {
		var t Trust
		if err := readJSON(w, r, &t); err != nil {
			answer(w, nil, err)
			return
		}
		done, err := s.Trust(r.Context(), t)
		answer(w, done, err)
	})
}

// CreateAccount makes an account and returns the access key of its user admin.
func (s *Server) CreateAccount(ctx context.Context, name string) (*iam.KeyPair, error) {
	return s.iam.CreateAccount(ctx, name)
}

// RootKey makes an access key of the root user of an account.
func (s *Server) RootKey(ctx context.Context, account string) (*iam.KeyPair, error) {
	return s.iam.RootKey(ctx, account)
}

// Accounts lists the accounts in the order in which they were made.
func (s *Server) Accounts(ctx context.Context) ([]iam.Account, error) { return s.iam.Accounts(ctx) }

// Explain tells why the request with an id was denied, if it was and a node remembers it.
func (s *Server) Explain(ctx context.Context, requestID string) ([]access.Told, error) {
	return s.questions.Explain(ctx, requestID)
}

// revocable are the kinds of `usher revoke`.
var revocable = map[string]sts.SubjectKind{
	"role": sts.SessionsOfRole, "user": sts.SessionsOfUser, "key": sts.SessionsOfKey, "session": sts.OneSession,
	"identity": sts.SessionsOfIdentity, "sub": sts.SessionsOfUserSub, "sign-in": sts.SessionsOfSignIn,
}

// Revoke ends sessions at once, and refuses what can have none, so that nobody relies on a slip of the pen: those of a role or user by ARN, of a long-term or the one of a temporary access key id, of an
// identity id, of the sub or the origin_jti of a user of a user pool.
func (s *Server) Revoke(ctx context.Context, kind, what string) error {
	subject := sts.Subject{Kind: revocable[kind], ID: what}
	switch kind {
	case "role", "user":
		if account, ok := strings.CutPrefix(what, "arn:aws:iam::"); ok && kind == "user" && strings.HasSuffix(account, ":root") {
			subject.ID = strings.TrimSuffix(account, ":root")
			if ok, err := s.iam.AccountExists(ctx, subject.ID); err != nil || !ok {
				return errors.Join(err, fmt.Errorf("there is no account %s", subject.ID))
			}
			break
		}
		id, ok, err := s.iam.ResolvePrincipal(ctx, s.db, "AWS", what)
		if err != nil {
			return err
		}
		if !ok || !strings.Contains(what, ":"+kind+"/") {
			return fmt.Errorf("%s is not the ARN of a %s", what, kind)
		}
		subject.ID = id
	case "key":
		if !strings.HasPrefix(what, "AKIA") {
			return errors.New("a long-term access key id begins with AKIA; one session is revoked by `usher revoke session`")
		}
	case "session":
		if !strings.HasPrefix(what, "ASIA") {
			return errors.New("the access key id of a session begins with ASIA")
		}
	case "identity":
		if region, id, _ := strings.Cut(what, ":"); region == "" || !isUUID(id) {
			return fmt.Errorf("%q is no identity id, such as us-east-1:11111111-2222-3333-4444-555555555555", what)
		}
	case "sub", "sign-in":
		if !isUUID(what) {
			return fmt.Errorf("%q is no %s, such as 11111111-2222-3333-4444-555555555555", what, map[string]string{"sub": "sub of a user", "sign-in": "origin_jti of a token"}[kind])
		}
	default:
		return fmt.Errorf("cannot revoke %q; want role, user, key, session, identity, sub or sign-in", kind)
	}
	if kind == "key" || kind == "session" { // which may be gone, while what it led to lives
		account, ok := ids.AccountOf(what)
		if ok {
			var err error
			if ok, err = s.iam.AccountExists(ctx, account); err != nil {
				return err
			}
		}
		if !ok {
			return fmt.Errorf("%s is no access key id of this server", what)
		}
	}
	if err := s.sts.Revoke(ctx, subject); err != nil {
		return err
	}
	s.log.Info("sessions revoked", "kind", kind, "subject", what)
	return nil
}

var uuid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

func isUUID(text string) bool { return uuid.MatchString(text) }

// CreateAccount makes an account and returns the access key of its user admin.
func (c Control) CreateAccount(ctx context.Context, name string) (iam.KeyPair, error) {
	var key iam.KeyPair
	err := c.call(ctx, http.MethodPost, "/accounts?name="+url.QueryEscape(name), nil, &key)
	return key, err
}

// Accounts lists the accounts in the order in which they were made.
func (c Control) Accounts(ctx context.Context) ([]iam.Account, error) {
	var list []iam.Account
	err := c.call(ctx, http.MethodGet, "/accounts", nil, &list)
	return list, err
}

// Explain tells why the request with an id was denied, once for each action that was.
func (c Control) Explain(ctx context.Context, requestID string) ([]access.Told, error) {
	var list []access.Told
	err := c.call(ctx, http.MethodGet, "/explain?request="+url.QueryEscape(requestID), nil, &list)
	return list, err
}

// Revoke ends sessions at once.
func (c Control) Revoke(ctx context.Context, kind, what string) error {
	var none struct{}
	return c.call(ctx, http.MethodPost, "/revoke?kind="+url.QueryEscape(kind)+"&what="+url.QueryEscape(what), nil, &none)
}

// identityKeys stands in the place of a user pool's id for the keys of the identity pools, which all share.
const identityKeys = "identity"

// RotateKeys gives a user pool new keys to sign tokens with, or "identity" the identity pools. See userpool.Service.RotateKeys.
func (s *Server) RotateKeys(ctx context.Context, pool string, discard bool) error {
	var err error
	if pool == identityKeys {
		err = s.identities.RotateKeys(ctx, discard)
	} else {
		err = s.users.RotateKeys(ctx, pool, discard)
	}
	if err != nil {
		return err
	}
	s.log.Info("keys rotated", "of", pool, "discarded", discard)
	return nil
}

// RotateKeys gives a user pool, or "identity" the identity pools, new keys; discard forgets the former ones at once, with all tokens that they have signed.
func (c Control) RotateKeys(ctx context.Context, pool string, discard bool) error {
	var none struct{}
	return c.call(ctx, http.MethodPost, "/rotate-keys?pool="+url.QueryEscape(pool)+"&discard="+strconv.FormatBool(discard), nil, &none)
}

// Trust lets an external identity assume a role.
func (c Control) Trust(ctx context.Context, t Trust) ([]TrustStep, error) {
	var done []TrustStep
	err := c.call(ctx, http.MethodPost, "/trust", t, &done)
	return done, err
}
