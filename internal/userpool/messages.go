package userpool

import (
	"context"
	"html"
	"strings"

	"usher/internal/api/cognitoidp"
	"usher/internal/db"
	"usher/internal/notify"
)

// Default texts of messages (VerificationMessageTemplateType and MessageTemplateType in the API reference).
const (
	defaultVerification        = "Your verification code is {####}."
	defaultVerificationSubject = "Your verification code"
	defaultInvitation          = "Your username is {username} and temporary password is {####}."
	defaultInvitationSubject   = "Your temporary password"
	defaultAccount             = "Your username is {username}."
	defaultAccountSubject      = "Your new account"
	defaultMFA                 = "Your authentication code is {####}."
	defaultMFASubject          = "Your authentication code"
)

// delivery is where a message to a user goes.
type delivery struct {
	attribute string // email or phone_number
	target    string
}

func (d delivery) medium() string {
	if d.attribute == "phone_number" {
		return cognitoidp.DeliveryMediumTypeSms
	}
	return cognitoidp.DeliveryMediumTypeEmail
}

// details tells the caller where a message went, without giving the address away.
func (d delivery) details() *cognitoidp.CodeDeliveryDetailsType {
	return &cognitoidp.CodeDeliveryDetailsType{Destination: new(mask(d.attribute, d.target)), DeliveryMedium: new(d.medium()), AttributeName: new(d.attribute)}
}

// mask hides an address as CodeDeliveryDetails does: f***@e*** and +*******1234.
func mask(attribute, value string) string {
	if attribute == "phone_number" {
		digits := strings.TrimPrefix(value, "+")
		shown := digits[max(0, len(digits)-4):]
		return "+" + strings.Repeat("*", len(digits)-len(shown)) + shown
	}
	local, domain, _ := strings.Cut(value, "@")
	return first(local) + "***@" + first(domain) + "***"
}

func first(s string) string {
	for _, r := range s {
		return string(r)
	}
	return ""
}

// sendCode puts the pool's verification message with code in the outbox.
func (s *Service) sendCode(ctx context.Context, tx *db.Tx, p *pool, u *user, kind codeKind, to delivery, code string, w wording) error {
	t := p.Settings.VerificationMessageTemplate
	if t == nil {
		t = &cognitoidp.VerificationMessageTemplateType{}
	}
	subject, body := orDefault(t.EmailSubject, defaultVerificationSubject), orDefault(t.EmailMessage, defaultVerification)
	switch {
	case to.attribute == "phone_number":
		subject, body = "", orDefault(t.SmsMessage, defaultVerification)
	case w.linkClient != "":
		subject, body = orDefault(t.EmailSubjectByLink, defaultLinkSubject), orDefault(t.EmailMessageByLink, defaultLinkMessage)
	}
	subject, body = w.texts(u, to, subject, body)
	body = strings.ReplaceAll(body, codePlace, code)
	if w.linkClient != "" {
		body = linkPlace.ReplaceAllStringFunc(body, s.confirmLink(w.linkClient, u, code))
	}
	return s.send(ctx, tx, p, u, kind.purpose, to, subject, body, w)
}

// sendSignInCode puts the message with the code of a factor, first or second, in the outbox.
func (s *Service) sendSignInCode(ctx context.Context, tx *db.Tx, p *pool, u *user, kind codeKind, to delivery, code string, w wording) error {
	subject, body := "", orDefault(p.Settings.SmsAuthenticationMessage, defaultMFA)
	if to.attribute == attrEmail {
		c := deref(p.mfa.Email)
		subject, body = orDefault(c.Subject, defaultMFASubject), orDefault(c.Message, defaultMFA)
	}
	subject, body = w.texts(u, to, subject, body)
	return s.send(ctx, tx, p, u, kind.purpose, to, subject, strings.ReplaceAll(body, codePlace, code), w)
}

// sendInvitation puts the invitation of a user whom an administrator created in the outbox, to be sent by medium. Without
// a password it says only who he is: a template with a place for one does not do.
func (s *Service) sendInvitation(ctx context.Context, tx *db.Tx, p *pool, u *user, medium, temporaryPassword string, w wording) error {
	t := &cognitoidp.MessageTemplateType{}
	if c := p.Settings.AdminCreateUserConfig; c != nil && c.InviteMessageTemplate != nil {
		t = c.InviteMessageTemplate
	}
	to := delivery{attrEmail, u.attributes()[attrEmail]}
	subject, body := orDefault(t.EmailSubject, defaultInvitationSubject), orDefault(t.EmailMessage, defaultInvitation)
	name, password := html.EscapeString(u.Username), html.EscapeString(temporaryPassword)
	if medium == cognitoidp.DeliveryMediumTypeSms {
		to = delivery{attrPhone, u.attributes()[attrPhone]}
		subject, body = "", orDefault(t.SMSMessage, defaultInvitation)
		name, password = u.Username, temporaryPassword
	}
	subject, body = w.texts(u, to, subject, body)
	if temporaryPassword == "" {
		if subject == defaultInvitationSubject {
			subject = defaultAccountSubject
		}
		if strings.Contains(body, codePlace) {
			body = defaultAccount
		}
	}
	return s.send(ctx, tx, p, u, "invitation", to, subject, strings.NewReplacer(usernamePlace, name, codePlace, password).Replace(body), w)
}

func (s *Service) send(ctx context.Context, tx *db.Tx, p *pool, u *user, purpose string, to delivery, subject, body string, w wording) error {
	m := notify.Message{PoolID: p.ID, Username: u.Username, Medium: to.medium(), To: to.target, Subject: subject, Body: body, Purpose: purpose, Decoy: u.invented() || w.unsent}
	if e := p.Settings.EmailConfiguration; e != nil && to.attribute == "email" {
		m.From, m.ReplyTo = orDefault(e.From, ""), orDefault(e.ReplyToEmailAddress, "")
	}
	return s.Outbox.Enqueue(ctx, tx, m)
}

func orDefault(s *string, def string) string {
	if s == nil || *s == "" {
		return def
	}
	return *s
}
