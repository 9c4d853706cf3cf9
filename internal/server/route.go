package server

import (
	"net/http"
	"strings"
	"time"

	"usher/internal/access"
	"usher/internal/sigv4"
	"usher/internal/userpool"
)

// readMost is how long the small body of an AWS API request may take to arrive. Objects have no such limit.
const readMost = 30 * time.Second

// ServeHTTP tells the APIs apart on the one listener: what is not plainly a request of the AWS APIs, a discovery document
// or Usher's own is a request to S3.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if len(s.cfg.trusted) > 0 {
		r = throughProxies(r, s.cfg.trusted)
	}
	switch path := r.URL.Path; {
	case strings.HasPrefix(path, "/_usher/"): // no bucket name begins with an underscore
		s.own.ServeHTTP(w, r)
	case isDiscovery(path) && (r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions):
		s.refreshed(s.discovery).ServeHTTP(w, r)
	case path == userpool.ConfirmLinkPath && !s.gateway.VirtualHosted(r.Host): // no bucket name has capitals
		s.refreshed(s.confirmLink).ServeHTTP(w, r)
	case s.isAWS(r):
		// The deadline is for the connection: it is lifted for what comes next on it.
		c := http.NewResponseController(w)
		c.SetReadDeadline(time.Now().Add(readMost))
		s.refreshed(s.aws).ServeHTTP(w, r.WithContext(access.WithRequest(r.Context(), r)))
		c.SetReadDeadline(time.Time{})
	default:
		s.refreshed(s.gateway).ServeHTTP(w, r)
	}
}

// refreshed has the caches of this node see every write that was acknowledged before the request.
func (s *Server) refreshed(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, err := s.db.Refreshed(r.Context())
		if err != nil {
			s.log.Error("database cannot be reached", "error", err)
			http.Error(w, "Service Unavailable", http.StatusServiceUnavailable)
			return
		}
		h.ServeHTTP(w, r.WithContext(ctx))
	})
}

// isDiscovery: /{user pool id}/.well-known/…, whose underscore no bucket name has, /identity/.well-known/… and
// /sts/{issuer}/.well-known/….
func isDiscovery(path string) bool {
	first, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if first == "sts" {
		_, rest, _ = strings.Cut(rest, "/")
	}
	return strings.HasPrefix(rest, ".well-known/") && (first == "identity" || first == "sts" || strings.Contains(first, "_"))
}

// isAWS tells the AWS APIs from S3: by the target header, the service that the signature is for, and without one the
// form of an unsigned Query or REST-JSON request or its preflight.
func (s *Server) isAWS(r *http.Request) bool {
	if r.Header.Get("X-Amz-Target") != "" {
		return true
	}
	if service, _, ok := sigv4.Scope(r); ok {
		return service != "s3"
	}
	path := r.URL.Path
	if strings.HasPrefix(path, "/identitypools") {
		return true
	}
	if path != "/" || s.gateway.VirtualHosted(r.Host) {
		return false
	}
	switch r.Method {
	case http.MethodPost, http.MethodOptions:
		return true // S3 has no POST on its root
	default:
		return strings.Contains(r.URL.RawQuery, "Action=")
	}
}
