package server

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"usher/internal/userpool"
)

// poolRoutes are what operators do to user pools and their users through the control socket.
func (s *Server) poolRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /pools/users", func(w http.ResponseWriter, r *http.Request) {
		page, err := s.ExportUsers(r.Context(), r.FormValue("pool"), r.FormValue("algorithm"), r.FormValue("after"))
		answer(w, page, err)
	})
	mux.HandleFunc("POST /pools/settings", func(w http.ResponseWriter, r *http.Request) {
		var change userpool.FrozenChange
		if err := readJSON(w, r, &change); err != nil {
			answer(w, nil, err)
			return
		}
		users, err := s.ChangePool(r.Context(), r.FormValue("pool"), change)
		answer(w, users, err)
	})
	mux.HandleFunc("POST /pools/recovery-codes", func(w http.ResponseWriter, r *http.Request) {
		codes, err := s.RecoveryCodes(r.Context(), r.FormValue("pool"), r.FormValue("user"))
		answer(w, codes, err)
	})
}

// ExportUsers returns users of a pool as rows of a file for import jobs. See userpool.Service.ExportUsers.
func (s *Server) ExportUsers(ctx context.Context, pool, algorithm, after string) (*userpool.ExportPage, error) {
	if after == "" {
		s.log.Info("users exported with the hashes of their passwords", "user_pool", pool, "algorithm", algorithm)
	}
	return s.users.ExportUsers(ctx, pool, algorithm, after)
}

// ChangePool changes settings of a pool that AWS freezes. See userpool.Service.ChangeFrozen.
func (s *Server) ChangePool(ctx context.Context, pool string, change userpool.FrozenChange) (users int, err error) {
	users, err = s.users.ChangeFrozen(ctx, pool, change)
	if err == nil {
		s.log.Info("frozen settings changed", "user_pool", pool, "users", users)
	}
	return users, err
}

// ChangePool changes settings of a pool that AWS freezes and returns how many users it has changed with them.
func (c Control) ChangePool(ctx context.Context, pool string, change userpool.FrozenChange) (users int, err error) {
	err = c.patient(changePatience).call(ctx, http.MethodPost, "/pools/settings?"+url.Values{"pool": {pool}}.Encode(), change, &users)
	return users, err
}

// changePatience is how long a change of a pool with many users may take.
const changePatience = time.Hour

// RecoveryCodes gives a user new codes that stand in for his second factor.
func (s *Server) RecoveryCodes(ctx context.Context, pool, user string) ([]string, error) {
	codes, err := s.users.IssueRecoveryCodes(ctx, pool, user)
	if err == nil {
		s.log.Info("recovery codes issued", "user_pool", pool, "user", user)
	}
	return codes, err
}

// RecoveryCodes gives a user new codes that stand in for his second factor; those that he had are void.
func (c Control) RecoveryCodes(ctx context.Context, pool, user string) ([]string, error) {
	var codes []string
	err := c.call(ctx, http.MethodPost, "/pools/recovery-codes?"+url.Values{"pool": {pool}, "user": {user}}.Encode(), nil, &codes)
	return codes, err
}

// ExportUsers returns the users of a pool after a page's Next, "" for the first.
func (c Control) ExportUsers(ctx context.Context, pool, algorithm, after string) (userpool.ExportPage, error) {
	var page userpool.ExportPage
	err := c.call(ctx, http.MethodGet, "/pools/users?"+url.Values{"pool": {pool}, "algorithm": {algorithm}, "after": {after}}.Encode(), nil, &page)
	return page, err
}
