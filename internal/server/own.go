package server

import (
	"html/template"
	"net"
	"net/http"
)

// ownPages answers what is Usher's own on the public listener: a health check, and in development the inbox.
func (s *Server) ownPages() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_usher/health", func(w http.ResponseWriter, r *http.Request) {
		if err := s.db.Refresh(r.Context()); err != nil {
			http.Error(w, "database cannot be reached", http.StatusServiceUnavailable)
			return
		}
		w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("GET /_usher/inbox", s.inboxPage)
	mux.Handle("PUT /_usher/import/", s.users.ImportUpload())
	for _, method := range []string{"GET", "POST", "OPTIONS"} {
		mux.Handle(method+" /_usher/recovery-codes", s.refreshed(s.users.RecoveryCodes()))
	}
	return mux
}

var inboxTemplate = template.Must(template.New("inbox").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Usher inbox</title>
<style>body{font:16px/1.4 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem}article{border-top:1px solid #ccc;padding:.5rem 0}p{margin:.2rem 0}small{color:#555}</style>
<h1>Inbox</h1>
<p>Messages that no mail server has taken; kept for a day. Configure one with <code>--smtp</code>.</p>
{{range .}}<article><small>{{.Created.Format "2006-01-02 15:04:05 MST"}} · {{.Purpose}} · {{.Medium}} to {{.To}} · {{.Username}} of {{.PoolID}}</small>
<p><strong>{{.Subject}}</strong></p><p>{{.Body}}</p></article>{{else}}<p>No messages.</p>{{end}}
</html>
`))

// inboxPage shows the kept messages, which hold codes, to a person on this machine: only where nobody else can reach the
// listener, also not through a proxy, only from a loopback address under a loopback name (a foreign name would be DNS
// rebinding), and not to a page of another site.
func (s *Server) inboxPage(w http.ResponseWriter, r *http.Request) {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	peer, _, _ := net.SplitHostPort(r.RemoteAddr)
	site := r.Header.Get("Sec-Fetch-Site")
	proxied := false
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"} {
		proxied = proxied || r.Header.Get(name) != ""
	}
	if !s.private() || proxied || !isLoopbackHost(host) || !isLoopbackHost(peer) || (site != "" && site != "none" && site != "same-origin") {
		http.NotFound(w, r)
		return
	}
	kept, err := s.Inbox(r.Context(), 100)
	if err != nil {
		s.log.Error("inbox", "error", err)
		http.Error(w, "Internal Server Error", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	if err := inboxTemplate.Execute(w, kept); err != nil {
		s.log.Error("inbox", "error", err)
	}
}
