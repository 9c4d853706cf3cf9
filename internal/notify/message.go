// Package notify delivers messages to users: e-mail by SMTP, SMS by a sender that the operator names. Messages wait in the
// database until they are delivered; without a sender they are kept in an inbox for development.
package notify

import "time"

// Topic is the Medium of messages to SNS topics.
const Topic = "TOPIC"

// Message is one e-mail or SMS to a user.
type Message struct {
	PoolID   string // user pool that sends it
	Username string // whom it concerns
	Medium   string // EMAIL or SMS, as in CodeDeliveryDetails, or Topic
	To       string // address or E.164 number
	From     string // e-mail sender of the pool; "" for the server's
	ReplyTo  string
	Subject  string
	Body     string // HTML for e-mail, text for SMS
	Purpose  string // what for: "sign-up", "forgot-password", …; for logs and the inbox
	Created  time.Time

	// Decoy is a message to nobody, for a user who does not exist. It is written and taken up as others are, so that who asked
	// for it cannot tell, and then dropped.
	Decoy bool `json:",omitempty"`
}
