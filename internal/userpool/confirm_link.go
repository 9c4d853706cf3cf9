package userpool

import (
	"context"
	"errors"
	"html"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"usher/internal/api/cognitoidp"
	"usher/internal/awsapi"
	"usher/internal/db"
)

// A pool whose DefaultEmailOption is CONFIRM_WITH_LINK sends the code of a sign-up by e-mail within a link (developer guide, "Configuring
// email or phone verification"). The link leads to a page with a button, which alone confirms: mail scanners and browsers open links
// that nobody has clicked, and with them a stranger could confirm an address that is not his. The code is the one that ConfirmSignUp
// takes, counted with the same limits.

// ConfirmLinkPath is where links of e-mails lead to, below the public URL.
const ConfirmLinkPath = "/confirmUser"

const (
	defaultLinkMessage = "Please click the link below to verify your email address. {##Verify Email##}"
	defaultLinkSubject = "Your verification link"
)

// linkMost bounds the body of the form in bytes: three parameters, the longest of 2048 characters.
const linkMost = 32 << 10

// confirmsByLink reports whether the pool confirms sign-ups by e-mail with links.
func (p *pool) confirmsByLink() bool {
	t := p.Settings.VerificationMessageTemplate
	return t != nil && deref(t.DefaultEmailOption) == cognitoidp.DefaultEmailOptionTypeConfirmWithLink
}

// signUpWording is how the code of a sign-up through c that goes to an address is worded.
func (p *pool) signUpWording(c *client, to delivery) (w wording) {
	if to.attribute == attrEmail && p.confirmsByLink() {
		w.linkClient = c.ID
	}
	return w
}

// confirmLink is the link that confirms u, as HTML has it. {##text##} becomes the link.
func (s *Service) confirmLink(client string, u *user, code string) func(text string) string {
	to := s.PublicURL + ConfirmLinkPath + "?" + url.Values{"client_id": {client}, "user_name": {u.Username}, "confirmation_code": {code}}.Encode()
	return func(place string) string {
		return `<a href="` + html.EscapeString(to) + `">` + linkPlace.FindStringSubmatch(place)[1] + `</a>`
	}
}

// ConfirmLink serves the page that links of e-mails lead to: GET shows it, POST confirms.
func (s *Service) ConfirmLink() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
		h.Set("Referrer-Policy", "no-referrer") // the address holds the code
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("X-Robots-Tag", "noindex")
		h.Set("Cache-Control", "no-store")
		page := linkPage{}
		switch r.Method {
		case http.MethodGet, http.MethodHead:
			q := r.URL.Query()
			page.Client, page.User, page.Code = q.Get("client_id"), q.Get("user_name"), q.Get("confirmation_code")
			if page.Client == "" || page.User == "" || page.Code == "" {
				page = linkPage{Failure: "The link is not complete."}
			}
		case http.MethodPost:
			r.Body = http.MaxBytesReader(w, r.Body, linkMost)
			err := r.ParseForm()
			if err == nil {
				err = s.confirmByLink(r.Context(), r.PostForm.Get("client_id"), r.PostForm.Get("user_name"), r.PostForm.Get("confirmation_code"))
			} else {
				err = errLinkForm
			}
			page.Done = err == nil
			if refusal, ok := errors.AsType[*awsapi.Error](err); ok {
				page.Failure = refusal.Message
			} else if err != nil {
				s.Log.ErrorContext(r.Context(), "confirmation by link", "error", err)
				http.Error(w, "internal error", http.StatusInternalServerError)
				return
			}
		default:
			h.Set("Allow", "GET, HEAD, POST")
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		if page.Failure != "" {
			w.WriteHeader(http.StatusBadRequest)
		}
		if err := linkTemplate.Execute(w, page); err != nil {
			s.Log.DebugContext(r.Context(), "confirmation by link", "error", err) // whoever asked has gone
		}
	})
}

type linkPage struct {
	Client, User, Code string
	Done               bool
	Failure            string
}

var linkTemplate = template.Must(template.New("link").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Confirm your registration</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:30rem;margin:4rem auto;padding:0 1rem}button{font:inherit;padding:.5rem 1.5rem}</style>
<h1>Confirm your registration</h1>
{{if .Done}}<p>Your registration has been confirmed!</p>
{{else if .Failure}}<p>{{.Failure}}</p>
{{else}}<form method="post" action="?">
<input type="hidden" name="client_id" value="{{.Client}}"><input type="hidden" name="user_name" value="{{.User}}"><input type="hidden" name="confirmation_code" value="{{.Code}}">
<p><button>Confirm</button></p></form>
{{end}}</html>
`))

// confirmByLink is ConfirmSignUp by whoever has the link. He need not know the client's secret: the link went to the user.
func (s *Service) confirmByLink(ctx context.Context, clientID, name, code string) error {
	if strings.Contains(clientID, "\x00") { // PostgreSQL refuses to compare with it
		return errCodeMismatch
	}
	c, p, err := s.client(ctx, clientID)
	if errors.Is(err, cognitoidp.ErrResourceNotFound) {
		return errCodeMismatch
	} else if err != nil {
		return err
	}
	confirmed, _, err := s.confirmSignUp(ctx, p, c, code, false, func(tx *db.Tx) (u, fake *user, err error) {
		fake = p.invent(name)
		u, err = s.findUser(ctx, tx, p, name)
		if err == error(errUserNotFound) {
			u, err = fake, nil
			if !c.hidesUsers() {
				err = errNoSuchCombination
			}
		}
		return u, fake, err
	})
	if err != nil {
		return err
	}
	return s.postConfirmation(ctx, p, confirmSignUp, c.ID, confirmed, nil)
}
